"""The preferences page and the one click of a mail program: what they show, what they change, and when."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from firstmile.links import Links
from firstmile.service import Service
from firstmile.store import choices, opt_outs, profiles, suppressions
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import TOPICS
from firstmile.web import texts
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, Clock, Nowhere, database_of
from tests.web.conftest import HERE, calling
from tests.web.elements import Elements, path

JONAS, ADA = "jonas@weber.example", "ada@weber.example"
CONTACTS = [{"role": "technical_lead", "name": "Ada", "email": ADA}]
ENGLISH = texts.ENGLISH


@pytest.fixture(autouse=True)
async def _customer(service: Service) -> None:
    await service.enrol(SIGN_UP | {"contacts": CONTACTS})
    await service.enrol(SIGN_UP | {"id": "c-2", "locale": "en-GB", "contacts": CONTACTS})


@pytest.fixture
def mine(links: Links) -> str:
    return path(links.preferences_url("c-2", 1))


@pytest.fixture
def adas(links: Links) -> str:
    return path(links.preferences_url("c-2", 1, address_key(ADA)))


def ticked(html: str) -> dict[str, bool]:
    boxes = Elements(html).all("input", type="checkbox", name="topic")
    return {box["value"] or "": "checked" in box for box in boxes}


async def stopped(service: Service, address: str = JONAS) -> bool:
    async with database_of(service).reading() as db:
        return bool(await suppressions.of(db, address))


async def everything(service: Service) -> list[object]:
    """Whatever a choice could have changed."""
    async with database_of(service).reading() as db:
        profile = await profiles.get(db, "c-2")
        found: list[object] = [profile and profile.consent]
        for key in (address_key(JONAS), address_key(ADA)):
            found += [await choices.of(db, key), await opt_outs.of(db, key)]
            found += [await suppressions.of_key(db, key)]
    return found


# ---- the page --------------------------------------------------------------------------------------------


async def test_a_look_says_what_comes_to_whom_and_why(client: httpx.AsyncClient, mine: str) -> None:
    page = Elements((await client.get(mine)).text)

    assert "j…@w….example" in page.words
    assert JONAS not in page.words
    assert "because Weber & Partner has an account with Acme Cloud" in " ".join(page.words.split())
    assert "you are its main contact" in page.words
    assert ENGLISH["preferences.always"] in page.words
    for topic in TOPICS:
        assert ENGLISH[f"topic.{topic}"] in page.words
        assert ENGLISH[f"topic.{topic}.more"] in page.words


async def test_a_contact_is_told_as_what_they_are_written_to(client: httpx.AsyncClient, adas: str) -> None:
    page = Elements((await client.get(adas)).text)

    assert "a…@w….example" in page.words
    assert "(technical lead)" in page.words
    assert ticked((await client.get(adas)).text) == {"tips": True, "training": True, "feedback": True}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query", ["", "?choice=stop", "?List-Unsubscribe=One-Click", "?topic=tips&choice=save"]
)
async def test_a_scanners_look_changes_nothing(
    client: httpx.AsyncClient, service: Service, mine: str, adas: str, method: str, query: str
) -> None:
    before = await everything(service)
    for page in (mine, adas):
        assert (await client.request(method, page + query)).status_code == 200

    assert await everything(service) == before


async def test_a_recipient_chooses_topics_and_reads_what_was_saved(
    client: httpx.AsyncClient, service: Service, mine: str, clock: Clock
) -> None:
    assert ticked((await client.get(mine)).text) == {
        "tips": True, "training": True, "feedback": True, "offers": False,
    }  # fmt: skip

    saved = (await client.post(mine, data={"choice": "save", "topic": ["tips", "offers"]})).text

    assert ticked(saved) == {"tips": True, "training": False, "feedback": False, "offers": True}
    assert "Saved. You get: Tips, Offers." in Elements(saved).words
    assert "Last changed on March 6, 2026." in saved
    looked = (await client.get(mine)).text
    assert ticked(looked) == ticked(saved)
    assert "Saved." not in looked


async def test_stop_all_and_start_again(
    client: httpx.AsyncClient, service: Service, mine: str, adas: str
) -> None:
    done = (await client.post(mine, data={"choice": "stop"})).text

    assert f"{ENGLISH['preferences.saved']} {ENGLISH['preferences.now.stopped']}" in Elements(done).words
    assert set(ticked(done).values()) == {False}
    assert await stopped(service)
    assert not await stopped(service, ADA)
    buttons = Elements(done).all("button", name="choice")
    assert [button["value"] for button in buttons] == ["save", "start"]

    again = (await client.post(mine, data={"choice": "start"})).text
    assert ticked(again) == {"tips": True, "training": True, "feedback": True, "offers": False}
    assert not await stopped(service)


async def test_sending_the_form_again_is_one_choice(
    client: httpx.AsyncClient, service: Service, mine: str
) -> None:
    for form in ({"choice": "save", "topic": "tips"}, {"choice": "stop"}, {"choice": "start"}):
        first = await client.post(mine, data=form)
        after = await everything(service)
        second = await client.post(mine, data=form)

        assert first.status_code == second.status_code == 200
        assert await everything(service) == after
        assert ticked(first.text) == ticked(second.text)


@pytest.mark.parametrize(
    "form", [{}, {"choice": "burn"}, {"topic": "tips"}, {"choice": "save", "topic": ["no such", "tips"]}]
)
async def test_a_form_that_we_did_not_make_does_no_harm(
    client: httpx.AsyncClient, service: Service, mine: str, form: dict[str, Any]
) -> None:
    before = await everything(service)
    answer = await client.post(mine, data=form)

    assert answer.status_code == 200
    if form.get("choice") != "save":
        assert await everything(service) == before
    else:
        assert ticked(answer.text)["tips"]


async def test_it_speaks_the_customers_language(
    client: httpx.AsyncClient, links: Links, service: Service
) -> None:
    german = path(links.preferences_url("c-1", 1))
    saved = await client.post(german, data={"choice": "save", "topic": "tips"})

    assert saved.headers["content-language"] == "de"
    assert "Gespeichert. Sie bekommen: Tipps." in Elements(saved.text).words
    assert "weil Weber &amp; Partner ein Konto bei Acme Cloud hat" in saved.text
    assert "Zuletzt geändert am 6. März 2026." in saved.text


async def test_what_a_customer_is_called_is_words_and_no_element(
    client: httpx.AsyncClient, service: Service, links: Links
) -> None:
    await service.enrol(SIGN_UP | {"id": "c-3", "locale": "en", "company": "<b>{brand}</b> & {0}"})

    page = Elements((await client.get(path(links.preferences_url("c-3", 1)))).text)

    assert "because <b>{brand}</b> & {0} has an account" in page.words
    assert not page.all("b")


async def test_what_a_complaint_stopped_is_said_and_has_no_form(
    client: httpx.AsyncClient, service: Service, mine: str
) -> None:
    async with database_of(service).writing() as tx:
        await suppressions.add(tx, JONAS, "complained", service._premises.now())

    page = Elements((await client.get(mine)).text)

    assert ENGLISH["preferences.now.held"] in page.words
    assert not page.all("form")
    assert page.all("a", href="mailto:hello@acme-cloud.example")


@pytest.mark.parametrize("which", ["mine", "adas"])
async def test_it_can_be_read_aloud(client: httpx.AsyncClient, mine: str, adas: str, which: str) -> None:
    page = Elements((await client.get(mine if which == "mine" else adas)).text)

    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("fieldset")) == 1
    assert page.all("legend")
    labels = {one["for"] for one in page.all("label")}
    described = {one["id"] for one in page.all("small")}
    for box in page.all("input"):
        assert box["id"] in labels
        assert box["aria-describedby"] in described


# ---- one click (RFC 8058) --------------------------------------------------------------------------------

ONE_CLICK: list[dict[str, Any]] = [
    {"data": {"List-Unsubscribe": "One-Click"}},
    {"files": {"List-Unsubscribe": (None, "One-Click")}},
    {"data": {"list-unsubscribe": "one-click"}},
]


@pytest.mark.parametrize("form", ONE_CLICK)
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain;q=0.1", ""])
async def test_one_click_stops_everything_that_is_not_necessary(
    client: httpx.AsyncClient, service: Service, adas: str, form: dict[str, Any], accept: str
) -> None:
    for _ in range(2):
        answer = await client.post(adas, headers={"Accept": accept}, **form)

        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert not answer.is_redirect
    assert await stopped(service, ADA)
    assert not await stopped(service)
    async with database_of(service).reading() as db:
        (kept,) = await choices.of(db, address_key(ADA))
    assert (kept.said, kept.by) == ("stop", choices.ONE_CLICK)


async def test_one_click_need_not_say_how_long_it_is(
    client: httpx.AsyncClient, service: Service, mine: str
) -> None:
    async def body() -> Any:
        yield b"List-Unsubscribe="
        yield b"One-Click"

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post(mine, content=body(), headers=form)).status_code == 200

    assert await stopped(service)


async def test_one_click_works_while_temporal_is_away(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, mine: str
) -> None:
    temporal.away = True

    assert (await client.post(mine, **ONE_CLICK[0])).status_code == 200
    assert await stopped(service)


async def test_of_whom_nothing_is_kept_one_click_is_done_already(
    client: httpx.AsyncClient, service: Service, links: Links
) -> None:
    gone = path(links.preferences_url("c-9", 1))

    answer = await client.post(gone, **ONE_CLICK[0])
    assert answer.status_code == 200
    assert ENGLISH["gone"] in answer.text
    assert (await client.get(gone)).status_code == 410
    assert (await client.post(gone, data={"choice": "stop"})).status_code == 410


async def test_a_link_for_an_address_stops_it_though_the_customer_is_unknown(
    client: httpx.AsyncClient, service: Service, links: Links
) -> None:
    gone = path(links.preferences_url("c-9", 1, address_key("gone@weber.example")))

    assert (await client.get(gone)).status_code == 200
    assert (await client.post(gone, **ONE_CLICK[0])).status_code == 200
    assert await stopped(service, "gone@weber.example")


async def test_a_link_made_with_an_older_secret_still_stops(service: Service) -> None:
    old, new = SecretStr("an older secret of links"), SecretStr("the secret of links")
    service.settings = service.settings.model_copy(update={"link_secrets": (new, old)})
    before = Links(HERE, [old.get_secret_value()])

    async with calling(create_app(service, sweep_every=None)) as client:
        for key, address in ((None, JONAS), (address_key(ADA), ADA)):
            link = path(before.preferences_url("c-2", 1, key))
            assert (await client.post(link, **ONE_CLICK[0])).status_code == 200
            assert await stopped(service, address)
