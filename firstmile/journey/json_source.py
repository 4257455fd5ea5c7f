"""Reading JSON into plain values, with the place of every key and value.

For the files that people write by hand: a customer, the lines of a script. What the standard library lets
pass and no one means (a key written twice, `NaN`, half a character) is refused, and what is not JSON is
explained by what to write instead. `source` does the same for YAML, and both give a `Document`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # has no stub, though it has no underscore
from typing import Any, NoReturn

from firstmile.journey.problems import Place, Problem, field_name
from firstmile.journey.source import MAX_BYTES, MAX_DEPTH, Document, Position, Value

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![\w.+-])", re.ASCII)
_NUMBER_LIKE = re.compile(r"[-+.]*[0-9][\w.+-]*|[-+]?(?:NaN|nan|Infinity|inf)\b")
_WORD = re.compile(r"[^\W\d]\w*")
_TEXT = re.compile(r'"[^"\n]{0,28}"?')
_COMMENT = re.compile(r"#|//|/\*")
_CONSTANTS = {"true": True, "false": False, "null": None}
_OTHER_CONSTANTS = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_HALF = re.compile(r"[\ud800-\udfff]")


class _Stop(Exception):
    """Nothing more can be read."""


def read(text: str, file: str, *, line: int = 1, what: str = "the file") -> Document:
    """Read one JSON value, whose first line has the number `line`. Never raises: see `problems`."""
    reading = _Reading(text, line, what)
    tree: Value = None
    try:
        tree = reading.document()
        complete = True
    except _Stop:
        tree, complete = reading.tree, False
    problems = tuple(
        Problem(file, where, field_name(path, tree), message) for where, path, message in reading.found
    )
    return Document(
        file, tree, keys=reading.keys, values=reading.values, problems=problems, complete=complete
    )


class _Reading:
    def __init__(self, text: str, line: int, what: str) -> None:
        self.text = text.removeprefix("\ufeff")
        self.what = what
        self.first = line
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        self.keys: dict[Place, Position] = {}
        self.values: dict[Place, Position] = {}
        self.tree: Value = None
        self.found: list[tuple[int | None, Place, str]] = []

    def position(self, at: int) -> Position:
        row = bisect_right(self.starts, at) - 1
        return Position(self.first + row, at - self.starts[row] + 1)

    def refuse(self, at: int, path: Place, message: str) -> None:
        self.found.append((self.position(min(at, len(self.text))).line, path, message))

    def stop(self, at: int, path: Place, message: str) -> NoReturn:
        self.refuse(at, path, message)
        raise _Stop

    def space(self) -> str:
        """Go on to the next character that counts, and give it; '' at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def document(self) -> Value:
        if len(self.text) > MAX_BYTES:
            self.stop(0, (), f"{self.what} is larger than {MAX_BYTES // 1_000_000} MB")
        if not self.space():
            self.stop(0, (), f"{self.what} is empty")
        tree = self.value((), 0)
        if self.space():
            told = f"{self._shown()} stands after the end: {self.what} holds one value"
            self.stop(self.at, (), _mistaken(self.text, self.at) or told)
        return tree

    def value(self, path: Place, depth: int) -> Value:
        character = self.space()
        self.values[path] = self.position(self.at)
        if depth >= MAX_DEPTH:
            self.stop(self.at, path, f"nested more than {MAX_DEPTH} levels deep")
        if character == "{":
            return self.object(path, depth)
        if character == "[":
            return self.array(path, depth)
        if character == '"':
            return self.string(path)
        number = _NUMBER.match(self.text, self.at)
        if number:
            return self.number(number, path)
        word = _WORD.match(self.text, self.at)
        if word and word.group() in _CONSTANTS:
            self.at = word.end()
            return _CONSTANTS[word.group()]
        return self.stop(self.at, path, self._no_value())

    def object(self, path: Place, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        if not path:
            self.tree = items
        begin = self.at
        self.at += 1
        if self.space() == "}":
            self.at += 1
            return items
        while True:
            at = self.at
            key = self.key(path, begin)
            inner = (*path, key)
            if self.space() != ":":
                self.stop(self.at, inner, f"a ':' is missing after the key {_quoted(key)}")
            self.at += 1
            if key in items:
                first = self.keys[inner].line
                self.refuse(at, inner, f"duplicate key '{key}': it was first written in line {first}")
                # Read, for what else is wrong in it, and left out.
                places = dict(self.values)
                self.value(inner, depth + 1)
                self.values = places
            else:
                self.keys[inner] = self.position(at)
                items[key] = None
                items[key] = self.value(inner, depth + 1)
            if not self.more("}", begin, path):
                return items

    def key(self, path: Place, begin: int) -> str:
        character = self.space()
        if character == '"':
            return self.string(path)
        word = _WORD.match(self.text, self.at)
        if word:
            self.stop(self.at, path, f'a key stands in double quotes: write "{word.group()}"')
        if not character:
            self._unclosed(begin, path)
        wanted = f"a key was expected, not {self._shown()}"
        return self.stop(self.at, path, _mistaken(self.text, self.at) or wanted)

    def array(self, path: Place, depth: int) -> list[Any]:
        items: list[Any] = []
        if not path:
            self.tree = items
        begin = self.at
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return items
        while True:
            items.append(None)
            items[-1] = self.value((*path, len(items) - 1), depth + 1)
            if not self.more("]", begin, path):
                return items

    def more(self, end: str, begin: int, path: Place) -> bool:
        """Whether another item follows."""
        character = self.space()
        if character == end:
            self.at += 1
            return False
        if not character:
            self._unclosed(begin, path)
        if character != ",":
            wanted = f"a ',' or a '{end}' was expected before {self._shown()}"
            self.stop(self.at, path, _mistaken(self.text, self.at) or wanted)
        comma = self.at
        self.at += 1
        if self.space() == end:
            self.stop(comma, path, "a ',' stands after the last value: remove it")
        return True

    def string(self, path: Place) -> str:
        begin = self.at
        try:
            text, self.at = scanstring(self.text, begin + 1, True)
        except JSONDecodeError as error:
            self.stop(begin if "Unterminated" in error.msg else error.pos, path, _string_problem(error.msg))
        if _HALF.search(text):
            self.refuse(begin, path, "half a character (\\ud800 to \\udfff): write the character itself")
            return _HALF.sub("\ufffd", text)
        return str(text)

    def number(self, match: re.Match[str], path: Place) -> int | float:
        begin, self.at = self.at, match.end()
        text = match.group()
        decimal = match.group(1) or match.group(2)
        number = float(text) if decimal or len(text) > 30 else int(text)
        if abs(number) >= 2**63 and not (decimal and abs(number) < 1e300):
            self.refuse(begin, path, f'this number is too large: quote this: "{text[:30]}"')
            return 0
        return number

    def _no_value(self) -> str:
        text, at = self.text, self.at
        if at >= len(text):
            return f"{self.what} ends where a value was expected"
        word = _WORD.match(text, at)
        if word and word.group() in _OTHER_CONSTANTS:
            return f"{word.group()} is not JSON: write {_OTHER_CONSTANTS[word.group()]}"
        number = _NUMBER_LIKE.match(text, at)
        if number:
            return f"{number.group()[:30]} is no JSON number: write for instance 12 or 0.5, or quote it"
        if word:
            return f'text stands in double quotes: write "{word.group()}"'
        return _mistaken(text, at) or f"a value was expected, not {self._shown()}"

    def _shown(self) -> str:
        word = _WORD.match(self.text, self.at) or _TEXT.match(self.text, self.at)
        return f"'{word.group()[:30] if word else self.text[self.at]}'"

    def _unclosed(self, begin: int, path: Place) -> NoReturn:
        self.stop(begin, path, f"the '{self.text[begin]}' that opens here is never closed")


def _mistaken(text: str, at: int) -> str | None:
    """What is commonly written and is not JSON."""
    if text[at] in "'‘’“”`":
        return 'text stands in straight double quotes: "…"'
    if _COMMENT.match(text, at):
        return "JSON has no comments: remove it"
    return None


def _string_problem(told: str) -> str:
    if "Unterminated" in told:
        return "the quote that opens here is never closed"
    if "control character" in told:
        return "a line break or another control character stands in the text: write \\n, or \\t"
    return "\\ means nothing before this character: write \\\\"


def _quoted(key: str) -> str:
    return f"'{key[:60]}'"


__all__ = ["read"]
