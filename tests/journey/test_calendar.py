"""The rules of time on one customer's calendar (JOURNEYS §4), zones with odd rules before all."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY, HOUR, MINUTE, parse_duration
from firstmile.journey.instants import from_datetime, parse_instant, to_datetime
from firstmile.journey.model import Window
from tests.journey.building import calendar, instant, local, window

EPOCH = date(1970, 1, 1)


def day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


# ---- rules 1 and 2: calendar days, elapsed hours, gaps and folds ------------------------------------------


@pytest.mark.parametrize(
    ("zone", "start", "length", "expected"),
    [
        # Days keep the wall clock across a change of the clocks; hours do not.
        ("Europe/Berlin", "2026-03-28 10:00", "1 day", "2026-03-29T10:00:00+02:00"),
        ("Europe/Berlin", "2026-03-28 10:00", "24 hours", "2026-03-29T11:00:00+02:00"),
        ("Europe/Berlin", "2026-10-24 10:00", "1 day", "2026-10-25T10:00:00+01:00"),
        ("Europe/Berlin", "2026-10-24 10:00", "24 hours", "2026-10-25T09:00:00+01:00"),
        ("Europe/Berlin", "2026-03-06 10:00", "2 weeks", "2026-03-20T10:00:00+01:00"),
        # The calendar part of a compound comes first.
        ("Europe/Berlin", "2026-03-27 10:00", "2 days 4 hours", "2026-03-29T14:00:00+02:00"),
        ("Europe/Berlin", "2026-03-28 23:00", "1 day 4 hours", "2026-03-30T03:00:00+02:00"),
        # A wall clock that does not exist: the offset before the gap.
        ("America/New_York", "2026-03-07 02:30", "1 day", "2026-03-08T03:30:00-04:00"),
        ("Australia/Lord_Howe", "2026-10-03 02:10", "1 day", "2026-10-04T02:40:00+11:00"),
        ("America/Sao_Paulo", "2018-11-03 00:30", "1 day", "2018-11-04T01:30:00-02:00"),
        ("Asia/Beirut", "2026-03-28 00:15", "1 day", "2026-03-29T01:15:00+03:00"),
        ("America/St_Johns", "2026-03-07 02:15", "1 day", "2026-03-08T03:15:00-02:30"),
        ("Pacific/Chatham", "2026-09-26 03:00", "1 day", "2026-09-27T04:00:00+13:45"),
        # One that exists twice: the first of the two.
        ("America/New_York", "2026-10-31 01:30", "1 day", "2026-11-01T01:30:00-04:00"),
        ("Europe/London", "2026-10-24 01:30", "1 day", "2026-10-25T01:30:00+01:00"),
        ("Australia/Lord_Howe", "2026-04-04 01:45", "1 day", "2026-04-05T01:45:00+11:00"),
        ("Pacific/Chatham", "2026-04-04 03:00", "1 day", "2026-04-05T03:00:00+13:45"),
        # A date that was left out: the offset before it.
        ("Pacific/Apia", "2011-12-29 10:00", "1 day", "2011-12-31T10:00:00+14:00"),
        ("Pacific/Apia", "2011-12-29 10:00", "2 days", "2011-12-31T10:00:00+14:00"),
        ("Pacific/Apia", "2011-12-29 10:00", "24 hours", "2011-12-31T10:00:00+14:00"),
        # Clocks set back for Ramadan, and an offset of three quarters of an hour.
        ("Africa/Casablanca", "2026-02-14 10:00", "2 days", "2026-02-16T10:00:00+00:00"),
        ("Africa/Casablanca", "2026-02-14 10:00", "48 hours", "2026-02-16T09:00:00+00:00"),
        ("Asia/Kathmandu", "2026-02-14 10:00", "2 days", "2026-02-16T10:00:00+05:45"),
    ],
)
def test_days_are_calendar_days_and_hours_are_elapsed(
    zone: str, start: str, length: str, expected: str
) -> None:
    on = calendar(zone, start[:10])

    assert on.local(on.add(instant(start, on), parse_duration(length))) == expected


@pytest.mark.parametrize(
    ("zone", "start", "length", "expected"),
    [
        ("America/New_York", "2026-03-09 02:30", "1 day", "2026-03-08T03:30:00-04:00"),
        ("America/New_York", "2026-11-02 01:30", "1 day", "2026-11-01T01:30:00-04:00"),
        ("Europe/Berlin", "2026-03-30 10:00", "1 day 2 hours", "2026-03-29T08:00:00+02:00"),
        ("Europe/Berlin", "2026-03-30 02:00", "1 day 4 hours", "2026-03-28T22:00:00+01:00"),
    ],
)
def test_backwards_the_same_rules_hold(zone: str, start: str, length: str, expected: str) -> None:
    on = calendar(zone, start[:10])

    assert on.local(on.add(instant(start, on), parse_duration(length), back=True)) == expected


@pytest.mark.parametrize(
    ("zone", "wall", "expected"),
    [
        ("America/New_York", "2026-03-08 02:30", []),
        ("America/New_York", "2026-03-08 03:00", ["-04:00"]),
        ("America/New_York", "2026-11-01 01:30", ["-04:00", "-05:00"]),
        ("America/New_York", "2026-11-01 01:00", ["-04:00", "-05:00"]),
        ("America/New_York", "2026-11-01 02:00", ["-05:00"]),
        ("Australia/Lord_Howe", "2026-04-05 01:29", ["+11:00"]),
        ("Australia/Lord_Howe", "2026-04-05 01:30", ["+11:00", "+10:30"]),
        ("Pacific/Apia", "2011-12-30 12:00", []),
        ("Europe/London", "2026-10-25 01:30", ["+01:00", "+00:00"]),
        ("Asia/Beirut", "2026-10-24 23:30", ["+03:00", "+02:00"]),
    ],
)
def test_a_wall_clock_is_shown_never_once_or_twice(zone: str, wall: str, expected: list[str]) -> None:
    on = calendar(zone, wall[:10])

    shown = on.instants(parse_instant(wall.replace(" ", "T") + "Z"))

    assert [on.local(moment)[19:] for moment in shown] == expected


@pytest.mark.parametrize(
    ("zone", "date", "expected"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-29T00:00:00+01:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"),
        ("Asia/Beirut", "2026-03-29", "2026-03-29T01:00:00+03:00"),
        ("America/Havana", "2026-11-01", "2026-11-01T00:00:00-04:00"),
        ("Asia/Beirut", "2026-10-25", "2026-10-25T00:00:00+02:00"),
        ("Pacific/Apia", "2011-12-29", "2011-12-29T00:00:00-10:00"),
        # Left out: it begins, and is over, when the next one begins.
        ("Pacific/Apia", "2011-12-30", "2011-12-31T00:00:00+14:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-31T00:00:00+14:00"),
    ],
)
def test_a_day_begins_at_its_first_instant(zone: str, date: str, expected: str) -> None:
    on = calendar(zone, date)

    assert on.local(on.start_of_day(day(date))) == expected


ZONES = [
    "Africa/Casablanca", "America/Havana", "America/New_York", "America/Sao_Paulo", "America/St_Johns",
    "Antarctica/Troll", "Asia/Beirut", "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Europe/Dublin",
    "Europe/London", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kwajalein", "UTC",
]  # fmt: skip


@given(
    st.sampled_from(ZONES),
    st.integers(0, 400 * 24 * 60),
    st.sampled_from(["2011-12-01", "2018-06-01", "2026-01-01"]),
)
def test_the_slice_tells_the_same_time_as_the_zone(zone: str, minutes: int, near: str) -> None:
    on = calendar(zone, near)
    moment = parse_instant(f"{near}T00:00:00Z") + minutes * MINUTE

    there = to_datetime(moment).astimezone(zoneinfo.ZoneInfo(zone))

    assert on.local(moment) == there.isoformat()
    assert on.day(moment) == (there.date() - EPOCH).days


@given(
    st.sampled_from(ZONES),
    st.integers(0, 400 * 24 * 60),
    st.sampled_from(["2011-12-01", "2018-06-01", "2026-01-01"]),
)
def test_a_wall_clock_is_resolved_as_python_does_with_fold_0(zone: str, minutes: int, near: str) -> None:
    # PEP 495: without a fold, the offset before the gap and the first of two: what RFC 5545 says.
    on = calendar(zone, near)
    wall = parse_instant(f"{near}T00:00:00Z") + minutes * MINUTE

    there = to_datetime(wall).replace(tzinfo=zoneinfo.ZoneInfo(zone))

    assert on.resolve(wall) == from_datetime(there.astimezone(UTC))
    assert on.instants(wall) == sorted(
        {
            moment
            for fold in (0, 1)
            if on.wall(moment := from_datetime(there.replace(fold=fold).astimezone(UTC))) == wall
        }
    )


# ---- rule 3: business days -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "subdivision", "start", "count", "expected"),
    [
        # Monday to Friday where no country is known.
        (None, None, "2026-03-06", 1, "2026-03-09"),
        (None, None, "2026-03-07", 1, "2026-03-09"),
        (None, None, "2026-03-09", -1, "2026-03-06"),
        (None, None, "2026-03-08", -1, "2026-03-06"),
        (None, None, "2026-03-06", 11, "2026-03-23"),
        (None, None, "2026-12-24", 1, "2026-12-25"),
        # Public holidays, of the country and of a part of it.
        ("DE", None, "2026-04-02", 1, "2026-04-07"),
        ("DE", None, "2026-06-03", 1, "2026-06-04"),
        ("DE", "BY", "2026-06-03", 1, "2026-06-05"),
        ("DE", None, "2026-04-07", -1, "2026-04-02"),
        ("JP", None, "2026-05-01", 1, "2026-05-07"),
        ("US", None, "2026-07-02", 1, "2026-07-06"),
        # Other weekends.
        ("SA", None, "2026-03-12", 1, "2026-03-15"),
        ("IL", None, "2026-03-12", 1, "2026-03-15"),
        ("AE", None, "2021-11-04", 1, "2021-11-07"),
        ("AE", None, "2026-03-06", 1, "2026-03-09"),
        # Working days moved by decree: Saturdays on which China and Hungary work.
        ("CN", None, "2024-02-02", 1, "2024-02-04"),
        ("CN", None, "2024-02-08", 1, "2024-02-09"),
        ("CN", None, "2024-02-09", 1, "2024-02-18"),
        ("HU", None, "2024-08-02", 1, "2024-08-03"),
        ("HU", None, "2024-08-16", 1, "2024-08-21"),
    ],
)
def test_a_business_day_is_the_nth_working_day_after_the_local_date(
    country: str | None, subdivision: str | None, start: str, count: int, expected: str
) -> None:
    on = calendar("UTC", start, country, subdivision)

    assert on.working_day(day(start), count) == day(expected)


@pytest.mark.parametrize(
    ("zone", "start", "length", "back", "expected"),
    [
        # The local date of the anchor, never the date in UTC: Friday evening in UTC is Saturday in Tokyo.
        ("Asia/Tokyo", "2026-03-07 01:00", "1 business day", False, "2026-03-09T01:00:00+09:00"),
        ("America/Los_Angeles", "2026-03-05 20:00", "1 business day", False, "2026-03-06T20:00:00-08:00"),
        ("Europe/Berlin", "2026-03-27 02:30", "1 business day", False, "2026-03-30T02:30:00+02:00"),
        ("Europe/Berlin", "2026-03-09 10:00", "2 business days", True, "2026-03-05T10:00:00+01:00"),
        ("Europe/Berlin", "2026-03-06 10:00", "1 business day 4 hours", False, "2026-03-09T14:00:00+01:00"),
        ("Europe/Berlin", "2026-03-05 22:00", "1 business day 4 hours", False, "2026-03-07T02:00:00+01:00"),
        ("Europe/Berlin", "2026-03-06 10:00", "1 day 1 business day", False, "2026-03-09T10:00:00+01:00"),
        ("Europe/Berlin", "2026-03-06 10:00", "1 week 1 business day", False, "2026-03-16T10:00:00+01:00"),
    ],
)
def test_a_business_day_keeps_the_wall_clock(
    zone: str, start: str, length: str, back: bool, expected: str
) -> None:
    on = calendar(zone, start[:10])

    assert on.local(on.add(instant(start, on), parse_duration(length), back=back)) == expected


# ---- rule 4: windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-06 08:59", False),
        ("2026-03-06 09:00", True),
        ("2026-03-06 16:59", True),
        ("2026-03-06 17:00", False),
        ("2026-03-07 12:00", False),
    ],
)
def test_a_window_is_half_open(moment: str, inside: bool) -> None:
    on = calendar("Europe/Berlin")

    assert on.is_open(window(), instant(moment, on)) is inside


@pytest.mark.parametrize(
    ("days", "monday_to_sunday"),
    [
        ("daily", "xxxxxxx"),
        ("mon-fri", "xxxxx--"),
        ("fri-mon", "x---xxx"),
        ("sun-thu", "xxxx--x"),
        ("sat", "-----x-"),
        ("mon, wed", "x-x----"),
    ],
)
def test_days_of_a_window(days: str, monday_to_sunday: str) -> None:
    on, all_day = calendar("UTC"), window(days, "00:00", "24:00")

    monday = day("2026-03-09")
    assert "".join("x" if on.is_open_day(all_day, monday + n) else "-" for n in range(7)) == monday_to_sunday


@pytest.mark.parametrize(
    ("zone", "which", "start", "expected"),
    [
        ("Europe/Berlin", window(), "2026-03-06 18:00", "2026-03-09T09:00:00+01:00"),
        ("Europe/Berlin", window(), "2026-03-06 17:00", "2026-03-09T09:00:00+01:00"),
        ("Europe/Berlin", window(), "2026-03-06 07:00", "2026-03-06T09:00:00+01:00"),
        ("Europe/Berlin", window("daily", "00:00", "24:00"), "2026-03-06 07:00", "2026-03-07T00:00:00+01:00"),
        # Days are judged by the local date of the candidate, never by the date in UTC.
        ("Asia/Tokyo", window("mon-fri", "01:00", "03:00"), "2026-03-06 12:00", "2026-03-09T01:00:00+09:00"),
        ("America/Los_Angeles", window("fri", "18:00", "20:00"), "2026-03-05 12:00", "2026-03-06T18:00:00-08:00"),
        ("Pacific/Auckland", window("mon", "06:00", "08:00"), "2026-03-08 12:00", "2026-03-09T06:00:00+13:00"),
        # An opening that falls into a gap is resolved by rule 2.
        ("America/New_York", window("daily", "02:30", "06:00"), "2026-03-08 01:00", "2026-03-08T03:30:00-04:00"),
        ("America/New_York", window("daily", "02:00", "06:00"), "2026-03-08 01:00", "2026-03-08T03:00:00-04:00"),
        ("Australia/LHI", window("daily", "02:15", "06:00"), "2026-10-04 01:00", "2026-10-04T02:45:00+11:00"),
        ("America/Sao_Paulo", window("daily", "00:00", "06:00"), "2018-11-03 12:00", "2018-11-04T01:00:00-02:00"),
        ("Asia/Beirut", window("daily", "00:30", "06:00"), "2026-03-28 12:00", "2026-03-29T01:30:00+03:00"),
        # A window that lies in the gap whole does not open that day: resolved, it would be outside itself.
        ("America/New_York", window("daily", "02:15", "02:45"), "2026-03-08 01:00", "2026-03-09T02:15:00-04:00"),
        # An opening that comes twice is the first of the two; between them the wall clock opens it again.
        ("America/New_York", window("daily", "01:30", "01:45"), "2026-10-31 12:00", "2026-11-01T01:30:00-04:00"),
        ("US/Eastern", window("daily", "01:30", "01:45"), "2026-11-01T05:45:00Z", "2026-11-01T01:30:00-05:00"),
        # A date that was left out has no opening.
        ("Pacific/Apia", window("daily", "09:00", "17:00"), "2011-12-29 18:00", "2011-12-31T09:00:00+14:00"),
        ("Pacific/Apia", window("fri", "09:00", "17:00"), "2011-12-29 18:00", "2012-01-06T09:00:00+14:00"),
    ],
)  # fmt: skip
def test_the_next_opening(zone: str, which: Window, start: str, expected: str) -> None:
    on = calendar(zone, start[:10])

    opening = on.next_opening(which, instant(start, on))

    assert opening is not None
    assert on.local(opening) == expected


@pytest.mark.parametrize(
    ("country", "subdivision", "start", "expected"),
    [
        ("DE", None, "2026-04-02 18:00", "2026-04-07 09:00"),
        ("DE", None, "2026-06-03 18:00", "2026-06-04 09:00"),
        ("DE", "BY", "2026-06-03 18:00", "2026-06-05 09:00"),
        (None, None, "2026-12-24 18:00", "2026-12-25 09:00"),
    ],
)
def test_holidays_skip_closes_a_window_on_public_holidays(
    country: str | None, subdivision: str | None, start: str, expected: str
) -> None:
    on = calendar("Europe/Berlin", start[:10], country, subdivision)

    opening = on.next_opening(window(holidays="skip"), instant(start, on))

    assert local(opening, on) == expected


def test_holidays_are_allowed_by_default() -> None:
    on = calendar("Europe/Berlin", "2026-04-02", "DE")

    assert local(on.next_opening(window(), instant("2026-04-02 18:00", on)), on) == "2026-04-03 09:00"


@pytest.mark.parametrize(
    ("zone", "which", "moment", "expected"),
    [
        ("Europe/Berlin", window(), "2026-03-06 10:00", "2026-03-06T17:00:00+01:00"),
        ("Europe/Berlin", window("daily", "00:00", "24:00"), "2026-03-06 10:00", "2026-03-07T00:00:00+01:00"),
        # The clocks go on past the end of the window: closed from that instant.
        ("US/Eastern", window("daily", "01:00", "02:30"), "2026-03-08 01:30", "2026-03-08T03:00:00-04:00"),
        # They go back before its beginning: closed, although not yet over.
        ("US/Eastern", window("daily", "01:30", "05:00"), "2026-11-01T05:45:00Z", "2026-11-01T01:00:00-05:00"),
        ("US/Eastern", window("daily", "01:30", "05:00"), "2026-11-01T06:45:00Z", "2026-11-01T05:00:00-05:00"),
        # They go back within it: twice as long.
        ("US/Eastern", window("daily", "00:30", "01:45"), "2026-11-01T04:45:00Z", "2026-11-01T01:45:00-04:00"),
        ("US/Eastern", window("daily", "00:30", "03:00"), "2026-11-01T04:45:00Z", "2026-11-01T03:00:00-05:00"),
    ],
)  # fmt: skip
def test_a_window_closes_at_the_first_instant_outside(
    zone: str, which: Window, moment: str, expected: str
) -> None:
    on = calendar(zone, moment[:10])

    assert on.local(on.closing(which, instant(moment, on))) == expected


WINDOWS = st.builds(
    lambda days, first, length: window(
        days,
        f"{first // 4:02}:{first % 4 * 15:02}",
        f"{(first + length) // 4:02}:{(first + length) % 4 * 15:02}",
    ),
    st.sampled_from(["daily", "mon-fri", "sun", "sat, tue"]),
    st.integers(0, 60),
    st.integers(1, 36),
)


@given(
    st.sampled_from(ZONES),
    WINDOWS,
    st.integers(0, 400 * 24 * 4),
    st.sampled_from(["2011-12-01", "2026-01-01"]),
)
def test_openings_and_closings_agree_with_the_wall_clock(
    zone: str, which: Window, quarters: int, near: str
) -> None:
    on: Calendar = calendar(zone, near)
    moment = parse_instant(f"{near}T00:00:00Z") + quarters * 15 * MINUTE
    opening = on.next_opening(which, moment)

    assert opening is not None
    assert opening >= moment
    assert on.is_open(which, opening)
    closing = on.closing(which, opening)
    assert not on.is_open(which, closing)
    inside = range(opening, closing, 15 * MINUTE)
    assert all(on.is_open(which, at) for at in inside)
    last = on.previous_opening(which, closing, since=moment - 30 * DAY)
    assert last == opening


@given(st.sampled_from(ZONES), st.integers(0, 400 * 24 * 4), st.integers(1, 40))
def test_a_later_instant_never_moves_to_an_earlier_one(zone: str, quarters: int, days: int) -> None:
    # Within the hour that the clocks may jump.
    on = calendar(zone, "2026-01-01")
    start = parse_instant("2026-01-01T00:00:00Z") + quarters * 15 * MINUTE
    length = parse_duration(f"{days} days")

    assert on.add(start + HOUR * 25, length) > on.add(start, length)


def test_python_and_the_slice_agree_on_working_days_of_every_year_cut() -> None:
    import holidays

    for country in ("AE", "BR", "CN", "DE", "HU", "IL", "JP", "SA", "US"):
        on = calendar("UTC", "2026-01-01", country)
        known = holidays.country_holidays(country, years=range(2025, 2028))
        first = date(2025, 1, 1)
        for n in range(1000):
            there = first + timedelta(days=n)
            number = (there - EPOCH).days
            assert (on.working_day(number - 1, 1) == number) == known.is_working_day(there), (country, there)


def test_a_datetime_is_needed_with_its_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        from_datetime(datetime(2026, 3, 6))  # noqa: DTZ001 - the point of the test
