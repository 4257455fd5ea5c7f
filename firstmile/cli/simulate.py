"""`firstmile simulate`: one customer's journey from start to end, in a moment (JOURNEYS §6)."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstmile.cli import journeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstmile.journey.inputs import Subject
    from firstmile.journey.instants import Instant
    from firstmile.journey.problems import Problem
    from firstmile.journey.route import Route
    from firstmile.journey.script import Script, When
    from firstmile.journey.simulator import ScriptLine
    from firstmile.journey.timeline import Line, Simulated

app = typer.Typer()

STANDARD_INPUT = "-"


@app.command()
def simulate(
    journey: Annotated[
        str, typer.Argument(metavar="JOURNEY", help="The journey's file.", show_default=False)
    ],
    customer: Annotated[
        str,
        typer.Option(metavar="FILE", help="The customer, as JSON; - is standard input.", show_default=False),
    ],
    at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="The enrolment, as in 2026-03-06T03:00:00Z; without it, now."),
    ] = None,
    script: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What happens, one JSON object a line; - is standard input."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Where to stop: '30 days' after enrolment, or an instant."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the journal, one JSON object a line.")
    ] = False,
) -> None:
    """Show what one customer would live through, and when; nothing is sent.

    Only what the script says happens: without a line of it nobody logs in, answers or completes a task.
    Effects succeed at once unless a line says otherwise.
    """
    try:
        asked = _read(journey, customer, at, script, until)
    except _Refused as refused:
        for error in refused.errors:
            typer.echo(error, err=True)
        raise typer.Exit(2) from None
    simulated, lines = _simulate(asked)
    if as_json:
        _write(_journal(simulated))
    else:
        for warning in asked.warnings:
            typer.echo(str(warning), err=True)
        _print_timeline(simulated)
    for line, remark in _remarks(asked, simulated, lines, rejections_only=as_json):
        typer.echo(f"{asked.script_file}:{line}: {remark}", err=True)


# ---- reading ---------------------------------------------------------------------------------------------


class _Refused(Exception):
    """What was asked for cannot be simulated; `errors` says why, a line each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, as read, without an error."""

    route: Route
    subject: Subject
    enrolled_at: Instant
    script: Script
    script_file: str
    until: When | None
    warnings: list[Problem]


def _read(journey: str, customer: str, at: str | None, script: str | None, until: str | None) -> _Asked:
    """Read everything, so that every error of every file is told at once. Raises `_Refused`."""
    from firstmile.journey.customer import read_customer
    from firstmile.journey.route import Route
    from firstmile.journey.script import Script, read_script

    errors: list[str] = []
    enrolled_at = _enrolment(at, errors)
    stop = _until(until, enrolled_at, errors)
    if customer == script == STANDARD_INPUT:
        errors.append("--script: standard input holds the customer already: give one of the two as a file")
        script = None

    loaded = journeys.load(Path(journey))
    problems = loaded if isinstance(loaded, list) else loaded.problems
    warnings = [problem for problem in problems if problem.severity == "warning"]
    wrong = [problem for problem in problems if problem.severity == "error"]
    errors += map(str, wrong)
    known = None if isinstance(loaded, list) else loaded.journey
    route = Route(known) if known is not None and not wrong else None

    subject, read = None, Script()
    text = _text(customer, errors)
    if text is not None:
        found = read_customer(text, _shown(customer), known, route)
        subject = found.subject
        errors += map(str, found.problems)
        warnings += found.notes
    text = None if script is None else _text(script, errors)
    if script is not None and text is not None:
        read = read_script(text, _shown(script), known, route, enrolled_at)
        errors += map(str, read.problems)
        warnings += read.notes
    if errors or route is None or subject is None or enrolled_at is None:
        raise _Refused(errors)
    return _Asked(route, subject, enrolled_at, read, _shown(script or ""), stop, warnings)


def _text(path: str, errors: list[str]) -> str | None:
    content = b""
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read()
        else:
            content = Path(path).read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        errors.append(f"{_shown(path)}:{line}: the file is not UTF-8: save it as UTF-8")
    except OSError as error:
        errors.append(f"{_shown(path)}: cannot be read: {error.strerror or error}")
    return None


def _shown(path: str) -> str:
    return "<stdin>" if path == STANDARD_INPUT else path


def _enrolment(text: str | None, errors: list[str]) -> Instant | None:
    from datetime import UTC, datetime

    from firstmile.journey.instants import from_datetime, parse_instant
    from firstmile.journey.script import EARLIEST, LATEST

    if text is None:
        return from_datetime(datetime.now(UTC).replace(microsecond=0))
    try:
        instant = parse_instant(text)
    except ValueError as error:
        errors.append(f"--at: {error}")
        return None
    if not EARLIEST <= instant < LATEST:
        errors.append(f"--at: '{text}' lies outside the years 1971 to 2199, for which there are calendars")
        return None
    return instant


def _until(text: str | None, enrolled_at: Instant | None, errors: list[str]) -> When | None:
    from firstmile.journey.script import parse_until, when_problem

    if text is None:
        return None
    try:
        when = parse_until(text)
    except ValueError as error:
        errors.append(f"--until: {error}")
        return None
    problem = when_problem(when, text, enrolled_at)
    if problem:
        errors.append(f"--until: {problem}")
    return when


# ---- simulating ------------------------------------------------------------------------------------------


def _simulate(asked: _Asked) -> tuple[Simulated, list[ScriptLine]]:
    from firstmile.journey.calendar import Calendar
    from firstmile.journey.script import instant_of, reach
    from firstmile.journey.simulator import simulate
    from firstmile.journey.slices import cut
    from firstmile.journey.timeline import Simulated

    journey, subject, enrolled_at = asked.route.journey, asked.subject, asked.enrolled_at
    end = reach(journey, subject, asked.script, enrolled_at, asked.until)
    calendar = Calendar(cut(subject.timezone, enrolled_at, end, subject.country, subject.subdivision))
    until = None if asked.until is None else instant_of(asked.until, calendar, enrolled_at)
    lines = asked.script.lines(calendar, enrolled_at)
    simulation = simulate(asked.route, calendar, subject, enrolled_at, lines, until)
    return Simulated(journey, subject, calendar, simulation, until), lines


def _remarks(
    asked: _Asked, simulated: Simulated, lines: list[ScriptLine], *, rejections_only: bool
) -> list[tuple[int, str]]:
    """What came of lines of the script that changed nothing: (line, what to say), by line."""
    from firstmile.journey.inputs import Command
    from firstmile.journey.script import too_late, unmet

    simulation = simulated.simulation
    found = {line.line: f"the command was rejected: {reason}" for line, reason in simulation.rejected}
    over = f"the journey is {simulation.engine.status} by then"
    for line in too_late(lines, simulation):
        if isinstance(line.input, Command):
            found[line.line] = f"the command was rejected: {over}"
        elif not rejections_only:
            found[line.line] = f"warning: {over}"
    if not rejections_only:
        for line in unmet(lines, simulation):
            remark = "warning: its step started no effect from then on that could meet this outcome"
            found.setdefault(line.line, remark)
    return sorted(found.items())


# ---- printing --------------------------------------------------------------------------------------------


def _journal(simulated: Simulated) -> Iterator[str]:
    """The journal as JSON lines: always the same six keys, then those that belong to the change."""
    import json

    from firstmile.journey.instants import format_instant

    calendar = simulated.calendar
    for entry in simulated.simulation.entries:
        line: dict[str, object] = {
            "at": format_instant(entry.at),
            "local": calendar.local(entry.at),
            "step": entry.step,
            "kind": entry.kind,
            "change": entry.change,
            "reason": entry.reason,
        }
        if entry.change == "scheduled" and entry.due is not None:
            line["due"] = format_instant(entry.due)
        if entry.stage is not None:
            line["stage"] = entry.stage
        if entry.seconds is not None:
            line["seconds"] = int(entry.seconds) if entry.seconds.is_integer() else entry.seconds
        if entry.late:
            line["late"] = True
        if entry.change == "occurred" and entry.occurrence is not None:
            line["occurrence"] = entry.occurrence
        if entry.actor is not None:
            line["actor"] = entry.actor
        yield json.dumps(line, ensure_ascii=not _prints("é✉"), separators=(",", ":"))


def _print_timeline(simulated: Simulated) -> None:
    from firstmile.journey.timeline import MARKS, WIDTH, render

    ascii_only = not _prints(MARKS)
    if sys.stdout.isatty():
        columns = max(60, min(WIDTH, shutil.get_terminal_size().columns))
        _in_colour(render(simulated, columns=columns, ascii_only=ascii_only))
    else:
        lines = render(simulated, ascii_only=ascii_only)
        _write("".join(piece.text for piece in line).rstrip() for line in lines)


def _in_colour(lines: Iterable[Line]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as capture:
        for line in lines:
            console.print(Text.assemble(*((piece.text, _STYLES[piece.style]) for piece in line)))
    _write(capture.get().splitlines())


_STYLES = {
    "": "",
    "title": "bold",
    "day": "bold",
    "message": "bold cyan",
    "good": "green",
    "bad": "bold red",
    "notable": "magenta",
    "faint": "dim",
}


def _prints(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _write(lines: Iterable[str]) -> None:
    """Print lines; a reader that went away (`| head`) is no failure."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whatever is still in the buffer must not be tried again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
