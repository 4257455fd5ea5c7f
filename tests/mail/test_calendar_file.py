"""Sessions and their calendar files."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from icalendar import Calendar

from firstmile.mail.calendar_file import Session, Weekly, invitation
from firstmile.mail.message import Address


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


BERLIN = Weekly(weekday="tue", time=time(15), timezone="Europe/Berlin")


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
    session = Session(title="T", url="https://a.example", weekly=BERLIN)
    assert session.next_after(utc(after)) == utc(expected)


def test_a_time_that_a_week_does_not_have_is_read_with_the_offset_before_the_gap() -> None:
    session = Session(
        title="T", url="u", weekly=Weekly(weekday="sun", time=time(2, 30), timezone="Europe/Berlin")
    )
    found = session.next_after(utc("2026-03-28T12:00:00Z"))
    assert found == utc("2026-03-29T01:30:00Z")
    assert found.strftime("%H:%M") == "03:30"


def test_listed_starts_and_none() -> None:
    listed = Session(title="T", url="u", starts=(utc("2026-03-01T10:00:00Z"), utc("2026-04-01T10:00:00Z")))
    assert listed.next_after(utc("2026-03-02T00:00:00Z")) == utc("2026-04-01T10:00:00Z")
    assert listed.next_after(utc("2026-05-01T00:00:00Z")) is None
    assert Session(title="Video", url="u").next_after(utc("2026-03-02T00:00:00Z")) is None


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="'Mars/Base' is not a time zone"):
        Weekly(weekday="tue", time=time(15), timezone="Mars/Base")


def test_the_calendar_file_is_a_request_in_utc_with_a_stable_uid() -> None:
    session = Session(id="intro", title="Introduction; part 1", url="https://a.example/1", minutes=45)

    def made() -> bytes:
        return invitation(
            "key-1",
            session,
            utc("2026-03-10T15:00:00+01:00"),
            organizer=Address("hello@acme.example", "Acme"),
            attendees=[Address("ann@customer.example", 'Ann "Lee"\r\nX: y')],
            stamp=utc("2026-03-06T03:00:00Z"),
        ).content

    file = made()
    assert file == made()
    calendar = Calendar.from_ical(file)
    event = calendar.walk("VEVENT")[0]
    assert calendar["METHOD"] == "REQUEST"
    assert event["UID"] == "key-1@firstmile"
    assert event.decoded("DTSTART") == utc("2026-03-10T14:00:00Z")
    assert event.decoded("DTEND") == utc("2026-03-10T14:45:00Z")
    assert b"DTSTART:20260310T140000Z" in file
    assert event["SUMMARY"] == "Introduction; part 1"
    assert str(event["ATTENDEE"]).lower() == "mailto:ann@customer.example"
    assert b"\r\nX: y" not in file


def test_the_attachments_type_is_one_that_sendgrid_takes() -> None:
    session = Session(title="T", url="u")
    file = invitation(
        "k",
        session,
        utc("2026-03-10T15:00:00Z"),
        organizer=Address("a@b.c"),
        attendees=[],
        stamp=utc("2026-03-06T03:00:00Z"),
    )
    assert file.type == "text/calendar"
