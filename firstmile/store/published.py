"""Published journeys: what customers are started on. A version never changes once it is published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import bindparam, func, select, tuple_

from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import published

_CURRENT: Final = (
    select(published)
    .where(published.c.segment == bindparam("the_segment"))
    .order_by(published.c.version.desc())
    .limit(1)
)


@dataclass(slots=True, frozen=True)
class Published:
    """One version of a segment's journey. `journey` is canonical JSON, `hash` its SHA-256."""

    segment: str
    version: int
    hash: str
    journey: str
    published_at: datetime


@dataclass(slots=True, frozen=True)
class Publication:
    """What became of publishing. `reason` goes with `refused`; `current` is what now starts customers."""

    outcome: Literal["new", "unchanged", "refused"]
    current: Published
    reason: str | None = None


async def publish(tx: Writing, segment: str, version: int, journey: str, now: datetime) -> Publication:
    """Publish a version.

    Refused are a version older than the current one, and another content under the current one's number.
    """
    here = await tx.first(_CURRENT.with_for_update(), {"the_segment": segment})
    if here is not None and version <= here.version:
        there = _published(here)
        if version < there.version:
            reason = (
                f"version {version} of {segment} is older than version {there.version}, which is published"
            )
            return Publication("refused", there, reason)
        if there.hash != _hash(journey):
            reason = f"version {version} of {segment} is published with other content: raise its version"
            return Publication("refused", there, reason)
        return Publication("unchanged", there)
    statement = tx.insert(published).values(
        segment=segment, version=version, hash=_hash(journey), journey=journey, published_at=now
    )
    row = await tx.first(statement.on_conflict_do_nothing().returning(published))
    if row is None:  # another publisher came first
        return await publish(tx, segment, version, journey, now)
    return Publication("new", _published(row))


async def current(db: Reading, segment: str) -> Published | None:
    """The newest version of a segment's journey; None if there is none."""
    row = await db.first(_CURRENT, {"the_segment": segment})
    return None if row is None else _published(row)


async def get(db: Reading, segment: str, version: int) -> Published | None:
    """One version, or None."""
    row = await db.first(
        select(published).where(published.c.segment == segment, published.c.version == version)
    )
    return None if row is None else _published(row)


async def segments(db: Reading) -> list[Published]:
    """The current version of every segment, by segment."""
    newest = select(published.c.segment, func.max(published.c.version)).group_by(published.c.segment)
    statement = select(published).where(tuple_(published.c.segment, published.c.version).in_(newest))
    return [_published(row) for row in await db.all(statement.order_by(published.c.segment))]


def _hash(journey: str) -> str:
    return hashlib.sha256(journey.encode()).hexdigest()


def _published(row: AnyRow) -> Published:
    return Published(**row._mapping)
