"""What comes next for a customer, when, and why: every step of the journey as people ask about it.

Made of what the store has: the journey, the view, the journal and the customer's calendar; no engine runs.
What is scheduled has its time; for what still waits there is an *earliest* time where one can be told, and
always the reason: what it waits for, and until when that may come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import Duration, Moment
from firstmile.journey.instants import Instant, to_datetime
from firstmile.journey.journal import FINISHED, Entry, View
from firstmile.journey.model import CUSTOMER_FACING, Condition, Journey, Step
from firstmile.journey.state import SETTLED

Group = Literal["past", "now", "next", "later"]
_GROUPS: dict[str, Group] = {
    "done": "past",
    "skipped": "past",
    "missed": "past",
    "failed": "now",
    "running": "now",
    "open": "now",
    "scheduled": "next",
    "waiting": "later",
}
_ORDER: tuple[Group, ...] = ("past", "now", "next", "later")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_AWAITS = {
    "survey": "an answer",
    "checkin": "an answer",
    "task": "somebody to complete it",
    "training": "training.completed",
    "provision": "the system's callback",
    "request": "the customer's answer",
}


@dataclass(slots=True, frozen=True)
class Row:
    """One step. `at`: when it was settled, since when it runs, when it is due, or until when it is open.

    With `earliest`, `at` is only the first instant at which it could become due; None: nobody can tell.
    """

    step: str
    title: str | None
    kind: str
    phase: str
    at: Instant | None
    why: str
    earliest: bool = False

    @property
    def group(self) -> Group:
        """Whether it is past, happens now, comes next, or waits for something else."""
        return _GROUPS[self.phase]


def outlook(
    journey: Journey, view: View, calendar: Calendar, now: Instant, entries: Iterable[Entry] = ()
) -> list[Row]:
    """Every step: what is past, by time; what is open now; what is due; what waits. `now` is journey time."""
    asked = _Asked(journey, view, calendar, now, {})
    notes = {(entry.step, entry.change): entry for entry in entries}
    rows = [asked.row(step, notes.get((step.id, asked.phase(step.id)))) for step in journey.steps]  # type: ignore[arg-type]  # a phase that is no change finds nothing
    places = {row.step: place for place, row in enumerate(rows)}
    far = max((row.at for row in rows if row.at is not None), default=now) + 1
    return sorted(
        rows,
        key=lambda row: (
            _ORDER.index(row.group),
            far if row.at is None or row.group == "now" else row.at,
            places[row.step],
        ),
    )


def when(calendar: Calendar, instant: Instant, now: Instant) -> str:
    """An instant as people say it, in the customer's zone: `Mon 9 Mar 09:12`; another year is named."""
    wall = to_datetime(calendar.wall(instant))
    year = "" if wall.year == to_datetime(calendar.wall(now)).year else f" {wall.year}"
    return f"{_DAYS[wall.weekday()]} {wall.day} {_MONTHS[wall.month - 1]}{year} {wall:%H:%M}"


@dataclass(slots=True)
class _Asked:
    journey: Journey
    view: View
    calendar: Calendar
    now: Instant
    known: dict[str, Instant | None]

    def phase(self, step: str) -> str:
        return self.view.steps[step][0] if step in self.view.steps else "waiting"

    def at(self, step: str) -> Instant | None:
        return self.view.steps[step][1] if step in self.view.steps else None

    def row(self, step: Step, entry: Entry | None) -> Row:
        phase, at = self.phase(step.id), self.at(step.id)
        why, earliest = "", False
        if phase in SETTLED or phase == "failed":
            why = self._settled(step, phase, at, entry)
        elif self.view.status in FINISHED:
            why, at = "the journey has ended", None
        elif phase == "running":
            why = "running" + (f" since {self.say(at)}" if at is not None else "")
        elif phase == "open":
            why = self._open(step, at)
        elif phase == "scheduled":
            why = self._scheduled(step, at)
        else:
            why, at, earliest = self._waiting(step), self.earliest(step.id), True
        return Row(step.id, step.title, step.kind, phase, at, why, earliest and at is not None)

    def say(self, instant: Instant) -> str:
        return when(self.calendar, instant, self.now)

    # What each phase says

    def _settled(self, step: Step, phase: str, at: Instant | None, entry: Entry | None) -> str:
        word = "reached" if phase == "done" and step.milestone is not None else phase
        if entry is not None and entry.late:  # the view has the instant at which it was settled: missed
            at = entry.at
        said = word + (f" {self.say(at)}" if at is not None else "")
        if entry is not None and entry.late:
            said += ", late"
        if entry is not None and entry.reason:
            said += f": {entry.reason}"
        return said + (" (retry it, or skip it)" if phase == "failed" else "")

    def _open(self, step: Step, deadline: Instant | None) -> str:
        if step.milestone is not None and step.milestone.event:
            awaits = " or ".join(step.milestone.event)
            if step.milestone.times > 1:
                awaits += f", {step.milestone.times} times"
        elif step.milestone is not None:
            awaits = ", ".join(step.milestone.all or ())
        else:
            awaits = _AWAITS.get(step.kind, "an answer")
        return f"waits for {awaits}{self._until(deadline)}"

    def _until(self, deadline: Instant | None) -> str:
        if deadline is not None:
            return f", until {self.say(deadline)}"
        ends = self.view.ends
        return "" if ends is None else f", until the journey ends ({self.say(ends)})"

    def _scheduled(self, step: Step, due: Instant | None) -> str:
        said = "due" if due is None else f"due {self.say(due)}"
        if self.view.status == "paused":
            until = self.view.paused_until
            said = f"paused{'' if until is None else f' until {self.say(until)}'}; was {said}"
        return said + (f", when {step.when}" if step.when else "")

    def _waiting(self, step: Step) -> str:
        parts = [self._unmet(condition) for condition in step.after if not self.met(condition)]
        said = " and ".join(parts)
        if isinstance(step.wait, Moment):
            moment = f"{step.wait} (not known yet)" if not parts else str(step.wait)
            said += f"; then {moment}" if parts else f"waits for {moment}"
        elif step.wait is not None and parts:
            said += f"; {step.wait} later"
        if step.until:
            said += f"; not needed once {' or '.join(step.until)} is reached"
        return (said or "starts in a moment") + (f"; when {step.when}" if step.when else "")

    def _unmet(self, condition: Condition) -> str:
        step, phase, at = condition.step, self.phase(condition.step), self.at(condition.step)
        if condition.outcome == "missed":
            by = f" ({self.say(at)})" if phase == "open" and at is not None else ""
            return f"only if {step} is missed{by}"
        if condition.outcome == "skipped":
            return f"only if {step} is skipped"
        if phase == "failed":
            return f"waits for {step}, which has failed"
        if phase == "missed":
            return f"waits for {step}, which may still come late"
        return f"waits for {step}" + (self._until(at) if phase == "open" and at is not None else "")

    # When

    def met(self, condition: Condition) -> bool:
        phase = self.phase(condition.step)
        if condition.outcome == "settled":
            return phase in SETTLED
        return phase == {"reached": "done"}.get(condition.outcome, condition.outcome)

    def earliest(self, step_id: str) -> Instant | None:
        """The first instant at which a step could become due; None if nobody can tell."""
        if step_id not in self.known:
            self.known[step_id] = None  # a circle cannot be published; this only ends the recursion
            self.known[step_id] = self._earliest(self.journey.by_id[step_id])
        return self.known[step_id]

    def _earliest(self, step: Step) -> Instant | None:
        ready = self.now
        for condition in step.after:
            came = self._came(condition)
            if came is None:
                return None
            ready = max(ready, came) if not self.met(condition) else ready
        if step.wait is not None:
            if isinstance(step.wait, Moment):
                return None
            ready = self.calendar.add(ready, step.wait)
        window = self.journey.window_of(step) if step.kind in CUSTOMER_FACING else None
        if window is not None and not self.calendar.is_open(window, ready):
            return self.calendar.next_opening(window, ready)
        return ready

    def _came(self, condition: Condition) -> Instant | None:
        step, phase, at = (
            self.journey.by_id[condition.step],
            self.phase(condition.step),
            self.at(condition.step),
        )
        if self.met(condition):
            return at if at is not None else self.now
        if phase in SETTLED or phase == "failed" or condition.outcome == "skipped":
            return None
        if condition.outcome == "missed":
            if phase == "open":
                return at
            begins = at if phase in ("scheduled", "running") else self.earliest(condition.step)
            if begins is None or not isinstance(step.within, Duration):
                return None
            return self.calendar.add(begins, step.within)
        if phase == "scheduled":
            return at
        return self.earliest(condition.step) if phase == "waiting" else self.now


__all__ = ["Group", "Row", "outlook", "when"]
