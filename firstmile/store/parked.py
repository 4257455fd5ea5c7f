"""Product events about subjects that have not signed up yet: kept for `KEEP`, handed over when they have.

Handing over is: `of`, deliver, `delivered`. A crash between these delivers an event again, which the workflow
sees by its id; none is lost. An event parked just as its subject signs up is found by `deliverable`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, select

from firstmile.journey.instants import Instant
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import enrolments, parked

KEEP: Final = timedelta(days=7)
_OF: Final = (
    select(parked)
    .where(parked.c.subject == bindparam("the_subject"))
    .order_by(parked.c.parked_at, parked.c.id)
)


@dataclass(slots=True, frozen=True)
class ParkedEvent:
    """An event as it arrived. `at` is its own time, None if it gave none."""

    id: str
    subject: str
    event: str
    at: Instant | None
    properties: dict[str, Any]
    parked_at: datetime


async def park(tx: Writing, event: ParkedEvent) -> bool:
    """Keep an event. False if it is kept already."""
    statement = tx.insert(parked).values(
        id=event.id,
        subject=event.subject,
        event=event.event,
        at=event.at,
        properties=event.properties,
        parked_at=event.parked_at,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def park_all(tx: Writing, events: Iterable[ParkedEvent]) -> None:
    """Keep several events, in one statement."""
    rows = [asdict(event) for event in sorted(events, key=lambda one: (one.subject, one.id))]
    if rows:
        await tx.execute(tx.insert(parked).on_conflict_do_nothing(), rows)


async def of(db: Reading, subject: str) -> list[ParkedEvent]:
    """What is kept for a subject, in the order it came."""
    return [_event(row) for row in await db.all(_OF, {"the_subject": subject})]


async def delivered(tx: Writing, subject: str, ids: list[str]) -> int:
    """These have been handed over: keep them no longer. Returns how many there were."""
    statement = delete(parked).where(parked.c.subject == subject, parked.c.id.in_(ids))
    return (await tx.execute(statement)).rowcount


async def take(tx: Writing, subject: str) -> list[ParkedEvent]:
    """What is kept for a subject, kept no longer once this transaction commits."""
    events = await of(tx, subject)
    await delivered(tx, subject, [event.id for event in events])
    return events


async def deliverable(db: Reading, limit: int = 100) -> list[str]:
    """Subjects that have started and still have events here."""
    statement = (
        select(parked.c.subject)
        .distinct()
        .join(enrolments, enrolments.c.subject == parked.c.subject)
        .where(enrolments.c.state == "started")
    )
    return [row.subject for row in await db.all(statement.order_by(parked.c.subject).limit(limit))]


async def expire(tx: Writing, now: datetime) -> int:
    """Remove what was kept for longer than `KEEP`. Returns how many events that were."""
    removed = (await tx.execute(delete(parked).where(parked.c.parked_at < now - KEEP))).rowcount
    tx.tallies.count("events_total", {"outcome": "expired"}, removed)
    return removed


def _event(row: AnyRow) -> ParkedEvent:
    return ParkedEvent(**row._mapping)
