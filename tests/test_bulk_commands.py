"""One command to many customers: everybody on the list once, nobody else, at a rate, whatever breaks.

Customers really run, on a time-skipping server (whose time goes on as ours while nobody waits for an end).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import workflows.bulk
import workflows.pace
from firstmile.contracts import BulkStart, CommandRequest
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    JobDiffers,
    PublishRefused,
    StoreAway,
    TemporalAway,
    UnknownJob,
)
from firstmile.publishing import check
from firstmile.service import Service, batches
from firstmile.service.bulk import QUIET, SAMPLE
from firstmile.service.orders import Order
from firstmile.service.searching import Asked
from firstmile.store import bulk, journal
from firstmile.store.bulk import Item, Job
from firstmile.store.tables import audit as deeds
from tests.doorway import (
    JOURNEY,
    SIGN_UP,
    Clock,
    Nowhere,
    database_of,
    development_server,
    folders,
    opened,
    town,
    until,
)

PAUSE = CommandRequest(actor="ann", reason="holidays")


async def sign_up(service: Service, *ids: str) -> None:
    slots = asyncio.Semaphore(8)

    async def one(id: str) -> None:
        async with slots:
            await service.enrol({**SIGN_UP, "id": id})

    await asyncio.gather(*(one(id) for id in ids))
    await until(service.counts, lambda counts: sum(one.customers for one in counts) >= len(ids), 60)


def names(number: int, first: int = 1) -> list[str]:
    return [f"c-{place:03}" for place in range(first, first + number)]


async def ended(service: Service, id: str, seconds: float = 60) -> Job:
    return await until(lambda: service.bulk.get(id), lambda job: job.ended_at is not None, seconds)


async def results(service: Service, id: str) -> dict[str, Item]:
    return {item.subject: item for item in (await service.bulk.results(id, limit=1_000)).items}


async def pauses(service: Service, id: str) -> list[tuple[str | None, str | None]]:
    """Who paused a customer, and why, as often as it was done."""
    async with database_of(service).reading() as db:
        entries = await journal.read(db, id, 1)
    return [(entry.actor, entry.reason) for entry in entries if entry.change == "paused"]


async def audited(service: Service, action: str) -> Counter[tuple[str | None, str]]:
    async with database_of(service).reading() as db:
        statement = select(deeds.c.subject, deeds.c.outcome).where(deeds.c.action == action)
        return Counter((row.subject, row.outcome) for row in await db.all(statement))


def order(ids: list[str] | None = None, **changes: Any) -> Order:
    given: dict[str, Any] = {"command": "pause", "request": PAUSE, "ids": ids, "rate": 50.0}
    return Order(**{**given, **({} if ids is not None else {"filters": Asked()}), **changes})


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with town(tmp_path) as found:
        yield found


# ---- everybody, once, at the rate ------------------------------------------------------------------------


@pytest.fixture
async def punctual(tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose server keeps the time of the clock: the other one's jumps while activities run."""
    async with town(tmp_path, server=development_server()) as found:
        yield found


async def test_two_hundred_customers_get_it_once_each_at_the_rate_and_nobody_who_came_later(
    punctual: Service,
) -> None:
    service = punctual
    await sign_up(service, *names(200))
    job, fresh = await service.bulk.start(order(rate=20.0))
    assert (fresh, job.customers) == (True, 200)
    await sign_up(service, *names(5, 501))

    job = await ended(service, job.id)

    assert (job.state, job.done, job.rejected, job.failed) == ("done", 200, 0, 0)
    found = await results(service, job.id)
    assert sorted(found) == names(200)
    times = sorted(item.at for item in found.values() if item.at is not None)
    # From when it was asked for: what begins late is caught up.
    rate = len(times) / (times[-1] - job.created_at).total_seconds()
    # How much slower a machine that is busy makes it is the benchmark's matter, and `test_pace`'s.
    assert rate <= 1.05 * 20
    for id in names(200):
        assert await pauses(service, id) == [("ann", "holidays")]
    assert not any([await pauses(service, id) for id in names(5, 501)])
    assert await audited(service, "pause") == Counter(
        {(id, outcome): 1 for id in names(200) for outcome in ("asked", "done")}
    )


async def test_who_rejects_it_is_recorded_with_the_reason_and_holds_nobody_up(service: Service) -> None:
    await sign_up(service, *names(6))
    await service.command("c-002", "pause", PAUSE)
    await service.command("c-004", "cancel", PAUSE)

    job, _ = await service.bulk.start(order(["c-001", "c-002", "nobody", "c-004", "c-005"]))
    job = await ended(service, job.id)

    assert (job.state, job.done, job.rejected) == ("done", 2, 3)
    found = await results(service, job.id)
    assert {id: item.state for id, item in found.items()} == {
        "c-001": "done", "c-002": "rejected", "nobody": "rejected", "c-004": "rejected", "c-005": "done"
    }  # fmt: skip
    assert found["c-002"].reason == "the journey is paused already"
    assert found["nobody"].reason == "nobody signed up as 'nobody'"
    assert "has ended" in str(found["c-004"].reason)
    assert await pauses(service, "c-006") == []


async def test_it_says_in_the_audit_who_asked_for_it_and_how_many_were_meant(service: Service) -> None:
    await sign_up(service, *names(2))
    job, _ = await service.bulk.start(order())
    await ended(service, job.id)

    (_, deed), *_ = (await service.auditing.read(action="bulk")).deeds

    assert (deed.actor, deed.reason, deed.target) == ("ann", "holidays", f"bulk {job.id}")
    assert deed.after == {"command": "pause", "customers": 2, "rate": 50.0}


async def test_a_customer_who_was_enrolled_again_meanwhile_is_left_alone(service: Service) -> None:
    await sign_up(service, "c-001")

    with pytest.raises(CommandRejected, match="enrolled again"):
        await service._commanding.command("c-001", "pause", PAUSE, enrolment=2)


async def test_a_long_list_goes_on_in_new_runs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows.bulk, "STRETCHES", 2)
    await sign_up(service, *names(9))
    monkeypatch.setattr(workflows.pace, "LARGEST", 3)
    job, _ = await service.bulk.start(order(rate=3.0))
    handle = service.bulk._workflow(job.id)
    first = (await handle.describe()).run_id

    job = await ended(service, job.id)

    assert (job.state, job.done) == ("done", 9)
    assert (await handle.describe()).run_id != first
    assert (await handle.query("progress"))["done"] == 9


async def test_whoever_a_search_finds_can_be_meant_and_its_words_are_not_kept(service: Service) -> None:
    await sign_up(service, *names(3))
    await service.enrol({**SIGN_UP, "id": "c-9", "name": "Mei Tanabe", "email": "mei@tanabe.example"})
    await until(service.counts, lambda counts: sum(one.customers for one in counts) == 4)

    job, _ = await service.bulk.start(order(filters=Asked(q="tanab", segment="small", version=1)))
    job = await ended(service, job.id)

    assert list(await results(service, job.id)) == ["c-9"]
    assert job.filter == {"q": "…", "segment": "small", "version": 1}


# ---- what is looked at beforehand ------------------------------------------------------------------------


async def test_a_dry_run_counts_says_what_would_change_for_the_first_and_changes_nothing(
    service: Service,
) -> None:
    await sign_up(service, *names(12))
    await service.command("c-012", "pause", PAUSE)

    found = await service.bulk.foresee(order(filters=Asked(segment="small")))

    assert (found.customers, len(found.sample)) == (12, SAMPLE)
    said = {one.subject: one for one in found.sample}
    assert all(one.changes or one.rejected for one in found.sample)
    assert said["c-012"].rejected == "the journey is paused already" if "c-012" in said else True
    assert (await service.bulk.jobs()).jobs == []
    assert await pauses(service, "c-001") == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"command": "paus"}, "command"),
        ({"command": "skip"}, "arguments.step"),
        ({"command": "assign", "request": CommandRequest(reason="r", step="s")}, "arguments.owner"),
        ({"request": CommandRequest(reason=" ")}, "reason"),
        ({"rate": 0.0}, "rate"),
        ({"rate": 50.1}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"filters": None}, "filter"),
        ({"ids": ["c-1"], "filters": Asked()}, "filter"),
        ({"filters": None, "ids": []}, "ids"),
        ({"filters": Asked(segment="nothing")}, "filter"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    async with opened(tmp_path, Nowhere(away=False)) as service:
        for ask in (service.bulk.foresee, service.bulk.start):
            with pytest.raises(CommandMalformed) as refused:
                await ask(order(**changes))
            assert [flaw.field for flaw in refused.value.flaws] == [field]
        assert (await service.bulk.jobs()).jobs == []
        assert (await service.auditing.read()).deeds == []


async def test_asking_twice_under_one_key_is_asking_once(tmp_path: Path) -> None:
    async with opened(tmp_path, Nowhere(away=False)) as service:
        first, fresh = await service.bulk.start(order(["a", "b"]), key="k")
        again, other = await service.bulk.start(order(["a", "b"]), key="k")
        with pytest.raises(JobDiffers):
            await service.bulk.start(order(["a"]), key="k")

        assert (fresh, other, again.id) == (True, False, first.id)
        assert len((await service.bulk.jobs()).jobs) == 1


async def test_no_journey_may_take_the_name_of_the_workflow(tmp_path: Path) -> None:
    chosen = folders(tmp_path, JOURNEY.replace("journey: small", "journey: bulk-command"))

    with pytest.raises(PublishRefused, match="a journey cannot be called 'bulk-command'"):
        check(chosen.journeys_folder(), chosen.templates_folder())


# ---- stopping --------------------------------------------------------------------------------------------


async def test_a_job_stops_within_a_stretch(service: Service) -> None:
    await sign_up(service, *names(30))
    job, _ = await service.bulk.start(order(rate=5.0))
    await until(lambda: service.bulk.get(job.id), lambda one: one.done >= 2)

    told = await service.bulk.stop(job.id, actor="bo", reason="enough")
    job = await ended(service, job.id)

    assert job.state == "stopped"
    assert told.done <= job.done <= told.done + 2 < 30
    assert job.waiting == 30 - job.done
    paused = [id for id in names(30) if await pauses(service, id)]
    assert len(paused) == job.done
    (_, deed), *_ = (await service.auditing.read(action="bulk-stop")).deeds
    assert (deed.actor, deed.reason) == ("bo", "enough")
    with pytest.raises(CommandRejected, match="stopped already"):
        await service.bulk.stop(job.id, actor="bo")


async def test_cancelling_its_workflow_in_temporal_stops_it(service: Service) -> None:
    await sign_up(service, *names(10))
    job, _ = await service.bulk.start(order(rate=2.0))
    await until(lambda: service.bulk.get(job.id), lambda one: one.done >= 1)

    await service.bulk._workflow(job.id).cancel()

    job = await ended(service, job.id)
    assert job.state == "stopped"
    assert 0 < job.done < 10


async def test_a_job_that_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    async with opened(tmp_path, Nowhere(away=False)) as service:
        for look in (service.bulk.get("x"), service.bulk.results("x"), service.bulk.stop("x", actor="a")):
            with pytest.raises(UnknownJob):
                await look


# ---- whatever breaks -------------------------------------------------------------------------------------


async def test_what_breaks_between_command_and_result_gives_nobody_the_command_twice(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up(service, *names(8))
    settle, broken = bulk.settle, list[int]()

    async def breaks(tx: Any, id: str, number: int, *rest: Any) -> bool:
        if number in (2, 5) and number not in broken:
            broken.append(number)
            raise RuntimeError("half-way")
        return await settle(tx, id, number, *rest)

    monkeypatch.setattr(bulk, "settle", breaks)
    job, _ = await service.bulk.start(order())
    job = await ended(service, job.id)

    assert sorted(broken) == [2, 5]
    assert (job.state, job.done) == ("done", 8)
    for id in names(8):
        assert await pauses(service, id) == [("ann", "holidays")]
    assert await audited(service, "pause") == Counter(
        {(id, outcome): 1 for id in names(8) for outcome in ("asked", "done")}
    )


@pytest.mark.parametrize("error", [StoreAway("away"), TemporalAway("away")])
async def test_while_something_is_away_the_list_waits_and_loses_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await sign_up(service, *names(4))
    command, tries = service._commanding.command, Counter[str]()

    async def away(subject: str, *given: Any, **more: Any) -> Any:
        tries[subject] += 1
        if tries[subject] <= 2:
            raise error
        return await command(subject, *given, **more)

    monkeypatch.setattr(service._commanding, "command", away)
    job, _ = await service.bulk.start(order())
    job = await ended(service, job.id)

    assert (job.state, job.done) == ("done", 4)
    for id in names(4):
        assert await pauses(service, id) == [("ann", "holidays")]


async def test_who_never_answers_fails_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TRIES", 2)
    await sign_up(service, *names(4))
    command = service._commanding.command

    async def deaf(subject: str, *given: Any, **more: Any) -> Any:
        if subject == "c-002":
            raise LookupError("with something personal")
        return await command(subject, *given, **more)

    monkeypatch.setattr(service._commanding, "command", deaf)
    job, _ = await service.bulk.start(order())
    job = await ended(service, job.id)

    assert (job.state, job.done, job.failed) == ("done", 3, 1)
    assert (await results(service, job.id))["c-002"].reason == "LookupError"


async def test_a_job_that_could_not_be_started_is_started_by_the_sweep(tmp_path: Path) -> None:
    temporal, clock = Nowhere(away=True), Clock()
    async with opened(tmp_path, temporal, clock) as service:
        job, _ = await service.bulk.start(order(["a", "b"]))
        assert job.state == "preparing"
        temporal.away = False
        await service.sweep()
        assert temporal.starts == [], "somebody may just be starting it"
        clock.forward(QUIET * 2)

        await service.sweep()

        (started,) = temporal.starts
        assert (started["workflow"], started["id"]) == ("bulk-command", f"bulk/{job.id}")
        assert started["start"] == BulkStart(job.id, 2, 50.0)


async def test_a_job_that_waits_for_temporal_can_be_stopped(tmp_path: Path) -> None:
    async with opened(tmp_path, Nowhere(away=True)) as service:
        job, _ = await service.bulk.start(order(["a", "b"]))

        assert (await service.bulk.stop(job.id, actor="ann")).state == "stopped"


async def test_a_job_whose_workflow_somebody_terminated_is_stopped(tmp_path: Path) -> None:
    clock = Clock()
    async with town(tmp_path, works=False) as there:
        service = Service(there._premises.client, database_of(there), there.settings, clock)
        job, _ = await service.bulk.start(order(["a", "b"]))
        await service.bulk._workflow(job.id).terminate()
        clock.forward(QUIET * 2)

        await service.bulk.sweep()

        assert (await service.bulk.get(job.id)).state == "stopped"


def worker(service: Service, place: Path, address: str) -> subprocess.Popen[bytes]:
    """`firstmile worker` as a process; messages are tried in vain."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TEMPORAL_ADDRESS": address,
        "FIRSTMILE_STATE_DIR": str(place),
        "FIRSTMILE_TEMPLATES": str(service.settings.templates_folder()),
        "FIRSTMILE_TASK_QUEUE": service.settings.task_queue,
        "FIRSTMILE_MAIL_TRANSPORT": "standin",
        "FIRSTMILE_SENDGRID_HOST": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-c", "from firstmile.cli import main; main()", "worker"]
    with (place / "worker.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=place)


async def test_a_killed_worker_costs_time_and_nothing_else(tmp_path: Path) -> None:
    async with town(tmp_path, works=False, server=development_server()) as service:
        address = service._premises.client.service_client.config.target_host
        working = worker(service, tmp_path, address)
        try:
            await sign_up(service, *names(40))
            job, _ = await service.bulk.start(order(rate=10.0))
            await until(lambda: service.bulk.get(job.id), lambda one: one.done >= 7)
            working.send_signal(signal.SIGKILL)
            working.wait(10)
            interrupted = await service.bulk.get(job.id)
            working = worker(service, tmp_path, address)

            job = await ended(service, job.id)
            stands = {(await service.live(id)).status for id in names(40)}
        finally:
            working.kill()
            working.wait(10)

        assert 7 <= interrupted.done < 40
        assert (job.state, job.done) == ("done", 40)
        # What was told twice would have been rejected: it is paused already.
        assert stands == {"paused"}
        done = await audited(service, "pause")
        assert {id: done[id, "done"] for id in names(40)} == dict.fromkeys(names(40), 1)
