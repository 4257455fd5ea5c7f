"""The whole of Firstmile on one machine: Temporal's development server, stand-ins, workers, web service.

`Stack` starts the processes, waits until each of them answers, watches them, and stops them in order: first
what lets work in, then what does it, then what it stands on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import httpx

from firstmile import search_attributes
from firstmile.demo.processes import LOOPBACK, Process, ProcessDied, Watchdog
from firstmile.demo.surroundings import Surroundings, address

PATIENCE: Final = 60.0
"""Seconds that a process may take until it answers; slow machines are slow."""

_LOOK: Final = 0.2
BIN: Final = Path(sys.executable).parent
"""Where the programs of this environment are."""

_KINDS = {1: "Text", 2: "Keyword", 3: "Int", 4: "Double", 5: "Bool", 6: "Datetime", 7: "KeywordList"}


class Stack:
    """The processes of one demo."""

    def __init__(self, surroundings: Surroundings, *, workers: int = 1) -> None:
        self.surroundings = surroundings
        self._workers = workers
        self._watchdog = Watchdog()
        self._processes: list[Process] = []
        self._client = httpx.AsyncClient(timeout=2, trust_env=False)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        surroundings: Surroundings,
        *,
        workers: int = 1,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[Self]:
        """A stack that runs. `prepare` is called while servers start, before programs of ours do."""
        stack = cls(surroundings, workers=workers)
        try:
            await stack._start(prepare)
            yield stack
        finally:
            # Ctrl-C a second time must not leave anything behind: stopping goes on beside it.
            await asyncio.shield(stack._stop())

    @property
    def pids(self) -> list[int]:
        """The process ids of everything that was started, the watchdog included."""
        return [self._watchdog.pid, *(process.pid for process in self._processes)]

    def process(self, name: str) -> Process:
        """A process by its name."""
        return next(process for process in self._processes if process.name == name)

    async def died(self) -> ProcessDied:
        """Wait until any process ends by itself; the error that this is."""
        while True:
            for process in self._processes:
                if not process.is_running and not process.is_stopping:
                    return await process.ended()
            await asyncio.sleep(_LOOK)

    async def restart(self, name: str) -> None:
        """Stop a process and start it anew, as it was started before."""
        place = next(number for number, process in enumerate(self._processes) if process.name == name)
        await self._processes[place].stop()
        self._processes[place] = self._processes[place].again()

    async def _start(self, prepare: Callable[[], Awaitable[None]] | None) -> None:
        place, ports = self.surroundings, self.surroundings.ports
        temporal = self._begin("temporal", temporal_command(place), place.bare())
        inbox = self._begin("inbox", sendgrid_command(place), place.bare())
        systems = self._begin(
            "systems",
            [*standin_command("provisioning", place, ports.systems), "--secret", place.system_secret],
            place.bare(),
        )
        if prepare is not None:
            await prepare()
        web = self._begin("web", [BIN / "firstmile", "serve"], place.settings())
        workers = [
            self._begin(f"worker-{number}", [BIN / "firstmile", "worker"], self._worker(number))
            for number in range(1, self._workers + 1)
        ]
        await asyncio.gather(
            temporal.ready(self._knows_our_attributes, PATIENCE),
            inbox.ready(self._answers(f"{place.inbox}/healthz"), PATIENCE),
            systems.ready(self._answers(f"{place.systems}/healthz"), PATIENCE),
            web.ready(self._answers(f"{place.web}/readyz"), PATIENCE),
            workers[0].ready(self._answers(f"{address(ports.worker_metrics)}/metrics"), PATIENCE),
        )

    async def _stop(self) -> None:
        for names in (("web",), ("worker",), ("inbox", "systems", "temporal")):
            going = [process for process in self._processes if process.name.startswith(names)]
            await asyncio.gather(*(process.stop() for process in going))
        self._watchdog.close()
        await self._client.aclose()

    def _begin(self, name: str, command: Sequence[str | Path], environ: dict[str, str]) -> Process:
        process = Process(
            name,
            command,
            environ=environ,
            directory=self.surroundings.directory,
            watched=self._watchdog,
        )
        self._processes.append(process)
        return process

    def _worker(self, number: int) -> dict[str, str]:
        if number > 1:
            return self.surroundings.settings()
        port = str(self.surroundings.ports.worker_metrics)
        return self.surroundings.settings(FIRSTMILE_WORKER_METRICS_PORT=port)

    def _answers(self, url: str) -> Callable[[], Awaitable[bool]]:
        async def probe() -> bool:
            return (await self._get(url)) is not None

        return probe

    async def _knows_our_attributes(self) -> bool:
        place = self.surroundings
        found = await self._get(f"{place.temporal_ui}/api/v1/namespaces/default/search-attributes")
        return found is not None and all(key.name in found.text for key in search_attributes.ALL)

    async def _get(self, url: str) -> httpx.Response | None:
        try:
            found = await self._client.get(url)
        except httpx.TransportError:
            return None
        return found if found.is_success else None


def temporal_command(place: Surroundings) -> list[str | Path]:
    """Temporal's development server, on a file."""
    ports = place.ports
    options = {
        "--ip": LOOPBACK,
        "--port": ports.temporal,
        "--ui-port": ports.temporal_ui,
        "--metrics-port": ports.temporal_metrics,
        "--db-filename": place.directory / "temporal.db",
        "--log-level": "warn",
    }
    # File-backed and safe when the process is killed; half the time of SQLite's own defaults.
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL")
    attributes = [f"{key.name}={_KINDS[int(key.indexed_value_type)]}" for key in search_attributes.ALL]
    return [
        BIN / "temporal",
        "server",
        "start-dev",
        "--ui-disable-news-fetch",
        "--disable-config-file",
        "--disable-config-env",
        *(str(part) for option in options.items() for part in option),
        *(part for pragma in pragmas for part in ("--sqlite-pragma", pragma)),
        *(part for attribute in attributes for part in ("--search-attribute", attribute)),
    ]


def sendgrid_command(place: Surroundings) -> list[str | Path]:
    """The stand-in for SendGrid, which tells the web service what becomes of messages."""
    events = ["--events-to", f"{place.web}/webhooks/sendgrid", "--events-key", place.events_key.text]
    return [*standin_command("sendgrid", place, place.ports.inbox), *events]


def standin_command(module: str, place: Surroundings, port: int) -> list[str | Path]:
    """A stand-in, by its module."""
    file = place.directory / f"{module}.db"
    return [sys.executable, "-m", f"firstmile.standins.{module}", "--port", str(port), "--file", file]
