"""Training sessions: when the next one is, and the calendar file that goes with an invitation (RFC 5545,
5546).

Sessions are data (`templates/_layout/sessions.json`): a title, an address, how long; for those with a date,
when they start: listed (`starts`), or every week (`weekly`: day, wall-clock time, zone).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from firstmile.mail.message import Address, Attachment

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CALENDAR_TYPE = "text/calendar"
"""SendGrid refuses an attachment type with `;`: METHOD stands inside the file only."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"'{name}' is not a time zone") from None
    return name


class Weekly(BaseModel):
    """Every week at the same wall-clock time of one zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    time: time
    timezone: Annotated[str, AfterValidator(_zone)]


class Session(BaseModel):
    """A training session that customers are invited to."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = ""
    title: str
    kind: Literal["live", "webinar", "video", "self-paced"] = "live"
    url: str
    minutes: Annotated[int, Field(ge=1)] = 60
    starts: tuple[AwareDatetime, ...] = ()
    weekly: Weekly | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first start after `moment`, in the session's zone; None for one without a date."""
        candidates = [start for start in self.starts if start > moment]
        if self.weekly is not None:
            candidates.append(_next_weekly(self.weekly, moment))
        return min(candidates, default=None)


def _next_weekly(weekly: Weekly, moment: datetime) -> datetime:
    zone = ZoneInfo(weekly.timezone)
    local = moment.astimezone(zone)
    days = (WEEKDAYS.index(weekly.weekday) - local.weekday()) % 7
    for week in range(3):
        day = local.date() + timedelta(days=days + 7 * week)
        # A time that does not exist is read with the offset before the gap, one that exists twice is the
        # first (RFC 5545 §3.3.5): fold=0 says both, and the way through UTC writes the wall clock anew.
        start = datetime.combine(day, weekly.time, tzinfo=zone).astimezone(UTC).astimezone(zone)
        if start > moment:
            return start
    raise AssertionError("unreachable: one of three weeks lies ahead")


Sessions = Mapping[str, Session]
_SESSIONS = TypeAdapter(dict[str, Session])


def read_sessions(path: Path) -> Sessions:
    """The sessions of a sessions.json; none where there is no file. Raises `ValueError` naming what is
    wrong."""
    if not path.is_file():
        return {}
    found = _SESSIONS.validate_python(json.loads(path.read_text(encoding="utf-8")))
    return {name: session.model_copy(update={"id": name}) for name, session in found.items()}


def invitation(
    key: str,
    session: Session,
    starts: datetime,
    *,
    organizer: Address,
    attendees: Sequence[Address],
    stamp: datetime,
) -> Attachment:
    """The calendar file for a session: a request to attend, in UTC. `key` is the effect's: it makes the
    UID, so that the same invitation sent again is the same entry in the calendar."""
    event = Event()
    event.add("uid", f"{key}@firstmile")
    event.add("sequence", 0)
    event.add("dtstamp", stamp.astimezone(UTC))
    event.add("dtstart", starts.astimezone(UTC))
    event.add("dtend", starts.astimezone(UTC) + timedelta(minutes=session.minutes))
    event.add("summary", session.title)
    event.add("location", session.url)
    event.add("url", session.url)
    event.add("description", session.url)
    event.add("status", "CONFIRMED")
    event.add("organizer", _person(organizer))
    for attendee in attendees:
        person = _person(attendee)
        person.params["ROLE"] = vText("REQ-PARTICIPANT")
        person.params["PARTSTAT"] = vText("NEEDS-ACTION")
        person.params["RSVP"] = vText("TRUE")
        event.add("attendee", person, encode=False)
    calendar = Calendar()
    calendar.add("prodid", "-//Firstmile//Onboarding//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "REQUEST")
    calendar.add_component(event)
    return Attachment("invitation.ics", CALENDAR_TYPE, calendar.to_ical())


def _person(address: Address) -> vCalAddress:
    person = vCalAddress(f"MAILTO:{address.email}")
    if address.name:
        person.params["CN"] = vText(address.name.replace('"', "'"))
    return person
