"""What a customer's workflow shows of itself in Temporal's own UI. No personal data: it is not encrypted."""

from __future__ import annotations

from firstmile.journey.engine import Engine
from firstmile.journey.inputs import Effect
from firstmile.journey.instants import Instant

_PURPOSES = {
    "remind": "reminder",
    "occur": "occurrence",
    "help": "help asked for",
    "escalate": "escalation",
    "undo": "undo",
}
_MARKS = {
    "done": "✓",
    "skipped": "–",
    "missed": "✗",
    "failed": "⚠",
    "open": "○",
    "running": "▶",
    "scheduled": "·",
    "waiting": " ",
}


def effect_summary(effect: Effect) -> str:
    """One line for an activity: what it does for which step."""
    purpose = _PURPOSES.get(effect.purpose)
    text = f"{effect.kind} {effect.step}"
    return text if purpose is None else f"{text}: {purpose} {effect.occurrence}"


def timer_summary(engine: Engine, wake: Instant) -> str:
    """One line for the timer: what is due when it fires."""
    due = [
        stop.id
        for stop in engine.route.stops
        if wake in (engine.state.steps[stop.id].due, engine.state.steps[stop.id].deadline)
        or wake == engine.state.steps[stop.id].next
    ]
    what = ", ".join(due[:3]) or ("end of the journey" if wake == engine.state.ends else "wake-up")
    return f"{what} at {engine.calendar.local(wake)}"


def details(engine: Engine) -> str:
    """The customer's journey as Markdown: status, stage, and each step with its next or last instant."""
    view = engine.view()
    wake = "nothing" if view.next is None else engine.calendar.local(view.next)
    lines = [
        f"**{view.status}**" + (f", stage *{view.stage}*" if view.stage else "") + f"; next: {wake}",
        "",
        "| | step | | |",
        "|---|---|---|---|",
    ]
    for step, (phase, at) in view.steps.items():
        when = "" if at is None else engine.calendar.local(at)
        lines.append(f"| {_MARKS[phase]} | {step} | {phase} | {when} |")
    return "\n".join(lines)
