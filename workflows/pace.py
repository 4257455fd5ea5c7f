"""Keeping a rate: when the next stretch of a list is due, and how far apart those in it are.

A rate is a limit and a promise. What is late by less than `BURST_SECONDS` is caught up at once, so that the
time between stretches costs nothing; what is late by more (a worker was killed, the store was away) is caught
up at `CATCHING_UP` times the rate, never in a burst. Pure: the time is passed in, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

CATCHING_UP = 1.04
"""How much quicker than its rate a job is that has fallen behind."""

STRETCH_SECONDS = 5.0
"""About how long a stretch takes: short enough to be done again, long enough that waiting for the slowest of
it costs little."""

BURST_SECONDS = 2.0
"""Of how many seconds the customers are told at once, if they are late, and one at least."""

LARGEST = 50
"""Customers of a stretch at most."""


@dataclass(slots=True, frozen=True)
class Turn:
    """One stretch: how many customers, how many seconds apart, and how many seconds late the first is."""

    size: int
    spacing: float
    late: float


@dataclass(slots=True)
class Pace:
    """The pace of one job. `due` is when the next stretch is; `lost` the seconds that are to be caught up."""

    rate: float
    due: float
    lost: float = 0.0

    def turn(self, left: int, now: float) -> Turn:
        """The next stretch, of a list with so many left; it begins now."""
        size = min(left, LARGEST, max(1, round(self.rate * STRETCH_SECONDS)))
        spacing = 1 / self.rate
        late = max(now - self.due, 0.0)
        burst = max(spacing, BURST_SECONDS)
        if late > burst:
            self.lost += late - burst
            late = burst
            self.due = now - late
        if self.lost > 0:
            quicker = spacing / CATCHING_UP
            self.lost = max(self.lost - size * (spacing - quicker), 0.0)
            spacing = quicker
        self.due += size * spacing
        return Turn(size, spacing, late)
