"""The state machine of one customer's journey (JOURNEYS §3 and §4). Pure: no I/O, no clock, no Temporal.

Rules of the room
    The engine does not know who drives it: a durable workflow, the simulator or a test. It is told what
    happened and what time it is, and it answers with journal entries, effects to start and the next instant to
    be woken. This module decides *in which order* things happen; what they are is said by `scheduling`,
    `starting`, `opening`, `outcomes`, `pausing`, `ending` and `commands`, all of them functions over a `Course`.

Theory of operation
    A step goes waiting -> scheduled -> running -> open -> settled (`done`, `skipped`, `missed`); `failed` waits
    for an operator. Two things move it:

    *Inputs* (an event, a command, the outcome of an effect) are applied at their instant. What they settle is
    propagated at once: `mark` notes the steps that depend on it, `propagate` reviews those in the order of the
    file until nothing moves any more. No effect is started while an input is applied.

    *Time*: `advance(now)` works off an agenda, the earliest first, then by place in the file. What is on it is
    either nominal (a deadline, `ends`, the end of a pause, a milestone that opens, the close of a check-in): it
    takes the instant at which it was due however late the engine is woken. Or it starts an effect: it takes
    the actual instant, at which pause, window, cap and `when` are looked at.

    A wake-up at most `PUNCTUAL` late counts as on time: timers have a jitter, and a journal that says 09:00:00
    tells people more than one that says 09:00:00.043. The gate at sending checks the end of the window again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from firstmile.journey.calendar import Calendar
from firstmile.journey.course import Course
from firstmile.journey.durations import SECOND
from firstmile.journey.ending import close_all, compensate, end, finish, stop_journey
from firstmile.journey.experiments import draw
from firstmile.journey.expressions import Expression, ExpressionError
from firstmile.journey.inputs import Event, Outcome, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import View
from firstmile.journey.model import StopWhen
from firstmile.journey.opening import answered, hit
from firstmile.journey.outcomes import awaits_callback, called_back, came_back
from firstmile.journey.pausing import resume
from firstmile.journey.route import Route, Stop
from firstmile.journey.scheduling import propagate
from firstmile.journey.starting import escalate, go_on, open_help, send_again, start
from firstmile.journey.state import SETTLED, State, StepState

PUNCTUAL = 5 * SECOND
SEEN_EVENTS = 4096
"""How many ids of events are remembered against repetition; the oldest are forgotten first."""


# What time brings about; at one instant and step in this order. Up to `_OPEN` it takes its nominal instant.
_END, _RESUME, _MISS, _CLOSE, _OPEN, _START, _GO_ON, _HELP, _SEND_AGAIN, _ESCALATE, _COMPENSATE = range(11)
_DOES: tuple[Callable[[Course, Stop, StepState], None], ...] = (
    lambda course, stop, record: end(course),
    lambda course, stop, record: resume(course, "shift", "the pause was over", None),
    lambda course, stop, record: course.settle(stop, "missed", "the deadline passed"),
    lambda course, stop, record: course.settle(stop, "done"),
    start,
    start,
    go_on,
    open_help,
    send_again,
    escalate,
    compensate,
)

Item = tuple[Instant, Instant, int, int]
"""(when, for when it was asked before the cap, place in the file, what is due)."""


def enrol(route: Route, calendar: Calendar, subject: Subject, at: Instant) -> Engine:
    """Enrol a subject at `at`: the journal is opened, nothing runs before the first `advance`."""
    journey = route.journey
    state = State(
        subject=subject.id,
        enrolment=subject.enrolment,
        enrolled_at=at,
        clock=at,
        floor=at,
        traits=dict(subject.traits),
        steps={stop.id: StepState() for stop in route.stops},
        variants={name: draw(name, weights, subject.id) for name, weights in journey.experiments.items()},
    )
    engine = Engine(route, calendar, state)
    state.ends = engine.timing.deadline(journey.ends, at, at)
    engine.note("enrolled")
    engine.enter_stage()
    for step in subject.skip:
        if step in route.index:
            engine.settle(route.stops[route.index[step]], "skipped", "already done at sign-up")
    engine.marked = list(range(len(route.stops)))
    propagate(engine)
    finish(engine)
    return engine


class Engine(Course):
    """One customer's journey at work: inputs go in, `entries` and `effects` come out; `state` is moved on."""

    def __init__(self, route: Route, calendar: Calendar, state: State) -> None:
        super().__init__(route, calendar, state)
        self._records = [
            (stop.index, _START if stop.milestone is None else _OPEN, state.steps[stop.id])
            for stop in route.stops
        ]
        self._items: list[Item] | None = None

    def wake(self) -> Instant | None:
        """The next instant at which something is due, or None."""
        return min(self._agenda(), default=(None,))[0]

    def view(self) -> View:
        """Where the customer stands, numbered by the journal."""
        state = self.state
        return View(
            number=state.number,
            status=self.status,
            stage=self.stage,
            onboarded_at=state.onboarded_at,
            next=self.wake(),
            steps={step: _standing(record) for step, record in state.steps.items()},
            owners=dict(state.owners),
            paused_until=state.paused_until,
            ends=state.ends,
        )

    # Inputs

    def event(self, event: Event, arrived: Instant) -> bool:
        """A product event or an answer arrives. False if it changed nothing: repeated, or nobody listens."""
        state, route = self.state, self.route
        if not self.is_running() or event.event not in route.listens:
            return False
        identity = hashlib.sha256(event.id.encode()).hexdigest()[:16]
        if identity in state.seen:
            return False
        self.begin(arrived)
        if not self.is_running():
            return False
        state.seen = [*state.seen, identity][-SEEN_EVENTS:]
        counted = max(state.enrolled_at, min(arrived if event.at is None else event.at, arrived))
        state.counts[event.event] = state.counts.get(event.event, 0) + 1
        for index in route.milestones.get(event.event, ()):
            hit(self, route.stops[index], event, counted)
        for index in route.answers.get(event.event, ()):
            answered(self, route.stops[index], event)
        propagate(self)
        for rule, where in route.stop_when:
            if rule.event == event.event and self._stops(rule, where, event):
                stop_journey(self, f"{rule.event} happened", undo=rule.undo)
                break
        finish(self)
        return True

    def remark(self, reason: str, at: Instant) -> None:
        """Something came that is no input, and changes nothing: it is written down all the same."""
        self.begin(at)
        self.note("occurred", reason=reason)

    def outcome(self, outcome: Outcome, now: Instant) -> None:
        """An effect came back, or a system called back. Its own `at`, from its start to `now`, counts."""
        state, route = self.state, self.route
        flight = state.flights.get(outcome.effect)
        if flight is None:
            self._call_back(outcome, now)
            return
        at = max(flight.started, min(outcome.at, now))
        self.begin(max(at, state.floor))
        del state.flights[outcome.effect]
        self.at = at
        came_back(self, route.stops[route.index[flight.step]], flight, outcome)
        propagate(self)
        finish(self)

    def _call_back(self, outcome: Outcome, now: Instant) -> None:
        step, *_, attempt = outcome.effect.split("/")
        place = self.route.index.get(step)
        if place is None or self.state.life in ("completed", "stopped"):
            return
        stop = self.route.stops[place]
        if awaits_callback(self, stop, int(attempt)):
            self.begin(max(self.state.clock, min(outcome.at, now)))
            called_back(self, stop, outcome)
            propagate(self)
            finish(self)

    def _stops(self, rule: StopWhen, where: Expression | None, event: Event) -> bool:
        try:
            return where is None or where.is_true(self.facts(self.at).names(event.properties))
        except ExpressionError as error:
            self.note("occurred", None, f"stop_when {rule.event} did not count: where: {error}")
            return False

    # Time

    def advance(self, now: Instant) -> None:
        """Time has come to `now`: everything due by then happens."""
        while not self.finished:
            best: Item | None = None
            for item in self._agenda():
                if item[0] > now:
                    continue
                if item[3] > _OPEN and now - item[0] > PUNCTUAL:
                    item = (now, *item[1:])
                if best is None or item < best:
                    best = item
            if best is None:
                break
            self._perform(best)
        self._rest()

    def begin(self, at: Instant) -> None:
        """An input is applied at `at`: what was nominally due before it has happened already."""
        while early := [item for item in self._agenda() if item[3] <= _OPEN and item[0] < at]:
            self._perform(min(early))
        self._items = None
        self.at = at
        self.state.clock = max(self.state.clock, at)

    def _perform(self, item: Item) -> None:
        """Do what is due, at its instant, with all that follows at once."""
        when, _, place, what = item
        state = self.state
        self.at = max(when, state.floor if what <= _OPEN else state.clock)
        state.clock = max(state.clock, self.at)
        stop = self.route.stops[max(place, 0)]
        _DOES[what](self, stop, state.steps[stop.id])
        propagate(self)
        finish(self)
        self._items = None

    def _agenda(self) -> list[Item]:
        """Everything that time alone will bring about, in no particular order; listed anew after a change."""
        if self._items is None:
            self._items = self._list()
        return self._items

    def _list(self) -> list[Item]:
        state = self.state
        if state.life == "stopping" and state.undo and state.stop_undo:
            by_id = self.route.journey.by_id
            provisioning = any(by_id[flight.step].provision for flight in state.flights.values())
            return [] if provisioning else [(state.clock, 0, self.route.index[state.undo[-1]], _COMPENSATE)]
        if state.life != "running":
            return []
        if state.paused_at is not None:
            return [] if state.paused_until is None else [(state.paused_until, 0, -1, _RESUME)]
        items: list[Item] = []
        if state.ends is not None:
            items.append((state.ends, 0, -1, _END))
        for place, starts, record in self._records:
            phase = record.phase
            if phase == "scheduled":
                items.append((record.due or 0, record.asked or 0, place, starts))
            elif phase == "open" or phase == "failed":
                _while_open(items, place, record)
            if record.help:
                items.append((record.help_at, record.help_at, place, _HELP))
            if record.resend_at is not None:
                items.append((record.resend_at, record.resend_at, place, _SEND_AGAIN))
        return items

    def _rest(self) -> None:
        """A journey without `ends` that nothing can wake any more has ended: nothing else can come about."""
        state = self.state
        waits = state.life != "running" or state.paused_at is not None or state.flights
        if waits or self.route.journey.ends is not None or self._agenda():
            return
        if not any(record.phase == "failed" for record in state.steps.values()):
            self.at = max(state.clock, state.floor)
            close_all(self)


def _while_open(items: list[Item], place: int, record: StepState) -> None:
    """What time brings to a step that is open, or failed while it was."""
    if record.deadline is not None:
        items.append((record.deadline, record.deadline, place, _MISS))
    if record.closes is not None:
        items.append((record.closes, record.closes, place, _CLOSE))
    if record.escalates is not None:
        items.append((record.escalates, record.escalates, place, _ESCALATE))
    if record.next is not None and record.phase == "open":
        items.append((record.next, record.next_asked or record.next, place, _GO_ON))


def _standing(record: StepState) -> tuple[str, Instant | None]:
    """A phase, and the instant that matters next or last: see `View`."""
    if record.phase == "scheduled":
        return "scheduled", record.due
    if record.phase == "open":
        return "open", record.deadline
    if record.phase == "waiting":
        return "waiting", None
    return record.phase, record.settled_at if record.phase in SETTLED else record.set_at
