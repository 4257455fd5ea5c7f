"""Bulk jobs in the store: a list that is frozen, results that are written once and counted with their rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from firstmile.journey.instants import from_datetime
from firstmile.store import bulk
from firstmile.store.bulk import Chosen, Item, Job, NewJob
from firstmile.store.database import Database
from firstmile.store.finding import Wanted
from firstmile.store.tables import enrolments, views

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
NEW = NewJob("job-1", "pause", {"until": 7}, {"segment": "team"}, "ann", None, "holidays", "hash", 10.0)


async def customers(
    db: Database, rows: Sequence[tuple[str, int, str, str]], stage: str | None = None
) -> None:
    """Customers by subject, enrolment, segment and status; each enrolled a second after the one before."""
    common = {"version": 1, "updated_at": NOW}
    enrolled = [
        {
            **common, "subject": subject, "number": number, "segment": segment, "state": "started",
            "request_hash": "", "response": {}, "speed": 1.0, "created_at": NOW, "tried_at": NOW,
            "enrolled_at": NOW + timedelta(seconds=place),
        }
        for place, (subject, number, segment, _) in enumerate(rows)
    ]  # fmt: skip
    shown = [
        {
            **common, "subject": subject, "enrolment": number, "number": 1, "segment": segment,
            "status": status, "stage": stage, "steps": {}, "owners": {},
            "enrolled_at": from_datetime(NOW + timedelta(seconds=place)),
        }
        for place, (subject, number, segment, status) in enumerate(rows)
    ]  # fmt: skip
    for one in enrolled:
        one.pop("updated_at")
    async with db.writing() as tx:
        await tx.execute(insert(enrolments), enrolled)
        await tx.execute(insert(views), shown)


async def listed(db: Database, whom: Wanted | list[Chosen]) -> list[Item]:
    async with db.writing() as tx:
        job = await bulk.create(tx, NEW, whom, NOW)
        assert job is not None
        assert await bulk.create(tx, NEW, whom, NOW) is None, "the same id twice"
    async with db.reading() as tx:
        found = await bulk.items(tx, job.id, limit=1_000)
    assert job.customers == len(found.items)
    assert [item.number for item in found.items] == list(range(1, job.customers + 1))
    return found.items


async def job(db: Database) -> Job:
    async with db.reading() as tx:
        found = await bulk.get(tx, NEW.id)
    assert found is not None
    return found


async def test_a_list_is_of_those_whom_the_filters_mean_the_newest_first(db: Database) -> None:
    await customers(db, [("a", 1, "team", "active"), ("b", 1, "self", "active"), ("c", 1, "team", "stuck")])

    assert [item.subject for item in await listed(db, Wanted(segment="team"))] == ["c", "a"]
    assert (await job(db)).state == "preparing"


async def test_those_whose_journey_is_over_are_meant_only_if_it_is_said(db: Database) -> None:
    await customers(db, [("a", 1, "team", "active"), ("b", 1, "team", "completed")])

    async with db.reading() as tx:
        assert await bulk.count(tx, Wanted()) == 1
        assert await bulk.count(tx, Wanted(status="completed")) == 1
        assert [one.subject for one in await bulk.sample(tx, Wanted(), 10)] == ["a"]


async def test_a_customer_who_was_enrolled_again_is_meant_once_and_as_they_are_now(db: Database) -> None:
    await customers(db, [("a", 1, "team", "completed"), ("a", 2, "team", "active")])

    async with db.reading() as tx:
        assert await bulk.count(tx, Wanted(status="completed")) == 0
    assert await listed(db, Wanted()) == [Item(1, "a", 2, "waiting")]


async def test_a_given_list_keeps_its_order_and_names_everybody_once(db: Database) -> None:
    await customers(db, [("a", 1, "team", "active"), ("b", 1, "team", "active")])
    async with db.reading() as tx:
        chosen = await bulk.chosen(tx, ["b", "nobody", "a", "b"])

    assert [(one.subject, one.enrolment) for one in await listed(db, chosen)] == [
        ("b", 1), ("nobody", None), ("a", 1)
    ]  # fmt: skip


async def test_a_result_is_written_once_and_counted_once(db: Database) -> None:
    await listed(db, [Chosen("a", 1), Chosen("b", 1), Chosen("c", 1)])
    async with db.writing() as tx:
        assert await bulk.settle(tx, NEW.id, 1, "rejected", "it is paused already", NOW)
        assert not await bulk.settle(tx, NEW.id, 1, "done", None, NOW)
        assert await bulk.settle(tx, NEW.id, 2, "done", None, NOW)

    found = await job(db)
    assert (found.done, found.rejected, found.failed, found.waiting) == (1, 1, 0, 1)
    async with db.reading() as tx:
        page = await bulk.items(tx, NEW.id, state="rejected")
        assert [(item.subject, item.reason) for item in page.items] == [("a", "it is paused already")]
        assert [item.number for item in await bulk.waiting(tx, NEW.id, 0, 50)] == [3]
        assert await bulk.worked_through(tx, NEW.id) == 2


async def test_a_job_ends_when_nobody_waits_and_not_before(db: Database) -> None:
    await listed(db, [Chosen("a", 1)])
    async with db.writing() as tx:
        begun = await bulk.begin(tx, NEW.id, NOW)
        assert begun is not None
        assert begun.state == "running"
        assert await bulk.end(tx, NEW.id, NOW) == "running"
        await bulk.settle(tx, NEW.id, 1, "done", None, NOW)
        assert await bulk.end(tx, NEW.id, NOW) == "done"
        assert not await bulk.stop(tx, NEW.id, NOW)
        assert await bulk.worked_through(tx, NEW.id) == 1


async def test_a_job_that_has_not_begun_is_stopped_at_once_and_never_begins(db: Database) -> None:
    await listed(db, [Chosen("a", 1)])
    async with db.writing() as tx:
        assert await bulk.stop(tx, NEW.id, NOW)
        found = await bulk.begin(tx, NEW.id, NOW)

    assert found is not None
    assert found.state == "stopped"


async def test_a_job_that_runs_stops_when_its_workflow_says_so(db: Database) -> None:
    await listed(db, [Chosen("a", 1)])
    async with db.writing() as tx:
        await bulk.begin(tx, NEW.id, NOW)
        assert await bulk.stop(tx, NEW.id, NOW)
        assert await bulk.state(tx, NEW.id) == "stopping"
        assert await bulk.end(tx, NEW.id, NOW) == "stopped"


async def test_pages_of_jobs_and_of_customers_miss_nothing_and_show_nothing_twice(db: Database) -> None:
    async with db.writing() as tx:
        for number in range(5):
            fields = {name: getattr(NEW, name) for name in NewJob.__slots__}
            await bulk.create(tx, NewJob(**{**fields, "id": f"j{number}"}), [Chosen("a", 1)] * 5, NOW)
    seen: list[str] = []
    numbers: list[int] = []
    async with db.reading() as tx:
        page = await bulk.jobs(tx, limit=2)
        seen += [one.id for one in page.jobs]
        while page.cursor is not None:
            page = await bulk.jobs(tx, cursor=page.cursor, limit=2)
            seen += [one.id for one in page.jobs]
        items = await bulk.items(tx, "j1", limit=2)
        numbers += [one.number for one in items.items]
        while items.cursor is not None:
            items = await bulk.items(tx, "j1", cursor=items.cursor, limit=2)
            numbers += [one.number for one in items.items]

    assert seen == ["j4", "j3", "j2", "j1", "j0"]
    assert numbers == [1, 2, 3, 4, 5]


async def test_many_customers_are_listed_in_seconds(db: Database) -> None:
    for start in range(0, 20_000, 5_000):
        rows = [(f"c-{number}", 1, "team", "active") for number in range(start, start + 5_000)]
        await customers(db, rows)
    begun = time.perf_counter()

    async with db.writing() as tx:
        found = await bulk.create(tx, NEW, Wanted(segment="team"), NOW)

    assert found is not None
    assert found.customers == 20_000
    assert time.perf_counter() - begun < 5
