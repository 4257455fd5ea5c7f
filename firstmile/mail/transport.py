"""What a way of sending must be able to do, whoever's it is.

A transport blocks: it is called in a thread. `send` returns a receipt only if the provider took the
message; the three errors (`mail.errors`) say whether it certainly did not, and whether trying again can
help, or that nobody knows. `find` asks the provider's own log what became of a send whose outcome is
unknown (DESIGN §3). Which one is used is a setting: `mail.transports` builds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Message


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider took the message. `provider_id` is its name for it, where it gave one."""

    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a send whose outcome is not: it went to `recipient` between `since` and `until`."""

    key: str
    recipient: str = field(repr=False)
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """The provider has the message."""

    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider does not have the message, and would by now if it had taken it."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider's log does not tell (yet): it is slow, away, not to be had, or too full to be read."""

    reason: str


Sighting = Found | Absent | Unknown


class Transport(Protocol):
    """A way of sending messages."""

    @property
    def name(self) -> str:
        """What it is called in the ledger's reasons."""
        ...

    @property
    def reaches_people(self) -> bool:
        """False only if nothing sent here can ever reach a real mailbox."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether the provider recognises our key and takes a message with the same key only once.

        None of those here does (FACTS.md, "SendGrid"; SMTP has no such thing): what is unknown is looked
        for, and never simply sent again.
        """
        ...

    @property
    def timeout(self) -> float:
        """Seconds after which `send` has surely come back."""
        ...

    def send(self, message: Message) -> Receipt:
        """Send. Raises `Rejected`, `TryLater` or `OutcomeUnknown`, and nothing else."""
        ...

    def find(self, trace: Trace) -> Sighting:
        """Look in the provider's log. Raises nothing."""
        ...

    def check(self) -> None:
        """Ask the provider whether we may send, without sending.

        Raises `Rejected` if we may not: the settings have to change. Raises another `TransportError` if it
        cannot be told now.
        """
        ...


__all__ = [
    "Absent",
    "Found",
    "OutcomeUnknown",
    "Receipt",
    "Rejected",
    "Sighting",
    "Trace",
    "Transport",
    "TransportError",
    "TryLater",
    "Unknown",
]
