"""Jinja tags hidden from a compiler of HTML or MJML, and put back where they were.

The mask is a comment between elements (a parser moves text out of tables, but leaves comments where they
are) and a plain word inside tags, titles, styles and comments. Afterwards every tag must be where it was: a
compiler that moved, dropped or doubled one is an error here and not a broken message later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from firstmile.mail.errors import TemplateError
from firstmile.mail.joining import Piece

Dialect = Literal["html", "mjml"]

_RAW: dict[Dialect, frozenset[str]] = {
    "html": frozenset({"style", "title", "script", "textarea"}),
    "mjml": frozenset({"style", "mj-style", "mj-title", "mj-preview"}),
}
"""Elements whose content is no markup."""
_STYLES = frozenset({"style", "mj-style"})
_MASK = re.compile(r'<!--fm(\d+)-->|fmph(\d+)z(?:="")?')
BETWEEN = re.compile(r"<!--fm(\d+)-->")
_STYLED = re.compile(r"<style\b.*?</style>|\sstyle=(?:\"[^\"]*\"|'[^']*')", re.DOTALL | re.IGNORECASE)
_CHOSEN_CLASS = re.compile(
    r"\b(class|id|css-class|mj-class)\s*=\s*(\"[^\"]*|'[^']*|[^\s\"'>]*)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Masked:
    """A template with its tags masked. `pieces` by the numbers of their masks.

    `once` are the tags that must come back once and in order, `some` those that may come back several times
    (a compiler writes a colour into attribute and style alike), `starts` where each piece begins in `text`.
    """

    text: str
    pieces: Sequence[Piece]
    once: Sequence[int]
    some: frozenset[int]
    starts: Sequence[int]

    def place(self, offset: int) -> tuple[str, int]:
        """File and line of what stands at an offset of `text`."""
        number = max(index for index, start in enumerate(self.starts) if start <= offset)
        piece = self.pieces[number]
        inside = piece.text[: offset - self.starts[number]] if piece.word is None else ""
        return piece.file, piece.line + inside.count("\n")


@dataclass(slots=True)
class _Markup:
    """Where in the markup we are, followed over the stretches of text between Jinja tags."""

    raw: frozenset[str]
    state: Literal["content", "tag", "comment", "raw"] = "content"
    element: str = ""
    quote: str = ""
    tag: str = ""
    defaults: bool = field(default=False)
    """Whether we are in <mj-attributes>, whose values go wherever they are needed, or nowhere."""

    def feed(self, text: str) -> None:
        steps = {"content": self._content, "tag": self._tag, "comment": self._comment, "raw": self._raw}
        position = 0
        while position < len(text):
            position = steps[self.state](text, position)

    def _content(self, text: str, position: int) -> int:
        match = re.compile(r"<!--|<(/?[A-Za-z][A-Za-z0-9-]*|!)").search(text, position)
        if match is None:
            return len(text)
        self.state = "comment" if match[0] == "<!--" else "tag"
        self.element, self.quote, self.tag = (match[1] or "").lower(), "", ""
        return match.end()

    def _tag(self, text: str, position: int) -> int:
        for index in range(position, len(text)):
            character = text[index]
            self.tag += character
            if self.quote:
                self.quote = "" if character == self.quote else self.quote
            elif character in "\"'":
                self.quote = character
            elif character == ">":
                self.defaults = self.element == "mj-attributes" or (
                    self.defaults and self.element != "/mj-attributes"
                )
                closed = self.tag.endswith("/>")
                self.state = "raw" if self.element in self.raw and not closed else "content"
                return index + 1
        return len(text)

    def _comment(self, text: str, position: int) -> int:
        end = text.find("-->", position)
        if end < 0:
            return len(text)
        self.state = "content"
        return end + 3

    def _raw(self, text: str, position: int) -> int:
        match = re.compile(f"</{self.element}", re.IGNORECASE).search(text, position)
        if match is None:
            return len(text)
        self.state, self.element, self.quote, self.tag = "tag", f"/{self.element}", "", ""
        return match.end()


def masked(name: str, pieces: Sequence[Piece], dialect: Dialect) -> Masked:
    """The pieces of the template `name` as one text with every tag masked. Raises `TemplateError`."""
    markup = _Markup(_RAW[dialect])
    parts: list[str] = []
    once: list[int] = []
    some: set[int] = set()
    starts: list[int] = []
    offset = 0
    for number, piece in enumerate(pieces):
        starts.append(offset)
        if piece.word is None:
            markup.feed(piece.text)
            parts.append(piece.text)
        else:
            if problem := _misplaced(markup, piece, dialect):
                raise TemplateError(name, problem, file=piece.file, line=piece.line)
            if markup.state == "tag":
                markup.tag += "x"
            _require(markup, number, dialect, once, some)
            parts.append(f"<!--fm{number}-->" if markup.state == "content" else f"fmph{number}z")
        offset += len(parts[-1])
    return Masked("".join(parts), pieces, once, frozenset(some), starts)


def _misplaced(markup: _Markup, piece: Piece, dialect: Dialect) -> str | None:
    """Why a tag cannot stand where it stands."""
    if markup.state == "raw" and markup.element in _STYLES and piece.word:
        return f"'{piece.word}' cannot stand in <{markup.element}>: rules are inlined once, for all customers"
    if markup.state != "tag":
        return None
    if attribute := _CHOSEN_CLASS.search(markup.tag):
        return f"a {attribute[1].lower()} that depends on a value cannot be inlined: write both elements out"
    if dialect == "mjml" and not markup.quote:
        return "in a tag of MJML, a tag of Jinja may stand in the value of an attribute only"
    return None


def _require(markup: _Markup, number: int, dialect: Dialect, once: list[int], some: set[int]) -> None:
    """Note whether and how often a tag must come back."""
    if (markup.state == "raw" and markup.element in _STYLES) or markup.defaults:
        return
    if dialect == "mjml":
        if markup.state == "content":
            once.append(number)
        elif markup.state != "comment":
            some.add(number)
    elif markup.state != "tag" or not re.search(r"\sstyle\s*=\s*(\"[^\"]*|'[^']*)$", markup.tag):
        once.append(number)


def unmasked(name: str, html: str, hidden: Masked, compiler: str) -> str:
    """The compiled text with the tags put back. Raises `TemplateError` for one that is not where it was."""
    pieces, once = hidden.pieces, hidden.once
    outside_styles = _STYLED.sub("", html)
    numbers = {int(match[1] or match[2]) for match in _MASK.finditer(html)}
    expected = set(once)
    found = [
        number
        for match in _MASK.finditer(outside_styles)
        if (number := int(match[1] or match[2])) in expected
    ]
    for position, number in enumerate(once):
        if position >= len(found) or found[position] != number:
            piece = pieces[number]
            problem = f"{compiler} moves or drops '{_shown(piece)}': look for an element that is not closed, "
            problem += "or a table whose content is not in a cell"
            raise TemplateError(name, problem, file=piece.file, line=piece.line)
    if len(found) > len(once):
        raise TemplateError(name, f"{compiler} doubles a tag: look for an element that is not closed")
    if dropped := sorted(hidden.some - numbers):
        piece = pieces[dropped[0]]
        problem = f"{compiler} drops '{_shown(piece)}': what stands there must be known when it is compiled"
        raise TemplateError(name, problem, file=piece.file, line=piece.line)
    return _MASK.sub(lambda match: pieces[int(match[1] or match[2])].text, html)


def _shown(piece: Piece) -> str:
    return piece.text.strip()[:40]
