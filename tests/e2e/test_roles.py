"""Journeys and messages as processes of their own: without the one, the other goes on as far as it can."""

from __future__ import annotations

from pathlib import Path

from firstmile.demo import stack
from firstmile.demo.processes import Process, Watchdog
from firstmile.journey.model import Journey
from firstmile.store import views
from tests.e2e.rig import Rig

JOURNEY = Journey.model_validate(
    {
        "journey": "halves",
        "version": 1,
        "onboarded": {"milestone": "ready"},
        "ends": "400 days",
        "steps": [
            {"id": "room", "provision": {"system": "workspace"}},
            {"id": "welcome", "email": {"template": "welcome", "class": "transactional"}},
            {"id": "tips", "after": ["room"], "email": {"template": "tips", "class": "transactional"}},
            {"id": "ready", "milestone": {"all": ["room", "welcome", "tips"]}},
        ],
    }
)
CUSTOMERS = 5
SPEED = 86_400 / 2.0
"""A day of the journey is two seconds."""


async def test_journeys_go_on_while_nobody_sends_and_messages_when_somebody_does(tmp_path: Path) -> None:
    async with Rig.running(tmp_path, "--only", "journeys") as rig:
        client = await rig.client()
        handles = await rig.enrol(client, JOURNEY, CUSTOMERS, SPEED)

        async def provisioned() -> bool:
            async with rig.database.reading() as db:
                found = [await views.get(db, f"c-{number}") for number in range(CUSTOMERS)]
            return all(one is not None and one.view.steps["room"][0] == "done" for one in found)

        await rig.until(provisioned, 30)
        assert await rig.messages_sent() == 0

        watchdog = Watchdog()
        command: list[str | Path] = [stack.BIN / "firstmile", "worker", "--only", "messages"]
        sender = Process(
            "messages", command, environ=rig.place.settings(), directory=rig.place.directory, watched=watchdog
        )
        try:
            left = await rig.all_finished(handles, 30)
        finally:
            await sender.stop(grace=3)
            watchdog.close()
        assert [one.finished.outcome for one in left] == ["completed"] * CUSTOMERS
        assert set((await rig.letters()).values()) == {1}
        assert await rig.messages_sent() == 2 * CUSTOMERS
