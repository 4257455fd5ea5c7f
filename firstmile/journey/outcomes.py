"""What the outcome of an effect makes of its step.

The entry of an outcome stands under the number that was reserved when its effect started, whatever happened
meanwhile: what was done is journaled as what it is, also where it is not applied any more.
"""

from __future__ import annotations

from typing import Final

from firstmile.journey.course import Course
from firstmile.journey.inputs import Outcome
from firstmile.journey.journal import Change
from firstmile.journey.model import Assign
from firstmile.journey.opening import open_step
from firstmile.journey.route import Stop
from firstmile.journey.scheduling import reconsider_capped
from firstmile.journey.state import SETTLED, Flight, StepState
from firstmile.journey.timing import nth

OPENS = frozenset({"training", "survey", "checkin", "task", "request"})
"""Kinds that are open once their effect is done; a provision only if the system says that it will call back."""


def came_back(course: Course, stop: Stop, flight: Flight, outcome: Outcome) -> None:
    """An effect came back, at `course.at`."""
    record, number, name = course.state.steps[stop.id], flight.number, outcome.outcome
    if name in ("failed", "deferred", "skipped"):
        course.state.sent = [sent for sent in course.state.sent if sent[1] != outcome.effect]
        reconsider_capped(course)
    if flight.purpose == "undo":
        change: Change = "undone" if name in ("done", "open") else "failed"
        course.note(change, stop, outcome.reason, number=number)
        return
    if flight.purpose == "run" and name in ("done", "open"):
        _to_be_undone(course, stop)
    if record.phase in SETTLED and flight.purpose == "run":
        # Skipped meanwhile: the outcome is journaled as what it is, and not applied.
        stays = stop.kind in OPENS and name == "done"
        course.note(
            "open" if stays else "occurred" if name == "deferred" else name,
            stop,
            outcome.reason,
            number=number,
        )
    elif flight.purpose == "run":
        _ran(course, stop, record, flight, outcome)
    elif name == "failed" and _matters(record, flight):
        course.fail(stop, flight.purpose, outcome.reason or "the effect failed", flight.occurrence, number)
    elif name == "deferred" and _matters(record, flight):
        _defer_extra(course, stop, record, flight, outcome)
    else:
        counts = flight.purpose in ("remind", "occur")
        occurrence = flight.occurrence if counts else None
        course.note("occurred", stop, _remark(flight, outcome), number=number, occurrence=occurrence)


def called_back(course: Course, stop: Stop, outcome: Outcome) -> None:
    """A system calls back about a provision that had answered `open`: in time, or late."""
    record = course.state.steps[stop.id]
    if record.phase == "skipped":
        course.note(
            "occurred", stop, f"the callback {outcome.outcome} came after the step was skipped: not applied"
        )
    elif outcome.outcome == "done":
        record.result = {**(record.result or {}), **(outcome.result or {})} or None
        _to_be_undone(course, stop)
        course.settle(stop, "done", outcome.reason)
    elif outcome.outcome == "failed" and record.phase == "open":
        course.fail(stop, "run", outcome.reason or "the system failed")
    else:
        course.note("occurred", stop, outcome.reason or f"the callback said {outcome.outcome}")


def awaits_callback(course: Course, stop: Stop, attempt: int) -> bool:
    """Whether a callback to a provision's attempt can still change or tell something."""
    record = course.state.steps[stop.id]
    return (
        stop.step.provision is not None
        and record.opened is not None
        and record.done_at is None
        and record.attempt == attempt
    )


def _to_be_undone(course: Course, stop: Stop) -> None:
    """Provisions are compensated in reverse order of their completion."""
    if stop.step.provision is not None and stop.step.provision.undo:
        course.state.undo = [step for step in course.state.undo if step != stop.id] + [stop.id]


def _ran(course: Course, stop: Stop, record: StepState, flight: Flight, outcome: Outcome) -> None:
    number = flight.number
    if outcome.outcome == "failed":
        course.fail(stop, "run", outcome.reason or "the effect failed", flight.occurrence, number)
        return
    if outcome.outcome == "deferred":
        _defer(course, stop, record, flight, outcome)
        return
    if outcome.outcome == "skipped":
        course.settle(stop, "skipped", outcome.reason, number=number)
        return
    if outcome.result and stop.step.survey is None:
        record.result = dict(outcome.result)
    if isinstance(stop.step.does, Assign):
        course.state.owners[stop.id] = str((outcome.result or {}).get("owner", stop.step.does.team))
    if stop.kind in OPENS or outcome.outcome == "open":
        open_step(course, stop, record, number=number)
    else:
        course.settle(stop, "done", outcome.reason, number=number)


def _defer(course: Course, stop: Stop, record: StepState, flight: Flight, outcome: Outcome) -> None:
    """It is tried again at `until`, within window and cap (JOURNEYS §7.9)."""
    until = max(outcome.until if outcome.until is not None else course.at, course.at)
    due = course.timing.reopen(stop, until, 1)
    if due is None:
        course.fail(stop, "run", "its window never opens", flight.occurrence, flight.number)
        return
    course.note("scheduled", stop, outcome.reason, due=due, number=flight.number)
    record.phase = "scheduled"
    record.forced = False
    record.base, record.set_at = until, course.at
    record.due = record.asked = due


def _defer_extra(course: Course, stop: Stop, record: StepState, flight: Flight, outcome: Outcome) -> None:
    """A reminder, an occurrence or a task that was asked for is tried again.

    Not if its time is over then: the deadline has passed, or the one after it has gone out.
    """
    until = max(outcome.until if outcome.until is not None else course.at, course.at)
    if flight.purpose in ("help", "review"):
        record.help, record.help_at = flight.occurrence, until
        due = until
    elif flight.purpose == "escalate":
        record.escalates = due = until
    else:
        placed = course.timing.reopen(stop, until, nth(stop, flight.occurrence))
        too_late = placed is None or (record.deadline is not None and placed >= record.deadline)
        if placed is None or too_late or flight.occurrence < record.last:
            remark = _remark(flight, outcome)
            course.note("occurred", stop, remark, number=flight.number, occurrence=flight.occurrence)
            return
        due = placed
        record.next_number, record.next, record.next_asked = flight.occurrence, due, due
        record.closes = None
    course.note("scheduled", stop, outcome.reason, due=due, number=flight.number)


def _matters(record: StepState, flight: Flight) -> bool:
    """Whether an effect besides the step's own run still has to come to something.

    A customer who asked for help gets it, also if the step is settled meanwhile. What goes out again changes
    nothing if it does not.
    """
    if flight.purpose == "resend":
        return False
    return record.phase not in SETTLED or (flight.purpose == "help" and record.phase != "skipped")


DONE: Final = {
    "help": "a task was opened: the customer asked for help",
    "escalate": "handed up: it took too long",
    "review": "a task was opened: the answers are to be reviewed",
    "resend": "sent again",
}
"""What is said of an effect that is neither an occurrence nor a reminder."""


def _remark(flight: Flight, outcome: Outcome) -> str | None:
    if outcome.outcome in ("done", "open"):
        return DONE.get(flight.purpose)
    what = "sent again" if flight.purpose == "resend" else "sent"
    return f"not {what}: {outcome.reason or outcome.outcome}"
