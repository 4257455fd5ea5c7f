"""API keys: what is kept of them is a digest, so that nobody who reads the store can call with one.

A key is written `fm_<id>_<secret>`. The secret has 256 bits of chance, so one round of SHA-256 is enough.
After a rotation the former secret opens until `former_until`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import ColumnElement, and_, exists, or_, select, update

from firstmile.callers import SCOPES, Scope
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import api_keys

NOTED_EVERY: Final = timedelta(minutes=1)
"""How exact `last_used_at` is: a key in use is not a write for each call."""

_TOKEN = re.compile(r"fm_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(slots=True, frozen=True)
class Key:
    """One key, without its secret."""

    id: str
    name: str
    scopes: frozenset[Scope]
    secret_hash: str
    former_hash: str | None
    former_until: datetime | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Whether it opens, or why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def opens(self, secret: str, now: datetime) -> bool:
        """Whether this is its secret, or the former one in time; compared in constant time."""
        given = digest(secret)
        mine = hmac.compare_digest(given, self.secret_hash)
        former = hmac.compare_digest(given, self.former_hash or "")
        return mine or (former and self.former_until is not None and now < self.former_until)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_of(id: str, secret: str) -> str:
    """A key as it is handed out."""
    return f"fm_{id}_{secret}"


def parts_of(token: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is none."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else (found[1], found[2])


async def create(
    tx: Writing,
    name: str,
    scopes: Iterable[Scope],
    *,
    by: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """Make a key. Returns it with its token, which nothing can show again."""
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = await tx.first(
        tx.insert(api_keys)
        .values(
            id=id,
            name=name,
            scopes=sorted(scopes),
            secret_hash=digest(secret),
            created_at=now,
            created_by=by,
            expires_at=expires_at,
        )
        .returning(api_keys)
    )
    assert row is not None
    return _key(row), token_of(id, secret)


async def rotate(tx: Writing, id: str, *, now: datetime, grace: timedelta) -> str | None:
    """Give an active key another secret; the former one opens for `grace`. Returns the new token, or None."""
    secret = secrets.token_urlsafe(32)
    statement = (
        update(api_keys)
        .where(_active(id, now))
        .values(former_hash=api_keys.c.secret_hash, former_until=now + grace, secret_hash=digest(secret))
    )
    return token_of(id, secret) if (await tx.execute(statement)).rowcount == 1 else None


async def revoke(tx: Writing, id: str, *, now: datetime) -> bool:
    """Let a key open nothing any more. False if it is unknown, or was revoked before."""
    here = and_(api_keys.c.id == id, api_keys.c.revoked_at.is_(None))
    return (await tx.execute(update(api_keys).where(here).values(revoked_at=now))).rowcount == 1


async def get(db: Reading, id: str) -> Key | None:
    """The key with this id, or None."""
    row = await db.first(select(api_keys).where(api_keys.c.id == id))
    return None if row is None else _key(row)


async def all_keys(db: Reading) -> list[Key]:
    """Every key, the oldest first."""
    return [
        _key(row) for row in await db.all(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))
    ]


async def any_active(db: Reading, now: datetime) -> bool:
    """Whether there is a key that opens."""
    row = await db.first(select(exists().where(_active(None, now))))
    assert row is not None
    return bool(row[0])


async def note_use(tx: Writing, id: str, now: datetime) -> None:
    """Write down that a key was used."""
    await tx.execute(update(api_keys).where(api_keys.c.id == id).values(last_used_at=now))


def _active(id: str | None, now: datetime) -> ColumnElement[bool]:
    conditions = [
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
    ]
    return and_(*conditions, *([] if id is None else [api_keys.c.id == id]))


def _key(row: AnyRow) -> Key:
    # A scope that a newer program knows is none here.
    scopes = frozenset(scope for scope in SCOPES if scope in row.scopes)
    return Key(**{**row._mapping, "scopes": scopes})
