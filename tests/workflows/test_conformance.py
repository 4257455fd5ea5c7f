"""The simulator and the durable workflow are two shells of one engine: they must write the same journal.

The same journey, customer and script go through both; the workflow runs at speed 1 on a time-skipping server,
with real signals and updates, and effects that answer with `at` = their start. Inputs reach the workflow some
milliseconds after their instant, so instants are compared to the second's neighbourhood; everything else is
compared exactly, entry by entry.
"""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import SECOND
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.simulator import ScriptLine, simulate
from tests.workflows.cases import CASES, Case, live, route_for, start_of

_NEAR = 10 * SECOND


def _comparable(entries: list[Entry]) -> list[list[tuple[Any, ...]]]:
    """The journal of each step, and that of the journey: what happens at one instant has no order beyond."""
    lanes: dict[str, list[tuple[Any, ...]]] = {}
    for entry in entries:
        said = (entry.change, entry.reason, entry.stage, entry.late, entry.occurrence, entry.actor)
        lanes.setdefault(entry.step or "", []).append((entry.step, *said))
    return [lanes[step] for step in sorted(lanes)]


def _instants(entries: list[Entry]) -> list[tuple[str, int, Instant | None]]:
    lanes = sorted(entries, key=lambda entry: (entry.step or "", entry.number))
    return [(entry.step or "", entry.at, entry.due) for entry in lanes]


@pytest.mark.parametrize("name", CASES)
async def test_the_workflow_writes_the_journal_of_the_simulator(
    name: str, skipping: WorkflowEnvironment
) -> None:
    await _conforms(CASES[name], skipping)


@pytest.mark.parametrize("name", ["team, paused and resumed", "enterprise, everything in order"])
async def test_replaying_at_every_task_comes_to_the_same(name: str, skipping: WorkflowEnvironment) -> None:
    await _conforms(CASES[name], skipping, max_cached_workflows=0)


async def _conforms(case: Case, skipping: WorkflowEnvironment, **options: Any) -> None:
    start = await start_of(case, skipping)
    assert start.calendar is not None

    lived = await live(skipping, case, start, **options)

    enrolled = start.enrolled_at
    lines = [ScriptLine(enrolled + offset, n, given) for n, (offset, given) in enumerate(case.inputs)]
    lines += [ScriptLine(enrolled, 0, outcome) for outcome in case.outcomes]
    route, calendar = route_for(case.segment), Calendar(start.calendar)
    simulated = simulate(route, calendar, start.subject, enrolled, lines)
    world = lived.world
    assert simulated.rejected == []
    assert lived.finished.outcome == simulated.engine.state.life
    assert world.collisions == []
    assert_same(world.journal(), simulated.entries)
    assert world.view is not None
    assert {step: phase for step, (phase, _) in world.view.steps.items()} == {
        step: phase for step, (phase, _) in simulated.engine.view().steps.items()
    }


def assert_same(live: list[Entry], simulated: list[Entry]) -> None:
    """Two journals say the same; their instants may differ by the moment that a signal is under way."""
    assert _comparable(live) == _comparable(simulated)
    for (step, live_at, live_due), (_, at, due) in zip(_instants(live), _instants(simulated), strict=True):
        assert abs(live_at - at) < _NEAR, step
        assert (live_due is None) == (due is None), step
        assert live_due is None or due is None or abs(live_due - due) < _NEAR, step
