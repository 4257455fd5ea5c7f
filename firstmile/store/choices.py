"""What was chosen about an address, when, and by whom: the record of consent. Written, never changed.

`suppressions` and `opt_outs` say what holds now; here is how it came to be so, which is what one is asked for
when somebody says "I never agreed to this", or "I did unsubscribe".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from firstmile.store import dialect
from firstmile.store.database import Reading, Writing
from firstmile.store.tables import choices

PAGE = "page"
"""The recipient, on their preferences page."""
ONE_CLICK = "one click"
"""The recipient, by their mail program's own button (RFC 8058)."""
PROVIDER = "provider"
"""The recipient, as the mail provider tells: there, or with their mail program."""


@dataclass(slots=True, frozen=True)
class Choice:
    """One choice: `stop`, `start`, `leave TOPIC`, `join TOPIC`, `suppress REASON` or `lift REASON`.

    `by` is `PAGE`, `ONE_CLICK`, `PROVIDER`, or the operator who gave the command. `subject` is whose link it was.
    """

    said: str
    by: str
    at: datetime
    subject: str | None = None
    note: str | None = None


async def alone(tx: Writing, keys: Iterable[str]) -> None:
    """Until this transaction ends, nobody else chooses for these address keys: read what holds after this, and
    before anything else is locked. Whoever changes suppressions or topics by what is chosen asks for it."""
    await dialect.lock_names(tx.connection, {int(key[:8], 16) % _LOCKS for key in keys})


async def record(tx: Writing, key: str, choice: Choice) -> None:
    """Write a choice down; `key` is the address key."""
    await tx.execute(
        tx.insert(choices).values(
            address_key=key,
            subject=choice.subject,
            said=choice.said,
            chosen_by=choice.by,
            note=choice.note,
            at=choice.at,
        )
    )


async def of(db: Reading, key: str) -> list[Choice]:
    """What was chosen about an address, oldest first."""
    statement = select(choices).where(choices.c.address_key == key)
    rows = await db.all(statement.order_by(choices.c.at, choices.c.id))
    return [Choice(row.said, row.chosen_by, row.at, row.subject, row.note) for row in rows]


async def last(db: Reading, key: str) -> datetime | None:
    """When something was last chosen about an address."""
    row = await db.first(select(func.max(choices.c.at).label("at")).where(choices.c.address_key == key))
    return None if row is None else row.at


def stopped(chosen: Iterable[Choice]) -> bool:
    """Whether an address is unsubscribed from everything by what was chosen last; of two at the same moment,
    by the stop."""
    said = [
        (one.at, one.said in _STOPS) for one in chosen if one.said in _STOPS or one.said.startswith(_GOES)
    ]
    return max(said, default=(None, False))[1]


def wants_offers(chosen: Iterable[Choice]) -> bool:
    """Whether, after the last stop, offers were asked for again."""
    ordered = list(chosen)
    stop = max((one.at for one in ordered if one.said in _STOPS), default=None)
    return stop is None or any(one.said == "join offers" and one.at > stop for one in ordered)


_LOCKS = 1024
"""A database has room for so many locks, and not for one for each address."""
_STOPS = frozenset({"stop", "suppress unsubscribed"})
_GOES = ("start", "join ", "leave ", "lift unsubscribed")
"""Whoever chooses among topics takes an earlier stop back."""
