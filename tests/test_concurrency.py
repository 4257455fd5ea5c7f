"""Many at once: one customer, one truth. On a real store and a real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from firstmile.contracts import CommandRequest
from firstmile.errors import CommandRejected
from firstmile.service import Service
from firstmile.service.events import ProductEvent
from firstmile.store import tables
from tests.doorway import SIGN_UP, database_of, development_server, town, until


async def test_the_same_sign_up_fifty_times_at_once_starts_one(tmp_path: Path) -> None:
    async with town(tmp_path, works=False, server=development_server()) as service:
        enrolled = await asyncio.gather(*(service.enrol(SIGN_UP) for _ in range(50)))

        assert Counter(one.outcome for one in enrolled) == {"started": 1, "same": 49}
        assert len({str(one.response) for one in enrolled}) == 1
        runs = [one async for one in service._premises.client.list_workflows("WorkflowType = 'small'")]
        assert [one.id for one in runs] == ["onboarding/c-1"]
        async with database_of(service).reading() as db:
            rows = await db.all(tables.enrolments.select())
        assert [(row.number, row.state) for row in rows] == [(1, "started")]


async def test_fifty_different_sign_ups_of_one_id_start_one_and_refuse_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path, works=False, server=development_server()) as service:
        bodies = [SIGN_UP | {"name": f"Jonas {number}"} for number in range(50)]
        found = await asyncio.gather(*(service.enrol(body) for body in bodies), return_exceptions=True)

    assert Counter(type(one).__name__ for one in found) == {"Enrolled": 1, "SignUpDiffers": 49}


GIVEN = ["pause", "resume", "skip", "pause", "resume"] * 4


async def test_twenty_commands_at_once_are_carried_out_one_after_another_and_answered_truthfully(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, server=development_server()) as service:
        await service.enrol(SIGN_UP)
        await until(lambda: phase(service, "tips"), lambda found: found == "scheduled")
        commands = [
            (name, CommandRequest("ann", f"{name} {number}", "tips" if name == "skip" else None))
            for number, name in enumerate(GIVEN)
        ]

        answers = await asyncio.gather(
            *(service.command("c-1", name, given) for name, given in commands), return_exceptions=True
        )

        done = {
            given.reason
            for (_, given), answer in zip(commands, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
        rejected = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(answer, CommandRejected) for answer in rejected), rejected
        standing = await until(lambda: service.status("c-1"), lambda one: written(one.journal) >= len(done))
    entries = [entry for entry in standing.journal if entry.reason and entry.reason.split()[0] in GIVEN]
    # Whoever was told that it was done finds it in the journal, and nobody else does.
    assert {entry.reason for entry in entries} == done
    assert len(entries) == len(done)
    # One after another: between two pauses somebody resumed, and the step was skipped once.
    changes = [entry.change for entry in sorted(entries, key=lambda entry: entry.number)]
    assert changes.count("skipped") == 1
    turns = [change for change in changes if change != "skipped"]
    assert turns == (["paused", "resumed"] * len(turns))[: len(turns)]
    assert standing.status == ("paused" if turns[-1] == "paused" else "active")


async def phase(service: Service, step: str) -> str | None:
    view = (await service.status("c-1")).view
    return None if view is None else view.steps[step][0]


def written(journal: Any) -> int:
    return sum(1 for entry in journal if entry.reason and entry.reason.split()[0] in GIVEN)


async def test_an_event_storm_neither_loses_the_milestone_nor_blocks_continuing_as_new(
    tmp_path: Path,
) -> None:
    """1,000 events through the service for one customer, whose workflow is to continue as new all the time."""
    server = development_server("limit.historyCount.suggestContinueAsNew=200")
    async with town(tmp_path, server=server) as service:
        await service.enrol(SIGN_UP)
        await until(lambda: phase(service, "tips"), lambda found: found == "scheduled")
        handle = service._premises.workflow("c-1")
        first = (await handle.describe()).run_id
        slots = asyncio.Semaphore(50)
        # The milestone wants two; the other 998 are answers that change nothing, and the journey listens to.
        events = [storm(number) for number in range(998)]
        events.insert(333, ProductEvent("c-1", "report.published", "r-1"))
        events.insert(666, ProductEvent("c-1", "report.published", "r-2"))

        async def send(event: ProductEvent) -> str:
            async with slots:
                return await service.event(event)

        outcomes = await asyncio.gather(*(send(event) for event in events))

        assert set(outcomes) == {"accepted"}
        standing = await until(
            lambda: service.status("c-1"),
            lambda one: one.view is not None and one.view.onboarded_at is not None,
        )
        done = await service.command("c-1", "pause", CommandRequest("ann", "after the storm"))
        assert done.result is not None
        assert done.result.view.status == "paused"
        assert (await handle.describe()).run_id != first
    reached = [entry for entry in standing.journal if entry.change == "onboarded"]
    assert len(reached) == 1


def storm(number: int) -> ProductEvent:
    return ProductEvent("c-1", "checkin.answered", f"n-{number}", None, {"step": "nobody", "answer": "good"})
