"""Lines of text for a terminal: pieces with a style each, broken between words.

What comes from files is made harmless here: one line, and nothing that would steer a terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

WIDTH = 100
"""The columns that a line has at most, where nobody asks for fewer."""

STYLES = ("", "title", "day", "message", "good", "bad", "notable", "faint")

_IN_ASCII = {
    "✉": "@",
    "✓": "+",
    "○": "o",
    "…": ".",
    "→": "~",
    "–": "-",
    "✗": "x",
    "↶": "<",
    "·": "-",
    "▸": ">",
    "★": "*",
    "■": "#",
    "‖": "=",
    "×": "x",
    "’": "'",
}


class Piece(NamedTuple):
    """A part of a line; `style` is one of `STYLES`."""

    text: str
    style: str = ""


Line = list[Piece]


def wrap(body: Line, head: Line | None = None, *, indent: int = 0, columns: int = WIDTH) -> Iterator[Line]:
    """`body` after `head`, going on `indent` columns in where a line would be wider than `columns`."""
    line = list(head or [])
    used = begin = sum(width(piece.text) for piece in line)
    for piece in body:
        for number, word in enumerate(clean(piece.text).split(" ")):
            word = f" {word}" if number else word
            while used + width(word) > columns:
                if used > begin:
                    yield _joined(line)
                    line, used, begin, word = [Piece(" " * indent)], indent, indent, word.lstrip(" ")
                else:
                    cut = _fitting(word, columns - used)
                    line.append(Piece(word[:cut], piece.style))
                    used, word = used + width(word[:cut]), word[cut:]
            line.append(Piece(word, piece.style))
            used += width(word)
    yield _joined(line)


def _joined(line: Line) -> Line:
    """The line with neighbours of one style as one piece."""
    return [Piece("".join(piece.text for piece in run), style) for style, run in groupby(line, _style)]


def _style(piece: Piece) -> str:
    return piece.style


def _fitting(word: str, room: int) -> int:
    """How many characters of a word fit into some columns; at least one."""
    taken = 0
    for count, character in enumerate(word):
        taken += width(character)
        if taken > room:
            return max(count, 1)
    return len(word)


def width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def pad(text: str, columns: int) -> str:
    """The text with spaces after it, so that it takes some columns."""
    return text + " " * (columns - width(text))


def clean(text: str) -> str:
    """Text on one line, single spaces between words, without what would steer a terminal."""
    words = "".join(character if character.isprintable() else " " for character in text).split(" ")
    kept = [word for word in words if word]
    return (" " if text[:1] == " " and kept else "") + " ".join(kept)


def to_ascii(line: Line) -> Line:
    """The line in ASCII alone: marks by other marks, everything else by a question mark."""
    return [
        Piece("".join(_IN_ASCII.get(c, c) for c in text).encode("ascii", "replace").decode(), style)
        for text, style in line
    ]


__all__ = ["STYLES", "WIDTH", "Line", "Piece", "clean", "pad", "to_ascii", "width", "wrap"]
