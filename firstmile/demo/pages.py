"""What customers do in a browser: open a link of a message, look at the form behind it, fill it in, send it.

The forms are read as they are served, so that a page that cannot be answered shows in the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

import httpx

PAUSES: Final = (0.2, 1.0, 3.0)
"""Seconds between one attempt to send a form and the next."""

ONE_CLICK: Final = {"List-Unsubscribe": "One-Click"}
"""The body with which a mail program unsubscribes (RFC 8058)."""


class PageFailed(Exception):
    """A page could not be answered as a customer would."""


@dataclass(slots=True)
class Form:
    """A form of a page: what it would send as it stands, and every name that it has."""

    action: str = ""
    method: str = "get"
    values: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
            self._inside = True
        elif self._inside and "name" in given and tag in ("input", "textarea", "select", "button"):
            self._field(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False

    def _field(self, tag: str, given: Mapping[str, str]) -> None:
        form, name, kind = self.forms[-1], given["name"], given.get("type", "text")
        form.names.add(name)
        if tag == "button" or kind in ("submit", "button"):
            return
        if kind in ("radio", "checkbox") and "checked" not in given:
            return
        form.values.setdefault(name, given.get("value", "on" if kind == "checkbox" else ""))


def forms(html: str) -> list[Form]:
    """The forms of a page."""
    reader = _Reader()
    reader.feed(html)
    return reader.forms


def links(html: str, prefix: str) -> list[str]:
    """The links of a message that begin with an address."""
    found = re.findall(r"""href=["']([^"']+)["']""", html)
    return [link for link in map(unescape, found) if link.startswith(prefix)]


async def answer(client: httpx.AsyncClient, link: str, answers: Mapping[str, str]) -> None:
    """Open a link and send its form with these answers. Raises `PageFailed`, or what httpx raises."""
    page = await client.get(link)
    if not page.is_success:
        raise PageFailed(f"the page behind a link answered {page.status_code}")
    form = _fitting(forms(page.text), answers)
    action = urljoin(str(page.url), form.action) if form.action else str(page.url)
    fitting = {name: value for name, value in answers.items() if name in form.names}
    sent = await _send(client, action, {**form.values, **fitting})
    if not sent.is_success:
        raise PageFailed(f"sending the form of a page was answered with {sent.status_code}")


async def _send(client: httpx.AsyncClient, action: str, values: Mapping[str, str]) -> httpx.Response:
    """Send a form, again if need be: it is the same form then, and counts once."""
    for pause in PAUSES:
        with contextlib.suppress(httpx.TransportError):
            sent = await client.post(action, data=values, follow_redirects=True)
            if sent.status_code < 500:
                return sent
        await asyncio.sleep(pause)
    return await client.post(action, data=values, follow_redirects=True)


async def unsubscribe(client: httpx.AsyncClient, header: str) -> None:
    """Unsubscribe as a mail program does, by the header `List-Unsubscribe`. Raises as `answer` does."""
    found = re.search(r"<(https?://[^>]+)>", header)
    if found is None:
        raise PageFailed("a message has no address to unsubscribe at")
    sent = await client.post(found.group(1), data=ONE_CLICK)
    if not sent.is_success:
        raise PageFailed(f"unsubscribing was answered with {sent.status_code}")


def _fitting(found: Iterable[Form], answers: Mapping[str, str]) -> Form:
    """The form that asks for the first of the answers: the rest may be left out, it may not."""
    wanted = next(iter(answers))
    for form in found:
        if form.method == "post" and wanted in form.names:
            return form
    raise PageFailed(f"the page has no form that asks for '{wanted}'")
