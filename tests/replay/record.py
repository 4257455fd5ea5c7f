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

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.workflows.cases import CASES, live, start_of
from tests.workflows.conftest import add_search_attributes

HISTORIES = Path(__file__).parent / "histories"


async def record() -> None:
    """Run every case, and keep its history."""
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    for name, case in CASES.items():
        environment = await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
            data_converter=pydantic_data_converter,
        )
        async with environment:
            await add_search_attributes(environment.client)
            lived = await live(environment, case, await start_of(case, environment))
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        file = HISTORIES / f"{version('firstmile')}-{python}-{slug}.json.gz"
        file.write_bytes(gzip.compress(lived.history.to_json().encode(), mtime=0))
        print(file.name, len(lived.history.events), "events")


if __name__ == "__main__":
    asyncio.run(record())
