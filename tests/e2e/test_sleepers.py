"""Customers who sleep cost a worker next to nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from firstmile.journey.model import Journey
from firstmile.store import views
from tests.e2e.rig import Rig

MIB = 1024 * 1024
JOURNEY = Journey.model_validate(
    {
        "journey": "sleepers",
        "version": 1,
        "onboarded": {"milestone": "value", "within": "7 days"},
        "ends": "90 days",
        "steps": [
            {"id": "value", "milestone": {"event": "value"}, "within": "20 days"},
            *(
                {"id": f"tip-{n}", "wait": f"{n} days", "email": {"template": "tips"}}
                for n in range(1, 12)
            ),
        ],
    }
)  # fmt: skip


async def test_a_thousand_sleepers_cost_hardly_more_than_a_hundred(tmp_path: Path) -> None:
    async with Rig.running(tmp_path, "--cached", "100") as rig:
        client = await rig.client()
        await rig.enrol(client, JOURNEY, 100, 1.0)
        await rig.until(lambda: _asleep(rig, 100), 60)
        hundred = rig.memory("worker")

        await rig.enrol(client, JOURNEY, 900, 1.0, first=100)
        await rig.until(lambda: _asleep(rig, 1000), 200)
        thousand = rig.memory("worker")

        print(f"{hundred / MIB:.1f} MiB with a hundred, {thousand / MIB:.1f} with a thousand")
        assert (thousand - hundred) / MIB <= 20
        await _settled(rig)
        used, begin = rig.cpu("worker"), time.monotonic()
        # Nothing to wait for: this is the time over which idling is measured.
        await asyncio.sleep(10)
        assert (rig.cpu("worker") - used) / (time.monotonic() - begin) < 0.01


async def _asleep(rig: Rig, customers: int) -> bool:
    async with rig.database.reading() as db:
        return sum(count.customers for count in await views.counts(db)) >= customers


async def _settled(rig: Rig) -> None:
    """Wait until the worker has nothing left to do of what the starts brought."""

    async def quiet() -> bool:
        used = rig.cpu("worker")
        await asyncio.sleep(1)
        return rig.cpu("worker") - used < 0.02

    await rig.until(quiet, 60)
