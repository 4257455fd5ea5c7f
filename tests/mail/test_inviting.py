"""What an invitation names: the date that stands, else the next one; written down before it goes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import View
from firstmile.mail.calendar_file import uid_of
from firstmile.mail.errors import TemplateError
from firstmile.mail.inviting import Invitation, entry_of, invitation_of, moved, read, written
from firstmile.mail.message import Address
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Post, send_once
from firstmile.mail.sessions import Session, Weekly
from firstmile.store import bookings, holds, suppressions
from firstmile.store.bookings import Booking
from firstmile.store.database import Database, Reading
from tests.mail.building import LINKS, Ask, SetClock, Standin, asking

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
TUESDAYS = [datetime(2026, 3, 10, 14, tzinfo=UTC) + timedelta(weeks=week) for week in range(3)]
WEEKLY = Session(
    id="intro",
    title="Introduction",
    url="https://acme.example/intro",
    weekly=Weekly(weekday="tue", time=time(15), timezone="Europe/Berlin"),
)
OFFERED = Booking("c-1", 1, "t", "intro", TUESDAYS[0], "offered", NOW)
TRAINING = {"template": "intro", "session": "intro"}
WITH_PAGE = LINKS | {"training": "https://acme.example/t/token"}


def invited(
    before: Booking | None, session: Session = WEEKLY, now: datetime = NOW, speed: float = 1
) -> Invitation:
    request = asking(lambda: NOW)(step="t", kind="training", params=TRAINING, speed=speed)
    found = invitation_of(request, {"intro": session}, before, now)
    assert found is not None
    return found


# ---- which date ------------------------------------------------------------------------------------------


def test_a_first_invitation_names_the_next_date_and_further_ones() -> None:
    found = invited(None)

    assert found.booking == OFFERED
    assert found.starts == TUESDAYS[0]
    assert list(found.others[:2]) == TUESDAYS[1:]
    assert len(found.others) == 4


def test_dates_after_the_training_closes_are_not_offered() -> None:
    closing = TUESDAYS[1] + timedelta(minutes=1)
    view = View(1, "active", None, None, None, {"t": ("open", from_datetime(closing))})
    asked = asking(lambda: NOW)(step="t", kind="training", params=TRAINING)
    request = replace(asked, records=replace(asked.records, success_view=view))

    found = invitation_of(request, {"intro": WEEKLY}, None, NOW)

    assert found is not None
    assert (found.starts, list(found.others)) == (TUESDAYS[0], [TUESDAYS[1]])
    # The invited date is named even so: it is the best there is.
    late = replace(
        request,
        records=replace(asked.records, success_view=replace(view, steps={"t": ("open", from_datetime(NOW))})),
    )
    none_in_time = invitation_of(late, {"intro": WEEKLY}, None, NOW)
    assert none_in_time is not None
    assert (none_in_time.starts, list(none_in_time.others)) == (TUESDAYS[0], [])


@pytest.mark.parametrize("state", ["offered", "booked"])
def test_a_resend_names_the_date_that_stands_and_raises_nothing(state: Any) -> None:
    before = replace(OFFERED, state=state, starts=TUESDAYS[1], sequence=1)

    found = invited(before)

    assert found.booking is before
    assert found.others[0] == TUESDAYS[0]
    assert TUESDAYS[1] not in found.others


def test_a_date_that_has_passed_or_was_declined_is_followed_by_the_next_one() -> None:
    passed = invited(replace(OFFERED, state="booked"), now=TUESDAYS[0] + timedelta(hours=1))
    declined = invited(OFFERED.becomes("cancelled", NOW))

    assert (passed.starts, passed.booking and passed.booking.sequence) == (TUESDAYS[1], 1)
    assert (declined.starts, declined.booking and declined.booking.sequence) == (TUESDAYS[0], 2)


def test_a_date_that_was_moved_is_followed_by_the_one_in_its_place() -> None:
    thursday = WEEKLY.model_copy(
        update={"weekly": Weekly(weekday="thu", time=time(15), timezone="Europe/Berlin")}
    )

    found = invited(replace(OFFERED, state="booked"), thursday)

    assert found.starts == TUESDAYS[0] + timedelta(days=2)
    assert found.booking == replace(OFFERED, starts=found.starts, sequence=1)


def test_a_date_that_is_gone_without_another_is_taken_out_of_the_calendar() -> None:
    none = Session(id="intro", title="T", url="https://a.example")

    found = invited(OFFERED, none)

    assert found.starts is None
    entry = found.calendar_entry(
        language="en", organizer=Address("a@b.example"), attendees=(), page=None, stamp=NOW
    )
    assert entry is not None
    assert (entry.method, entry.sequence, entry.starts) == ("CANCEL", 1, TUESDAYS[0])


def test_a_session_without_dates_is_invited_to_without_a_booking() -> None:
    found = invited(None, Session(id="intro", title="T", url="https://a.example", kind="video"))

    assert (found.booking, found.starts, list(found.others)) == (None, None, [])
    assert found.values(WITH_PAGE)["starts"] is None


def test_dates_are_in_journey_time() -> None:
    # Ten days of the journey pass in an hour of the clock.
    found = invited(None, now=NOW + timedelta(hours=1), speed=240)

    assert found.starts == TUESDAYS[1]


def test_templates_see_each_other_date_with_a_link_that_preselects_it() -> None:
    values = invited(None).values(WITH_PAGE)

    assert values["choices"][0] == {
        "starts": TUESDAYS[1],
        "url": "https://acme.example/t/token?start=20260317T140000Z",
    }
    assert invited(None).values(LINKS)["choices"] == []


@given(st.integers(-(10**9), 10**9))
def test_a_date_is_read_as_it_was_written(seconds: int) -> None:
    start = NOW + timedelta(seconds=seconds)
    assert read(written(start)) == start


@pytest.mark.parametrize("text", [None, "", "soon", "20260317T140000", "20269999T000000Z", "x" * 10_000])
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert read(text) is None


def test_a_session_that_is_not_there_is_told_with_the_one_that_was_meant() -> None:
    request = asking(lambda: NOW)(step="t", kind="training", params={"template": "intro", "session": "intr"})

    with pytest.raises(TemplateError, match="unknown session 'intr': did you mean 'intro'"):
        invitation_of(request, {"intro": WEEKLY}, None, NOW)


# ---- any course of things --------------------------------------------------------------------------------


@dataclass
class Customer:
    """One customer's calendar: what every file said, as a reader of the files sees it."""

    booking: Booking | None = None
    session: Session = WEEKLY
    now: datetime = NOW

    def file(self) -> Any:
        """The event of the file; None before an invitation."""
        if self.booking is None:
            return None
        entry = entry_of(
            self.booking,
            self.session,
            language="en",
            organizer=Address("hello@acme.example"),
            attendees=(Address("ann@customer.example"),),
            page=None,
            stamp=self.booking.updated_at,
        )
        (event,) = Calendar.from_ical(entry.to_ical()).walk("VEVENT")
        return event

    def invite(self, _: int) -> None:
        self.booking = invited(self.booking, self.session, self.now).booking

    def book(self, which: int) -> None:
        if self.booking is not None:
            dates = self.session.next_starts(self.now, 6)
            self.booking = self.booking.becomes("booked", self.now, starts=dates[which % 6])

    def decline(self, _: int) -> None:
        if self.booking is not None:
            self.booking = self.booking.becomes("cancelled", self.now)

    def move(self, which: int) -> None:
        day = ("mon", "tue", "fri")[which % 3]
        self.session = self.session.model_copy(
            update={"weekly": Weekly.model_validate({"weekday": day, "time": "15:00", "timezone": "UTC"})}
        )

    def download(self, _: int) -> None:
        if self.booking is not None:
            self.booking = moved(self.booking, self.session, self.now, self.now)

    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)


DOINGS = ("invite", "book", "decline", "move", "download", "wait")


@given(st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 12)), max_size=40))
def test_in_any_course_of_things_a_calendar_is_never_told_two_things_under_one_number(
    course: list[tuple[str, int]],
) -> None:
    customer, told = Customer(), dict[int, tuple[Any, ...]]()
    last: tuple[int, tuple[Any, ...]] | None = None

    for doing, which in course:
        getattr(customer, doing)(which)
        event = customer.file()
        if event is None:
            continue
        assert event["UID"] == uid_of("c-1", 1, "t")
        shown = (event.decoded("DTSTART"), event["STATUS"])
        assert told.setdefault(event["SEQUENCE"], shown) == shown
        if last is not None:
            assert event["SEQUENCE"] == last[0] + (shown != last[1])
        last = (event["SEQUENCE"], shown)


# ---- sent ------------------------------------------------------------------------------------------------


async def kept(db: Database) -> Booking | None:
    async with db.reading() as tx:
        return await bookings.get(tx, "c-1", 1, "t")


def last_event(sendgrid: Standin) -> Any:
    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    file = opened.attachment(0)
    assert file is not None
    (event,) = Calendar.from_ical(file[2]).walk("VEVENT")
    return event


@pytest.fixture
def now() -> SetClock:
    return SetClock(NOW)


async def send(db: Database, transport: SendGrid, post: Post, ask: Ask, **other: Any) -> Any:
    request = ask(step="t", kind="training", params=TRAINING, **other)
    return await send_once(db, transport, request, post, links=WITH_PAGE)


async def test_what_is_sent_is_what_is_written_down(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    await send(db, transport, post, ask)

    booking = await kept(db)
    assert booking is not None
    assert (booking.state, booking.sequence, booking.starts) == ("offered", 0, TUESDAYS[0])
    event = last_event(sendgrid)
    assert (event["SEQUENCE"], event.decoded("DTSTART")) == (0, TUESDAYS[0])


async def test_an_operators_resend_brings_the_booked_date_under_its_number(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    await send(db, transport, post, ask)
    booking = await kept(db)
    assert booking is not None
    booked = booking.becomes("booked", NOW, starts=TUESDAYS[2])
    async with db.writing() as tx:
        await bookings.keep(tx, booking, booked)

    await send(db, transport, post, ask, purpose="resend", attempt=2)

    event = last_event(sendgrid)
    assert (event["UID"], event["SEQUENCE"]) == (uid_of("c-1", 1, "t"), 1)
    assert event.decoded("DTSTART") == TUESDAYS[2]
    assert event["ATTENDEE"].params["PARTSTAT"] == "ACCEPTED"
    assert await kept(db) == booked


async def test_an_invitation_that_does_not_go_out_books_nothing(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    async with db.writing() as tx:
        await holds.place(tx, "customer", "c-1", reason="wait", actor="op", now=NOW)
    assert (await send(db, transport, post, ask)).outcome == "deferred"
    assert await kept(db) is None

    async with db.writing() as tx:
        await holds.release(tx, "customer", "c-1", actor="op", now=NOW)
        await suppressions.add(tx, "ann@customer.example", "bounced", NOW)
    assert (await send(db, transport, post, ask)).outcome == "skipped"
    assert await kept(db) is None
    assert sendgrid.mailbox.count() == 0


async def test_a_choice_made_while_the_invitation_was_written_is_the_one_that_is_sent(
    db: Database,
    transport: SendGrid,
    sendgrid: Standin,
    post: Post,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await send(db, transport, post, ask)
    offered = await kept(db)
    assert offered is not None
    chosen = offered.becomes("booked", NOW, starts=TUESDAYS[1])
    look, quicker = bookings.get, [chosen]

    async def looked(tx: Reading, *place: Any) -> Booking | None:
        found = await look(tx, *place)
        if quicker:
            async with db.writing() as other:
                assert await bookings.keep(other, found, quicker.pop())
        return found

    monkeypatch.setattr(bookings, "get", looked)

    await send(db, transport, post, ask, purpose="resend", attempt=2)

    assert last_event(sendgrid).decoded("DTSTART") == TUESDAYS[1]
    assert await kept(db) == chosen
    assert sendgrid.mailbox.count() == 2
