"""The rules of time of JOURNEYS §4 on one customer's calendar.

Everything here reads a `CalendarSlice` and nothing else: not the clock, not zoneinfo, not the holiday library.
The slice is an input that travels with the customer, so new zone or holiday data on a machine cannot make the
same history decide differently. Slices are cut from the world's data by `slices`.

Three kinds of whole numbers: an *instant* (microseconds, UTC), a *wall* (microseconds of the local wall clock
since 1970-01-01T00:00 local) and a *day* (local days since 1970-01-01; day 0 was a Thursday).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from firstmile.journey.durations import DAY, SECOND, Duration
from firstmile.journey.instants import Instant, format_local
from firstmile.journey.model import Window

_SEARCH_DAYS = 3660
"""How far ahead an opening or a working day is looked for before giving up."""


@dataclass(slots=True, frozen=True)
class CalendarSlice:
    """What a journey may know of a customer's zone and country, from `first_day` to `last_day`.

    `offsets` are (from, offset) in seconds, the first holding for all time before; `weekdays` are the working
    days of the week (Monday is 0); `exceptions` are the days on which working or not is the opposite of what
    the weekday says; `holidays` are public holidays. Outside the slice the last offset and the plain week
    hold. `data` names the versions that the slice was cut from.
    """

    timezone: str
    offsets: list[tuple[int, int]]
    country: str | None = None
    subdivision: str | None = None
    weekdays: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    exceptions: list[int] = field(default_factory=list)
    holidays: list[int] = field(default_factory=list)
    first_day: int = 0
    last_day: int = 0
    data: str = ""


class Calendar:
    """One customer's calendar: local time, calendar arithmetic, working days and windows."""

    __slots__ = ("_exceptions", "_holidays", "_offsets", "_starts", "_weekdays", "slice")

    def __init__(self, piece: CalendarSlice) -> None:
        self.slice = piece
        self._starts = [start * SECOND for start, _ in piece.offsets]
        self._offsets = [offset * SECOND for _, offset in piece.offsets]
        self._weekdays = frozenset(piece.weekdays)
        self._exceptions = frozenset(piece.exceptions)
        self._holidays = frozenset(piece.holidays)

    # Local time

    def offset(self, instant: Instant) -> int:
        """Microseconds that the local wall clock is ahead of UTC at an instant."""
        return self._offsets[max(bisect_right(self._starts, instant) - 1, 0)]

    def wall(self, instant: Instant) -> int:
        """The local wall clock at an instant."""
        return instant + self.offset(instant)

    def day(self, instant: Instant) -> int:
        """The local date at an instant."""
        return self.wall(instant) // DAY

    def local(self, instant: Instant) -> str:
        """The instant as local wall clock with its offset, for people."""
        return format_local(instant, self.offset(instant) // SECOND)

    def instants(self, wall: int) -> list[Instant]:
        """Every instant at which the wall clock shows `wall`: none in a gap, two in a fold."""
        near = max(bisect_right(self._starts, wall) - 1, 0)
        found = []
        for index in range(max(near - 1, 0), min(near + 2, len(self._starts))):
            instant = wall - self._offsets[index]
            begins = index == 0 or self._starts[index] <= instant
            ends = index + 1 == len(self._starts) or instant < self._starts[index + 1]
            if begins and ends:
                found.append(instant)
        return found

    def resolve(self, wall: int) -> Instant:
        """The instant of a wall-clock time by RFC 5545: the offset before a gap, the first of a fold."""
        near = max(bisect_right(self._starts, wall) - 1, 0)
        starts, offsets = self._starts, self._offsets
        for index in range(max(near - 1, 0), min(near + 2, len(starts))):
            instant = wall - offsets[index]
            if index and instant < starts[index]:
                # Before this offset began and after the one before had ended: a gap.
                return wall - offsets[index - 1]
            if index + 1 == len(starts) or instant < starts[index + 1]:
                return instant
        return wall - offsets[near]

    def start_of_day(self, day: int) -> Instant:
        """The first instant of a local date."""
        instant = self.resolve(day * DAY)
        if self.wall(instant) != day * DAY:
            # Midnight falls into a gap: the day begins when the gap ends, at the transition itself.
            index = bisect_right(self._starts, instant) - 1
            return self._starts[index]
        return instant

    # Calendar arithmetic (rules 1 to 3)

    def add(self, instant: Instant, duration: Duration, *, back: bool = False) -> Instant:
        """An instant moved by a duration, forwards or `back`: the calendar part first, then the elapsed."""
        sign = -1 if back else 1
        if duration.days or duration.business:
            wall = self.wall(instant) + sign * duration.days * DAY
            if duration.business:
                day, time = divmod(wall, DAY)
                wall = self.working_day(day, sign * duration.business) * DAY + time
            instant = self.resolve(wall)
        return instant + sign * duration.elapsed

    def add_days(self, day: int, duration: Duration, *, back: bool = False) -> int:
        """A local date moved by the calendar part of a duration."""
        sign = -1 if back else 1
        day += sign * duration.days
        return self.working_day(day, sign * duration.business) if duration.business else day

    def working_day(self, day: int, count: int) -> int:
        """The `count`-th working day strictly after (before, if negative) a local date."""
        step = 1 if count > 0 else -1
        left, idle = abs(count), 0
        weekdays, exceptions = self._weekdays, self._exceptions
        while left and idle < _SEARCH_DAYS:
            day += step
            if ((day + 3) % 7 in weekdays) != (day in exceptions):
                left, idle = left - 1, 0
            else:
                idle += 1
        return day

    # Windows (rule 4)

    def is_open_day(self, window: Window, day: int) -> bool:
        """Whether a window opens at all on a local date, by its days and holidays."""
        if (day + 3) % 7 not in window.weekdays:
            return False
        return window.holidays == "allow" or day not in self._holidays

    def is_open(self, window: Window, instant: Instant) -> bool:
        """Whether an instant lies inside a window: a comparison of wall clocks, on its own local date."""
        day, time = divmod(self.wall(instant), DAY)
        return window.opens <= time < window.closes and self.is_open_day(window, day)

    def openings(self, window: Window, day: int) -> Iterator[Instant]:
        """The instants at which a window opens on a local date: one, none, or two where a clock is set back."""
        if not self.is_open_day(window, day):
            return
        wall = day * DAY + window.opens
        for instant in self.instants(wall) or [self.resolve(wall)]:
            if self.is_open(window, instant):
                yield instant

    def opening_on(self, window: Window, day: int) -> Instant | None:
        """The first opening of a window on a local date, or None."""
        return next(self.openings(window, day), None)

    def next_opening(self, window: Window, instant: Instant) -> Instant | None:
        """The first opening at or after an instant; None if there is none within ten years."""
        day = self.day(instant)
        for ahead in range(_SEARCH_DAYS):
            for opening in self.openings(window, day + ahead):
                if opening >= instant:
                    return opening
        return None

    def previous_opening(self, window: Window, instant: Instant, *, since: Instant) -> Instant | None:
        """The last opening at or before an instant that is not before `since`, or None."""
        day, first = self.day(instant), self.day(since)
        while day >= first - 1:
            found = [opening for opening in self.openings(window, day) if since <= opening <= instant]
            if found:
                return found[-1]
            day -= 1
        return None

    def closing(self, window: Window, instant: Instant) -> Instant:
        """When a window closes that is open at an instant: the first instant outside it."""
        wall = self.day(instant) * DAY + window.closes
        end = next((shown for shown in self.instants(wall) if shown > instant), None) or self.resolve(wall)
        # A clock that is set may leave the window earlier: past its end, or back before its beginning.
        index = bisect_right(self._starts, instant)
        while index < len(self._starts) and self._starts[index] < end:
            if not self.is_open(window, self._starts[index]):
                return self._starts[index]
            index += 1
        return end
