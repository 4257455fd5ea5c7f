"""Calendar files: right by a library that reads them, and by the rules of RFC 5545 on the text itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from firstmile.mail.calendar_file import CalendarEntry, uid_of
from firstmile.mail.message import Address

STARTS = datetime(2026, 3, 10, 14, tzinfo=UTC)
ENTRY = CalendarEntry(
    uid=uid_of("c-1", 1, "training"),
    sequence=2,
    title="Introduction; part 1",
    url="https://a.example/1?a=b,c;d",
    starts=datetime.fromisoformat("2026-03-10T15:00:00+01:00"),
    minutes=45,
    stamp=datetime(2026, 3, 6, 3, tzinfo=UTC),
    organizer=Address("hello@acme.example", "Acme"),
    attendees=(Address("ann@customer.example", "Ann Lee"), Address("bo@customer.example")),
    change_url="https://hello.example/t/token",
)


def event_of(entry: CalendarEntry) -> Any:
    """The event as the library reads it; what its properties are is known here, not to the library."""
    (event,) = Calendar.from_ical(entry.to_ical()).walk("VEVENT")
    return event


def content_lines(file: bytes) -> list[str]:
    """The lines of a file as RFC 5545 §3.1 says them, none of which may break its rules."""
    assert file.endswith(b"\r\n")
    for physical in file[:-2].split(b"\r\n"):
        assert len(physical) <= 75, "a line has at most 75 octets"
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", physical), "a control character"
    lines = file[:-2].replace(b"\r\n ", b"").decode("utf-8").split("\r\n")
    for line in lines:
        assert re.match(r'[A-Z-]+(;[A-Z-]+=("[^"\x00-\x1f]*"|[^";:,\x00-\x1f]*))*:', line), line
    return lines


def test_a_request_says_what_a_calendar_needs() -> None:
    event = event_of(ENTRY)

    assert Calendar.from_ical(ENTRY.to_ical())["METHOD"] == "REQUEST"
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == (ENTRY.uid, 2, "CONFIRMED")
    assert event.decoded("DTSTART") == STARTS
    assert event.decoded("DTEND") == STARTS + timedelta(minutes=45)
    assert event.decoded("DTSTAMP") == ENTRY.stamp
    assert event["SUMMARY"] == "Introduction; part 1"
    assert event["LOCATION"] == event["URL"] == ENTRY.url
    assert ENTRY.url in event["DESCRIPTION"]
    assert "https://hello.example/t/token" in event["DESCRIPTION"]
    assert event["ORGANIZER"] == "mailto:hello@acme.example"
    assert event["ORGANIZER"].params["CN"] == "Acme"
    ann, bo = event["ATTENDEE"]
    assert (ann, bo) == ("mailto:ann@customer.example", "mailto:bo@customer.example")
    assert dict(ann.params) == {
        "CN": "Ann Lee", "ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION", "RSVP": "TRUE",
    }  # fmt: skip
    (alarm,) = event.walk("VALARM")
    assert (alarm["ACTION"], alarm.decoded("TRIGGER")) == ("DISPLAY", timedelta(minutes=-15))


def test_its_text_is_what_the_rules_ask_for() -> None:
    lines = content_lines(ENTRY.to_ical())

    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-1] == "END:VCALENDAR"
    assert {"VERSION:2.0", "METHOD:REQUEST", "SEQUENCE:2", "STATUS:CONFIRMED"} <= set(lines)
    assert {"DTSTART:20260310T140000Z", "DTEND:20260310T144500Z", "DTSTAMP:20260306T030000Z"} <= set(lines)
    assert r"SUMMARY:Introduction\; part 1" in lines
    # A URI is no text: nothing is escaped in it.
    assert f"URL:{ENTRY.url}" in lines
    for name in ("UID", "SEQUENCE", "DTSTART", "DTEND", "DTSTAMP", "SUMMARY", "ORGANIZER", "METHOD"):
        assert sum(re.match(f"{name}[:;]", line) is not None for line in lines) == 1, name


def test_a_cancellation_takes_the_same_entry_out() -> None:
    gone = replace(ENTRY, sequence=3, cancelled=True)
    event = event_of(gone)

    assert Calendar.from_ical(gone.to_ical())["METHOD"] == "CANCEL"
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == (ENTRY.uid, 3, "CANCELLED")
    assert event.decoded("DTSTART") == STARTS
    assert not event.walk("VALARM")
    assert all(person.params["RSVP"] == "FALSE" for person in event["ATTENDEE"])
    content_lines(gone.to_ical())


def test_who_has_booked_has_accepted() -> None:
    ann, _ = event_of(replace(ENTRY, accepted=True))["ATTENDEE"]

    assert (ann.params["PARTSTAT"], ann.params["RSVP"]) == ("ACCEPTED", "FALSE")


def test_the_words_between_the_links_are_in_the_messages_language() -> None:
    assert "Teilnehmen: " in event_of(replace(ENTRY, language="de-AT"))["DESCRIPTION"]
    assert "Join: " in event_of(replace(ENTRY, language="fr"))["DESCRIPTION"]


def test_a_uid_is_of_customer_enrolment_and_step_and_nothing_else() -> None:
    places = [
        ("c-1", 1, "a"),
        ("c-1", 2, "a"),
        ("c-2", 1, "a"),
        ("c-1", 1, "b"),
        ("c-11", 1, "a"),
        ("c-1", 11, "a"),
    ]

    assert len({uid_of(*place) for place in places}) == len(places)
    assert uid_of(*places[0]) == uid_of(*places[0])
    assert "c-1" not in uid_of(*places[0])


def test_the_attachments_type_is_one_that_sendgrid_takes() -> None:
    file = ENTRY.attachment()

    assert (file.name, file.type) == ("invitation.ics", "text/calendar")
    assert file.content == ENTRY.to_ical()


HOSTILE = [
    'Ann "Lee"\r\nATTENDEE:mailto:eve@evil.example',
    "A\nBEGIN:VALARM\nEND:VALARM",
    "semi;colon:comma,back\\slash^caret^^'quote'",
    "\x00\x07\x1b\x7f\x85\u2028\u2029",
    "Ü" * 200,
    "👩‍💻" * 80,
    "=?utf-8?q?x?=",
    "END:VEVENT",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_and_no_title_gets_out_of_its_line(text: str) -> None:
    holds(text)


@given(st.text(max_size=200))
def test_nothing_that_people_type_gets_out_of_its_line(text: str) -> None:
    holds(text)


def holds(text: str) -> None:
    entry = replace(ENTRY, title=text, attendees=(Address("ann@customer.example", text),))

    lines = content_lines(entry.to_ical())

    names = [re.split("[:;]", line)[0] for line in lines]
    usual = [re.split("[:;]", line)[0] for line in content_lines(ENTRY.to_ical())]
    usual.remove("ATTENDEE")  # it has one more
    assert names == usual
    assert event_of(entry)["ATTENDEE"] == "mailto:ann@customer.example"
    assert entry.to_ical().count(b"BEGIN:VEVENT") == 1
