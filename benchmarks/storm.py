"""A storm of events for one customer: how fast they are taken, how often its workflow continues as new.

    python -m benchmarks.storm [--events 10000] [--at-once 50]

Two of the events are what the milestone waits for; the others are answers that the journey listens to and that
change nothing. A development server, one worker, and its own suggestion when to continue as new.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.servers import temporal, worker
from firstmile.contracts import CommandRequest, EventSignal
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.journal import View
from firstmile.journey.loader import load
from firstmile.starting import start_of

JOURNEY = """\
journey: storm
version: 1
title: A storm
onboarded: {milestone: first_value, within: 14 days}
ends: 60 days
steps:
  - id: first_value
    milestone: {event: value.reached, times: 2}
    within: 14 days
  - id: later
    wait: 30 days
    email: {template: template-tips}
  - id: nps
    after: [later]
    survey: {kind: nps, template: template-nps}
"""


async def measure(address: str, events: int, at_once: int) -> None:
    """Send the storm, and print what became of it."""
    journey = load(JOURNEY, "storm.yaml").journey
    assert journey is not None
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    start = start_of(
        journey.canonical_json(), Subject("storm"), from_datetime(to_datetime(time.time_ns() // 1000))
    )
    handle = await client.start_workflow("storm", start, id="bench/storm", task_queue="bench")
    numbers = iter(range(events))

    async def send() -> None:
        for number in numbers:
            name = "value.reached" if number in (events // 3, 2 * events // 3) else "survey.responded"
            await handle.signal("event", EventSignal(name, f"e-{number}", None, {"step": "nobody"}))

    begin = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(at_once)))
    taken = time.perf_counter() - begin
    view: View = await handle.query("view", result_type=View)
    while view.onboarded_at is None:
        await asyncio.sleep(0.1)
        view = await handle.query("view", result_type=View)
    done = time.perf_counter() - begin
    await handle.execute_update("pause", CommandRequest("ann", "after the storm"))
    answered = time.perf_counter() - begin - done
    description = await handle.describe()
    runs, run = 1, description.raw_description.workflow_execution_info.first_run_id
    while run != description.run_id:
        history = await client.get_workflow_handle("bench/storm", run_id=run).fetch_history()
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        runs += 1
    print(f"{events} events in {taken:.1f} s ({events / taken:.0f} a second), {runs} runs")
    print(
        f"the milestone was known after {done:.1f} s; a command after the storm took {answered * 1000:.0f} ms"
    )


def main(events: int, at_once: int) -> None:
    """Bring a server and a worker up, and measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            temporal(folder) as server,
            worker(server.address, folder, f"sqlite:///{folder / 'bench.db'}", reacting=False),
        ):
            asyncio.run(measure(server.address, events, at_once))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=50)
    given = parser.parse_args()
    main(given.events, given.at_once)
