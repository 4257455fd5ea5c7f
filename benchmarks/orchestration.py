"""The engine against the workflow written by hand, on the same server, in the same run.

    python -m benchmarks.orchestration [--customers 150] [--rounds 3]

First one customer of each, at speed 1 on a time-skipping server, for what one costs in history; then rounds
of many at once, the two in turn, for customers per second and CPU, where 1 day is 0.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from benchmarks.bench_worker import react
from benchmarks.by_hand import HandStart
from benchmarks.servers import Running, temporal, worker
from firstmile import search_attributes
from firstmile.connection import ensure_search_attributes
from firstmile.contracts import Start
from firstmile.journey.durations import DAY
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.loader import load
from firstmile.journey.slices import cut
from firstmile.store import profiles
from firstmile.store.database import Database

SPEED = 86_400 / 0.2

BILLABLE = {
    "WORKFLOW_EXECUTION_STARTED",
    "TIMER_STARTED",
    "ACTIVITY_TASK_SCHEDULED",
    "WORKFLOW_EXECUTION_SIGNALED",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "MARKER_RECORDED",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
}
"""Events that Temporal Cloud bills as actions (a marker stands for a local activity)."""


@dataclass
class Round:
    """What many customers at once took, in seconds."""

    customers: int
    wall: float
    worker: float
    server: float


class Bench:
    """One run on one server."""

    def __init__(self, client: Client, database: Database) -> None:
        self.client, self.database = client, database
        text = (Path(__file__).parent / "journey.yaml").read_text()
        journey = load(text, "journey.yaml").journey
        assert journey is not None
        self.journey = journey.canonical_json()
        self.started = 0
        self.now: Callable[[], Awaitable[datetime]] = _real_now

    async def start(self, who: str, speed: float) -> WorkflowHandle[Any, Any]:
        """Start one customer, by `hand` or by the `engine`."""
        self.started += 1
        subject = f"{who}-{self.started}"
        moment = await self.now()
        now = from_datetime(moment)
        async with self.database.writing() as tx:
            await profiles.write(tx, profiles.Profile(subject, "Ann", "ann@acme.example"), moment)
        attributes = search_attributes.at_start("bench", 1, "first use")
        if who == "hand":
            return await self.client.start_workflow(
                "by-hand",
                HandStart(subject, now, speed),
                id=f"bench/{subject}",
                task_queue="bench",
                search_attributes=attributes,
            )
        start = Start(Subject(subject), "bench", self.journey, cut("UTC", now, now + 60 * DAY), now, speed)
        return await self.client.start_workflow(
            "bench", start, id=f"bench/{subject}", task_queue="bench", search_attributes=attributes
        )

    async def history(self, who: str, environment: WorkflowEnvironment) -> Counter[str]:
        """The events of one customer in true time, who answers an hour after they were written to."""
        handle = await self.start(who, 1.0)
        for days, event in ((4, "value.reached"), (3, "survey.responded")):
            await environment.sleep(timedelta(days=days, hours=1))
            await react(self.client, handle.id.removeprefix("bench/"), event)
        await asyncio.wait_for(handle.result(), 60)
        history = await handle.fetch_history()
        return Counter(
            EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events
        )

    async def round(self, who: str, customers: int, processes: tuple[Running, Running]) -> Round:
        """Many customers at once, until the last has finished."""
        before = [process.cpu for process in processes]
        begin = time.perf_counter()
        handles = await asyncio.gather(*(self.start(who, SPEED) for _ in range(customers)))
        await asyncio.gather(*(handle.result() for handle in handles))
        wall = time.perf_counter() - begin
        worker_cpu, server_cpu = (
            process.cpu - earlier for process, earlier in zip(processes, before, strict=True)
        )
        return Round(customers, wall, worker_cpu, server_cpu)


async def _real_now() -> datetime:
    return datetime.now(UTC)


async def one_of_each(folder: Path) -> dict[str, Counter[str]]:
    """What one customer costs in history, in true time."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
        data_converter=pydantic_data_converter,
    )
    async with environment:
        await ensure_search_attributes(environment.client)
        address = environment.client.service_client.config.target_host
        url = f"sqlite:///{folder / 'one.db'}"
        with worker(address, folder, url, reacting=False):
            database = Database(url)
            bench = Bench(environment.client, database)
            bench.now = environment.get_current_time
            costs = {who: await bench.history(who, environment) for who in ("hand", "engine")}
            await database.close()
    return costs


async def run(customers: int, rounds: int) -> None:
    """Measure, and print a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = await one_of_each(folder)
        url = f"sqlite:///{folder / 'firstmile.db'}"
        with temporal(folder) as server, worker(server.address, folder, url) as working:
            client = await Client.connect(server.address, data_converter=pydantic_data_converter)
            database = Database(url)
            bench = Bench(client, database)
            figures: dict[str, list[Round]] = {"hand": [], "engine": []}
            for number in range(rounds + 1):
                for who in ("hand", "engine") if number % 2 else ("engine", "hand"):
                    found = await bench.round(who, customers if number else 20, (working, server))
                    if number:  # the first round warms up
                        figures[who].append(found)
            await database.close()
    _report(costs, figures)


def _report(costs: dict[str, Counter[str]], figures: dict[str, list[Round]]) -> None:
    print("| | by hand | engine | engine / hand |")
    print("|---|---|---|---|")

    def row(label: str, hand: float, engine: float, digits: int = 1) -> None:
        print(f"| {label} | {hand:.{digits}f} | {engine:.{digits}f} | {engine / hand:.2f} |")

    def events(who: str) -> float:
        return sum(costs[who].values())

    def actions(who: str) -> float:
        return sum(costs[who][name] for name in BILLABLE)

    row("history events per customer", events("hand"), events("engine"), 0)
    row("billable actions per customer", actions("hand"), actions("engine"), 0)

    def median(of: Callable[[Round], float]) -> tuple[float, float]:
        hand, engine = (statistics.median(of(one) for one in figures[who]) for who in ("hand", "engine"))
        return hand, engine

    row("customers per second", *median(lambda one: one.customers / one.wall))
    row("worker CPU per customer, ms", *median(lambda one: one.worker / one.customers * 1000))
    row("server CPU per customer, ms", *median(lambda one: one.server / one.customers * 1000))
    print()
    for who in ("hand", "engine"):
        print(who, dict(costs[who]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(run(options.customers, options.rounds))
