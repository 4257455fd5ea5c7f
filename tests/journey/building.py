"""What tests of the engine share: journeys written as YAML, scripts written as pairs, journals read as lines.

A journey is given as its steps; what every journey must have is filled in, and can be said before them. Time
in tests is the customer's wall clock (`2026-03-06 09:00`), or counted from enrolment (`+2 days 4 hours`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML

from firstmile.journey.calendar import Calendar, CalendarSlice
from firstmile.journey.durations import DAY, MINUTE, parse_duration
from firstmile.journey.inputs import Command, Effect, Event, Subject
from firstmile.journey.instants import Instant, parse_instant
from firstmile.journey.journal import Entry
from firstmile.journey.model import Journey, Window
from firstmile.journey.route import Route
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine, Simulation, simulate
from firstmile.journey.slices import cut

Input = Event | Command | ScriptedOutcome


def read(text: str) -> Any:
    """YAML as plain values."""
    return YAML(typ="safe", pure=True).load(textwrap.dedent(text))


@lru_cache(maxsize=512)
def route(text: str) -> Route:
    """A journey from YAML: either its steps as a list, or the whole of it, with what is missing filled in."""
    given = read(text)
    if isinstance(given, list):
        given = {"steps": given}
    if "ends" not in given:
        given["ends"] = "120 days"
    elif given["ends"] is None:
        del given["ends"]
    whole = {"journey": "test", "version": 1, "onboarded": {"milestone": "goal"}, **given}
    return Route(Journey.model_validate(whole))


@lru_cache(maxsize=512)
def piece(timezone: str, start: Instant, country: str | None, subdivision: str | None) -> CalendarSlice:
    """A calendar slice of about two years around `start`."""
    return cut(timezone, start, start + 400 * DAY, country, subdivision)


def calendar(
    timezone: str = "UTC",
    near: str = "2026-03-06",
    country: str | None = None,
    subdivision: str | None = None,
) -> Calendar:
    """The calendar of a zone and a country around a date."""
    return Calendar(piece(timezone, parse_instant(f"{near}T00:00:00Z"), country, subdivision))


def window(
    days: str = "mon-fri", opens: str = "09:00", closes: str = "17:00", holidays: str = "allow"
) -> Window:
    """A window as a journey writes it."""
    return Window.model_validate({"days": days, "from": opens, "to": closes, "holidays": holidays})


def instant(text: str, on: Calendar) -> Instant:
    """`2026-03-06T03:00:00Z`, or a local wall clock `2026-03-06 09:00[:00]` (the first, where there are two)."""
    if text.endswith("Z") or "+" in text:
        return parse_instant(text)
    return on.resolve(parse_instant(f"{text.replace(' ', 'T')}Z"))


def local(moment: Instant | None, on: Calendar) -> str:
    """An instant as local wall clock, `2026-03-06 09:00`, with seconds only where there are any."""
    if moment is None:
        return "never"
    text = on.local(moment)[:19].replace("T", " ")
    return text.removesuffix(":00") if moment % MINUTE == 0 else text


def event(name: str, identity: str | None = None, **properties: Any) -> Event:
    """A product event or an answer; without an identity, the name stands for it."""
    return Event(name, identity or f"{name} {sorted(properties.items())}", properties=properties)


def command(name: Any, step: str | None = None, **fields: Any) -> Command:
    """An operator's command, by Ann."""
    return Command(name, actor="ann", step=step, **fields)


def effect(step: str, outcome: str, reason: str | None = None, **fields: Any) -> ScriptedOutcome:
    """What the next effect of a step meets."""
    return ScriptedOutcome(step, outcome, reason, **fields)


@dataclass
class Run:
    """A journey that was simulated, and questions about it."""

    simulation: Simulation
    calendar: Calendar

    @property
    def journal(self) -> list[Entry]:
        """Every entry, in the order that people see."""
        return self.simulation.entries

    @property
    def effects(self) -> list[Effect]:
        """Every effect that was started."""
        return self.simulation.effects

    @property
    def rejected(self) -> list[str]:
        """Why commands were rejected."""
        return [reason for _, reason in self.simulation.rejected]

    @property
    def status(self) -> str:
        """The customer's status at the end."""
        return self.simulation.engine.status

    def changes(self, step: str | None) -> list[str]:
        """What happened to a step (or to the journey itself), without the times."""
        return [entry.change for entry in self.journal if entry.step == step]

    def lines(self, step: str | None = None, *changes: str) -> list[str]:
        """What happened to a step: `2026-03-06 09:00 done`, with a due time or a reason where there is one."""
        found = []
        for entry in self.journal:
            if entry.step != step or (changes and entry.change not in changes):
                continue
            words = [local(entry.at, self.calendar), entry.change]
            if entry.change == "scheduled":
                words.append(f"for {local(entry.due, self.calendar)}")
            words += [word for word in ("late" if entry.late else None, entry.stage) if word]
            if entry.reason:
                words.append(f"({entry.reason})")
            found.append(" ".join(words))
        return found

    def times(self, step: str | None, change: str) -> list[str]:
        """When a change happened to a step, as local wall clocks."""
        return [local(e.at, self.calendar) for e in self.journal if e.step == step and e.change == change]

    def when(self, step: str | None, change: str = "running") -> str:
        """When a change happened to a step for the first time, or `never`."""
        return next(iter(self.times(step, change)), "never")

    def due(self, step: str) -> list[str]:
        """The due times that a step had, one after the other."""
        return [
            local(e.due, self.calendar) for e in self.journal if e.step == step and e.change == "scheduled"
        ]

    def last(self, step: str | None) -> str:
        """The last change of a step, with `late` and the reason where there are any."""
        entry = [e for e in self.journal if e.step == step and e.change != "occurred"][-1]
        words = [entry.change, "late" if entry.late else "", f"({entry.reason})" if entry.reason else ""]
        return " ".join(word for word in words if word)

    def reasons(self, step: str | None, change: str) -> list[str | None]:
        """The reasons given for a change of a step."""
        return [e.reason for e in self.journal if e.step == step and e.change == change]

    def purposes(self, step: str) -> list[str]:
        """What the effects of a step were for."""
        return [effect.purpose for effect in self.effects if effect.step == step]


@dataclass
class Customer:
    """Who is enrolled, where and when: the part of a test that is mostly the same."""

    at: str = "2026-03-06 10:00"
    timezone: str = "Europe/Berlin"
    country: str | None = None
    subdivision: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    id: str = "c-1"
    skip: Sequence[str] = ()

    def calendar(self) -> Calendar:
        """The customer's calendar, around the enrolment."""
        return calendar(self.timezone, self.at[:10], self.country, self.subdivision)

    def subject(self) -> Subject:
        """The customer as the engine knows them."""
        return Subject(
            self.id,
            timezone=self.timezone,
            country=self.country,
            subdivision=self.subdivision,
            traits=self.traits,
            skip=list(self.skip),
        )

    def run(self, journey: str, *script: tuple[str, Input], until: str | None = None) -> Run:
        """Simulate a journey for this customer: `script` are pairs of a time and an input."""
        on = self.calendar()
        start = instant(self.at, on)

        def at(text: str) -> Instant:
            return on.add(start, parse_duration(text[1:])) if text.startswith("+") else instant(text, on)

        lines = [ScriptLine(at(when), number, what) for number, (when, what) in enumerate(script, 1)]
        last = None if until is None else at(until)
        return Run(simulate(route(journey), on, self.subject(), start, lines, last), on)


def run(journey: str, *script: tuple[str, Input], until: str | None = None, **customer: Any) -> Run:
    """Simulate a journey for a customer in Berlin who signs up on Friday, 2026-03-06 at 10:00."""
    return Customer(**customer).run(journey, *script, until=until)
