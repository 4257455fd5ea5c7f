"""Durations and moments: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.durations import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Duration,
    DurationError,
    Moment,
    parse_duration,
    parse_span,
)


def size(duration: Duration) -> tuple[int, int, int]:
    return duration.days, duration.business, duration.elapsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90 minutes", (0, 0, 90 * MINUTE)),
        ("36 hours", (0, 0, 36 * HOUR)),
        ("3 days", (3, 0, 0)),
        ("1 day", (1, 0, 0)),
        ("2 weeks", (14, 0, 0)),
        ("1 business day", (0, 1, 0)),
        ("10 business days", (0, 10, 0)),
        ("2 days 4 hours", (2, 0, 4 * HOUR)),
        ("4 hours 2 days", (2, 0, 4 * HOUR)),
        ("1 week, 1 day, 30 seconds", (8, 0, 30 * SECOND)),
        ("1 business day 4 hours", (0, 1, 4 * HOUR)),
        ("  3   Days ", (3, 0, 0)),
        ("0 days", (0, 0, 0)),
        ("P3D", (3, 0, 0)),
        ("P2W", (14, 0, 0)),
        ("PT90M", (0, 0, 90 * MINUTE)),
        ("P1DT12H", (1, 0, 12 * HOUR)),
        ("pt36h", (0, 0, 36 * HOUR)),
    ],
)
def test_durations_are_read_in_words_and_in_iso_8601(text: str, expected: tuple[int, int, int]) -> None:
    assert size(parse_duration(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a duration is missing"),
        ("3", "'3' has no unit: write for instance '3 days'"),
        ("3 month", "months and years have no fixed length"),
        ("P3M", "months and years have no fixed length"),
        ("P1Y2D", "months and years have no fixed length"),
        ("1.5 days", "write whole numbers"),
        ("3 dayz", "at '3 dayz' a number and weeks, days"),
        ("2 days soon", "at 'soon' a number and weeks, days"),
        ("2 days 3 days", "names days twice"),
        ("P", "is not a duration"),
        ("PT", "is not a duration"),
        ("P3", "ISO 8601 durations look like"),
        ("-3 days", "is not a duration"),
        ("40000 days", "longer than a hundred years"),
    ],
)
def test_what_is_not_a_duration_is_refused_with_advice(text: str, message: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert message in str(caught.value)


def test_a_moment_is_a_duration_before_or_after_a_trait() -> None:
    moment = parse_span("15 business days  before go_live")
    assert isinstance(moment, Moment)
    assert (size(moment.duration), moment.before, moment.trait) == ((0, 15, 0), True, "go_live")
    assert str(moment) == "15 business days before go_live"
    assert parse_span("0 days after go_live") == Moment(
        Duration(text="0 days"), False, "go_live", "0 days after go_live"
    )
    assert parse_span("3 days") == parse_duration("3 days")


@pytest.mark.parametrize(
    "text", ["3 days before", "soon before go_live", "3 days before go live!", "before x"]
)
def test_what_is_not_a_moment_is_refused(text: str) -> None:
    with pytest.raises(DurationError):
        parse_span(text)


def test_bounds_enclose_a_duration() -> None:
    duration = parse_duration("1 day 2 business days 3 hours")
    assert duration.at_least == 3 * DAY + 3 * HOUR
    assert duration.at_most == 7 * DAY + 3 * HOUR


def test_a_duration_is_written_as_it_was_read_or_else_in_words() -> None:
    assert str(parse_duration("P3D")) == "P3D"
    assert str(Duration(1, 2, 3 * HOUR + 4 * MINUTE)) == "1 day 2 business days 3 hours 4 minutes"
    assert str(Duration()) == "0 days"
    assert str(parse_duration("2 days").times(3)) == "6 days"


_COUNTS = st.integers(0, 500)


@given(_COUNTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS)
def test_what_is_written_out_is_read_back(days: int, business: int, hours: int, minutes: int, s: int) -> None:
    duration = Duration(days, business, hours * HOUR + minutes * MINUTE + s * SECOND)
    assert size(parse_duration(str(duration))) == size(duration)
