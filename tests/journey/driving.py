"""Driving the engine through a case in odd ways: late, too often, forgetting everything in between, twice.

The driver is a shell of its own, written apart from the simulator. At every step of the way it holds the engine
to what must never happen (JOURNEYS §5).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from firstmile.journey import commands
from firstmile.journey.course import NEVER
from firstmile.journey.durations import DAY, Duration, Moment
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import CommandRejected, Effect, Event, Outcome, OutcomeName
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine
from firstmile.journey.state import dump, load
from tests.journey.generated import Case

MESSAGES = ("run", "remind", "occur", "resend")
IN_WINDOWS = ("run", "remind", "occur")
"""What waits for its step's window; help, reviews, escalations and compensations are for people and systems."""
HORIZON = 200 * DAY
FOLLOWS: dict[str, set[str]] = {
    "": {"scheduled", "skipped", "failed"},
    "scheduled": {"scheduled", "running", "skipped", "failed"},
    "running": {"open", "done", "skipped", "failed", "scheduled"},
    "open": {"done", "missed", "skipped", "failed", "scheduled", "undone"},
    "failed": {"scheduled", "skipped", "done", "missed", "failed", "undone"},
    # Reopened; help that failed; compensation.
    "done": {"scheduled", "failed", "undone"},
    "missed": {"done", "scheduled", "failed", "undone"},
    # The outcome of what had been started is journaled; a task may be reopened.
    "skipped": {"done", "open", "failed", "skipped", "undone", "scheduled"},
    "undone": set(),
}
"""What may follow each change of a step in its journal."""


@dataclass
class Drive:
    """One run of a case. `late`: how much later than asked each wake-up comes."""

    case: Case
    late: Callable[[], int] = lambda: 0
    superfluous: bool = False
    forgetful: bool = False
    twice: bool = False
    entries: list[Entry] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.route, self.calendar = self.case.route(), self.case.calendar()
        self.engine = enrol(self.route, self.calendar, self.case.customer(), self.case.at)
        self.scripted: dict[str, deque[ScriptedOutcome]] = {}
        self.pending: dict[str, deque[Effect]] = {}
        self.started: dict[str, str] = {}
        self.sent: list[tuple[Instant, str]] = []
        self.came: set[tuple[str, str]] = set()
        self.forced: set[str] = set()
        self.collect()

    def run(self) -> Drive:
        """From enrolment to the end, or until nothing can wake the journey any more."""
        case = self.case
        lines = deque(sorted(case.script, key=lambda line: line.at))
        now = case.at
        for _ in range(3_000):
            while lines and lines[0].at <= now:
                self.take(lines.popleft())
            self.settle(now)
            if self.engine.finished:
                break
            wake = self.engine.wake()
            times = [*([wake + self.late()] if wake is not None else []), *([lines[0].at] if lines else [])]
            if not times or min(times) > case.at + HORIZON:
                break
            if self.superfluous:
                for part in (1, 2, 3):
                    self.advance(
                        now + (min([*times, *([] if wake is None else [wake])]) - now - 1) * part // 3
                    )
            now = max(now, min(times))
        else:
            raise AssertionError("the journey does not come to an end")
        self.check_the_journal()
        return self

    # Telling the engine

    def take(self, line: ScriptLine) -> None:
        """One input."""
        given = line.input
        if isinstance(given, ScriptedOutcome):
            waiting = self.pending.get(given.step)
            if waiting and given.outcome != "pending":
                self.come_back(waiting.popleft(), given, line.at)
            else:
                self.scripted.setdefault(given.step, deque()).append(given)
        elif isinstance(given, Event):
            for _ in range(1 + self.twice):
                self.engine.event(given, line.at)
        else:
            try:
                commands.apply(self.engine, given, line.at)
            except CommandRejected as rejected:
                self.rejected.append(str(rejected))
        self.collect()

    def settle(self, now: Instant) -> None:
        """Time comes to `now`, and effects come back."""
        self.advance(now)
        while self.engine.effects:
            effects, self.engine.effects = self.engine.effects, []
            for effect in effects:
                queue = self.scripted.get(effect.step)
                outcome = queue.popleft() if queue else ScriptedOutcome(effect.step, "done")
                if outcome.outcome == "pending":
                    self.pending.setdefault(effect.step, deque()).append(effect)
                else:
                    self.come_back(effect, outcome, now)
            self.advance(now)
        self.check_that_it_goes_on(now)

    def advance(self, now: Instant) -> None:
        """A wake-up, and what it must not bring about."""
        life, known = self.engine.state.life, len(self.engine.effects)
        self.engine.advance(now)
        for effect in self.engine.effects[known:]:
            self.check_effect(effect, life)
            self.effects.append(effect)
        self.collect()

    def come_back(self, effect: Effect, given: ScriptedOutcome, now: Instant) -> None:
        """An effect comes back."""
        name: OutcomeName = given.outcome  # type: ignore[assignment]  # anything but `pending`
        outcome = Outcome(effect.id, name, now, given.reason, given.until, given.result)
        self.started[effect.id] = name
        if name in ("failed", "deferred", "skipped"):
            self.sent = [sent for sent in self.sent if sent[1] != effect.id]
        for _ in range(1 + self.twice):
            self.engine.outcome(outcome, now)
        self.collect()

    def collect(self) -> None:
        """Take what was journaled; a forgetful shell keeps nothing but the state as JSON."""
        self.entries += self.engine.entries
        self.engine.entries = []
        for stop in self.route.stops:
            for condition in stop.step.after:
                if self.engine.came_about(condition) not in (None, NEVER):
                    self.came.add((stop.id, str(condition)))
        if self.forgetful:
            effects = self.engine.effects
            state = load(json.loads(json.dumps(dump(self.engine.state))))
            self.engine = Engine(self.route, self.calendar, state)
            self.engine.effects = effects

    @property
    def journal(self) -> list[Entry]:
        """The entries as people see them."""
        return sorted(self.entries, key=lambda entry: (entry.at, entry.number))

    # What must hold

    def check_effect(self, effect: Effect, life: str) -> None:
        """What holds whenever an effect starts, from outside the engine as far as possible."""
        state = self.engine.state
        stop = self.route.stops[self.route.index[effect.step]]
        record = state.steps[effect.step]
        purpose = state.flights[effect.id].purpose
        forced = purpose == "run" and record.forced
        if forced:
            self.forced.add(stop.id)
        assert state.paused_at is None, f"{effect.id} started during a pause"
        assert life == "running" or (life == "stopping" and purpose == "undo"), (
            f"{effect.id} started while {life}"
        )
        if purpose != "undo" and state.ends is not None:
            assert effect.at < state.ends, f"{effect.id} started at the end or after it"
        assert self.started.get(effect.id) in (None, "deferred"), f"{effect.id} started twice"
        self.started[effect.id] = "started"
        if stop.window is not None and purpose in IN_WINDOWS and not forced:
            assert self.calendar.is_open(stop.window, effect.at), f"{effect.id} started outside its window"
        if effect.not_after is not None and not forced and purpose in IN_WINDOWS:
            assert effect.at < effect.not_after, f"{effect.id} started when it should be over"
        if stop.step.capped and purpose in MESSAGES:
            self.check_cap(effect, free=forced or purpose == "resend")
        if purpose == "run":
            self.check_start(effect)

    def check_cap(self, effect: Effect, *, free: bool) -> None:
        """Never over the cap."""
        cap = self.route.journey.defaults.cap
        if cap is None:
            return
        counting = [at for at, _ in self.sent if self.calendar.add(at, cap.per) > effect.at]
        assert free or len(counting) < cap.messages, f"{effect.id} started over the cap"
        self.sent.append((effect.at, effect.id))

    def check_start(self, effect: Effect) -> None:
        """Never before all of `after`, nor before its due time."""
        record = self.engine.state.steps[effect.step]
        step = self.route.journey.by_id[effect.step]
        for condition in step.after:
            came = self.engine.came_about(condition)
            known = (step.id, str(condition)) in self.came
            assert known or (came is not None and came <= effect.at), (
                f"{effect.id} started before '{condition}'"
            )
        known_entries = self.entries + self.engine.entries
        due = [
            e.due
            for e in known_entries
            if e.step == step.id and e.change == "scheduled" and e.number < effect.number
        ]
        assert due[-1] is not None
        assert due[-1] <= effect.at, f"{effect.id} started before it was due"
        if isinstance(step.wait, Duration) and not step.wait.business and step.id not in self.forced:
            assert record.ready is not None
            assert effect.at >= self.calendar.add(record.ready, step.wait)

    def check_that_it_goes_on(self, now: Instant) -> None:
        """An active journey has something in flight, a next wake-up, or a failed step; nothing is left behind."""
        engine, state = self.engine, self.engine.state
        wake = engine.wake()
        assert wake is None or wake > now, "what is due was not done"
        if engine.finished or state.flights or state.paused_at is not None or engine.status == "stuck":
            return
        assert state.life == "running", "nothing is in flight, and it does not finish"
        waits_for_a_trait = isinstance(self.route.journey.ends, Moment) and state.ends is None
        assert wake is not None or waits_for_a_trait, "nothing can wake it"

    def check_the_journal(self) -> None:
        """Every number once, the last entry last, and for each step only what may follow."""
        assert len({entry.number for entry in self.entries}) == len(self.entries)
        journal = self.journal
        assert journal[0].change == "enrolled"
        if self.engine.finished:
            assert journal[-1].change == self.engine.state.life
            assert sum(entry.change in ("completed", "stopped") for entry in journal) == 1
        allowed: dict[str, set[str]] = {}
        for entry in self.entries:
            if entry.step is not None and entry.change != "occurred":
                may = allowed.get(entry.step, FOLLOWS[""])
                assert entry.change in may, f"{entry.step}: {entry.change}, not one of {sorted(may)}"
                # A reminder that is tried again is scheduled while its step stays open.
                beside = entry.change == "scheduled" and "missed" in may
                allowed[entry.step] = FOLLOWS[entry.change] | (may if beside else set())
