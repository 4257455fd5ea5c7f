"""Store and Temporal: each way in which they can come to disagree is made, found, repaired, and gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, PauseWorkflowExecutionRequest
from temporalio.client import Client

from firstmile.contracts import CommandRequest, Records, Start
from firstmile.errors import SignUpDiffers, TemporalAway
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import Entry
from firstmile.service import Reconciled, Service, reconciling, sightings
from firstmile.service.reconciling import Drift
from firstmile.starting import start_of
from firstmile.store import audit, journal, parked, published, records, tables, tasks, turns
from firstmile.store.parked import ParkedEvent
from firstmile.store.tasks import NewTask
from tests.doorway import SIGN_UP, Nowhere, database_of, development_server, opened, town, until, worker

LATER = timedelta(minutes=5)


class Ahead:
    """The time, or some while after it."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
async def service(tmp_path: Path, clock: Ahead) -> AsyncIterator[Service]:
    """Customers run, on a server that can list them."""
    async with town(tmp_path, server=development_server(), now=clock) as running:
        yield running


@pytest.fixture
async def idle(tmp_path: Path, clock: Ahead) -> AsyncIterator[Service]:
    """Customers wait: there is no worker."""
    async with town(tmp_path, works=False, server=development_server(), now=clock) as waiting:
        yield waiting


def client_of(service: Service) -> Client:
    return service._premises.client


def handle(service: Service, subject: str = "c-1") -> Any:
    return client_of(service).get_workflow_handle(f"onboarding/{subject}")


async def settled(service: Service, subject: str = "c-1") -> None:
    """Sign a customer up, and wait until the store knows where they stand."""
    await service.enrol(SIGN_UP | {"id": subject})
    for step, there in (("tips", "scheduled"), ("nps", "open"), ("check_in", "open")):
        await until(partial(phase, service, step, subject), partial(eq, there))
    sight = sightings.Sightings(service._premises)
    # Nothing is under way any more.
    await until(
        lambda: sight.told(subject), lambda told: told is not None and told.newest == told.acknowledged
    )


async def phase(service: Service, step: str, subject: str = "c-1") -> str | None:
    view = (await service.status(subject)).view
    return None if view is None else view.steps[step][0]


async def forget(service: Service, subject: str = "c-1") -> None:
    """Let Temporal lose a workflow altogether."""
    client = client_of(service)
    execution = WorkflowExecution(workflow_id=f"onboarding/{subject}")
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    )
    sight = sightings.Sightings(service._premises)
    await until(lambda: sight.look(subject), lambda seen: seen is None)
    await until(lambda: sight.running(b"", 10), lambda page: not page[0])


async def entries(service: Service, change: str, subject: str = "c-1") -> list[Entry]:
    async with database_of(service).reading() as db:
        return [entry for entry in await journal.read(db, subject, 1) if entry.change == change]


async def change_view(service: Service, **values: Any) -> None:
    """Write into the store what no workflow told it."""
    async with database_of(service).writing() as tx:
        await tx.execute(update(tables.views).where(tables.views.c.subject == "c-1").values(**values))


async def deeds(service: Service) -> list[tuple[str, str | None]]:
    async with database_of(service).reading() as db:
        page = await audit.read(db, action="reconcile")
    return [(deed.actor, deed.target) for _, deed in page.deeds]


def kinds(found: Reconciled) -> list[tuple[str, str | None, str]]:
    return [(one.kind, one.subject, one.outcome) for one in found.drifts]


async def repaired(service: Service, kind: str, subject: str = "c-1", **options: Any) -> Drift:
    """It is found and left alone, found and repaired, counted, and found no more."""
    assert kinds(await service.reconcile(**options)) == [(kind, subject, "found")]
    found = await service.reconcile(repair=True, **options)
    assert kinds(found) == [(kind, subject, "repaired")]
    assert kinds(await service.reconcile(repair=True, **options)) == []
    counted = (await service.metrics()).counters["reconciler_drift_total"]
    assert [(dict(one.labels), one.value) for one in counted] == [({"kind": kind, "outcome": "repaired"}, 1)]
    return found.drifts[0]


async def test_where_both_agree_nothing_is_found(service: Service) -> None:
    await settled(service)

    found = await service.reconcile(repair=True, thorough=True)

    assert (found.drifts, found.compared, found.seen, found.unanswered) == ([], 1, 1, 0)


# ---- the workflow is gone --------------------------------------------------------------------------------


async def test_a_workflow_that_was_terminated_stops_the_customer_once(service: Service) -> None:
    await settled(service)
    await handle(service).terminate()

    await repaired(service, "closed")

    view = (await service.status("c-1")).view
    assert view is not None
    assert (view.status, view.next) == ("stopped", None)
    (stopped,) = await entries(service, "stopped")
    assert stopped.reason == "the workflow was terminated in Temporal"
    assert (await service.people())[0].load == 0
    assert await deeds(service) == [("reconciler", "closed")]
    # They may be onboarded again: that is for an operator to decide.
    given = {"traits": {"plan": "pro"}}
    assert (await service.again("c-1", given, actor="ann")).outcome == "started"


async def test_an_effect_that_comes_back_after_the_end_takes_nothing_back(service: Service) -> None:
    await settled(service)
    known = await service.status("c-1")
    await handle(service).terminate()
    assert known.view is not None
    await service.reconcile(repair=True)
    late = Entry(max(one.number for one in known.journal) + 1, known.journey_now, "done", "tips", "email")
    view = replace(known.view, number=known.view.number + 2)

    async with database_of(service).writing() as tx:
        await records.write(tx, Records("c-1", 1, "small", 1, [late], view), datetime.now(UTC))

    assert (await service.status("c-1")).status == "stopped"
    assert len(await entries(service, "stopped")) == 1
    assert await entries(service, "done") != []


async def test_two_that_reconcile_at_once_stop_the_customer_once(service: Service) -> None:
    await settled(service)
    await handle(service).terminate()

    first, second = await asyncio.gather(service.reconcile(repair=True), service.reconcile(repair=True))

    assert sorted((first.busy, second.busy)) == [False, True]
    assert len(await entries(service, "stopped")) == 1


async def test_one_who_was_terminated_before_a_worker_looked_is_stopped_too(idle: Service) -> None:
    await idle.enrol(SIGN_UP)
    await handle(idle).terminate()

    await repaired(idle, "closed")

    assert (await idle.status("c-1")).status == "stopped"
    assert [one.change for one in (await idle.status("c-1")).journal] == ["enrolled", "stopped"]


async def test_an_end_that_the_store_forgot_is_what_the_workflow_returned(service: Service) -> None:
    await settled(service)
    known = (await service.status("c-1")).view
    await service.command("c-1", "cancel", CommandRequest("ann"))
    await handle(service).result()
    assert known is not None
    await change_view(service, status="active", number=known.number)
    async with database_of(service).writing() as tx:
        await tx.execute(delete(tables.journal).where(tables.journal.c.change == "stopped"))

    found = await repaired(service, "closed")

    assert found.detail == "the workflow had ended in Temporal"
    assert (await service.status("c-1")).status == "stopped"


async def test_what_was_lost_before_anything_was_done_is_started_again_as_it_was(
    idle: Service, clock: Ahead
) -> None:
    await idle.enrol(SIGN_UP | {"skip": ["tips"]})
    first = await start_given(idle)
    await forget(idle)
    assert kinds(await idle.reconcile(repair=True)) == []  # not before it is certain
    clock.by = LATER

    await repaired(idle, "unstarted")

    assert await start_given(idle) == first
    assert first.subject.skip == ["tips"]


async def start_given(service: Service) -> Start:
    """What Temporal has of how a workflow was started."""
    history = await handle(service).fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    (start,) = await client_of(service).data_converter.decode(payloads, [Start])
    assert isinstance(start, Start)
    return start


async def test_what_was_lost_with_something_done_is_left_for_a_person(service: Service, clock: Ahead) -> None:
    await settled(service)
    await forget(service)
    clock.by = LATER

    for _ in range(2):
        assert kinds(await service.reconcile(repair=True)) == [("lost", "c-1", "left")]
    assert (await service.status("c-1")).status == "active"

    found = await service.reconcile(repair=True, stop_lost=True)
    assert kinds(found) == [("lost", "c-1", "repaired")]
    assert (await service.status("c-1")).status == "stopped"
    assert kinds(await service.reconcile(repair=True)) == []


# ---- the workflow is there -------------------------------------------------------------------------------


async def test_a_workflow_that_nobody_signed_up_gets_its_enrolment(service: Service) -> None:
    client = client_of(service)
    async with database_of(service).reading() as db:
        current = await published.current(db, "small")
    assert current is not None
    start: Start = start_of(
        current.journey, Subject("c-1", traits={"plan": "pro"}), from_datetime(datetime.now(UTC)), 2.0
    )
    await client.start_workflow("small", start, id="onboarding/c-1", task_queue=service.settings.task_queue)
    await until(lambda: count_views(service), lambda number: number == 1)

    await repaired(service, "unregistered")

    standing = await service.status("c-1")
    assert (standing.status, standing.enrolment.speed, standing.profile) == ("active", 2.0, None)
    assert standing.enrolment.enrolled_at == start_moment(start)
    with pytest.raises(SignUpDiffers):
        await service.enrol(SIGN_UP)


async def count_views(service: Service) -> int:
    return sum(one.customers for one in await service.counts())


def start_moment(start: Start) -> datetime:
    return datetime.fromtimestamp(start.enrolled_at / 1_000_000, UTC)


async def test_a_customer_whose_workflow_runs_on_is_not_finished(service: Service, clock: Ahead) -> None:
    await settled(service)
    view = (await service.status("c-1")).view
    assert view is not None
    await service._reconciling._repairs.end(
        (await service.status("c-1")).enrolment, "stopped", "why", "closed"
    )
    async with database_of(service).writing() as tx:
        await tx.execute(delete(tables.tallies).where(tables.tallies.c.metric == "reconciler_drift_total"))
    assert (await service.people())[0].load == 0
    assert kinds(await service.reconcile(repair=True)) == []  # it might be ending just now
    clock.by = LATER

    await repaired(service, "runs_on")

    assert (await service.status("c-1")).status == "active"
    assert (await service.people())[0].load == 1


async def test_a_view_that_the_store_lost_is_told_again(service: Service, clock: Ahead) -> None:
    await settled(service)
    await change_view(service, number=1, stage="of old", next_at=from_datetime(clock()))
    clock.by = timedelta(minutes=11)  # what it shows as next is long over

    await repaired(service, "behind")

    view = (await service.status("c-1")).view
    assert view is not None
    assert view.stage == "sign-up"


async def test_a_customer_without_a_view_is_told_of_again(service: Service, clock: Ahead) -> None:
    await settled(service)
    async with database_of(service).writing() as tx:
        await tx.execute(delete(tables.views))
    clock.by = LATER

    await repaired(service, "behind")

    assert (await service.status("c-1")).status == "active"


async def test_a_view_of_later_than_the_workflow_has_come_is_written_over(service: Service) -> None:
    await settled(service)
    await change_view(service, number=1_000, stage="of the future")

    await repaired(service, "ahead", thorough=True)

    view = (await service.status("c-1")).view
    assert view is not None
    assert (view.stage, view.number) == ("sign-up", 1_001)


async def test_nobody_is_waited_for_twice_when_no_worker_answers(
    idle: Service, clock: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sightings, "_SOON", timedelta(milliseconds=300))
    for number in range(3):
        await idle.enrol(SIGN_UP | {"id": f"c-{number}"})

    found = await idle.reconcile(repair=True, thorough=True)

    assert (found.drifts, found.unanswered) == ([], 3)


async def test_one_whom_temporal_paused_is_no_difference(tmp_path: Path) -> None:
    """The SDK has no name for that status."""
    server = development_server("frontend.WorkflowPauseEnabled=true")
    async with town(tmp_path, server=server) as service:
        await settled(service)
        await client_of(service).workflow_service.pause_workflow_execution(
            PauseWorkflowExecutionRequest(namespace="default", workflow_id="onboarding/c-1", reason="why")
        )
        seen = await sightings.Sightings(service._premises).look("c-1")

        assert kinds(await service.reconcile(repair=True)) == []
    assert seen is not None
    assert (seen.status, seen.ended) == (8, None)


# ---- what the store has with itself ----------------------------------------------------------------------


async def test_sign_ups_stuck_and_events_parked_are_the_sweeps_and_found_all_the_same(
    service: Service, clock: Ahead
) -> None:
    await settled(service)
    now = clock()
    event = ParkedEvent("e-1", "c-1", "report.published", from_datetime(now), {}, now)
    async with database_of(service).writing() as tx:
        await parked.park(tx, event)
        await tx.execute(update(tables.enrolments).values(state="starting"))
    clock.by = LATER
    assert kinds(await service.reconcile()) == [("starting", "c-1", "found")]
    assert kinds(await service.reconcile(repair=True)) == [("starting", "c-1", "repaired")]
    async with database_of(service).writing() as tx:
        await parked.park(tx, event)

    assert kinds(await service.reconcile()) == [("parked", "c-1", "found")]
    assert kinds(await service.reconcile(repair=True)) == [("parked", "c-1", "repaired")]
    assert kinds(await service.reconcile(repair=True)) == []


async def test_open_tasks_and_owners_of_the_finished_are_let_go(service: Service) -> None:
    await settled(service)
    async with database_of(service).writing() as tx:
        for step in ("call", "call/help"):
            await tasks.open_task(tx, NewTask(step, "c-1", 1, step, "Call", "ann"), datetime.now(UTC))
    await service.command("c-1", "cancel", CommandRequest("ann"))
    await until(lambda: status_of(service), lambda status: status == "stopped")
    async with database_of(service).writing() as tx:
        await tasks.reopen(tx, "call")

    await repaired(service, "left_open")

    work = {task.step: task.state for task in (await service.status("c-1")).tasks}
    assert work == {"call": "closed", "call/help": "open"}  # what a customer asked help with stays


async def status_of(service: Service) -> str:
    return (await service.status("c-1")).status


async def test_a_load_that_drifted_is_counted_anew(service: Service) -> None:
    await settled(service)
    async with database_of(service).writing() as tx:
        tx.tallies.count("load", {"person": "ann"}, 5)
        tx.tallies.count("load", {"person": "bo"}, -2)

    found = await service.reconcile(repair=True)

    assert kinds(found) == [("load", "ann", "repaired"), ("load", "bo", "repaired")]
    assert {one.person.id: one.load for one in await service.people()} == {"ann": 1, "bo": 0}
    assert kinds(await service.reconcile(repair=True)) == []


# ---- rounds ----------------------------------------------------------------------------------------------


async def test_rounds_are_bounded_and_go_on_where_the_last_one_stopped(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    monkeypatch.setattr(reconciling, "PAGES", 1)
    for number in range(5):
        await settled(service, f"c-{number}")
    await handle(service, "c-4").terminate()

    rounds = [await service.reconcile_a_part() for _ in range(3)]

    assert [one.compared for one in rounds] == [2, 2, 1]
    assert [kinds(one) for one in rounds] == [[], [], [("closed", "c-4", "repaired")]]
    assert sum(one.seen for one in rounds) == 4
    assert (await service.reconcile_a_part()).compared == 2  # from the beginning again


async def test_one_process_at_a_time_and_one_that_died_is_not_waited_for_long(
    tmp_path: Path, clock: Ahead
) -> None:
    async with opened(tmp_path, Nowhere(), clock) as service:
        async with database_of(service).writing() as tx:
            await turns.take(tx, reconciling.TURN, "somebody else", clock(), reconciling.LEASE)

        assert (await service.reconcile_a_part()).busy
        assert (await service.reconcile()).busy
        clock.by = reconciling.LEASE
        async with database_of(service).writing() as tx:
            assert await turns.take(tx, reconciling.TURN, "me", clock(), reconciling.LEASE) == {}


async def test_while_temporal_is_away_nothing_is_decided(service: Service, clock: Ahead) -> None:
    await settled(service)
    await handle(service).terminate()
    clock.by = LATER
    away: Any = Nowhere()
    there, service._premises.client = service._premises.client, away

    with pytest.raises(TemporalAway):
        await service.reconcile(repair=True)

    service._premises.client = there
    assert kinds(await service.reconcile(repair=True)) == [("closed", "c-1", "repaired")]


# ---- a sign-up that Temporal never heard of --------------------------------------------------------------


async def test_no_profile_stays_longer_than_a_sweep_without_a_workflow(tmp_path: Path, clock: Ahead) -> None:
    async with town(tmp_path, works=False, server=development_server(), now=clock) as service:
        there, away = service._premises.client, Nowhere()
        service._premises.client = away  # type: ignore[assignment]  # a stand-in
        for subject in ("c-1", "c-2"):
            with pytest.raises(TemporalAway):
                await service.enrol(SIGN_UP | {"id": subject})
        assert await known(service) == {"c-1", "c-2"}
        service._premises.client = there

        assert (await service.enrol(SIGN_UP | {"id": "c-1"})).outcome == "same"
        clock.by = LATER
        await service.sweep()

        # Who came back is on the way; of who did not, nothing is left.
        assert await known(service) == {"c-1"}
        async with worker(service):
            await until(lambda: phase(service, "tips"), lambda found: found == "scheduled")
        assert (await service.enrol(SIGN_UP | {"id": "c-2"})).outcome == "started"


async def known(service: Service) -> set[str]:
    """Whom there is a profile of."""
    async with database_of(service).reading() as db:
        return {row.subject for row in await db.all(tables.profiles.select())}
