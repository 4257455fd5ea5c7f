"""Conformance for journeys that nobody wrote: made up, with customers and scripts, and run through both shells.

Inputs come some seconds after the round instants at which things are due, since a signal cannot reach a
workflow at the very instant of a timer.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from firstmile import search_attributes
from firstmile.contracts import CommandRequest, EffectOutcome, EventSignal, Finished, Start
from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY, SECOND
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import Instant, format_instant, from_datetime, parse_instant
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine, simulate
from firstmile.journey.slices import cut
from tests.journey.generated import Case, seeded
from tests.workflows.conftest import World, worker
from tests.workflows.test_conformance import assert_same

HORIZON = 60 * DAY


def _moved(value: object, days: int) -> object:
    """A date trait some days later; anything else as it is."""
    if not isinstance(value, str) or not value[:1].isdigit():
        return value
    instant = parse_instant(value if "T" in value else f"{value}T00:00:00Z") + days * DAY
    return format_instant(instant) if "T" in value else format_instant(instant)[:10]


def _script(case: Case, enrolled: Instant, days: int) -> list[ScriptLine]:
    """The case's script from another enrolment; nothing stays pending, since activities come back."""
    found = []
    for number, line in enumerate(sorted(case.script, key=lambda line: line.at)):
        given, at = line.input, enrolled + (line.at - case.at) + (number + 1) * 17 * SECOND
        if isinstance(given, ScriptedOutcome):
            if given.outcome == "pending":
                continue
            until = None if given.until is None else given.until + days * DAY
            given = replace(given, until=until)
        elif isinstance(given, Event):
            given = replace(given, at=None if given.at is None else given.at + days * DAY)
        else:
            traits = {name: _moved(value, days) for name, value in (given.traits or {}).items()}
            until = None if given.until is None else given.until + days * DAY
            given = replace(given, traits=traits or None, until=until)
        found.append(ScriptLine(at, number, given))
    return found


async def _live(
    environment: WorkflowEnvironment, start: Start, script: list[ScriptLine], until: Instant
) -> World:
    world = World()
    async with worker(environment.client, world, "generated"):
        handle = await environment.client.start_workflow(
            start.segment,
            start,
            id="onboarding/c-1",
            task_queue="generated",
            result_type=Finished,
            search_attributes=search_attributes.at_start(start.segment, 1, None),
        )
        for line in script:
            await _sleep_until(environment, line.at)
            given = line.input
            with contextlib.suppress(WorkflowUpdateFailedError, RPCError):  # rejected, or over: as simulated
                if isinstance(given, ScriptedOutcome):
                    outcome = EffectOutcome(given.outcome, 0, given.reason, given.until, given.result)  # type: ignore[arg-type]  # generated from the names
                    world.script(given.step, outcome)
                elif isinstance(given, Event):
                    signal = EventSignal(given.event, given.id, given.at, given.properties)
                    await handle.signal("event", signal)
                else:
                    await handle.execute_update(given.command, _request(given))
        await _sleep_until(environment, until)
        with contextlib.suppress(RPCError):
            await handle.terminate()
    return world


def _request(given: Command) -> CommandRequest:
    return CommandRequest(
        given.actor,
        given.reason,
        given.step,
        given.until,
        given.overdue,
        given.undo,
        given.traits,
        given.owner,
        given.answer,
    )


async def _sleep_until(environment: WorkflowEnvironment, instant: Instant) -> None:
    now = from_datetime(await environment.get_current_time())
    await environment.sleep(timedelta(microseconds=max(0, instant - now)))


@pytest.mark.parametrize("seed", range(40))
async def test_a_made_up_journey_goes_the_same_way_in_both_shells(
    seed: int, skipping: WorkflowEnvironment
) -> None:
    case = seeded(seed)
    now = from_datetime(await skipping.get_current_time())
    # Whole days later than the case has it, so that its hours and its dates keep their meaning.
    days = (now - case.at) // DAY + 1
    enrolled = case.at + days * DAY
    await _sleep_until(skipping, enrolled)
    zone, country, _ = case.place
    subject = Subject("c-1", traits={name: _moved(value, days) for name, value in case.traits.items()})
    slice_ = cut(zone, enrolled, enrolled + 300 * DAY, country)
    route, script, until = case.route(), _script(case, enrolled, days), enrolled + HORIZON
    simulated = simulate(route, Calendar(slice_), subject, enrolled, script, until)
    start = Start(subject, route.journey.journey, route.journey.canonical_json(), slice_, enrolled)

    world = await _live(skipping, start, script, until)

    assert world.collisions == []
    assert_same(world.journal(), simulated.entries)
