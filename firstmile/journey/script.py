"""Reading the script of a simulation: what happens to the customer, one input a line (JOURNEYS §6, §7).

Text goes in, values come out, and with them everything that is wrong, with file, line and what to write
instead. A script is read before it can be placed in time: its offsets (`+2 days 4 hours`) count from
enrolment on the customer's calendar, and how far that calendar has to reach depends on the script. So
`read_script` gives a `Script`, `reach` says how far, and `Script.lines` gives the inputs at their instants.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY, Duration, DurationError, Moment, parse_duration
from firstmile.journey.fields import Fields, shown
from firstmile.journey.inputs import COMMANDS, NEED_STEP, Command, Effect, Event, Subject
from firstmile.journey.instants import Instant, format_instant, parse_instant
from firstmile.journey.json_source import read
from firstmile.journey.model import Journey
from firstmile.journey.problems import Problem, nearest, unknown
from firstmile.journey.route import Route
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine, Simulation
from firstmile.journey.timing import DateTrait

EARLIEST = parse_instant("1971-01-01T00:00:00Z")
LATEST = parse_instant("2200-01-01T00:00:00Z")
"""The years in which things can be simulated: for these there are calendars."""

When = Instant | Duration
"""A time in a script: an instant, or how long after enrolment."""

_KINDS = ("event", "command", "outcome")
_EVENT_KEYS = ("at", "event", "id", "properties")
_OUTCOME_KEYS = ("at", "outcome", "step", "reason", "result")
_OUTCOMES = ("done", "failed", "deferred", "skipped", "pending")
_COMMAND_KEYS = ("at", "command", "actor", "reason")


@dataclass(frozen=True, slots=True)
class _Asks:
    """What a command asks for besides what all of them carry."""

    needs: Mapping[str, str]
    takes: tuple[str, ...] = ()


_STEP = {"step": "the command needs the id of a step"}
_COMMANDS: dict[str, _Asks] = {
    **{command: _Asks(_STEP if command in NEED_STEP else {}) for command in COMMANDS},
    "pause": _Asks({}, ("until",)),
    "resume": _Asks({}, ("overdue",)),
    "complete": _Asks(_STEP, ("answer",)),
    "cancel": _Asks({}, ("undo",)),
    "traits": _Asks({"traits": 'the command needs what changes, as in {"plan": "pro"}'}),
    "assign": _Asks({**_STEP, "owner": "the command needs the new owner"}),
    "extend": _Asks({"until": "the command needs when the journey ends instead"}),
}
_ALL_KEYS = {
    *_EVENT_KEYS,
    *_OUTCOME_KEYS,
    *_COMMAND_KEYS,
    *(key for asks in _COMMANDS.values() for key in (*asks.needs, *asks.takes)),
}
_EXAMPLE = 'as in {"at": "+2 days", "event": "user.logged_in"}'
_TIMES = "write '2026-03-08T09:00:00Z' or '+2 days 4 hours'"


@dataclass(frozen=True, slots=True)
class _Input:
    """One line as read; its times are not instants yet."""

    line: int
    at: When
    until: When | None
    make: Callable[[Instant | None], Event | Command | ScriptedOutcome]


@dataclass(frozen=True, slots=True)
class Script:
    """A script as read, in the order of its lines.

    `notes` are what is probably not meant, though it can be simulated. `dates` are those that commands bring
    in as traits: moments may be counted from them.
    """

    inputs: tuple[_Input, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    dates: tuple[Instant, ...] = ()

    def latest(self, enrolled_at: Instant) -> Instant:
        """An upper bound of every time that the script names."""
        times = [when for given in self.inputs for when in (given.at, given.until) if when is not None]
        return max([enrolled_at, *self.dates, *(at_most(when, enrolled_at) for when in times)])

    def lines(self, calendar: Calendar, enrolled_at: Instant) -> list[ScriptLine]:
        """The inputs at their instants, on the customer's calendar."""
        return [
            ScriptLine(
                at=instant_of(given.at, calendar, enrolled_at),
                line=given.line,
                input=given.make(
                    None if given.until is None else instant_of(given.until, calendar, enrolled_at)
                ),
            )
            for given in self.inputs
        ]


def read_script(
    text: str,
    file: str,
    journey: Journey | None = None,
    route: Route | None = None,
    enrolled_at: Instant | None = None,
) -> Script:
    """Read a script. What only journey or enrolment can tell is judged where they are given.

    `journey` is given when its file could be read, `route` when it also passed its checks.
    """
    reading = _Reading(file, journey, route, enrolled_at)
    # Not `splitlines`: a text in JSON may hold other characters that end a line elsewhere.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        reading.read(line, number)
    return Script(tuple(reading.inputs), tuple(reading.problems), tuple(reading.notes), tuple(reading.dates))


class _Reading:
    def __init__(
        self, file: str, journey: Journey | None, route: Route | None, enrolled_at: Instant | None
    ) -> None:
        self.file = file
        self.journey = journey
        self.route = route
        self.enrolled_at = enrolled_at
        self.inputs: list[_Input] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.dates: list[Instant] = []
        self.inside = False

    def read(self, text: str, number: int) -> None:
        text = text.strip(" \t\r")
        if not text or self.inside:
            # Of an object over several lines only the first is reported.
            self.inside = self.inside and text not in ("}", "},")
            return
        document = read(text, self.file, line=number, what="the line")
        if text in ("{", "["):
            self.inside = text == "{"
            self.problems.append(document.problem((), f"an input stands on one line, {_EXAMPLE}"))
            return
        if not isinstance(document.tree, dict) or not document.complete:
            self.problems += document.problems
            if document.complete:
                self.problems.append(document.problem((), f"an input is a JSON object, {_EXAMPLE}"))
            return
        fields = Fields(document)
        kinds = [kind for kind in _KINDS if kind in document.tree]
        found = None
        if len(kinds) == 1:
            found = _READERS[kinds[0]](self, fields, number)
        else:
            self.neither(fields, kinds)
        self.problems += fields.problems
        if found is not None and not fields.problems:
            self.inputs.append(found)

    def neither(self, fields: Fields, kinds: Sequence[str]) -> None:
        if kinds:
            fields.refuse((), f"{' and '.join(map(repr, kinds))} stand in one line: an input is one of them")
            return
        for key in fields.tree:
            meant = nearest(key, _KINDS)
            if meant:
                fields.refuse((key,), f"unknown key '{key}': did you mean '{meant}'?", named=False, key=True)
                return
        fields.refuse((), f"a line has an 'event', a 'command' or an 'outcome', {_EXAMPLE}")

    # The three forms

    def event(self, fields: Fields, number: int) -> _Input | None:
        hint = "what an event says stands in its 'properties'"
        fields.known(_EVENT_KEYS, elsewhere=_ALL_KEYS, what="an event", hint=hint)
        fields.need("event", "write the name of the event")
        name = fields.text("event") or ""
        at = self.when(fields, "at")
        identity = fields.text("id") or f"line {number}"
        properties = fields.object("properties") or {}
        if self.route is not None and name:
            self.doubt(fields, name, properties, self.route)
        if at is None:
            return None
        return _Input(number, at, None, lambda _: Event(event=name, id=identity, properties=properties))

    def command(self, fields: Fields, number: int) -> _Input | None:
        fields.need("command", f"write one of {', '.join(COMMANDS)}")
        name = fields.one_of("command", COMMANDS)
        at = self.when(fields, "at")
        if name is None:
            return None
        asks = _COMMANDS[name]
        fields.known(
            (*_COMMAND_KEYS, *asks.needs, *asks.takes), elsewhere=_ALL_KEYS, what=f"the command '{name}'"
        )
        for key, message in asks.needs.items():
            fields.need(key, message)
        until = self.when(fields, "until", needed=False)
        traits = fields.object("traits")
        self.dates += _dates(traits or {})
        command: dict[str, Any] = {
            "command": name,
            "actor": fields.text("actor"),
            "reason": fields.text("reason"),
            "step": self.step(fields),
            "overdue": fields.one_of("overdue", ("shift", "run", "skip")) or "shift",
            "undo": fields.flag("undo"),
            "traits": traits,
            "owner": fields.text("owner"),
            "answer": fields.text("answer"),
        }
        if at is None:
            return None
        return _Input(number, at, until, lambda until: Command(until=until, **command))

    def outcome(self, fields: Fields, number: int) -> _Input | None:
        fields.need("outcome", f"write one of {', '.join(_OUTCOMES)}")
        name = fields.one_of("outcome", _OUTCOMES)
        keys = _OUTCOME_KEYS if name not in (None, "deferred") else (*_OUTCOME_KEYS, "until")
        fields.known(keys, elsewhere=_ALL_KEYS, what=f"the outcome '{name}'")
        fields.need("step", "an outcome is that of a step's effect")
        step = self.step(fields)
        if self.journey and step in self.journey.by_id and self.journey.by_id[step].milestone:
            fields.refuse(("step",), f"'{step}' is a milestone, without an effect: write its event")
        at = self.when(fields, "at")
        until = self.when(fields, "until", needed=False)
        if name == "deferred":
            fields.need("until", 'write when it is tried again, as in "+2 days"')
        reason, result = fields.text("reason"), fields.object("result")
        if at is None or name is None or step is None:
            return None
        return _Input(number, at, until, lambda until: ScriptedOutcome(step, name, reason, until, result))

    # Parts of them

    def step(self, fields: Fields) -> str | None:
        step = fields.text("step")
        if step is not None and self.journey is not None and step not in self.journey.by_id:
            fields.refuse(("step",), unknown("step", step, self.journey.by_id), named=False)
        return step

    def when(self, fields: Fields, key: str, *, needed: bool = True) -> When | None:
        given = fields.value(key)
        if given is None:
            if needed:
                fields.need(key, 'write when it happens, as in "+2 days"')
            return None
        if not isinstance(given, str):
            fields.refuse((key,), f"an instant or an offset was expected, not {shown(given)}: {_TIMES}")
            return None
        try:
            when = _parse_when(given)
        except ValueError as error:
            fields.refuse((key,), str(error))
            return None
        problem = when_problem(when, given.strip(), self.enrolled_at)
        if problem:
            fields.refuse((key,), problem)
            return None
        return when

    def doubt(self, fields: Fields, name: str, properties: dict[str, Any], route: Route) -> None:
        """Note an event that changes nothing: not an error, the world is full of them, but rarely meant."""
        if name not in route.listens:
            meant = nearest(name, sorted(route.listens))
            hint = f": did you mean '{meant}'?" if meant else ""
            message = f"nothing in this journey listens to '{name}'{hint}"
        elif name in route.answers and name != "training.completed":
            steps = [route.stops[index].id for index in route.answers[name]]
            step = properties.get("step")
            if step in steps or name in route.milestones or name in route.counted:
                return
            meant = nearest(step, steps) if isinstance(step, str) else None
            message = f'no step takes this answer: write "step": "{meant or steps[0]}" in its properties'
        else:
            return
        self.notes.append(fields.document.problem(("event",), message, "warning"))


_READERS = {"event": _Reading.event, "command": _Reading.command, "outcome": _Reading.outcome}


# ---- afterwards ------------------------------------------------------------------------------------------


def unmet(lines: Sequence[ScriptLine], simulation: Simulation) -> list[ScriptLine]:
    """The outcomes that no effect came to meet: most often those written after their effect had started."""
    happenings: list[tuple[Instant, int, int, ScriptLine | Effect]] = [
        (line.at, 0, number, line) for number, line in enumerate(_by_time(lines))
    ]
    happenings += [(effect.at, 1, number, effect) for number, effect in enumerate(simulation.effects)]
    queued: dict[str, deque[ScriptLine]] = {}
    pending: dict[str, int] = {}
    for *_, happening in sorted(happenings, key=lambda happening: happening[:3]):
        if isinstance(happening, Effect):
            queue = queued.get(happening.step)
            met = queue.popleft() if queue else None
            if met is not None and _outcome(met) == "pending":
                pending[happening.step] = pending.get(happening.step, 0) + 1
        elif isinstance(happening.input, ScriptedOutcome):
            step = happening.input.step
            if pending.get(step) and _outcome(happening) != "pending":
                pending[step] -= 1
            else:
                queued.setdefault(step, deque()).append(happening)
    return sorted((line for queue in queued.values() for line in queue), key=lambda line: line.line)


def too_late(lines: Sequence[ScriptLine], simulation: Simulation) -> list[ScriptLine]:
    """The inputs that come when the journey is over already."""
    if not simulation.engine.finished:
        return []
    over = simulation.entries[-1].at
    return [line for line in _by_time(lines) if line.at > over]


def _by_time(lines: Sequence[ScriptLine]) -> list[ScriptLine]:
    return sorted(lines, key=lambda line: line.at)


def _outcome(line: ScriptLine) -> str | None:
    return line.input.outcome if isinstance(line.input, ScriptedOutcome) else None


# ---- times -----------------------------------------------------------------------------------------------


def parse_until(text: str) -> When:
    """An instant, or how long after enrolment, with or without '+'. Raises `ValueError`."""
    clean = text.strip()
    return parse_instant(clean) if _INSTANT_LIKE.match(clean) else _parse_offset(clean)


def when_problem(when: When, text: str, enrolled_at: Instant | None) -> str | None:
    """What is wrong with a time as such: it is before enrolment, or where there are no calendars."""
    if enrolled_at is not None and not isinstance(when, Duration) and when < enrolled_at:
        return f"'{text}' lies before the enrolment at {format_instant(enrolled_at)}"
    if at_most(when, EARLIEST if enrolled_at is None else enrolled_at) >= LATEST:
        return f"'{text}' lies after the year 2199: so far no calendar reaches"
    return None


def instant_of(when: When, calendar: Calendar, enrolled_at: Instant) -> Instant:
    """The instant of a time in a script, by the rules of JOURNEYS §4."""
    return calendar.add(enrolled_at, when) if isinstance(when, Duration) else when


def at_most(when: When, enrolled_at: Instant) -> Instant:
    """An upper bound of a time in a script, whatever the calendar."""
    # Business days may be a long way off where holidays pile up: a month more is enough.
    return enrolled_at + when.at_most + 30 * DAY if isinstance(when, Duration) else when


def reach(
    journey: Journey, subject: Subject, script: Script, enrolled_at: Instant, until: When | None = None
) -> Instant:
    """A time by which the journey is over, however it goes: so far the customer's calendar has to reach.

    The last time that the script, the traits or the caller name, and after that `ends`, or else everything in
    the journey that takes time, one after the other.
    """
    last = max([script.latest(enrolled_at), *_dates(subject.traits)])
    if until is not None:
        last = max(last, at_most(until, enrolled_at))
    if isinstance(journey.ends, Duration):
        return min(last + journey.ends.at_most + 30 * DAY, LATEST)
    whole = 0
    for step in journey.steps:
        spans = [step.wait, step.within, step.task.due if step.task else None]
        for span in spans:
            whole += 0 if span is None else (span.duration if isinstance(span, Moment) else span).at_most
        if step.checkin and step.checkin.every:
            whole += step.checkin.every.at_most * step.checkin.times
    if isinstance(journey.ends, Moment):
        whole += journey.ends.duration.at_most
    return min(last + whole + 30 * DAY, LATEST)


_INSTANT_LIKE = re.compile(r"\d{4}-")


def _parse_when(text: str) -> When:
    clean = text.strip()
    if clean.startswith("+"):
        return _parse_offset(clean)
    if clean.startswith(("-", "−")):
        raise ValueError(f"'{clean}' lies before the enrolment: the first time there is is '+0 days'")
    if _INSTANT_LIKE.match(clean):
        return parse_instant(clean)
    try:
        parse_duration(clean)
    except DurationError:
        raise ValueError(f"'{clean}' is neither an instant nor an offset from enrolment: {_TIMES}") from None
    raise ValueError(f"an offset from enrolment begins with '+': write '+{clean}'")


def _parse_offset(text: str) -> Duration:
    if re.search(r"\b(before|after)\b", text):
        raise ValueError(f"'{text.strip()}' is a moment, which only a journey has: {_TIMES}")
    written = " ".join(text.split())
    duration = written.removeprefix("+").strip()
    if duration.isdecimal():
        raise ValueError(f"'{written}' has no unit: write for instance '{written} days'")
    try:
        return parse_duration(duration)
    except DurationError as error:
        # The message quotes the duration; what was written may be more.
        raise ValueError(str(error).replace(f"'{duration}'", f"'{written}'", 1)) from None


def _dates(traits: Mapping[str, object]) -> list[Instant]:
    found = [trait for value in traits.values() if (trait := DateTrait.of(value)) is not None]
    return [(trait.value + 1) * DAY if trait.is_day else trait.value for trait in found]


__all__ = [
    "EARLIEST",
    "LATEST",
    "Script",
    "When",
    "instant_of",
    "parse_until",
    "reach",
    "read_script",
    "too_late",
    "unmet",
    "when_problem",
]
