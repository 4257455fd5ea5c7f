"""The state machine of one customer's journey (JOURNEYS §3 and §4). Pure: no I/O, no clock, no Temporal.

Rules of the room
    Everything that changes a customer's state is in this file and in `commands`. The engine does not know who
    drives it: a durable workflow, the simulator or a test. It is told what happened and what time it is, and
    it answers with journal entries, effects to start and the next instant to be woken.

Theory of operation
    A step goes waiting -> scheduled -> running -> open -> settled (`done`, `skipped`, `missed`); `failed` waits
    for an operator. Two things move it:

    *Inputs* (an event, a command, the outcome of an effect) are applied at their instant. What they settle is
    propagated at once: `_changed` marks the steps that depend on it, `_propagate` reviews those in the order
    of the file until nothing moves any more. No effect is started while an input is applied.

    *Time*: `advance(now)` works off an agenda, the earliest first, then by place in the file. An item of the
    agenda is either nominal (a deadline, `ends`, the end of a pause, a milestone that opens, the close of a
    check-in): it takes the instant at which it was due however late the engine is woken. Or it starts an
    effect: it takes the actual instant, at which pause, window, cap and `when` are looked at.

    A wake-up at most `PUNCTUAL` late counts as on time: timers have a jitter, and a journal that says 09:00:00
    tells people more than one that says 09:00:00.043. The gate at sending checks the end of the window again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import SECOND, Moment
from firstmile.journey.experiments import draw
from firstmile.journey.expressions import ExpressionError, render_values
from firstmile.journey.inputs import Effect, Event, Outcome, Purpose, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Change, Entry, Status, View
from firstmile.journey.model import Assign, Checkin, Condition, StopWhen, Task
from firstmile.journey.route import ANSWERS, Route, Stop
from firstmile.journey.scope import Facts, facts
from firstmile.journey.state import SETTLED, Flight, State, StepState
from firstmile.journey.timing import Timing

PUNCTUAL = 5 * SECOND
SEEN_EVENTS = 4096
"""How many ids of events are remembered against repetition; the oldest are forgotten first."""
NEVER = -1

_OPENS = frozenset({"training", "survey", "checkin", "task", "request"})
"""Kinds that are open once their effect is done; a provision only if the system says that it will call back."""

AgendaItem = tuple[Instant, Instant, int, Callable[[Stop, StepState, Instant], None], bool]
"""(when, asked for when, place in the file, what to do, whether it takes its nominal instant)."""


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
    state.ends = engine.timing.deadline(journey.ends, at)
    engine.note("enrolled")
    engine.enter_stage()
    for step in subject.skip:
        if step in route.index:
            engine.settle(route.stops[route.index[step]], "skipped", "already done at sign-up")
    for stop in route.stops:
        engine.mark(stop.index)
    engine.propagate()
    return engine


class Engine:
    """One customer's journey at work: inputs go in, `entries` and `effects` come out; `state` is moved on."""

    def __init__(self, route: Route, calendar: Calendar, state: State) -> None:
        self.route = route
        self.calendar = calendar
        self.state = state
        self.timing = Timing(route, calendar, state)
        self.entries: list[Entry] = []
        self.effects: list[Effect] = []
        self.at = state.clock
        self._dirty: list[int] = []

    # Reading

    @property
    def finished(self) -> bool:
        """Whether the journey is completed or stopped."""
        return self.state.life in ("completed", "stopped")

    @property
    def status(self) -> Status:
        """The customer's status: the first that applies (JOURNEYS §3)."""
        state = self.state
        if state.life == "completed":
            return "completed"
        if state.life == "stopped":
            return "stopped"
        if state.paused_at is not None:
            return "paused"
        if any(record.phase == "failed" for record in state.steps.values()):
            return "stuck"
        return "active"

    def facts(self, now: Instant) -> Facts:
        """What expressions and templates may ask at `now`."""
        return facts(self.route, self.calendar, self.state, now)

    def wake(self) -> Instant | None:
        """The next instant at which something is due, or None."""
        return min((item[0] for item in self._agenda()), default=None)

    def view(self) -> View:
        """Where the customer stands, numbered by the journal."""
        state = self.state
        return View(
            number=state.number,
            status=self.status,
            stage=self.stage,
            onboarded_at=state.onboarded_at,
            next=self.wake(),
            steps={stop.id: _standing(state.steps[stop.id]) for stop in self.route.stops},
            owners=dict(state.owners),
            paused_until=state.paused_until,
            ends=state.ends,
        )

    @property
    def stage(self) -> str | None:
        """The stage of the funnel that the customer is in."""
        stages = self.route.journey.stages
        return stages[self.state.stage].stage if 0 <= self.state.stage < len(stages) else None

    # Inputs

    def event(self, event: Event, arrived: Instant) -> bool:
        """A product event or an answer arrives. False if it changed nothing: repeated, or nobody listens."""
        state = self.state
        if state.life != "running" or event.event not in self.route.listens:
            return False
        identity = _short(event)
        if identity in state.seen:
            return False
        self.begin(arrived)
        if state.life != "running":
            return False
        state.seen.append(identity)
        del state.seen[:-SEEN_EVENTS]
        counted = max(state.enrolled_at, min(arrived if event.at is None else event.at, arrived))
        state.counts[event.event] = state.counts.get(event.event, 0) + 1
        for index in self.route.milestones.get(event.event, ()):
            self._hit(self.route.stops[index], event, counted)
        kind = ANSWERS.get(event.event)
        for index in self.route.answers.get(event.event, ()):
            stop = self.route.stops[index]
            if _is_answer_to(stop, event):
                self.answer(stop, _answer(kind or "", event.properties))
        self.propagate()
        for rule, where in self.route.stop_when:
            if rule.event == event.event and self._stops(rule, where, event):
                self.stop(f"{rule.event} happened", undo=rule.undo)
                break
        self.finish()
        return True

    def remark(self, reason: str, at: Instant) -> None:
        """Something came that is no input, and changes nothing: it is written down all the same."""
        self.begin(at)
        self.note("occurred", reason=reason)

    def outcome(self, outcome: Outcome, now: Instant) -> None:
        """An effect came back. Its own `at` is the settling instant, within its start and `now`."""
        flight = self.state.flights.pop(outcome.effect, None)
        if flight is None:
            return
        at = max(flight.started, min(outcome.at, now))
        self.begin(max(at, self.state.floor))
        self.at = at
        if outcome.outcome in ("failed", "deferred", "skipped"):
            self.state.sent = [sent for sent in self.state.sent if sent[1] != outcome.effect]
            self._reconsider_capped()
        stop = self.route.stops[self.route.index[flight.step]]
        self._came_back(stop, self.state.steps[stop.id], flight, outcome)
        self.propagate()
        self.finish()

    def advance(self, now: Instant) -> None:
        """Time has come to `now`: everything due by then happens."""
        while not self.finished:
            best: AgendaItem | None = None
            for item in self._agenda():
                when, asked, index, action, nominal = item
                if when > now:
                    continue
                if not nominal and now - when > PUNCTUAL:
                    item = (now, asked, index, action, nominal)
                if best is None or item[:3] < best[:3]:
                    best = item
            if best is None:
                break
            self._perform(best)
        self._rest(now)

    # The agenda

    def _perform(self, item: AgendaItem) -> None:
        """Do what an item of the agenda says, at its instant, with all that follows at once."""
        when, _, index, action, _ = item
        self.at = max(when, self.state.floor)
        self.state.clock = max(self.state.clock, self.at)
        stop = self.route.stops[max(index, 0)]
        action(stop, self.state.steps[stop.id], self.at)
        self.propagate()
        self.finish()

    def _agenda(self) -> list[AgendaItem]:
        """Everything that time alone will bring about, in no particular order."""
        state = self.state
        items: list[AgendaItem] = []
        if state.life == "stopping":
            if not state.flights and state.undo and state.stop_undo:
                items.append((state.clock, 0, self.route.index[state.undo[-1]], self._compensate, False))
            return items
        if state.life != "running":
            return items
        if state.paused_at is not None:
            if state.paused_until is not None:
                items.append((state.paused_until, 0, -1, self._pause_is_over, True))
            return items
        if state.ends is not None:
            items.append((state.ends, 0, -1, self._end, True))
        for stop in self.route.stops:
            record = state.steps[stop.id]
            phase = record.phase
            if phase == "scheduled" and record.due is not None:
                asked = record.asked if record.asked is not None else record.due
                items.append((record.due, asked, stop.index, self._start, stop.milestone is not None))
            elif phase == "open" or (phase == "failed" and record.opened is not None):
                self._open_items(items, stop, record)
            if record.help:
                items.append((record.set_at, record.set_at, stop.index, self._open_help, False))
        return items

    def _open_items(self, items: list[AgendaItem], stop: Stop, record: StepState) -> None:
        if record.deadline is not None:
            items.append((record.deadline, record.deadline, stop.index, self._miss, True))
        if record.closes is not None:
            items.append((record.closes, record.closes, stop.index, self._close, True))
        if record.next is not None and record.phase == "open":
            asked = record.next_asked if record.next_asked is not None else record.next
            items.append((record.next, asked, stop.index, self._again, False))
        if record.escalates is not None:
            items.append((record.escalates, record.escalates, stop.index, self._escalate, False))

    # Propagation

    def begin(self, at: Instant) -> None:
        """An input is applied at `at`: what was nominally due before it has happened already."""
        while True:
            early = [item for item in self._agenda() if item[4] and item[0] < at]
            if not early:
                break
            self._perform(min(early, key=lambda item: item[:3]))
        self.at = at
        self.state.clock = max(self.state.clock, at)

    def mark(self, index: int) -> None:
        """A step has to be looked at again."""
        heappush(self._dirty, index)

    def _changed(self, stop: Stop) -> None:
        for index in stop.dependents:
            self.mark(index)

    def propagate(self) -> None:
        """Review what was marked, in the order of the file, until nothing moves any more."""
        dirty = self._dirty
        while dirty:
            index = heappop(dirty)
            while dirty and dirty[0] == index:
                heappop(dirty)
            if self.state.life == "running":
                self._review(self.route.stops[index])

    def _review(self, stop: Stop) -> None:
        record = self.state.steps[stop.id]
        if record.phase == "missed" and stop.milestone is not None and stop.milestone.all:
            self._join(stop, record)
        if record.phase in SETTLED:
            return
        for milestone in stop.step.until:
            if self.state.steps[milestone].reached_at is not None:
                self.settle(stop, "skipped", f"{milestone} was reached")
                return
        if stop.milestone is not None and stop.milestone.all and self._join(stop, record):
            return
        if record.phase == "waiting":
            self._review_waiting(stop, record)

    def _review_waiting(self, stop: Stop, record: StepState) -> None:
        ready = self.state.enrolled_at
        unmet = False
        for condition in stop.step.after:
            came = self.came_about(condition)
            if came == NEVER:
                self.settle(stop, "skipped", f"'{condition}' can no longer come about")
                return
            if came is None:
                unmet = True
            else:
                ready = max(ready, came)
        if not unmet:
            record.ready = ready
            self.schedule(stop, record)

    def came_about(self, condition: Condition) -> Instant | None:
        """When a condition of `after` came about; None: not yet; NEVER: it can no longer come."""
        record = self.state.steps[condition.step]
        phase, outcome = record.phase, condition.outcome
        if outcome == "settled":
            return record.settled_at
        if outcome == "skipped":
            return record.settled_at if phase == "skipped" else NEVER if phase in SETTLED else None
        if outcome == "missed":
            return record.missed_at if record.missed_at is not None else NEVER if phase in SETTLED else None
        return record.done_at if phase == "done" else NEVER if phase == "skipped" else None

    def _join(self, stop: Stop, record: StepState) -> bool:
        """A milestone of `all`: reached when every member is done or skipped, at least one done (§7.6)."""
        members = [self.state.steps[member] for member in (stop.milestone.all or ()) if stop.milestone]
        if any(member.phase not in ("done", "skipped") for member in members):
            return False
        times = [member.done_at for member in members if member.phase == "done" and member.done_at is not None]
        if not times:
            if record.phase not in SETTLED:
                self.settle(stop, "skipped", "every step it joins was skipped")
            return True
        if record.reached_at is None:
            settled = [member.settled_at or 0 for member in members]
            self._reach(stop, record, max(settled + times), {})
        return record.phase in SETTLED

    # Scheduling

    def schedule(self, stop: Stop, record: StepState) -> None:
        """The last of `after` came about (or a trait arrived): the due time becomes known, if it can."""
        ready = record.ready if record.ready is not None else self.at
        base, too_late = self.timing.base(stop, ready, self.at)
        if base is None:
            return
        record.base = record.first = base
        record.set_at = self.at
        due = None if too_late else self.timing.place(stop, base, self.at)
        if due is None:
            self._never(stop, too_late)
            return
        record.phase = "scheduled"
        self.due(stop, record, due)

    def due(self, stop: Stop, record: StepState, due: Instant) -> None:
        """Write down a new due time, before the cap."""
        if record.due != due:
            self.note("scheduled", stop, due=due)
        record.due = record.asked = due

    def _never(self, stop: Stop, too_late: bool) -> None:
        window = stop.window
        if too_late or window is None or self.calendar.next_opening(window, self.at) is not None:
            self.settle(stop, "skipped", "too late")
        else:
            self._fail(stop, "run", "its window never opens")

    def _reconsider_capped(self) -> None:
        """A place under the cap was given back: what waits for one may come earlier."""
        for stop in self.route.stops:
            record = self.state.steps[stop.id]
            if not stop.step.capped or record.phase not in ("scheduled", "open"):
                continue
            if record.phase == "scheduled" and record.due != record.asked and record.asked is not None:
                due = self._under_cap(stop, max(record.asked, self.at), 1)
                if due is not None and record.due is not None and due < record.due:
                    self.note("scheduled", stop, due=due)
                    record.due = due
            if record.next is not None and record.next != record.next_asked and record.next_asked is not None:
                record.next = self._under_cap(stop, max(record.next_asked, self.at), record.next_number)

    def _under_cap(self, stop: Stop, now: Instant, occurrence: int) -> Instant | None:
        """The first instant from `now` on that respects the cap and the step's window."""
        return self.timing.reopen(stop, self.timing.free_from(now), occurrence)

    # Starting

    def _start(self, stop: Stop, record: StepState, now: Instant) -> None:
        """A step is due: window, cap and `when` are looked at, in this order, then it runs."""
        if not record.forced:
            due = self._held(stop, now, 1)
            if due == NEVER:
                self._never(stop, too_late=False)
                return
            if due is not None:
                if self.timing.reopen(stop, now, 1) != now:
                    record.asked = due
                if due != record.due:
                    self.note("scheduled", stop, due=due)
                record.due = due
                return
        if stop.when is not None and not self._when(stop):
            return
        if stop.milestone is not None:
            self.note("running", stop)
            record.phase = "running"
            self._open(stop, record, now)
            return
        record.phase = "running"
        self._launch(stop, record, "run", 1)

    def _held(self, stop: Stop, now: Instant, occurrence: int) -> Instant | None:
        """When a message may go out that may not go out now; None if it may, NEVER if it never will."""
        due = self.timing.reopen(stop, now, occurrence)
        record, wait = self.state.steps[stop.id], stop.wait
        if due not in (None, now) and record.opened is None and isinstance(wait, Moment) and wait.before:
            # The window closed before the step could run: the moment itself must not be missed by waiting.
            due = self.timing.place(stop, record.base or now, now)
        if due == now and stop.step.capped:
            due = self._under_cap(stop, now, occurrence)
        if due is None:
            return NEVER
        return None if due == now else due

    def _when(self, stop: Stop) -> bool:
        """Look at `when`, once: false skips the step, an error fails it."""
        try:
            if stop.when is None or stop.when.is_true(self.facts(self.at).names()):
                return True
        except ExpressionError as error:
            self._fail(stop, "run", f"when: {error}")
            return False
        self.settle(stop, "skipped", f"when: {stop.step.when}")
        return False

    def _launch(self, stop: Stop, record: StepState, purpose: Purpose, occurrence: int) -> None:
        """Start an effect: `running` is written for the step's own run, and its outcome's number reserved."""
        state, now = self.state, self.at
        params = stop.params
        if stop.dynamic:
            try:
                params = render_values(params, self.facts(now).names())
            except ExpressionError as error:
                self._fail(stop, purpose, str(error), occurrence)
                return
        if purpose == "run":
            self.note("running", stop, due=record.due)
        identity = f"{stop.id}/{purpose}/{occurrence}/{record.attempt}"
        state.number += 1
        state.flights[identity] = Flight(stop.id, purpose, occurrence, record.attempt, now, state.number)
        if stop.step.capped and purpose in ("run", "remind", "occur"):
            cap = self.route.journey.defaults.cap
            if cap is not None:
                state.sent = [s for s in state.sent if self.calendar.add(s[0], cap.per) > now]
                state.sent.append((now, identity))
        not_after = None
        if stop.window is not None and self.calendar.is_open(stop.window, now):
            not_after = self.calendar.closing(stop.window, now)
        if purpose != "run" and record.deadline is not None:
            not_after = record.deadline if not_after is None else min(not_after, record.deadline)
        self.effects.append(
            Effect(
                id=identity,
                step=stop.id,
                kind=stop.kind,
                purpose=purpose,
                occurrence=occurrence,
                attempt=record.attempt,
                at=now,
                number=state.number,
                params=params,
                not_after=not_after,
                due=self._task_due(stop, now),
            )
        )

    def _task_due(self, stop: Stop, now: Instant) -> Instant | None:
        does = stop.step.does
        return self.timing.deadline(does.due, now) if isinstance(does, Task) else None

    def _again(self, stop: Stop, record: StepState, now: Instant) -> None:
        """A reminder or a later occurrence of a check-in is due."""
        number = record.next_number
        occurrence = number if stop.checkin is not None else number + 1
        if stop.step.customer_facing:
            due = self._held(stop, now, occurrence)
            if due is not None:
                if due == NEVER or (record.deadline is not None and due >= record.deadline):
                    record.next = None
                    return
                if self.timing.reopen(stop, now, occurrence) != now:
                    record.next_asked = due
                record.next = due
                return
        self._set_next(stop, record, number + 1)
        if stop.checkin is not None:
            self._occurred_at(stop.checkin, record, number, now)
        self._launch(stop, record, "occur" if stop.checkin is not None else "remind", number)

    def _set_next(self, stop: Stop, record: StepState, number: int) -> None:
        found = self.timing.next_after(stop, record, number, self.at)
        record.next_number, record.next = found if found is not None else (number, None)
        record.next_asked = record.next

    def _occurred_at(self, checkin: Checkin, record: StepState, number: int, now: Instant) -> None:
        """The last occurrence of a check-in closes one `every` after its actual start (§7.8)."""
        if record.next is None and checkin.every is not None:
            record.closes = self.calendar.add(now, checkin.every)

    def _open_help(self, stop: Stop, record: StepState, now: Instant) -> None:
        occurrence, record.help = record.help, 0
        self._launch(stop, record, "help", occurrence)

    def _escalate(self, stop: Stop, record: StepState, now: Instant) -> None:
        record.escalates = None
        self._launch(stop, record, "escalate", 1)

    # Outcomes

    def _came_back(self, stop: Stop, record: StepState, flight: Flight, outcome: Outcome) -> None:
        number = flight.number
        if flight.purpose == "undo":
            change: Change = "undone" if outcome.outcome in ("done", "open") else "failed"
            self.note(change, stop, outcome.reason, number=number)
            return
        done = outcome.outcome in ("done", "open")
        if done and stop.step.provision and stop.step.provision.undo:
            self.state.undo.append(stop.id)
        if record.phase in SETTLED and flight.purpose == "run":
            # Skipped meanwhile: the outcome is journaled as what it is, and not applied.
            stays = stop.kind in _OPENS and outcome.outcome == "done"
            change = "open" if stays else "occurred" if outcome.outcome == "deferred" else outcome.outcome
            self.note(change, stop, outcome.reason, number=number)
            return
        if record.phase in SETTLED and not done:
            reason = f"came back as {outcome.outcome} after the step was settled"
            self.note("occurred", stop, reason, number=number, occurrence=flight.occurrence)
            return
        if outcome.outcome == "failed":
            self._fail(
                stop, flight.purpose, outcome.reason or "the effect failed", flight.occurrence, number
            )
        elif outcome.outcome == "deferred":
            self._defer(stop, record, flight, outcome, number)
        elif flight.purpose == "run":
            self._ran(stop, record, outcome, number)
        else:
            reason = f"not sent: {outcome.reason}" if outcome.outcome == "skipped" else None
            self.note("occurred", stop, reason, number=number, occurrence=flight.occurrence)

    def _ran(self, stop: Stop, record: StepState, outcome: Outcome, number: int) -> None:
        if outcome.outcome == "skipped":
            self.settle(stop, "skipped", outcome.reason, number=number)
            return
        if outcome.result:
            record.result = dict(outcome.result)
        does = stop.step.does
        if isinstance(does, Assign):
            self.state.owners[stop.id] = str((outcome.result or {}).get("owner", does.team))
        if stop.kind in _OPENS or outcome.outcome == "open":
            self._open(stop, record, self.at, number=number)
        else:
            self.settle(stop, "done", outcome.reason, number=number)

    def _open(self, stop: Stop, record: StepState, now: Instant, number: int | None = None) -> None:
        """The step is open: its deadline runs, and what has already come settles it at once."""
        record.phase = "open"
        record.opened = record.set_at = now
        record.shift = 0
        record.deadline = self.timing.deadline(stop.step.within, now)
        self.note("open", stop, number=number)
        if stop.checkin is not None:
            self.note("occurred", stop, occurrence=1)
            self._set_next(stop, record, 2)
            self._occurred_at(stop.checkin, record, 1, now)
        elif stop.remind is not None:
            self._set_next(stop, record, 1)
        if stop.step.task is not None and stop.step.task.escalate_to and stop.step.task.due:
            record.escalates = self._task_due(stop, now)
        if record.reached_at is not None:
            self.settle(stop, "done")
        elif record.early is not None:
            early, record.early = record.early, None
            self.answer(stop, early)

    def _defer(
        self, stop: Stop, record: StepState, flight: Flight, outcome: Outcome, number: int
    ) -> None:
        until = max(outcome.until if outcome.until is not None else self.at, self.at)
        occurrence = flight.occurrence + (1 if flight.purpose == "remind" else 0)
        due = self.timing.reopen(stop, until, occurrence) if stop.step.customer_facing else until
        if due is None:
            self._fail(stop, flight.purpose, "its window never opens", flight.occurrence, number)
            return
        self.note("scheduled", stop, outcome.reason, due=due, number=number)
        if flight.purpose == "run":
            record.phase = "scheduled"
            record.base, record.set_at = until, self.at
            record.due = record.asked = due
        elif flight.purpose == "help":
            record.help = flight.occurrence
        elif record.deadline is None or due < record.deadline:
            record.next_number, record.next, record.next_asked = flight.occurrence, due, due

    def _fail(
        self, stop: Stop, purpose: Purpose, reason: str, occurrence: int = 1, number: int | None = None
    ) -> None:
        record = self.state.steps[stop.id]
        record.phase = "failed"
        record.failed = purpose
        record.failed_occurrence = occurrence
        record.set_at = self.at
        self.note("failed", stop, reason, number=number)

    # Events and answers

    def _hit(self, stop: Stop, event: Event, counted: Instant) -> None:
        record = self.state.steps[stop.id]
        milestone = stop.milestone
        if milestone is None or record.phase in ("done", "skipped") or record.reached_at is not None:
            return
        if milestone.since == "open" and record.opened is None:
            return
        if stop.where is not None:
            try:
                if not stop.where.is_true(self.facts(self.at).names(event.properties)):
                    return
            except ExpressionError as error:
                self.note("occurred", stop, f"an event {event.event} did not count: where: {error}")
                return
        record.hits.append(counted)
        if len(record.hits) >= milestone.times:
            reached = sorted(record.hits)[milestone.times - 1]
            record.hits = []
            self._reach(stop, record, reached, {"event": event.event})

    def _reach(self, stop: Stop, record: StepState, instant: Instant, result: dict[str, Any]) -> None:
        """A milestone has become true; it settles when it is open, or once it opens."""
        record.reached_at = instant
        record.result = result or None
        if record.phase in ("open", "missed") or (record.phase == "failed" and record.opened is not None):
            self.settle(stop, "done")
        else:
            self._changed(stop)
        self.enter_stage()

    def answer(
        self, stop: Stop, answer: dict[str, Any], reason: str | None = None, actor: str | None = None
    ) -> None:
        """An answer to a step, or the completion of a task, whenever it comes (JOURNEYS §3)."""
        record = self.state.steps[stop.id]
        if record.phase == "skipped":
            self.note("occurred", stop, "an answer came after the step was skipped: not applied")
            return
        if record.phase == "done":
            return
        if record.opened is None:
            record.early = answer
            return
        record.result = {**answer}
        if stop.checkin is not None:
            if answer.get("answer") == "help" and stop.checkin.by == "message":
                record.help = self.occurrence(stop, record)
                record.set_at = self.at
            if record.phase != "missed" and record.next is not None:
                return
        self.settle(stop, "done", reason, actor=actor)

    def occurrence(self, stop: Stop, record: StepState) -> int:
        """The occurrence of a check-in that is open now; 1 for everything else."""
        if stop.checkin is None:
            return 1
        return max(1, record.next_number - 1) if record.next is not None else stop.checkin.times

    def _stops(self, rule: StopWhen, where: Any, event: Event) -> bool:
        if where is None:
            return True
        try:
            return bool(where.is_true(self.facts(self.at).names(event.properties)))
        except ExpressionError as error:
            self.note("occurred", None, f"stop_when {rule.event} did not count: where: {error}")
            return False

    # Deadlines and ends

    def _miss(self, stop: Stop, record: StepState, now: Instant) -> None:
        self.settle(stop, "missed", "the deadline passed")

    def _close(self, stop: Stop, record: StepState, now: Instant) -> None:
        self.settle(stop, "done")

    def settle(
        self,
        stop: Stop,
        outcome: Change,
        reason: str | None = None,
        number: int | None = None,
        actor: str | None = None,
    ) -> None:
        """Settle a step as `done`, `skipped` or `missed`, and mark what depends on it."""
        record = self.state.steps[stop.id]
        late = outcome == "done" and record.missed_at is not None
        record.phase = outcome  # type: ignore[assignment]  # one of the three settled phases
        record.failed = None
        record.next = record.closes = record.escalates = record.deadline = None
        if record.settled_at is None:
            record.settled_at = self.at
        if outcome == "missed":
            record.missed_at = self.at
        elif outcome == "done":
            record.done_at = self.at
        record.set_at = self.at
        self.note(outcome, stop, reason, late=late, number=number, actor=actor)
        onboarded = self.route.journey.onboarded.milestone
        if outcome == "done" and stop.id == onboarded and self.state.onboarded_at is None:
            reached = record.reached_at if record.reached_at is not None else self.at
            self.state.onboarded_at = reached
            self.note("onboarded", seconds=(reached - self.state.enrolled_at) / SECOND)
        self._changed(stop)

    def enter_stage(self) -> None:
        """Enter the first stage whose milestone is not reached, if that is another than before."""
        stages = self.route.journey.stages
        current = next(
            (
                number
                for number, stage in enumerate(stages)
                if stage.until is None or self.state.steps[stage.until].reached_at is None
            ),
            len(stages) - 1,
        )
        if stages and current != self.state.stage:
            self.state.stage = current
            self.note("stage", stage=stages[current].stage)

    def _end(self, stop: Stop, record: StepState, now: Instant) -> None:
        self.state.life = "ending"

    def stop(self, reason: str | None, *, undo: bool, actor: str | None = None) -> None:
        """Stop the journey: nothing starts any more; what is in flight comes back first."""
        state = self.state
        state.life = "stopping"
        state.stop_undo, state.stop_reason, state.stop_actor = undo, reason, actor
        state.paused_at = state.paused_until = None

    def _compensate(self, stop: Stop, record: StepState, now: Instant) -> None:
        self.state.undo.pop()
        self._launch(stop, record, "undo", 1)

    def finish(self) -> None:
        """Write the last entry, if everything that has to come before it has come."""
        state = self.state
        if state.flights:
            return
        if state.life == "running":
            records = state.steps.values()
            if all(record.phase in SETTLED and not record.help for record in records):
                state.life = "completed"
                self.note("completed", reason="all steps settled")
        elif state.life == "ending":
            self._close_all()
        elif state.life == "stopping" and not (state.undo and state.stop_undo):
            state.life = "stopped"
            self.note("stopped", reason=state.stop_reason, actor=state.stop_actor)

    def _close_all(self) -> None:
        state = self.state
        for stop in self.route.stops:
            record = state.steps[stop.id]
            if record.phase in SETTLED:
                continue
            is_open = record.phase == "open" or (record.phase == "failed" and record.opened is not None)
            if is_open:
                self.settle(stop, "missed", "journey ended")
            else:
                self.settle(stop, "skipped", "journey ended")
        self._dirty.clear()
        state.life = "completed"
        self.note("completed", reason="ended")

    def _rest(self, now: Instant) -> None:
        """A journey without `ends` that nothing can wake any more has ended (JOURNEYS §5, last but one)."""
        state = self.state
        if state.life != "running" or state.paused_at is not None or state.flights:
            return
        if self.route.journey.ends is not None or self._agenda():
            return
        if any(record.phase == "failed" for record in state.steps.values()):
            return
        self.at = max(state.clock, state.floor)
        self._close_all()

    # Pause (the rest of it is in `commands`)

    def _pause_is_over(self, stop: Stop, record: StepState, now: Instant) -> None:
        from firstmile.journey.commands import resume

        resume(self, "shift", None, "the pause was over")

    # The journal

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


def _standing(record: StepState) -> tuple[str, Instant | None]:
    if record.phase == "scheduled":
        return "scheduled", record.due
    if record.phase == "open":
        return "open", record.deadline
    if record.phase == "waiting":
        return "waiting", None
    return record.phase, record.settled_at if record.phase in SETTLED else record.set_at


def _short(event: Event) -> str:
    return hashlib.sha256(event.id.encode()).hexdigest()[:16]


def _is_answer_to(stop: Stop, event: Event) -> bool:
    step = event.properties.get("step")
    if stop.step.training is not None:
        session = event.properties.get("session")
        return session == stop.step.training.session and step in (None, stop.id)
    return bool(step == stop.id)


def _answer(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an answer: never its free text, which is personal and belongs in the store."""
    kept = {"survey": ("score",), "checkin": ("answer",), "training": ("session",), "request": ()}[kind]
    return {name: properties[name] for name in kept if name in properties}
