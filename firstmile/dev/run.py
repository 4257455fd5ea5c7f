"""`firstmile dev`: everything runs, and what is saved is checked and in force at once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from firstmile.demo.customers import COLLEAGUES
from firstmile.demo.places import places
from firstmile.demo.preparing import colleagues_known
from firstmile.demo.processes import NotReady, ProcessDied
from firstmile.demo.signals import cancelled_by_signals
from firstmile.demo.stack import Stack
from firstmile.demo.surroundings import FAMILIAR, Ports, Surroundings
from firstmile.dev.releasing import release
from firstmile.dev.watching import changes
from firstmile.errors import FirstmileError, PublishRefused
from firstmile.mail.templates import LAYOUT
from firstmile.store import schema
from firstmile.store.database import Database

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to work on. `state` is kept; without one, a folder is made and removed again."""

    journeys: Path
    templates: Path
    state: Path | None = None


def run(options: Options, say: Say) -> int:
    """Run until interrupted; the status to leave with."""
    directory = options.state or Path(tempfile.mkdtemp(prefix="firstmile-dev-"))
    directory.mkdir(parents=True, exist_ok=True)
    status = 1
    try:
        status = asyncio.run(_run(options, directory, say))
    finally:
        if status == 0 and options.state is None:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            say(f"Logs and databases are in {directory}")
    return status


async def _run(options: Options, directory: Path, say: Say) -> int:
    place = Surroundings(directory, Ports.choose(FAMILIAR), options.journeys, options.templates)
    cancelled_by_signals()
    try:
        await schema.upgrade(place.database_url)
        database = Database(place.database_url)
        try:
            await colleagues_known(database, COLLEAGUES)
            await _renew(database, place, say)
            say("Starting Temporal, inbox, systems, worker and web service …")
            running = Stack.running(place)
            async with running as stack, httpx.AsyncClient(timeout=20, trust_env=False) as client:
                for name, address in await places(place, client):
                    say(f"{name:<9} {address}")
                say(f"Watching {place.journeys} and {place.templates}; Ctrl-C ends it")
                await _watch(database, place, stack, say)
        finally:
            await database.close()
    except asyncio.CancelledError:
        return 0
    except ProcessDied as died:
        say(f"{died}; its last lines:")
        for line in died.tail:
            say(f"  {line}")
    except (NotReady, FirstmileError) as problem:
        say(str(problem))
    return 1


async def _watch(database: Database, place: Surroundings, stack: Stack, say: Say) -> None:
    """Publish and restart as files are saved. Raises `ProcessDied`."""
    saving = asyncio.create_task(_on_every_change(database, place, stack, say))
    dying = asyncio.create_task(stack.died())
    try:
        await asyncio.wait((saving, dying), return_when=asyncio.FIRST_COMPLETED)
        if dying.done():
            raise dying.result()
        saving.result()
    finally:
        saving.cancel()
        dying.cancel()


async def _on_every_change(database: Database, place: Surroundings, stack: Stack, say: Say) -> None:
    waiting: set[Path] = set()
    async with aclosing(changes((place.journeys, place.templates))) as saved:
        async for files in saved:
            # What was saved while something was wrong is in force once that is mended.
            waiting |= files
            if await _renew(database, place, say):
                await _reload(waiting, place, stack, say)
                waiting.clear()


async def _reload(files: set[Path], place: Surroundings, stack: Stack, say: Say) -> None:
    """Start again what read these files when it started, and nothing else."""
    if any(file.is_relative_to(place.templates) for file in files):
        await stack.restart("worker-1")
        if any(file.is_relative_to(place.templates / LAYOUT) for file in files):
            await stack.restart("web")
        say("templates: in force")


async def _renew(database: Database, place: Surroundings, say: Say) -> bool:
    """Check and publish, and say what came of it. False if nothing was published because of errors."""
    try:
        released = await release(database, place.journeys, place.templates, datetime.now(UTC))
    except PublishRefused as refused:
        for problem in refused.problems:
            say(problem)
        number = len(refused.problems)
        say(f"{number} problem{'' if number == 1 else 's'}: what was in force before stays so")
        return False
    for warning in released.warnings:
        say(warning)
    for one in released.journeys:
        if one.changed:
            say(f"{one.segment}: new customers start on version {one.version}")
    return True
