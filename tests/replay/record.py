"""Records the histories that must replay for ever: `python -m tests.replay.record`.

One file for each case of `tests.workflows.cases`, named after the release and the Python that wrote it. Add
files with every release; never change one.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
from importlib.metadata import version
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from firstmile.contracts import BulkStart
from tests.workflows.cases import CASES, live, start_of
from tests.workflows.conftest import add_search_attributes
from tests.workflows.test_bulk import Played, started, working

HISTORIES = Path(__file__).parent / "histories"


async def record_bulk() -> None:
    """Carry out a bulk job, and stop one half-way; keep their histories."""
    for name, start in {"done": BulkStart("j", 50, 10.0), "stopped": BulkStart("j", 50, 0.001)}.items():
        played = Played(start.customers)
        environment = await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
            data_converter=pydantic_data_converter,
        )
        async with environment, working(environment, played):
            job = await started(environment, start)
            if name == "stopped":
                while not played.batches:  # noqa: ASYNC110  # a worker's thread makes it so
                    await asyncio.sleep(0.01)
                await job.signal("stop")
            await job.result()
            _keep(f"bulk-{name}", await job.fetch_history())


def _keep(slug: str, history: WorkflowHistory) -> None:
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    file = HISTORIES / f"{version('firstmile')}-{python}-{slug}.json.gz"
    file.write_bytes(gzip.compress(history.to_json().encode(), mtime=0))
    print(file.name, len(history.events), "events")


async def record() -> None:
    """Run every case, and keep its history."""
    for name, case in CASES.items():
        environment = await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
            data_converter=pydantic_data_converter,
        )
        async with environment:
            await add_search_attributes(environment.client)
            lived = await live(environment, case, await start_of(case, environment))
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        _keep(slug, lived.history)
    await record_bulk()


if __name__ == "__main__":
    asyncio.run(record())
