"""Holds: operators' word that messages wait. Over everything, a segment, a template, or one customer.

What waited comes back by and by after a release, until `ramp_until`, each message at a moment of its own: a
provider that was held for a day is not handed a day's messages in a second.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from sqlalchemy import BindParameter, ColumnElement, and_, func, or_, select, update

from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import holds

Scope = Literal["everything", "segment", "template", "customer"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


@dataclass(slots=True, frozen=True)
class Hold:
    """One hold. `value` says which segment, template or subject; None with `everything`.

    It ends at `until`, if that is given, or when it is released.
    """

    id: int
    scope: Scope
    value: str | None
    reason: str
    actor: str
    since: datetime
    until: datetime | None
    released_at: datetime | None = None
    released_by: str | None = None
    ramp_until: datetime | None = None


async def place(
    tx: Writing,
    scope: Scope,
    value: str | None,
    *,
    reason: str,
    actor: str,
    now: datetime,
    until: datetime | None = None,
) -> Hold:
    """Place a hold. Raises `ValueError` if `value` is missing, or given with `everything`."""
    if (value is None) != (scope == "everything"):
        raise ValueError("a hold on everything has no value; any other says which " + scope)
    statement = tx.insert(holds).values(
        scope=scope, value=value, reason=reason, actor=actor, since=now, until=until
    )
    row = await tx.first(statement.returning(holds))
    assert row is not None
    return _hold(row)


async def release(
    tx: Writing,
    scope: Scope,
    value: str | None,
    *,
    actor: str,
    now: datetime,
    ramp: timedelta = timedelta(),
) -> int:
    """Release what is held there; messages come back within `ramp`. Returns how many holds that were."""
    there = and_(holds.c.scope == scope, holds.c.value == value, holds.c.released_at.is_(None))
    statement = (
        update(holds)
        .where(there)
        .values(released_at=now, released_by=actor, ramp_until=now + ramp if ramp else None)
    )
    return (await tx.execute(statement)).rowcount


async def active(db: Reading, now: datetime) -> list[Hold]:
    """The holds in force, oldest first."""
    return [_hold(row) for row in await db.all(select(holds).where(in_force(now)).order_by(holds.c.id))]


async def counts(db: Reading, now: datetime) -> dict[str, int]:
    """How many holds are in force, by scope."""
    statement = select(holds.c.scope, func.count()).where(in_force(now)).group_by(holds.c.scope)
    return {row[0]: row[1] for row in await db.all(statement)}


def in_force(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """The condition on a row of `holds` that it holds at `now`."""
    return and_(holds.c.released_at.is_(None), or_(holds.c.until.is_(None), holds.c.until > now))


def comes_back(key: str, released_at: datetime, ramp_until: datetime) -> datetime:
    """When a message may go out after a release: always the same moment for the same key."""
    share = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32
    return released_at + (ramp_until - released_at) * share


def _hold(row: AnyRow) -> Hold:
    return Hold(**row._mapping)
