"""The words that a customer is found by: of the id, the name, the address and the company.

Rules of the room: case and accents do not matter, nor does how a character was typed (NFKC). A word begins
wherever letters or digits begin, and goes on to the next blank: `ann.becker@acme.example` is found by the
beginnings of itself, of `becker@acme.example`, of `acme.example` and of `example`. A word that begins another
word of the same customer is not kept: whoever looks for it finds the longer one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, select

from firstmile.store.database import Writing
from firstmile.store.dialect import Insert, insert
from firstmile.store.tables import search_words

SHORTEST: Final = 3
"""Letters that a word has at least, to be kept or looked for; a wide one, as of Chinese, counts as two."""

LONGEST: Final = 80
"""Characters of a word that are looked at."""

MOST: Final = 10
"""Words that are looked for at once."""

_LAST: Final = "\U0010ffff"
"""Comes after every character that a word can have."""
_ACCENTS: Final = re.compile(r"[\u0300-\u036f]")
_WITHOUT_ACCENT: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters that Unicode does not take apart."""


_MINE: Final = select(search_words.c.word).where(search_words.c.subject == bindparam("the_subject"))


class TooShort(ValueError):
    """A word that is looked for has too few letters; which one, not what it says: it may be a name."""


def plain(text: str) -> str:
    """A text as it is compared: without case and accents."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", folded).translate(_WITHOUT_ACCENT))


def kept(texts: Iterable[str | None]) -> list[str]:
    """The words of texts that somebody may look for, in order."""
    found = {word for text in texts if text for chunk in _chunks(text) for word in _words(chunk)}
    return _that_begin_no_other(word for word in found if _long_enough(word))


def wanted(text: str) -> tuple[str, ...]:
    """The words to look for. Raises `TooShort`, and `ValueError` if there are none or too many."""
    given = [word for chunk in _chunks(text) if (word := next(_words(chunk), None)) is not None]
    for number, word in enumerate(given, 1):
        if not _long_enough(word):
            raise TooShort(f"each word needs {SHORTEST} letters or more: word {number} has fewer")
    if not given:
        raise ValueError(f"it needs a word of {SHORTEST} letters or more")
    if len(given) > MOST:
        raise ValueError(f"at most {MOST} words are looked for at once: this has {len(given)}")
    return tuple(_that_begin_no_other(set(given)))


def begins(word: str) -> ColumnElement[bool]:
    """Which kept words begin so: a range, that an index knows."""
    return and_(search_words.c.word >= word, search_words.c.word < word + _LAST)


@cache
def _insert(name: str) -> Insert:
    return insert(name, search_words).on_conflict_do_nothing()


async def write(tx: Writing, subject: str, texts: Iterable[str | None]) -> None:
    """Make these the texts that a customer is found by. The profile is written before: it is the lock."""
    now = set(kept(texts))
    mine = search_words.c.subject == subject
    before = {row.word for row in await tx.all(_MINE, {"the_subject": subject})}
    if before - now:
        await tx.execute(delete(search_words).where(mine, search_words.c.word.in_(sorted(before - now))))
    if now - before:
        rows = [{"subject": subject, "word": word} for word in sorted(now - before)]
        await tx.execute(_insert(tx.dialect_name), rows)


def _that_begin_no_other(given: Iterable[str]) -> list[str]:
    found = sorted(given)
    # If any other begins so, the next one does.
    pairs = zip(found, [*found[1:], None], strict=False)
    return [word for word, following in pairs if following is None or not following.startswith(word)]


def _chunks(text: str) -> list[str]:
    """What stands between blanks. What is no character, or controls something, counts as a blank."""
    return "".join(" " if unicodedata.category(one)[0] == "C" else one for one in plain(text)).split()


def _words(chunk: str) -> Iterator[str]:
    """The rest of a chunk from wherever letters or digits begin, the longest first."""
    end = len(chunk)
    while end and not _of_a_word(chunk[end - 1]):
        end -= 1
    for start in range(end):
        if chunk[start].isalnum() and not (start and _of_a_word(chunk[start - 1])):
            yield chunk[start : min(end, start + LONGEST)]


def _of_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _long_enough(word: str) -> bool:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in word) >= SHORTEST
