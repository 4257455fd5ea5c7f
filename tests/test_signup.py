"""Sign-ups and events from outside: each bad one is a file with everything that must be said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firstmile import bodies, signup
from firstmile.errors import EventRefused, SignUpRefused
from firstmile.journey.loader import load
from firstmile.journey.route import Route
from firstmile.service import events
from tests.doorway import JOURNEY, SIGN_UP

BAD = Path(__file__).parent / "bad"


def small() -> dict[str, Route]:
    journey = load(JOURNEY, "small.yaml").journey
    assert journey is not None
    return {"small": Route(journey)}


@pytest.mark.parametrize("file", sorted((BAD / "signups").glob("*.json")), ids=lambda file: file.stem)
def test_everything_wrong_with_a_sign_up_is_said_at_once(file: Path) -> None:
    case = json.loads(file.read_text())

    with pytest.raises(SignUpRefused) as refused:
        signup.read(case["sign_up"], small())

    assert [str(flaw) for flaw in refused.value.flaws] == case["problems"]
    assert not refused.value.retryable


@pytest.mark.parametrize("file", sorted((BAD / "events").glob("*.json")), ids=lambda file: file.stem)
def test_everything_wrong_with_an_event_is_said_at_once(file: Path) -> None:
    case = json.loads(file.read_text())

    with pytest.raises(EventRefused) as refused:
        events.read(case["event"])

    assert [str(flaw) for flaw in refused.value.flaws] == case["problems"]


def test_no_personal_data_is_repeated_in_what_is_said() -> None:
    body = SIGN_UP | {"email": "jonas at weber", "name": ["Jonas Weber"], "contacts": [{"email": "anna@"}]}

    with pytest.raises(SignUpRefused) as refused:
        signup.read(body, small())

    assert not [word for word in ("onas", "eber", "anna") if word in str(refused.value)]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"email": None, "contacts": [], "subdivision": "BY"},
        {"email": "ann@bücher.example", "locale": "de_AT"},
        {"email": "ann@acme.test", "speed": 36_000, "skip": ["welcome"]},
        {"traits": {"plan": "pro", "unknown": "is accepted, and cannot be read"}},
        {
            "consent": {"marketing": True},
            "contacts": [{"role": "admin", "email": "a@b.example", "name": "A"}],
        },
    ],
)
def test_a_good_sign_up_is_accepted(more: dict[str, Any]) -> None:
    signup.read(SIGN_UP | more, small())


def test_a_sign_up_gives_a_profile_to_the_store_and_a_subject_to_the_workflow() -> None:
    read = signup.read(SIGN_UP | {"email": "Ann@BÜCHER.example", "skip": ["tips"]}, small())

    assert read.profile().email == "Ann@xn--bcher-kva.example"
    assert read.profile().consent.lifecycle
    subject = read.subject(small()["small"])
    assert (subject.timezone, subject.skip) == ("Europe/Berlin", ["tips"])


def test_before_anything_is_published_that_is_said() -> None:
    with pytest.raises(SignUpRefused, match="no journey is published yet"):
        signup.read(SIGN_UP, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a", "id": "b"}', "duplicate key 'id'"),
        ('{"speed": NaN}', "line 1"),
        ("{'id': 1}", "line 1"),
        ("", "is empty"),
        ("[" * 100_000, "nested more than"),
        (b"\xff", "is not UTF-8"),
        ('{"a": 1} {"b": 2}', "holds one value"),
    ],
)
def test_what_is_not_json_as_it_is_meant_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(bodies.NotJson, match=said):
        bodies.parse(text)
