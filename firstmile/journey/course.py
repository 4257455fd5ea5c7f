"""One customer's journey at hand: its state, and the few things that every rule of the engine does to it.

Rules of the room
    `Course` knows how to write down that something happened (`note`), that a step is settled or failed, and
    which other steps have to be looked at then. *When* that is so is decided elsewhere: by `scheduling`,
    `starting`, `opening`, `outcomes`, `pausing` and `ending`, which are functions over a course.
"""

from __future__ import annotations

from heapq import heappush
from typing import Literal

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import SECOND
from firstmile.journey.inputs import Effect, Purpose
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Change, Entry, Status
from firstmile.journey.model import Condition
from firstmile.journey.route import Route, Stop
from firstmile.journey.scope import Facts, facts
from firstmile.journey.state import SETTLED, State, StepState
from firstmile.journey.timing import Timing

NEVER = -1
"""In place of an instant: it can no longer come about."""


class Course:
    """A journey at hand. `at` is the instant at which things happen now; `entries` and `effects` collect."""

    def __init__(self, route: Route, calendar: Calendar, state: State) -> None:
        self.route = route
        self.calendar = calendar
        self.state = state
        self.timing = Timing(route, calendar, state)
        self.entries: list[Entry] = []
        self.effects: list[Effect] = []
        self.at = state.clock
        self.marked: list[int] = []

    # Reading

    @property
    def finished(self) -> bool:
        """Whether the journey is completed or stopped."""
        return self.state.life in ("completed", "stopped")

    def is_running(self) -> bool:
        """Whether the journey still takes inputs: it is neither over nor about to be."""
        return self.state.life == "running"

    @property
    def status(self) -> Status:
        """The customer's status: the first that applies (JOURNEYS §3)."""
        state = self.state
        if state.life == "completed" or state.life == "stopped":
            return state.life
        if state.paused_at is not None:
            return "paused"
        if any(record.phase == "failed" for record in state.steps.values()):
            return "stuck"
        return "active"

    @property
    def stage(self) -> str | None:
        """The stage of the funnel that the customer is in."""
        stages = self.route.journey.stages
        return stages[self.state.stage].stage if 0 <= self.state.stage < len(stages) else None

    def facts(self, now: Instant) -> Facts:
        """What expressions and templates may ask at `now`."""
        return facts(self.route, self.calendar, self.state, now)

    def came_about(self, condition: Condition) -> Instant | None:
        """When a condition of `after` came about; None: not yet; `NEVER`: it can no longer come."""
        record = self.state.steps[condition.step]
        settled = record.phase in SETTLED
        if condition.outcome == "settled":
            return record.settled_at
        if condition.outcome == "skipped":
            return record.settled_at if record.phase == "skipped" else NEVER if settled else None
        if condition.outcome == "missed":
            return record.missed_at if record.missed_at is not None else NEVER if settled else None
        if record.done_at is not None:
            return record.done_at
        return NEVER if record.phase == "skipped" else None

    # Writing

    def mark(self, stop: Stop) -> None:
        """What depends on a step has to be looked at again."""
        for index in stop.dependents:
            heappush(self.marked, index)

    def settle(
        self,
        stop: Stop,
        outcome: Literal["done", "skipped", "missed"],
        reason: str | None = None,
        *,
        number: int | None = None,
        actor: str | None = None,
    ) -> None:
        """Settle a step, and mark what depends on it."""
        record = self.state.steps[stop.id]
        record.phase = outcome
        record.failed = record.early = None
        record.next = record.closes = record.escalates = record.deadline = None
        record.set_at = self.at
        if record.settled_at is None:
            record.settled_at = self.at
        late = False
        if outcome == "missed":
            record.missed_at = self.at
        elif outcome == "done":
            record.done_at = self.at
            late = record.missed_at is not None
        self.note(outcome, stop, reason, late=late, number=number, actor=actor)
        if outcome == "done" and stop.id == self.route.journey.onboarded.milestone:
            self._onboarded(record)
        self.mark(stop)

    def _onboarded(self, record: StepState) -> None:
        if self.state.onboarded_at is None:
            reached = record.reached_at if record.reached_at is not None else self.at
            self.state.onboarded_at = reached
            self.note("onboarded", seconds=(reached - self.state.enrolled_at) / SECOND)

    def fail(
        self, stop: Stop, purpose: Purpose, reason: str, occurrence: int = 1, number: int | None = None
    ) -> None:
        """A step fails in one of its effects: it waits for an operator, and only what comes after it waits."""
        record = self.state.steps[stop.id]
        record.phase = "failed"
        record.failed = purpose
        record.failed_occurrence = occurrence
        record.set_at = self.at
        self.note("failed", stop, reason, number=number)

    def enter_stage(self) -> None:
        """Enter the first stage whose milestone is not reached, if that is another than before."""
        stages = self.route.journey.stages
        steps = self.state.steps
        current = next(
            (
                n
                for n, stage in enumerate(stages)
                if stage.until is None or steps[stage.until].reached_at is None
            ),
            len(stages) - 1,
        )
        if current != self.state.stage:
            self.state.stage = current
            self.note("stage", stage=stages[current].stage)

    def note(
        self,
        change: Change,
        stop: Stop | None = None,
        reason: str | None = None,
        *,
        number: int | None = None,
        due: Instant | None = None,
        stage: str | None = None,
        seconds: float | None = None,
        late: bool = False,
        occurrence: int | None = None,
        actor: str | None = None,
    ) -> None:
        """Write a journal entry at the current instant, under a reserved number if there is one."""
        if number is None:
            self.state.number += 1
            number = self.state.number
        self.entries.append(
            Entry(
                number=number,
                at=self.at,
                change=change,
                step=None if stop is None else stop.id,
                kind=None if stop is None else stop.kind,
                reason=reason,
                due=due,
                stage=stage,
                seconds=seconds,
                late=late,
                occurrence=occurrence,
                actor=actor,
            )
        )
