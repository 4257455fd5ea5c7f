"""The summary of a simulation: how much the customer heard from us, how soon they had value, how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from firstmile.journey.durations import Duration
from firstmile.journey.instants import Instant
from firstmile.journey.model import Condition, Step
from firstmile.journey.outcomes import DONE
from firstmile.journey.state import SETTLED
from firstmile.journey.timeline import words
from firstmile.journey.timeline.lines import Line, Piece, pad, wrap
from firstmile.journey.timeline.simulated import Simulated
from firstmile.journey.timing import Timing

_KINDS = {
    "email": ("email", "emails"),
    "training": ("training invitation", "training invitations"),
    "survey": ("survey", "surveys"),
    "checkin": ("check-in", "check-ins"),
    "request": ("request", "requests"),
    "webhook": ("message by webhook", "messages by webhook"),
}
_PHASES = ("done", "skipped", "missed", "failed", "running", "open", "scheduled", "waiting")
_WEEK = Duration(days=7)
_INDENT = 15


def summary(simulated: Simulated, columns: int) -> Iterator[Line]:
    """The summary, a fact a line, and where the steps stand if the journey has not ended."""
    telling = _Summary(simulated)
    facts = [
        *telling.message_facts(),
        telling.value_fact(),
        *telling.task_facts(),
        telling.step_fact(),
        *telling.end_facts(),
    ]
    yield []
    yield [Piece("Summary", "day")]
    for name, body in facts:
        yield from wrap(body, [Piece(f"  {name:13}", "faint")], indent=_INDENT, columns=columns)
    if not simulated.engine.finished:
        column = max(len(step.id) for step in simulated.journey.steps) + 2
        for step in simulated.journey.steps:
            standing = telling.standing(step)
            if standing is not None:
                start = Piece(" " * _INDENT + pad(step.id, column), standing.style)
                yield from wrap([standing], [start], indent=_INDENT + column, columns=columns)


Fact = tuple[str, Line]


class _Summary:
    def __init__(self, simulated: Simulated) -> None:
        self.simulated = simulated
        self.engine = simulated.engine
        self.state = simulated.engine.state
        self.calendar = simulated.calendar
        self.entries = simulated.entries
        self.view = simulated.engine.view()

    def message_facts(self) -> Iterator[Fact]:
        messages = self.simulated.messages
        if not messages:
            yield "Messages", [Piece("none")]
            return
        kinds = Counter(message.step.kind for message in messages if not message.reminder)
        named = [f"{count} {_KINDS[kind][count != 1]}" for kind, count in kinds.items()]
        reminders = sum(message.reminder for message in messages)
        if reminders:
            named.append(words.counted(reminders, "reminder"))
        whole = f"{len(messages)} in all: " if len(named) > 1 else ""
        classes = Counter(str(message.step.message_class) for message in messages)
        by_class = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
        text = f"✉ {whole}{words.listed(named)}"
        yield "Messages", [Piece(text, "message"), Piece(f" ({by_class})", "faint")]
        most, first = self.busiest_week()
        last = self.calendar.add(first, Duration(days=6))
        when = f" ({self.short_date(first)} to {self.short_date(last)})" if most > 1 else ""
        yield "Per week", [Piece(f"{most} at most"), Piece(when, "faint")]

    def busiest_week(self) -> tuple[int, Instant]:
        """The most messages within any seven days, and the first of them."""
        times = [message.at for message in self.simulated.messages]
        weeks = [(start, self.calendar.add(start, _WEEK)) for start in times]
        counts = [(sum(start <= at < end for at in times), -start) for start, end in weeks]
        most, start = max(counts)
        return most, -start

    def value_fact(self) -> Fact:
        within, reached = self.simulated.journey.onboarded.within, self.state.onboarded_at
        goal = "" if within is None else f"goal: {within}"
        if reached is None:
            return "First value", [Piece("not reached", "bad"), Piece(f" ({goal})" if goal else "", "faint")]
        took = f"after {words.length(reached - self.state.enrolled_at)}"
        deadline = Timing(self.engine.route, self.calendar, self.state).deadline(
            within, self.state.enrolled_at
        )
        if deadline is None:
            return "First value", [Piece(took, "good")]
        if reached <= deadline:
            return "First value", [Piece(took, "good"), Piece(f" ({goal}, met)", "faint")]
        over = words.length(reached - deadline)
        return "First value", [Piece(took, "bad"), Piece(f" ({goal}, {over} too late)", "faint")]

    def task_facts(self) -> Iterator[Fact]:
        opened: list[str] = []
        helped = 0
        for entry in self.entries:
            effect = self.simulated.effects.get(entry.number)
            if effect is None or entry.reason not in (None, DONE["help"]):
                continue
            if entry.change == "open" and self.simulated.journey.by_id[effect.step].task:
                opened.append(effect.step)
            helped += effect.purpose == "help" and entry.change == "occurred"
        finished = sum(self.state.steps[step].phase == "done" for step in opened)
        if opened:
            text = f"{len(opened)} for people, {finished} completed"
            asked = f"; {helped} more because the customer asked for help" if helped else ""
            yield "Tasks", [Piece(text + asked)]
        elif helped:
            yield "Tasks", [Piece(f"{helped} because the customer asked for help")]

    def step_fact(self) -> Fact:
        phases = Counter(str(record.phase) for record in self.state.steps.values())
        late = sum(entry.late for entry in self.entries)
        parts = [
            f"{phases[phase]} {phase}{f' ({late} late)' if phase == 'done' and late else ''}"
            for phase in _PHASES
            if phases[phase]
        ]
        return "Steps", [Piece(", ".join(parts))]

    def end_facts(self) -> Iterator[Fact]:
        last = self.entries[-1]
        if self.engine.finished:
            when = f"{self.long(last.at)}, day {self.simulated.day(last.at)}"
            why = "its time is over" if last.reason == "ended" else last.reason
            by = f" by {last.actor}" if last.actor else ""
            text = f"{last.change}{by}, {when}"
            yield "Ended", [Piece(text, "notable"), Piece(f" ({why})" if why else "", "faint")]
            return
        status = {"paused": "paused", "stuck": "stuck"}.get(self.engine.status, "under way")
        until = self.simulated.until
        if until is not None and self.view.next is not None:
            where = f"{status} on {self.long(until)}"
        else:
            where = f"{status}, and nothing more happens by itself"
        yield "Ended", [Piece(f"not yet: {where}", "notable" if status == "under way" else "bad")]
        if self.state.paused_at is not None:
            entry = next(entry for entry in reversed(self.entries) if entry.change == "paused")
            by = f" by {entry.actor}" if entry.actor else ""
            until = self.state.paused_until
            end = "" if until is None else f", until {self.short(until)}"
            why = f": {entry.reason}" if entry.reason else ""
            yield "Paused", [Piece(f"since {self.short(entry.at)}{by}{end}", "bad"), Piece(why, "faint")]

    def standing(self, step: Step) -> Piece | None:
        """Where a step stands that is not settled."""
        phase, when = self.view.steps[step.id]
        at = "" if when is None else self.short(when)
        if phase in SETTLED:
            return None
        if phase == "failed":
            entries = (entry for entry in reversed(self.entries) if entry.step == step.id)
            reason = next(entry.reason for entry in entries if entry.change == "failed")
            return Piece(f"failed{f' ({reason})' if reason else ''}: retry it, or skip it", "bad")
        if phase == "scheduled":
            return Piece(f"due {at}".rstrip())
        if phase == "open":
            return Piece(f"open until {at}" if at else "open")
        if phase == "running":
            return Piece(f"running since {at}".rstrip())
        unmet = [str(condition) for condition in step.after if not self.met(condition)]
        return Piece(f"waits for {words.listed(unmet) or step.wait}", "faint")

    def met(self, condition: Condition) -> bool:
        """Whether a condition has come about; of a step that still waits none is out of reach."""
        phase, _ = self.view.steps[condition.step]
        late = phase == "missed" and condition.outcome in ("done", "reached")
        return phase in SETTLED and not late

    def long(self, at: Instant) -> str:
        return f"{words.long_date(self.calendar, at)}, {words.time(self.calendar, at)}"

    def short(self, at: Instant) -> str:
        return words.short(self.calendar, at, self.state.enrolled_at)

    def short_date(self, at: Instant) -> str:
        return words.short_date(self.calendar, at, self.state.enrolled_at)


__all__ = ["summary"]
