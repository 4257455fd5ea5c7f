"""Starts onboardings: `python starter.py signups.jsonl` (or `-`, or one JSON object, or CSV).

Says of every line what became of it: started, already there, or refused and why. Nothing that was accepted is
lost, and starting the same file again changes nothing; so after an interruption, run it again.

Exit status: 0 every line is on its way; 1 one was refused, or could not be started; 2 nothing could be read.
"""

from __future__ import annotations

import asyncio
import csv
import io
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from firstmile import cli
from firstmile.cli.errands import fail, print_json, settings_or_exit

if TYPE_CHECKING:
    from firstmile.service import Enrolled

AT_ONCE = 16
PATIENCE = 120.0
"""Seconds for which a line is tried again while Temporal or the store is away."""
_LONGEST_PAUSE = 5.0


class Enrols(Protocol):
    """What is needed of the service."""

    async def enrol(self, body: object) -> Enrolled:
        """Start a customer."""
        ...

    async def trait_kinds(self, segment: str) -> dict[str, str]:
        """The traits that a segment's journey declares, with their kinds."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One sign-up of the file: `number` is the line it begins in. `problem`: it could not be read.

    `cells`: it comes from a table, where everything is text; the journey says what its traits are.
    """

    number: int
    body: Any
    problem: str | None = None
    cells: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one line."""

    line: int
    id: str | None
    outcome: Literal["started", "already there", "refused", "not started"]
    reason: str | None = None


# ---- reading ---------------------------------------------------------------------------------------------


def read(text: str, name: str = "") -> list[Line]:
    """The sign-ups in a text: JSON lines, one JSON object over several lines, a JSON array, or CSV."""
    clean = text.removeprefix("\ufeff")
    kind = Path(name).suffix.lower()
    looks_like_json = clean.lstrip().startswith(("{", "["))
    if kind == ".csv" or (kind not in (".json", ".jsonl", ".ndjson") and not looks_like_json):
        return list(_csv(clean))
    return list(_json(clean))


def _json(text: str) -> Iterator[Line]:
    from firstmile import bodies

    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    try:
        whole = bodies.parse(text, "the file")
    except bodies.NotJson as error:
        if len(lines) == 1 or lines[0][1].strip() in ("{", "["):
            yield Line(lines[0][0], None, str(error))
            return
    else:
        if isinstance(whole, list):
            yield from (Line(number, body) for number, body in enumerate(whole, 1))
        else:
            yield Line(lines[0][0], whole)
        return
    for number, line in lines:
        try:
            yield Line(number, bodies.parse(line, "the line"))
        except bodies.NotJson as error:
            yield Line(number, None, str(error))


def _csv(text: str) -> Iterator[Line]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    heads: list[str] | None = None
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if heads is None:
                heads = [cell.strip() for cell in row]
                continue
            number = rows.line_num
            if len(row) > len(heads):
                yield Line(number, None, f"it has {len(row)} cells, and there are {len(heads)} columns")
            else:
                yield Line(number, _from_cells(dict(zip(heads, row, strict=False))), cells=True)
    except csv.Error as error:
        yield Line(rows.line_num, None, f"it is not CSV: {error}")


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    """A row: `traits.seats` and `consent.marketing` are inside; an empty cell is absent."""
    body: dict[str, Any] = {}
    for name, cell in cells.items():
        text = cell.strip()
        if not name or not text:
            continue
        outer, dot, inner = name.partition(".")
        if name == "skip":
            body[name] = [step.strip() for step in text.replace(";", ",").split(",") if step.strip()]
        elif not dot:
            body[name] = typed(text, "number") if name == "speed" else text
        else:
            body.setdefault(outer, {})[inner] = typed(text, "flag") if outer == "consent" else text
    return body


def typed(text: str, kind: str | None) -> Any:
    """A cell as what it stands for; as text if it stands for nothing of that kind."""
    if kind == "flag" and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    if kind == "number":
        with suppress(ValueError):
            return int(text)
        with suppress(ValueError):
            found = float(text)
            return found if math.isfinite(found) else text
    return text


# ---- starting --------------------------------------------------------------------------------------------


async def start(
    service: Enrols,
    lines: list[Line],
    tell: Callable[[Report], None] = lambda report: None,
    *,
    patience: float = PATIENCE,
    at_once: int = AT_ONCE,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    now: Callable[[], float] = time.monotonic,
) -> list[Report]:
    """Start every line, some at a time; `tell` hears of each as it comes. Reports are in the file's order.

    While Temporal or the store is away, lines are tried again, until it has been away for `patience` seconds;
    then they are given up, all of them.
    """
    slots = asyncio.Semaphore(at_once)
    starting = _Starting(service, patience, pause, now)

    async def one(line: Line) -> Report:
        async with slots:
            report = await starting.start(line)
        tell(report)
        return report

    return list(await asyncio.gather(*(one(line) for line in lines)))


class _Starting:
    """Starts lines, and knows since when there has been nobody to start them with."""

    def __init__(
        self,
        service: Enrols,
        patience: float,
        pause: Callable[[float], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self._service, self._patience, self._pause, self._now = service, patience, pause, now
        self._away_since: float | None = None
        self._kinds: dict[str, dict[str, str]] = {}

    async def start(self, line: Line) -> Report:
        """Start one line, however often that has to be tried."""
        from firstmile.errors import FirstmileError

        if line.problem is not None:
            return Report(line.number, None, "refused", line.problem)
        id = line.body.get("id") if isinstance(line.body, dict) else None
        id = id if isinstance(id, str) else None
        tries, wait = 0, 0.2
        while True:
            tries += 1
            try:
                enrolled = await self._service.enrol(await self._body(line))
            except FirstmileError as error:
                if not error.retryable:
                    return Report(line.number, id, "refused", _reason(error))
                if self._is_too_long():
                    return Report(line.number, id, "not started", str(error))
            else:
                self._away_since = None
                # An earlier try may have started it, and only the answer was lost.
                new = enrolled.outcome == "started" or tries > 1
                return Report(line.number, enrolled.subject, "started" if new else "already there")
            await self._pause(wait)
            wait = min(wait * 2, _LONGEST_PAUSE)

    def _is_too_long(self) -> bool:
        now = self._now()
        if self._away_since is None:
            self._away_since = now
        return now - self._away_since >= self._patience

    async def _body(self, line: Line) -> Any:
        if not line.cells or "traits" not in line.body:
            return line.body
        segment = line.body.get("segment", "")
        if segment not in self._kinds:
            self._kinds[segment] = await self._service.trait_kinds(segment)
        kinds = self._kinds[segment]
        traits = {name: typed(text, kinds.get(name)) for name, text in line.body["traits"].items()}
        return {**line.body, "traits": traits}


def _reason(error: Exception) -> str:
    flaws = getattr(error, "flaws", None)
    return str(error) if flaws is None else "; ".join(str(flaw) for flaw in flaws)


# ---- the program -----------------------------------------------------------------------------------------


def starter(
    signups: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="JSON lines or CSV; - for standard input; or one JSON object itself."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each sign-up.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Name only what is not on its way.")] = False,
    at_once: Annotated[int, typer.Option(min=1, max=200, help="How many at a time.")] = AT_ONCE,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to try again while Temporal or the store is away.")
    ] = PATIENCE,
) -> None:
    """Start an onboarding for every sign-up of a file, and say what became of each."""
    text, name = _text(signups)
    lines = read(text, name)
    if not lines:
        fail(f"there is no sign-up in {name}", 2)
    reports = _run(lines, at_once, patience)
    for report in reports:
        on_its_way = report.outcome in ("started", "already there")
        if as_json:
            print_json(
                {"line": report.line, "id": report.id, "outcome": report.outcome, "reason": report.reason}
            )
        elif not (quiet and on_its_way):
            reason = f": {report.reason}" if report.reason else ""
            typer.echo(f"line {report.line}: {report.id or '?'} {report.outcome}{reason}")
    counted = {outcome: sum(one.outcome == outcome for one in reports) for outcome in _WORDS}
    summary = ", ".join(f"{number} {outcome}" for outcome, number in counted.items() if number)
    typer.echo(summary, err=True)
    if counted["not started"]:
        typer.echo(
            "run it again for those that were not started: the others will not be started twice", err=True
        )
    if counted["refused"] or counted["not started"]:
        raise typer.Exit(1)


_WORDS = ("started", "already there", "refused", "not started")


def _text(signups: str) -> tuple[str, str]:
    if signups == "-":
        return sys.stdin.read(), "standard input"
    if signups.lstrip().startswith(("{", "[")):
        return signups, "the argument"
    try:
        return Path(signups).read_text(encoding="utf-8-sig"), signups
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{signups} cannot be read: {getattr(error, 'strerror', None) or error}", 2)


def _run(lines: list[Line], at_once: int, patience: float) -> list[Report]:
    from firstmile.errors import FirstmileError
    from firstmile.service.opening import opened

    settings = settings_or_exit()

    async def run() -> list[Report]:
        async with opened(settings) as service, _progress(len(lines)) as tell:
            return await start(service, lines, tell, patience=patience, at_once=at_once)

    try:
        return asyncio.run(run())
    except FirstmileError as error:
        fail(f"{error}\nnothing was started")
    except KeyboardInterrupt:
        fail("interrupted: run it again for the rest; nothing is started twice", 130)


def _progress(total: int) -> AbstractAsyncContextManager[Callable[[Report], None]]:
    """A progress bar on standard error, where that is a terminal."""

    @asynccontextmanager
    async def bar() -> AsyncIterator[Callable[[Report], None]]:
        if not sys.stderr.isatty():
            yield lambda report: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("starting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("starting", total=total)
            yield lambda report: progress.advance(task)

    return bar()


if __name__ == "__main__":
    cli.run(lambda: typer.run(starter))
