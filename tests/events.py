"""SendGrid's events, as tests make and post them: signed with a key that the service knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import select

from firstmile.service import Service
from firstmile.standins.sendgrid_webhook import SigningKey
from firstmile.store import ledger
from firstmile.store.database import Reading
from firstmile.store.gate import Question
from firstmile.store.ledger import NewMessage
from firstmile.store.suppressions import MessageClass
from firstmile.store.tables import suppressions, tallies
from tests.doorway import database_of

KEY = SigningKey.make()
NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
"""Where the tests' clock stands."""
ADDRESS = "jonas@weber.example"


def key_of(name: str) -> str:
    """A key as the ledger has them."""
    return hashlib.sha256(name.encode()).hexdigest()


def event(said: str, name: str | None = "m-1", /, *, after: int = 0, **more: Any) -> dict[str, Any]:
    """An event of a message, so many seconds after `NOW`. `after` and what it says make its id."""
    one: dict[str, Any] = {
        "email": ADDRESS,
        "timestamp": int(NOW.timestamp()) + after,
        "event": said,
        "sg_message_id": f"{name}.recvd-5f54b5d587-pczjm-1-67BADEEA-6.0",
        "category": ["lifecycle"],
        "ip": "198.51.100.7",
        "useragent": "Mozilla/5.0",
    } | more
    if name is not None:
        one |= {"fm_key": key_of(name)}
    text = json.dumps(one, sort_keys=True).encode()
    return {"sg_event_id": hashlib.sha256(text).hexdigest()[:32]} | one


async def post(client: httpx.AsyncClient, events: Any, *, key: SigningKey = KEY) -> httpx.Response:
    """Post events as SendGrid does, signed when the tests' clock stands at `NOW`."""
    raw = json.dumps(events).encode()
    return await client.post("/webhooks/sendgrid", content=raw, headers=key.headers(raw, NOW.timestamp()))


async def sent(
    service: Service,
    *names: str,
    subject: str = "c-1",
    enrolment: int = 1,
    step: str = "tips",
    message_class: MessageClass = "lifecycle",
    recipient: str = ADDRESS,
    state: str = "accepted",
) -> None:
    """Messages that were sent, and the provider's answer: `accepted`, `unknown`, or still `sending`."""
    async with database_of(service).writing() as tx:
        for name in names:
            key = key_of(name)
            new = NewMessage(key, subject, enrolment, "small", step, "run", step, message_class, recipient)
            await ledger.prepare(tx, new, NOW)
            question = Question(subject, "small", step, "transactional", recipient)
            await ledger.begin_sending(
                tx, key, "token", now=NOW, lease=_LEASE, body={"subject": "Hi"}, question=question
            )
            if state == "accepted":
                await ledger.accept(tx, key, "token", now=NOW, provider_id=name)
            elif state == "unknown":
                await ledger.mark_unknown(tx, key, "token", now=NOW, reason="no answer in time")


_LEASE = timedelta(minutes=1)


async def counted(db: Reading, metric: str) -> dict[str, float]:
    """A number of the store, by the values of its labels."""
    rows = await db.all(select(tallies.c.labels, tallies.c.value).where(tallies.c.metric == metric))
    found: dict[str, float] = {}
    for labels, value in rows:
        name = " ".join(json.loads(labels).values())
        found[name] = found.get(name, 0) + value
    return found


async def suppressed(db: Reading) -> Sequence[tuple[str, str]]:
    """Every suppressed address, with why."""
    rows = await db.all(select(suppressions.c.address, suppressions.c.reason))
    return sorted((row.address, row.reason) for row in rows)
