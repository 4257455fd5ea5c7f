"""The calendar file of a training (RFC 5545), as a request to attend or as its cancellation (RFC 5546).

A calendar knows an entry by its UID and takes the highest SEQUENCE: the UID is the same for as long as a
customer is invited by one step, whichever message or page the file comes from; the SEQUENCE is the
booking's. Times are in UTC: calendars show them in the reader's own zone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from icalendar import Alarm, Calendar, Event, vCalAddress, vText, vUri

from firstmile.mail.message import Address, Attachment, one_line

Method = Literal["REQUEST", "CANCEL"]
CALENDAR_TYPE: Final = "text/calendar"
"""SendGrid refuses an attachment type with `;`: METHOD stands inside the file only."""
FILE_NAME: Final = "invitation.ics"
REMIND_BEFORE: Final = timedelta(minutes=15)
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"join": "Join:", "change": "Another date, or cannot come:"},
    "de": {"join": "Teilnehmen:", "change": "Anderer Termin, oder verhindert:"},
}


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """One training in a customer's calendar.

    `accepted`: the customer has said that they will come. `change_url` is where they choose another date;
    `stamp` is when this state of the entry came about; `language` is that of the words between the links.
    """

    uid: str
    sequence: int
    title: str
    url: str
    starts: datetime
    minutes: int
    stamp: datetime
    organizer: Address
    attendees: Sequence[Address] = field(repr=False)
    cancelled: bool = False
    accepted: bool = False
    change_url: str | None = field(default=None, repr=False)
    language: str = "en"

    @property
    def method(self) -> Method:
        """What the file asks of a calendar."""
        return "CANCEL" if self.cancelled else "REQUEST"

    def attachment(self) -> Attachment:
        """The file as it goes along with a message."""
        return Attachment(FILE_NAME, CALENDAR_TYPE, self.to_ical())

    def to_ical(self) -> bytes:
        """The file: lines end in CRLF and have at most 75 octets."""
        calendar = Calendar()
        calendar.add("prodid", "-//Firstmile//Onboarding//EN")
        calendar.add("version", "2.0")
        calendar.add("method", self.method)
        calendar.add_component(self._event())
        return bytes(calendar.to_ical())

    def _event(self) -> Event:
        event, starts = Event(), self.starts.astimezone(UTC)
        event.add("uid", self.uid)
        event.add("sequence", self.sequence)
        event.add("dtstamp", self.stamp.astimezone(UTC))
        event.add("dtstart", starts)
        event.add("dtend", starts + timedelta(minutes=self.minutes))
        event.add("summary", one_line(self.title))
        event.add("location", self.url)
        event.add("url", vUri(self.url))
        event.add("description", self._description())
        event.add("status", "CANCELLED" if self.cancelled else "CONFIRMED")
        event.add("organizer", _person(self.organizer), encode=False)
        for attendee in self.attendees:
            person = _person(attendee)
            person.params["ROLE"] = vText("REQ-PARTICIPANT")
            person.params["PARTSTAT"] = vText("ACCEPTED" if self.accepted else "NEEDS-ACTION")
            person.params["RSVP"] = vText("FALSE" if self.accepted or self.cancelled else "TRUE")
            event.add("attendee", person, encode=False)
        if not self.cancelled:
            event.add_component(self._alarm())
        return event

    def _alarm(self) -> Alarm:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("trigger", -REMIND_BEFORE)
        alarm.add("description", one_line(self.title))
        return alarm

    def _description(self) -> str:
        words = _WORDS.get(self.language.partition("_")[0].partition("-")[0], _WORDS["en"])
        lines = [] if self.cancelled else [f"{words['join']} {self.url}"]
        if self.change_url is not None:
            lines.append(f"{words['change']} {self.change_url}")
        return "\n".join(lines)


def uid_of(subject: str, enrolment: int, step: str) -> str:
    """The UID of the training that a step invites to: whatever becomes of its date, it stays."""
    parts = "\x1f".join(("training", subject, str(enrolment), step))
    return f"{hashlib.sha256(parts.encode()).hexdigest()[:40]}@firstmile"


def _person(address: Address) -> vCalAddress:
    person = vCalAddress(f"mailto:{address.email}")
    if address.name:
        # Few programs know how RFC 6868 writes what may not stand between quotation marks.
        person.params["CN"] = vText(address.name.replace('"', "'").replace("^", ""))
    return person
