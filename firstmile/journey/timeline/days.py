"""What happened, by local day: a line for everything a person would want to know of.

`scheduled` is shown where a step moved, `running` where it took time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from firstmile.journey.durations import SECOND, Duration
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.model import Checkin, Milestone, Step, Survey, Task, Webhook
from firstmile.journey.outcomes import DONE
from firstmile.journey.timeline import words
from firstmile.journey.timeline.lines import Line, Piece, pad, width, wrap
from firstmile.journey.timeline.simulated import Simulated

_MARKS = {
    "message": ("✉", "message"),
    "done": ("✓", "good"),
    "open": ("○", ""),
    "running": ("…", "faint"),
    "moved": ("→", "faint"),
    "skipped": ("–", "faint"),
    "missed": ("✗", "bad"),
    "failed": ("!", "bad"),
    "undone": ("↶", ""),
    "noted": ("·", "faint"),
    "stage": ("▸", "notable"),
    "onboarded": ("★", "notable"),
    "paused": ("‖", "notable"),
    "journey": ("■", "notable"),
}
"""What stands before a line, and its style."""
MARKS = "".join(mark for mark, _ in _MARKS.values())

_DONE = {
    "email": "email sent",
    "training": "training completed",
    "survey": "answered",
    "checkin": "finished",
    "milestone": "reached",
    "provision": "set up",
    "task": "completed",
    "request": "answered",
}
_OPENED = {
    "training": "invitation sent",
    "survey": "survey sent",
    "request": "request sent",
    "provision": "waits for its callback",
}
_MISSED = {
    "training": "no training taken in time",
    "survey": "no answer in time",
    "checkin": "no answer in time",
    "milestone": "not reached in time",
    "provision": "not set up in time",
    "task": "not completed in time",
    "request": "no answer in time",
}
_TASKS: dict[str | None, str] = {
    "help": "the customer asked for help",
    "review": "look through what the customer sent",
}
"""The tasks that a step opens beside itself, by the purpose of the effect."""
_ENDED = "journey ended"
"""The reason of what the end of the journey closed."""

_TIME = 9
_MARK = 2
_LONGEST_ID = 26


class _Happening(NamedTuple):
    """One line: `mark` is a key of `_MARKS`, `more` is said faintly after `text`."""

    mark: str
    text: str
    more: str = ""
    step: str = ""


def head(simulated: Simulated, columns: int) -> Iterator[Line]:
    """Which journey, for whom, since when."""
    journey, subject, enrolled_at = simulated.journey, simulated.subject, simulated.enrolled_at
    yield from wrap([Piece(journey.title or journey.journey, "title")], columns=columns)
    yield [Piece(f"Journey {journey.journey}, version {journey.version}", "faint")]
    yield []
    place = ", ".join(part for part in (subject.timezone, subject.country, subject.subdivision) if part)
    facts = {"Customer": f"{subject.id} in {place}"}
    if subject.traits:
        facts["Traits"] = ", ".join(f"{name} {_trait(value)}" for name, value in subject.traits.items())
    variants = simulated.engine.state.variants
    if variants:
        facts["Experiments"] = ", ".join(f"{name}: {variant}" for name, variant in variants.items())
    calendar = simulated.calendar
    offset = calendar.local(enrolled_at)[-6:]
    when = f"{words.long_date(calendar, enrolled_at)}, {words.time(calendar, enrolled_at)}"
    facts["Enrolled"] = f"{when} (UTC{offset})"
    for name, text in facts.items():
        yield from wrap([Piece(text)], [Piece(f"  {name:13}", "faint")], indent=15, columns=columns)


def _trait(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def days(simulated: Simulated, columns: int) -> Iterator[Line]:
    """The days on which something happened."""
    calendar = simulated.calendar
    column = min(max(len(step.id) for step in simulated.journey.steps), _LONGEST_ID) + 2
    day, time = None, ""
    for at, happening in _Telling(simulated).happenings():
        here, now = calendar.day(at), words.time(calendar, at)
        if here != day:
            day, time = here, ""
            yield []
            yield [
                Piece(words.long_date(calendar, at), "day"),
                Piece(f"  day {simulated.day(at)}", "faint"),
            ]
        yield from _lines("" if now == time else now, happening, column, columns)
        time = now


def _lines(time: str, happening: _Happening, column: int, columns: int) -> Iterator[Line]:
    symbol, style = _MARKS[happening.mark]
    start = [Piece(f"  {time:5}  ", "faint"), Piece(pad(symbol, _MARK), style)]
    body = [Piece(happening.text, style)]
    if happening.more:
        body.append(Piece(happening.more, "faint"))
    step, indent = happening.step, _TIME + _MARK
    if step:
        step_style = style if style in ("message", "bad", "faint") else ""
        if width(step) + 2 <= column:
            start.append(Piece(pad(step, column), step_style))
        else:
            yield [*start, Piece(step, step_style)]
            start = [Piece(" " * (indent + column))]
        indent += column
    yield from wrap(body, start, indent=indent, columns=columns)


class _Telling:
    """The journal retold."""

    def __init__(self, simulated: Simulated) -> None:
        self.simulated = simulated
        self.entries = simulated.entries
        self.steps = simulated.journey.by_id

    def happenings(self) -> Iterator[tuple[Instant, _Happening]]:
        """What is shown of the journal, and when it happened."""
        last: dict[str, str] = {}
        following = _following(self.entries)
        for number, entry in enumerate(self.entries):
            if entry.step is None:
                if entry.change in ("completed", "stopped"):
                    yield from ((entry.at, happening) for happening in self.closed())
                yield entry.at, self.journey(entry)
                continue
            before, last[entry.step] = last.get(entry.step), entry.change
            if entry.reason == _ENDED:
                continue
            then = following.get(number)
            if entry.change == "running" and then is not None and then.at == entry.at:
                continue
            if entry.change == "scheduled" and (before is None or entry.due is None):
                continue
            step = self.steps[entry.step]
            if entry.change == "open" and isinstance(step.does, Checkin):
                # Its first occurrence has an entry of its own.
                continue
            told = self.scheduled(entry, before) if entry.change == "scheduled" else self.step(entry, step)
            yield entry.at, told._replace(step=entry.step)

    def closed(self) -> Iterator[_Happening]:
        """What the end of the journey closed, in one line for each way."""
        for change, text in (("missed", "left open"), ("skipped", "never came to")):
            closed = [e for e in self.entries if e.reason == _ENDED and e.change == change]
            ids = [entry.step for entry in closed if entry.step is not None]
            if ids:
                yield _Happening(change, f"{text}: {', '.join(ids)}")

    def journey(self, entry: Entry) -> _Happening:
        """An entry of the journey itself."""
        by, why = _by(entry), _why(entry)
        if entry.change == "stage":
            return _Happening("stage", f"stage: {entry.stage}")
        if entry.change == "onboarded":
            took = words.length(round((entry.seconds or 0) * SECOND))
            return _Happening("onboarded", f"onboarded, {took} after enrolment")
        if entry.change in ("paused", "resumed"):
            return _Happening("paused", f"{entry.change}{by}", why)
        if entry.change == "occurred":
            return _Happening("noted", entry.reason or "noted")
        if entry.change == "enrolled":
            return _Happening("journey", "enrolled")
        if entry.reason == "ended":
            return _Happening("journey", "journey completed", ": its time is over")
        return _Happening("journey", f"journey {entry.change}{by}", why)

    def scheduled(self, entry: Entry, before: str | None) -> _Happening:
        """A step got another due time."""
        again = before != "scheduled"
        if entry.due is None or entry.due <= entry.at:
            return _Happening(
                "moved", "tried again at once" if again else "moved to this moment", _why(entry)
            )
        when = words.short(self.simulated.calendar, entry.due, self.simulated.enrolled_at)
        return _Happening("moved", f"{'put off' if again else 'moved'} to {when}", _why(entry))

    def step(self, entry: Entry, step: Step) -> _Happening:
        """An entry of a step."""
        by, why = _by(entry), _why(entry)
        is_message = self.simulated.is_message(entry)
        match entry.change:
            case "running":
                return _Happening("running", "started")
            case "open":
                if is_message:
                    return _Happening("message", _opened(step), _time_limits(step) + _message_words(step))
                return _Happening("open", _opened(step), _time_limits(step))
            case "occurred":
                return self.occurred(entry, step)
            case "missed":
                return _Happening("missed", _MISSED[step.kind])
            case "failed":
                return _Happening("failed", "failed", why)
            case "undone":
                return _Happening("undone", "undone", why)
            case "skipped" if entry.reason == f"when: {step.when}":
                return _Happening("skipped", "skipped: its condition does not hold:", f" {step.when}")
            case "skipped":
                return _Happening("skipped", f"skipped{by}", why)
            case _:
                late = ", late" if entry.late else ""
                text = f"{self.finished(step)}{late}{by}"
                if is_message:
                    return _Happening("message", text, _message_words(step))
                return _Happening("done", text, why)

    def occurred(self, entry: Entry, step: Step) -> _Happening:
        """A reminder, an occurrence of a check-in, or a note."""
        effect = self.simulated.effects.get(entry.number)
        purpose = None if effect is None else effect.purpose
        does, reason = step.does, entry.reason
        if isinstance(does, Checkin) and entry.occurrence and purpose in (None, "occur"):
            of = f"{entry.occurrence} of {does.times}"
            if does.by == "call":
                return _Happening("open", f"call {of} is due", _why(entry))
            if reason is None:
                return _Happening("message", f"check-in {of} sent", _message_words(step))
            return _Happening("noted", f"check-in {of} {reason}")
        if purpose == "remind":
            which = f"reminder {entry.occurrence}"
            if reason is not None:
                return _Happening("noted", f"{which} {reason}")
            is_message = self.simulated.is_message(entry)
            return _Happening("message", f"{which} sent") if is_message else _Happening("noted", which)
        if reason is not None and reason == DONE.get(purpose or ""):
            reason = None
        if purpose in _TASKS and reason is None:
            return _Happening("open", f"task: {_TASKS[purpose]}")
        if purpose == "escalate" and reason is None and isinstance(does, Task):
            return _Happening("open", f"escalated to {does.escalate_to}")
        return _Happening("noted", f"{reason or 'noted'}{_by(entry)}")

    def finished(self, step: Step) -> str:
        """How a step is done."""
        state = self.simulated.engine.state
        result = state.steps[step.id].result or {}
        does = step.does
        if isinstance(does, Survey) and "score" in result:
            score = result["score"]
            is_low = does.low is not None and isinstance(score, int | float) and score <= does.low
            return f"answered: {score}{', which is low' if is_low else ''}"
        if isinstance(does, Checkin) and result.get("answer"):
            return f"finished, last answer: {result['answer']}"
        if step.assign is not None:
            # The state knows the owner of today: of one that was changed only the team is sure.
            changed = any(entry.step == step.id and entry.change == "occurred" for entry in self.entries)
            owner = None if changed else state.owners.get(step.id)
            return f"assigned to {owner or step.assign.team}"
        if step.notify is not None:
            return f"{words.listed(step.notify.to)} told"
        if isinstance(does, Webhook):
            return f"sent to {does.system}"
        return _DONE[step.kind]


def _opened(step: Step) -> str:
    does = step.does
    if isinstance(does, Milestone):
        if does.all:
            return f"waits for {words.listed(does.all)}"
        times = f"{does.times} × " if does.times > 1 else ""
        return f"waits for {times}{words.listed(does.event or [], 'or')}"
    if isinstance(does, Task):
        return f"task{f' for {does.owner}' if does.owner else ''}: {does.title}"
    return _OPENED[step.kind]


def _time_limits(step: Step) -> str:
    limits = ""
    if isinstance(step.does, Task) and step.does.due is not None:
        limits = f", due: {step.does.due}"
    if step.within is not None:
        limits += f", {'within' if isinstance(step.within, Duration) else 'until'} {step.within}"
    return limits


def _message_words(step: Step) -> str:
    named = f" ({step.message_class})" if step.message_class in ("transactional", "marketing") else ""
    return named + (f" · {step.title}" if step.title else "")


def _by(entry: Entry) -> str:
    return f" by {entry.actor}" if entry.actor else ""


def _why(entry: Entry) -> str:
    return f": {entry.reason}" if entry.reason else ""


def _following(entries: list[Entry]) -> dict[int, Entry]:
    """By the position of an entry, the next one of the same step."""
    found: dict[int, Entry] = {}
    latest: dict[str, Entry] = {}
    for number in range(len(entries) - 1, -1, -1):
        step = entries[number].step
        if step is not None:
            if step in latest:
                found[number] = latest[step]
            latest[step] = entries[number]
    return found


__all__ = ["MARKS", "days", "head"]
