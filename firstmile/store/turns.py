"""Turns: work that recurs, that one process does at a time, and that goes on where the last one stopped.

A turn is taken until a moment; whoever dies with it gives it back by dying, when that moment has come.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, update

from firstmile.store.database import Writing
from firstmile.store.tables import turns


async def take(
    tx: Writing, name: str, holder: str, now: datetime, length: timedelta
) -> dict[str, Any] | None:
    """Take a turn, or lengthen one's own. Returns where the last one stopped; None if somebody has it."""
    fresh: dict[str, Any] = {"name": name, "holder": None, "until": now, "reached": {}}
    await tx.execute(tx.insert(turns).values(fresh).on_conflict_do_nothing())
    free = or_(turns.c.holder.is_(None), turns.c.holder == holder, turns.c.until <= now)
    mine = update(turns).where(turns.c.name == name, free).values(holder=holder, until=now + length)
    row = await tx.first(mine.returning(turns.c.reached))
    return None if row is None else dict(row.reached)


async def give_back(tx: Writing, name: str, holder: str, reached: dict[str, Any]) -> bool:
    """End one's turn, and say where the next one goes on. False if it had been taken over meanwhile."""
    mine = and_(turns.c.name == name, turns.c.holder == holder)
    statement = update(turns).where(mine).values(holder=None, reached=reached)
    return (await tx.execute(statement)).rowcount == 1
