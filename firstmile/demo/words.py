"""What the demo says of a journal entry, in the few words that fit into a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from firstmile.journey.journal import Entry, View

_STEPS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("email", "done"): "{step} sent",
        ("training", "open"): "{step}: invited",
        ("training", "done"): "{step}: took part",
        ("training", "missed"): "{step}: not taken",
        ("survey", "open"): "{step}: asked",
        ("survey", "occurred"): "{step}: reminded",
        ("survey", "done"): "{step}: answered",
        ("survey", "missed"): "{step}: not answered",
        ("checkin", "open"): "{step} no. 1",
        ("checkin", "occurred"): "{step} no. {occurrence}",
        ("checkin", "done"): "{step}: done",
        ("milestone", "done"): "{step} reached",
        ("milestone", "missed"): "{step} missed",
        ("provision", "done"): "{step} set up",
        ("provision", "open"): "{step}: being set up",
        ("provision", "undone"): "{step} undone",
        ("assign", "done"): "{step} assigned",
        ("task", "open"): "{step}: task opened",
        ("task", "occurred"): "{step}: task reminded",
        ("task", "done"): "{step}: task done",
        ("request", "open"): "{step}: asked for",
        ("request", "done"): "{step}: handed in",
        ("notify", "done"): "{step}: told",
        ("webhook", "done"): "{step}: told",
    }
)
_JOURNEY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "enrolled": "enrolled",
        "paused": "paused",
        "resumed": "resumed",
        "onboarded": "onboarded",
        "completed": "completed",
        "stopped": "stopped",
    }
)
# What needs eyes: said of any kind of step.
_ALARMS: Final[Mapping[str, str]] = MappingProxyType({"failed": "{step} failed"})


def told(entry: Entry) -> str | None:
    """What is said of an entry; None for what is not worth a line: scheduled, running, skipped."""
    if entry.step is None:
        said = _JOURNEY.get(entry.change)
        if said is None or not entry.reason or entry.change in ("enrolled", "onboarded"):
            return said
        return f"{said}: {entry.reason.replace('_', ' ')}"
    if entry.change == "occurred" and not _counts(entry):
        return None
    words = _ALARMS.get(entry.change) or _STEPS.get((entry.kind or "", entry.change))
    if words is None:
        return None
    said = words.format(step=plainly(entry.step), occurrence=entry.occurrence)
    return f"{said}: {entry.reason}" if entry.change == "failed" and entry.reason else said


def _counts(entry: Entry) -> bool:
    """Whether an occurrence is worth a line: a reminder, or a check-in after the one that opened it."""
    return entry.occurrence is not None and (entry.kind != "checkin" or entry.occurrence > 1)


def plainly(name: str) -> str:
    """An identifier as people write it."""
    return name.replace("_", " ")


def upcoming(view: View, now: int, day: int) -> str:
    """What is due next, and in how many days; `day` is the length of one."""
    if view.status == "stuck":
        failed = [step for step, (phase, _) in view.steps.items() if phase == "failed"]
        return f"waits for an operator: {plainly(failed[0])}" if failed else "waits for an operator"
    if view.status == "paused":
        return "paused"
    due = sorted((at, step) for step, (phase, at) in view.steps.items() if phase == "scheduled" and at)
    if due:
        at, step = due[0]
        return f"{plainly(step)} {_in_days((at - now) / day)}"
    waits = [step for step, (phase, _) in view.steps.items() if phase == "open"]
    if waits:
        return f"waits: {', '.join(map(plainly, waits[:2]))}"
    return "" if view.ends is None else f"ends {_in_days((view.ends - now) / day)}"


def _in_days(days: float) -> str:
    if days < 0.05:
        return "now"
    return f"in {days:.1f} d" if days < 9.95 else f"in {days:.0f} d"
