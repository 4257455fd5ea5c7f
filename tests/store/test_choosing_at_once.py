"""Choices about one address that arrive at the same moment: they wait for each other, and the last one holds."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from firstmile.links import Target
from firstmile.mail.sendgrid_events import SIGNATURE, TIMESTAMP
from firstmile.service import Service
from firstmile.settings import Settings
from firstmile.store import ledger, profiles, suppressions
from firstmile.store.database import Database
from firstmile.store.profiles import Contact, Profile, address_key
from firstmile.store.suppressions import TOPICS
from tests.events import KEY, event, key_of

ANN, BO = "ann@customer.example", "bo@customer.example"
NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)


@pytest.fixture
async def service(db: Database, tmp_path: Path) -> Service:
    chosen = Settings(state_dir=tmp_path, sendgrid_webhook_keys=(KEY.public,))
    async with db.writing() as tx:
        for subject in ("c-1", "c-2", "c-3", "c-4"):
            contact = Contact("lead", "Bo", BO)
            await profiles.write(tx, Profile(subject, "Ann", ANN, contacts=(contact,)), NOW)
    return Service(cast(Any, object()), db, chosen, now=lambda: NOW)


async def messages_to(db: Database, recipients: dict[str, tuple[str, str]]) -> None:
    """Messages by name: to a subject, at an address."""
    async with db.writing() as tx:
        for name, (subject, recipient) in recipients.items():
            new = ledger.NewMessage(
                key_of(name), subject, 1, "small", "tips", "run", "tips", "lifecycle", recipient
            )
            await ledger.prepare(tx, new, NOW)


async def told(service: Service, *events: dict[str, Any]) -> None:
    raw = json.dumps(events).encode()
    headers = KEY.headers(raw, NOW.timestamp())
    await service.deliveries.sendgrid(raw, headers[SIGNATURE], headers[TIMESTAMP])


async def test_two_requests_that_choose_topics_do_not_wait_in_a_circle(
    db: Database, service: Service
) -> None:
    bos = Target("c-1", 1, address=address_key(BO))
    for turn in range(12):
        wanted = [TOPICS[: 1 + turn % 3], TOPICS[1 : 3 - turn % 2]]
        await asyncio.gather(*(service.preferring.choose(bos, one) for one in wanted * 3))


async def test_what_is_stopped_here_stays_so_whatever_a_provider_told_of_before(
    db: Database, service: Service
) -> None:
    for turn in range(25):
        subject, address = f"ann-{turn}", f"ann-{turn}@customer.example"
        async with db.writing() as tx:
            await profiles.write(tx, Profile(subject, "Ann", address), NOW)
        await messages_to(db, {subject: (subject, address)})
        await asyncio.gather(
            told(service, event("group_resubscribe", subject, after=-100)),
            service.preferring.stop(Target(subject, 1)),
        )
        async with db.reading() as tx:
            assert [one.reason for one in await suppressions.of(tx, address)] == ["unsubscribed"], turn


async def test_two_requests_of_a_provider_do_not_wait_in_a_circle(db: Database, service: Service) -> None:
    for turn in range(25):
        names = [f"{turn}-{number}" for number in range(4)]
        places = [("c-1", BO), ("c-3", ANN), ("c-2", ANN), ("c-4", BO)]
        await messages_to(db, dict(zip(names, places, strict=True)))
        await asyncio.gather(
            told(service, *(event("unsubscribe", name) for name in names[:2])),
            told(service, *(event("unsubscribe", name) for name in names[2:])),
        )
        async with db.writing() as tx:
            for one in (ANN, BO):
                await suppressions.lift(tx, one, "unsubscribed")
