"""Cutting calendar slices out of the world's zone and holiday data.

The only module that reads zone and holiday data. Zones come from the `tzdata` package alone, whatever the
machine has, so that two machines with the same lock file cut the same slice. Used when a customer enrols (and
by the simulator), never by the engine.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from importlib.metadata import version
from zoneinfo import ZoneInfo

from firstmile.journey.calendar import CalendarSlice
from firstmile.journey.durations import DAY
from firstmile.journey.instants import EPOCH, Instant, from_datetime, to_datetime
from firstmile.journey.problems import unknown

_FIRST_DAY = date(1970, 1, 1)
_AHEAD = timedelta(days=366)
"""How much further than the end of the journey a slice reaches (DESIGN §2.2)."""


class PlaceError(ValueError):
    """A zone, country or subdivision that is not known; `field` says which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every time zone there is, by the tz database."""
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(names) | {"UTC"}


@lru_cache(maxsize=1)
def countries() -> dict[str, frozenset[str]]:
    """Country codes (ISO 3166-1 alpha-2) with the subdivision codes that have holidays of their own."""
    import holidays  # only where a country is given: a customer without one starts at once

    return {
        code: frozenset(subdivisions)
        for code, subdivisions in holidays.list_supported_countries(include_aliases=True).items()
    }


def check_place(timezone: str | None, country: str | None, subdivision: str | None) -> None:
    """Refuse an unknown zone, country or subdivision with a `PlaceError` that says what to write."""
    if timezone is not None and timezone not in zone_names():
        raise PlaceError(
            "timezone", unknown("time zone", timezone, zone_names(), "write for instance Europe/Berlin")
        )
    if country is not None and country not in countries():
        raise PlaceError(
            "country", unknown("country", country, countries(), "write for instance DE (ISO 3166-1 alpha-2)")
        )
    if subdivision is None:
        return
    if country is None:
        raise PlaceError("subdivision", f"subdivision '{subdivision}' needs a country")
    if subdivision not in countries()[country]:
        known = sorted(countries()[country])
        hint = f"known are {', '.join(known)}" if known else f"{country} has none"
        raise PlaceError("subdivision", f"unknown subdivision '{subdivision}' of {country}: {hint}")


def cut(
    timezone: str, start: Instant, end: Instant, country: str | None = None, subdivision: str | None = None
) -> CalendarSlice:
    """The slice for a customer enrolled at `start` whose journey lasts to `end`, and a year more.

    It begins a year before enrolment, for moments counted from a date in the past. Raises `PlaceError`.
    """
    check_place(timezone, country, subdivision)
    first = max(to_datetime(start) - _AHEAD, datetime(1971, 1, 1, tzinfo=UTC)).year
    last = min((to_datetime(end) + _AHEAD).year, 2200)
    weekdays, exceptions, public = _working(country, subdivision, first, last)
    return CalendarSlice(
        timezone=timezone,
        country=country,
        subdivision=subdivision,
        offsets=list(_offsets(timezone, first, last)),
        weekdays=list(weekdays),
        exceptions=list(exceptions),
        holidays=list(public),
        first_day=(date(first, 1, 1) - _FIRST_DAY).days,
        last_day=(date(last, 12, 31) - _FIRST_DAY).days,
        data=_data(),
    )


def plain_slice(timezone: str = "UTC") -> CalendarSlice:
    """A slice without holidays over a long time; for tests and for journeys without a customer."""
    return cut(timezone, from_datetime(EPOCH + timedelta(days=20_000)), 25_000 * DAY)


@lru_cache(maxsize=1)
def _data() -> str:
    """Where a slice comes from. Asked for once: it is read from files."""
    return f"tzdata {version('tzdata')}, holidays {version('holidays')}"


@lru_cache(maxsize=1024)
def _offsets(timezone: str, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The transitions of a zone from the start of one year to the end of another, to the second."""
    with resources.files("tzdata").joinpath("zoneinfo", *timezone.split("/")).open("rb") as file:
        zone = ZoneInfo.from_file(file, key=timezone)

    def offset(second: int) -> int:
        delta = (EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
        return int(delta.total_seconds()) if delta is not None else 0

    begin = int(datetime(first, 1, 1, tzinfo=UTC).timestamp()) - 86_400
    end = int(datetime(last + 1, 1, 1, tzinfo=UTC).timestamp()) + 86_400
    found = [(begin, offset(begin))]
    step = 43_200
    for high in range(begin + step, end, step):
        if offset(high) == found[-1][1]:
            continue
        low, after = high - step, high
        while after - low > 1:
            middle = (low + after) // 2
            low, after = (middle, after) if offset(middle) == found[-1][1] else (low, middle)
        found.append((after, offset(after)))
    return tuple(found)


@lru_cache(maxsize=1024)
def _working(
    country: str | None, subdivision: str | None, first: int, last: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Working weekdays, exceptions to them, and public holidays of a country over some years."""
    if country is None:
        return (0, 1, 2, 3, 4), (), ()
    import holidays

    known = holidays.country_holidays(country, subdiv=subdivision, years=range(first, last + 1))
    start, end = date(first, 1, 1), date(last, 12, 31)
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    working = {day: known.is_working_day(day) for day in days}
    # A weekday belongs to the week if most of its days are worked: what differs is an exception.
    counts = [0] * 7
    for day in days:
        counts[day.weekday()] += 1 if working[day] else -1
    week = tuple(weekday for weekday in range(7) if counts[weekday] > 0)
    exceptions = tuple((day - _FIRST_DAY).days for day in days if working[day] != (day.weekday() in week))
    public = tuple(sorted((day - _FIRST_DAY).days for day in known if start <= day <= end))
    return week, exceptions, public
