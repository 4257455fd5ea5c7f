"""Pause and resume (JOURNEYS §4, rule 7).

Nothing starts and nothing is missed during a pause. At the resume, `shift` moves each due time and deadline
by the part of the pause that came after it was set; with `run` and `skip` absolute times stay, and what is
overdue runs or is skipped. Moments are never moved: one that passed during the pause is judged anew.
"""

from __future__ import annotations

from typing import Literal

from firstmile.journey.course import Course
from firstmile.journey.durations import Duration, Moment
from firstmile.journey.instants import Instant
from firstmile.journey.opening import close_after, set_next
from firstmile.journey.route import Stop
from firstmile.journey.scheduling import give_up, judge_moment, set_due
from firstmile.journey.state import SETTLED, StepState

Overdue = Literal["shift", "run", "skip"]


def pause(course: Course, until: Instant | None, reason: str | None, actor: str | None) -> None:
    """From now on nothing starts; with `until`, the pause ends by itself."""
    course.state.paused_at = course.at
    course.state.paused_until = until
    course.note("paused", reason=reason, actor=actor)


def resume(course: Course, overdue: Overdue, reason: str | None, actor: str | None) -> None:
    """End a pause; `overdue` decides over due times that lie in it."""
    state, at = course.state, course.at
    paused = state.paused_at if state.paused_at is not None else at
    state.paused_at = state.paused_until = None
    state.floor = state.clock = at
    course.note("resumed", reason=reason, actor=actor)
    if overdue == "shift" and state.ends is not None and isinstance(course.route.journey.ends, Duration):
        state.ends += at - paused
    for stop in course.route.stops:
        record = state.steps[stop.id]
        if record.phase == "scheduled":
            if not record.forced:
                _resume_scheduled(course, stop, record, paused, overdue)
        elif record.opened is not None and record.phase not in SETTLED:
            _resume_open(course, stop, record, paused, overdue)


def _resume_scheduled(
    course: Course, stop: Stop, record: StepState, paused: Instant, overdue: Overdue
) -> None:
    late = record.due is not None and record.due < course.at
    if isinstance(stop.wait, Moment) and not record.attempt:
        if _passed_meanwhile(course, stop.wait, record, paused):
            judge_moment(course, stop, record)
    elif overdue == "shift":
        _shift(course, stop, record, paused)
    # Opening a milestone starts nothing that could be overdue; all that follows it would be lost.
    if overdue == "skip" and late and record.phase == "scheduled" and stop.milestone is None:
        course.settle(stop, "skipped", "overdue when the journey was resumed")


def _passed_meanwhile(course: Course, wait: Moment, record: StepState, paused: Instant) -> bool:
    """Whether a moment that lay ahead at the pause is past now, or the opening that it had moved to is."""
    found = course.timing.moment(wait)
    if found is None or found[1] <= paused or record.base != record.first:
        return False
    return found[1] <= course.at or (record.due is not None and record.due < course.at)


def _shift(course: Course, stop: Stop, record: StepState, paused: Instant) -> None:
    at, timing = course.at, course.timing
    moved = at - max(paused, record.set_at)
    if moved <= 0 or record.base is None:
        return
    as_asked = record.base == record.first
    record.base += moved
    record.first = record.base if record.first is None else record.first + moved
    record.set_at = at
    # What was deferred or retried has left its wait behind: only the window still holds.
    due = timing.place(stop, record.base, at) if as_asked else timing.reopen(stop, record.base, 1)
    if due is not None and due < at:
        due = timing.reopen(stop, at, 1)
    if due is None:
        give_up(course, stop, too_late=False)
    else:
        set_due(course, stop, record, due)


def _resume_open(course: Course, stop: Stop, record: StepState, paused: Instant, overdue: Overdue) -> None:
    at = course.at
    if overdue == "shift":
        moved = at - max(paused, record.opened or 0)
        record.shift += moved
        if record.deadline is not None and isinstance(stop.step.within, Duration):
            record.deadline += moved
        if record.closes is not None:
            record.closes += moved
        due = stop.step.task.due if stop.step.task else None
        if record.escalates is not None and isinstance(due, Duration):
            record.escalates += moved
        if record.next is not None:
            base = max(record.next_asked or 0, at)
            if stop.checkin is not None or stop.remind is not None:
                base = max(base, course.timing.occurrence_base(stop, record, record.next_number))
            record.next = record.next_asked = course.timing.placed(stop, record, base, record.next_number)
    elif overdue == "skip" and record.next is not None and record.next < at:
        _pass_over(course, stop, record)


def _pass_over(course: Course, stop: Stop, record: StepState) -> None:
    """What is overdue of an open step is left out: the occurrences of a check-in, and one reminder at most."""
    timing, number = course.timing, record.next_number + 1
    while stop.checkin is not None and number <= stop.checkin.times:
        due = timing.placed(stop, record, timing.occurrence_base(stop, record, number), number)
        if due is None or due >= course.at:
            break
        number += 1
    set_next(course, stop, record, number)
    close_after(course, stop, record)
