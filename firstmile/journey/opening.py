"""While a step is open: its deadline, its reminders and occurrences, and what settles it.

An answer, a completion or an event may come before its step is open, in time, or late (JOURNEYS §3): the
functions here take it whenever it comes.
"""

from __future__ import annotations

from typing import Any

from firstmile.journey.course import Course
from firstmile.journey.expressions import ExpressionError
from firstmile.journey.inputs import Event
from firstmile.journey.instants import Instant
from firstmile.journey.route import Stop
from firstmile.journey.state import StepState

RETURNED = "returned"
"""The answer with which a person returns what a customer submitted: the customer is asked again."""
_KEPT = {"survey": ("score",), "checkin": ("answer",), "training": ("session",), "request": ()}
"""What the engine keeps of an answer: never its free text, which is personal and belongs in the store."""


def open_step(course: Course, stop: Stop, record: StepState, number: int | None = None) -> None:
    """A step is open: its deadline runs, and what has already come settles it at once."""
    now = course.at
    record.phase = "open"
    record.opened = record.set_at = now
    record.shift = 0
    record.last = 0 if stop.checkin is None else 1
    record.deadline = course.timing.deadline(stop.step.within, now, now)
    course.note("open", stop, number=number)
    if stop.checkin is not None:
        course.note("occurred", stop, occurrence=1)
        set_next(course, stop, record, 2)
        close_after(course, stop, record)
    elif stop.remind is not None:
        set_next(course, stop, record, 1)
    task = stop.step.task
    if task is not None and task.escalate_to and task.due:
        record.escalates = course.timing.deadline(task.due, now, now)
    if record.reached_at is not None:
        course.settle(stop, "done")
    elif record.early is not None:
        early, record.early = record.early, None
        answer(course, stop, early)


def set_next(course: Course, stop: Stop, record: StepState, number: int) -> None:
    """Place the next reminder or occurrence, `number` or later, if there is to be one before the deadline."""
    found = course.timing.next_after(stop, record, number, course.at)
    record.next_number, record.next = found if found is not None else (number, None)
    record.next_asked = record.next


def close_after(course: Course, stop: Stop, record: StepState) -> None:
    """A check-in's last occurrence closes one `every` after its actual start (§7.8)."""
    every = stop.checkin.every if stop.checkin is not None else None
    if record.next is None and every is not None:
        record.closes = course.calendar.add(course.at, every)


def occurrence(stop: Stop, record: StepState) -> int:
    """The occurrence of a check-in that is open now; 1 for everything else."""
    return 1 if stop.checkin is None else record.last


# Answers and completions


def answered(course: Course, stop: Stop, event: Event) -> None:
    """An event that may be the answer to a step: is it, and what of it is kept?"""
    step = event.properties.get("step")
    if stop.step.training is not None:
        is_answer = event.properties.get("session") == stop.step.training.session and step in (None, stop.id)
    else:
        is_answer = step == stop.id
    if is_answer:
        kept = _KEPT[stop.kind]
        answer(course, stop, {name: event.properties[name] for name in kept if name in event.properties})


def answer(
    course: Course,
    stop: Stop,
    given: dict[str, Any],
    reason: str | None = None,
    actor: str | None = None,
    *,
    by_person: bool = False,
) -> None:
    """An answer to a step, or (`by_person`) the completion of a task, whenever it comes (JOURNEYS §3)."""
    record = course.state.steps[stop.id]
    if record.phase == "skipped":
        course.note("occurred", stop, "an answer came after the step was skipped: not applied", actor=actor)
        return
    if record.done_at is not None:
        return
    if record.opened is None:
        record.early = given
        return
    record.result = {**(record.result or {}), **given}
    if stop.step.request is not None and stop.step.request.review and not by_person:
        _to_be_reviewed(course, stop, record)
        return
    if stop.checkin is not None:
        if given.get("answer") == "help" and stop.checkin.by == "message":
            _ask_for(record, occurrence(stop, record), course.at)
        if record.phase != "missed" and record.next is not None:
            return
    course.settle(stop, "done", reason, actor=actor)


def _ask_for(record: StepState, number: int, at: Instant) -> None:
    """A task for a person is wanted, once per occurrence."""
    if number > record.helped:
        record.help = record.helped = number
        record.help_at = at


def _to_be_reviewed(course: Course, stop: Stop, record: StepState) -> None:
    """What was submitted is accepted or returned by a person; meanwhile nobody is reminded."""
    record.next = record.next_asked = None
    course.note("occurred", stop, "submitted: to be reviewed")
    _ask_for(record, record.helped + 1, course.at)


def ask_again(course: Course, stop: Stop, reason: str | None, actor: str | None) -> None:
    """What was submitted is returned: the customer is asked again, within window and cap."""
    record = course.state.steps[stop.id]
    course.note("occurred", stop, reason or RETURNED, actor=actor)
    record.early = None
    if record.phase == "open":
        record.next_number = record.last + 1
        record.next = record.next_asked = course.at


# Events of milestones


def hit(course: Course, stop: Stop, event: Event, counted: Instant) -> None:
    """An event that a milestone waits for has come; it counts at `counted`."""
    record, milestone = course.state.steps[stop.id], stop.milestone
    if milestone is None or record.phase in ("done", "skipped") or record.reached_at is not None:
        return
    if milestone.since == "open" and (record.opened is None or counted < record.opened):
        return
    if stop.where is not None:
        try:
            if not stop.where.is_true(course.facts(course.at).names(event.properties)):
                return
        except ExpressionError as error:
            course.note("occurred", stop, f"an event {event.event} did not count: where: {error}")
            return
    hits = sorted([*record.hits, counted])
    if len(hits) < milestone.times:
        record.hits = hits
    else:
        record.hits = []
        reach(course, stop, record, hits[-1], {"event": event.event})


def reach(course: Course, stop: Stop, record: StepState, instant: Instant, result: dict[str, Any]) -> None:
    """A milestone has become true; it settles if it is open, else once it opens."""
    record.reached_at = instant
    record.result = result or None
    if record.opened is not None:
        course.settle(stop, "done")
    else:
        course.mark(stop)
    course.enter_stage()
