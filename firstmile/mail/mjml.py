"""MJML to HTML, with Jinja tags masked in it; and what is wrong with MJML, since the compiler does not say.

mrml accepts unknown tags and attributes silently and drops text that stands between elements: what MJML does
not have (`mjml_tags`) is refused here, with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mrml

from firstmile.journey.problems import unknown
from firstmile.mail.errors import TemplateError
from firstmile.mail.joining import Piece
from firstmile.mail.masking import BETWEEN, Masked
from firstmile.mail.mjml_tags import ATTRIBUTES, CHILDREN, HOLDS_HTML, SUPPORTED

SUFFIX = ".mjml.j2"

_TAG = re.compile(r"<!--.*?-->|<(/?)([A-Za-z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>", re.DOTALL)
_ATTRIBUTE = re.compile(r"([A-Za-z_:][\w:.-]*)\s*(?:=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'>/]+))?")
# How mrml writes an mj-table: without the role that MJML gives it.
_TABLE = re.compile(
    r'<table(?= border="0" cellpadding="0" cellspacing="0" width=(?:(?!</table|<th\b).)*</table)', re.DOTALL
)
_FOR_OUTLOOK = re.compile(r"<!--\[if (?!!)[^\]]*\]>(.*?)<!\[endif\]-->", re.DOTALL)
# Fonts of the default list would be loaded from elsewhere: whoever opens the message would be seen there.
_OPTIONS = mrml.RenderOptions(fonts={})


def opened(name: str, pieces: Sequence[Piece]) -> tuple[str, list[Piece]]:
    """What stands before <mjml> (names that are set), and the pieces from there on. Raises
    `TemplateError`."""
    before: list[str] = []
    for index, piece in enumerate(pieces):
        if piece.word is None and (start := piece.text.find("<mjml")) >= 0:
            line = piece.line + piece.text.count("\n", 0, start)
            first = Piece(piece.text[start:], piece.file, line)
            if piece.text[:start].strip():
                raise TemplateError(
                    name, "there is text before <mjml>: it goes nowhere", file=piece.file, line=piece.line
                )
            return "".join(before), [first, *pieces[index + 1 :]]
        before.append(piece.text)
    raise TemplateError(name, "there is no <mjml>: does it extend the layout?", file=name)


def compiled(name: str, hidden: Masked) -> str:
    """MJML as HTML. Raises `TemplateError` for the first flaw, with the `others`."""
    flaws = [
        TemplateError(name, problem, file=file, line=line)
        for offset, problem in sorted(_flaws(hidden))
        for file, line in [hidden.place(offset)]
    ]
    if flaws:
        flaws[0].others = tuple(flaws[1:])
        raise flaws[0]
    try:
        html = str(mrml.to_html(hidden.text, render_options=_OPTIONS).content)
    except OSError as error:
        problem = (
            f"MJML cannot be read ({error}): look for HTML in mj-text, mj-table or mj-raw that is not closed"
        )
        raise TemplateError(name, problem, file=name) from error
    for stretch in _FOR_OUTLOOK.finditer(html):
        if lost := BETWEEN.search(stretch[1]):
            piece = hidden.pieces[int(lost[1])]
            problem = (
                f"'{piece.text.strip()[:40]}' cannot stand between the sections of mj-wrapper: "
                "put it around the wrapper, or inside a section"
            )
            raise TemplateError(name, problem, file=piece.file, line=piece.line)
    return _TABLE.sub('<table role="presentation"', html)


# ---- what is wrong with it ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    offset: int


def _flaws(hidden: Masked) -> Iterator[tuple[int, str]]:
    """Offsets in the masked text, and what is wrong there."""
    text = hidden.text
    stack: list[_Open] = []
    done = 0
    for match in _TAG.finditer(text):
        # What is in a tag that MJML does not have is not told apart.
        between = not stack or stack[-1].tag in SUPPORTED - HOLDS_HTML
        if between:
            yield from _stray_text(stack, text, done, match.start())
        done = match.end()
        if match[2] is None:
            mask = BETWEEN.fullmatch(match[0])
            if between and mask and hidden.pieces[int(mask[1])].word == "":
                yield match.start(), "a value stands between elements: put it into mj-text"
            continue
        tag, closing = match[2], bool(match[1])
        inside = stack[-1].tag if stack else ""
        if inside in HOLDS_HTML and not (closing and tag == inside):
            if tag.startswith("mj-"):
                yield match.start(), f"{tag} cannot stand in {inside}, which holds text and HTML"
            continue
        if closing:
            yield from _closes(stack, tag, match.start())
            continue
        yield from _belongs(inside, tag, match.start())
        for attribute in _ATTRIBUTE.finditer(match[3]):
            yield from _known(inside, tag, attribute[1], match.start(3) + attribute.start())
        if not match[3].rstrip().endswith("/"):
            stack.append(_Open(tag, match.start()))
    for left in stack:
        yield left.offset, f"<{left.tag}> is not closed"


def _stray_text(stack: Sequence[_Open], text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    stretch = text[start:end]
    if words := stretch.strip():
        where = f"in {stack[-1].tag}" if stack else "outside <mjml>"
        offset = start + stretch.index(words)
        yield offset, f"text {where} is dropped: put it into mj-text"


def _closes(stack: list[_Open], tag: str, offset: int) -> Iterator[tuple[int, str]]:
    if any(one.tag == tag for one in stack):
        while stack[-1].tag != tag:
            left = stack.pop()
            yield left.offset, f"<{left.tag}> is not closed"
        stack.pop()
    else:
        yield offset, f"</{tag}> closes what is not open"


def _belongs(inside: str, tag: str, offset: int) -> Iterator[tuple[int, str]]:
    if tag == "mj-include":
        yield offset, 'mj-include is not read: write {% include "…" %}'
    elif tag == "mj-font":
        yield offset, "mj-font loads a stylesheet from elsewhere: name fonts that are there in font-family"
    elif tag not in SUPPORTED:
        yield offset, unknown("tag of MJML", tag, SUPPORTED, "HTML goes into mj-text, mj-table or mj-raw")
    elif inside == "mj-attributes" or (not inside and tag == "mjml"):
        return
    elif inside in SUPPORTED and tag not in CHILDREN.get(inside, ()):
        allowed = ", ".join(sorted(CHILDREN.get(inside, ()))) or "nothing"
        yield offset, f"{tag} cannot stand in {inside}: there may be {allowed}"


def _known(inside: str, tag: str, attribute: str, offset: int) -> Iterator[tuple[int, str]]:
    if tag not in ATTRIBUTES or attribute in ATTRIBUTES[tag]:
        return
    yield offset, unknown("attribute", attribute, ATTRIBUTES[tag], where=f" of {tag}")
