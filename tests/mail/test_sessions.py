"""Sessions: when the next ones are, what they are called, and what is said of a file that is wrong."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.mail.sessions import WEEKDAYS, Session, Weekly, read_sessions

URL = "https://a.example"
BERLIN = Weekly(weekday="tue", time=time(15), timezone="Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def session(**given: Any) -> Session:
    return Session(**{"title": "T", "url": URL} | given)


# ---- dates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-03-06T03:00:00Z", "2026-03-10T14:00:00Z"),
        ("2026-03-10T13:59:59Z", "2026-03-10T14:00:00Z"),
        ("2026-03-10T14:00:00Z", "2026-03-17T14:00:00Z"),
        # Summer time begins on 29 March: the same wall clock, an hour earlier in UTC.
        ("2026-03-28T00:00:00Z", "2026-03-31T13:00:00Z"),
        # Late on Monday in UTC is Tuesday there.
        ("2026-03-09T23:30:00Z", "2026-03-10T14:00:00Z"),
    ],
)
def test_the_next_of_a_weekly_session(after: str, expected: str) -> None:
    assert session(weekly=BERLIN).next_after(utc(after)) == utc(expected)


def test_a_time_that_a_week_does_not_have_is_read_with_the_offset_before_the_gap() -> None:
    weekly = Weekly(weekday="sun", time=time(2, 30), timezone="Europe/Berlin")

    assert session(weekly=weekly).next_after(utc("2026-03-28T12:00:00Z")) == utc("2026-03-29T01:30:00Z")


def test_listed_starts_and_none() -> None:
    listed = session(starts=(utc("2026-03-01T10:00:00Z"), utc("2026-04-01T10:00:00Z")))

    assert listed.next_after(utc("2026-03-02T00:00:00Z")) == utc("2026-04-01T10:00:00Z")
    assert listed.next_after(utc("2026-05-01T00:00:00Z")) is None
    assert session(kind="video").next_after(utc("2026-03-02T00:00:00Z")) is None


def test_listed_and_weekly_starts_come_in_order_and_each_once() -> None:
    both = session(weekly=BERLIN, starts=(utc("2026-03-17T14:00:00Z"), utc("2026-03-12T09:00:00Z")))

    assert both.next_starts(utc("2026-03-06T00:00:00Z"), 4) == [
        utc("2026-03-10T14:00:00Z"),
        utc("2026-03-12T09:00:00Z"),
        utc("2026-03-17T14:00:00Z"),
        utc("2026-03-24T14:00:00Z"),
    ]


@given(
    weekday=st.sampled_from(WEEKDAYS),
    at=st.times(),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
    seconds=st.integers(0, 4 * 366 * 86_400),
)
def test_what_is_listed_is_offered_lies_ahead_and_comes_week_by_week(
    weekday: Any, at: time, zone: str, seconds: int
) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    weekly = session(weekly=Weekly(weekday=weekday, time=at, timezone=zone))

    found = weekly.next_starts(moment, 60)

    assert len(found) == 60
    assert all(map(weekly.offers, found))
    assert moment < found[0] <= moment + timedelta(days=7, hours=2)
    apart = [later - earlier for earlier, later in pairwise(found)]
    assert all(abs(gap - timedelta(days=7)) <= timedelta(hours=2) for gap in apart)


def test_only_what_takes_place_is_offered() -> None:
    both = session(weekly=BERLIN, starts=(utc("2026-03-12T10:00:00+01:00"),))

    assert both.offers(utc("2026-03-10T14:00:00Z"))
    assert both.offers(utc("2026-03-12T09:00:00Z"))
    assert not both.offers(utc("2026-03-10T14:00:01Z"))
    assert not both.offers(utc("2026-03-11T14:00:00Z"))


# ---- titles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "title"),
    [
        ("de", "Werkzeug"),
        ("de-CH", "Werkzeug"),
        ("de_AT", "Servus"),
        ("en-GB", "Tools"),
        ("fr", "Tools"),
        (None, "Tools"),
    ],
)
def test_a_title_is_in_the_customers_language_or_in_ours(locale: str | None, title: str) -> None:
    titles = {"de": "Werkzeug", "en": "Tools", "de-AT": "Servus"}

    assert session(title=titles).titled(locale) == title
    assert session(title="One for all").titled(locale) == "One for all"


def test_without_our_language_the_first_title_is_taken() -> None:
    assert session(title={"fr": "Outils", "it": "Attrezzi"}).titled("de") == "Outils"


# ---- the file --------------------------------------------------------------------------------------------


def read(folder: Path, text: object) -> dict[str, Session]:
    file = folder / "sessions.json"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return dict(read_sessions(file))


def test_sessions_are_read_by_their_names(tmp_path: Path) -> None:
    found = read(tmp_path, {"intro": {"title": {"en": "Introduction"}, "url": URL, "kind": "webinar"}})

    assert found["intro"].id == "intro"
    assert read_sessions(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"titel": "T"}, "intro.titel: unknown field 'titel': did you mean 'title'?"),
        ({"kind": "webinair"}, "intro.kind: unknown kind 'webinair': did you mean 'webinar'?"),
        (
            {"weekly": {"weekday": "tues", "time": "15:00", "timezone": "UTC"}},
            "intro.weekly.weekday: unknown weekday 'tues': did you mean 'tue'?",
        ),
        (
            {"weekly": {"weekday": "tue", "time": "15:00", "timezone": "Europe/Berlim"}},
            "intro.weekly.timezone: unknown time zone 'Europe/Berlim': did you mean 'Europe/Berlin'?",
        ),
        (
            {"weekly": {"weekday": "tue", "time": "3 pm", "timezone": "UTC", "zone": "UTC"}},
            "is no time of day: write for instance 15:00; intro.weekly.zone: unknown field 'zone'",
        ),
        (
            {"starts": ["2026-03-10T15:00:00"]},
            "intro.starts.0: a start needs its offset from UTC, as in 2026-03-10T15:00:00+01:00",
        ),
        ({"starts": ["soon"]}, "intro.starts.0: 'soon' is no instant"),
        ({"minutes": 0}, "intro.minutes: 0 is not between 1 and 1440"),
        ({"minutes": "long"}, "intro.minutes: a whole number was expected"),
        ({"url": "javascript:alert(1)"}, "intro.url: 'javascript:alert(1)' is no address on the web"),
        ({"title": ""}, "intro.title: a title is text, or text by language"),
        ({"title": {"german": "x"}}, "intro.title: 'german' is no language"),
        ({"title": {"de": ""}}, "intro.title: the title in 'de' is empty"),
        (
            {"kind": "video", "starts": ["2026-03-10T15:00:00Z"]},
            "intro: a session of kind 'video' has no dates: leave out starts and weekly",
        ),
        ({"id": "other"}, "intro.id: a session's id is its name in the file: leave it out"),
    ],
)
def test_an_error_names_the_field_and_the_word_that_was_meant(
    tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read(tmp_path, {"intro": {"title": "T", "url": URL} | given})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ({"intro": {"title": "T"}}, "intro.url: it is missing"),
        ({"intro": "T"}, "intro: an object was expected"),
        ([], "sessions.json: an object was expected"),
        ('{"a": {"title": "T", "title": "U", "url": "https://a.example"}}', "'title' stands there twice"),
        ('{"a":', "line 1"),
    ],
)
def test_a_file_that_is_no_table_of_sessions_says_so(tmp_path: Path, text: object, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read(tmp_path, text)
