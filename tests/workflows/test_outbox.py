"""The outbox protocol of DESIGN §2.4 as properties: whatever fails, no record is lost, doubled or overtaken.

A shell in miniature drives the real engine and the real outbox against a store in memory. Hypothesis says
what happens next: an effect comes back (in any order, with any outcome), or wrote and its answer was lost,
or never reached the store; the store is away; a flush is written late; time passes; events and commands
come; the run continues as new.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstmile.contracts import Clock, EffectOutcome
from firstmile.journey import commands
from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import HOUR
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import Command, CommandRejected, Effect, Event, Outcome, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.model import Journey
from firstmile.journey.route import Route
from firstmile.journey.slices import plain_slice
from firstmile.journey.state import dump, load
from tests.workflows.conftest import World
from workflows.outbox import Carrier, Outbox

JOURNEY = {
    "journey": "outbox",
    "version": 1,
    "onboarded": {"milestone": "value", "within": "10 days"},
    "ends": "40 days",
    "stages": [{"stage": "new", "until": "value"}, {"stage": "grown"}],
    "stop_when": [{"event": "gone", "undo": True}],
    "defaults": {"cap": {"messages": 2, "per": "1 day"}},
    "steps": [
        {"id": "one", "provision": {"system": "a", "undo": True}},
        {"id": "two", "provision": {"system": "b", "undo": True}},
        {"id": "three", "after": ["one"], "email": {"template": "t"}},
        {"id": "four", "after": ["one", "two"], "email": {"template": "t"}},
        {"id": "owner", "assign": {"team": "team"}},
        {"id": "value", "milestone": {"event": "value"}, "within": "9 days"},
        {"id": "ask", "after": ["owner"], "until": ["value"], "wait": "1 day",
         "survey": {"kind": "nps", "template": "t", "remind": "2 days"}, "within": "7 days"},
        {"id": "call", "after": ["missed value"], "task": {"title": "Call", "remind": "3 days"}},
        {"id": "check", "after": ["ask"], "checkin": {"template": "t", "every": "5 days", "times": 3}},
    ],
}  # fmt: skip
ROUTE = Route(Journey.model_validate(JOURNEY))
CALENDAR = Calendar(plain_slice())
START = 1_772_000_000_000_000


class Shell:
    """What `workflows.onboarding` does, without Temporal: the same engine, outbox and order of things."""

    def __init__(self) -> None:
        self.now: Instant = START
        self.engine: Engine = enrol(ROUTE, CALENDAR, Subject("s"), START)
        self.outbox = Outbox()
        self.store = World()
        self.truth: list[Entry] = []
        self.in_flight: list[tuple[Effect, Carrier]] = []
        self.flush: Carrier | None = None
        self.news: list[Outcome] = []
        self.events = 0
        self.turn()

    def turn(self) -> None:
        """One turn of the loop, as in `Onboarding._turn`."""
        for outcome in self.news:
            self.engine.outcome(outcome, self.now)
        self.news = []
        self.engine.advance(self.now)
        self.truth += self.engine.entries
        self.outbox.add(self.engine.entries)
        self.engine.entries = []
        effects, self.engine.effects = self.engine.effects, []
        view = self.engine.view()
        for effect in effects:
            self.in_flight.append((effect, self.outbox.load(self.engine, effect, view)))
        if self.flush is None and not self.in_flight:
            stale = self.outbox.is_stale(view, Clock(START))
            if stale or (self.engine.finished and not self.outbox.is_empty):
                self.flush = self.outbox.load_alone(self.engine, view)
        assert self.outbox.acknowledged is None or (
            self.store.view is not None and self.store.view.number >= self.outbox.acknowledged.number
        )

    def come_back(self, place: int, name: str) -> None:
        """An effect returns its outcome: its records are in the store."""
        effect, carrier = self.in_flight.pop(place % len(self.in_flight))
        until = self.now + HOUR if name == "deferred" else None
        result = {"owner": "ann"} if effect.kind == "assign" and name == "done" else None
        outcome = EffectOutcome(name, self.now, "why", until, result)  # type: ignore[arg-type]  # drawn from the names
        self.store.write(carrier.records, outcome)
        self.outbox.delivered(carrier, outcome)
        self.news.append(
            Outcome(effect.id, outcome.outcome, self.now, None if name == "done" else "why", until, result)
        )
        self.turn()

    def lose_answer(self, place: int) -> None:
        """An attempt wrote its records, and its answer was lost: the next attempt will find them."""
        _, carrier = self.in_flight[place % len(self.in_flight)]
        self.store.write(carrier.records, EffectOutcome("done", self.now))

    def fail_before_writing(self, place: int) -> None:
        """An effect ends in an exception: nothing of it reached the store."""
        effect, _ = self.in_flight.pop(place % len(self.in_flight))
        self.news.append(Outcome(effect.id, "failed", self.now, "an exception"))
        self.turn()

    def write_flush(self, *, answered: bool) -> None:
        """A flush is written, perhaps late, perhaps without anybody hearing of it."""
        if self.flush is not None:
            self.store.write(self.flush.records, None)
            if answered:
                self.outbox.delivered(self.flush, None)
                self.flush = None
                self.turn()

    def send(self, name: str) -> None:
        """A product event."""
        self.events += 1
        self.engine.event(Event(name, f"e{self.events}", properties={"step": "ask", "score": 3}), self.now)
        self.turn()

    def command(self, command: Command) -> None:
        """An operator's command, if it can be carried out."""
        try:
            commands.apply(self.engine, command, self.now)
        except CommandRejected:
            return
        self.turn()

    def pass_time(self, hours: int) -> None:
        """Time passes: to the next wake-up, or less far."""
        wake = self.engine.wake()
        self.now = min(wake, self.now + hours * HOUR) if wake is not None else self.now + hours * HOUR
        self.turn()

    def continue_as_new(self) -> None:
        """Only state crosses: allowed when nothing is in flight."""
        if not self.in_flight and self.flush is None:
            self.engine = Engine(ROUTE, CALENDAR, load(dump(self.engine.state)))
            self.outbox = Outbox(list(self.outbox.entries), self.outbox.acknowledged, self.outbox.view_number)
            self.turn()

    def finish(self) -> None:
        """Let everything end well from here on."""
        for _ in range(1000):
            while self.in_flight:
                self.come_back(0, "done")
            self.write_flush(answered=True)
            if self.engine.finished and self.outbox.is_empty and self.flush is None:
                return
            self.command(Command("resume", overdue="run"))
            self.pass_time(24 * 50)
        raise AssertionError("the journey does not end")


NUMBERS = st.integers(0, 5)
ACTIONS = st.one_of(
    st.tuples(st.just("done"), NUMBERS),
    st.tuples(st.just("done"), NUMBERS),
    st.tuples(st.sampled_from(["failed", "deferred", "skipped"]), NUMBERS),
    st.tuples(st.just("lose"), NUMBERS),
    st.tuples(st.just("throw"), NUMBERS),
    st.tuples(st.just("flush"), st.integers(0, 1)),
    st.tuples(st.just("time"), st.integers(1, 24 * 9)),
    st.tuples(st.sampled_from(["value", "gone", "survey.responded", "nobody.listens"]), NUMBERS),
    st.tuples(st.sampled_from(["pause", "resume", "cancel", "continue"]), NUMBERS),
    st.tuples(st.sampled_from(["skip", "retry", "run_now"]), st.integers(0, len(ROUTE.stops) - 1)),
)  # fmt: skip


def _act(shell: Shell, action: str, number: int) -> None:
    if action in ("done", "failed", "deferred", "skipped"):
        if shell.in_flight:
            effect, _ = shell.in_flight[number % len(shell.in_flight)]
            lost_before = effect.id in _lost(shell)
            shell.come_back(number, "done" if lost_before else action)
    elif action == "lose" and shell.in_flight:
        shell.lose_answer(number)
        _lost(shell).add(shell.in_flight[number % len(shell.in_flight)][0].id)
    elif action == "throw" and shell.in_flight:
        if shell.in_flight[number % len(shell.in_flight)][0].id not in _lost(shell):
            shell.fail_before_writing(number)
    elif action == "flush":
        shell.write_flush(answered=bool(number))
    elif action == "time":
        shell.pass_time(number)
    elif action in ("skip", "retry", "run_now"):
        shell.command(Command(action, step=ROUTE.stops[number].id))  # type: ignore[arg-type]  # drawn from the names
    elif action in ("pause", "resume"):
        shell.command(Command(action, overdue=("shift", "run", "skip")[number % 3]))  # type: ignore[arg-type]  # drawn from the names
    elif action == "cancel" and number == 0:
        shell.command(Command("cancel", undo=True))
    elif action == "continue":
        shell.continue_as_new()
    elif action in ("value", "survey.responded", "nobody.listens") or (action == "gone" and number == 0):
        shell.send(action)


def _lost(shell: Shell) -> set[str]:
    """Effects that an attempt has done already: the ledger will say so to the next attempt."""
    found: set[str] = shell.__dict__.setdefault("lost", set())
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, max_size=60))
def test_no_record_is_lost_doubled_or_overtaken(actions: list[tuple[str, int]]) -> None:
    shell = Shell()
    for action, number in actions:
        _act(shell, action, number)
    shell.finish()

    written = shell.store.entries
    assert sorted(written) == sorted(entry.number for entry in shell.truth)
    for entry in shell.truth:
        known = written[entry.number]
        # An answer that was lost left the outcome's instant of the attempt that did the work.
        assert replace(known, at=entry.at) == entry
    assert len({entry.number for entry in shell.truth}) == len(shell.truth)
    assert shell.store.view is not None
    assert replace(shell.store.view, number=0) == replace(shell.engine.view(), number=0)
    numbers = [view.number for view in shell.store.views]
    assert numbers == sorted(numbers)


def test_a_flush_that_was_written_late_does_not_hide_what_came_after_it() -> None:
    shell = Shell()
    while shell.in_flight:
        shell.come_back(0, "done")
    shell.command(Command("pause"))
    stale = shell.flush
    assert stale is not None
    shell.write_flush(answered=True)
    shell.command(Command("resume"))
    shell.write_flush(answered=True)
    newest = shell.store.view

    shell.store.write(stale.records, None)

    assert shell.store.view is newest


def test_entries_wait_in_the_outbox_while_the_store_is_away() -> None:
    shell = Shell()
    before = len(shell.outbox.entries)

    shell.fail_before_writing(0)

    assert len(shell.outbox.entries) > before
    assert shell.store.entries == {}
    shell.finish()
    assert sorted(shell.store.entries) == sorted(entry.number for entry in shell.truth)


def test_a_quiet_customer_is_not_written_again() -> None:
    shell = Shell()
    while shell.in_flight:
        shell.come_back(0, "done")
    shell.write_flush(answered=True)

    shell.send("nobody.listens")

    assert shell.flush is None
