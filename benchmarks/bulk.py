"""One command to many customers: does the rate hold, and do sign-ups notice?

    python -m benchmarks.bulk [--customers 2000] [--rate 10] [--crowd 100000]

A store with a crowd in it, a worker, the HTTP service and a development server, each a process. Sign-ups come
over HTTP at a steady pace, first with nothing else going on, then while the command goes to everybody who runs,
then again without; pages of customers and of results are turned at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from benchmarks.servers import free_port, started, temporal
from firstmile import settings
from firstmile.contracts import CommandRequest
from firstmile.journey.instants import from_datetime
from firstmile.service import Service
from firstmile.service.opening import opened
from firstmile.service.orders import Order
from firstmile.store import bulk
from firstmile.store.bulk import NewJob
from firstmile.store.database import Database
from firstmile.store.finding import Wanted
from firstmile.store.tables import enrolments, profiles, views

JOURNEY = """\
journey: running
version: 1
onboarded: {milestone: value, within: 60 days}
ends: 90 days
steps:
  - id: value
    milestone: {event: value.reached}
    within: 60 days
  - id: tips
    wait: 30 days
    email: {template: team_invite}
"""
SIGN_UPS_A_SECOND = 4.0
IDLE_SECONDS = 30.0
PAGES_SECONDS = 8.0
AT_ONCE = 16


def sign_up(id: str) -> dict[str, Any]:
    """The body of a sign-up."""
    return {"id": id, "segment": "running", "timezone": "Europe/Berlin", "country": "DE"}


async def crowd(database: Database, customers: int) -> None:
    """Customers of former days, in the store alone."""
    now = datetime.now(UTC)
    for start in range(0, customers, 1_000):
        subjects = [
            (f"old-{number}", now - timedelta(minutes=number)) for number in range(start, start + 1_000)
        ]
        common = {"segment": "old", "version": 1}
        async with database.writing() as tx:
            await tx.execute(
                insert(enrolments),
                [
                    common | {"subject": subject, "number": 1, "state": "started", "request_hash": "",
                              "response": {}, "speed": 1.0, "enrolled_at": at, "created_at": at, "tried_at": at}
                    for subject, at in subjects
                ],
            )  # fmt: skip
            await tx.execute(
                insert(views),
                [
                    common | {"subject": subject, "enrolment": 1, "number": 9, "status": "active",
                              "stage": "late", "enrolled_at": from_datetime(at), "steps": {"tips": ["done", 1]},
                              "owners": {}, "updated_at": at}
                    for subject, at in subjects
                ],
            )  # fmt: skip
            await tx.execute(
                insert(profiles),
                [
                    {"subject": subject, "name": "Somebody", "contacts": [], "consent_lifecycle": True,
                     "consent_marketing": False, "created_at": at, "updated_at": at}
                    for subject, at in subjects
                ],
            )  # fmt: skip


@contextmanager
def firstmile(words: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """A program of ours as a process."""
    for name in [name for name in os.environ if name.startswith(("FIRSTMILE_", "TEMPORAL_"))]:
        del os.environ[name]
    os.environ.update(environment)
    command = [sys.executable, "-c", "from firstmile.cli import main; main()", *words]
    with started(command, folder / f"{words[0]}.log"):
        yield


async def paced(
    call: Callable[[int], Awaitable[object]], while_: Callable[[], bool], a_second: float
) -> list[float]:
    """Seconds that each call took; they begin at a steady pace, however long each takes."""
    took: list[float] = []
    running: list[asyncio.Task[None]] = []

    async def one(number: int) -> None:
        begun = time.perf_counter()
        await call(number)
        took.append(time.perf_counter() - begun)

    begun, number = time.perf_counter(), 0
    while while_():
        running.append(asyncio.create_task(one(number)))
        number += 1
        await asyncio.sleep(max(begun + number / a_second - time.perf_counter(), 0))
    await asyncio.gather(*running)
    return took


def p95(took: list[float]) -> float:
    """The 95th percentile, in milliseconds."""
    return statistics.quantiles(took, n=20)[-1] * 1000


async def measure(
    service: Service, database: Database, web: httpx.AsyncClient, customers: int, rate: float
) -> None:
    """Measure, and print the figures."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def enrol(number: int) -> None:
        async with slots:
            await service.enrol(sign_up(f"c-{number}"))

    begun = time.perf_counter()
    await asyncio.gather(*(enrol(number) for number in range(customers)))
    while await here(service) < customers:  # noqa: ASYNC110  # another process makes it so
        await asyncio.sleep(0.2)
    print(f"{customers} customers on their way after {time.perf_counter() - begun:.0f} s", flush=True)

    phase = 0

    async def one_sign_up(number: int) -> None:
        (await web.post("/v1/onboardings", json=sign_up(f"new-{phase}-{number}"))).raise_for_status()

    def for_seconds(seconds: float) -> Callable[[], bool]:
        end = time.perf_counter() + seconds
        return lambda: time.perf_counter() < end

    idle = await paced(one_sign_up, for_seconds(IDLE_SECONDS), SIGN_UPS_A_SECOND)
    await asyncio.sleep(2)
    request = CommandRequest(actor="benchmark", reason="measuring")
    chosen = [f"c-{number}" for number in range(customers)]
    job, _ = await service.bulk.start(Order("pause", request, ids=chosen, rate=rate))
    over = False
    cursor = ""

    async def page(number: int) -> None:
        nonlocal cursor
        query = f"?segment=old&limit=50{cursor}"
        found = (await web.get(f"/v1/onboardings{query}")).raise_for_status().json()
        cursor = "" if found["next"] is None else f"&cursor={found['next']}"

    async def results(number: int) -> None:
        path = f"/v1/bulk/{job.id}/results?limit=100&cursor={number * 100 % customers}"
        (await web.get(path)).raise_for_status()

    phase = 1
    meanwhile = asyncio.create_task(paced(one_sign_up, lambda: not over, SIGN_UPS_A_SECOND))
    while (job := await service.bulk.get(job.id)).ended_at is None:  # noqa: ASYNC110  # likewise
        await asyncio.sleep(0.5)
    over = True
    busy = await meanwhile
    await asyncio.sleep(2)
    phase = 2
    idle += await paced(one_sign_up, for_seconds(IDLE_SECONDS), SIGN_UPS_A_SECOND)
    pages = await paced(page, for_seconds(PAGES_SECONDS), 4.0)
    result_pages = await paced(results, for_seconds(PAGES_SECONDS), 4.0)

    times = sorted([item.at.timestamp() for item in await everybody(service, job.id) if item.at is not None])
    span = times[-1] - times[0]
    most = max(
        sum(begin <= one < begin + 10 for one in times) for begin in times[:: max(1, customers // 200)]
    )
    print(f"{job.state}: {job.done} done, {job.rejected} rejected, {job.failed} failed")
    print(
        f"rate {(len(times) - 1) / span:.2f} a second of {rate:g}; at most {most / 10:.1f} within ten seconds"
    )
    print(f"sign-ups, p95: {p95(idle):.0f} ms idle ({len(idle)}), {p95(busy):.0f} ms meanwhile ({len(busy)}): "
          f"{p95(busy) / p95(idle):.2f}; p50: {statistics.median(idle) * 1000:.0f} and "
          f"{statistics.median(busy) * 1000:.0f} ms")  # fmt: skip
    print(f"pages over HTTP, p95: {p95(pages):.0f} ms of customers, {p95(result_pages):.0f} ms of results")
    await freeze(database)


async def here(service: Service) -> int:
    """How many customers of the journey a worker has looked at."""
    return sum(one.customers for one in await service.counts() if one.segment == "running")


async def everybody(service: Service, id: str) -> list[bulk.Item]:
    """Every result of a job."""
    found: list[bulk.Item] = []
    cursor: int | None = None
    while True:
        page = await service.bulk.results(id, cursor=cursor, limit=1_000)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


async def freeze(database: Database) -> None:
    """How long the list of the whole crowd takes, and pages of it. Nobody works it through."""
    new = NewJob("crowd", "pause", {}, {}, "benchmark", None, "measuring", "", 10.0)
    now = datetime.now(UTC)
    begun = time.perf_counter()
    async with database.writing() as tx:
        job = await bulk.create(tx, new, Wanted(segment="old"), now)
        assert job is not None
        await bulk.stop(tx, new.id, now)
    took = time.perf_counter() - begun
    turned = []
    async with database.reading() as db:
        for place in range(0, job.customers, max(1, job.customers // 100)):
            begun = time.perf_counter()
            await bulk.items(db, new.id, state="waiting", cursor=place, limit=100)
            turned.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        customers = await bulk.count(db, Wanted(segment="old"))
        counted = time.perf_counter() - begun
    print(
        f"a list of {job.customers} customers: frozen in {took:.1f} s, counted ({customers}) in {counted:.2f} s"
    )
    print(f"a page of 100 of it, p95: {p95(turned):.1f} ms")


async def run(customers: int, rate: float, many: int) -> None:
    """Open everything, and measure."""
    chosen = settings.load()
    async with opened(chosen) as service:
        await service.publish()
        database = service._premises.database
        begun = time.perf_counter()
        await crowd(database, many)
        print(f"a crowd of {many} in the store after {time.perf_counter() - begun:.0f} s", flush=True)
        base = f"http://127.0.0.1:{chosen.http_port}"
        async with httpx.AsyncClient(base_url=base, timeout=30) as web:
            deadline = time.monotonic() + 60
            while True:
                try:
                    (await web.get("/readyz")).raise_for_status()
                    break
                except httpx.HTTPError:
                    if time.monotonic() > deadline:
                        raise
                await asyncio.sleep(0.2)
            await measure(service, database, web, customers, rate)


def main(customers: int, rate: float, many: int) -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "journeys").mkdir()
        (folder / "journeys" / "running.yaml").write_text(JOURNEY)
        with temporal(folder) as server:
            environment = {
                "TEMPORAL_ADDRESS": server.address,
                "FIRSTMILE_STATE_DIR": name,
                "FIRSTMILE_JOURNEYS": str(folder / "journeys"),
                "FIRSTMILE_HTTP_PORT": str(free_port()),
                "FIRSTMILE_MAIL_TRANSPORT": "standin",
                "FIRSTMILE_SENDGRID_HOST": "http://127.0.0.1:1",
                "FIRSTMILE_LOG_LEVEL": "warning",
            }
            with firstmile(["worker"], environment, folder), firstmile(["serve"], environment, folder):
                asyncio.run(run(customers, rate, many))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--crowd", type=int, default=100_000)
    given = parser.parse_args()
    main(given.customers, given.rate, given.crowd)
