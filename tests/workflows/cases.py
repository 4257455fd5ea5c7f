"""Customers with what happens to them, for the tests that run whole journeys through the durable shell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from firstmile import paths, search_attributes
from firstmile.contracts import CommandRequest, EffectOutcome, EventSignal, Finished, Start
from firstmile.journey.durations import DAY, SECOND
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.loader import load
from firstmile.journey.route import Route, route_of
from firstmile.journey.simulator import ScriptedOutcome
from firstmile.journey.slices import cut
from tests.workflows.conftest import World, worker


@dataclass(frozen=True)
class Case:
    """A customer and what happens to them; instants are offsets from enrolment."""

    segment: str
    timezone: str
    country: str | None
    traits: dict[str, Any]
    inputs: tuple[tuple[int, Event | Command], ...] = ()
    outcomes: tuple[ScriptedOutcome, ...] = ()


def _event(days: float, name: str, **properties: Any) -> tuple[int, Event]:
    return int(days * DAY), Event(name, f"{name}-{days}", properties=properties)


def _command(days: float, command: str, **fields: Any) -> tuple[int, Command]:
    return int(days * DAY), Command(command, actor="ann", reason="why", **fields)  # type: ignore[arg-type]  # the table names only what there is


CASES = {
    "self_serve, never comes back": Case("self_serve", "America/Los_Angeles", "US", {"plan": "starter"}),
    "self_serve, trial, first value at once": Case(
        "self_serve",
        "Australia/Lord_Howe",
        "AU",
        {"plan": "trial", "trial_ends": "2026-12-19"},
        (
            _event(0.31, "user.logged_in"),
            _event(1.27, "report.published"),
            _event(9.11, "survey.responded", step="ease", score=6),
        ),
    ),
    "team, paused and resumed": Case(
        "team",
        "Asia/Tokyo",
        "JP",
        {"plan": "pro", "seats": 12},
        (
            _event(2.013, "user.logged_in"),
            _command(3.021, "pause"),
            _event(4.017, "report.published"),
            _command(9.029, "resume", overdue="shift"),
            _event(10.03, "report.published"),
            _event(11.07, "report.published"),
            _event(20.01, "training.completed", session="team-101"),
            _event(26.01, "survey.responded", step="nps", score=3),
            _command(30.3, "complete", step="low_score_call"),
        ),
    ),
    "team, provisioning fails and is retried": Case(
        "team",
        "Europe/Berlin",
        "DE",
        {"plan": "pro", "seats": 5},
        (
            _command(0.531, "retry", step="workspace"),
            _event(1.117, "user.logged_in"),
            _event(5.017, "subscription.cancelled"),
        ),
        (ScriptedOutcome("workspace", "failed", "HTTP 422"),),
    ),
    "enterprise, everything in order": Case(
        "enterprise",
        "America/Sao_Paulo",
        "BR",
        {"plan": "enterprise", "seats": 400, "region": "br", "sso": True, "go_live": "2027-01-12"},
        (
            _event(1.019, "user.logged_in"),
            _command(2.053, "complete", step="contract"),
            _command(4.059, "complete", step="billing"),
            _event(5.013, "kickoff.held"),
            _event(8.021, "data.imported", rows=1200),
            _command(9.007, "complete", step="success_plan"),
            _command(12.003, "traits", traits={"go_live": "2027-01-26"}),
            _event(15.003, "training.completed", session="enterprise-admin"),
            *(_event(30.001 + n / 3, "report.published") for n in range(5)),
        ),
    ),
    "enterprise, late and paused": Case(
        "enterprise",
        "Asia/Kathmandu",
        "NP",
        {"plan": "enterprise", "seats": 90, "region": "ap", "sso": False},
        (
            _command(10.017, "pause"),
            _command(24.011, "resume", overdue="run"),
            _command(25.013, "skip", step="contract"),
            _event(60.001, "data.imported", rows=5),
        ),
    ),
}


def route_for(segment: str) -> Route:
    file = paths.journeys() / f"{segment}.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    return route_of(journey.canonical_json())


async def start_of(case: Case, environment: WorkflowEnvironment) -> Start:
    """What the case's customer is started with, at the server's time on the full second."""
    enrolled = from_datetime(await environment.get_current_time()) // SECOND * SECOND
    subject = Subject("c-1", case.timezone, case.country, traits=case.traits)
    piece = cut(case.timezone, enrolled, enrolled + 130 * DAY, case.country)
    journey = route_for(case.segment).journey.canonical_json()
    return Start(subject, case.segment, journey, piece, enrolled)


@dataclass
class Lived:
    """What came of a customer: the world, the workflow's result and its history."""

    world: World
    finished: Finished
    history: WorkflowHistory


async def live(environment: WorkflowEnvironment, case: Case, start: Start, **options: Any) -> Lived:
    """Carry a case's customer through, with real signals and updates; `options` are the worker's."""
    world = World()
    for scripted in case.outcomes:
        world.script(
            scripted.step,
            EffectOutcome(scripted.outcome, 0, scripted.reason),  # type: ignore[arg-type]  # the table names only what there is
        )
    async with worker(environment.client, world, "conformance", **options):
        handle: WorkflowHandle[Any, Finished] = await environment.client.start_workflow(
            case.segment,
            start,
            id="onboarding/c-1",
            task_queue="conformance",
            result_type=Finished,
            search_attributes=search_attributes.at_start(case.segment, 1, None),
        )
        for offset, given in case.inputs:
            now = from_datetime(await environment.get_current_time())
            await environment.sleep(timedelta(microseconds=max(0, start.enrolled_at + offset - now)))
            if isinstance(given, Event):
                await handle.signal("event", EventSignal(given.event, given.id, None, given.properties))
            else:
                request = CommandRequest(
                    given.actor, given.reason, given.step, overdue=given.overdue, traits=given.traits
                )
                await handle.execute_update(given.command, request)
        return Lived(world, await handle.result(), await handle.fetch_history())
