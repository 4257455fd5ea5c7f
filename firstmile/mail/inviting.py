"""What an invitation to a training names: a date, other dates to choose from, and the calendar file.

An invitation is about one booking (`store.bookings`). A date that was named or chosen stands for as long as
it lies ahead and the session still takes place then; else the next one is offered. Dates are in journey time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from firstmile.contracts import EffectRequest
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.journal import View
from firstmile.journey.problems import unknown
from firstmile.mail.calendar_file import CalendarEntry, uid_of
from firstmile.mail.errors import TemplateError
from firstmile.mail.message import Address
from firstmile.mail.sessions import Session, Sessions
from firstmile.store.bookings import Booking

OTHER_DATES = 4
"""How many dates a message names beside the one it invites to."""
_START = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What one message invites to. `booking` is to be written over `before` when the message goes out; None
    for a session without a date. `others` are further dates."""

    session: Session
    before: Booking | None
    booking: Booking | None
    others: Sequence[datetime]
    ahead: bool

    @property
    def starts(self) -> datetime | None:
        """The date it invites to, if there is one."""
        there = self.booking is not None and self.ahead and self.booking.state != "cancelled"
        return self.booking.starts if self.booking is not None and there else None

    def values(self, links: Mapping[str, str]) -> dict[str, Any]:
        """The `session` that templates see; its title, where there are several, in the message's language."""
        page = links.get("training")
        return {
            "id": self.session.id,
            "title": self.session.title,
            "kind": self.session.kind,
            "starts": self.starts,
            "url": self.session.url,
            "minutes": self.session.minutes,
            "choices": [
                {"starts": start, "url": f"{page}?start={written(start)}"} for start in self.others if page
            ],
        }

    def calendar_entry(
        self,
        *,
        language: str,
        organizer: Address,
        attendees: Sequence[Address],
        page: str | None,
        stamp: datetime,
    ) -> CalendarEntry | None:
        """What goes into the customer's calendar, or out of it; None where there is no date ahead."""
        if self.booking is None or not self.ahead:
            return None
        return entry_of(
            self.booking,
            self.session,
            language=language,
            organizer=organizer,
            attendees=attendees,
            page=page,
            stamp=stamp,
        )


def invitation_of(
    request: EffectRequest, sessions: Sessions, before: Booking | None, now: datetime
) -> Invitation | None:
    """What a step's message invites to; None for a step that invites to nothing. Raises `TemplateError`."""
    name: Any = request.params.get("session")
    if name is None:
        return None
    session = sessions.get(name)
    if session is None:
        template = str(request.params.get("template") or "")
        raise TemplateError(template, unknown("session", str(name), sessions), file="_layout/sessions.json")
    moment = to_datetime(request.clock.journey(from_datetime(now)))
    booking = _invited(request, before, session, moment, now)
    dates = in_time(
        session.next_starts(moment, OTHER_DATES + 1), closes(request.records.success_view, request.step)
    )
    others = [start for start in dates if booking is None or start != booking.starts][:OTHER_DATES]
    return Invitation(session, before, booking, others, booking is not None and booking.starts > moment)


def closes(view: View | None, step: str) -> datetime | None:
    """When a step that is open in a view closes, in journey time; None where it does not by itself."""
    phase, at = ("", None) if view is None else view.steps.get(step, ("", None))
    return to_datetime(at) if phase == "open" and at is not None else None


def in_time(dates: Sequence[datetime], closing: datetime | None) -> list[datetime]:
    """The dates that begin before a training closes: who came to a later one would have missed it."""
    return [start for start in dates if closing is None or start < closing]


def _invited(
    request: EffectRequest, before: Booking | None, session: Session, moment: datetime, now: datetime
) -> Booking | None:
    settled = None if before is None else moved(before, session, moment, now)
    if settled is not None and settled.state != "cancelled" and settled.starts > moment:
        return settled
    following = session.next_after(moment)
    if following is None:
        return settled
    if settled is None:
        return Booking(
            request.subject, request.enrolment, request.step, session.id, following, "offered", now
        )
    return settled.becomes("offered", now, session=session.id, starts=following)


def moved(booking: Booking, session: Session, moment: datetime, now: datetime) -> Booking:
    """The booking when the session no longer takes place at its date: the next one is offered, or it is off
    where there is none. `moment` is now in journey time."""
    kept = booking.session == session.id and session.offers(booking.starts)
    if kept or booking.state == "cancelled" or booking.starts <= moment:
        return booking
    following = session.next_after(moment)
    if following is None:
        return booking.becomes("cancelled", now)
    return booking.becomes("offered", now, session=session.id, starts=following)


def entry_of(
    booking: Booking,
    session: Session,
    *,
    language: str,
    organizer: Address,
    attendees: Sequence[Address],
    page: str | None,
    stamp: datetime,
) -> CalendarEntry:
    """A booking as an entry of a calendar. `page` is where another date can be chosen."""
    return CalendarEntry(
        uid=uid_of(booking.subject, booking.enrolment, booking.step),
        sequence=booking.sequence,
        title=session.titled(language),
        url=session.url,
        starts=booking.starts,
        minutes=session.minutes,
        stamp=stamp,
        organizer=organizer,
        attendees=attendees,
        cancelled=booking.state == "cancelled",
        accepted=booking.state == "booked",
        change_url=page,
        language=language,
    )


def written(start: datetime) -> str:
    """A date as it stands in a link and in a form."""
    return start.astimezone(UTC).strftime(_START)


def read(text: str | None) -> datetime | None:
    """A date out of a link or a form; None for what is none."""
    try:
        return None if text is None else datetime.strptime(text, _START).replace(tzinfo=UTC)
    except ValueError:
        return None
