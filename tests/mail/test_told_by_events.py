"""A delivery event settles what nobody knew: a message is not sent again once the provider has told of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio.client import Client

from firstmile.mail.errors import OutcomeUnknown
from firstmile.mail.outcomes import MAY_HAVE_BEEN_DELIVERED
from firstmile.mail.sendgrid_body import body_of
from firstmile.mail.sending import Post, send_once
from firstmile.service import Service
from firstmile.settings import Settings
from firstmile.standins.sendgrid_webhook import SigningKey, course
from firstmile.store import ledger
from firstmile.store.database import Database
from tests.doorway import Nowhere
from tests.mail.building import LINKS, Ask, SetClock
from tests.mail.told import Told, is_outcome, is_pending, row, statements

KEY = SigningKey.make()


@pytest.fixture
def service(db: Database, now: SetClock, tmp_path: Path) -> Service:
    settings = Settings(state_dir=tmp_path, sendgrid_webhook_keys=(KEY.public,))
    return Service(cast(Client, Nowhere()), db, settings, now)


async def tell(service: Service, events: list[dict[str, Any]], now: SetClock) -> None:
    raw = json.dumps(events).encode()
    headers = {name.lower(): value for name, value in KEY.headers(raw, now().timestamp()).items()}
    await service.deliveries.sendgrid(
        raw,
        headers["x-twilio-email-event-webhook-signature"],
        headers["x-twilio-email-event-webhook-timestamp"],
    )


def events_of(transport: Told, now: SetClock) -> list[dict[str, Any]]:
    """What SendGrid tells of the message that the transport was given."""
    return list(course("14c5d75ce93", body_of(transport.sent[0]), now().timestamp()))


async def unknown(db: Database, post: Post, ask: Ask, transport: Told) -> None:
    """A message that the provider took, and whose answer was lost."""
    send = transport.send

    def lost(message: Any) -> Any:
        send(message)
        raise OutcomeUnknown("the answer was lost")

    transport.send = lost  # type: ignore[method-assign]  # the answer is lost after the message was taken
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))


async def test_what_was_unknown_is_done_at_the_next_attempt_and_not_sent_again(
    db: Database, post: Post, ask: Ask, now: SetClock, service: Service
) -> None:
    transport = Told()
    await unknown(db, post, ask, transport)

    await tell(service, events_of(transport, now), now)

    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert (len(transport.sent), transport.looked) == (1, 0)
    kept = await row(db, ask().key)
    assert (kept.state, kept.fate, kept.sends) == ("accepted", "delivered", 1)


async def test_an_event_that_comes_before_the_answer_is_recorded_settles_it_too(
    db: Database, post: Post, ask: Ask, now: SetClock, service: Service
) -> None:
    transport = Told()
    await unknown(db, post, ask, transport)
    async with db.writing() as tx:
        await ledger.decide_resend(tx, ask().key, now=now(), decision="absent")

    await tell(service, events_of(transport, now)[:1], now)

    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", "absent")
    assert len(transport.sent) == 1


async def test_what_was_given_up_stays_so_and_its_fate_is_seen(
    db: Database, post: Post, ask: Ask, now: SetClock, service: Service
) -> None:
    transport = Told()
    await unknown(db, post, ask, transport)
    now.move(seconds=(post.reconcile_for + timedelta(seconds=1)).total_seconds())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "failed", MAY_HAVE_BEEN_DELIVERED)

    await tell(service, events_of(transport, now), now)

    kept = await row(db, ask().key)
    assert kept.given_up_at is not None
    assert (kept.fate, [one.text for one in kept.decisions]) == ("delivered", [MAY_HAVE_BEEN_DELIVERED])


async def test_a_batch_takes_the_same_few_statements_however_many_events_it_has(
    db: Database, post: Post, ask: Ask, now: SetClock, service: Service
) -> None:
    transport = Told()
    await unknown(db, post, ask, transport)
    (processed, delivered) = events_of(transport, now)
    many = [{**delivered, "sg_event_id": f"e-{number}"} for number in range(500)]

    with statements(db) as one:
        await tell(service, [processed], now)
    with statements(db) as several:
        await tell(service, many, now)

    assert len(one) < 10
    assert len(several) <= len(one) + 3
