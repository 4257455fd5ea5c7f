"""The gate at the moment of sending, and what it reads: suppressions, holds, consent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from firstmile.store import gate, holds, profiles, suppressions
from firstmile.store.database import Database
from firstmile.store.gate import OPEN, Question, Verdict
from firstmile.store.holds import Scope
from firstmile.store.profiles import Consent, Profile
from firstmile.store.suppressions import MessageClass, Reason

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

    assert verdict == (OPEN if opens else Verdict("skipped", f"no consent to {message_class} messages"))


@pytest.mark.parametrize("message_class", ["transactional", "lifecycle", "marketing"])
@pytest.mark.parametrize("reason", ["bounced", "invalid", "complained", "unsubscribed", "manual"])
async def test_suppression_by_reason(db: Database, message_class: MessageClass, reason: Reason) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", consent=Consent(marketing=True)), NOW)
        await suppressions.add(tx, " Ann@EXAMPLE.com", reason, NOW)
        verdict = await gate.ask(tx, replace(QUESTION, message_class=message_class), NOW)
        stopped = await suppressions.stopped(tx, [ADDRESS, "b@example.com"], message_class)

    opens = message_class == "transactional" and reason not in ("bounced", "invalid")
    assert verdict == (OPEN if opens else Verdict("skipped", f"suppressed: {reason}"))
    assert stopped == ({} if opens else {ADDRESS: reason})


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(QUESTION, address=None), "no address"),
        (replace(QUESTION, valid=False), "invalid address"),
    ],
)
async def test_without_a_usable_address_it_is_skipped(db: Database, question: Question, reason: str) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        assert await gate.ask(tx, question, NOW) == Verdict("skipped", reason)


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
        assert await suppressions.lift(tx, ADDRESS, "bounced")
        assert not await suppressions.lift(tx, ADDRESS, "bounced")
        assert [one.reason for one in await suppressions.of(tx, ADDRESS)] == ["unsubscribed"]
