"""What a page in a mailbox must have: looked for in the HTML and text that really go out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from firstmile.mail.templates import Rendered

CLIPPED = 102_400
"""Bytes of HTML after which Gmail cuts a message off."""


class Page(HTMLParser):
    """What a lint needs to know of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.language = ""
        self.bare_images = 0
        self.links: list[str] = []
        self._silent = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "html":
            self.language = attributes.get("lang") or ""
        self.bare_images += tag == "img" and "alt" not in attributes
        if tag == "a":
            self.links.append(attributes.get("href") or "")
        self._silent += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words += data.split()


def lints(rendered: Rendered) -> Iterator[str]:
    """What is wrong with a message as a page."""
    page = Page(rendered.html)
    if len(rendered.html.encode()) > CLIPPED:
        yield "the HTML is over 102 KB, where mail programs cut it off"
    if not page.language:
        yield "<html> has no lang"
    if page.bare_images:
        yield "an <img> has no alt text"
    if not rendered.text.strip():
        yield "the text part is empty"
    for link in page.links:
        if not re.match(r"(https://|mailto:|tel:|#)", link):
            yield f"a link does not begin with https://: '{link[:60]}'"
