"""A template joined with its layout: `extends`, `block`, `super()` and `include` carried out, all by name in
quotes, so that what is compiled once is one text.

What comes out is cut into stretches of text and Jinja tags, each with the file and line it was written in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError

from firstmile.mail.errors import TemplateError

Source = Callable[[str], str]
"""Gives the text of a template file by its name; raises `TemplateError` when there is none."""

# Without the options of a rendering environment: the text must come out as it stands in the file.
_LEXER = Environment(keep_trailing_newline=True, autoescape=False)
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


def flattened(
    name: str, source: Source, seen: tuple[str, ...] = (), asked: Piece | None = None
) -> list[Piece]:
    """The pieces of a template with `extends` and `include` carried out. `asked` is the tag that names it.
    Raises `TemplateError`."""
    if name in seen:
        raise TemplateError(seen[0], f"'{name}' extends or includes itself", file=seen[-1])
    blocks = _Blocks()
    before: list[Piece] = []
    current, chain = name, (*seen, name)
    while True:
        pieces = list(_included(pieces_of(current, _text(current, source, asked)), source, chain))
        parent = next((piece for piece in pieces if piece.word == "extends"), None)
        if parent is None:
            return before + list(_filled(pieces, blocks))
        for piece in _outside_blocks(pieces, blocks):
            # A template that extends another says nothing outside its blocks, but it may set names.
            if piece.word is not None and piece.word not in ("extends", ""):
                before.append(piece)
        current, asked = _named(parent), parent
        if current in chain:
            raise TemplateError(name, f"'{current}' extends itself", file=parent.file, line=parent.line)
        chain = (*chain, current)


def _text(name: str, source: Source, asked: Piece | None) -> str:
    try:
        return source(name)
    except TemplateError as error:
        if asked is None:
            raise
        # Who asked for it can mend it: the file that is not there cannot be looked at.
        problem = f"{asked.word} '{name}': {error.problem}"
        raise TemplateError(error.template, problem, file=asked.file, line=asked.line) from None


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a template that extends another one says in vain: a block that no layout of it has (`block` names
    it, `known` those that there are), or words outside its blocks (`block` is empty)."""

    piece: Piece
    block: str = ""
    known: tuple[str, ...] = ()


def dropped(name: str, source: Source) -> Iterator[Dropped]:
    """What would be lost without a word when the template is joined with its layout, which `flattened` has
    done before. Raises `TemplateError`."""
    levels: list[list[Piece]] = []
    current: str | None = name
    while current is not None:
        levels.append(list(_included(pieces_of(current, source(current)), source, (name,))))
        parent = next((piece for piece in levels[-1] if piece.word == "extends"), None)
        current = None if parent is None else _named(parent)
    known: dict[str, None] = {}
    for level in reversed(levels):
        if level is not levels[-1]:
            yield from _dropped_of(level, tuple(known))
        known |= dict.fromkeys(_block_name(piece) for piece in level if piece.word == "block")


def _dropped_of(level: Sequence[Piece], known: tuple[str, ...]) -> Iterator[Dropped]:
    blocks = _Blocks()
    for piece in _outside_blocks(level, blocks):
        if (piece.word is None and piece.text.strip()) or piece.word == "":
            before = piece.text[: len(piece.text) - len(piece.text.lstrip())]
            yield Dropped(replace(piece, line=piece.line + before.count("\n")))
    for block, found in blocks.bodies.items():
        if block not in known:
            yield Dropped(found[0][0], block, known)


def _included(pieces: Sequence[Piece], source: Source, chain: tuple[str, ...]) -> Iterator[Piece]:
    for piece in pieces:
        if piece.word in ("import", "from"):
            problem = (
                f"'{piece.word}' cannot be used: a template is joined into one, so use a block or an include"
            )
            raise TemplateError(chain[0], problem, file=piece.file, line=piece.line)
        if piece.word == "include":
            yield from flattened(_named(piece), source, chain, piece)
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
