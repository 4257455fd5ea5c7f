"""API keys: made, rotated and revoked by admins; looked at by the door of the HTTP service.

A key that was read is believed for `BELIEVED`: a call costs no statement, and a revoked key opens no longer
than that. Failures are counted per address and key, and too many close the door to both for a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from firstmile.callers import ROLES, SCOPES, Caller, Scope
from firstmile.errors import CommandMalformed, CommandRejected, Flaw, KeyRefused, TooManyAttempts
from firstmile.journey.instants import format_instant, from_datetime
from firstmile.journey.problems import unknown
from firstmile.service.premises import Premises
from firstmile.store import audit, keys
from firstmile.store.audit import Deed
from firstmile.store.database import Writing
from firstmile.store.keys import Key

BELIEVED: Final = timedelta(seconds=5)
GRACE: Final = timedelta(hours=24)
"""How long the former secret of a rotated key still opens, unless told otherwise."""
LONGEST: Final = timedelta(days=10 * 366)
FAILURES: Final = 10
"""How many wrong keys an address may show within `FORGOTTEN` before it is not looked at any more."""
FORGOTTEN: Final = timedelta(minutes=1)


class Keys:
    """The part of the service that knows keys."""

    def __init__(self, premises: Premises, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._premises = premises
        self._monotonic = monotonic
        self._read: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()
        self._there: tuple[float, bool] | None = None
        self._attempts = Attempts(monotonic)

    # By admins

    async def create(
        self,
        name: str,
        *,
        by: Caller,
        role: str | None = None,
        scopes: Iterable[str] = (),
        expires_in: timedelta | None = None,
    ) -> tuple[Key, str]:
        """Make a key with the scopes of a role, with certain scopes, or both. Returns it and its token.

        Nothing can show the token again. Raises `CommandMalformed`.
        """
        wanted = _scopes(role, scopes)
        flaws = [] if name.strip() else [Flaw("name", "it is missing: who or what will use the key")]
        if expires_in is not None and not timedelta() < expires_in <= LONGEST:
            flaws.append(Flaw("expires_in", "a length of time of at most 10 years was expected"))
        if flaws:
            raise CommandMalformed(flaws)
        now = self._premises.now()
        ends = None if expires_in is None else now + expires_in
        async with self._premises.writing() as tx:
            key, token = await keys.create(tx, name.strip(), wanted, by=by.actor, now=now, expires_at=ends)
            await self._note(tx, by, "key.create", key, now)
        self._forget()
        return key, token

    async def rotate(self, id: str, *, by: Caller, grace: timedelta = GRACE) -> str:
        """Give a key another secret, and return the new token. Raises `CommandRejected`."""
        now = self._premises.now()
        async with self._premises.writing() as tx:
            token = await keys.rotate(tx, id, now=now, grace=grace)
            if token is None:
                raise CommandRejected(f"there is no active key '{id}'")
            await self._note(tx, by, "key.rotate", await keys.get(tx, id), now)
        self._forget()
        return token

    async def revoke(self, id: str, *, by: Caller, reason: str | None = None) -> None:
        """Let a key open nothing any more. Raises `CommandRejected`."""
        now = self._premises.now()
        async with self._premises.writing() as tx:
            if not await keys.revoke(tx, id, now=now):
                raise CommandRejected(f"there is no key '{id}' that could be revoked")
            await self._note(tx, by, "key.revoke", await keys.get(tx, id), now, reason)
        self._forget()

    async def all(self) -> list[Key]:
        """Every key, without its secret."""
        async with self._premises.reading() as db:
            return await keys.all_keys(db)

    # At the door

    async def exist(self) -> bool:
        """Whether there is a key that opens: from then on nobody gets in without one."""
        if self._there is None or self._is_old(self._there[0]):
            async with self._premises.reading() as db:
                self._there = self._monotonic(), await keys.any_active(db, self._premises.now())
        return self._there[1]

    async def caller(self, token: str, address: str) -> Caller:
        """Who calls with a token. Raises `KeyRefused`, or `TooManyAttempts` after too many wrong ones."""
        id, secret = keys.parts_of(token) or ("", "")
        self._attempts.require(address, id)
        key = await self._key(id) if id else None
        now = self._premises.now()
        if key is None or not key.opens(secret, now):
            self._attempts.failed(address, id)
            raise KeyRefused("the key is not one of ours: send it as it was given out")
        if (state := key.state(now)) != "active":
            raise KeyRefused(f"the key '{key.id}' is {state}: ask an admin for another")
        await self._used(key, now)
        return Caller(key.name, key.id, key.scopes)

    async def _key(self, id: str) -> Key | None:
        known = self._read.get(id)
        if known is None or self._is_old(known[0]):
            async with self._premises.reading() as db:
                known = self._monotonic(), await keys.get(db, id)
            self._read[id] = known
            self._read.move_to_end(id)
            while len(self._read) > 1_000:
                self._read.popitem(last=False)
        return known[1]

    async def _used(self, key: Key, now: datetime) -> None:
        if key.last_used_at is not None and now - key.last_used_at < keys.NOTED_EVERY:
            return
        async with self._premises.writing() as tx:
            await keys.note_use(tx, key.id, now)
            self._read[key.id] = self._monotonic(), await keys.get(tx, key.id)

    def _is_old(self, read: float) -> bool:
        return self._monotonic() - read > BELIEVED.total_seconds()

    def _forget(self) -> None:
        self._read.clear()
        self._there = None

    async def _note(
        self, tx: Writing, by: Caller, action: str, key: Key | None, now: datetime, reason: str | None = None
    ) -> None:
        assert key is not None
        await audit.record(
            tx,
            Deed(
                now, by.actor, action, "done", by.request,
                key=by.key, target=key.id, reason=reason, after={"scopes": sorted(key.scopes)},
            ),
        )  # fmt: skip


def key_as_json(key: Key, now: datetime) -> dict[str, Any]:
    """A key as plain values, without anything that opens."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": key.state(now),
        "created_at": _text(key.created_at),
        "created_by": key.created_by,
        "expires_at": _text(key.expires_at),
        "last_used_at": _text(key.last_used_at),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(from_datetime(moment))


def _scopes(role: str | None, scopes: Iterable[str]) -> frozenset[Scope]:
    flaws = []
    if role is not None and role not in ROLES:
        flaws.append(Flaw("role", unknown("role", role, ROLES)))
    wanted = set(ROLES.get(role or "", ()))
    for scope in scopes:
        found = next((one for one in SCOPES if one == scope), None)
        if found is None:
            flaws.append(Flaw("scopes", unknown("scope", scope, sorted(SCOPES))))
        else:
            wanted.add(found)
    if not wanted and not flaws:
        flaws.append(Flaw("scopes", f"a key needs a role ({', '.join(ROLES)}) or scopes"))
    if flaws:
        raise CommandMalformed(flaws)
    return frozenset(wanted)


@dataclass(slots=True)
class Attempts:
    """Wrong keys, by the address that showed them and the key they were meant for: the newest of them."""

    monotonic: Callable[[], float]
    most: int = 10_000
    seen: OrderedDict[tuple[str, str], list[float]] = field(default_factory=OrderedDict)

    def require(self, address: str, id: str) -> None:
        """Raise `TooManyAttempts` if this address has shown too many wrong keys of late."""
        times = self._recent(address, id)
        if len(times) >= FAILURES:
            wait = FORGOTTEN.total_seconds() - (self.monotonic() - times[0])
            raise TooManyAttempts("too many wrong keys came from there", max(int(wait) + 1, 1))

    def failed(self, address: str, id: str) -> None:
        """Remember a wrong key."""
        times = [*self._recent(address, id), self.monotonic()]
        self.seen[address, id] = times[-FAILURES:]
        self.seen.move_to_end((address, id))
        while len(self.seen) > self.most:
            self.seen.popitem(last=False)

    def _recent(self, address: str, id: str) -> list[float]:
        oldest = self.monotonic() - FORGOTTEN.total_seconds()
        return [at for at in self.seen.get((address, id), ()) if at > oldest]
