"""Whom the messages of an effect are for, whatever the profile becomes and however far they have come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from firstmile.mail.places import places_of
from firstmile.mail.recipients import Addressee
from firstmile.store.ledger import Message
from firstmile.store.profiles import address_key

NOW = datetime(2026, 3, 6, 3, tzinfo=UTC)
STATES: list[dict[str, Any]] = [
    {},
    {"verdict": "deferred"},
    {"verdict": "skipped"},
    {"sends": 1},
    {"state": "sending", "sends": 1},
    {"state": "accepted", "sends": 1},
    {"state": "rejected", "sends": 1},
    {"state": "unknown", "sends": 2},
]

emails = st.sampled_from(["a", "b", "c", "d", "e"]).map(lambda name: f"{name}@x.example")
people = st.lists(st.none() | emails, min_size=1, max_size=4, unique=True).map(
    lambda found: [Addressee(email) for email in found]
)


def laid_out(addressees: list[Addressee], states: list[dict[str, Any]]) -> list[Message]:
    """The rows of an effect for these people, as far as these states say."""
    return [
        replace(_row(place.key, place.number, place.addressee.email), **state)
        for place, state in zip(places_of("e", [], addressees), states, strict=False)
    ]


def _row(key: str, place: int, recipient: str | None) -> Message:
    who = {"subject": "c-1", "enrolment": 1, "segment": "team", "step": "a", "purpose": "run"}
    what = {"template": "t", "message_class": "lifecycle", "state": "prepared", "decisions": (), "sends": 0}
    names = ("fate", "fate_at", "verdict", "token", "lease_until", "provider_id", "reason", "given_up_at")
    values: dict[str, Any] = {**who, **what, **dict.fromkeys(names), "created_at": NOW, "updated_at": NOW}
    return Message(key=key, recipient=recipient, effect="e", place=place, **values)


@given(before=people, after=people, states=st.lists(st.sampled_from(STATES), min_size=4, max_size=4))
def test_once_begun_the_messages_stay_and_no_address_gets_two(
    before: list[Addressee], after: list[Addressee], states: list[dict[str, Any]]
) -> None:
    rows = laid_out(before, states)
    places = places_of("e", rows, after)
    if not any(row.begun for row in rows):
        assert places == places_of("e", [], after), "as if it had never been looked at"
        return
    assert [place.key for place in places] == [row.key for row in rows]
    waiting = [place for place, row in zip(places, rows, strict=True) if not row.begun]
    theirs = [place.addressee.email for place in waiting if place.addressee.email is not None]
    reached = {row.recipient for row in rows if row.begun}
    assert len(set(theirs)) == len(theirs)
    assert not reached & set(theirs)
    assert set(theirs) <= {one.email for one in after}


@given(before=people, states=st.lists(st.sampled_from(STATES), min_size=4, max_size=4))
def test_a_profile_that_has_not_changed_changes_nothing(
    before: list[Addressee], states: list[dict[str, Any]]
) -> None:
    rows = laid_out(before, states)
    assert [place.addressee for place in places_of("e", rows, before)] == before


@given(before=people)
def test_keys_are_made_of_the_effect_and_the_address_and_differ(before: list[Addressee]) -> None:
    places = places_of("e", [], before)
    assert places[0].key == "e"
    assert len({place.key for place in places}) == len(before)
    shuffled = {place.addressee.email: place.key for place in places_of("e", [], before[::-1])[1:]}
    assert all(shuffled.get(place.addressee.email, place.key) == place.key for place in places[1:])
    assert not any(address_key(place.addressee.email or "") == place.key for place in places)
