"""Delivery events: each once, of whatever message; fates of many messages in one statement."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from firstmile.store import delivery_events, ledger, parked, suppressions, tasks
from firstmile.store.database import AT_ONCE, Database
from firstmile.store.delivery_events import DeliveryEvent, Engagement
from firstmile.store.ledger import NewFate, NewMessage
from firstmile.store.parked import ParkedEvent
from firstmile.store.tasks import NewTask

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)


def told(id: str, event: str = "delivered", message: str | None = "k", after: int = 0) -> DeliveryEvent:
    return DeliveryEvent(id, message, event, NOW + timedelta(seconds=after), NOW, {"status": "2.0.0"})


async def prepared(db: Database, *keys: str) -> None:
    async with db.writing() as tx:
        for key in keys:
            new = NewMessage(key, "c-1", 1, "team", "hello", "run", "welcome", "lifecycle", "a@b.example")
            await ledger.prepare(tx, new, NOW)


async def test_an_event_is_kept_once(db: Database) -> None:
    async with db.writing() as tx:
        assert await delivery_events.keep(tx, [told("b", after=1), told("a"), told("a")]) == [
            told("a"),
            told("b", after=1),
        ]
    async with db.writing() as tx:
        assert await delivery_events.keep(tx, [told("c", message=None), told("a")]) == [
            told("c", message=None)
        ]
    async with db.reading() as reading:
        assert await delivery_events.of(reading, "k") == [told("a"), told("b", after=1)]
        assert await delivery_events.last_received(reading) == NOW


async def test_there_may_be_more_events_than_a_statement_takes(db: Database) -> None:
    many = [told(f"e-{number}", message=f"k-{number}") for number in range(2 * AT_ONCE + 1)]
    await prepared(db, "k-7", f"k-{2 * AT_ONCE}")

    async with db.writing() as tx:
        fresh = await delivery_events.keep(tx, many)
        known = await ledger.locked(tx, [one.message for one in fresh if one.message])

    assert len(fresh) == len(many)
    assert set(known) == {"k-7", f"k-{2 * AT_ONCE}"}


async def test_batches_with_the_same_events_and_messages_do_not_wait_in_a_circle(db: Database) -> None:
    keys = [f"k-{number}" for number in range(30)]
    await prepared(db, *keys)

    async def take(numbers: list[int]) -> int:
        async with db.writing() as tx:
            events = [told(f"e-{number}", message=f"k-{number}") for number in numbers]
            fresh = await delivery_events.keep(tx, events)
            known = await ledger.locked(tx, [f"k-{number}" for number in numbers])
            await ledger.record_fates(tx, known, [NewFate(key, "delivered", NOW) for key in known], NOW)
            return len(fresh)

    forth = list(range(30))
    taken = await asyncio.gather(*(take(forth if turn % 2 else forth[::-1]) for turn in range(8)))

    assert sum(taken) == 30
    async with db.reading() as reading:
        assert {one.fate for one in await ledger.of(reading, "c-1", 1)} == {"delivered"}


async def test_of_one_rank_the_later_fate_stands_in_whatever_order(db: Database) -> None:
    await prepared(db, "a", "b")
    early = NewFate("", "deferred", NOW, "450 busy")
    late = NewFate("", "deferred", NOW + timedelta(seconds=9), "451 full")
    for key, order in (("a", (early, late)), ("b", (late, early))):
        for fate in order:
            async with db.writing() as tx:
                await ledger.record_fate(tx, key, fate.fate, at=fate.at, now=NOW, reason=fate.reason)

    async with db.reading() as reading:
        found = await ledger.of(reading, "c-1", 1)
    assert {(one.fate_at, one.reason) for one in found} == {(late.at, late.reason)}


async def test_the_reason_of_an_earlier_fate_does_not_outlive_it(db: Database) -> None:
    await prepared(db, "a")
    async with db.writing() as tx:
        await ledger.record_fate(tx, "a", "deferred", at=NOW, now=NOW, reason="450 busy")
        found = await ledger.record_fate(tx, "a", "delivered", at=NOW, now=NOW, provider_id="p")

    assert found is not None
    assert (found.fate, found.reason, found.provider_id, found.accepted_at) == ("delivered", None, "p", NOW)


async def test_what_a_recipient_did_is_told_by_message(db: Database) -> None:
    await prepared(db, "a", "b")
    async with db.writing() as tx:
        await delivery_events.keep(
            tx,
            [
                told("1", "opened", "a", after=9),
                told("2", "opened", "a", after=5),
                told("3", "clicked", "a", after=7),
                told("4", "opened", "stranger"),
                told("5", "delivered", "b"),
            ],
        )
    async with db.reading() as reading:
        found = await delivery_events.engagement(reading, "c-1", 1)

    assert found == {"a": Engagement(NOW + timedelta(seconds=5), 2, NOW + timedelta(seconds=7), 1)}


async def test_old_events_are_dropped_and_what_they_did_stays(db: Database) -> None:
    await prepared(db, "a")
    async with db.writing() as tx:
        await delivery_events.keep(tx, [told("1", message="a")])
        await ledger.record_fate(tx, "a", "delivered", at=NOW, now=NOW)
    async with db.writing() as tx:
        assert await delivery_events.drop_before(tx, NOW) == 0
        assert await delivery_events.drop_before(tx, NOW + timedelta(seconds=1)) == 1
    async with db.reading() as reading:
        assert await delivery_events.last_received(reading) is None
        assert [one.fate for one in await ledger.of(reading, "c-1", 1)] == ["delivered"]


async def test_many_at_once_are_as_one_by_one(db: Database) -> None:
    task = NewTask("t", "c-1", 1, f"hello{tasks.UNDELIVERED}", "Look", owner="ann")
    event = ParkedEvent("e", "c-1", "message.opened", None, {}, NOW)
    for _ in range(2):
        async with db.writing() as tx:
            await suppressions.add_all(
                tx, [("A@b.example", "bounced"), ("a@b.example", "bounced"), ("c@d.example", "invalid")], NOW
            )
            await tasks.open_all(tx, [task], NOW)
            await parked.park_all(tx, [event])

    async with db.reading() as reading:
        assert [one.reason for one in await suppressions.of(reading, "a@b.example")] == ["bounced"]
        assert [one.reason for one in await suppressions.of(reading, "c@d.example")] == ["invalid"]
        assert [one.key for one in await tasks.of(reading, "c-1", 1)] == ["t"]
        assert await parked.of(reading, "c-1") == [event]
