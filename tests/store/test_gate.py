"""The gate at the moment of sending, and what it reads: suppressions, holds, consent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from firstmile.store import choices, gate, holds, opt_outs, profiles, suppressions
from firstmile.store.choices import Choice
from firstmile.store.database import Database
from firstmile.store.gate import OPEN, Cause, Question, Verdict
from firstmile.store.holds import Scope
from firstmile.store.profiles import Consent, Profile, address_key
from firstmile.store.suppressions import MessageClass, Reason, Topic

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADDRESS = "ann@example.com"
QUESTION = Question("c-1", "team", "welcome", "lifecycle", ADDRESS)


@pytest.mark.parametrize(
    ("message_class", "consent", "opens"),
    [
        ("transactional", Consent(lifecycle=False), True),
        ("lifecycle", Consent(), True),
        ("lifecycle", Consent(lifecycle=False, marketing=True), False),
        ("marketing", Consent(), False),
        ("marketing", Consent(lifecycle=False, marketing=True), True),
        ("transactional", None, True),
        ("lifecycle", None, False),
    ],
)
async def test_consent_by_class(
    db: Database, message_class: MessageClass, consent: Consent | None, opens: bool
) -> None:
    async with db.writing() as tx:
        if consent is not None:
            await profiles.write(tx, Profile("c-1", consent=consent), NOW)
        verdict = await gate.ask(tx, replace(QUESTION, message_class=message_class), NOW)

    reason = f"no consent to {message_class} messages"
    assert verdict == (OPEN if opens else Verdict("skipped", reason, cause="no_consent"))


@pytest.mark.parametrize("message_class", ["transactional", "lifecycle", "marketing"])
@pytest.mark.parametrize("reason", ["bounced", "invalid", "complained", "unsubscribed", "manual"])
async def test_suppression_by_reason(db: Database, message_class: MessageClass, reason: Reason) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", consent=Consent(marketing=True)), NOW)
        await suppressions.add(tx, " Ann@EXAMPLE.com", reason, NOW)
        verdict = await gate.ask(tx, replace(QUESTION, message_class=message_class), NOW)
        other = await gate.ask(
            tx, replace(QUESTION, address="b@example.com", message_class=message_class), NOW
        )

    opens = message_class == "transactional" and reason not in ("bounced", "invalid")
    assert verdict == (OPEN if opens else Verdict("skipped", f"suppressed: {reason}", cause=reason))
    assert other == OPEN


@pytest.mark.parametrize(
    ("question", "reason", "cause"),
    [
        (replace(QUESTION, address=None), "no address", "no_address"),
        (replace(QUESTION, valid=False), "invalid address", "invalid_address"),
    ],
)
async def test_without_a_usable_address_it_is_skipped(
    db: Database, question: Question, reason: str, cause: Cause
) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        assert await gate.ask(tx, question, NOW) == Verdict("skipped", reason, cause=cause)


@pytest.mark.parametrize(
    ("kind", "message_class", "topic"),
    [
        ("email", "transactional", None),
        ("training", "transactional", None),
        ("email", "lifecycle", "tips"),
        ("training", "lifecycle", "training"),
        ("survey", "lifecycle", "feedback"),
        ("checkin", "lifecycle", "feedback"),
        ("email", "marketing", "offers"),
        ("survey", "marketing", "offers"),
        ("a kind to come", "lifecycle", "tips"),
    ],
)
def test_a_topic_is_told_by_kind_and_class(
    kind: str, message_class: MessageClass, topic: Topic | None
) -> None:
    assert suppressions.topic_of(kind, message_class) == topic


@pytest.mark.parametrize("topic", suppressions.TOPICS)
async def test_an_address_leaves_one_topic_and_gets_the_others(db: Database, topic: Topic) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", consent=Consent(marketing=True)), NOW)
        key = address_key(" Ann@EXAMPLE.com")
        assert await opt_outs.leave(tx, key, [topic], NOW) == [topic]
        assert await opt_outs.leave(tx, key, [topic], NOW + HOUR) == []
        verdicts = {one: await gate.ask(tx, replace(QUESTION, topic=one), NOW) for one in suppressions.TOPICS}
        other = await gate.ask(tx, replace(QUESTION, topic=topic, address="b@example.com"), NOW)
        assert await opt_outs.of(tx, key) == {topic: NOW}
        assert await opt_outs.rejoin(tx, key, suppressions.TOPICS) == [topic]
        again = await gate.ask(tx, replace(QUESTION, topic=topic), NOW)

    stopped = Verdict("skipped", f"unsubscribed from {topic}", cause="topic")
    assert verdicts == {one: stopped if one == topic else OPEN for one in suppressions.TOPICS}
    assert other == again == OPEN


async def test_what_the_account_makes_necessary_has_no_topic(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        await opt_outs.leave(tx, address_key(ADDRESS), suppressions.TOPICS, NOW)
        await suppressions.add(tx, ADDRESS, "unsubscribed", NOW)
        verdict = await gate.ask(tx, replace(QUESTION, message_class="transactional", topic="tips"), NOW)

    assert verdict == OPEN


async def test_consent_is_the_accounts_for_all_of_its_contacts(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", email=ADDRESS, consent=Consent(lifecycle=False)), NOW)
        contact = await gate.ask(tx, replace(QUESTION, address="admin@example.com"), NOW)
        await profiles.agree(tx, "c-1", Consent(), NOW)
        await suppressions.add(tx, ADDRESS, "unsubscribed", NOW)
        colleague_left = await gate.ask(tx, replace(QUESTION, address="admin@example.com"), NOW)

    assert contact == Verdict("skipped", "no consent to lifecycle messages", cause="no_consent")
    assert colleague_left == OPEN


async def test_the_first_that_applies_is_the_verdict(db: Database) -> None:
    """All at once; then one after the other is taken away, in the order that the module names them."""
    question = replace(QUESTION, topic="tips", not_after=NOW - HOUR)
    reasons = []
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", consent=Consent(lifecycle=False)), NOW)
        await holds.place(tx, "everything", None, reason="incident", actor="ann", now=NOW)
        await suppressions.add(tx, ADDRESS, "manual", NOW)
        await opt_outs.leave(tx, address_key(ADDRESS), ["tips"], NOW)

        async def ask(asked: Question) -> None:
            reasons.append((await gate.ask(tx, asked, NOW)).reason)

        await ask(question)
        await holds.release(tx, "everything", None, actor="ann", now=NOW)
        await ask(question)
        await ask(replace(question, not_after=None, address=None, valid=False))
        await ask(replace(question, not_after=None, valid=False))
        question = replace(question, not_after=None)
        await ask(question)
        await suppressions.lift(tx, ADDRESS, "manual")
        await ask(question)
        await opt_outs.rejoin(tx, address_key(ADDRESS), ["tips"])
        await ask(question)
        await profiles.agree(tx, "c-1", Consent(), NOW)
        await ask(question)

    assert reasons == [
        "on hold: incident",
        "its window has closed",
        "no address",
        "invalid address",
        "suppressed: manual",
        "unsubscribed from tips",
        "no consent to lifecycle messages",
        None,
    ]


async def test_the_gate_asks_the_store_once(db: Database) -> None:
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        connection = tx.connection.sync_connection
        event.listen(connection, "before_cursor_execute", count)
        await gate.ask(tx, replace(QUESTION, topic="tips"), NOW)
        event.remove(connection, "before_cursor_execute", count)

    assert asked == 1


async def test_what_was_chosen_about_an_address_is_kept_with_when_and_by_whom(db: Database) -> None:
    key = address_key(ADDRESS)
    left = Choice("leave offers", choices.PAGE, NOW, "c-1")
    lifted = Choice("lift bounced", "ann", NOW + HOUR, note="the mailbox was full")
    async with db.writing() as tx:
        assert await choices.last(tx, key) is None
        for choice in (left, lifted):
            await choices.record(tx, key, choice)
        assert await choices.of(tx, key) == [left, lifted]
        assert await choices.last(tx, key) == NOW + HOUR
        assert await choices.of(tx, address_key("b@example.com")) == []


async def test_after_its_window_it_is_put_off(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        late = await gate.ask(tx, replace(QUESTION, not_after=NOW - HOUR), NOW)
        in_time = await gate.ask(tx, replace(QUESTION, not_after=NOW), NOW)

    assert late == Verdict("deferred", "its window has closed")
    assert in_time == OPEN


@pytest.mark.parametrize(
    ("scope", "value", "holds_it"),
    [
        ("everything", None, True),
        ("segment", "team", True),
        ("segment", "other", False),
        ("template", "welcome", True),
        ("template", "team", False),
        ("customer", "c-1", True),
        ("customer", "c-2", False),
    ],
)
async def test_a_hold_puts_off_what_it_covers(
    db: Database, scope: Scope, value: str | None, holds_it: bool
) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        await suppressions.add(tx, ADDRESS, "manual", NOW)
        await suppressions.lift(tx, ADDRESS, "manual")
        await holds.place(tx, scope, value, reason="incident", actor="ann", now=NOW, until=NOW + HOUR)
        verdict = await gate.ask(tx, QUESTION, NOW)
        over = await gate.ask(tx, QUESTION, NOW + HOUR)
        await holds.place(tx, "everything", None, reason="freeze", actor="ann", now=NOW)
        open_ended = await gate.ask(tx, QUESTION, NOW)

    assert verdict == (Verdict("deferred", "on hold: incident", NOW + HOUR) if holds_it else OPEN)
    assert over == OPEN
    assert (open_ended.outcome, open_ended.until) == ("deferred", None)


async def test_a_hold_is_released(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        await holds.place(tx, "everything", None, reason="incident", actor="ann", now=NOW)
        await holds.place(tx, "segment", "other", reason="launch", actor="bob", now=NOW)
        assert await holds.counts(tx, NOW) == {"everything": 1, "segment": 1}
        assert await holds.release(tx, "everything", None, actor="bob", now=NOW) == 1
        assert await holds.release(tx, "everything", None, actor="bob", now=NOW) == 0
        assert [hold.value for hold in await holds.active(tx, NOW)] == ["other"]
        assert await gate.ask(tx, QUESTION, NOW) == OPEN


@pytest.mark.parametrize(("scope", "value"), [("everything", "x"), ("segment", None)])
async def test_a_hold_says_exactly_what_it_is_on(db: Database, scope: Scope, value: str | None) -> None:
    async with db.writing() as tx:
        with pytest.raises(ValueError, match="hold on everything"):
            await holds.place(tx, scope, value, reason="r", actor="a", now=NOW)


async def test_reasons_are_kept_and_lifted_one_by_one(db: Database) -> None:
    async with db.writing() as tx:
        assert await suppressions.add(tx, ADDRESS, "bounced", NOW, note="550 5.1.1")
        assert not await suppressions.add(tx, ADDRESS, "bounced", NOW + HOUR)
        assert await suppressions.add(tx, ADDRESS, "unsubscribed", NOW + HOUR)
        assert [(one.reason, one.since) for one in await suppressions.of(tx, ADDRESS)] == [
            ("bounced", NOW),
            ("unsubscribed", NOW + HOUR),
        ]
        assert [one.reason for one in await suppressions.latest(tx)] == ["unsubscribed", "bounced"]
        assert await suppressions.lift(tx, ADDRESS, "bounced")
        assert not await suppressions.lift(tx, ADDRESS, "bounced")
        assert [one.reason for one in await suppressions.of(tx, ADDRESS)] == ["unsubscribed"]


# ---- after a release -------------------------------------------------------------------------------------


async def test_after_a_release_messages_come_back_by_and_by(db: Database) -> None:
    ramp, keys = timedelta(minutes=30), [f"key {number}" for number in range(200)]
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", email=ADDRESS), NOW)
        await holds.place(tx, "segment", "team", reason="a flood", actor="ann", now=NOW)
        await holds.release(tx, "segment", "team", actor="ann", now=NOW, ramp=ramp)

    async def open_at(moment: datetime, **changes: Any) -> list[str]:
        async with db.reading() as tx:
            return [
                key
                for key in keys
                if (await gate.ask(tx, replace(QUESTION, key=key, **changes), moment)).outcome == "open"
            ]

    early, half, over = [await open_at(NOW + ramp * share) for share in (0.1, 0.5, 1)]
    assert 5 < len(early) < 40
    assert 70 < len(half) < 130
    assert set(early) < set(half)
    assert over == keys
    # What the account makes necessary, and what was never held, does not wait.
    assert await open_at(NOW, message_class="transactional") == keys
    assert await open_at(NOW, segment="other") == keys


async def test_a_message_that_comes_back_later_is_told_when(db: Database) -> None:
    async with db.writing() as tx:
        await holds.place(tx, "everything", None, reason="a flood", actor="ann", now=NOW)
        await holds.release(tx, "everything", None, actor="ann", now=NOW, ramp=timedelta(hours=1))

    async with db.reading() as tx:
        verdict = await gate.ask(tx, replace(QUESTION, key="some key"), NOW)
        assert verdict.until is not None
        assert (verdict.outcome, NOW < verdict.until < NOW + timedelta(hours=1)) == ("deferred", True)
        again = await gate.ask(tx, replace(QUESTION, key="some key"), verdict.until)
        assert again.outcome != "deferred"
