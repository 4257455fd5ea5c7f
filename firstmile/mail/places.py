"""Whom the messages of an effect are for: the people of the profile against the rows of the ledger.

Until one of its messages is begun, an effect is for whom the profile says. From then on it has the messages it
has: nobody is added, who might get the same twice under another address, and nobody lost. What was not begun
of them follows the profile: it goes to the address that its person has by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firstmile.contracts import recipient_key
from firstmile.mail.recipients import Addressee
from firstmile.store.ledger import Message
from firstmile.store.profiles import address_key


@dataclass(frozen=True, slots=True)
class Place:
    """One message of an effect: its key, its number, and whom it is for."""

    key: str
    number: int
    addressee: Addressee


def places_of(effect: str, rows: Sequence[Message], addressees: Sequence[Addressee]) -> tuple[Place, ...]:
    """The messages of the effect under a key. The first has the effect's own key.

    Somebody who has left the profile since is for nobody any more: the gate finds no address.
    """
    if not any(row.begun for row in rows):
        return tuple(
            Place(recipient_key(effect, address_key(one.email or "")) if number else effect, number, one)
            for number, one in enumerate(addressees)
        )
    whose = _whose(rows, addressees)
    return tuple(Place(row.key, row.place or 0, whose.get(row.key, Addressee())) for row in rows)


def _whose(rows: Sequence[Message], addressees: Sequence[Addressee]) -> dict[str, Addressee]:
    """Who is meant by which message: whoever has its address, then those left over in their order."""
    left = {address_key(one.email or ""): one for one in addressees}
    whose: dict[str, Addressee] = {}
    for row in rows:
        if (one := left.pop(address_key(row.recipient or ""), None)) is not None:
            whose[row.key] = one
    others = [row for row in rows if row.key not in whose]
    return whose | {row.key: one for row, one in zip(others, left.values(), strict=False)}
