"""Cutting calendar slices: which places are known, how far a slice reaches, and what it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import date

import pytest
from pydantic import TypeAdapter

from firstmile.journey.calendar import Calendar, CalendarSlice
from firstmile.journey.durations import DAY
from firstmile.journey.instants import parse_instant
from firstmile.journey.slices import PlaceError, check_place, cut, plain_slice, zone_names

START = parse_instant("2026-03-06T03:00:00Z")
EPOCH = date(1970, 1, 1)


def day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


# ---- places ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timezone", "country", "subdivision"),
    [
        ("UTC", None, None),
        ("Europe/Berlin", "DE", None),
        ("Europe/Berlin", "DE", "BY"),
        ("America/New_York", "US", "NY"),
        ("Asia/Calcutta", "IN", None),  # an old name of a zone is a name
        ("Etc/GMT+5", "KP", None),
        (None, None, None),
    ],
)
def test_known_places(timezone: str | None, country: str | None, subdivision: str | None) -> None:
    check_place(timezone, country, subdivision)


@pytest.mark.parametrize(
    ("timezone", "country", "subdivision", "field", "message"),
    [
        (
            "Europe/Berln",
            None,
            None,
            "timezone",
            "unknown time zone 'Europe/Berln': did you mean 'Europe/Berlin'?",
        ),
        (
            "europe/berlin",
            None,
            None,
            "timezone",
            "unknown time zone 'europe/berlin': did you mean 'Europe/Berlin'?",
        ),
        ("CET+1", None, None, "timezone", "unknown time zone 'CET+1'"),
        ("", None, None, "timezone", "unknown time zone ''"),
        ("../etc/passwd", None, None, "timezone", "unknown time zone"),
        ("UTC", "XX", None, "country", "unknown country 'XX'"),
        ("UTC", "de", None, "country", "unknown country 'de': did you mean 'DE'?"),
        ("UTC", "DE", "XX", "subdivision", "unknown subdivision 'XX' of DE: known are Augsburg, BB, BE"),
        ("UTC", None, "BY", "subdivision", "subdivision 'BY' needs a country"),
    ],
)
def test_unknown_places_are_refused_with_what_to_write(
    timezone: str, country: str | None, subdivision: str | None, field: str, message: str
) -> None:
    with pytest.raises(PlaceError) as refused:
        check_place(timezone, country, subdivision)

    assert refused.value.field == field
    assert str(refused.value).startswith(message)
    with pytest.raises(PlaceError):
        cut(timezone, START, START + DAY, country, subdivision)


# ---- what a slice holds ----------------------------------------------------------------------------------


def test_a_slice_reaches_a_year_further_on_both_sides() -> None:
    piece = cut("Europe/Berlin", START, START + 300 * DAY, "DE")

    assert (piece.first_day, piece.last_day) == (day("2025-01-01"), day("2028-12-31"))


def test_a_slice_holds_transitions_working_days_and_holidays() -> None:
    piece = cut("Europe/Berlin", START, START + 30 * DAY, "DE", "BY")

    transitions = [(f"{date.fromtimestamp(at)}", offset) for at, offset in piece.offsets[1:]]  # noqa: DTZ012  # only read as UTC dates, for comparison
    assert ("2026-03-29", 7200) in transitions
    assert ("2026-10-25", 3600) in transitions
    assert piece.weekdays == [0, 1, 2, 3, 4]
    assert day("2026-06-04") in piece.holidays  # Corpus Christi, in Bavaria
    assert day("2026-06-04") in piece.exceptions
    assert day("2026-03-08") not in piece.exceptions
    assert "tzdata" in piece.data
    assert "holidays" in piece.data


def test_moved_working_days_are_exceptions() -> None:
    piece = cut("Asia/Shanghai", parse_instant("2024-02-01T00:00:00Z"), START, "CN")

    assert day("2024-02-04") in piece.exceptions  # a Sunday on which people work
    assert day("2024-02-12") in piece.exceptions  # a Monday on which they do not


def test_other_weekends() -> None:
    assert cut("Asia/Riyadh", START, START, "SA").weekdays == [0, 1, 2, 3, 6]
    assert cut("Asia/Jerusalem", START, START, "IL").weekdays == [0, 1, 2, 3, 6]


def test_no_country_no_holidays() -> None:
    piece = cut("Asia/Tokyo", START, START)

    assert (piece.weekdays, piece.exceptions, piece.holidays) == ([0, 1, 2, 3, 4], [], [])


def test_a_slice_is_json_and_comes_back() -> None:
    piece = cut("America/St_Johns", START, START + 30 * DAY, "CA", "NL")

    back = TypeAdapter(CalendarSlice).validate_python(json.loads(json.dumps(asdict(piece))))

    assert Calendar(back).local(START) == Calendar(piece).local(START) == "2026-03-05T23:30:00-03:30"
    assert back.exceptions == piece.exceptions


def test_a_plain_slice_is_wide() -> None:
    on = Calendar(plain_slice("Europe/Berlin"))

    assert on.local(parse_instant("2037-07-01T00:00:00Z")) == "2037-07-01T02:00:00+02:00"


@pytest.mark.parametrize(
    "zone", ["Africa/Casablanca", "Pacific/Apia", "Antarctica/Troll", "Asia/Gaza", "Africa/Juba"]
)
def test_every_kind_of_zone_can_be_cut(zone: str) -> None:
    assert zone in zone_names()
    piece = cut(zone, START, START + 365 * DAY)

    assert piece.offsets == sorted(piece.offsets)
    assert all(one[1] != other[1] for one, other in zip(piece.offsets, piece.offsets[1:], strict=False))


def test_the_zone_data_of_the_machine_does_not_matter() -> None:
    program = (
        "from firstmile.journey.slices import cut;"
        f"print(cut('Europe/Berlin', {START}, {START + 400 * DAY}).offsets)"
    )

    shown = [
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **env},
        ).stdout
        for env in ({"PYTHONTZPATH": ""}, {"PYTHONTZPATH": "/nowhere", "TZ": "America/New_York"})
    ]

    assert shown[0] == shown[1]
