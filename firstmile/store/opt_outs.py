"""Topics that an address does not want, while it still wants others.

Everything at once is no row for each topic but one suppression, `unsubscribed`: a topic that does not exist
yet is stopped by it, too. Found by `address_key`, as suppressions are; the gate reads both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select

from firstmile.store.database import Reading, Writing
from firstmile.store.suppressions import Topic
from firstmile.store.tables import opt_outs


async def leave(
    tx: Writing, key: str, topics: Iterable[Topic], now: datetime, address: str | None = None
) -> list[Topic]:
    """Opt an address out of topics; `key` is its address key. Returns those that it had not left before."""
    left: list[Topic] = []
    for topic in topics:
        statement = tx.insert(opt_outs).values(
            address_key=key, topic=topic, address=None if address is None else address.strip(), since=now
        )
        if (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1:
            left.append(topic)
    return left


async def rejoin(tx: Writing, key: str, topics: Iterable[Topic]) -> list[Topic]:
    """Opt an address in again. Returns the topics that it had left."""
    joined: list[Topic] = []
    for topic in topics:
        chosen = (opt_outs.c.address_key == key) & (opt_outs.c.topic == topic)
        if (await tx.execute(delete(opt_outs).where(chosen))).rowcount == 1:
            joined.append(topic)
    return joined


async def of(db: Reading, key: str) -> dict[Topic, datetime]:
    """The topics that an address has left, and since when."""
    statement = select(opt_outs.c.topic, opt_outs.c.since).where(opt_outs.c.address_key == key)
    return {row.topic: row.since for row in await db.all(statement.order_by(opt_outs.c.topic))}
