"""What a message must have to be read everywhere and by everybody (FACTS, "Messages"; WCAG 2.2; CAN-SPAM):
looked for in the HTML and the text that really go out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from firstmile.mail.page import Page
from firstmile.mail.templates import Rendered

CLIPPED = 102_400
"""Bytes of HTML after which Gmail cuts a message off."""
SHOWN = 60
"""Characters of a text that a lint quotes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a message is held against: the brand's address of post and website, the link to the
    preferences, and whether it is transactional."""

    address: str | None = None
    website: str | None = None
    preferences: str | None = None
    transactional: bool = False


@dataclass(frozen=True, slots=True)
class Lint:
    """Something that is wrong with a part of a message."""

    part: str
    message: str


def lints(rendered: Rendered, frame: Frame) -> Iterator[Lint]:
    """What is wrong with a message as it goes out."""
    page = Page(rendered.html)
    for message in (*_readable(rendered, page), *_accessible(page), *_alone(page)):
        yield Lint("html", message)
    if not rendered.text.strip():
        yield Lint("text", "the text part is empty")
        return
    yield from _linked(rendered, page, frame)
    if not frame.transactional:
        yield from _lawful(rendered, page, frame)


def _readable(rendered: Rendered, page: Page) -> Iterator[str]:
    if len(rendered.html.encode()) > CLIPPED:
        yield "the HTML is over 102 KB, where mail programs cut it off"
    if not page.title.strip():
        yield "there is no <title>: it is what a browser and a screen reader call the message"
    if not page.preheader:
        yield "there is no preheader: the line that inboxes show after the subject"
    elif _plain(page.preheader) in _plain(rendered.subject) or _plain(rendered.subject) in _plain(
        page.preheader
    ):
        yield "the preheader repeats the subject: say what the subject does not"
    if not page.colour_scheme:
        yield 'there is no <meta name="color-scheme">: the dark mode is then guessed'


def _accessible(page: Page) -> Iterator[str]:
    if not page.language:
        yield "<html> has no lang"
    if page.bare_images:
        yield 'an <img> has no alt text (alt="" where it is only decoration)'
    if page.unsaid_tables:
        yield 'a <table> has no role: role="presentation" where it is there for the layout'
    if page.headings[:1] not in ([], [1]):
        yield f"the first heading is <h{page.headings[0]}>, not <h1>"
    for before, after in pairwise(page.headings):
        if after > before + 1:
            yield f"<h{after}> follows <h{before}>: a level is left out"
    for faint in page.faint:
        yield f"'{faint.words}' is hard to read: a contrast of {faint.contrast:.1f}, where 4.5 is needed"
    for link in page.links:
        if not link.words.strip():
            yield f"a link has no words: '{link.address[:SHOWN]}'"


def _alone(page: Page) -> Iterator[str]:
    """A message brings all that it needs, and runs nothing."""
    for found in page.foreign:
        yield f"{found} does not work in mail: styles stand in <style>, and a message asks for a click only"
    for source in page.images:
        if not source.startswith("https://"):
            yield f"a picture does not begin with https://: '{source[:SHOWN]}'"
    for link in page.links:
        if not re.match(r"(https://|mailto:|tel:|#)", link.address):
            yield f"a link does not begin with https://: '{link.address[:SHOWN]}'"


def _linked(rendered: Rendered, page: Page, frame: Frame) -> Iterator[Lint]:
    for link in dict.fromkeys(link.address for link in page.links):
        if link.startswith("#") or not link or link.rstrip("/") == (frame.website or "").rstrip("/"):
            continue
        address = re.sub(r"^(mailto|tel):", "", link).partition("?")[0]
        if address not in rendered.text:
            yield Lint("text", f"a link of the HTML is not in the text: '{link[:SHOWN]}'")


def _lawful(rendered: Rendered, page: Page, frame: Frame) -> Iterator[Lint]:
    """What every message that is not transactional must carry."""
    if frame.preferences is not None:
        choose = (
            "there is no link to the preferences (links.preferences), where people choose and unsubscribe"
        )
        if frame.preferences not in {link.address for link in page.links}:
            yield Lint("html", choose)
        if frame.preferences not in rendered.text:
            yield Lint("text", choose)
    if not frame.address:
        yield Lint(
            "brand", "address: it is missing: a message that is not transactional needs one (CAN-SPAM)"
        )
        return
    post = "there is no postal address (brand.address), and the message is not transactional (CAN-SPAM)"
    if _plain(frame.address) not in _plain(" ".join(page.words)):
        yield Lint("html", post)
    if _plain(frame.address) not in _plain(rendered.text):
        yield Lint("text", post)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
