"""From a template with a layout to one flat template whose styles are inline: done once, when it is loaded.

Mail programs want styles in `style` attributes, and selectors reach across the layout and what fills its
blocks. So a template is first joined with its layout (`extends`, `block`, `super()`, `include`, all by name
in quotes), then every Jinja tag is masked, css_inline does its work, and the tags come back. A send then
only fills in values.

The mask is a comment between elements (an HTML parser moves text out of tables, but leaves comments where
they are) and a plain word inside tags, titles, styles and comments. Afterwards every tag must be where it
was: a parser that moved, dropped or doubled one is an error here and not a broken message later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import css_inline
from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError

from firstmile.mail.errors import TemplateError

Source = Callable[[str], str]
"""Gives the text of a template file by its name; raises `TemplateError` when there is none."""

# Without the options of a rendering environment: the text must come out as it stands in the file.
_LEXER = Environment(keep_trailing_newline=True, autoescape=False)
_RAW_ELEMENTS = frozenset({"style", "title", "script", "textarea"})
_MASK = re.compile(r'<!--fm(\d+)-->|fmph(\d+)z(?P<bare>="")?')
_STYLES = re.compile(r"<style\b.*?</style>|\sstyle=(?:\"[^\"]*\"|'[^']*')", re.DOTALL | re.IGNORECASE)
_CHOSEN_CLASS = re.compile(r"\b(class|id)\s*=\s*(\"[^\"]*|'[^']*|[^\s\"'>]*)$", re.IGNORECASE)
_TABLE_BODY = re.compile(r"</?tbody(\s[^>]*)?>", re.IGNORECASE)
_QUOTED = re.compile(r"""\s*(['"])([^'"]+)\1\s*""")
_SUPER = re.compile(r"\{\{[-+]?\s*super\(\)\s*[-+]?\}\}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a template: text, or one Jinja tag (`word` is its first name; `{{ … }}` has the word
    "")."""

    text: str
    file: str
    line: int
    word: str | None = None

    @property
    def rest(self) -> str:
        """What follows the first name of a `{% … %}`."""
        inner = re.sub(r"^\{%[-+]?\s*|\s*[-+]?%\}\s*$", "", self.text)
        return inner.removeprefix(self.word or "").strip()


def inlined(name: str, source: Source) -> str:
    """The template `name` as one text: joined with its layout, styles inline. Raises `TemplateError`."""
    pieces = flattened(name, source)
    masked, once = _mask(name, pieces)
    try:
        html = _inliner().inline(masked)
    except css_inline.InlineError as error:
        raise TemplateError(name, f"the styles cannot be inlined: {error}") from error
    if not _TABLE_BODY.search(masked):
        # The parser writes out the <tbody> that HTML implies: inside a loop, it would be opened each time
        # round.
        html = _TABLE_BODY.sub("", html)
    return _unmasked(name, html, pieces, once)


@cache
def _inliner() -> css_inline.CSSInliner:
    # Without keep_at_rules the @media rules for dark mode and small screens are dropped.
    return css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


# ---- joining a template with its layout --------------------------------------------------------------------


def pieces_of(name: str, text: str) -> list[Piece]:
    """The text cut into stretches of text and Jinja tags; comments are left out. Raises `TemplateError`."""
    pieces: list[Piece] = []
    current: list[str] = []
    words: list[str] = []
    opened = ""
    start = 1
    try:
        for line, token, value in _LEXER.lex(text, name):
            if opened:
                current.append(value)
                if token == "name":
                    words.append(value)
                if token == opened.replace("_begin", "_end"):
                    word = words[0] if opened == "block_begin" and words else ""
                    if opened != "comment_begin":
                        pieces.append(Piece("".join(current), name, start, word))
                    opened = ""
            elif token in ("block_begin", "variable_begin", "comment_begin"):
                opened, start, current, words = token, line, [value], []
            elif token in ("raw_begin", "raw_end"):
                pieces.append(Piece(value, name, line, token))
            else:
                pieces.append(Piece(value, name, line))
    except TemplateSyntaxError as error:
        raise TemplateError(
            name, error.message or "it cannot be read", file=name, line=error.lineno
        ) from None
    return pieces


@dataclass(slots=True)
class _Blocks:
    """What fills the blocks of a layout, from the most derived template down to the layout itself."""

    bodies: dict[str, list[list[Piece]]] = field(default_factory=dict)

    def add(self, name: str, block: list[Piece]) -> None:
        self.bodies.setdefault(name, []).append(block)


def flattened(name: str, source: Source, seen: tuple[str, ...] = ()) -> list[Piece]:
    """The pieces of a template with `extends` and `include` carried out."""
    if name in seen:
        raise TemplateError(seen[0], f"'{name}' extends or includes itself", file=seen[-1])
    blocks = _Blocks()
    before: list[Piece] = []
    current, chain = name, (*seen, name)
    while True:
        pieces = list(_included(pieces_of(current, source(current)), source, chain))
        parent = next((piece for piece in pieces if piece.word == "extends"), None)
        if parent is None:
            return before + list(_filled(pieces, blocks))
        for piece in _outside_blocks(pieces, blocks):
            # A template that extends another says nothing outside its blocks, but it may set names.
            if piece.word is not None and piece.word not in ("extends", ""):
                before.append(piece)
        current = _named(parent)
        if current in chain:
            raise TemplateError(name, f"'{current}' extends itself", file=parent.file, line=parent.line)
        chain = (*chain, current)


def _included(pieces: Sequence[Piece], source: Source, chain: tuple[str, ...]) -> Iterator[Piece]:
    for piece in pieces:
        if piece.word in ("import", "from"):
            problem = "the styles of what is imported cannot be inlined: use a block or an include"
            raise TemplateError(chain[0], problem, file=piece.file, line=piece.line)
        if piece.word == "include":
            yield from flattened(_named(piece), source, chain)
        else:
            yield piece


def _named(piece: Piece) -> str:
    match = _QUOTED.fullmatch(piece.rest)
    if match is None:
        problem = f"'{piece.word}' needs the name of a file in quotes and nothing else"
        raise TemplateError(piece.file, problem, file=piece.file, line=piece.line)
    return match[2]


def _block_at(pieces: Sequence[Piece], start: int) -> int:
    """The index of the `endblock` that closes the block opened at `start`."""
    depth = 0
    for index in range(start, len(pieces)):
        depth += (pieces[index].word == "block") - (pieces[index].word == "endblock")
        if depth == 0:
            return index
    opening = pieces[start]
    raise TemplateError(opening.file, "a block is not closed", file=opening.file, line=opening.line)


def _outside_blocks(pieces: Sequence[Piece], blocks: _Blocks) -> Iterator[Piece]:
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        if piece.word == "block":
            end = _block_at(pieces, index)
            blocks.add(_block_name(piece), list(pieces[index : end + 1]))
            index = end
        else:
            yield piece
        index += 1


def _block_name(piece: Piece) -> str:
    return piece.rest.split()[0] if piece.rest else ""


def _filled(pieces: Sequence[Piece], blocks: _Blocks) -> Iterator[Piece]:
    """The layout with its blocks filled: the tags of a block stay, for what they say about white space."""
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        if piece.word == "block":
            end = _block_at(pieces, index)
            own = list(pieces[index : end + 1])
            yield from _filled_block([*blocks.bodies.get(_block_name(piece), []), own], blocks)
            index = end
        else:
            yield piece
        index += 1


def _filled_block(versions: list[list[Piece]], blocks: _Blocks) -> Iterator[Piece]:
    opening, *body, closing = versions[0]
    yield opening
    remaining = _Blocks(
        {name: found for name, found in blocks.bodies.items() if name != _block_name(opening)}
    )
    parts: list[Piece] = []
    for piece in body:
        if piece.word == "" and _SUPER.fullmatch(piece.text):
            if len(versions) == 1:
                raise TemplateError(
                    piece.file, "super() has nothing above it", file=piece.file, line=piece.line
                )
            parts.extend(list(_filled_block(versions[1:], remaining))[1:-1])
        else:
            parts.append(piece)
    yield from _filled(parts, remaining)
    yield replace(closing, text=re.sub(r"endblock\s+\w+", "endblock", closing.text))


# ---- masking -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Html:
    """Where in HTML we are, followed over the stretches of text between Jinja tags."""

    state: str = "content"  # or "tag", "comment", "raw"
    element: str = ""
    quote: str = ""
    tag: str = ""

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            position = getattr(self, f"_{self.state}")(text, position)

    def _content(self, text: str, position: int) -> int:
        match = re.compile(r"<!--|<(/?[A-Za-z][A-Za-z0-9]*|!)").search(text, position)
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
                self.state = "raw" if self.element in _RAW_ELEMENTS else "content"
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


def _mask(name: str, pieces: Sequence[Piece]) -> tuple[str, list[int]]:
    """The text with every Jinja tag masked, and the numbers of those that must come back exactly once."""
    html = _Html()
    parts: list[str] = []
    once: list[int] = []
    for number, piece in enumerate(pieces):
        if piece.word is None:
            html.feed(piece.text)
            parts.append(piece.text)
            continue
        styled = html.state == "raw" and html.element == "style"
        if styled and piece.word:
            problem = f"'{piece.word}' cannot stand in <style>: rules are inlined once, for all customers"
            raise TemplateError(name, problem, file=piece.file, line=piece.line)
        if html.state == "tag" and (attribute := _CHOSEN_CLASS.search(html.tag)):
            problem = (
                f"a {attribute[1].lower()} that depends on a value cannot be inlined: write both elements out"
            )
            raise TemplateError(name, problem, file=piece.file, line=piece.line)
        if html.state == "tag":
            html.tag += "x"
        in_style = html.state == "tag" and re.search(r"\sstyle\s*=\s*(\"[^\"]*|'[^']*)$", html.tag)
        if not styled and not in_style:
            once.append(number)
        parts.append(f"<!--fm{number}-->" if html.state == "content" else f"fmph{number}z")
    return "".join(parts), once


def _unmasked(name: str, html: str, pieces: Sequence[Piece], once: list[int]) -> str:
    outside_styles = _STYLES.sub("", html)
    found = [int(match[1] or match[2]) for match in _MASK.finditer(outside_styles)]
    expected = set(once)
    found = [number for number in found if number in expected]
    for position, number in enumerate(once):
        if position >= len(found) or found[position] != number:
            piece = pieces[number]
            problem = (
                f"an HTML parser moves or drops '{piece.text.strip()[:40]}': look for an element that is not "
                "closed, or a table whose content is not in a cell"
            )
            raise TemplateError(name, problem, file=piece.file, line=piece.line)
    if len(found) > len(once):
        raise TemplateError(name, "an HTML parser doubles a tag: look for an element that is not closed")
    return _MASK.sub(lambda match: pieces[int(match[1] or match[2])].text, html)
