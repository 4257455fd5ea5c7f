"""Customers' pages: a GET records nothing, the last answer sent counts, and nothing leaks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from firstmile.links import Links
from firstmile.service import Service
from firstmile.store import parked, responses
from firstmile.web import texts
from tests.doorway import SIGN_UP, Nowhere, database_of
from tests.web.elements import Elements, path


@pytest.fixture(autouse=True)
async def _customer(service: Service) -> None:
    await service.enrol(SIGN_UP)
    await service.enrol(SIGN_UP | {"id": "c-2", "locale": "en-GB"})


@pytest.fixture
def survey(links: Links) -> str:
    return path(links.survey_url("c-2", 1, "nps"))


@pytest.fixture
def checkin(links: Links) -> str:
    return path(links.checkin_url("c-2", 1, "check_in"))


async def kept(service: Service, subject: str = "c-2") -> list[responses.Response]:
    async with database_of(service).reading() as db:
        return await responses.of(db, subject, 1)


# ---- surveys ---------------------------------------------------------------------------------------------


async def test_a_look_records_nothing(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, survey: str
) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.request(method, f"{survey}?score=3")
        assert answer.status_code == 200

    assert await kept(service) == []
    assert temporal.signals == []


async def test_the_link_of_a_number_preselects_it(client: httpx.AsyncClient, survey: str) -> None:
    page = Elements((await client.get(f"{survey}?score=9")).text)

    choices = page.all("input", type="radio", name="score")
    assert [choice["value"] for choice in choices] == [str(number) for number in range(11)]
    assert [choice["value"] for choice in choices if "checked" in choice] == ["9"]
    assert texts.ENGLISH["not_yet"] in page.words


@pytest.mark.parametrize("score", ["11", "-1", "x", "9.5", "", "٣", "1" * 50])
async def test_a_number_off_the_scale_preselects_nothing(
    client: httpx.AsyncClient, survey: str, score: str
) -> None:
    page = Elements((await client.get(survey, params={"score": score})).text)

    assert not [choice for choice in page.all("input", type="radio") if "checked" in choice]


async def test_an_answer_is_kept_thanked_for_and_passed_on_without_its_words(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, survey: str
) -> None:
    answer = await client.post(survey, data={"score": "9", "comment": "Quick, said Jonas", "page": "p"})

    assert answer.status_code == 200
    assert texts.ENGLISH["thanks.survey"] in answer.text
    (one,) = await kept(service)
    assert (one.kind, one.score, one.comment, one.suspicious) == ("nps", 9, "Quick, said Jonas", False)
    ((workflow, signal),) = temporal.signals
    assert workflow == "onboarding/c-2"
    assert (signal.event, signal.properties) == (
        "survey.responded", {"step": "nps", "occurrence": 1, "score": 9},
    )  # fmt: skip


async def test_the_last_answer_wins_and_the_page_says_what_it_was(
    client: httpx.AsyncClient, survey: str
) -> None:
    for page, score in (("p1", "9"), ("p2", "3")):
        await client.post(survey, data={"score": score, "page": page, "comment": f"it was {score}"})

    seen = Elements((await client.get(survey)).text)

    assert [one["value"] for one in seen.all("input", type="radio") if "checked" in one] == ["3"]
    assert "it was 3" in seen.words
    assert texts.ENGLISH["answered"] in seen.words


async def test_sending_twice_by_accident_counts_once(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, survey: str
) -> None:
    for _ in range(2):
        await client.post(survey, data={"score": "9", "page": "p"})

    assert len(await kept(service)) == 1
    assert len(temporal.signals) == 1


async def test_without_a_number_the_page_asks_for_one_and_keeps_the_words(
    client: httpx.AsyncClient, service: Service, survey: str
) -> None:
    answer = await client.post(survey, data={"comment": "<b>bold</b>"})

    assert answer.status_code == 422
    page = Elements(answer.text)
    assert page.all("p", role="alert")
    assert "<b>bold</b>" in page.words  # as words, not as an element
    assert not page.all("b")
    assert await kept(service) == []


async def test_what_a_machine_filled_in_that_nobody_sees_is_kept_as_suspicious(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, survey: str
) -> None:
    answer = await client.post(survey, data={"score": "0", "website": "https://spam.example"})

    assert answer.status_code == 200
    assert [one.suspicious for one in await kept(service)] == [True]
    assert temporal.signals == []


async def test_nobody_is_asked_to_send_again_because_temporal_is_away(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, survey: str
) -> None:
    temporal.away = True

    assert (await client.post(survey, data={"score": "7"})).status_code == 200

    async with database_of(service).reading() as db:
        assert len(await parked.of(db, "c-2")) == 1


# ---- check-ins -------------------------------------------------------------------------------------------


async def test_a_check_in_is_answered_with_one_of_two(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere, links: Links
) -> None:
    page = path(links.checkin_url("c-2", 1, "check_in", 2, "help"))
    seen = Elements((await client.get(page)).text)
    assert [one["value"] for one in seen.all("input", type="radio") if "checked" in one] == ["help"]

    answer = await client.post(page, data={"answer": "help", "comment": "the import fails"})

    assert texts.ENGLISH["thanks.help"] in answer.text
    (one,) = await kept(service)
    assert (one.kind, one.answer, one.occurrence, one.comment) == ("checkin", "help", 2, "the import fails")
    assert temporal.signals[0][1].properties == {"step": "check_in", "occurrence": 2, "answer": "help"}


async def test_a_check_in_without_an_answer_asks_for_one(client: httpx.AsyncClient, checkin: str) -> None:
    answer = await client.post(checkin, data={"answer": "maybe"})

    assert answer.status_code == 422
    assert texts.ENGLISH["missing.answer"] in answer.text


# ---- every page ------------------------------------------------------------------------------------------


async def test_a_page_speaks_its_customers_language(client: httpx.AsyncClient, links: Links) -> None:
    german = await client.get(path(links.survey_url("c-1", 1, "nps")), headers={"Accept-Language": "en"})

    assert german.headers["content-language"] == "de"
    assert '<html lang="de">' in german.text
    assert texts.GERMAN["send"] in german.text


@pytest.mark.parametrize(
    ("locale", "accepted", "language"),
    [
        ("de-AT", None, "de"),
        ("de_CH", "en", "de"),
        ("fr", "de", "en"),
        (None, "fr-FR, de;q=0.8, en;q=0.5", "de"),
        (None, None, "en"),
        (None, ",;;q=,", "en"),
    ],
)
def test_a_language_that_is_not_there_is_english(
    locale: str | None, accepted: str | None, language: str
) -> None:
    assert texts.language(locale, accepted) == language


def test_every_language_says_everything_with_the_same_blanks() -> None:
    for name, words in texts.LANGUAGES.items():
        assert words.keys() == texts.ENGLISH.keys(), name
        for key, text in words.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", texts.ENGLISH[key])), (
                name,
                key,
            )


@pytest.mark.parametrize("which", ["survey", "checkin", "preferences", "broken"])
async def test_a_page_keeps_to_itself(client: httpx.AsyncClient, links: Links, which: str) -> None:
    pages = {
        "survey": links.survey_url("c-2", 1, "nps"),
        "checkin": links.checkin_url("c-2", 1, "check_in"),
        "preferences": links.preferences_url("c-2", 1),
        "broken": "http://localhost/s/nonsense",
    }
    answer = await client.get(path(pages[which]))

    headers = answer.headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "noindex" in headers["x-robots-tag"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    page = Elements(answer.text)
    (nonce,) = (style["nonce"] for style in page.all("style"))
    assert f"'nonce-{nonce}'" in headers["content-security-policy"]
    assert not [element for element in page.elements if element[0] in ("script", "img", "link", "iframe")]
    assert not [name for _, given in page.elements for name in given if name in ("style", "onclick")]
    assert "://" not in re.sub(r"<style.*?</style>", "", answer.text, flags=re.S)


@pytest.mark.parametrize("which", ["survey", "checkin"])
async def test_a_page_can_be_read_aloud_and_used_without_a_mouse(
    client: httpx.AsyncClient, survey: str, checkin: str, which: str
) -> None:
    page = Elements((await client.get(survey if which == "survey" else checkin)).text)

    assert len(page.all("h1")) == 1
    assert page.all("legend")
    assert page.all("main")
    labels = {one["for"] for one in page.all("label") if "for" in one}
    shown = page.all("textarea") + page.all("input", type="text")
    assert {one["id"] for one in shown} <= labels
    (group,) = page.all("fieldset")
    assert group["aria-labelledby"] == "question"
    viewport = page.all("meta", name="viewport")[0]["content"] or ""
    assert "user-scalable" not in viewport
    assert "maximum-scale" not in viewport


async def test_a_broken_link_leads_to_a_page_that_says_so(client: httpx.AsyncClient, survey: str) -> None:
    for link in ("/s/nonsense", survey[:-3], survey.replace("/s/", "/c/"), "/u/x"):
        answer = await client.get(link, headers={"Accept-Language": "de"})
        assert answer.status_code == 404
        assert texts.GERMAN["broken"] in answer.text
        assert (await client.post(link, data={"score": "1"})).status_code == 404


async def test_a_question_that_is_no_longer_asked_says_so(client: httpx.AsyncClient, links: Links) -> None:
    for link in (links.survey_url("c-9", 1, "nps"), links.survey_url("c-2", 1, "gone")):
        answer = await client.get(path(link))
        assert answer.status_code == 410
        assert texts.ENGLISH["closed"] in answer.text


async def test_a_form_that_is_too_large_is_refused(client: httpx.AsyncClient, survey: str) -> None:
    async def without_a_length() -> AsyncIterator[bytes]:
        yield b"score=1&comment="
        for _ in range(100):
            yield b"x" * 1_000

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for answer in (
        await client.post(survey, data={"score": "1", "comment": "x" * 100_000}),
        await client.post(survey, content=without_a_length(), headers=form),
    ):
        assert answer.status_code == 413
