"""The demo from beginning to end: start everything, play, watch, and say what came of it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from firstmile import paths
from firstmile.demo import report
from firstmile.demo.actors import Actors
from firstmile.demo.audit import Finding, audit, decisions, summarise
from firstmile.demo.cast import CAST
from firstmile.demo.customers import COLLEAGUES, SPEEDS, Customer
from firstmile.demo.display import Display, display
from firstmile.demo.evidence import books, gather
from firstmile.demo.observer import Observer
from firstmile.demo.places import places
from firstmile.demo.preparing import prepare
from firstmile.demo.processes import NotReady, ProcessDied
from firstmile.demo.signals import cancelled_by_signals
from firstmile.demo.stack import Stack
from firstmile.demo.surroundings import FAMILIAR, Ports, Surroundings
from firstmile.errors import FirstmileError
from firstmile.journey.durations import DAY
from firstmile.store.database import Database

REDRAW: Final = 0.4
"""Seconds between two looks at everybody."""

LONGEST_DAYS: Final = 135
"""No sample customer's journey is longer, pauses included."""

SLACK: Final = 60.0
"""Seconds that a slow machine is given beyond that, before who has not finished counts as stuck."""

INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is to be run. `state` is kept; without one, a folder is made and removed again."""

    once: bool = False
    state: Path | None = None
    cast: Sequence[Customer] = CAST
    speeds: Mapping[str, float] = field(default_factory=lambda: dict(SPEEDS))
    workers: int = 1


def run(options: Options, console: Console) -> int:
    """Run the demo; the status to leave with."""
    directory = options.state or Path(tempfile.mkdtemp(prefix="firstmile-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    status = 1
    try:
        status = asyncio.run(_interruptible(options, directory, console))
    finally:
        if status in (0, INTERRUPTED) and options.state is None:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            console.print(f"Logs and databases are in {directory}", highlight=False, soft_wrap=True)
    return status


async def _interruptible(options: Options, directory: Path, console: Console) -> int:
    """The demo, with a word for every way in which it can end."""
    cancelled_by_signals()
    screen = display(console)
    try:
        return await _demo(options, directory, console, screen)
    except asyncio.CancelledError:
        return INTERRUPTED if options.once else 0
    except BrokenPipeError:
        # Whoever read what is said has gone (`| head`): so does the demo.
        return INTERRUPTED
    except ProcessDied as died:
        screen.end()
        console.print(f"{died}; its last lines:", style="bold red", highlight=False, soft_wrap=True)
        for line in died.tail:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    except (NotReady, FirstmileError) as problem:
        screen.end()
        console.print(str(problem), style="bold red", markup=False, highlight=False, soft_wrap=True)
    finally:
        screen.end()
    return 1


async def _demo(options: Options, directory: Path, console: Console, screen: Display) -> int:
    place = Surroundings(
        directory, Ports.choose(None if options.once else FAMILIAR), paths.journeys(), paths.templates()
    )
    screen.say("Starting Temporal, inbox, systems, worker and web service …")
    began = time.monotonic()
    stack = Stack.running(place, workers=options.workers, prepare=lambda: prepare(place, COLLEAGUES))
    async with stack as running, httpx.AsyncClient(timeout=20, trust_env=False) as client:
        screen.say(f"Everything runs after {time.monotonic() - began:.1f} seconds.")
        screen.begin(await places(place, client))
        database = Database(place.database_url)
        actors = Actors(place, options.cast, options.speeds, client)
        try:
            show = Showing(Observer(database, options.cast, dict(options.speeds)), screen)
            await _play(options, running, actors, show)
            if not options.once:
                await _stay(running, show)
            screen.end()
            evidence = await gather(database, options.cast, actors.answered)
            findings = audit(evidence, kept := await books(client, place))
            findings += [
                Finding("unexpected", customer.segment, customer.id, text)
                for customer, text in actors.troubles
            ]
            report.show(console, summarise(evidence, kept, findings), findings, decisions(evidence))
            return 1 if findings else 0
        finally:
            screen.end()
            screen.say("Stopping …")
            await database.close()


async def _play(options: Options, running: Stack, actors: Actors, show: Showing) -> None:
    """Let everybody act until all have finished, or it has taken too long, or a process dies."""
    longest = LONGEST_DAYS * DAY / 1_000_000 / min(options.speeds[one.segment] for one in options.cast)

    async def acting() -> None:
        await actors.sign_up()
        await actors.play()

    tasks = [
        asyncio.create_task(acting()),
        asyncio.create_task(running.died()),
        asyncio.create_task(show.forever()),
    ]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest + SLACK):
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one
    await show.once()


async def _stay(running: Stack, show: Showing) -> None:
    """Stay up until interrupted."""
    show.note = "everybody has finished; Ctrl-C ends the demo"
    showing = asyncio.create_task(show.forever())
    try:
        raise await running.died()
    finally:
        showing.cancel()


class Showing:
    """Keeps the display up to date."""

    def __init__(self, observer: Observer, screen: Display) -> None:
        self._observer, self._screen = observer, screen
        self.note = ""

    async def once(self) -> None:
        """Look, and show what is seen."""
        self._screen.show(await self._observer.look(), self.note)

    async def forever(self) -> None:
        """Again and again."""
        while True:
            await self.once()
            await asyncio.sleep(REDRAW)


def console() -> Console:
    """Where the demo writes: with colours and pictures in a terminal, as plain lines anywhere else."""
    is_terminal = sys.stdout.isatty()
    return Console(force_terminal=is_terminal, no_color=None if is_terminal else True)
