"""The page behind an invitation: a look books nothing, a choice is kept and told, and the calendar follows."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from icalendar import Calendar

from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import View
from firstmile.links import Links
from firstmile.mail.calendar_file import uid_of
from firstmile.service import Service
from firstmile.store import bookings, parked, views
from firstmile.store.bookings import Booking
from firstmile.web import texts
from tests.doorway import SIGN_UP, Clock, Nowhere, database_of, folders, opened
from tests.web.elements import Elements, path

JOURNEY = """\
journey: taught
version: 1
title: Taught
onboarded: {milestone: first_value, within: 14 days}
ends: 60 days
steps:
  - id: training
    training: {session: team, template: welcome}
    window: anytime
  - id: video
    training: {session: tour, template: welcome}
  - id: first_value
    milestone: {event: report.published}
  - id: call
    task: {title: Call the customer, owner: onboarding}
    when: count('training.declined') > 0
  - id: praise
    when: count('training.booked') > 0
    email: {template: welcome}
"""
TEAM = {
    "title": {"en": "Acme for teams", "de": "Acme im Team"},
    "kind": "live",
    "url": "https://learn.acme.example/team",
    "minutes": 45,
    "weekly": {"weekday": "tue", "time": "15:00", "timezone": "Europe/Berlin"},
}
TOUR = {"title": "The tour", "kind": "video", "url": "https://learn.acme.example/tour", "minutes": 6}
# The clock of these tests stands at Friday, 6 March 2026, 09:00 UTC.
TUESDAYS = [datetime(2026, 3, 10, 14, tzinfo=UTC) + timedelta(weeks=week) for week in range(3)]


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """The file of sessions; what a test writes there is in force."""
    shipped = folders(tmp_path).templates_folder()
    shutil.copytree(shipped, tmp_path / "templates", ignore=shutil.ignore_patterns(".*"))
    file = tmp_path / "templates" / "_layout" / "sessions.json"
    file.write_text(json.dumps({"team": TEAM, "tour": TOUR}))
    return file


@pytest.fixture
def brand(sessions: Path) -> dict[str, str]:
    """The brand that the pages are of."""
    found: dict[str, str] = json.loads(sessions.with_name("brand.json").read_text())
    return found


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere, clock: Clock, sessions: Path) -> AsyncIterator[Service]:
    folder = tmp_path / "taught"
    folder.mkdir()
    (folder / "taught.yaml").write_text(JOURNEY)
    async with opened(tmp_path, temporal, clock, templates=sessions.parents[1]) as found:
        await found.publish(journeys=folder, templates=_only_welcome(tmp_path))
        for id, locale in (("c-1", "en-GB"), ("c-2", "de")):
            signed_up = SIGN_UP | {"id": id, "segment": "taught", "locale": locale, "traits": {}}
            await found.enrol(signed_up)
        yield found


@pytest.fixture
def page(links: Links) -> str:
    return path(links.training_url("c-1", 1, "training"))


def _only_welcome(place: Path) -> Path:
    """Publishing renders every template: this journey has one."""
    (place / "few").mkdir()
    for name in ("welcome", "_layout"):
        (place / "few" / name).symlink_to(place / "templates" / name)
    return place / "few"


@pytest.fixture
async def offered(service: Service) -> Booking:
    """What was written down when the invitation went out."""
    booking = Booking(
        "c-1", 1, "training", "team", TUESDAYS[0], "offered", datetime(2026, 3, 6, 8, tzinfo=UTC)
    )
    async with database_of(service).writing() as tx:
        assert await bookings.keep(tx, None, booking)
    return booking


def write(sessions: Path, what: object) -> None:
    """Put something else into the file of sessions."""
    sessions.write_text(what if isinstance(what, str) else json.dumps(what))


async def kept(service: Service, subject: str = "c-1") -> Booking | None:
    async with database_of(service).reading() as db:
        return await bookings.get(db, subject, 1, "training")


def written(start: datetime) -> str:
    return start.strftime("%Y%m%dT%H%M%SZ")


def book(start: datetime) -> dict[str, str]:
    return {"choice": "book", "start": written(start)}


async def file_of(client: httpx.AsyncClient, page: str) -> tuple[Any, str]:
    """The event of the calendar file, and its method."""
    answer = await client.get(f"{page}/invitation.ics")
    assert answer.status_code == 200
    calendar = Calendar.from_ical(answer.content)
    (event,) = calendar.walk("VEVENT")
    return event, str(calendar["METHOD"])


async def view(service: Service, status: str, phase: str, at: datetime | None = None) -> None:
    """What the customer's workflow has come to."""
    now = from_datetime(service._premises.now())
    told = View(9, status, None, None, None, {"training": (phase, now if at is None else from_datetime(at))})  # type: ignore[arg-type]  # parametrized
    async with database_of(service).writing() as tx:
        await views.write(tx, "c-1", 1, "taught", 1, told, service._premises.now(), now)


# ---- looking ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("offered")
async def test_the_page_lists_dates_in_the_customers_zone_with_theirs_checked(
    client: httpx.AsyncClient, page: str
) -> None:
    seen = Elements((await client.get(page)).text)

    choices = seen.all("input", type="radio", name="start")
    assert len(choices) == 6
    assert [one["value"] for one in choices if "checked" in one] == [written(TUESDAYS[0])]
    assert "Tuesday, 10 March 2026" in seen.words
    # Three o'clock in Berlin, also once summer time has begun there.
    assert seen.words.count("15:00 – 15:45") == 7
    assert "Central European Time (Europe/Berlin)" in seen.words
    assert texts.ENGLISH["training.offered"] in seen.words


async def test_only_dates_before_the_training_closes_can_be_chosen(
    client: httpx.AsyncClient, service: Service, page: str
) -> None:
    await view(service, "active", "open", TUESDAYS[1] + timedelta(hours=1))
    in_time = Elements((await client.get(page)).text).all("input", type="radio", name="start")
    late = await client.post(page, data=book(TUESDAYS[2]))
    await view(service, "active", "open", TUESDAYS[0] - timedelta(hours=1))
    at_best = Elements((await client.get(page)).text).all("input", type="radio", name="start")

    assert [one["value"] for one in in_time] == [written(TUESDAYS[0]), written(TUESDAYS[1])]
    assert late.status_code == 422
    assert [one["value"] for one in at_best] == [written(TUESDAYS[0])]


async def test_a_look_books_nothing(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, page: str
) -> None:
    for method in ("GET", "HEAD"):
        assert (await client.request(method, f"{page}?start={written(TUESDAYS[1])}")).status_code == 200

    assert await kept(service) is None
    assert temporal.signals == []


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("asked", ["20260317T140000Z", "20260317T140001Z", "soon", "", "9" * 100])
async def test_the_link_of_a_date_preselects_it_if_it_is_offered(
    client: httpx.AsyncClient, page: str, asked: str
) -> None:
    seen = Elements((await client.get(page, params={"start": asked})).text)

    right = written(TUESDAYS[1] if asked == written(TUESDAYS[1]) else TUESDAYS[0])
    assert [one["value"] for one in seen.all("input", type="radio") if "checked" in one] == [right]


async def test_another_zone_and_language(client: httpx.AsyncClient, service: Service, links: Links) -> None:
    await service.enrol(
        SIGN_UP
        | {"id": "c-3", "segment": "taught", "locale": "de-AT", "timezone": "Asia/Kolkata", "traits": {}}
    )
    answer = await client.get(path(links.training_url("c-3", 1, "training")))

    seen = Elements(answer.text)
    assert answer.headers["content-language"] == "de"
    assert "Acme im Team" in seen.words
    assert "Dienstag, 10. März 2026" in seen.words
    assert "19:30 – 20:15" in seen.words
    assert "Indien (Ortszeit) (Asia/Kolkata)" in seen.words


async def test_a_training_without_a_date_leads_to_it(client: httpx.AsyncClient, links: Links) -> None:
    page = path(links.training_url("c-1", 1, "video"))

    seen = Elements((await client.get(page)).text)

    assert seen.all("a", href=str(TOUR["url"]))
    assert not seen.all("form")
    assert (await client.get(f"{page}/invitation.ics")).status_code == 410
    assert (await client.post(page, data={"choice": "decline"})).status_code == 200


# ---- choosing --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("offered")
async def test_another_date_is_booked_told_and_offered_for_the_calendar(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, page: str
) -> None:
    answer = await client.post(page, data=book(TUESDAYS[1]))

    assert answer.status_code == 200
    assert texts.ENGLISH["training.done.booked"] in answer.text
    assert Elements(answer.text).all("a", href=f"{page}/invitation.ics")
    booking = await kept(service)
    assert booking is not None
    assert (booking.state, booking.starts, booking.sequence) == ("booked", TUESDAYS[1], 1)
    ((_, signal),) = temporal.signals
    assert (signal.event, signal.properties) == ("training.booked", {"step": "training", "session": "team"})
    event, method = await file_of(client, page)
    assert (method, event["UID"], event["SEQUENCE"]) == ("REQUEST", uid_of("c-1", 1, "training"), 1)
    assert event.decoded("DTSTART") == TUESDAYS[1]
    assert event["ATTENDEE"].params["PARTSTAT"] == "ACCEPTED"


@pytest.mark.usefixtures("offered")
async def test_to_say_yes_to_the_date_changes_no_calendar(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, page: str
) -> None:
    for _ in range(2):
        assert (await client.post(page, data=book(TUESDAYS[0]))).status_code == 200

    booking = await kept(service)
    assert booking is not None
    assert (booking.state, booking.sequence) == ("booked", 0)
    assert len(temporal.signals) == 1


@pytest.mark.usefixtures("offered")
async def test_who_cannot_come_is_taken_out_of_the_calendar_and_may_come_after_all(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, page: str
) -> None:
    answer = await client.post(page, data={"choice": "decline", "start": written(TUESDAYS[1])})

    assert texts.ENGLISH["training.done.declined"] in answer.text
    assert texts.ENGLISH["training.calendar.remove"] in answer.text
    event, method = await file_of(client, page)
    assert (method, event["STATUS"], event["SEQUENCE"]) == ("CANCEL", "CANCELLED", 1)
    assert temporal.signals[-1][1].event == "training.declined"
    seen = Elements((await client.get(page)).text)
    assert texts.ENGLISH["training.cancelled"] in seen.words
    assert not [one for one in seen.all("input", type="radio") if "checked" in one]

    await client.post(page, data=book(TUESDAYS[0]))

    event, method = await file_of(client, page)
    assert (method, event["SEQUENCE"]) == ("REQUEST", 2)
    assert [signal.event for _, signal in temporal.signals] == ["training.declined", "training.booked"]


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"choice": "book"}, "training.missing"),
        ({"choice": "book", "start": "soon"}, "training.missing"),
        # Not a Tuesday, in the past, and years ahead.
        ({"choice": "book", "start": "20260311T140000Z"}, "training.gone"),
        ({"choice": "book", "start": "20260303T140000Z"}, "training.gone"),
        ({"choice": "book", "start": "20300305T140000Z"}, "training.gone"),
    ],
)
async def test_only_a_date_that_is_offered_can_be_booked(
    client: httpx.AsyncClient, service: Service, page: str, form: dict[str, str], text: str, offered: Booking
) -> None:
    answer = await client.post(page, data=form)

    assert answer.status_code == 422
    assert Elements(answer.text).all("p", role="alert")
    assert texts.ENGLISH[text] in answer.text
    assert await kept(service) == offered


@pytest.mark.parametrize(
    "form",
    [{}, {"choice": "maybe"}, {"choice": "decline", "website": "x"}, book(TUESDAYS[1]) | {"website": "x"}],
)
async def test_what_no_person_sent_changes_nothing(
    client: httpx.AsyncClient,
    service: Service,
    temporal: Nowhere,
    page: str,
    offered: Booking,
    form: dict[str, str],
) -> None:
    assert (await client.post(page, data=form)).status_code == 200

    assert await kept(service) == offered
    assert temporal.signals == []


@pytest.mark.usefixtures("offered")
async def test_nobody_is_asked_to_book_again_because_temporal_is_away(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, page: str
) -> None:
    temporal.away = True

    assert (await client.post(page, data=book(TUESDAYS[1]))).status_code == 200

    async with database_of(service).reading() as db:
        assert [event.event for event in await parked.of(db, "c-1")] == ["training.booked"]


async def test_a_journey_that_does_not_listen_hears_nothing(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, tmp_path: Path, links: Links
) -> None:
    deaf = JOURNEY.replace("journey: taught", "journey: deaf").partition("  - id: call")[0]
    (tmp_path / "deaf").mkdir()
    (tmp_path / "deaf" / "deaf.yaml").write_text(deaf)
    await service.publish(journeys=tmp_path / "deaf", templates=tmp_path / "few")
    await service.enrol(SIGN_UP | {"id": "c-4", "segment": "deaf", "traits": {}})

    await client.post(path(links.training_url("c-4", 1, "training")), data=book(TUESDAYS[1]))

    booking = await kept(service, "c-4")
    assert booking is not None
    assert (booking.state, booking.sequence) == ("booked", 0)
    assert temporal.signals == []


# ---- what becomes of it ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("offered")
async def test_a_date_that_was_moved_gets_its_number_with_the_download(
    client: httpx.AsyncClient, service: Service, page: str, sessions: Path, offered: Booking
) -> None:
    moved = TEAM | {"weekly": {"weekday": "thu", "time": "15:00", "timezone": "Europe/Berlin"}}
    write(sessions, {"team": moved, "tour": TOUR})

    seen = Elements((await client.get(page)).text)
    assert "Thursday, 12 March 2026" in seen.words
    assert await kept(service) == offered

    for _ in range(2):
        event, method = await file_of(client, page)
        assert (method, event["SEQUENCE"]) == ("REQUEST", 1)
        assert event.decoded("DTSTART") == TUESDAYS[0] + timedelta(days=2)


async def test_a_booked_date_stays_listed_however_far_ahead_it_is(
    client: httpx.AsyncClient, service: Service, page: str, offered: Booking
) -> None:
    far = TUESDAYS[0] + timedelta(weeks=3)
    async with database_of(service).writing() as tx:
        await bookings.keep(
            tx, offered, replace(offered, state="booked", starts=far + timedelta(weeks=20, hours=-1))
        )

    seen = Elements((await client.get(page)).text)

    assert len(seen.all("input", type="radio", name="start")) == 7


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(("status", "phase"), [("stopped", "open"), ("active", "skipped")])
async def test_a_training_that_is_called_off_says_so_and_leaves_the_calendar(
    client: httpx.AsyncClient, service: Service, page: str, status: str, phase: str
) -> None:
    await view(service, status, phase)

    seen = Elements((await client.get(page)).text)

    assert texts.ENGLISH["training.called_off"] in seen.words
    assert not seen.all("form")
    for _ in range(2):
        event, method = await file_of(client, page)
        assert (method, event["STATUS"], event["SEQUENCE"]) == ("CANCEL", "CANCELLED", 1)
    assert texts.ENGLISH["training.called_off"] in (await client.post(page, data=book(TUESDAYS[1]))).text


@pytest.mark.usefixtures("offered")
async def test_a_training_that_was_taken_asks_nothing(
    client: httpx.AsyncClient, service: Service, page: str
) -> None:
    await view(service, "active", "done")

    seen = Elements((await client.get(page)).text)

    assert texts.ENGLISH["training.taken"] in seen.words
    assert not seen.all("form")


@pytest.mark.usefixtures("offered")
async def test_a_date_that_has_passed_stays_in_the_calendar_and_others_are_offered(
    client: httpx.AsyncClient, clock: Clock, page: str
) -> None:
    clock.forward(timedelta(days=5))

    seen = Elements((await client.get(page)).text)

    assert texts.ENGLISH["training.passed"] in seen.words
    assert len(seen.all("input", type="radio", name="start")) == 6
    event, method = await file_of(client, page)
    assert (method, event["SEQUENCE"], event.decoded("DTSTART")) == ("REQUEST", 0, TUESDAYS[0])


async def test_long_after_the_journey_the_invitation_has_ended(
    client: httpx.AsyncClient, service: Service, clock: Clock, page: str
) -> None:
    await view(service, "completed", "missed")
    assert (await client.get(page)).status_code == 200
    clock.forward(timedelta(days=31))

    answer = await client.get(page)

    assert answer.status_code == 410
    assert texts.ENGLISH["training.closed"] in answer.text


async def test_dates_are_in_journey_time(
    client: httpx.AsyncClient, service: Service, clock: Clock, links: Links
) -> None:
    await service.enrol(
        SIGN_UP | {"id": "c-5", "segment": "taught", "locale": "en", "traits": {}, "speed": 240}
    )
    clock.forward(timedelta(hours=1))  # ten days of the journey

    seen = Elements((await client.get(path(links.training_url("c-5", 1, "training")))).text)

    assert seen.all("input", type="radio")[0]["value"] == written(TUESDAYS[1])


# ---- every page ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("offered")
async def test_the_calendar_file_has_the_headers_that_programs_look_at(
    client: httpx.AsyncClient, page: str, brand: dict[str, str]
) -> None:
    answer = await client.get(f"{page}/invitation.ics")

    assert answer.headers["content-type"] == "text/calendar; charset=utf-8; method=REQUEST"
    assert answer.headers["content-disposition"] == 'attachment; filename="invitation.ics"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    event, _ = await file_of(client, page)
    assert event["ATTENDEE"] == "mailto:jonas@weber.example"
    assert event["ORGANIZER"] == f"mailto:{brand['reply_to']}"
    await client.post(page, data={"choice": "decline"})
    cancelled = await client.get(f"{page}/invitation.ics")
    assert cancelled.headers["content-type"] == "text/calendar; charset=utf-8; method=CANCEL"


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("form", [None, book(TUESDAYS[1]), {"choice": "decline"}, {"choice": "book"}])
async def test_a_page_keeps_to_itself_and_can_be_read_aloud(
    client: httpx.AsyncClient, page: str, form: dict[str, str] | None
) -> None:
    answer = await (client.get(page) if form is None else client.post(page, data=form))

    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    seen = Elements(answer.text)
    assert len(seen.all("h1")) == 1
    assert not [name for name, _ in seen.elements if name in ("script", "img", "link", "iframe")]
    assert not [name for _, given in seen.elements for name in given if name in ("style", "onclick")]
    outside = [one for one in seen.all("a") if "://" in (one["href"] or "")]
    assert {one["href"] for one in outside} <= {TEAM["url"]}
    assert all(one["rel"] == "noreferrer" for one in outside)
    assert all(group["aria-labelledby"] for group in seen.all("fieldset"))


async def test_no_other_link_opens_a_training_and_none_that_is_not_there(
    client: httpx.AsyncClient, links: Links, page: str
) -> None:
    survey = path(links.survey_url("c-1", 1, "training")).replace("/s/", "/t/")
    for link in ("/t/nonsense", page[:-3], survey):
        for end in ("", "/invitation.ics"):
            assert (await client.get(link + end)).status_code == 404
    for url in (links.training_url("c-9", 1, "training"), links.training_url("c-1", 1, "call")):
        assert (await client.get(path(url))).status_code == 410
        assert (await client.get(f"{path(url)}/invitation.ics")).status_code == 410


async def test_sessions_that_cannot_be_read_close_nothing(
    client: httpx.AsyncClient, page: str, sessions: Path
) -> None:
    write(sessions, "{")

    answer = await client.get(page)

    assert answer.status_code == 503
    assert texts.ENGLISH["unavailable.booking"] in answer.text


async def test_what_sessions_are_called_is_never_markup(
    client: httpx.AsyncClient, page: str, sessions: Path
) -> None:
    write(sessions, {"team": TEAM | {"title": "<b>Bold</b>\r\n{{ 7 * 7 }}"}})

    seen = Elements((await client.get(page)).text)

    assert not seen.all("b")
    assert "<b>Bold</b>" in seen.words
