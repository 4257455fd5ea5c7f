"""Tables for people: customers, and where one of them stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from firstmile.journey.outlook import Row, when
from firstmile.service import Standing

STATUSES = {"active": "", "paused": "yellow", "stuck": "bold red", "completed": "green", "stopped": "dim"}
_PHASES = {
    "done": "green",
    "skipped": "dim",
    "missed": "red",
    "failed": "bold red",
    "running": "cyan",
    "open": "cyan",
    "scheduled": "",
    "waiting": "dim",
}
_MARKS = {
    "done": "✓",
    "skipped": "–",
    "missed": "✗",
    "failed": "!",
    "running": "…",
    "open": "○",
    "scheduled": "·",
    "waiting": " ",
}


_GROUPS = {"past": "Done", "now": "Now", "next": "Next", "later": "Later"}


def customers(found: Iterable[Mapping[str, Any]]) -> RenderableType:
    """A page of customers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "who", "segment", "status", "stage", "enrolled", "next", "onboarded"):
        table.add_column(column, no_wrap=column in ("id", "status", "enrolled", "next"))
    for one in found:
        who = ", ".join(str(one[name]) for name in ("name", "company") if one[name])
        table.add_row(
            Text(one["id"]),
            Text(who),
            Text(one["segment"]),
            Text(one["status"], STATUSES.get(one["status"], "")),
            Text(one["stage"] or "–"),
            Text(_short(one["enrolled_at"])),
            Text(_short(one["next_at"])),
            Text(_short(one["onboarded_at"]) if one["onboarded"] else "–"),
        )
    return table if table.row_count else Text("no customers", "dim")


def standing(found: Standing) -> RenderableType:
    """Where a customer stands: a few lines, then every step in the order of time."""
    row, view, profile = found.enrolment, found.view, found.profile
    now, calendar = found.journey_now, found.calendar
    head = Text(row.subject, "bold")
    if profile is not None and (profile.name or profile.company):
        head.append("  " + ", ".join(part for part in (profile.name, profile.company) if part), "not bold")
    facts = [f"{found.title or row.segment} (version {row.version})", found.status]
    if view is not None and view.stage:
        facts.append(f"stage {view.stage}")
    if view is not None and view.onboarded_at is not None:
        facts.append(f"onboarded {when(calendar, view.onboarded_at, now)}")
    facts += [f"{role}: {person.name}" for role, person in found.owners.items()]
    lines: list[RenderableType] = [head, Text(" · ".join(facts), STATUSES.get(found.status, ""))]
    speed = f", {row.speed:g} times faster than the clock" if row.speed != 1 else ""
    age = "not seen by a worker yet" if found.updated_at is None else f"as of {_age(found)} ago"
    lines.append(Text(f"{when(calendar, now, now)} in {found.timezone}{speed}; {age}", "dim"))
    for hold in found.holds:
        what = hold.scope if hold.value is None else f"{hold.scope} {hold.value}"
        lines.append(Text(f"messages wait: {what} is held by {hold.actor} ({hold.reason})", "yellow"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    group = None
    for one in found.rows:
        if one.group != group:
            group = one.group
            table.add_row("", "", "")
            table.add_row("", Text(_GROUPS[group], "bold"), "")
        style = _PHASES[one.phase]
        table.add_row(Text(_MARKS[one.phase], style), Text(one.step, style), _why(one, found))
    steps = {one.step for one in found.rows}
    if aside := [task for task in found.tasks if task.state == "open" and task.step not in steps]:
        # Tasks that are no step: nothing of the journey waits for them, so no row above speaks of them.
        table.add_row("", "", "")
        table.add_row("", Text("To do", "bold"), "")
        names = {person.id: person.name for person in found.owners.values()}
        for task in aside:
            whose = names.get(task.owner or "", task.owner or task.team or "nobody")
            table.add_row(
                Text("!", "bold red"), Text(task.step, "bold red"), Text(f"{task.title}, for {whose}")
            )
    return Group(*lines, table)


def journal(found: Standing) -> RenderableType:
    """Everything that happened to a customer, in the order people see it."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("at", "step", "change", "reason", "by"):
        table.add_column(column)
    for entry in found.journal:
        extra = entry.stage or (f"due {_local(found, entry.due)}" if entry.due is not None else "")
        table.add_row(
            Text(_local(found, entry.at)),
            Text(entry.step or ""),
            Text(entry.change + (", late" if entry.late else ""), _PHASES.get(entry.change, "")),
            Text(entry.reason or extra),
            Text(entry.actor or ""),
        )
    return table


def messages(found: Standing) -> RenderableType:
    """What was sent to a customer, and what became of it: by the clock on the wall in UTC, oldest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("sent", "step", "template", "state", "became", "opened", "clicked", "reason"):
        table.add_column(column)
    for one in found.messages:
        message, engagement = one.message, one.engagement
        table.add_row(
            Text(_wall(message.accepted_at or message.updated_at)),
            Text(message.step if message.purpose == "run" else f"{message.step} ({message.purpose})"),
            Text(message.template),
            Text(message.state if message.verdict in (None, "open") else message.verdict),
            Text(message.fate or "–", _FATES.get(message.fate or "", "")),
            Text(_wall(engagement.opened_at)),
            Text(_wall(engagement.clicked_at)),
            Text(message.reason or ""),
        )
    return table if table.row_count else Text("no messages", "dim")


_FATES = {"delivered": "green", "deferred": "yellow", "dropped": "red", "bounced": "red", "complained": "red"}


def _wall(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _why(row: Row, found: Standing) -> Text:
    said = Text(row.why)
    if row.earliest and row.at is not None and _local(found, row.at) not in row.why:
        said.append(f"  not before {_local(found, row.at)}", "dim")
    return said


def _local(found: Standing, instant: int) -> str:
    return when(found.calendar, instant, found.journey_now)


def _age(found: Standing) -> str:
    assert found.updated_at is not None
    seconds = max(int((found.now - found.updated_at).total_seconds()), 0)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _short(text: str | None) -> str:
    return "–" if text is None else text[:16].replace("T", " ")
