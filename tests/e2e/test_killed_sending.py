"""The crash test with real processes: a worker is killed with SIGKILL at a point between "about to send" and
"recorded", and the stand-in's own record is held against the ledger and the journal.

`tests/mail/test_crashes.py` has every point and every case; here are those points with a real kill, a real
server that notices, and a worker that takes over.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from firstmile.contracts import effect_key
from firstmile.journey.journal import Entry
from firstmile.journey.model import Journey
from firstmile.mail.outcomes import (
    FOUND,
    MAY_HAVE_BEEN_DELIVERED,
    RESENT_ABSENT,
    RESENT_UNKNOWN,
    settled,
)
from firstmile.store import journal, ledger
from firstmile.store.suppressions import MessageClass
from tests.e2e import dying_worker
from tests.e2e.rig import Rig
from tests.mail.crashing import broken_promises

TAKEN = {"kind": "reset", "when": "after"}
"""A fault: the provider takes the message, and its answer is lost."""

HELD = {"kind": "hang", "when": "after"}
"""A fault: the provider takes the message, and does not answer while the call lasts."""

POINTS: dict[str, tuple[dict[str, str] | None, str | None]] = {
    "before sending is committed": (None, None),
    "before the call": (None, RESENT_ABSENT),
    "during the call": (HELD, FOUND),
    "before accepted is committed": (None, FOUND),
    "after accepted is committed": (None, None),
    "while it is looked for": (TAKEN, FOUND),
    "before what was found is committed": (TAKEN, FOUND),
}
"""Where a worker dies -> the fault that this needs, and what the journal must say, where the log can tell."""

CLASSES: tuple[MessageClass, ...] = ("transactional", "lifecycle")
PATIENCE = 60.0


@dataclass(frozen=True)
class Victim:
    """A customer whose message is the death of a worker."""

    number: int
    message_class: MessageClass
    point: str

    @property
    def subject(self) -> str:
        return f"c-{self.number}"

    @property
    def key(self) -> str:
        """Of their only message."""
        return effect_key(self.subject, 1, "welcome", "run", occurrence=1, attempt=0)


def _journey(message_class: MessageClass) -> Journey:
    welcome = {"id": "welcome", "email": {"template": "welcome", "class": message_class}}
    return Journey.model_validate(
        {
            "journey": message_class,
            "version": 1,
            "onboarded": {"milestone": "ready"},
            "steps": [welcome, {"id": "ready", "milestone": {"all": ["welcome"]}}],
        }
    )


class Morgue:
    """Kills, one after the other, and what is left of whom they were done to."""

    def __init__(self, rig: Rig, client: Client, folder: Path) -> None:
        self._rig, self._client, self._folder = rig, client, folder
        self._plan: dict[str, str] = {}

    async def kill_at(self, victim: Victim, fault: dict[str, str] | None) -> None:
        """Let a worker die of this message."""
        self._plan[victim.key] = victim.point
        plan = self._folder / "plan.json"
        part = plan.with_suffix(".part")
        part.write_text(json.dumps(self._plan))
        part.replace(plan)
        if fault is not None:
            await self._rig.fault(**fault, match=rf"^ann\.{victim.number}@")
        await self._rig.enrol(self._client, _journey(victim.message_class), 1, 1.0, first=victim.number)
        await self._rig.until(lambda: self._died(victim), PATIENCE)

    async def _died(self, victim: Victim) -> bool:
        return (self._folder / victim.key).exists()

    async def all_told(self, victims: Sequence[Victim]) -> None:
        """Wait until the journal has the end of everybody's message."""

        async def told() -> bool:
            return all([await self.journal_of(victim) for victim in victims])

        await self._rig.until(told, PATIENCE)

    async def journal_of(self, victim: Victim) -> list[Entry]:
        """How the message's step ended: one entry, or none yet."""
        async with self._rig.database.reading() as db:
            entries = await journal.read(db, victim.subject, 1)
        return [
            one for one in entries if one.step == "welcome" and one.change in ("done", "failed", "skipped")
        ]

    async def row_of(self, victim: Victim) -> ledger.Message:
        """What the ledger says."""
        async with self._rig.database.reading() as db:
            row = await ledger.get(db, victim.key)
        assert row is not None, victim
        return row


async def test_a_worker_killed_at_any_point_of_a_sending_keeps_the_promise(tmp_path: Path) -> None:
    folder = tmp_path / "dying"
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    command: list[str | Path] = [sys.executable, Path(dying_worker.__file__), folder]
    short = {"FIRSTMILE_RECONCILE_FOR": "3 seconds", "FIRSTMILE_SENDGRID_TIMEOUT": "1 second"}
    numbers = iter(range(1000))
    async with Rig.running(tmp_path, worker=command, settings=short) as rig:
        morgue = Morgue(rig, await rig.client(), folder)

        victims = [Victim(next(numbers), of_class, point) for point in POINTS for of_class in CLASSES]
        for victim in victims:
            await morgue.kill_at(victim, POINTS[victim.point][0])
        await morgue.all_told(victims)

        await rig.fault(kind="status", status=500, on="logs", times=100_000)
        blind = [Victim(next(numbers), of_class, "before accepted is committed") for of_class in CLASSES]
        for victim in blind:
            await morgue.kill_at(victim, None)
        await morgue.all_told(blind)

        letters = await rig.letters()
        for victim in [*victims, *blind]:
            row, (entry,) = await morgue.row_of(victim), await morgue.journal_of(victim)
            part = settled(row)
            assert part is not None, victim
            broken = broken_promises(row, part, copies=letters[victim.key], blind_calls=letters[victim.key])
            assert not broken, (victim, broken, row.decisions)
            assert (entry.change, entry.reason) == (part.outcome, part.reason), victim
        for victim in victims:
            (entry,) = await morgue.journal_of(victim)
            assert (entry.change, letters[victim.key]) == ("done", 1), victim
            assert (POINTS[victim.point][1] or "") in (entry.reason or ""), (victim, entry.reason)
        ends = [(await morgue.journal_of(victim))[0] for victim in blind]
        assert [(end.change, end.reason) for end in ends] == [
            ("done", RESENT_UNKNOWN),
            ("failed", MAY_HAVE_BEEN_DELIVERED),
        ]
        assert [letters[victim.key] for victim in blind] == [2, 1]
