"""Operators' part of who may be written to: see why an address is not, suppress one, lift what no longer holds.

What operators do here is kept with when, by whom and why, beside what the recipients chose themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from firstmile.errors import CommandMalformed, Flaw
from firstmile.journey.problems import unknown
from firstmile.mail.recipients import address_of
from firstmile.service.premises import Premises
from firstmile.store import choices, opt_outs, suppressions
from firstmile.store.choices import Choice
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import STOPS, Reason, Suppression, Topic

OPERATORS: Final[tuple[Reason, ...]] = ("bounced", "invalid", "manual")
"""What an operator may judge: whether an address can be reached, and their own word. A complaint and an
unsubscription are the recipient's, and lifted only by name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of one address: why it is not written to, the topics it left, and how that came."""

    suppressions: Sequence[Suppression]
    left: Mapping[Topic, datetime]
    history: Sequence[Choice]


class Suppressing:
    """The part of the service that operators talk to about addresses."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def of(self, address: str) -> Wanted:
        """What is known of an address. Raises `CommandMalformed` for what is none."""
        key = _key(address)
        async with self._premises.reading() as db:
            return Wanted(
                await suppressions.of_key(db, key), await opt_outs.of(db, key), await choices.of(db, key)
            )

    async def latest(self, limit: int = 100) -> list[Suppression]:
        """The newest suppressions, newest first."""
        async with self._premises.reading() as db:
            return await suppressions.latest(db, limit)

    async def suppress(self, address: str, *, reason: str, actor: str) -> bool:
        """Send an address nothing but what the account makes necessary. False if an operator had before."""
        key, now = _key(address, reason), self._premises.now()
        async with self._premises.writing() as tx:
            await choices.alone(tx, [key])
            if not await suppressions.add(tx, address, "manual", now, note=reason):
                return False
            await choices.record(tx, key, Choice("suppress manual", actor, now, note=reason))
            return True

    async def lift(
        self, address: str, *, reason: str, actor: str, of: Collection[str] = OPERATORS
    ) -> list[Reason]:
        """Take reasons away, where they hold. Returns those that did. Messages that were skipped stay so."""
        key, now = _key(address, reason), self._premises.now()
        flaws = [Flaw("of", unknown("reason", one, list(STOPS))) for one in of if one not in STOPS]
        if flaws:
            raise CommandMalformed(flaws)
        lifted: list[Reason] = []
        async with self._premises.writing() as tx:
            await choices.alone(tx, [key])
            for one in cast(Collection[Reason], of):
                if await suppressions.lift_key(tx, key, one):
                    await choices.record(tx, key, Choice(f"lift {one}", actor, now, note=reason))
                    lifted.append(one)
        return lifted


def _key(address: str, reason: str = "given") -> str:
    """The address key. Raises `CommandMalformed` for what is no address, and for a reason left empty."""
    flaws = []
    if address_of(address.strip()) is None:
        flaws.append(Flaw("address", "this is no e-mail address, as in name@example.com"))
    if not reason.strip():
        flaws.append(Flaw("reason", "it is missing: others will want to know why"))
    if flaws:
        raise CommandMalformed(flaws)
    return address_key(address)
