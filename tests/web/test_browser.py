"""Customers' pages in a real browser: by keyboard, aloud, on a phone, in the dark, and without a complaint."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Page, async_playwright, expect

from firstmile.links import Links
from firstmile.service import Service
from firstmile.store.profiles import address_key
from firstmile.web import texts
from tests.doorway import SIGN_UP
from tests.web.elements import path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

PHONE, SMALL, DESK = (390, 844), (320, 568), (1280, 800)
ADA = "ada@weber.example"
Scheme = Literal["light", "dark"]


@pytest.fixture(autouse=True)
async def _customers(service: Service) -> None:
    contacts = [{"role": "admin", "name": "Ada", "email": ADA}]
    await service.enrol(SIGN_UP | {"contacts": contacts})
    await service.enrol(SIGN_UP | {"id": "c-2", "locale": "en-GB", "contacts": contacts})


@pytest.fixture
async def base(app: FastAPI) -> AsyncIterator[str]:
    """The application on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await serving


@asynccontextmanager
async def browsing(size: tuple[int, int] = PHONE, scheme: Scheme = "light") -> AsyncIterator[Page]:
    """A page of a browser without script: ours have none. What it complains of fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=False
        )
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
        yield page
        await browser.close()
    # Browsers ask for an icon by themselves.
    assert [one for one in complaints if "favicon" not in one] == []


def pages_of(links: Links, subject: str) -> dict[str, str]:
    return {
        "survey": links.survey_url(subject, 1, "nps") + "?score=9",
        "checkin": links.checkin_url(subject, 1, "check_in", answer="help"),
        "preferences": links.preferences_url(subject, 1),
        "contact": links.preferences_url(subject, 1, address_key(ADA)),
    }


async def test_preferences_are_chosen_by_keyboard(base: str, links: Links) -> None:
    async with browsing() as page:
        await page.goto(base + path(links.preferences_url("c-2", 1)))
        tips = page.get_by_role("checkbox", name=texts.ENGLISH["topic.tips"])
        await expect(tips).to_be_checked()
        await expect(tips).to_have_accessible_description(texts.ENGLISH["topic.tips.more"])

        await page.keyboard.press("Tab")
        await expect(tips).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("status")).to_have_text("Saved. You get: Tips, Questions.")
        await expect(page.get_by_role("checkbox", name=texts.ENGLISH["topic.training"])).not_to_be_checked()
        await page.get_by_role("button", name=texts.ENGLISH["preferences.stop"]).press("Enter")
        await expect(page.get_by_role("status")).to_contain_text(texts.ENGLISH["preferences.now.stopped"])
        await page.get_by_role("button", name=texts.ENGLISH["preferences.start"]).press("Enter")
        await expect(page.get_by_role("status")).to_have_text("Saved. You get: Tips, Questions.")


async def test_a_survey_is_answered_by_keyboard(base: str, links: Links) -> None:
    async with browsing() as page:
        await page.goto(base + path(links.survey_url("c-2", 1, "nps")) + "?score=8")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("radio", name="8", exact=True)).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("heading", level=1)).to_have_text(texts.ENGLISH["thanks"])


@pytest.mark.parametrize("size", [SMALL, PHONE, DESK])
@pytest.mark.parametrize("subject", ["c-1", "c-2"])
async def test_a_page_fits_its_screen_and_its_targets_a_thumb(
    base: str, links: Links, size: tuple[int, int], subject: str
) -> None:
    async with browsing(size) as page:
        for url in pages_of(links, subject).values():
            await page.goto(base + path(url))
            for box in [await one.bounding_box() for one in await page.locator("body *:visible").all()]:
                assert box is None or box["x"] + box["width"] <= size[0] + 1
            for button in await page.locator("button, label.choice, label.topic").all():
                target = await button.bounding_box()
                assert target is not None
                # WCAG 2.2, 2.5.5: 44 pixels; a scale of eleven on the narrowest screen has 24 (2.5.8).
                assert target["height"] >= 44
                assert target["width"] >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_page_is_as_light_or_dark_as_its_reader_wants(
    base: str, links: Links, scheme: Scheme
) -> None:
    async with browsing(scheme=scheme) as page:
        for url in pages_of(links, "c-2").values():
            await page.goto(base + path(url))
            await expect(page.locator("body")).to_have_css(
                "background-color", "rgb(242, 244, 249)" if scheme == "light" else "rgb(16, 19, 26)"
            )
