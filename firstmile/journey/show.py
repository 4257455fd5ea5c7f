"""A journey as a picture: a tree for the terminal, a flowchart in Mermaid.

Both show the same: what comes after what and by which outcome, how long it waits, in which window it goes
out, what settles it and what stops it. A journey need not be right to be shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from firstmile.journey.durations import Duration, Span
from firstmile.journey.model import (
    Assign,
    Checkin,
    Email,
    Journey,
    Milestone,
    Notify,
    Provision,
    Request,
    Step,
    Survey,
    Task,
    Training,
    Webhook,
)

WIDTH = 100


def diagram(journey: Journey) -> str:
    """The journey as a tree of plain text, at most 100 columns wide, steps below what they come after.

    `├─` branches, `↓` follows as the only one, `[missed]` names the outcome that leads there.
    """
    branches = _branches(journey)
    lines = [*_heading(journey), ""]
    sections = deque([("● enrolment", branches.pop("", []))])
    while sections:
        title, roots = sections.popleft()
        lines.append(title)
        stack = _places(roots, "")
        while stack:
            place = stack.pop()
            below = branches.get(place.branch.step.id, [])
            too_far = len(place.prefix) > WIDTH // 2 and bool(below)
            lines += _draw(journey, place, below=bool(below) and not too_far)
            if too_far:
                lines.append(f"{place.inner}   … goes on below")
                sections.append((f"● {place.branch.step.id}", below))
            else:
                stack += _places(below, place.inner)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _heading(journey: Journey) -> Iterator[str]:
    title = f" · {journey.title}" if journey.title else ""
    yield from wrap(f"{journey.journey} {journey.version}{title}", WIDTH)
    yield from wrap(journey.summary or "", WIDTH)
    goal = f" within {journey.onboarded.within}" if journey.onboarded.within else ""
    facts = [f"onboarded by {journey.onboarded.milestone}{goal}"]
    facts += [f"ends {_later(journey.ends)}"] if journey.ends else []
    facts += [f"stopped by {rule.event}{', undone' if rule.undo else ''}" for rule in journey.stop_when]
    if journey.defaults.cap:
        cap = journey.defaults.cap
        facts.append(f"at most {cap.messages} message{'s' if cap.messages > 1 else ''} in {cap.per}")
    for name, variants in journey.experiments.items():
        shares = ", ".join(f"{variant} {weight}" for variant, weight in variants.items())
        facts.append(f"experiment {name}: {shares}")
    yield from wrap(" · ".join(facts), WIDTH)
    if journey.stages:
        yield from wrap("stages: " + " → ".join(stage.stage for stage in journey.stages), WIDTH)


@dataclass(frozen=True)
class _Branch:
    """A step that hangs below another by an outcome, and what else it waits for."""

    step: Step
    by: str
    beside: list[str]


def _branches(journey: Journey) -> dict[str, list[_Branch]]:
    """The steps by what they hang below: the last of what they come after, or nothing."""
    place = {step.id: number for number, step in enumerate(journey.steps)}
    depths = _depths(journey)
    found: dict[str, list[_Branch]] = {}
    for step in journey.steps:
        parents = [other for other in _waits_for(step) if other in place] if step.id in depths else []
        parent = max(parents, key=lambda other: (depths[other], place[other]), default="")
        by = next((condition.outcome for condition in step.after if condition.step == parent), "settled")
        beside = [str(condition) for condition in step.after if condition.step != parent]
        found.setdefault(parent, []).append(_Branch(step, "" if by == "settled" else by, beside))
    return found


def _depths(journey: Journey) -> dict[str, int]:
    """How many steps come before each, one after the other; those that wait in a circle are left out."""
    depths: dict[str, int] = {}
    waiting = {
        step.id: [other for other in _waits_for(step) if other in journey.by_id] for step in journey.steps
    }
    while ready := [step for step, others in waiting.items() if depths.keys() >= set(others)]:
        for step in ready:
            depths[step] = 1 + max((depths[other] for other in waiting.pop(step)), default=0)
    return depths


def _waits_for(step: Step) -> list[str]:
    members = (step.milestone.all or []) if step.milestone else []
    return [condition.step for condition in step.after] + members


@dataclass(frozen=True)
class _Place:
    """Where a branch is drawn: what stands before its turn, and before what hangs below it."""

    branch: _Branch
    prefix: str
    turn: str
    inner: str


def _places(branches: list[_Branch], prefix: str) -> list[_Place]:
    """The places of what hangs below one step, the last one first."""
    if len(branches) == 1:
        # No deeper: a long chain would run off the page.
        return [_Place(branches[0], prefix, "↓  ", prefix)]
    last = [_Place(branch, prefix, "└─ ", prefix + "   ") for branch in branches[-1:]]
    return last + [_Place(branch, prefix, "├─ ", prefix + "│  ") for branch in reversed(branches[:-1])]


def _draw(journey: Journey, place: _Place, *, below: bool) -> Iterator[str]:
    branch = place.branch
    by = f"[{branch.by}] " if branch.by else ""
    margin = place.inner + ("│  " if below and place.inner != place.prefix else "   ")
    yield from _wrapped(f"{by}{branch.step.id} · {describe(branch.step)}", place.prefix + place.turn, margin)
    details = [f"with {', '.join(branch.beside)}"] if branch.beside else []
    details += conditions(journey, branch.step)
    yield from _wrapped(" · ".join(details), margin, margin)


def _wrapped(text: str, first: str, later: str) -> list[str]:
    lines = wrap(text, WIDTH - max(len(first), len(later)))
    return [(later if number else first) + line for number, line in enumerate(lines)]


def describe(step: Step) -> str:
    """What a step does, in a few words."""
    match step.does:
        case Email(template=template, class_=message_class):
            return f"email {template}" + (f", {message_class}" if message_class != "lifecycle" else "")
        case Training(session=session, template=template):
            return f"training {session} by {template}"
        case Survey(kind=kind, template=template, low=low):
            return f"survey {kind} by {template}" + (f", low up to {low}" if low is not None else "")
        case Checkin(template=template, by=by, times=times, every=every):
            repeats = f", {times} times every {every}" if times > 1 else ""
            return f"check-in {'by call' if by == 'call' else f'by {template}'}{repeats}"
        case Milestone(all=list() as members):
            return f"milestone: all of {', '.join(members)}"
        case Milestone(event=events, times=times, where=where, since=since):
            count = f" {times} times" if times > 1 else ""
            filtered = f" where {where}" if where else ""
            return f"milestone: {' or '.join(events or [])}{count}{filtered}" + (
                ", counted from its opening" if since == "open" else ""
            )
        case Provision(system=system, function=function, undo=undo):
            return f"provision {system or function}" + (", undone on stop" if undo else "")
        case Assign(team=team):
            return f"assign an owner from {team}"
        case Task(title=title, owner=owner):
            return f"task for {owner or 'anyone'}: {title}"
        case Request(form=form, template=template, review=review):
            return f"request {form} by {template}" + (", reviewed" if review else "")
        case Notify(to=to):
            return f"notify {', '.join(to)}"
        case Webhook(system=system):
            return f"webhook {system}"


def conditions(journey: Journey, step: Step) -> list[str]:
    """When a step starts, what may keep it from it, and how long it stays open."""
    found = [_later(step.wait)] if step.wait is not None else []
    window = journey.window_of(step)
    found += [str(window)] if window else []
    found += [f"if {step.when}"] if step.when else []
    found += [f"not once {' or '.join(step.until)} is reached"] if step.until else []
    if step.within is not None:
        found.append(f"open {'for' if isinstance(step.within, Duration) else 'until'} {step.within}")
    due, remind = getattr(step.does, "due", None), getattr(step.does, "remind", None)
    found += [f"due {_later(due)}"] if due is not None else []
    found += [f"reminds every {remind}"] if remind is not None else []
    return found


def _later(span: Span) -> str:
    return f"after {span}" if isinstance(span, Duration) else str(span)


_SHAPES = {
    "milestone": ('{{"', '"}}'),
    "task": ('[/"', '"/]'),
    "checkin": ('("', '")'),
    "survey": ('("', '")'),
    "training": ('("', '")'),
    "provision": ('[["', '"]]'),
}


def mermaid(journey: Journey) -> str:
    """The journey as a Mermaid flowchart. Solid arrows lead on; dotted ones stop a step."""
    names = {step.id: f"s{number}" for number, step in enumerate(journey.steps)}
    lines = ["flowchart TD", '  enrolment(["enrolment"])']
    for step in journey.steps:
        opening, closing = _SHAPES.get(step.kind, ('["', '"]'))
        details = [step.id, describe(step), *conditions(journey, step)]
        label = "<br>".join(map(_escaped, details))
        lines.append(f"  {names[step.id]}{opening}{label}{closing}")
    for step in journey.steps:
        name = names[step.id]
        if not _waits_for(step):
            lines.append(f"  enrolment --> {name}")
        for condition in step.after:
            arrow = "-->" if condition.outcome == "settled" else f'-->|"{condition.outcome}"|'
            lines += [f"  {names[condition.step]} {arrow} {name}"] if condition.step in names else []
        for member in (step.milestone.all or []) if step.milestone else []:
            lines += [f"  {names[member]} --> {name}"] if member in names else []
        for milestone in step.until:
            lines += [f'  {names[milestone]} -.->|"stops"| {name}'] if milestone in names else []
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text inside a quoted label of Mermaid, which writes characters as `#name;`."""
    text = " ".join(text.split()).replace("#", "#35;").replace("&", "#amp;").replace('"', "#quot;")
    return text.replace("<", "#lt;").replace(">", "#gt;").replace("`", "#96;")


__all__ = ["WIDTH", "diagram", "mermaid"]
