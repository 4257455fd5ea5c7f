"""From waiting to scheduled: what `after`, `until` and `all` make of a step, and when it is due.

A due time is told once the last of `after` came about, and again whenever something moves it: a trait that
its moment is counted from, or a place under the cap that was given back.
"""

from __future__ import annotations

from heapq import heappop

from firstmile.journey.course import NEVER, Course
from firstmile.journey.durations import Moment
from firstmile.journey.instants import Instant
from firstmile.journey.opening import reach, set_next
from firstmile.journey.route import Stop
from firstmile.journey.state import SETTLED, StepState
from firstmile.journey.timing import nth


def propagate(course: Course) -> None:
    """Review what was marked, in the order of the file, until nothing moves any more."""
    marked, route = course.marked, course.route
    while marked:
        index = heappop(marked)
        while marked and marked[0] == index:
            heappop(marked)
        if course.state.life == "running":
            review(course, route.stops[index])


def review(course: Course, stop: Stop) -> None:
    """Look at a step again: something that it depends on has changed."""
    record = course.state.steps[stop.id]
    if stop.joins:
        _join(course, stop, record)
    if record.phase in SETTLED:
        return
    for milestone in stop.step.until:
        if course.state.steps[milestone].reached_at is not None:
            course.settle(stop, "skipped", f"{milestone} was reached")
            return
    if record.phase == "waiting":
        _look_at_after(course, stop, record)


def _look_at_after(course: Course, stop: Stop, record: StepState) -> None:
    ready = course.state.enrolled_at
    unmet = False
    for condition in stop.step.after:
        came = course.came_about(condition)
        if came == NEVER:
            course.settle(stop, "skipped", f"'{condition}' can no longer come about")
            return
        if came is None:
            unmet = True
        else:
            ready = max(ready, came)
    if not unmet:
        record.ready = ready
        schedule(course, stop, record)


def _join(course: Course, stop: Stop, record: StepState) -> None:
    """A milestone of `all`: reached when every member is done or skipped, at least one done (§7.6)."""
    if record.phase in ("done", "skipped") or record.reached_at is not None:
        return
    members = [course.state.steps[member] for member in stop.joins]
    if any(member.done_at is None and member.phase != "skipped" for member in members):
        return
    if any(member.done_at is not None for member in members):
        reach(course, stop, record, max(member.done_at or member.settled_at or 0 for member in members), {})
    elif record.phase not in SETTLED:
        course.settle(stop, "skipped", "every step it joins was skipped")


def schedule(course: Course, stop: Stop, record: StepState) -> None:
    """The last of `after` came about (or a trait arrived): the due time becomes known, if it can."""
    ready = record.ready if record.ready is not None else course.at
    base, too_late = course.timing.base(stop, ready, course.at)
    if base is None:
        return
    record.base = record.first = base
    record.set_at = course.at
    due = None if too_late else course.timing.place(stop, base, course.at)
    if due is None:
        give_up(course, stop, too_late=too_late)
        return
    record.phase = "scheduled"
    set_due(course, stop, record, due)


def set_due(
    course: Course,
    stop: Stop,
    record: StepState,
    due: Instant,
    reason: str | None = None,
    actor: str | None = None,
) -> None:
    """Write down a due time, before the cap; journaled when it moves."""
    if record.due != due:
        course.note("scheduled", stop, reason, due=due, actor=actor)
    record.due = record.asked = due


def give_up(course: Course, stop: Stop, *, too_late: bool) -> None:
    """A step has no due time: its moment is past, or (our fault) its window never opens."""
    if too_late or stop.window is None or course.calendar.next_opening(stop.window, course.at) is not None:
        course.settle(stop, "skipped", "too late")
    else:
        course.fail(stop, "run", "its window never opens")


def judge_moment(course: Course, stop: Stop, record: StepState) -> None:
    """Judge a scheduled step's moment anew: it moves, is too late, or waits for its trait again."""
    record.phase = "waiting"
    schedule(course, stop, record)
    if course.state.steps[stop.id].phase == "waiting":
        record.due = record.asked = record.base = None


def traits_changed(course: Course, names: set[str]) -> None:
    """Traits changed: what rests on them and has not started moves, deadlines too (JOURNEYS §2, §7.3)."""
    state, timing = course.state, course.timing
    ends = course.route.journey.ends
    if isinstance(ends, Moment) and ends.trait in names:
        state.ends = timing.deadline(ends, state.enrolled_at, course.at)
    for stop in course.route.stops:
        record = state.steps[stop.id]
        if record.opened is not None and record.phase not in SETTLED:
            _move_deadlines(course, stop, record, names)
        wait = stop.wait
        if not isinstance(wait, Moment) or wait.trait not in names or record.forced or record.attempt:
            continue
        if record.phase == "waiting" and record.ready is not None:
            schedule(course, stop, record)
        elif record.phase == "scheduled":
            judge_moment(course, stop, record)


def _move_deadlines(course: Course, stop: Stop, record: StepState, names: set[str]) -> None:
    within, opened = stop.step.within, record.opened or 0
    if isinstance(within, Moment) and within.trait in names:
        record.deadline = course.timing.deadline(within, opened, course.at)
        if stop.remind is not None:
            set_next(course, stop, record, max(record.next_number, 1))
    due = stop.step.task.due if stop.step.task and stop.step.task.escalate_to else None
    if isinstance(due, Moment) and due.trait in names:
        record.escalates = course.timing.deadline(due, opened, course.at)


def reconsider_capped(course: Course) -> None:
    """A place under the cap was given back: what waits for one may come earlier."""
    state, timing, at = course.state, course.timing, course.at
    for stop in course.route.stops:
        record = state.steps[stop.id]
        if not stop.capped:
            continue
        asked, due = record.asked, record.due
        if record.phase == "scheduled" and asked is not None and due is not None and due != asked:
            earlier = timing.under_cap(stop, max(asked, at), 1)
            if earlier is not None and earlier < due:
                course.note("scheduled", stop, due=earlier)
                record.due = earlier
        if record.phase == "open" and record.next_asked is not None and record.next != record.next_asked:
            record.next = timing.under_cap(stop, max(record.next_asked, at), nth(stop, record.next_number))
