"""A simulation as people read it: a timeline by local day, and a summary.

Values only: lines made of pieces with a style each, which the command line prints plainly or in colour. No
line is wider than `WIDTH` columns. The journal is the source; what it says in the engine's words is said here
in those of somebody who plans onboarding. `scheduled` is shown where a step moved, `running` where it took
time.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY, SECOND, Duration
from firstmile.journey.inputs import Effect, Subject
from firstmile.journey.instants import Instant, to_datetime
from firstmile.journey.journal import Entry
from firstmile.journey.model import Checkin, Journey, Milestone, Provision, Step, Survey, Task, Webhook
from firstmile.journey.simulator import Simulation
from firstmile.journey.state import SETTLED
from firstmile.journey.timing import Timing

WIDTH = 100
_INDENT = 9
_LONGEST_ID = 26
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Piece(NamedTuple):
    """A part of a line; `style` is one of `STYLES`."""

    text: str
    style: str = ""


Line = list[Piece]
STYLES = ("", "title", "day", "message", "good", "bad", "notable", "faint")

_MARKS = {
    "message": ("✉", "@"),
    "done": ("✓", "+"),
    "open": ("○", "o"),
    "running": ("…", "~"),
    "moved": ("→", ">"),
    "skipped": ("–", "-"),
    "missed": ("✗", "x"),
    "failed": ("!", "!"),
    "undone": ("↶", "<"),
    "noted": ("·", "."),
    "stage": ("▸", ">"),
    "onboarded": ("★", "*"),
    "journey": ("■", "#"),
    "paused": ("‖", "="),
}
"""What stands before a line of the timeline: the mark, and the same where only ASCII can be printed."""
MARKS = "".join(mark for mark, _ in _MARKS.values())
"""All characters beyond ASCII that a timeline has by itself."""
_STYLE_OF = {
    "message": "message",
    "done": "good",
    "failed": "bad",
    "missed": "bad",
    "onboarded": "notable",
    "stage": "notable",
    "journey": "notable",
    "paused": "notable",
    "skipped": "faint",
    "running": "faint",
    "noted": "faint",
    "moved": "faint",
}

_DONE = {
    "email": "email sent",
    "training": "training completed",
    "survey": "answered",
    "checkin": "finished",
    "milestone": "reached",
    "provision": "set up",
    "assign": "assigned",
    "task": "completed",
    "request": "answered",
    "notify": "people told",
    "webhook": "sent",
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
_MESSAGES = {
    "email": ("email", "emails"),
    "training": ("training invitation", "training invitations"),
    "survey": ("survey", "surveys"),
    "checkin": ("check-in", "check-ins"),
    "request": ("request", "requests"),
    "webhook": ("message through another system", "messages through other systems"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message that reached the customer."""

    at: Instant
    step: Step
    reminder: bool


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation with what it was about."""

    journey: Journey
    subject: Subject
    calendar: Calendar
    simulation: Simulation
    until: Instant | None = None


def render(simulated: Simulated, *, ascii_only: bool = False) -> list[Line]:
    """The timeline and the summary, line by line."""
    timeline = _Timeline(simulated, ascii_only)
    lines = [*timeline.head(), *timeline.days(), *timeline.summary()]
    return [_ascii(line) for line in lines] if ascii_only else lines


class _Timeline:
    def __init__(self, simulated: Simulated, ascii_only: bool) -> None:
        self.journey = simulated.journey
        self.subject = simulated.subject
        self.calendar = simulated.calendar
        self.simulation = simulated.simulation
        self.until = simulated.until
        self.engine = simulated.simulation.engine
        self.state = self.engine.state
        self.entries = simulated.simulation.entries
        self.ascii = ascii_only
        self.effects = {effect.number: effect for effect in self.simulation.effects}
        self.steps = self.journey.by_id
        self.column = min(max(map(len, self.steps)), _LONGEST_ID) + 2
        self.messages = list(self._messages())

    # The head

    def head(self) -> Iterator[Line]:
        """Which journey, for whom, since when."""
        journey, subject = self.journey, self.subject
        yield from wrap([Piece(clean(journey.title or journey.journey), "title")])
        yield from wrap([Piece(f"Journey {journey.journey}, version {journey.version}", "faint")])
        yield []
        place = ", ".join(part for part in (subject.timezone, subject.country, subject.subdivision) if part)
        yield from self._fact("Customer", f"{clean(subject.id)} in {place}")
        if subject.traits:
            traits = ", ".join(f"{name} {_trait(value)}" for name, value in subject.traits.items())
            yield from self._fact("Traits", traits)
        if self.state.variants:
            drawn = ", ".join(f"{name}: {variant}" for name, variant in self.state.variants.items())
            yield from self._fact("Experiments", drawn)
        enrolled = self.state.enrolled_at
        offset = self.calendar.local(enrolled)[-6:]
        yield from self._fact("Enrolled", f"{self.long_date(enrolled)}, {self.time(enrolled)} (UTC{offset})")

    # The days

    def days(self) -> Iterator[Line]:
        """What happened, by local day."""
        day, time = None, None
        for at, mark, step, text, extra in self._happenings():
            here = self.calendar.day(at)
            if here != day:
                day, time = here, None
                since = here - self.calendar.day(self.state.enrolled_at)
                yield []
                yield [Piece(self.long_date(at), "day"), Piece(f"  day {since}", "faint")]
            shown = self.time(at)
            yield from self._line("" if shown == time else shown, mark, step, text, extra)
            time = shown

    def _line(self, time: str, mark: str, step: str, text: str, extra: str) -> Iterator[Line]:
        symbol = _MARKS[mark][1 if self.ascii else 0]
        style = _STYLE_OF.get(mark, "")
        head: Line = [Piece(f"  {time:5}  ", "faint"), Piece(f"{symbol} ", style)]
        body = [Piece(clean(text), style), *([Piece(clean(extra), "faint")] if extra else [])]
        if not step:
            yield from wrap(body, head, indent=_INDENT + 2)
            return
        name_style = style if style in ("message", "bad", "faint") else ""
        indent = _INDENT + 2 + self.column
        if width(step) + 2 <= self.column:
            yield from wrap(body, [*head, Piece(_pad(step, self.column), name_style)], indent=indent)
            return
        yield from wrap([Piece(step, name_style)], head, indent=_INDENT + 2)
        yield from wrap(body, [Piece(" " * indent)], indent=indent)

    def _happenings(self) -> Iterator[tuple[Instant, str, str, str, str]]:
        """(when, mark, step or steps, what happened, faint addition) of all that is shown."""
        closed: dict[tuple[Instant, str], list[str]] = {}
        for entry in self.entries:
            if entry.reason == "journey ended" and entry.step is not None:
                closed.setdefault((entry.at, entry.change), []).append(entry.step)
        scheduled: dict[str, Instant] = {}
        after = _following(self.entries)
        for number, entry in enumerate(self.entries):
            if entry.reason == "journey ended" and entry.step is not None:
                continue
            if entry.step is None:
                if entry.change in ("completed", "stopped"):
                    for (at, change), steps in closed.items():
                        text = "left open" if change == "missed" else "never came to it"
                        yield at, change, "", f"{text}: {', '.join(steps)}", ""
                yield entry.at, *self._journey(entry)
                continue
            if entry.change == "scheduled":
                before = scheduled.get(entry.step)
                scheduled[entry.step] = entry.due if entry.due is not None else entry.at
                if before is None or entry.due is None:
                    continue
                moved = f"moved to {self.short(entry.due)}" if entry.due > entry.at else "due now"
                yield entry.at, "moved", entry.step, moved, _because(entry)
                continue
            if entry.change == "running":
                then = after.get(number)
                if then is not None and then.at == entry.at:
                    continue
                yield entry.at, "running", entry.step, "started", ""
                continue
            if entry.change == "open" and isinstance(self.steps[entry.step].does, Checkin):
                # Its first occurrence is an entry of its own.
                continue
            mark, text, extra = self._step(entry, self.steps[entry.step])
            yield entry.at, mark, entry.step, text, extra

    def _journey(self, entry: Entry) -> tuple[str, str, str, str]:
        by = f" by {entry.actor}" if entry.actor else ""
        why = _because(entry)
        if entry.change == "stage":
            return "stage", "", f"stage: {entry.stage}", ""
        if entry.change == "onboarded":
            took = human_duration(round((entry.seconds or 0) * SECOND))
            return "onboarded", "", f"onboarded, {took} after enrolment", ""
        if entry.change == "paused":
            return "paused", "", f"paused{by}", why
        if entry.change == "resumed":
            return "paused", "", f"resumed{by}", why
        if entry.change in ("completed", "stopped"):
            words = {"ended": "journey completed: its time is over"}.get(entry.reason or "")
            return "journey", "", words or f"journey {entry.change}{by}", "" if words else why
        mark = "noted" if entry.change == "occurred" else "journey"
        return mark, "", entry.change if entry.change != "occurred" else entry.reason or "noted", ""

    def _step(self, entry: Entry, step: Step) -> tuple[str, str, str]:
        by = f" by {entry.actor}" if entry.actor else ""
        why = _because(entry)
        match entry.change:
            case "skipped":
                return "skipped", f"skipped{by}", why
            case "failed":
                return "failed", "failed", why
            case "missed":
                return "missed", _MISSED.get(step.kind, "missed"), ""
            case "undone":
                return "undone", "undone", why
            case "open":
                mark = "message" if self._is_message(entry) else "open"
                return mark, self._opened(step), self._open_addition(step)
            case "occurred":
                return self._occurred(entry, step)
            case _:
                late = ", late" if entry.late else ""
                mark = "message" if self._is_message(entry) else "done"
                extra = self._sent_addition(step) if mark == "message" else why
                return mark, f"{self._finished(step)}{late}{by}", extra

    def _opened(self, step: Step) -> str:
        does = step.does
        if isinstance(does, Milestone):
            if does.all:
                return f"waits for {_listed(does.all, 'and')}"
            times = f"{does.times} × " if does.times > 1 else ""
            return f"waits for {times}{_listed(does.event or [], 'or')}"
        if isinstance(does, Task):
            return f"task{f' for {does.owner}' if does.owner else ''}: {does.title}"
        return _OPENED.get(step.kind, "open")

    def _open_addition(self, step: Step) -> str:
        within = f", within {step.within}" if isinstance(step.within, Duration) else ""
        if step.within is not None and not within:
            within = f", until {step.within}"
        if isinstance(step.does, Task) and step.does.due:
            within = f", due: {step.does.due}{within}"
        return within + (self._sent_addition(step) if step.customer_facing else "")

    def _sent_addition(self, step: Step) -> str:
        parts = []
        if step.message_class in ("transactional", "marketing"):
            parts.append(f" ({step.message_class})")
        if step.title:
            parts.append(f" · {step.title}")
        return "".join(parts)

    def _finished(self, step: Step) -> str:
        result = self.state.steps[step.id].result or {}
        does = step.does
        if isinstance(does, Survey) and "score" in result:
            score = result["score"]
            is_low = does.low is not None and isinstance(score, int | float) and score <= does.low
            return f"answered: {score}{', which is low' if is_low else ''}"
        if isinstance(does, Checkin) and result.get("answer"):
            return f"finished, last answer: {result['answer']}"
        if step.assign is not None:
            changed = any(entry.step == step.id and entry.change == "occurred" for entry in self.entries)
            owner = step.assign.team if changed else self.state.owners.get(step.id, step.assign.team)
            return f"assigned to {owner}"
        if step.notify is not None:
            return f"{_listed(step.notify.to, 'and')} told"
        if isinstance(does, Webhook | Provision) and isinstance(does, Webhook):
            return f"sent through {does.system}"
        return _DONE.get(step.kind, "done")

    def _occurred(self, entry: Entry, step: Step) -> tuple[str, str, str]:
        effect = self.effects.get(entry.number)
        by = f" by {entry.actor}" if entry.actor else ""
        purpose = effect.purpose if effect else None
        if isinstance(step.does, Checkin) and purpose in (None, "occur") and entry.occurrence:
            of = f"{entry.occurrence} of {step.does.times}"
            if step.does.by == "call":
                return "open", f"call {of} is due", _because(entry)
            if entry.reason is None:
                return "message", f"check-in {of} sent", self._sent_addition(step)
            return "noted", f"check-in {of} {entry.reason}", ""
        if purpose == "remind" and entry.reason is None:
            mark = "message" if step.customer_facing else "noted"
            return mark, f"reminder {entry.occurrence}{' sent' if mark == 'message' else ''}", ""
        if purpose == "remind":
            return "noted", f"reminder {entry.occurrence} {entry.reason}", ""
        if purpose == "help" and entry.reason is None:
            return "open", "task: the customer asked for help", ""
        if purpose == "escalate" and entry.reason is None and isinstance(step.does, Task):
            return "open", f"escalated to {step.does.escalate_to}", ""
        return "noted", f"{entry.reason or 'noted'}{by}", ""

    # Messages

    def _messages(self) -> Iterator[Message]:
        for entry in self.entries:
            if self._is_message(entry) and entry.step is not None:
                effect = self.effects.get(entry.number)
                at = entry.at if effect is None else effect.at
                yield Message(at, self.steps[entry.step], effect is not None and effect.purpose == "remind")

    def _is_message(self, entry: Entry) -> bool:
        """Whether an entry is the outcome of an effect that the customer received."""
        effect: Effect | None = self.effects.get(entry.number)
        if effect is None or effect.purpose not in ("run", "remind", "occur"):
            return False
        if self.steps[effect.step].message_class is None:
            return False
        if entry.change == "occurred" and entry.reason is not None:
            return "came back as done" in entry.reason
        return entry.change in ("done", "open", "occurred")

    # The summary

    def summary(self) -> Iterator[Line]:
        """How much the customer heard from us, how soon they had value, and how it ended."""
        yield []
        yield [Piece("Summary", "day")]
        yield from self._message_facts()
        yield from self._value_fact()
        yield from self._task_fact()
        yield from self._step_fact()
        yield from self._end_facts()

    def _message_facts(self) -> Iterator[Line]:
        if not self.messages:
            yield from self._fact("Messages", "none")
            return
        kinds = Counter(message.step.kind for message in self.messages)
        named = [f"{count} {_MESSAGES[kind][count != 1]}" for kind, count in kinds.items()]
        classes = Counter(str(message.step.message_class) for message in self.messages)
        reminders = sum(message.reminder for message in self.messages)
        mark = _MARKS["message"][1 if self.ascii else 0]
        text = f"{mark} {len(self.messages)}: {_listed(named, 'and')}"
        by_class = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
        yield from self._fact("Messages", text, f" ({by_class}{_reminders(reminders)})")
        most, first = self._busiest_week()
        until = self.calendar.add(first, Duration(days=6))
        days = f"{self.short_date(first)} to {self.short_date(until)}"
        yield from self._fact("Per week", f"{most} at most", f" ({days})" if most > 1 else "")

    def _busiest_week(self) -> tuple[int, Instant]:
        """The most messages within any seven days, and the first of them."""
        times = sorted(message.at for message in self.messages)
        week = Duration(days=7)
        counts = [
            (sum(start <= time < self.calendar.add(start, week) for time in times), -start) for start in times
        ]
        most, start = max(counts)
        return most, -start

    def _value_fact(self) -> Iterator[Line]:
        onboarded = self.journey.onboarded
        reached = self.state.onboarded_at
        goal = f"goal: {onboarded.within}"
        deadline = Timing(self.engine.route, self.calendar, self.state).deadline(
            onboarded.within, self.state.enrolled_at
        )
        if reached is None:
            known = "" if onboarded.within is None else f" ({goal})"
            yield from self._fact("First value", "not reached", known, style="bad")
            return
        took = f"after {human_duration(reached - self.state.enrolled_at)}"
        if deadline is None:
            yield from self._fact("First value", took, style="good")
        elif reached <= deadline:
            yield from self._fact("First value", took, f" ({goal}, met)", style="good")
        else:
            over = human_duration(reached - deadline)
            yield from self._fact("First value", took, f" ({goal}, {over} too late)", style="bad")

    def _task_fact(self) -> Iterator[Line]:
        opened: list[str] = []
        helped = 0
        for entry in self.entries:
            effect = self.effects.get(entry.number)
            if entry.step is None or effect is None or entry.reason is not None:
                continue
            if entry.change == "open" and self.steps[entry.step].task:
                opened.append(entry.step)
            helped += effect.purpose == "help" and entry.change == "occurred"
        if opened or helped:
            finished = sum(self.state.steps[step].phase == "done" for step in opened)
            asked = f"; {helped} more because the customer asked for help" if helped else ""
            yield from self._fact("Tasks", f"{len(opened)} for people, {finished} completed{asked}")

    def _step_fact(self) -> Iterator[Line]:
        phases = Counter(record.phase for record in self.state.steps.values())
        late = sum(entry.late for entry in self.entries)
        words = [
            f"{phases[phase]} {phase}{f' ({late} late)' if phase == 'done' and late else ''}"
            for phase in ("done", "skipped", "missed", "failed", "running", "open", "scheduled", "waiting")
            if phases[phase]
        ]
        yield from self._fact("Steps", ", ".join(words))

    def _end_facts(self) -> Iterator[Line]:
        last = self.entries[-1]
        if self.engine.finished:
            day = self.calendar.day(last.at) - self.calendar.day(self.state.enrolled_at)
            how = {"ended": "its time is over"}.get(last.reason or "", last.reason or "")
            when = f"{self.long_date(last.at)}, {self.time(last.at)}, day {day}"
            yield from self._fact("Ended", f"{last.change}, {when}", f" ({clean(how)})" if how else "")
            return
        status = {"paused": "paused", "stuck": "stuck"}.get(self.engine.status, "under way")
        if self.until is not None and (self.engine.wake() is not None or self.until > last.at):
            where = f"still {status} on {self.long_date(self.until)}, {self.time(self.until)}"
        else:
            where = f"{status}, and nothing more can happen by itself"
        yield from self._fact("Not ended", where, style="bad")
        yield from self._pause_fact()
        for step in self.journey.steps:
            yield from self._standing(step)

    def _pause_fact(self) -> Iterator[Line]:
        if self.state.paused_at is None:
            return
        entry = next(entry for entry in reversed(self.entries) if entry.change == "paused")
        by = f" by {entry.actor}" if entry.actor else ""
        until = "" if self.state.paused_until is None else f", until {self.short(self.state.paused_until)}"
        text = f"since {self.short(entry.at)}{by}{until}"
        yield from self._fact("Paused", text, _because(entry), style="bad")

    def _standing(self, step: Step) -> Iterator[Line]:
        phase, when = self.engine.view().steps[step.id]
        if phase in SETTLED:
            return
        if phase == "failed":
            entry = next(e for e in reversed(self.entries) if e.step == step.id and e.change == "failed")
            text, style = f"failed{_because(entry)}: retry or skip it", "bad"
        elif phase == "scheduled":
            text, style = (f"due {self.short(when)}" if when is not None else "due"), ""
        elif phase == "open":
            text, style = ("open" if when is None else f"open until {self.short(when)}"), ""
        elif phase == "running":
            text, style = (f"running since {self.short(when)}" if when is not None else "running"), ""
        else:
            conditions = [c for c in step.after if self.engine.came_about(c) is None]
            waits = _listed([str(condition) for condition in conditions], "and")
            text, style = f"waits for {waits or step.wait}", "faint"
        name = _pad(step.id, self.column)
        yield from wrap([Piece(clean(text), style)], [Piece(" " * 15 + name, style)], indent=15 + self.column)

    # Words

    def _fact(self, name: str, text: str, extra: str = "", style: str = "") -> Iterator[Line]:
        body = [Piece(clean(text), style), *([Piece(clean(extra), "faint")] if extra else [])]
        yield from wrap(body, [Piece(f"  {name:13}", "faint")], indent=15)

    def long_date(self, at: Instant) -> str:
        """`Friday 6 March 2026`."""
        local = to_datetime(self.calendar.wall(at))
        return f"{_WEEKDAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}"

    def short_date(self, at: Instant) -> str:
        """`Fri 6 Mar`, with the year where it is not that of the enrolment."""
        local = to_datetime(self.calendar.wall(at))
        year = to_datetime(self.calendar.wall(self.state.enrolled_at)).year
        text = f"{_WEEKDAYS[local.weekday()][:3]} {local.day} {_MONTHS[local.month - 1][:3]}"
        return text if local.year == year else f"{text} {local.year}"

    def time(self, at: Instant) -> str:
        """`12:00`."""
        return to_datetime(self.calendar.wall(at)).strftime("%H:%M")

    def short(self, at: Instant) -> str:
        """`Fri 6 Mar 12:00`."""
        return f"{self.short_date(at)} {self.time(at)}"


def human_duration(length: int) -> str:
    """`5 days 2 hours`: a length of time in its two largest units."""
    seconds = length // SECOND
    for unit, name, smaller, small in (
        (DAY // SECOND, "day", 3600, "hour"),
        (3600, "hour", 60, "minute"),
        (60, "minute", 1, "second"),
    ):
        if seconds >= unit:
            many, few = divmod(seconds, unit)
            few //= smaller
            return _count(many, name) + (f" {_count(few, small)}" if few else "")
    return _count(seconds, "second") if seconds else "no time"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _reminders(number: int) -> str:
    return f"; {_count(number, 'reminder')} among them" if number else ""


def _because(entry: Entry) -> str:
    return f": {entry.reason}" if entry.reason else ""


def _listed(words: Iterable[str], last: str) -> str:
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def _trait(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else clean(str(value))


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


# ---- lines -----------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Text from files on one line, without what would steer a terminal."""
    text = "".join(character if character.isprintable() else " " for character in text)
    begin = " " if text.startswith(" ") else ""
    return begin + " ".join(text.split())


def width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def wrap(body: Line, head: Line | None = None, *, indent: int = 0) -> Iterator[Line]:
    """`body` after `head`, broken between words where a line would be wider than `WIDTH`."""
    line: Line = list(head or [])
    used = sum(width(piece.text) for piece in line)
    begin = used
    for piece in body:
        words = [" " + word for word in piece.text.split(" ")]
        words[0] = words[0][1:]
        for word in words:
            while used + width(word) > WIDTH:
                if used > begin:
                    yield line
                    line, used, begin, word = [Piece(" " * indent)], indent, indent, word.lstrip(" ")
                else:
                    cut = _fitting(word, WIDTH - used)
                    line.append(Piece(word[:cut], piece.style))
                    used, word = WIDTH, word[cut:]
            if word:
                line.append(Piece(word, piece.style))
                used += width(word)
    yield line


def _fitting(word: str, room: int) -> int:
    """How many characters of a word fit into some columns."""
    taken = 0
    for count, character in enumerate(word):
        taken += width(character)
        if taken > room:
            return max(count, 1)
    return len(word)


def _ascii(line: Line) -> Line:
    replaced = {"–": "-", "×": "x", "·": "-", "…": "...", "’": "'", "“": '"', "”": '"'}
    return [
        Piece("".join(replaced.get(c, c) for c in text).encode("ascii", "replace").decode(), style)
        for text, style in line
    ]


__all__ = [
    "MARKS",
    "STYLES",
    "WIDTH",
    "Line",
    "Message",
    "Piece",
    "Simulated",
    "clean",
    "human_duration",
    "render",
]
