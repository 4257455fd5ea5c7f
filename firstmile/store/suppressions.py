"""Addresses that must not be written to, and why.

An address may be suppressed for several reasons; each is lifted by itself. Found by `address_key`, so that
the suppression outlives the removal of the address itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from sqlalchemy import delete, select

from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.profiles import address_key
from firstmile.store.tables import suppressions

Reason = Literal["bounced", "invalid", "complained", "unsubscribed", "manual"]
MessageClass = Literal["transactional", "lifecycle", "marketing"]
Topic = Literal["tips", "training", "feedback", "offers"]

STOPS: Final[dict[str, frozenset[str]]] = {
    "bounced": frozenset({"transactional", "lifecycle", "marketing"}),
    "invalid": frozenset({"transactional", "lifecycle", "marketing"}),
    "complained": frozenset({"lifecycle", "marketing"}),
    "unsubscribed": frozenset({"lifecycle", "marketing"}),
    "manual": frozenset({"lifecycle", "marketing"}),
}
"""Which classes of message each reason stops. A transactional message stops only where none can arrive."""

TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
_TOPIC_OF_KIND: Final[dict[str, Topic]] = {
    "training": "training",
    "survey": "feedback",
    "checkin": "feedback",
}


def topic_of(kind: str, message_class: MessageClass) -> Topic | None:
    """What a recipient opts out of who wants no more such messages. None: one cannot, it is transactional.

    `kind` is the kind of the step that sends it. Marketing is `offers` whichever step sends it.
    """
    if message_class == "transactional":
        return None
    return "offers" if message_class == "marketing" else _TOPIC_OF_KIND.get(kind, "tips")


@dataclass(slots=True, frozen=True)
class Suppression:
    """One reason not to write to an address. `address` is None once it has been removed."""

    address: str | None
    reason: Reason
    since: datetime
    note: str | None = None


async def add(tx: Writing, address: str, reason: Reason, now: datetime, note: str | None = None) -> bool:
    """Suppress an address. False if it is, for this reason, already."""
    return await add_key(tx, address_key(address), reason, now, address=address, note=note)


async def add_key(
    tx: Writing,
    key: str,
    reason: Reason,
    now: datetime,
    *,
    address: str | None = None,
    note: str | None = None,
) -> bool:
    """As `add`, for who knows the address key; and maybe no longer the address."""
    statement = tx.insert(suppressions).values(
        address_key=key,
        reason=reason,
        address=None if address is None else address.strip(),
        note=note,
        since=now,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def add_all(tx: Writing, wanted: Iterable[tuple[str, Reason]], now: datetime) -> None:
    """Suppress several addresses, in one statement; those that are, for that reason, already, stay so."""
    found = {(address_key(address), reason): address.strip() for address, reason in wanted}
    rows = [
        {"address_key": key, "reason": reason, "address": found[key, reason], "note": None, "since": now}
        for key, reason in sorted(found)
    ]
    if rows:
        await tx.execute(tx.insert(suppressions).on_conflict_do_nothing(), rows)


async def lift(tx: Writing, address: str, reason: Reason) -> bool:
    """Take one reason away. False if it was not there."""
    return await lift_key(tx, address_key(address), reason)


async def lift_key(tx: Writing, key: str, reason: Reason) -> bool:
    """As `lift`, by the address key."""
    chosen = (suppressions.c.address_key == key) & (suppressions.c.reason == reason)
    return (await tx.execute(delete(suppressions).where(chosen))).rowcount == 1


async def of(db: Reading, address: str) -> list[Suppression]:
    """Why an address must not be written to, oldest reason first."""
    return await of_key(db, address_key(address))


async def of_key(db: Reading, key: str) -> list[Suppression]:
    """As `of`, by the address key."""
    statement = select(suppressions).where(suppressions.c.address_key == key)
    rows = await db.all(statement.order_by(suppressions.c.since, suppressions.c.reason))
    return [_suppression(row) for row in rows]


async def latest(db: Reading, limit: int = 100) -> list[Suppression]:
    """The newest suppressions, newest first."""
    statement = select(suppressions).order_by(suppressions.c.since.desc(), suppressions.c.address_key)
    return [_suppression(row) for row in await db.all(statement.limit(limit))]


def _suppression(row: AnyRow) -> Suppression:
    return Suppression(row.address, row.reason, row.since, row.note)
