"""Column types: what Python and the two databases would otherwise see differently.

Every moment is aware and stored in UTC to the microsecond; text that people wrote is made storable.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator

from firstmile.journey.instants import Instant, from_datetime, to_datetime


class Moment(TypeDecorator[datetime]):
    """An aware datetime of the clock on the wall. A naive one is refused with `ValueError`."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: the store takes aware datetimes only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JourneyTime(TypeDecorator[Instant]):
    """An `Instant` of the engine, stored as a moment, so that people can read it in SQL too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Instant | None, dialect: Dialect) -> datetime | None:
        return None if value is None else to_datetime(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> Instant | None:
        if value is None:
            return None
        return from_datetime(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


class FreeText(TypeDecorator[str]):
    """What people wrote. NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD everywhere."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
