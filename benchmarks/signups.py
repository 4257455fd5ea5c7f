"""A long file of sign-ups through `starter.py`, against bare starts of the same workflows on the same server.

    python -m benchmarks.signups [--lines 10000]

Three lines are wrong: they are named, and every other line is started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.servers import HERE, temporal
from firstmile import paths, search_attributes
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.loader import load
from firstmile.starting import start_of

WRONG: dict[int, dict[str, Any]] = {
    17: {"segment": "tema"},
    401: {"timezone": "Mars/Olympus"},
    777: {"traits": {"plan": 7}},
}
AT_ONCE = 16


def _file(folder: Path, lines: int) -> Path:
    file = folder / "signups.jsonl"
    with file.open("w") as output:
        for number in range(1, lines + 1):
            line: dict[str, Any] = {
                "id": f"c-{number}",
                "segment": "self_serve",
                "email": f"ann.{number}@acme.example",
                "timezone": "Europe/Berlin",
                "country": "DE",
                "traits": {"plan": "starter"},
            }
            output.write(json.dumps(line | WRONG.get(number, {})) + "\n")
    return file


async def _bare(address: str, starts: int) -> float:
    """Bare starts a second, with the same input and nothing around them."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    file = paths.journeys() / "self_serve.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    now = from_datetime(to_datetime(time.time_ns() // 1000))
    canonical, slots = journey.canonical_json(), asyncio.Semaphore(AT_ONCE)
    subject = Subject("bare", "Europe/Berlin", "DE", traits={"plan": "starter"})
    start = start_of(canonical, subject, now)

    async def one(number: int) -> None:
        async with slots:
            await client.start_workflow(
                "self_serve",
                start,
                id=f"bare/{number}",
                task_queue="nobody",
                search_attributes=search_attributes.at_start("self_serve", 1, None),
            )

    begin = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(starts)))
    return starts / (time.perf_counter() - begin)


def main(lines: int) -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with temporal(folder) as server:
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": name,
                "TEMPORAL_ADDRESS": server.address,
                "FIRSTMILE_STATE_DIR": name,
                "FIRSTMILE_TASK_QUEUE": "nobody",
                "FIRSTMILE_MAIL_TRANSPORT": "standin",
            }
            publish = [str(Path(sys.executable).with_name("firstmile")), "publish"]
            subprocess.run(publish, env=environment, check=True, capture_output=True)
            command = [sys.executable, str(HERE.parent / "starter.py"), str(_file(folder, lines))]
            begin = time.perf_counter()
            done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
            rate = lines / (time.perf_counter() - begin)
            bare = asyncio.run(_bare(server.address, min(lines, 1000)))
    said = done.stdout + done.stderr
    named = sum(f"c-{number}" in said or f":{number}:" in said for number in WRONG if number <= lines)
    print(f"exit {done.returncode}; {named} of the wrong lines named; the last of what was said:")
    print("\n".join(said.splitlines()[-4:]))
    print(f"{rate:.0f} sign-ups a second, {bare:.0f} bare starts a second: {rate / bare:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    main(parser.parse_args().lines)
