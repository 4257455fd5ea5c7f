"""Journeys, customers and what happens to them, made up: valid ones, of every kind, from a source of chance.

`case(chance)` is a pure function of `chance`. Hypothesis gives it a source that it can replay and shrink; a
plain `random.Random(seed)` does for other processes and for long runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY, HOUR, MINUTE
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import Instant, format_instant, parse_instant
from firstmile.journey.model import Journey
from firstmile.journey.route import Route
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine
from tests.journey.building import piece

T = TypeVar("T")

EVENTS = ["e", "f", "g"]
OPEN_KINDS = ("training", "survey", "checkin", "milestone", "task", "request")
PLACES = [
    ("Europe/Berlin", "DE", "2026-03-20T09:30:00Z"),
    ("America/New_York", "US", "2026-10-22T14:00:00Z"),
    ("Asia/Tokyo", "JP", "2026-04-20T23:10:00Z"),
    ("Australia/Lord_Howe", None, "2026-03-28T02:00:00Z"),
    ("Asia/Kathmandu", "NP", "2026-12-20T05:00:00Z"),
    ("Africa/Casablanca", "MA", "2026-02-10T18:45:00Z"),
    ("UTC", None, "2026-06-01T00:00:00Z"),
]
WINDOWS: list[Any] = [
    "anytime",
    {"days": "mon-fri", "from": "09:00", "to": "17:00"},
    {"days": "mon-fri", "from": "09:00", "to": "17:00", "holidays": "skip"},
    {"days": "daily", "from": "00:00", "to": "24:00"},
    {"days": "daily", "from": "01:30", "to": "02:45"},
    {"days": ["tue", "sat"], "from": "12:00", "to": "12:30"},
]
WAITS = ["30 minutes", "2 hours", "1 day", "2 days 4 hours", "5 days", "1 business day", "3 business days",
         "1 business day 4 hours", "1 week"]  # fmt: skip
MOMENTS = ["1 day before d", "2 business days before d", "0 days after d", "3 hours before i", "1 day before i",
           "2 days after i", "1 business day after d"]  # fmt: skip
WHENS = ["traits.seats > 3", "not reached('S')", "done('S')", "missed('S') or skipped('S')", "day > 2",
         "count('e') > 1", "variant('tone') == 'b'", "result('S').score", "traits.absent"]  # fmt: skip


@dataclass
class Case:
    """A journey, a customer, and a script; times of the script are instants."""

    journey: dict[str, Any]
    place: tuple[str, str | None, str]
    traits: dict[str, Any]
    script: list[ScriptLine] = field(default_factory=list)
    subject: str = "c-1"

    @property
    def at(self) -> Instant:
        """The instant of enrolment."""
        return parse_instant(self.place[2])

    def route(self) -> Route:
        """The journey, made ready."""
        return Route(Journey.model_validate(self.journey))

    def calendar(self) -> Calendar:
        """The customer's calendar."""
        zone, country, _ = self.place
        return Calendar(piece(zone, self.at, country, None))

    def customer(self) -> Subject:
        """Who is enrolled."""
        return Subject(self.subject, traits=self.traits)


def pick(chance: Random, options: Sequence[T]) -> T:
    """One of the options; the first is the plainest."""
    return options[chance.randint(0, len(options) - 1)]


def maybe(chance: Random, of: int) -> bool:
    """True once in `of` times."""
    return chance.randint(1, of) == of


def case(chance: Random, *, stops: bool = True, pauses: bool = True) -> Case:
    """A case made up from `chance`. Without `stops` nothing cuts it short, without `pauses` none pauses."""
    journey = _journey(chance, stops)
    place = pick(chance, PLACES)
    start = parse_instant(place[2])
    traits: dict[str, Any] = {"seats": chance.randint(1, 6)}
    for name in ("d", "i"):
        if not maybe(chance, 3):
            traits[name] = _date(chance, start, name)
    found = Case(journey, place, traits, subject=f"c-{chance.randint(0, 99)}")
    found.script = _script(chance, found, stops=stops, pauses=pauses)
    return found


def _journey(chance: Random, stops: bool) -> dict[str, Any]:
    count = chance.randint(2, 12)
    ids = [f"s{number}" for number in range(count)]
    kinds = [pick(chance, ["email", "milestone", "task", "survey", "provision", "checkin", "training", "request",
                           "assign", "notify", "webhook", "email", "milestone"]) for _ in ids]  # fmt: skip
    milestones = [step for step, kind in zip(ids, kinds, strict=True) if kind == "milestone"]
    has_ends = not maybe(chance, 6)
    steps = [
        _step(chance, step, kind, ids[:number], milestones, has_ends)
        for number, (step, kind) in enumerate(zip(ids, kinds, strict=True))
    ]
    if maybe(chance, 3):
        chance.shuffle(steps)
    journey: dict[str, Any] = {
        "journey": "made-up",
        "version": 1,
        "onboarded": {"milestone": milestones[0] if milestones else ids[0]},
        "experiments": {"tone": {"a": 1, "b": 1}},
        "steps": steps,
    }
    if has_ends:
        journey["ends"] = pick(
            chance, ["20 days", "40 days", "5 days", "30 days after d", "10 business days"]
        )
    if milestones and maybe(chance, 2):
        journey["stages"] = [
            *({"stage": f"until {m}", "until": m} for m in milestones[:3]),
            {"stage": "last"},
        ]
    if stops and maybe(chance, 2):
        journey["stop_when"] = [{"event": pick(chance, ["stop", "g"]), "undo": maybe(chance, 2)}]
    defaults: dict[str, Any] = {"window": pick(chance, WINDOWS)}
    if maybe(chance, 2):
        defaults["spread"] = pick(chance, ["30 minutes", "8 hours"])
    if not maybe(chance, 3):
        defaults["cap"] = {
            "messages": chance.randint(1, 2),
            "per": pick(chance, ["1 day", "3 hours", "2 business days"]),
        }
    journey["defaults"] = defaults
    return journey


def _step(
    chance: Random, step: str, kind: str, earlier: list[str], milestones: list[str], has_ends: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"id": step, kind: _does(chance, kind, earlier)}
    if earlier and not maybe(chance, 3):
        names = sorted({pick(chance, earlier) for _ in range(chance.randint(1, 2))})
        found["after"] = [f"{_outcome(chance, name in milestones)}{name}" for name in names]
    if not maybe(chance, 3):
        moment = has_ends and maybe(chance, 3)
        found["wait"] = pick(chance, MOMENTS if moment else WAITS)
    others = [name for name in milestones if name != step]
    if others and maybe(chance, 4):
        found["until"] = [pick(chance, others)]
    if maybe(chance, 4):
        found["window"] = pick(chance, WINDOWS)
    if maybe(chance, 4):
        found["when"] = pick(chance, WHENS).replace("S", pick(chance, earlier or [step]))
    if kind in (*OPEN_KINDS, "provision") and (not has_ends or not maybe(chance, 3)):
        found["within"] = pick(
            chance, ["3 days", "12 hours", "2 business days", "8 days"] + ["1 day after d"] * has_ends
        )
    return found


def _outcome(chance: Random, is_milestone: bool) -> str:
    return pick(chance, ["", "", "reached " if is_milestone else "done ", "missed ", "skipped "])


def _does(chance: Random, kind: str, earlier: list[str]) -> dict[str, Any]:
    remind = {"remind": pick(chance, ["1 day", "2 days", "7 hours"])} if maybe(chance, 2) else {}
    if kind == "milestone":
        if earlier and maybe(chance, 4):
            return {"all": sorted({pick(chance, earlier) for _ in range(chance.randint(1, 3))})}
        milestone: dict[str, Any] = {
            "event": sorted({pick(chance, EVENTS) for _ in range(chance.randint(1, 2))})
        }
        if maybe(chance, 3):
            milestone["times"] = chance.randint(1, 3)
        if maybe(chance, 4):
            milestone["where"] = pick(chance, ["properties.n > 2", "properties.n > traits.seats"])
        if maybe(chance, 4):
            milestone["since"] = "open"
        return milestone
    kinds: dict[str, dict[str, Any]] = {
        "email": {"template": "t", "class": pick(chance, ["lifecycle", "transactional", "marketing"])},
        "training": {"session": pick(chance, ["x", "y"]), "template": "t"},
        "survey": {"kind": "nps", "template": "t", "low": 6, **remind},
        "checkin": {
            "every": pick(chance, ["2 days", "1 day", "9 hours"]),
            "times": chance.randint(1, 3),
            **({"by": "call"} if maybe(chance, 4) else {"template": "t"}),
        },
        "provision": {"system": "s", "undo": maybe(chance, 2), "with": {"n": "{{ traits.seats }}"}},
        "assign": {"team": "team"},
        "task": {
            "title": "T",
            **remind,
            **({"due": "1 business day", "escalate_to": "boss"} if maybe(chance, 3) else {}),
        },
        "request": {"form": "f", "template": "t", "review": maybe(chance, 3), **remind},
        "notify": {"to": "team", "message": "m"},
        "webhook": {
            "system": "s",
            **({"class": pick(chance, ["lifecycle", "transactional"])} if maybe(chance, 2) else {}),
        },
    }
    return kinds[kind]


def _date(chance: Random, start: Instant, name: str) -> str:
    at = start + chance.randint(-3, 25) * DAY + chance.randint(0, 47) * 30 * MINUTE
    text = format_instant(at)
    return text if name == "i" else text[:10]


def _script(chance: Random, made: Case, *, stops: bool, pauses: bool) -> list[ScriptLine]:
    steps = made.journey["steps"]
    lines = []
    now = made.at
    for number in range(chance.randint(0, 14)):
        now += pick(chance, [HOUR, 0, MINUTE, 7 * HOUR, DAY, 2 * DAY, 5 * DAY, 2_000_000]) * chance.randint(
            0, 2
        )
        lines.append(
            ScriptLine(now, number, _input(chance, made, steps, now, number, stops=stops, pauses=pauses))
        )
    return lines


def _input(
    chance: Random,
    made: Case,
    steps: list[dict[str, Any]],
    now: Instant,
    number: int,
    *,
    stops: bool,
    pauses: bool,
) -> Event | Command | ScriptedOutcome:
    step = pick(chance, steps)
    what = chance.randint(0, 9)
    if what <= 3:
        own = now - chance.randint(0, 3) * 12 * HOUR if maybe(chance, 3) else None
        name = pick(chance, [*EVENTS, *(["stop"] if stops and maybe(chance, 4) else [])])
        return Event(name, f"id-{number}", own, {"n": chance.randint(0, 6)})
    if what == 4:
        return _answer(chance, step, number)
    if what <= 6:
        name = pick(chance, ["failed", "pending", "deferred", "skipped", "done"])
        until = now + chance.randint(0, 60) * HOUR if name == "deferred" else None
        return ScriptedOutcome(step["id"], name, "why", until)
    return _command(chance, made, step["id"], now, stops=stops, pauses=pauses)


def _answer(chance: Random, step: dict[str, Any], number: int) -> Event:
    properties: dict[str, Any] = {"step": step["id"]}
    name = "survey.responded"
    if "training" in step:
        name, properties["session"] = "training.completed", step["training"]["session"]
    elif "checkin" in step:
        name, properties["answer"] = "checkin.answered", pick(chance, ["good", "help"])
    elif "request" in step:
        name = "request.submitted"
    else:
        properties["score"] = chance.randint(0, 10)
    return Event(name, f"id-{number}", None, properties)


def _command(chance: Random, made: Case, step: str, now: Instant, *, stops: bool, pauses: bool) -> Command:
    names = ["skip", "retry", "run_now", "complete", "resend", "reopen", "traits", "retry", "complete"]
    if pauses:
        names += ["pause", "pause", "resume", "resume"]
    if stops and maybe(chance, 4):
        names = ["cancel"]
    name: Any = pick(chance, names)
    traits: dict[str, Any] = {}
    if name == "traits":
        which = pick(chance, ["d", "i", "seats"])
        traits = {which: None if maybe(chance, 4) else _date(chance, now, which) if which != "seats" else 5}
        if which == "seats":
            traits = {"seats": chance.randint(1, 6)}
    return Command(
        name,
        actor="ann",
        step=step,
        overdue=pick(chance, ["shift", "run", "skip"]),
        until=now + chance.randint(1, 72) * HOUR if name == "pause" and maybe(chance, 3) else None,
        undo=maybe(chance, 2),
        traits=traits or None,
        answer="returned" if name == "complete" and maybe(chance, 4) else None,
    )


@lru_cache(maxsize=64)
def seeded(seed: int) -> Case:
    """A case from a plain seed."""
    return case(Random(seed))
