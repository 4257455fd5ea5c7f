"""What the message ledger holds, as records: messages, decisions about them, and what became of them.

What may be done with them, and when, is `ledger`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from firstmile.store.database import AnyRow
from firstmile.store.suppressions import MessageClass

State = Literal["prepared", "sending", "accepted", "rejected", "unknown"]
Fate = Literal["processed", "deferred", "delivered", "dropped", "bounced", "complained"]

FATES: Final[tuple[frozenset[str], ...]] = (
    frozenset({"processed"}),
    frozenset({"deferred"}),
    frozenset({"delivered"}),
    frozenset({"dropped", "bounced"}),
    frozenset({"complained"}),
)
"""Fates by rank: providers' events arrive in any order, and only a later one overwrites. Of one rank the
later in time stands."""


@dataclass(slots=True, frozen=True)
class NewMessage:
    """What is known of a message before anything is done. `recipient` is None without an address.

    `effect` is the key of the effect it belongs to (its own, unless given), `place` its number among those of
    the same effect, 0 for the first. `topic` is what an address may opt out of; None with transactional ones.
    """

    key: str
    subject: str
    enrolment: int
    segment: str
    step: str
    purpose: str
    template: str
    message_class: MessageClass
    recipient: str | None
    effect: str | None = None
    place: int = 0
    topic: str | None = None


@dataclass(slots=True, frozen=True)
class Decision:
    """A recorded decision, by this program or by a person. `sends` is how often the message had turned to
    `sending` by then; None where an earlier version wrote it."""

    at: datetime
    text: str
    actor: str | None = None
    sends: int | None = field(default=None, compare=False)


@dataclass(slots=True, frozen=True)
class Message:
    """One row of the ledger.

    `lease_until` goes with `sending`: how long it is the attempt's; and with `prepared`: before that, the
    provider is not to be asked again. `verdict` is the gate's last; `sends` counts how often it turned to
    `sending`; `given_up_at` is set where
    "may have been delivered" was the last word. `accepted_at` is when it was known to be accepted, for the
    first time; None also in rows of versions that did not write it.
    """

    key: str
    subject: str
    enrolment: int
    segment: str
    step: str
    purpose: str
    template: str
    message_class: MessageClass
    recipient: str | None
    state: State
    fate: Fate | None
    fate_at: datetime | None
    verdict: Literal["open", "skipped", "deferred"] | None
    token: str | None
    lease_until: datetime | None
    provider_id: str | None
    reason: str | None
    decisions: tuple[Decision, ...]
    sends: int
    given_up_at: datetime | None
    created_at: datetime
    updated_at: datetime
    effect: str | None = None
    place: int | None = None
    topic: str | None = None
    accepted_at: datetime | None = None

    @property
    def fate_told(self) -> NewFate | None:
        """Its fate as it was told; None while nothing is known of it."""
        if self.fate is None or self.fate_at is None:
            return None
        return NewFate(self.key, self.fate, self.fate_at, self.reason)

    @property
    def begun(self) -> bool:
        """Whether anything was done or decided about it: only until then may it be for somebody else."""
        return self.state != "prepared" or self.sends > 0 or self.verdict == "skipped"

    def not_before(self, now: datetime) -> timedelta | None:
        """How long the provider is still to be left alone: it said so when it did not take the message."""
        waits = self.state == "prepared" and self.lease_until is not None and self.lease_until > now
        return self.lease_until - now if waits and self.lease_until is not None else None

    def lease_over(self, now: datetime) -> bool:
        """Whether the attempt that holds it should have ended."""
        return self.lease_until is None or self.lease_until <= now


@dataclass(slots=True, frozen=True)
class NewFate:
    """What a provider says became of a message, and when (the provider's time)."""

    key: str
    fate: Fate
    at: datetime
    reason: str | None = None
    provider_id: str | None = None

    @property
    def order(self) -> tuple[int, datetime, str, str]:
        """The greatest of a message's fates is the one that stands: by rank, then by time."""
        return _rank(self.fate), self.at, self.fate, self.reason or ""


@dataclass(slots=True, frozen=True)
class Began:
    """The answer to an attempt.

    `sending`: the message is this attempt's until the lease is over; `body` is what to send. `skipped` and
    `deferred`: the gate's verdict, stored. `taken`: another attempt was here, it was skipped before, or the
    provider is not to be asked again yet; `message` says how far it came.
    """

    outcome: Literal["sending", "skipped", "deferred", "taken"]
    message: Message
    body: dict[str, Any] | None = None
    reason: str | None = None
    until: datetime | None = None


def message_of(row: AnyRow) -> Message:
    """A row of the table `messages`."""
    decisions = tuple(
        Decision(datetime.fromisoformat(one["at"]), one["text"], one["actor"], one.get("sends"))
        for one in row.decisions
    )
    return Message(**{**row._mapping, "decisions": decisions})


def _rank(fate: str) -> int:
    return next(rank for rank, fates in enumerate(FATES) if fate in fates)
