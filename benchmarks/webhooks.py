"""Delivery events as SendGrid sends them: many, a fifth of them twice, in any order, in signed batches.

    python -m benchmarks.webhooks [--events 100000] [--database URL]

They go through the HTTP endpoint (in this process) into the store. What must have come of them is worked out
beside it and compared at the end: numbers, fates and suppressions, exactly. Told besides: events a second, how
long a batch takes, and the memory after a fifth and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, cast

import httpx
from sqlalchemy import func, select
from temporalio.client import Client

from firstmile import publishing
from firstmile.paths import journeys, templates
from firstmile.service import Service
from firstmile.settings import Settings
from firstmile.standins.sendgrid_webhook import SigningKey
from firstmile.store import schema, tables
from firstmile.store.database import Database
from firstmile.web.app import create_app

BATCH: Final = 1_000
"""Events of one request: about 500 kB, as SendGrid's."""
TWICE: Final = 0.2
"""So many of all events were told before."""
CUSTOMERS_HAVE: Final = 5
THEN: Final = datetime(2026, 3, 6, 9, tzinfo=UTC)

_PLAIN: Final = ("processed", "delivered", "open", "click")
_COURSES: Final[tuple[tuple[float, tuple[str, ...], str], ...]] = (
    (0.90, _PLAIN, "delivered"),
    (0.95, ("processed", "deferred", "delivered", "open"), "delivered"),
    (0.98, ("processed", "deferred", "deferred", "bounce"), "bounced"),
    (0.99, ("processed", "delivered", "spamreport", "open"), "complained"),
    (1.00, ("processed", "delivered", "unsubscribe", "click"), "delivered"),
)
"""What becomes of messages: up to which part of all, in which events, with which fate."""
_WORDS: Final = {"open": "opened", "click": "clicked", "spamreport": "complained", "bounce": "bounced"}
_SUPPRESSED: Final = {"bounce": "bounced", "spamreport": "complained", "unsubscribe": "unsubscribed"}
_EACH: Final = len(_PLAIN)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: seconds of each batch, and of CPU for all; memory in bytes."""

    events: int
    batches: tuple[float, ...]
    cpu: float
    early: int
    late: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / sum(self.batches)


def _course(message: int) -> tuple[tuple[str, ...], str]:
    part = random.Random(message).random()
    return next((events, fate) for up_to, events, fate in _COURSES if part < up_to)


def _address(message: int) -> str:
    return f"ann.{message // CUSTOMERS_HAVE}@customer.example"


def _event(number: int) -> dict[str, Any]:
    """The event of this number: the same whenever it is asked for."""
    message, place = divmod(number, _EACH)
    said = _course(message)[0][place]
    return {
        "email": _address(message),
        "timestamp": int(THEN.timestamp()) + message + 60 * place,
        "smtp-id": f"<14c5d75ce93.dfd.{message}@ismtpd-555>",
        "event": said,
        "category": ["lifecycle", "segment-team", "template-team_welcome"],
        "sg_event_id": f"ZGVsaXZlcmVkLTAtMTIzNDU2Nzg5MDEyMzQ1Njc4OTA-{number}",
        "sg_message_id": f"14c5d75ce93.{message}.recvd-5f54b5d587-pczjm-1-67BADEEA-6.0",
        "fm_key": f"{message:064x}",
        "fm_subject": f"c-{message // CUSTOMERS_HAVE}",
        "fm_enrolment": "1",
        "fm_step": "welcome",
    } | _MORE.get(said, {})


_MORE: Final[dict[str, dict[str, Any]]] = {
    "open": {"useragent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0)", "ip": "198.51.100.7"},
    "click": {"url": "https://app.example/reports?x=1", "useragent": "Mozilla/5.0", "ip": "198.51.100.7"},
    "bounce": {"type": "bounce", "reason": "550 5.1.1 no such user", "status": "5.1.1"},
    "deferred": {"response": "450 4.2.1 try again later", "attempt": "1"},
}


def _arriving(events: int) -> Iterator[list[int]]:
    """Numbers of events, in batches: each of them once, and `TWICE` of all once more, in any order."""
    once = events - int(events * TWICE)
    chance = random.Random(7)
    numbers = [*range(once), *chance.sample(range(once), events - once)]
    chance.shuffle(numbers)
    for start in range(0, events, BATCH):
        yield numbers[start : start + BATCH]


async def _prepared(database: Database, service: Service, messages: int) -> None:
    """Customers, and messages that were accepted."""
    await service.publish()
    async with database.reading() as db:
        version = (await publishing.Shelf().current(db))["team"].version
    for start in range(0, messages, 10_000):
        some = range(start, min(start + 10_000, messages))
        subjects = sorted({message // CUSTOMERS_HAVE for message in some})
        async with database.writing() as tx:
            enrolled = [
                {
                    "subject": f"c-{subject}",
                    "number": 1,
                    "segment": "team",
                    "version": version,
                    "state": "started",
                    "request_hash": "",
                    "response": {},
                    "enrolled_at": THEN,
                    "speed": 1.0,
                    "created_at": THEN,
                    "tried_at": THEN,
                }
                for subject in subjects
            ]
            await tx.execute(tx.insert(tables.enrolments).on_conflict_do_nothing(), enrolled)
            sent = [
                {
                    "key": f"{message:064x}",
                    "subject": f"c-{message // CUSTOMERS_HAVE}",
                    "enrolment": 1,
                    "segment": "team",
                    "step": "welcome",
                    "purpose": "run",
                    "template": "team_welcome",
                    "message_class": "lifecycle",
                    "recipient": _address(message),
                    "state": "accepted",
                    "decisions": [],
                    "sends": 1,
                    "created_at": THEN,
                    "updated_at": THEN,
                }
                for message in some
            ]
            await tx.execute(tx.insert(tables.messages), sent)


async def measure(events: int, folder: Path, database_url: str | None = None) -> Figures:
    """Post so many events, and compare what came of them. Raises `AssertionError` where it is something
    else."""
    once = events - int(events * TWICE)
    messages = -(-once // _EACH)
    key = SigningKey.make()
    settings = Settings(
        state_dir=folder,
        database_url=database_url or "",
        journeys=journeys(),
        templates=templates(),
        sendgrid_webhook_keys=(key.public,),
    )
    await schema.upgrade(settings.database_url)
    database = Database(settings.database_url)
    # Nothing here is for journeys: no client is asked for anything.
    service = Service(cast(Client, None), database, settings)
    await _prepared(database, service, messages)
    app = create_app(service, sweep_every=None)
    taken: list[float] = []
    fresh, early, cpu = 0, 0, 0.0
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60
    ) as client:
        for batch in _arriving(events):
            raw = json.dumps([_event(number) for number in batch]).encode()
            headers = key.headers(raw)
            began, used = time.perf_counter(), time.process_time()
            answer = await client.post("/webhooks/sendgrid", content=raw, headers=headers)
            taken.append(time.perf_counter() - began)
            cpu += time.process_time() - used
            assert answer.status_code == 200, answer.text
            fresh += answer.json()["new"]
            if len(taken) * BATCH >= events / 5 and not early:
                early = _memory()
    late = _memory()
    await _compare(database, service, once, fresh)
    await database.close()
    return Figures(events, tuple(taken), cpu, early, late)


async def _compare(database: Database, service: Service, once: int, fresh: int) -> None:
    """What is in the store, against what must be."""
    told, fates = Counter[str](), dict[int, str]()
    suppressed = set[tuple[str, str]]()
    for number in range(once):
        message, place = divmod(number, _EACH)
        course, _ = _course(message)
        said = course[place]
        told[{**_WORDS, "unsubscribe": "unsubscribed"}.get(said, said)] += 1
        fates[message] = _later(fates.get(message), _WORDS.get(said, said))
        if said in _SUPPRESSED:
            suppressed.add((_address(message), _SUPPRESSED[said]))
    counters = (await service.metrics()).counters["message_events_total"]
    table = tables.messages.c.fate
    async with database.reading() as db:
        kept = (await db.all(select(func.count()).select_from(tables.delivery_events)))[0][0]
        found = await db.all(select(table, func.count()).group_by(table))
        reasons = await db.all(select(tables.suppressions.c.address, tables.suppressions.c.reason))
    assert fresh == kept == once, (fresh, kept, once)
    assert {dict(one.labels)["event"]: one.value for one in counters} == told
    assert dict(map(tuple, found)) == Counter(fates.values())
    assert {(row.address, row.reason) for row in reasons} == suppressed


def _later(fate: str | None, said: str) -> str:
    ranks = ("processed", "deferred", "delivered", "bounced", "complained")
    if said not in ranks:
        assert fate is not None, "every course begins with a fate"
        return fate
    return said if fate is None or ranks.index(said) > ranks.index(fate) else fate


def _memory() -> int:
    """What this process holds, in bytes; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def main(events: int, database_url: str | None) -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measure(events, Path(name), database_url))
    slow = quantiles(found.batches, n=100)[98] if len(found.batches) > 1 else found.batches[0]
    number, rate = len(found.batches), found.events / found.cpu
    print(f"{found.events} events, {TWICE:.0%} of them twice, in {number} batches: every number is right")
    print(f"{found.rate:.0f} events a second, {rate:.0f} a second of CPU")
    print(f"a batch takes {median(found.batches) * 1000:.0f} ms, 99 of 100 at most {slow * 1000:.0f} ms")
    print(f"memory after a fifth {found.early / 2**20:.0f} MiB, at the end {found.late / 2**20:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--database", help="a store of its own to use, empty; by default SQLite in a folder")
    arguments = parser.parse_args()
    main(arguments.events, arguments.database)
