"""Starting effects: a step that is due, a reminder, an occurrence of a check-in, a task for who needs help.

Everything here happens at the actual instant, at which window, cap and `when` are looked at, in this order.
"""

from __future__ import annotations

from firstmile.journey.course import NEVER, Course
from firstmile.journey.durations import Moment
from firstmile.journey.expressions import ExpressionError, render_values
from firstmile.journey.inputs import Effect, Purpose
from firstmile.journey.instants import Instant
from firstmile.journey.opening import close_after, occurrence, open_step, set_next
from firstmile.journey.route import Stop
from firstmile.journey.scheduling import give_up
from firstmile.journey.state import Flight, StepState
from firstmile.journey.timing import nth

_MESSAGES: frozenset[Purpose] = frozenset({"run", "remind", "occur", "resend"})
"""The purposes for which a message goes to the customer: they count under the cap."""


def start(course: Course, stop: Stop, record: StepState) -> None:
    """A step is due: unless window or cap hold it, or `when` is false, it runs."""
    if not record.forced:
        due = _held(course, stop, record, 1)
        if due == NEVER:
            give_up(course, stop, too_late=False)
            return
        if due is not None:
            if course.timing.reopen(stop, course.at, 1) != course.at:
                record.asked = due
            if due != record.due:
                course.note("scheduled", stop, due=due)
            record.due = due
            return
    # A task that is reopened has had its `when`.
    if stop.when is not None and record.settled_at is None and not _when(course, stop):
        return
    record.phase = "running"
    if stop.milestone is not None:
        course.note("running", stop)
        open_step(course, stop, record)
    else:
        launch(course, stop, record, "run", 1)


def go_on(course: Course, stop: Stop, record: StepState) -> None:
    """A reminder or a later occurrence of a check-in is due."""
    number = record.next_number
    place = nth(stop, number)
    if record.deadline is not None and record.deadline <= course.at:
        record.next = None
        return
    due = _held(course, stop, record, place)
    if due is not None:
        if due == NEVER or (record.deadline is not None and due >= record.deadline):
            record.next = None
            return
        if course.timing.reopen(stop, course.at, place) != course.at:
            record.next_asked = due
        record.next = due
        return
    record.last = max(record.last, number)
    set_next(course, stop, record, record.last + 1)
    close_after(course, stop, record)
    launch(course, stop, record, "occur" if stop.checkin is not None else "remind", number)


def open_help(course: Course, stop: Stop, record: StepState) -> None:
    """A task for a person: the customer needs help, or has submitted what is to be reviewed."""
    number, record.help = record.help, 0
    launch(course, stop, record, "help" if stop.checkin is not None else "review", number)


def send_again(course: Course, stop: Stop, record: StepState) -> None:
    """An operator wants a message to go out again: it counts, and settles nothing."""
    record.resend_at = None
    launch(course, stop, record, "resend", occurrence(stop, record))


def escalate(course: Course, stop: Stop, record: StepState) -> None:
    """A task was not completed when it was due."""
    record.escalates = None
    launch(course, stop, record, "escalate", 1)


def launch(course: Course, stop: Stop, record: StepState, purpose: Purpose, number: int) -> None:
    """Start an effect: `running` is written for the step's own run, and its outcome's number reserved."""
    state, now = course.state, course.at
    params = stop.params
    if stop.dynamic:
        try:
            params = render_values(params, course.facts(now).names())  # type: ignore[assignment]  # a dict again
        except ExpressionError as error:
            course.fail(stop, purpose, str(error), number)
            return
    if purpose == "run":
        course.note("running", stop, due=record.due)
    shown: Purpose = "run" if purpose == "resend" else purpose
    identity = f"{stop.id}/{shown}/{number}/{record.attempt}"
    state.number += 1
    state.flights[identity] = Flight(stop.id, purpose, number, record.attempt, now, state.number)
    if stop.capped and purpose in _MESSAGES:
        state.sent = [*course.timing.counting(now), (now, identity)]
    course.effects.append(
        Effect(
            id=identity,
            step=stop.id,
            kind=stop.kind,
            purpose=shown,
            occurrence=number,
            attempt=record.attempt,
            at=now,
            number=state.number,
            params=params,
            not_after=_not_after(course, stop, record, purpose),
            due=course.timing.deadline(stop.step.task.due, now) if stop.step.task else None,
        )
    )


def _not_after(course: Course, stop: Stop, record: StepState, purpose: Purpose) -> Instant | None:
    """The end of the window in which an effect starts, or the deadline of the step that it reminds of."""
    found = None
    if stop.window is not None and course.calendar.is_open(stop.window, course.at):
        found = course.calendar.closing(stop.window, course.at)
    if purpose in ("remind", "occur") and record.deadline is not None:
        return record.deadline if found is None else min(found, record.deadline)
    return found


def _held(course: Course, stop: Stop, record: StepState, number: int) -> Instant | None:
    """When something may start that may not start now; None if it may, `NEVER` if it never will."""
    now, timing, wait = course.at, course.timing, stop.wait
    due = timing.reopen(stop, now, number)
    if due not in (None, now) and record.opened is None and isinstance(wait, Moment) and wait.before:
        # The window closed before the step could run: the moment itself must not be missed by waiting.
        due = timing.place(stop, max(record.base or now, now), now)
    if due == now and stop.capped:
        due = timing.under_cap(stop, now, number)
    if due is None:
        return NEVER
    return None if due == now else due


def _when(course: Course, stop: Stop) -> bool:
    """Look at `when`, once: false skips the step, an error fails it."""
    try:
        if stop.when is None or stop.when.is_true(course.facts(course.at).names()):
            return True
    except ExpressionError as error:
        course.fail(stop, "run", f"when: {error}")
        return False
    course.settle(stop, "skipped", f"when: {stop.step.when}")
    return False
