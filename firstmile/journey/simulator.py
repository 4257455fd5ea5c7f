"""The simulator: one customer's journey, driven by a script instead of the world (JOURNEYS §6).

It is a shell around the engine like the durable workflow is, with a clock of its own and effects that take no
time. Reading the customer and the script is the business of `script`; printing, of the command line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from firstmile.journey import commands
from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import Command, CommandRejected, Effect, Event, Outcome, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.route import Route


@dataclass(slots=True, frozen=True)
class ScriptedOutcome:
    """What the next effect of `step` will meet: an outcome's name, or `pending` until a later one."""

    step: str
    outcome: str
    reason: str | None = None
    until: Instant | None = None
    result: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class ScriptLine:
    """One input of a script, at its instant; `line` is where it stands, for messages."""

    at: Instant
    line: int
    input: Event | Command | ScriptedOutcome


@dataclass(slots=True)
class Simulation:
    """What came of a simulation: the journal in the order people see it, and commands that were rejected."""

    engine: Engine
    entries: list[Entry] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    rejected: list[tuple[ScriptLine, str]] = field(default_factory=list)


class _World:
    """The world as the script has it: outcomes waiting for an effect, and effects waiting for an outcome."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scripted: dict[str, deque[ScriptedOutcome]] = {}
        self.pending: dict[str, deque[Effect]] = {}
        self.started: list[Effect] = []

    def script(self, outcome: ScriptedOutcome, at: Instant) -> None:
        """An outcome line: it ends an effect that is pending, else it waits for the step's next one."""
        waiting = self.pending.get(outcome.step)
        if waiting and outcome.outcome != "pending":
            self._come_back(waiting.popleft(), outcome, at)
        else:
            self.scripted.setdefault(outcome.step, deque()).append(outcome)

    def settle(self, now: Instant) -> None:
        """Let time come to `now` and every started effect come back, until nothing more happens."""
        engine = self.engine
        engine.advance(now)
        while engine.effects:
            effects, engine.effects = engine.effects, []
            for effect in effects:
                self.started.append(effect)
                queue = self.scripted.get(effect.step)
                outcome = queue.popleft() if queue else ScriptedOutcome(effect.step, "done")
                if outcome.outcome == "pending":
                    self.pending.setdefault(effect.step, deque()).append(effect)
                else:
                    self._come_back(effect, outcome, now)
            engine.advance(now)

    def _come_back(self, effect: Effect, outcome: ScriptedOutcome, at: Instant) -> None:
        self.engine.outcome(
            Outcome(
                effect=effect.id,
                outcome=outcome.outcome,  # type: ignore[arg-type]  # the script reader checked the name
                at=at,
                reason=outcome.reason,
                until=outcome.until,
                result=outcome.result,
            ),
            at,
        )


def simulate(
    route: Route,
    calendar: Calendar,
    subject: Subject,
    at: Instant,
    script: Iterable[ScriptLine] = (),
    until: Instant | None = None,
) -> Simulation:
    """Run a journey from enrolment at `at` until it ends, nothing can wake it, or `until` (inclusive)."""
    lines = deque(sorted(script, key=lambda line: line.at))
    engine = enrol(route, calendar, subject, at)
    world = _World(engine)
    found = Simulation(engine)
    now = at
    while True:
        while lines and lines[0].at <= now:
            line = lines.popleft()
            _take(world, line, found)
        world.settle(now)
        if engine.finished:
            break
        instants = [
            instant for instant in (engine.wake(), lines[0].at if lines else None) if instant is not None
        ]
        if not instants or (until is not None and min(instants) > until):
            break
        now = max(now, min(instants))
    found.entries = sorted(engine.entries, key=lambda entry: (entry.at, entry.number))
    found.effects = world.started
    return found


def _take(world: _World, line: ScriptLine, found: Simulation) -> None:
    given = line.input
    if isinstance(given, ScriptedOutcome):
        world.script(given, line.at)
    elif isinstance(given, Event):
        world.engine.event(given, line.at)
    else:
        try:
            commands.apply(world.engine, given, line.at)
        except CommandRejected as rejected:
            found.rejected.append((line, str(rejected)))
