"""The message ledger: no message is sent twice, or given up, without a recorded decision."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from firstmile.store import ledger, profiles, suppressions
from firstmile.store.database import Database, Reading, Writing
from firstmile.store.gate import Question
from firstmile.store.ledger import Began, Fate, Message, NewMessage
from firstmile.store.profiles import Consent, Profile
from firstmile.store.tables import messages, tallies

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
LATER = NOW + LEASE
BODY = {"subject": "Welcome", "html": "<p>Hi</p>", "text": "Hi", "headers": {}, "attachments": []}
QUESTION = Question("c-1", "team", "welcome", "lifecycle", "ann@example.com")


async def prepared(tx: Writing, key: str = "k") -> Message:
    await profiles.write(tx, Profile("c-1", email="ann@example.com", consent=Consent()), NOW)
    new = NewMessage(key, "c-1", 1, "team", "hello", "run", "welcome", "lifecycle", "ann@example.com")
    return await ledger.prepare(tx, new, NOW)


async def begin(
    tx: Writing, token: str, *, key: str = "k", now: datetime = NOW, body: dict[str, object] | None = None
) -> Began:
    return await ledger.begin_sending(
        tx, key, token, now=now, lease=LEASE, body=body or BODY, question=QUESTION
    )


async def counted(db: Reading) -> dict[str, float]:
    rows = await db.all(select(tallies.c.labels, tallies.c.value).where(tallies.c.metric == "messages_total"))
    found: dict[str, float] = {}
    for row in rows:
        outcome = row.labels.split('"outcome":"')[1].rstrip('"}')
        found[outcome] = found.get(outcome, 0) + row.value
    return found


async def test_a_message_goes_its_way(db: Database) -> None:
    async with db.writing() as tx:
        assert (await prepared(tx)).state == "prepared"
        began = await begin(tx, "a")
    async with db.writing() as tx:
        accepted = await ledger.accept(tx, "k", "a", now=NOW, provider_id="p-1")

    assert (began.outcome, began.body, began.message.state) == ("sending", BODY, "sending")
    assert began.message.lease_until == LATER
    assert accepted is not None
    async with db.reading() as reading:
        assert await ledger.get(reading, "k") == accepted
        assert (accepted.state, accepted.provider_id, accepted.sends) == ("accepted", "p-1", 1)
        assert await ledger.of(reading, "c-1", 1) == [accepted]
        assert await counted(reading) == {"accepted": 1}


async def test_preparing_again_changes_nothing_once_it_was_sent(db: Database) -> None:
    new = NewMessage("k", "c-1", 1, "team", "hello", "run", "other", "lifecycle", "new@example.com")
    async with db.writing() as tx:
        await prepared(tx)
        before = await ledger.prepare(tx, new, LATER)
        await begin(tx, "a")
        after = await ledger.prepare(tx, replace(new, recipient="x@example.com"), LATER)

    assert (before.recipient, before.template, before.created_at) == ("new@example.com", "other", NOW)
    assert (after.recipient, after.state) == ("new@example.com", "sending")


async def test_of_many_attempts_at_once_one_sends(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)

    async def attempt(token: str) -> Began:
        async with db.writing() as tx:
            return await begin(tx, token)

    began = await asyncio.gather(*(attempt(f"t-{number}") for number in range(12)))

    senders = [one.message.token for one in began if one.outcome == "sending"]
    assert len(senders) == 1
    assert {one.message.token for one in began} == set(senders)
    assert sorted({one.outcome for one in began}) == ["sending", "taken"]


async def test_of_many_deciders_at_once_one_decides(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")

    async def decide(number: int) -> Message | None:
        async with db.writing() as tx:
            if number % 2:
                return await ledger.give_up(tx, "k", now=NOW, decision="may have been delivered")
            return await ledger.decide_resend(tx, "k", now=NOW, decision="sent again: proven absent")

    decided = [one for one in await asyncio.gather(*map(decide, range(12))) if one is not None]

    assert [len(one.decisions) for one in decided] == [1]


@pytest.mark.parametrize("settle", ["accept", "reject", "mark_unknown", "release"])
async def test_an_attempt_settles_only_what_is_its_own(db: Database, settle: str) -> None:
    async def call(tx: Writing, token: str) -> Message | None:
        if settle == "accept":
            return await ledger.accept(tx, "k", token, now=NOW)
        settles = {"reject": ledger.reject, "mark_unknown": ledger.mark_unknown, "release": ledger.release}
        return await settles[settle](tx, "k", token, now=NOW, reason="why")

    async with db.writing() as tx:
        await prepared(tx)
        assert await call(tx, "a") is None
        await begin(tx, "a")
        assert await call(tx, "b") is None
        assert await call(tx, "a") is not None
        assert await call(tx, "a") is None


async def test_what_was_put_back_is_sent_by_the_next_attempt(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.release(tx, "k", "a", now=NOW, reason="429")
        began = await begin(tx, "b", body={**BODY, "subject": "Other"})

    assert (began.outcome, began.message.sends) == ("sending", 2)
    assert began.body == BODY


async def test_what_was_put_back_until_later_is_nobodys_before(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        put_back = await ledger.release(tx, "k", "a", now=NOW, reason="429", until=NOW + LEASE)
        early = await begin(tx, "b")
        late = await begin(tx, "c", now=NOW + LEASE)

    assert put_back is not None
    assert (put_back.not_before(NOW), put_back.not_before(NOW + LEASE)) == (LEASE, None)
    assert (early.outcome, early.message.sends) == ("taken", 1)
    assert (late.outcome, late.message.not_before(NOW)) == ("sending", None)


@pytest.mark.parametrize("state", ["prepared", "sending", "accepted", "rejected"])
async def test_nothing_is_decided_where_nothing_is_unknown(db: Database, state: str) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        if state != "prepared":
            await begin(tx, "a")
        if state == "accepted":
            await ledger.accept(tx, "k", "a", now=NOW)
        if state == "rejected":
            await ledger.reject(tx, "k", "a", now=NOW, reason="400")

        assert await ledger.decide_resend(tx, "k", now=NOW, decision="again") is None
        assert await ledger.give_up(tx, "k", now=NOW, decision="enough") is None
        assert await ledger.prove_accepted(tx, "k", now=NOW, decision="found") is None
        message = await ledger.get(tx, "k")

    assert message is not None
    assert (message.state, message.decisions) == (state, ())


async def test_a_lost_attempt_is_decided_on_when_its_lease_is_over(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        resent = await ledger.decide_resend(tx, "k", now=LATER, decision="proven absent", actor="ann")
        assert await ledger.accept(tx, "k", "a", now=LATER) is None
        began = await begin(tx, "b", now=LATER, body={**BODY, "subject": "Other"})

    assert resent is not None
    assert resent.decisions == (ledger.Decision(LATER, "proven absent", "ann"),)
    assert (began.outcome, began.body) == ("sending", BODY)
    assert began.message.decisions == resent.decisions


async def test_the_gate_is_asked_again_before_sending_again(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")
        await suppressions.add(tx, "Ann@Example.com ", "unsubscribed", NOW)
        await ledger.decide_resend(tx, "k", now=NOW, decision="proven absent")
        began = await begin(tx, "b")

    assert (began.outcome, began.reason) == ("skipped", "suppressed: unsubscribed")


async def test_a_skip_is_final(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await suppressions.add(tx, "ann@example.com", "bounced", NOW)
        first = await begin(tx, "a")
        await suppressions.lift(tx, "ann@example.com", "bounced")
        second = await begin(tx, "b")

    assert (first.outcome, first.reason) == ("skipped", "suppressed: bounced")
    assert (second.outcome, second.message.verdict, second.message.reason) == (
        "taken",
        "skipped",
        "suppressed: bounced",
    )
    async with db.reading() as reading:
        assert await counted(reading) == {"skipped": 1}
        statement = select(tallies.c.labels, tallies.c.value).where(tallies.c.metric == "suppressed_total")
        assert [tuple(row) for row in await reading.all(statement)] == [('{"reason":"bounced"}', 1)]


async def test_what_must_not_go_out_is_skipped_without_asking_the_gate(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        first = await ledger.skip(tx, "k", now=NOW, reason="not on the allow-list")
        again = await ledger.skip(tx, "k", now=LATER, reason="another reason")
        began = await begin(tx, "a")

    assert first is not None
    assert (first.state, first.verdict, first.reason) == ("prepared", "skipped", "not on the allow-list")
    assert again is None
    assert began.outcome == "taken"
    async with db.reading() as reading:
        assert await counted(reading) == {"skipped": 1}


async def test_given_up_is_the_last_word_until_a_fate_says_otherwise(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")
        given_up = await ledger.give_up(tx, "k", now=LATER, decision="may have been delivered")
        assert await ledger.decide_resend(tx, "k", now=LATER, decision="again") is None
        delivered = await ledger.record_fate(tx, "k", "delivered", at=LATER, now=LATER)

    assert given_up is not None
    assert (given_up.state, given_up.given_up_at) == ("unknown", LATER)
    assert delivered is not None
    assert (delivered.state, delivered.fate) == ("accepted", "delivered")
    async with db.reading() as reading:
        assert await counted(reading) == {"unknown": 1, "given_up": 1, "accepted": 1}


@pytest.mark.parametrize("state", ["sending", "unknown", "sent again"])
async def test_a_fate_proves_acceptance_whenever_it_arrives(db: Database, state: str) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        if state != "sending":
            await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")
        if state == "sent again":
            await ledger.decide_resend(tx, "k", now=NOW, decision="absent")
        message = await ledger.record_fate(tx, "k", "bounced", at=NOW, now=LATER, reason="550")
        assert await ledger.accept(tx, "k", "a", now=LATER) is None
        assert await ledger.decide_resend(tx, "k", now=LATER, decision="again") is None
        began = await begin(tx, "b", now=LATER)

    assert message is not None
    assert (message.state, message.fate, message.fate_at, message.reason) == (
        "accepted",
        "bounced",
        NOW,
        "550",
    )
    assert began.outcome == "taken"


@pytest.mark.parametrize(
    ("arrive", "stays"),
    [
        (["processed", "delivered"], "delivered"),
        (["delivered", "processed", "deferred"], "delivered"),
        (["delivered", "delivered"], "delivered"),
        (["delivered", "bounced", "delivered"], "bounced"),
        (["complained", "delivered"], "complained"),
    ],
)
async def test_a_later_fate_wins_in_whatever_order_they_arrive(
    db: Database, arrive: list[Fate], stays: str
) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.accept(tx, "k", "a", now=NOW)
        for fate in arrive:
            await ledger.record_fate(tx, "k", fate, at=NOW, now=NOW)
        message = await ledger.get(tx, "k")

    assert message is not None
    assert message.fate == stays


async def test_the_fate_of_an_unknown_key_is_nobodys(db: Database) -> None:
    async with db.writing() as tx:
        assert await ledger.record_fate(tx, "other", "delivered", at=NOW, now=NOW) is None
        with pytest.raises(LookupError, match="other"):
            await begin(tx, "a", key="other")


async def test_reconciled_is_accepted_with_the_decision(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")
        message = await ledger.prove_accepted(tx, "k", now=LATER, decision="in the log", provider_id="p-1")

    assert message is not None
    assert (message.state, message.provider_id, message.reason) == ("accepted", "p-1", None)
    assert [one.text for one in message.decisions] == ["in the log"]


async def test_bodies_are_dropped_only_where_they_have_served(db: Database) -> None:
    async with db.writing() as tx:
        for key in ("accepted", "unknown", "given up"):
            await prepared(tx, key)
            await begin(tx, "a", key=key)
        await ledger.accept(tx, "accepted", "a", now=NOW)
        for key in ("unknown", "given up"):
            await ledger.mark_unknown(tx, key, "a", now=NOW, reason="time-out")
        await ledger.give_up(tx, "given up", now=NOW, decision="enough")

        assert await ledger.drop_bodies(tx, NOW) == 0
        assert await ledger.drop_bodies(tx, LATER, limit=1) == 1
        assert await ledger.drop_bodies(tx, LATER) == 1
        assert await ledger.frozen_body(tx, "unknown") is not None
        assert await ledger.frozen_body(tx, "unknown") == BODY
        assert await ledger.frozen_body(tx, "accepted") is None


# ---- the messages of one effect ----


def one_of(effect: str, place: int, key: str | None = None) -> NewMessage:
    return NewMessage(
        key or f"{effect}-{place}",
        "c-1",
        1,
        "team",
        "hello",
        "run",
        "welcome",
        "lifecycle",
        f"{place}@example.com",
        effect,
        place,
        "tips",
    )


async def test_the_messages_of_an_effect_are_found_by_it_in_their_places(db: Database) -> None:
    async with db.writing() as tx:
        for place in (2, 0, 1):
            await ledger.prepare(tx, one_of("e", place, "e" if place == 0 else None), NOW)
        await ledger.prepare(tx, one_of("other", 0), NOW)
        found = await ledger.of_effect(tx, "e")

    assert [(one.key, one.place, one.topic) for one in found] == [
        ("e", 0, "tips"),
        ("e-1", 1, "tips"),
        ("e-2", 2, "tips"),
    ]


async def test_a_message_of_a_version_that_knew_no_effects_is_found_by_its_key(db: Database) -> None:
    async with db.writing() as tx:
        await prepared(tx)
        await tx.execute(update(messages).values(effect=None, place=None))
        assert [one.key for one in await ledger.of_effect(tx, "k")] == ["k"]


async def test_only_what_was_never_begun_can_be_forgotten(db: Database) -> None:
    async with db.writing() as tx:
        for key in ("waiting", "on hold", "skipped", "sent", "sent and put back"):
            await prepared(tx, key)
        await tx.execute(update(messages).where(messages.c.key == "on hold").values(verdict="deferred"))
        await ledger.skip(tx, "skipped", now=NOW, reason="no")
        await begin(tx, "a", key="sent")
        await begin(tx, "a", key="sent and put back")
        await ledger.release(tx, "sent and put back", "a", now=NOW, reason="429")
        rows = await ledger.of(tx, "c-1", 1)
        await ledger.forget(tx, [row.key for row in rows])
        left = await ledger.of(tx, "c-1", 1)

    assert {row.key for row in left} == {row.key for row in rows if row.begun}
    assert {row.key for row in left} == {"skipped", "sent", "sent and put back"}


# ---- when it was accepted ----


@pytest.mark.parametrize("how", ["by us", "by reconciliation", "by a fate"])
async def test_when_it_was_accepted_is_said_once(db: Database, how: str) -> None:
    at = NOW + timedelta(seconds=5)
    async with db.writing() as tx:
        await prepared(tx)
        await begin(tx, "a")
        if how == "by us":
            await ledger.accept(tx, "k", "a", now=at)
        elif how == "by reconciliation":
            await ledger.mark_unknown(tx, "k", "a", now=NOW, reason="time-out")
            await ledger.prove_accepted(tx, "k", now=at, decision="in the log")
        else:
            await ledger.record_fate(tx, "k", "processed", at=at, now=LATER)
        await ledger.record_fate(tx, "k", "delivered", at=LATER, now=LATER)
        await ledger.record_fate(tx, "k", "bounced", at=NOW, now=LATER)
        message = await ledger.get(tx, "k")

    assert message is not None
    assert (message.fate, message.accepted_at) == ("bounced", at)
