"""How messages are sent here: whose letterhead, to whom they may go, and how long everything may take.

The times form a chain (DESIGN §3): what one call may take < what Temporal gives an attempt < when another
attempt looks for what became of it. So nobody looks for a message while a call that may send it is under
way.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from firstmile.mail.composing import Letterhead
from firstmile.mail.recipients import Safety
from firstmile.mail.transport import Transport


@dataclass(frozen=True, slots=True)
class Post:
    """How messages are sent here. Raises `ValueError` for times that do not follow one another.

    `limit`: how long one call to the provider is waited for. `start_to_close`: what Temporal gives an
    attempt, in which every call has to find room. `lease`: after it an attempt that did not come back is
    reconciled.
    """

    letterhead: Letterhead
    safety: Safety = field(default_factory=Safety)
    limit: timedelta = timedelta(seconds=12)
    start_to_close: timedelta = timedelta(seconds=15)
    lease: timedelta = timedelta(seconds=30)
    reconcile_for: timedelta = timedelta(minutes=30)
    look_again: timedelta = timedelta(minutes=5)
    """How soon to look again at a hold that nobody gave an end."""
    executor: Executor | None = None
    """Where the transport's calls block; None: the event loop's own threads."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if self.lease <= self.limit:
            raise ValueError("the lease must be longer than a call to the provider may take")
        if not self.limit < self.start_to_close < self.lease:
            raise ValueError(
                f"a call is waited for {_seconds(self.limit)}, an attempt has "
                f"{_seconds(self.start_to_close)}, and its lease is {_seconds(self.lease)}: each must be "
                "longer than the one before"
            )

    def check(self, transport: Transport) -> None:
        """Raises `ValueError` if a call of this transport may outlast an attempt."""
        longest = timedelta(seconds=transport.timeout)
        if longest >= self.start_to_close:
            raise ValueError(
                f"a call to {transport.name} may take {_seconds(longest)}, and an attempt has "
                f"{_seconds(self.start_to_close)}: shorten the transport's time-out"
            )

    def room(self, transport: Transport) -> timedelta:
        """What must be left of a lease just before the bytes go out: they are surely out, or lost, within."""
        return max(self.limit, timedelta(seconds=transport.timeout))


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():g} s"
