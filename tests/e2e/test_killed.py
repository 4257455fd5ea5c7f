"""Whatever is killed, every customer finishes, and no message is doubled or lost without a recorded decision.

Fifty customers are in flight when the worker, Temporal's server or the store goes; the stand-in's own record
says what really went out.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from firstmile.contracts import Finished
from firstmile.journey.model import Journey
from tests.e2e.rig import Left, Rig

CUSTOMERS = 50
SPEED = 86_400 / 2.0
"""A day of the journey is two seconds."""

JOURNEY = Journey.model_validate(
    {
        "journey": "burst",
        "version": 1,
        "onboarded": {"milestone": "ready"},
        "ends": "400 days",
        "steps": [
            {"id": "room", "provision": {"system": "workspace"}},
            {"id": "welcome", "after": ["room"], "email": {"template": "welcome", "class": "transactional"}},
            {"id": "ready", "milestone": {"all": ["welcome", "bye"]}},
            {"id": "tips", "after": ["welcome"], "wait": "1 day", "email": {"template": "tips"}},
            {"id": "nudge", "after": ["welcome"], "wait": "2 days", "email": {"template": "nudge"}},
            {"id": "case", "after": ["nudge"], "wait": "1 day", "email": {"template": "case"}},
            {"id": "bye", "after": ["case"], "wait": "1 day", "email": {"template": "bye"}},
        ],
    }
)
MESSAGES = 5


async def _audit(rig: Rig, left: list[Left]) -> None:
    """The stand-in's record against ledger and journal: nothing lost, nothing doubled, all told."""
    letters = await rig.letters()
    for one in left:
        assert one.finished.outcome == "completed"
        assert one.status == "completed"
        numbers = [entry.number for entry in one.journal]
        assert len(numbers) == len(set(numbers))
        settled = [entry.step for entry in one.journal if entry.change == "done"]
        assert sorted(filter(None, settled)) == sorted(step.id for step in JOURNEY.steps), one.subject
        assert len(one.messages) == MESSAGES
        for message in one.messages:
            assert message.state == "accepted", (one.subject, message.step, message.state)
            assert 1 <= letters[message.key] <= 1 + len(message.decisions), (one.subject, message.step)
    assert set(letters) == {message.key for one in left for message in one.messages}


async def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with Rig.running(tmp_path) as rig:
        client = await rig.client()
        handles = await rig.enrol(client, JOURNEY, CUSTOMERS, SPEED)
        await rig.until(lambda: _has_sent(rig, 20), 120)
        await rig.kill("worker")
        await rig.begin("worker")
        await rig.until(lambda: _has_sent(rig, 90), 120)
        await rig.kill("worker")
        await rig.begin("worker")

        await _audit(rig, await rig.all_finished(handles, 180))


async def test_a_server_that_is_killed_goes_on_where_its_file_is(tmp_path: Path) -> None:
    async with Rig.running(tmp_path) as rig:
        client = await rig.client()
        handles = await rig.enrol(client, JOURNEY, CUSTOMERS, SPEED)
        await rig.until(lambda: _has_sent(rig, 40), 120)

        await rig.kill("temporal")
        await rig.begin("temporal")

        again = await rig.client()
        handles = [again.get_workflow_handle(handle.id, result_type=Finished) for handle in handles]
        await _audit(rig, await rig.all_finished(handles, 180))


async def test_a_store_that_is_away_for_a_while_holds_up_nobody_for_good(tmp_path: Path) -> None:
    async with Rig.running(tmp_path) as rig:
        client = await rig.client()
        handles = await rig.enrol(client, JOURNEY, CUSTOMERS, SPEED)
        await rig.until(lambda: _has_sent(rig, 40), 120)

        with contextlib.closing(sqlite3.connect(rig.place.directory / "firstmile.db")) as holder:
            holder.isolation_level = None
            holder.execute("PRAGMA busy_timeout = 60000")
            holder.execute("BEGIN IMMEDIATE")
            before = await rig.messages_sent()
            # Nothing to wait for: this is how long the store is away.
            await asyncio.sleep(60)
            during = await rig.messages_sent()
            holder.execute("ROLLBACK")

        # What was on its way to the provider may arrive; nothing new goes out without its row in the ledger.
        assert during - before <= 20
        await _audit(rig, await rig.all_finished(handles, 180))


async def _has_sent(rig: Rig, messages: int) -> bool:
    return await rig.messages_sent() >= messages
