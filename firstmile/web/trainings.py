"""The page behind an invitation to a training: choose a date, say "I cannot come", take the calendar file.

A look books nothing. What is chosen counts when the page is sent, and the calendar file with the new date is
offered at once. Times are in the customer's zone, which is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_gmt, get_timezone_name
from fastapi import APIRouter, Request
from fastapi.responses import Response

from firstmile.errors import DateGone, LinkRefused, SessionsUnread, StoreAway
from firstmile.links import Links, Target
from firstmile.mail import inviting
from firstmile.mail.calendar_file import CALENDAR_TYPE, FILE_NAME, CalendarEntry
from firstmile.mail.locales import formatting_locale
from firstmile.mail.message import Address
from firstmile.mail.recipients import addressees_of
from firstmile.service import Service, TrainingPage
from firstmile.web import forms, texts
from firstmile.web.desk import READ, Desk
from firstmile.web.rendering import PRIVATE, Pages

Done = Literal["booked", "declined"]


def router(service: Service, links: Links, pages: Pages) -> APIRouter:
    """The routes `/t/…`."""
    found = APIRouter(include_in_schema=False)
    desk = _TrainingDesk(service, links, pages)
    found.add_api_route("/t/{token}", desk.look, methods=READ)
    found.add_api_route("/t/{token}", desk.take, methods=["POST"])
    found.add_api_route(f"/t/{{token}}/{FILE_NAME}", desk.calendar, methods=READ)
    return found


@dataclass(frozen=True, slots=True)
class _Dates:
    """How dates read on one customer's page."""

    locale: Locale
    zone: ZoneInfo
    now: datetime

    def day(self, start: datetime) -> str:
        """The day with its weekday."""
        return format_date(start.astimezone(self.zone), "full", self.locale)

    def time(self, start: datetime, minutes: int) -> str:
        """From when to when, to the minute."""
        ends = (start + timedelta(minutes=minutes)).astimezone(self.zone)
        return f"{self._clock(start.astimezone(self.zone))} – {self._clock(ends)}"

    def named_zone(self) -> str:
        """The zone as people call it, and as the time zone database does."""
        if "/" not in self.zone.key or self.zone.key.startswith("Etc/"):
            offset = self.now.astimezone(self.zone).utcoffset()
            return get_timezone_gmt(self.now.astimezone(self.zone), locale=self.locale) if offset else "UTC"
        name = get_timezone_name(self.zone, "long", zone_variant="generic", locale=self.locale)
        return f"{name} ({self.zone.key.replace('_', ' ')})"

    def _clock(self, local: datetime) -> str:
        return format_time(local, "short", locale=self.locale)


class _TrainingDesk(Desk):
    async def look(self, request: Request, token: str) -> Response:
        """The page that names the date, and the others to choose from."""
        page = await self._training(request, token)
        if isinstance(page, Response):
            return page
        return self._shown(request, page, asked=inviting.read(request.query_params.get("start")))

    async def take(self, request: Request, token: str) -> Response:
        """Book a date, or say that none suits."""
        page = await self._training(request, token)
        if isinstance(page, Response):
            return page
        form = await forms.fields(request)
        choice, language = form.get("choice"), forms.language(request, page.locale)
        # A field that no person sees: whoever filled it in books nothing.
        nobody = choice not in ("book", "decline") or form.get("website")
        if nobody or page.offer != "open" or not page.session.dated:
            return self._shown(request, page)
        if choice == "book" and (start := inviting.read(form.get("start"))) is None:
            return self._shown(request, page, wrong="training.missing")
        try:
            if choice == "book":
                assert start is not None
                done = await self.service.bookings.book(page.target, start)
            else:
                done = await self.service.bookings.decline(page.target)
        except DateGone:
            return self._shown(request, page, wrong="training.gone")
        except LinkRefused:
            return self.pages.message(language, "training.closed", 410)
        except (StoreAway, SessionsUnread) as error:
            return self.away(language, error, "unavailable.booking")
        return self._shown(request, done, done="booked" if choice == "book" else "declined")

    async def calendar(self, request: Request, token: str) -> Response:
        """The calendar file of how things stand."""
        target = self.target(request, token, "training")
        if isinstance(target, Response):
            return target
        try:
            page = await self.service.bookings.calendar(target)
        except LinkRefused:
            return self.pages.message(forms.language(request), "training.closed", 410)
        except (StoreAway, SessionsUnread) as error:
            return self.away(forms.language(request), error, "unavailable.booking")
        entry = self._entry(request, page)
        return Response(
            entry.to_ical(),
            media_type=f"{CALENDAR_TYPE}; charset=utf-8; method={entry.method}",
            headers=PRIVATE | {"Content-Disposition": f'attachment; filename="{FILE_NAME}"'},
        )

    async def _training(self, request: Request, token: str) -> TrainingPage | Response:
        target = self.target(request, token, "training")
        if isinstance(target, Response):
            return target
        try:
            return await self.service.bookings.training(target)
        except LinkRefused:
            return self.pages.message(forms.language(request), "training.closed", 410)
        except (StoreAway, SessionsUnread) as error:
            return self.away(forms.language(request), error, "unavailable.booking")

    def _entry(self, request: Request, page: TrainingPage) -> CalendarEntry:
        settings, profile = self.service.settings, page.profile
        address = self.pages.brand.get("reply_to") or settings.mail_sender
        people = () if profile is None else addressees_of(profile, page.roles["to"], page.roles["cc"])
        assert page.booking is not None
        return inviting.entry_of(
            page.booking,
            page.session,
            language=forms.language(request, page.locale),
            organizer=Address(address, settings.mail_sender_name),
            attendees=[one.address for one in people if one.address is not None],
            page=self._url(page.target),
            stamp=page.booking.updated_at,
        )

    def _url(self, target: Target) -> str:
        return self.links.training_url(target.subject, target.enrolment, target.step)

    def _shown(
        self,
        request: Request,
        page: TrainingPage,
        *,
        asked: datetime | None = None,
        wrong: str | None = None,
        done: Done | None = None,
    ) -> Response:
        """The page as it stands. `asked` is the date of the link that was opened; `wrong` names a text."""
        language = forms.language(request, page.locale)
        words, session = texts.LANGUAGES[language], page.session
        dates = _Dates(formatting_locale(page.locale, language), ZoneInfo(page.timezone), page.now)
        title = session.titled(page.locale or language)
        facts = words[f"training.{session.kind}"].replace("{minutes}", str(session.minutes))
        if page.offer != "open" or not session.dated:
            name = "anytime" if page.offer == "open" else page.offer
            heading, text = words[f"training.{name}"], words[f"training.{name}.more"]
        else:
            heading, text = title, ""
        booking = page.booking
        coming = booking is not None and page.ahead and booking.state != "cancelled"
        chosen = asked if asked in page.dates else booking.starts if booking is not None and coming else None
        return self.pages.render(
            "training.html.j2",
            language,
            422 if wrong else 200,
            heading=heading,
            text=text,
            title=title,
            facts=facts,
            action=request.url.path,
            url=session.url,
            zone=dates.named_zone(),
            state=_state(page),
            done=done,
            wrong=words[wrong] if wrong else None,
            yours=None if booking is None or not page.ahead else _said(dates, page, booking.starts),
            coming=coming,
            calendar=f"{request.url.path}/{FILE_NAME}" if page.ahead else None,
            choices=[
                {
                    "value": inviting.written(start),
                    "checked": start == chosen,
                    "yours": booking is not None and coming and start == booking.starts,
                    **_said(dates, page, start),
                }
                for start in (page.dates if page.offer == "open" else ())
            ],
        )


def _state(page: TrainingPage) -> str:
    """How things stand, in the names of the texts that say it."""
    if page.offer != "open":
        return page.offer
    if not page.session.dated:
        return "anytime"
    if page.booking is None:
        return "free"
    return page.booking.state if page.ahead else "passed"


def _said(dates: _Dates, page: TrainingPage, start: datetime) -> dict[str, Any]:
    return {"day": dates.day(start), "time": dates.time(start, page.session.minutes)}
