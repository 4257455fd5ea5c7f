"""Sign-ups through the HTTP API, against raw starts of the same workflows at the same concurrency.

    python -m benchmarks.api [--signups 1000] [--at-once 16] [--rounds 3]

The service runs in a process of its own, on a store in a file; both talk to one Temporal development server.
The two are measured in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.servers import Running, free_port, started, temporal
from firstmile import paths, search_attributes
from firstmile.contracts import Start
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.loader import load
from firstmile.starting import start_of

SIGN_UP: dict[str, Any] = {
    "segment": "self_serve",
    "timezone": "Europe/Berlin",
    "country": "DE",
    "traits": {"plan": "starter"},
}


async def each(count: int, at_once: int, one: Callable[[int], Awaitable[None]]) -> float:
    """Do something `count` times, `at_once` at a time. Returns how many a second that were."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - begin)


def start() -> Start:
    """What a workflow of that sign-up is started with."""
    file = paths.journeys() / "self_serve.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    subject = Subject("bare", "Europe/Berlin", "DE", traits={"plan": "starter"})
    return start_of(journey.canonical_json(), subject, from_datetime(to_datetime(time.time_ns() // 1000)))


async def measure(server: Running, service: Running, signups: int, at_once: int, rounds: int) -> None:
    """Measure both in turn, and print the figures."""
    client = await Client.connect(server.address, data_converter=pydantic_data_converter)
    given = start()
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    through, raw = [], []
    async with httpx.AsyncClient(base_url=service.address, limits=limits, timeout=60) as http:

        async def sign_up(prefix: str, number: int) -> None:
            id = f"{prefix}-{number}"
            answer = await http.post(
                "/v1/onboardings", json={**SIGN_UP, "id": id, "email": f"{id}@acme.example"}
            )
            assert answer.status_code == 202, answer.text

        async def begin(prefix: str, number: int) -> None:
            await client.start_workflow(
                "self_serve",
                given,
                id=f"raw/{prefix}-{number}",
                task_queue="nobody",
                search_attributes=search_attributes.at_start("self_serve", 1, None),
            )

        for round in range(-1, rounds):
            count = signups if round >= 0 else min(signups, 50)  # the first one warms up
            before = service.cpu
            api = await each(count, at_once, partial(sign_up, f"c-{round}"))
            spent = service.cpu - before
            bare = await each(count, at_once, partial(begin, f"{round}"))
            if round >= 0:
                through.append(api)
                raw.append(bare)
                print(
                    f"round {round + 1}: {api:.0f} sign-ups a second, {bare:.0f} raw starts: {api / bare:.2f}; "
                    f"{1000 * spent / count:.1f} ms CPU of the service each"
                )
    ratios = [one / other for one, other in zip(through, raw, strict=True)]
    print(
        f"median: {statistics.median(through):.0f} sign-ups a second, {statistics.median(raw):.0f} raw starts, "
        f"ratio {statistics.median(ratios):.2f}"
    )


def main(signups: int, at_once: int, rounds: int) -> None:
    """Bring both up, and measure."""
    with tempfile.TemporaryDirectory() as name, temporal(Path(name)) as server:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": name,
            "TEMPORAL_ADDRESS": server.address,
            "FIRSTMILE_STATE_DIR": name,
            "FIRSTMILE_TASK_QUEUE": "nobody",
            "FIRSTMILE_MAIL_TRANSPORT": "standin",
        }
        firstmile = str(Path(sys.executable).with_name("firstmile"))
        subprocess.run([firstmile, "publish"], env=environment, check=True, capture_output=True)
        command = [firstmile, "serve", "--port", str(port)]
        with started(command, Path(name) / "serve.log", environment) as serving:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                try:
                    if httpx.get(f"{address}/readyz").is_success:
                        break
                except httpx.TransportError:
                    pass
                if serving.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((Path(name) / "serve.log").read_text())
                time.sleep(0.05)
            asyncio.run(measure(server, Running(serving, address), signups, at_once, rounds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signups", type=int, default=1_000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    main(given.signups, given.at_once, given.rounds)
