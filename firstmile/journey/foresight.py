"""What a command would do: carried out on a copy of the engine, told in plain words, and forgotten.

It is the engine itself that answers, so that what is foreseen is what would happen; the next instant may of
course bring an event that nobody foresaw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from firstmile.journey import commands
from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import Engine
from firstmile.journey.inputs import Command, CommandRejected
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry, View
from firstmile.journey.outlook import when


@dataclass(slots=True, frozen=True)
class Start:
    """An effect that would start at once."""

    step: str
    kind: str
    purpose: str


@dataclass(slots=True, frozen=True)
class Foreseen:
    """What a command would bring about: entries of the journal, effects that start, and where it leads.

    `rejected` is the reason why it would be rejected.
    """

    entries: list[Entry] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    before: View | None = None
    after: View | None = None
    rejected: str | None = None


def foresee(engine: Engine, command: Command, at: Instant) -> Foreseen:
    """What `command` would do at `at`; changes nothing."""
    copy = Engine(engine.route, engine.calendar, engine.state.copy())
    before = copy.view()
    try:
        commands.apply(copy, command, at)
    except CommandRejected as rejected:
        return Foreseen(rejected=str(rejected))
    copy.advance(at)
    starts = [Start(effect.step, effect.kind, effect.purpose) for effect in copy.effects]
    return Foreseen(list(copy.entries), starts, before, copy.view())


def words(found: Foreseen, calendar: Calendar, now: Instant) -> list[str]:
    """What was foreseen, in sentences without a full stop, times in the customer's zone."""
    said = list(_said(found, calendar, now))
    return list(dict.fromkeys(said)) or ["nothing changes"]


_STARTS = {
    "email": "is sent now",
    "training": "is sent now",
    "survey": "is sent now",
    "provision": "is set up now",
    "assign": "gets an owner now",
    "task": "opens now",
}
_PURPOSES = {
    "remind": "is reminded of now",
    "occur": "takes place now",
    "undo": "is undone now",
    "escalate": "is handed up now",
    "review": "goes to review now",
    "help": "opens a task now",
}


def _said(found: Foreseen, calendar: Calendar, now: Instant) -> Iterator[str]:
    starting = {one.step for one in found.starts}
    # A due time that moves twice is told once, as it ends up.
    last = {entry.step: entry for entry in found.entries if entry.change == "scheduled"}
    for entry in found.entries:
        said = _entry(entry, calendar, now)
        if entry.change == "running" and entry.step in starting:
            continue
        if entry.change == "scheduled" and (entry is not last[entry.step] or entry.step in starting):
            continue
        if said:
            yield said
    for one in found.starts:
        what = _PURPOSES.get(one.purpose) or _STARTS.get(one.kind, "starts now")
        yield f"'{one.step}' {what}"
    before, after = found.before, found.after
    if before is None or after is None:
        return
    if before.status != after.status and after.status in ("active", "stuck"):
        yield f"the customer is {after.status}"
    if before.owners != after.owners:
        for role, owner in after.owners.items():
            if before.owners.get(role) != owner:
                yield f"{role}: {before.owners.get(role, 'nobody')} → {owner}"
    if before.ends != after.ends:
        ends = "has no end" if after.ends is None else f"ends {when(calendar, after.ends, now)}"
        yield f"the journey {ends}"


def _entry(entry: Entry, calendar: Calendar, now: Instant) -> str:
    why = f" ({entry.reason})" if entry.reason else ""
    match entry.change:
        case "scheduled":
            due = "" if entry.due is None else f" for {when(calendar, entry.due, now)}"
            return f"'{entry.step}' is scheduled{due}"
        case "skipped" | "missed" | "done" | "failed" | "undone":
            return f"'{entry.step}' is {entry.change}{why}"
        case "open":
            return f"'{entry.step}' is open"
        case "occurred":
            return f"'{entry.step}': {entry.reason}" if entry.reason else ""
        case "stage":
            return f"the stage is '{entry.stage}'"
        case "paused" | "completed" | "stopped":
            return f"the journey is {entry.change}"
        case "resumed":
            return "the journey goes on"
        case "onboarded":
            return "the customer is onboarded"
        case _:
            return ""
