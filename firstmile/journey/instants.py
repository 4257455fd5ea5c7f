"""Instants: the engine's time is whole microseconds since 1970-01-01T00:00:00Z.

Integers compare, add and serialise without surprises and cost nothing; text and `datetime` exist only at the
edges, and these functions are the edge. All instants are *journey time* (JOURNEYS §4, rule 8).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

Instant = int
"""Microseconds since the epoch, UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE = timedelta(microseconds=1)
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})")


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime. Raises `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return (moment - EPOCH) // _ONE


def to_datetime(instant: Instant) -> datetime:
    """The aware UTC datetime of an instant."""
    return EPOCH + timedelta(microseconds=instant)


def parse_instant(text: str) -> Instant:
    """Read an RFC 3339 instant (`2026-03-06T03:00:00Z`, with `Z` or an offset). Raises `ValueError`."""
    if not _RFC3339.fullmatch(text.strip()):
        raise ValueError(f"'{text}' is not an instant: write it with its offset, as in 2026-03-06T03:00:00Z")
    try:
        return from_datetime(datetime.fromisoformat(text.strip().upper().replace(",", ".")))
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' is not an instant: no such date, time or offset") from None


def format_instant(instant: Instant) -> str:
    """`2026-03-06T03:00:00Z`, with microseconds only where there are any."""
    return to_datetime(instant).replace(tzinfo=None).isoformat() + "Z"


def format_local(instant: Instant, offset: int) -> str:
    """The same instant as wall clock and offset (`2026-03-06T12:00:00+09:00`); `offset` in seconds."""
    wall = to_datetime(instant + offset * 1_000_000).replace(tzinfo=None).isoformat()
    sign = "-" if offset < 0 else "+"
    hours, rest = divmod(abs(offset), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{wall}{sign}{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
