"""Journal, read model and numbers: written once or ten times, in any order, it comes to the same."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from firstmile.contracts import Records
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import Entry, Status, View
from firstmile.store import finding, journal, metrics, owners, records, tasks, views
from firstmile.store.database import Database
from firstmile.store.finding import Wanted
from firstmile.store.metrics import Sample, Snapshot
from firstmile.store.owners import Assignment, Person
from firstmile.store.views import Count

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
T = from_datetime(NOW)
SECOND = 1_000_000
HOUR = 3600 * SECOND

ENTRIES = [
    Entry(1, T, "enrolled"),
    Entry(2, T, "scheduled", step="hello", kind="email", due=T + HOUR),
    Entry(3, T + HOUR + 7 * SECOND, "running", step="hello", kind="email", due=T + HOUR),
    Entry(5, T + 2 * HOUR, "onboarded", seconds=7200.0),
    Entry(6, T + 2 * HOUR, "stage", stage="first use"),
    Entry(7, T + 3 * HOUR, "completed", reason="ended", actor="ann"),
]
SUCCESS = Entry(4, 0, "done", step="hello", kind="email", late=True, occurrence=2)


def view(number: int, status: Status = "active", stage: str | None = "sign-up") -> View:
    return View(
        number,
        status,
        stage,
        T + HOUR,
        T + 1,
        {"hello": ("scheduled", T + HOUR), "nps": ("waiting", None)},
        {"specialist": "ann"},
        paused_until=T + 2,
        ends=T + 3,
    )


def riding(
    entries: list[Entry],
    view: View | None = None,
    success: Entry | None = None,
    success_view: View | None = None,
) -> Records:
    return Records("c-1", 1, "team", 2, entries, view, success, success_view)


async def numbers(db: Database) -> Snapshot:
    async with db.reading() as reading:
        return await metrics.snapshot(reading, NOW)


async def test_the_journal_reads_in_the_order_of_what_happened(db: Database) -> None:
    async with db.writing() as tx:
        await records.write(tx, riding(ENTRIES, success=SUCCESS), NOW, succeeded=True, outcome_at=T + HOUR)
        assert await journal.read(tx, "c-1", 2) == []

    async with db.reading() as reading:
        assert await journal.read(reading, "c-1", 1) == [
            *ENTRIES[:2],
            replace(SUCCESS, at=T + HOUR),
            *ENTRIES[2:],
        ]


async def test_what_is_written_again_counts_once(db: Database) -> None:
    riders = riding(ENTRIES, view(3), success=SUCCESS, success_view=view(9, "completed", "first use"))

    async def write(number: int) -> None:
        async with db.writing() as tx:
            await records.write(tx, riders, NOW, succeeded=number % 2 == 0, outcome_at=T + HOUR)

    await asyncio.gather(*map(write, range(10)))

    found = await numbers(db)
    team = ("segment", "team")
    assert found.counters["onboardings_started_total"] == [Sample((team,), 1)]
    assert found.counters["onboardings_finished_total"] == [Sample((team, ("outcome", "completed")), 1)]
    assert found.counters["steps_total"] == [Sample((team, ("kind", "email"), ("outcome", "done")), 1)]
    first_value = found.histograms["time_to_first_value_seconds"][0]
    assert (first_value.labels, first_value.sum) == ((team,), 7200.0)
    assert [bound for bound, count in first_value.buckets if not count] == [3600.0]
    assert dict(first_value.buckets)[float("inf")] == 1
    lag = found.histograms["step_lag_seconds"][0]
    assert (lag.labels, lag.sum) == ((("kind", "email"),), 7.0)
    assert dict(lag.buckets)[5] == 0
    assert dict(lag.buckets)[15] == 1
    assert [sample for sample in found.gauges["customers"] if sample.value] == [
        Sample((team, ("status", "completed"), ("stage", "first use")), 1)
    ]


async def test_only_a_success_brings_its_entry_and_its_view(db: Database) -> None:
    riders = riding(ENTRIES[:2], view(3), success=SUCCESS, success_view=view(4, "stuck"))
    async with db.writing() as tx:
        await records.write(tx, riders, NOW)
        failed = await views.get(tx, "c-1")
        before = await journal.read(tx, "c-1", 1)
        await records.write(tx, riders, NOW, succeeded=True, outcome_at=T + 5)
        succeeded = await views.get(tx, "c-1")
        after = await journal.read(tx, "c-1", 1)
        with pytest.raises(ValueError, match="outcome_at"):
            await records.write(tx, riders, NOW, succeeded=True)

    assert failed is not None
    assert succeeded is not None
    assert failed.view == view(3)
    assert succeeded.view == view(4, "stuck")
    assert before == ENTRIES[:2]
    assert after == [*ENTRIES[:2], replace(SUCCESS, at=T + 5)]


async def test_a_view_is_never_written_over_a_higher_number(db: Database) -> None:
    async with db.writing() as tx:
        assert await views.write(tx, "c-1", 1, "team", 1, view(5, "paused"), NOW, T)
        assert not await views.write(tx, "c-1", 1, "team", 1, view(4), NOW, T)
        assert not await views.write(tx, "c-1", 1, "team", 1, view(5, "paused"), NOW, T)
        assert await views.write(tx, "c-1", 1, "team", 1, view(5), NOW, T)
        assert await views.write(tx, "c-1", 1, "team", 2, view(6, "stuck", None), NOW, T + 99)
        customer = await views.get(tx, "c-1", 1)

    assert customer == views.Customer("c-1", 1, "team", 2, T, view(6, "stuck", None), NOW)
    async with db.reading() as reading:
        assert await views.counts(reading) == [Count("team", "stuck", None, 1)]
        assert await views.get(reading, "c-1", 2) is None


async def test_a_view_without_its_first_entry_knows_when_it_began(db: Database) -> None:
    async with db.writing() as tx:
        await records.write(tx, riding(ENTRIES[:3]), NOW)
        await records.write(tx, riding([], view(2)), NOW)
        await views.write(tx, "c-2", 1, "team", 1, view(2), NOW)
        first, second = await views.get(tx, "c-1"), await views.get(tx, "c-2")

    assert first is not None
    assert second is not None
    assert first.enrolled_at == second.enrolled_at == T


async def test_customers_are_found_page_by_page_newest_first(db: Database) -> None:
    states: list[tuple[str, Status]] = [("team", "active"), ("solo", "stuck"), ("team", "stuck")]
    async with db.writing() as tx:
        for number in range(9):
            segment, status = states[number % 3]
            await views.write(tx, f"c.{number}", 1, segment, 1, view(1, status), NOW, T + number // 4)

    async with db.reading() as reading:
        pages = [await finding.find(reading, limit=4)]
        while pages[-1].cursor is not None:
            pages.append(await finding.find(reading, limit=4, cursor=pages[-1].cursor))
        assert [[customer.subject for customer in page.customers] for page in pages] == [
            ["c.8", "c.7", "c.6", "c.5"],
            ["c.4", "c.3", "c.2", "c.1"],
            ["c.0"],
        ]
        stuck = await finding.find(reading, Wanted(segment="team", status="stuck", stage="sign-up"))
        assert [customer.subject for customer in stuck.customers] == ["c.8", "c.5", "c.2"]
        assert (await finding.find(reading, Wanted(stage="other"))).customers == []
        assert await views.counts(reading) == [
            Count("solo", "stuck", "sign-up", 3),
            Count("team", "active", "sign-up", 3),
            Count("team", "stuck", "sign-up", 3),
        ]
        with pytest.raises(ValueError, match="no cursor"):
            await finding.find(reading, cursor="x")


async def test_a_finished_customer_is_nobodys_load(db: Database) -> None:
    async with db.writing() as tx:
        await owners.put(tx, Person("ann", "Ann", "onboarding"))
        assert isinstance(await owners.assign(tx, "onboarding", "c-1", 1, "specialist", NOW), Assignment)
        for _ in range(2):
            await records.write(tx, riding([ENTRIES[-1]]), NOW)
        assert [member.load for member in await owners.members(tx)] == [0]
        assert (await owners.of(tx, "c-1", 1))["specialist"].id == "ann"


async def test_records_cost_three_statements(db: Database) -> None:
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        executed.append(statement)

    async with db.writing() as tx:
        event.listen(tx.connection.sync_connection, "before_cursor_execute", note)
        await records.write(tx, riding(ENTRIES[:5], view(5)), NOW)

    assert len(executed) == 3, executed


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(
        st.tuples(st.sets(st.integers(1, 6)), st.integers(1, 9), st.booleans()), min_size=1, max_size=6
    )
)
async def test_in_whatever_parts_and_order_records_arrive(
    db: Database, writes: list[tuple[set[int], int, bool]]
) -> None:
    statuses: list[Status] = ["active", "paused", "stuck", "completed", "stopped"]
    async with db.writing() as tx:
        for table in ("journal", "views", "tallies"):
            await tx.execute(text(f"DELETE FROM {table}"))

    for chosen, number, succeeded in writes:
        entries = [entry for place, entry in enumerate(ENTRIES, 1) if place in chosen]
        riders = riding(entries, view(number, statuses[number % 5]), success=SUCCESS)
        async with db.writing() as tx:
            await records.write(tx, riders, NOW, succeeded=succeeded, outcome_at=T + HOUR)

    came = {place for chosen, _, _ in writes for place in chosen}
    expected = [entry for place, entry in enumerate(ENTRIES, 1) if place in came]
    if any(succeeded for _, _, succeeded in writes):
        expected.append(replace(SUCCESS, at=T + HOUR))
    async with db.reading() as reading:
        read = await journal.read(reading, "c-1", 1)
        customer = await views.get(reading, "c-1")
        counts = await views.counts(reading)
    assert read == sorted(expected, key=lambda entry: (entry.at, entry.number))
    assert customer is not None
    assert customer.view.number == max(number for _, number, _ in writes)
    assert counts == [Count("team", customer.view.status, "sign-up", 1)]
    steps = (await numbers(db)).counters["steps_total"]
    assert sum(sample.value for sample in steps) == sum(entry.change in journal.SETTLED for entry in expected)


async def test_numbers_have_every_label_and_nothing_else(db: Database) -> None:
    async with db.writing() as tx:
        tx.tallies.count("messages_total", {"outcome": "accepted", "class": "lifecycle", "other": "x"})
        with pytest.raises(KeyError):
            tx.tallies.count("messages_total", {"outcome": "accepted"})
        with pytest.raises(KeyError):
            tx.tallies.count("others_total", {})

    async with db.reading() as reading:
        rows = await reading.all(text("SELECT labels FROM tallies"))
    assert [json.loads(row.labels) for row in rows] == [{"class": "lifecycle", "outcome": "accepted"}]
    found = await numbers(db)
    assert found.counters["messages_total"] == [Sample((("class", "lifecycle"), ("outcome", "accepted")), 1)]
    assert found.counters["commands_total"] == []
    assert found.gauges["hold"] == []


async def test_numbers_of_many_transactions_at_once_add_up(db: Database) -> None:
    async def write(number: int) -> None:
        async with db.writing() as tx:
            for outcome in ("accepted", "dropped") if number % 2 else ("dropped", "accepted"):
                tx.tallies.count("events_total", {"outcome": outcome}, 2)
            tx.tallies.count("suppressed_total", {"reason": "manual"}, 1)
            tx.tallies.count("suppressed_total", {"reason": "manual"}, -1)

    await asyncio.gather(*map(write, range(30)))

    found = await numbers(db)
    assert [sample.value for sample in found.counters["events_total"]] == [60, 60]
    assert found.counters["suppressed_total"] == []


async def test_a_settled_step_and_the_end_of_the_journey_end_the_tasks(db: Database) -> None:
    def new(key: str, step: str) -> tasks.NewTask:
        return tasks.NewTask(key=key, subject="c-1", enrolment=1, step=step, title="Call")

    async with db.writing() as tx:
        for key in ("called", "skipped", "left", "asked/help"):
            await tasks.open_task(tx, new(key, key), NOW)
        await records.write(
            tx,
            riding(
                [
                    Entry(1, T, "done", step="called", kind="task", actor="ann"),
                    Entry(2, T, "skipped", step="skipped", kind="task", reason="first_value was reached"),
                ]
            ),
            NOW,
        )
        assert [task.key for task in await tasks.find(tx)] == ["asked/help", "left"]
        called, skipped = await tasks.get(tx, "called"), await tasks.get(tx, "skipped")
        assert called is not None
        assert skipped is not None
        assert (called.state, called.ended_by) == ("done", "ann")
        assert (skipped.state, skipped.reason) == ("closed", "first_value was reached")

        await records.write(tx, riding([Entry(3, T, "completed", reason="ended")]), NOW)
        assert [task.key for task in await tasks.find(tx)] == ["asked/help"]


async def test_what_was_done_again_counts_instead_of_what_was_written_before(db: Database) -> None:
    """A workflow task that wrote records may fail and be done again, with an event more."""
    first = [Entry(1, T, "enrolled"), Entry(2, T, "done", step="a", kind="email"), Entry(3, T, "paused")]
    again = [
        Entry(1, T, "enrolled"),
        Entry(2, T + SECOND, "skipped", step="a", kind="email", reason="b was reached"),
        Entry(3, T + SECOND, "completed", reason="all steps settled"),
    ]
    async with db.writing() as tx:
        await records.write(tx, riding(first, view(4, "paused")), NOW)
    async with db.writing() as tx:
        await records.write(tx, riding(again, view(4, "completed")), NOW)

    async with db.reading() as reading:
        assert await journal.read(reading, "c-1", 1) == again
        customer = await views.get(reading, "c-1")
        counted = (await metrics.snapshot(reading, NOW)).counters
    assert customer is not None
    assert customer.view.status == "completed"
    steps = {dict(sample.labels)["outcome"]: sample.value for sample in counted["steps_total"]}
    assert {name: value for name, value in steps.items() if value} == {"skipped": 1}
    assert [sample.value for sample in counted["onboardings_finished_total"]] == [1]
