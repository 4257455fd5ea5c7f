"""What became of a message, and of an effect that has a message for each of several people.

A message is settled, or pending. An effect is settled when all of its messages are: `together` says as what.
Pure: values in, values out. Nothing here names a person: the journal, and so Temporal, gets the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from firstmile.journey.inputs import OutcomeName
from firstmile.store import ledger

RESENT_ABSENT: Final = "sent again: the provider's log does not have it"
RESENT_UNKNOWN: Final = "sent again: transactional, and nobody could tell whether it was delivered"
RESENT_IDEMPOTENT: Final = (
    "sent again: nobody could tell whether it was delivered, and the provider tells duplicates by the key"
)
FOUND: Final = "not sent again: the provider's log has it"
TAKEN_LATE: Final = "the provider took it after its lease was over"
MAY_HAVE_BEEN_DELIVERED: Final = (
    "may have been delivered: the provider did not answer, and nobody could tell in time"
)


@dataclass(frozen=True, slots=True)
class Pending:
    """Not decided yet: ask again after `retry_in`, and nothing will be done twice."""

    reason: str
    retry_in: timedelta


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message. `accepted_at` goes with `done`; `until` with `deferred`: when to try again.
    Both by the clock on the wall."""

    outcome: OutcomeName
    reason: str | None = None
    accepted_at: datetime | None = None
    until: datetime | None = None


def settled(row: ledger.Message) -> Settled | None:
    """What became of a message, by the ledger alone; None while something is to be done or found out."""
    if row.state == "accepted":
        return Settled("done", told(row), _accepted_at(row))
    if row.state == "rejected":
        return Settled("failed", told(row, row.reason))
    if row.given_up_at is not None:
        return Settled("failed", told(row, row.reason or MAY_HAVE_BEEN_DELIVERED))
    if row.state == "prepared" and row.verdict == "skipped":
        return Settled("skipped", told(row, row.reason))
    return None


def told(row: ledger.Message, reason: str | None = None) -> str | None:
    """What the journal says of a message: why it is so, and every decision that was made about it.

    `reason` is why it did not go out, or not again.
    """
    before = list(dict.fromkeys(_carried_out(row, one) for one in row.decisions if one.text != reason))
    if reason is None or not before:
        return reason or "; ".join(before) or None
    if row.decisions[-1].text in (RESENT_UNKNOWN, RESENT_IDEMPOTENT):
        # Nobody knew then, and nobody has found out since.
        before.insert(0, "it may have been delivered")
    return f"{reason} (before that: {'; '.join(before)})"


def _carried_out(row: ledger.Message, decision: ledger.Decision) -> str:
    """A decision in words: to send again is not yet to have sent again."""
    again = decision.text.startswith("sent again") and decision.sends is not None
    return f"it was to be {decision.text}" if again and row.sends <= (decision.sends or 0) else decision.text


def together(parts: Sequence[Settled]) -> Settled:
    """What became of an effect, by its messages: one of them is the common case, and is passed on.

    Deferred while any is: those that were accepted stay so, and the others are tried again. Else done if any
    was accepted, failed if any failed, and skipped if all were.
    """
    if len(parts) == 1:
        return parts[0]
    there = {part.outcome for part in parts}
    outcome = next(name for name in _ORDER if name in there)
    accepted = [part.accepted_at for part in parts if part.accepted_at is not None]
    return Settled(
        outcome,
        _counted(parts),
        max(accepted) if outcome == "done" else None,
        min((part.until for part in parts if part.until is not None), default=None),
    )


_ORDER: Final[tuple[OutcomeName, ...]] = ("deferred", "done", "failed", "skipped")


def _counted(parts: Sequence[Settled]) -> str | None:
    """How many got it, and what became of the others: "2 of 3 recipients: 1 skipped (no address)"."""
    # Counter keeps the order in which they came.
    groups = Counter((part.outcome, part.reason) for part in parts)
    if len(groups) == 1:
        return parts[0].reason
    accepted = sum(part.outcome == "done" for part in parts)
    others = [
        f"{number} {outcome}" + (f" ({reason})" if reason else "")
        for (outcome, reason), number in groups.items()
        if outcome != "done" or reason
    ]
    return f"{accepted} of {len(parts)} recipients: {', '.join(others)}"


def _accepted_at(row: ledger.Message) -> datetime:
    if row.accepted_at is not None:
        return row.accepted_at
    # A row of a version that did not write it: as that version told it.
    return row.updated_at if row.fate is None else min(row.updated_at, row.fate_at or row.updated_at)
