"""What providers told of messages: every event once, whoever it concerns, until it is too old to matter.

An event's id is the provider's own; it decides what was told before. Events of messages that no ledger knows,
and events that nobody understands, are kept as well. `detail` holds no personal data: no address, no IP
address, no link's query.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, delete, func, select
from sqlalchemy.sql.dml import ReturningInsert

from firstmile.store.database import AnyRow, Reading, Writing, batched
from firstmile.store.dialect import insert
from firstmile.store.tables import delivery_events, messages


@dataclass(slots=True, frozen=True)
class DeliveryEvent:
    """One event. `message` is the ledger's key as the provider gave it back, None if it gave none.

    `at` is the provider's time.
    """

    id: str
    message: str | None
    event: str
    at: datetime
    received_at: datetime
    detail: dict[str, Any]


_NAMES: Final = tuple(field.name for field in fields(DeliveryEvent))


@dataclass(slots=True, frozen=True)
class Engagement:
    """What a recipient did with a message: when first, and how often."""

    opened_at: datetime | None = None
    opens: int = 0
    clicked_at: datetime | None = None
    clicks: int = 0


async def keep(tx: Writing, events: Iterable[DeliveryEvent]) -> list[DeliveryEvent]:
    """Keep events. Returns those that were not known before, each once, ordered by their time."""
    given = {event.id: event for event in events}
    # In one order everywhere: two batches with the same events do not wait for each other in a circle.
    rows = [{name: getattr(given[id], name) for name in _NAMES} for id in sorted(given)]
    fresh: list[str] = []
    for some in batched(rows):
        fresh += [row.id for row in await tx.all(_insert(tx.dialect_name), some)]
    return sorted((given[id] for id in fresh), key=lambda event: (event.at, event.id))


async def of(db: Reading, key: str) -> list[DeliveryEvent]:
    """What was told of one message, oldest first."""
    statement = select(delivery_events).where(delivery_events.c.message == key)
    return [
        _event(row) for row in await db.all(statement.order_by(delivery_events.c.at, delivery_events.c.id))
    ]


async def engagement(db: Reading, subject: str, enrolment: int) -> dict[str, Engagement]:
    """What recipients did with the messages of one enrolment, by key; those with nothing are left out."""
    of_enrolment = and_(messages.c.subject == subject, messages.c.enrolment == enrolment)
    statement = (
        select(
            delivery_events.c.message,
            delivery_events.c.event,
            func.min(delivery_events.c.at),
            func.count(),
        )
        .join(messages, messages.c.key == delivery_events.c.message)
        .where(of_enrolment, delivery_events.c.event.in_(("opened", "clicked")))
        .group_by(delivery_events.c.message, delivery_events.c.event)
    )
    found: dict[str, dict[str, tuple[datetime, int]]] = defaultdict(dict)
    for key, event, first, number in await db.all(statement):
        found[key][event] = first, number
    never: tuple[None, int] = (None, 0)
    return {
        key: Engagement(*did.get("opened", never), *did.get("clicked", never)) for key, did in found.items()
    }


async def last_received(db: Reading) -> datetime | None:
    """When the newest event arrived; None if there is none."""
    row = await db.first(select(func.max(delivery_events.c.received_at)))
    return None if row is None else row[0]


async def drop_before(tx: Writing, moment: datetime, limit: int = 1_000) -> int:
    """Remove what arrived before a moment: the oldest, at most `limit`. Returns how many events that were.

    What they did stays: fates, suppressions, tasks and numbers. Not younger than a day: providers repeat
    events for that long.
    """
    oldest = (
        select(delivery_events.c.id)
        .where(delivery_events.c.received_at < moment)
        .order_by(delivery_events.c.received_at)
        .limit(limit)
        # Whoever tidies up at the same time takes others.
        .with_for_update(skip_locked=True)
    )
    return (await tx.execute(delete(delivery_events).where(delivery_events.c.id.in_(oldest)))).rowcount


@cache
def _insert(name: str) -> ReturningInsert[str]:
    return insert(name, delivery_events).on_conflict_do_nothing().returning(delivery_events.c.id)


def _event(row: AnyRow) -> DeliveryEvent:
    return DeliveryEvent(**{name: getattr(row, name) for name in _NAMES})
