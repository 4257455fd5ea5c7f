"""Words for times, lengths of time and lists, in English whatever the machine's locale."""

from __future__ import annotations

from collections.abc import Iterable

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import SECOND
from firstmile.journey.instants import Instant, to_datetime

_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_UNITS = ((86_400, "day", 3600, "hour"), (3600, "hour", 60, "minute"), (60, "minute", 1, "second"))


def long_date(calendar: Calendar, at: Instant) -> str:
    """`Friday 6 March 2026`, by the local date."""
    local = to_datetime(calendar.wall(at))
    return f"{_WEEKDAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}"


def short_date(calendar: Calendar, at: Instant, since: Instant) -> str:
    """`Fri 6 Mar`, with the year where it is not that of `since`."""
    local = to_datetime(calendar.wall(at))
    text = f"{_WEEKDAYS[local.weekday()][:3]} {local.day} {_MONTHS[local.month - 1][:3]}"
    return text if local.year == to_datetime(calendar.wall(since)).year else f"{text} {local.year}"


def time(calendar: Calendar, at: Instant) -> str:
    """`12:00`, by the local clock."""
    return to_datetime(calendar.wall(at)).strftime("%H:%M")


def short(calendar: Calendar, at: Instant, since: Instant) -> str:
    """`Fri 6 Mar 12:00`."""
    return f"{short_date(calendar, at, since)} {time(calendar, at)}"


def length(elapsed: int) -> str:
    """Elapsed microseconds in their two largest units: `5 days 2 hours`."""
    seconds = elapsed // SECOND
    for unit, name, smaller, small in _UNITS:
        if seconds >= unit:
            many, rest = divmod(seconds, unit)
            few = rest // smaller
            return counted(many, name) + (f" {counted(few, small)}" if few else "")
    return counted(seconds, "second") if seconds else "no time"


def counted(number: int, unit: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    words = list(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


__all__ = ["counted", "length", "listed", "long_date", "short", "short_date", "time"]
