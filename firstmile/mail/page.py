"""A message's HTML as lints and previews read it: its words, links and pictures, and what text looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from firstmile.mail.contrast import ENOUGH, ENOUGH_FOR_LARGE, colour, ratio

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_SILENT = frozenset({"style", "script", "title"})
_BLANK = re.compile(r"[\s\u00a0\u034f\u200b-\u200d\u00ad\ufeff]+")
"""White space, and the characters of no width that fill an inbox's line."""


@dataclass(slots=True)
class _Element:
    tag: str
    ink: str
    ground: str
    size: float
    bold: bool
    hidden: bool
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Faint:
    """Text that is hard to read."""

    words: str
    contrast: float


@dataclass(slots=True)
class Link:
    """A link, and the words that it is read by (a picture's, where it holds one)."""

    address: str
    words: str = ""


class Page(HTMLParser):
    """What there is to know of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.language = ""
        self.title = ""
        self.preheader = ""
        self.colour_scheme = False
        self.bare_images = 0
        self.images: list[str] = []
        self.links: list[Link] = []
        self.headings: list[int] = []
        self.unsaid_tables = 0
        self.foreign: list[str] = []
        self.faint: list[Faint] = []
        self._stack = [_Element("", "#000000", "#ffffff", 16, False, False)]
        self._tables: list[bool] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._note(tag, attributes)
        element = _styled(tag, attributes, self._stack[-1])
        if tag not in _VOID:
            self._stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._tables:
            self.unsaid_tables += self._tables.pop()
        for index in range(len(self._stack) - 1, 0, -1):
            if self._stack[index].tag == tag:
                del self._stack[index:]
                return

    def handle_data(self, data: str) -> None:
        element = self._stack[-1]
        if element.tag == "title":
            self.title += data
        if element.tag in _SILENT:
            if element.tag == "style" and "@import" in data:
                self.foreign.append("@import")
            return
        self.words += data.split()
        text = _BLANK.sub(" ", data).strip()
        if not text:
            return
        if element.hidden:
            self.preheader = f"{self.preheader} {text}".strip()
            return
        if self.links and any(one.tag == "a" for one in self._stack):
            self.links[-1].words += text
        large = element.size >= 24 or (element.size >= 18.66 and element.bold)
        contrast = ratio(element.ink, element.ground)
        if contrast < (ENOUGH_FOR_LARGE if large else ENOUGH):
            self.faint.append(Faint(text[:40], contrast))

    def _note(self, tag: str, attributes: dict[str, str]) -> None:
        match tag:
            case "html":
                self.language = attributes.get("lang", "")
            case "meta":
                self.colour_scheme |= attributes.get("name") == "color-scheme"
            case "a":
                self.links.append(Link(attributes.get("href", "")))
            case "img":
                self.bare_images += "alt" not in attributes
                self.images.append(attributes.get("src", ""))
                if self.links and any(one.tag == "a" for one in self._stack):
                    self.links[-1].words += attributes.get("alt", "")
            case "table":
                self._tables.append("role" not in attributes)
            case "th" if self._tables:
                self._tables[-1] = False
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self.headings.append(int(tag[1]))
            case "script" | "form" | "input" | "iframe" | "object" | "embed" | "video" | "audio" | "base":
                self.foreign.append(f"<{tag}>")
            case "link":
                self.foreign.append(f"<link rel={attributes.get('rel', '')!r}>")
        self.foreign += [name for name in attributes if name.startswith("on")]


def _styled(tag: str, attributes: dict[str, str], around: _Element) -> _Element:
    style = {
        name.strip().lower(): value.strip()
        for name, colon, value in (one.partition(":") for one in attributes.get("style", "").split(";"))
        if colon
    }
    ground = style.get("background-color") or style.get("background") or attributes.get("bgcolor")
    size = re.match(r"([\d.]+)px", style.get("font-size", ""))
    weight = style.get("font-weight", "")
    heading = re.fullmatch(r"h[1-6]|b|strong|th", tag) is not None
    return _Element(
        tag,
        colour(style.get("color")) or around.ink,
        colour(ground) or around.ground,
        float(size[1]) if size else around.size,
        weight in ("bold", "600", "700", "800", "900") if weight else heading or around.bold,
        around.hidden or style.get("display", "") == "none",
    )
