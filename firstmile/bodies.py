"""JSON from outside: strict, and within bounds.

What the standard library lets pass and no one means is refused: a key written twice, `NaN`, half a character,
a text with NUL, a number that no database keeps. So every reader behind a door sees the same body.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from firstmile.errors import Flaw
from firstmile.journey import json_source

MAX_DEPTH = 20
_LARGEST = 2**63


class NotJson(ValueError):
    """The text is not JSON as it is meant; the message says where, and what to write."""


def parse(text: str | bytes, what: str = "the body") -> Any:
    """One JSON value. Raises `NotJson`."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotJson(f"{what} is not UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise NotJson(_explained(text, what)) from None


def flaws(value: object, field: str = "") -> Iterator[Flaw]:
    """What is in a value that nothing behind the door can keep."""
    return _flaws(value, field, 0)


def _flaws(value: object, field: str, depth: int) -> Iterator[Flaw]:
    if depth > MAX_DEPTH:
        yield Flaw(field, f"nested more than {MAX_DEPTH} levels deep")
    elif isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            yield Flaw(field, "it holds NUL or half a character (\\ud800 to \\udfff): write it without")
    elif isinstance(value, dict):
        for name, item in value.items():
            inner = f"{field}.{name}" if field else str(name)
            if len(str(name)) > 200:
                yield Flaw(field, "a name has at most 200 characters")
            elif any(True for _ in _flaws(str(name), "", depth)):
                yield Flaw(field, "a name holds NUL or half a character: write it without")
            else:
                yield from _flaws(item, inner, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flaws(item, f"{field}[{number}]", depth + 1)
    elif isinstance(value, int) and abs(value) >= _LARGEST:
        yield Flaw(field, "a whole number has at most 64 bits: write it as text")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Flaw(field, "the number is too large, or none")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is written twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _explained(text: str, what: str) -> str:
    problems = json_source.read(text, "", what=what).problems
    if not problems:
        return f"{what} cannot be read as JSON"
    first = problems[0]
    place = f"line {first.line}: " if first.line else ""
    field = f"{first.field}: " if first.field else ""
    return f"{what} cannot be read as JSON: {place}{field}{first.message}"
