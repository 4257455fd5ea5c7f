"""How a journey ends: completed when every step is settled or at `ends`, or stopped (JOURNEYS §3).

What is in flight comes back first; the last entry is written when nothing has to come before it any more.
"""

from __future__ import annotations

from firstmile.journey.course import Course
from firstmile.journey.route import Stop
from firstmile.journey.starting import launch
from firstmile.journey.state import SETTLED, StepState


def end(course: Course) -> None:
    """`ends` has come: no new effect starts."""
    course.state.life = "ending"


def stop_journey(course: Course, reason: str | None, *, undo: bool, actor: str | None = None) -> None:
    """Stop the journey: nothing starts any more but, with `undo`, the compensation of what was provisioned."""
    state = course.state
    state.life = "stopping"
    state.stop_undo, state.stop_reason, state.stop_actor = undo, reason, actor
    state.paused_at = state.paused_until = None


def compensate(course: Course, stop: Stop, record: StepState) -> None:
    """Undo what was provisioned last."""
    course.state.undo = course.state.undo[:-1]
    launch(course, stop, record, "undo", 1)


def finish(course: Course) -> None:
    """Write the last entry, if everything that has to come before it has come."""
    state = course.state
    if state.flights:
        return
    if state.life == "running":
        if all(record.is_over for record in state.steps.values()):
            state.life = "completed"
            course.note("completed", reason="all steps settled")
    elif state.life == "ending":
        close_all(course)
    elif state.life == "stopping" and not (state.undo and state.stop_undo):
        state.life = "stopped"
        course.note("stopped", reason=state.stop_reason, actor=state.stop_actor)


def close_all(course: Course) -> None:
    """What is open is missed, everything else unfinished skipped; then the journey is completed."""
    for stop in course.route.stops:
        record = course.state.steps[stop.id]
        if record.phase in SETTLED:
            continue
        if record.phase == "failed" and record.outcome is not None:
            record.phase = record.outcome
        else:
            is_open = record.opened is not None and record.phase in ("open", "failed")
            course.settle(stop, "missed" if is_open else "skipped", "journey ended")
    course.marked.clear()
    course.state.life = "completed"
    course.note("completed", reason="ended")
