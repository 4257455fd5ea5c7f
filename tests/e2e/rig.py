"""Real processes for tests that kill them: Temporal's server on a file, stand-ins, a worker, the store."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from firstmile import search_attributes
from firstmile.contracts import Finished
from firstmile.demo import stack
from firstmile.demo.processes import LOOPBACK, Process, Watchdog
from firstmile.demo.surroundings import Ports, Surroundings, address
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import Entry
from firstmile.journey.model import Journey
from firstmile.starting import start_of
from firstmile.store import journal, ledger, profiles, schema, views
from firstmile.store.database import Database
from firstmile.store.ledger import Message

TEMPLATES = Path(__file__).resolve().parents[2] / "benchmarks" / "templates"
_BIN = stack.BIN


@dataclass(frozen=True)
class Left:
    """What there is of one customer when all is over."""

    subject: str
    finished: Finished
    journal: list[Entry]
    messages: list[Message]
    status: str


class Rig:
    """Processes by name, to be killed and begun again; and the customers that they serve."""

    def __init__(self, directory: Path) -> None:
        self.place = Surroundings(directory, Ports.choose(), directory, TEMPLATES)
        self.database = Database(self.place.database_url)
        self._watchdog = Watchdog()
        self._processes: dict[str, Process] = {}
        self._http = httpx.AsyncClient(timeout=5, trust_env=False)
        self.worker: tuple[str | Path, ...] = (_BIN / "firstmile", "worker")
        self.worker_settings = {"FIRSTMILE_RECONCILE_FOR": "1 minute"}

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        directory: Path,
        *worker_options: str,
        worker: Sequence[str | Path] = (),
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Rig]:
        """Everything up; everything down at the end, whatever happened.

        `worker` is another command than `firstmile worker`; `settings` are of workers alone.
        """
        rig = cls(directory)
        rig.worker = (*(worker or rig.worker), *worker_options)
        rig.worker_settings |= settings or {}
        try:
            await schema.upgrade(rig.place.database_url)
            for name in ("temporal", "sendgrid", "provisioning", "worker"):
                await rig.begin(name)
            yield rig
        finally:
            for process in reversed(list(rig._processes.values())):
                if process.is_running:
                    await process.stop(grace=3)
            rig._watchdog.close()
            await rig._http.aclose()
            await rig.database.close()

    async def begin(self, name: str) -> None:
        """Start a process, and wait until it answers."""
        place, ports = self.place, self.place.ports
        command: list[str | Path]
        environ = place.bare()
        probe = f"{place.temporal_ui}/api/v1/namespaces/default/search-attributes"
        if name == "temporal":
            command = stack.temporal_command(place)
        elif name == "worker":
            command = [*self.worker]
            metrics = str(ports.worker_metrics)
            environ = place.settings(FIRSTMILE_WORKER_METRICS_PORT=metrics, **self.worker_settings)
            probe = f"{address(ports.worker_metrics)}/metrics"
        else:
            port = ports.inbox if name == "sendgrid" else ports.systems
            command = stack.standin_command(name, place, port)
            if name == "provisioning":
                command += ["--secret", place.system_secret]
            probe = f"{address(port)}/healthz"
        process = Process(name, command, environ=environ, directory=place.directory, watched=self._watchdog)
        self._processes[name] = process
        await process.ready(self._answering(probe), 60)

    async def kill(self, name: str) -> None:
        """SIGKILL: no word of farewell."""
        process = self._processes[name]
        os.kill(process.pid, signal.SIGKILL)
        await process.ended()

    def memory(self, name: str) -> int:
        """Bytes of resident memory of a process."""
        status = Path(f"/proc/{self._processes[name].pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def cpu(self, name: str) -> float:
        """Seconds of CPU that a process has used."""
        text = Path(f"/proc/{self._processes[name].pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def client(self) -> Client:
        """A client of the server."""
        return await Client.connect(
            f"{LOOPBACK}:{self.place.ports.temporal}", data_converter=pydantic_data_converter
        )

    async def enrol(
        self, client: Client, journey: Journey, customers: int, speed: float, *, first: int = 0
    ) -> list[WorkflowHandle[Any, Finished]]:
        """Start customers, as the service does."""
        canonical = journey.canonical_json()
        handles = []
        for number in range(first, first + customers):
            subject = f"c-{number}"
            moment = datetime.now(UTC)
            async with self.database.writing() as tx:
                profile = profiles.Profile(subject, f"Ann {number}", f"ann.{number}@acme.example")
                await profiles.write(tx, profile, moment)
            start = start_of(canonical, Subject(subject), from_datetime(moment), speed)
            handles.append(
                await client.start_workflow(
                    journey.journey,
                    start,
                    id=f"onboarding/{subject}",
                    task_queue="firstmile",
                    result_type=Finished,
                    search_attributes=search_attributes.at_start(journey.journey, journey.version, None),
                )
            )
        return handles

    async def all_finished(self, handles: list[WorkflowHandle[Any, Finished]], seconds: float) -> list[Left]:
        """Wait until every customer has finished; what is left of each."""
        async with asyncio.timeout(seconds):
            finished = await asyncio.gather(*(handle.result() for handle in handles))
        found = []
        async with self.database.reading() as db:
            for handle, result in zip(handles, finished, strict=True):
                subject = handle.id.removeprefix("onboarding/")
                view = await views.get(db, subject)
                found.append(
                    Left(
                        subject,
                        result,
                        await journal.read(db, subject, 1),
                        await ledger.of(db, subject, 1),
                        "" if view is None else view.view.status,
                    )
                )
        return found

    async def letters(self) -> Counter[str]:
        """How often each message came, by its key: the stand-in's own record."""
        found = await self._http.get(f"{self.place.inbox}/_standin/messages")
        return Counter(found.json()["sent"])

    async def fault(self, **fault: Any) -> None:
        """Have the stand-in for SendGrid fail (`standins.faults`)."""
        (await self._http.post(f"{self.place.inbox}/_standin/faults", json=fault)).raise_for_status()

    async def messages_sent(self) -> int:
        """How many messages the stand-in has."""
        return sum((await self.letters()).values())

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110  # other processes have no event to wait for
                await asyncio.sleep(0.1)

    def _answering(self, url: str) -> Callable[[], Awaitable[bool]]:
        async def probe() -> bool:
            try:
                return (await self._http.get(url)).is_success
            except httpx.TransportError:
                return False

        return probe
