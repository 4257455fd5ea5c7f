"""Customers' bookings of trainings, from the page behind an invitation's link.

Looking changes nothing. A choice is written to the store, and parked for the journey where it listens, in one
transaction; then it is signalled (as in `answers`). Whoever takes a calendar file gets one whose number is
written down: where a date has been moved or the training called off since, that becomes a state of the
booking first, so that no number ever stands for two dates.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from firstmile.contracts import Clock
from firstmile.errors import DateGone, LinkRefused, SessionsUnread
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.journal import FINISHED
from firstmile.journey.model import Training
from firstmile.links import Target
from firstmile.mail.inviting import closes, in_time, moved
from firstmile.mail.sessions import Session, Sessions, read_sessions
from firstmile.service.answers import OPEN_FOR
from firstmile.service.events import Events, ProductEvent
from firstmile.service.premises import Premises
from firstmile.store import bookings, enrolments, parked, profiles, views
from firstmile.store.bookings import Booking
from firstmile.store.database import Reading
from firstmile.store.profiles import Profile
from firstmile.store.views import Customer

DATES = 6
"""How many dates a page offers."""
BOOKED, DECLINED = "training.booked", "training.declined"
Offer = Literal["open", "taken", "called_off"]
"""`open`: dates can be chosen. `taken`: the customer took part. `called_off`: the journey was stopped, or goes
on without it."""


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """What a link is about. Dates are in journey time, as is `now`.

    `booking` is as it stands now: where its date has been moved, it names the new one; None where nothing has
    been named yet. `kept` is what is written down.
    """

    target: Target
    session: Session
    offer: Offer
    booking: Booking | None
    kept: Booking | None
    dates: Sequence[datetime]
    now: datetime
    profile: Profile | None
    timezone: str
    roles: Mapping[Literal["to", "cc"], Sequence[str]]
    listens: frozenset[str]

    @property
    def locale(self) -> str | None:
        """The customer's."""
        return None if self.profile is None else self.profile.locale

    @property
    def ahead(self) -> bool:
        """Whether the date that was named or booked lies ahead."""
        return self.booking is not None and self.booking.starts > self.now


class Bookings:
    """The part of the service that customers book trainings with."""

    def __init__(self, premises: Premises, events: Events) -> None:
        self._premises = premises
        self._events = events

    async def training(self, target: Target) -> TrainingPage:
        """What a training's link is about. Raises `LinkRefused` if there is no such training any more."""
        sessions = await self._sessions()
        async with self._premises.reading() as db:
            return await self._page(db, target, sessions)

    async def book(self, target: Target, starts: datetime) -> TrainingPage:
        """Book a date. Raises `DateGone` for one that is not (or no longer) offered, and `LinkRefused`."""
        return await self._choose(target, starts)

    async def decline(self, target: Target) -> TrainingPage:
        """The customer cannot come. Raises `LinkRefused`."""
        return await self._choose(target, None)

    async def calendar(self, target: Target) -> TrainingPage:
        """The training with a booking whose number is written down. Raises `LinkRefused`, also where there is
        nothing to put into a calendar."""
        sessions = await self._sessions()
        while True:
            async with self._premises.writing() as tx:
                page = await self._page(tx, target, sessions)
                if page.booking is None:
                    raise LinkRefused("no date has been named yet")
                if await bookings.keep(tx, page.kept, page.booking):
                    return page

    async def _choose(self, target: Target, starts: datetime | None) -> TrainingPage:
        sessions = await self._sessions()
        while True:
            async with self._premises.writing() as tx:
                page = await self._page(tx, target, sessions)
                chosen = self._chosen(page, starts)
                if chosen == page.kept:
                    return page
                if not await bookings.keep(tx, page.kept, chosen):
                    continue  # another click was quicker: look again
                event = _event(page, chosen)
                if event.event in page.listens:
                    await parked.park(tx, _parked(event, self._premises.now()))
            if event.event in page.listens:
                await self._events.hand_over(event)
            return await self.training(target)

    def _chosen(self, page: TrainingPage, starts: datetime | None) -> Booking:
        """What a choice makes of the booking. Raises `DateGone` and `LinkRefused`."""
        if page.offer != "open" or not page.session.dated:
            raise LinkRefused("there is nothing to choose any more")
        now, booking = self._premises.now(), page.kept
        if starts is None:
            # Nothing was named, or it is over: there is nothing that they could not come to.
            if booking is None or booking.starts <= page.now:
                raise DateGone
            return booking.becomes("cancelled", now)
        if starts not in page.dates:
            raise DateGone
        if booking is not None:
            return booking.becomes("booked", now, session=page.session.id, starts=starts)
        target = page.target
        return Booking(target.subject, target.enrolment, target.step, page.session.id, starts, "booked", now)

    async def _page(self, db: Reading, target: Target, sessions: Sessions) -> TrainingPage:
        row = await enrolments.get(db, target.subject, target.enrolment)
        route = None if row is None else await self._premises.shelf.route(db, row.segment, row.version)
        if row is None or route is None or target.step not in route.index:
            raise LinkRefused("nothing is known any more of what this link was about")
        does = route.stops[route.index[target.step]].step.does
        if not isinstance(does, Training) or (session := sessions.get(does.session)) is None:
            raise LinkRefused("there is no such training any more")
        profile = await profiles.get(db, target.subject)
        kept = await bookings.get(db, target.subject, target.enrolment, target.step)
        customer = await views.get(db, target.subject, target.enrolment)
        now = self._premises.now()
        moment = to_datetime(Clock(from_datetime(row.enrolled_at), row.speed).journey(from_datetime(now)))
        offer = _offer(customer, target.step)
        if (
            offer != "called_off"
            and customer is not None
            and customer.view.status in FINISHED
            and (now - customer.updated_at > OPEN_FOR)
        ):
            raise LinkRefused("the journey has been over for long")
        default = route.journey.defaults.timezone
        view = None if customer is None else customer.view
        return TrainingPage(
            target=target,
            session=session,
            offer=offer,
            booking=_settled(kept, session, offer, moment, now),
            kept=kept,
            dates=_dates(kept, session, moment, closes(view, target.step)),
            now=moment,
            profile=profile,
            timezone=(profile.timezone if profile is not None else None) or default or "UTC",
            roles={"to": does.to or (), "cc": does.cc or ()},
            listens=frozenset({BOOKED, DECLINED}) & route.listens,
        )

    async def _sessions(self) -> Sessions:
        # Read each time: a few kilobytes, and a date that was moved is moved at once.
        file = self._premises.settings.templates_folder() / "_layout" / "sessions.json"
        try:
            return await asyncio.to_thread(read_sessions, file)
        except (ValueError, OSError) as error:
            raise SessionsUnread(f"_layout/sessions.json cannot be read: {error}") from error


def _offer(customer: Customer | None, step: str) -> Offer:
    if customer is None:
        return "open"
    phase, _ = customer.view.steps.get(step, (None, None))
    if phase == "done":
        return "taken"
    return "called_off" if customer.view.status == "stopped" or phase == "skipped" else "open"


def _settled(
    kept: Booking | None, session: Session, offer: Offer, moment: datetime, now: datetime
) -> Booking | None:
    """The booking as it stands: what the journey and the sessions have become since decides."""
    if kept is None or kept.starts <= moment:
        return kept
    return kept.becomes("cancelled", now) if offer == "called_off" else moved(kept, session, moment, now)


def _dates(
    kept: Booking | None, session: Session, moment: datetime, closing: datetime | None
) -> Sequence[datetime]:
    """The dates to choose from, before the training closes; the booked one among them, however far ahead it
    is. Where none is in time, the next there is."""
    following = session.next_starts(moment, DATES)
    dates = in_time(following, closing) or list(following[:1])
    if kept is not None and kept.starts > moment and kept.starts not in dates and session.offers(kept.starts):
        dates.append(kept.starts)
    return sorted(dates)


def _event(page: TrainingPage, booking: Booking) -> ProductEvent:
    """What the workflow hears. The same change is one event, however often it is told."""
    target, name = page.target, DECLINED if booking.state == "cancelled" else BOOKED
    parts = (target.subject, target.enrolment, target.step, name, booking.sequence)
    identity = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:40]
    properties = {"step": target.step, "session": booking.session}
    return ProductEvent(target.subject, name, identity, None, properties)


def _parked(event: ProductEvent, now: datetime) -> parked.ParkedEvent:
    return parked.ParkedEvent(event.id, event.subject, event.event, None, event.properties, now)
