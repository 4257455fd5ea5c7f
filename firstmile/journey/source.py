"""Reading YAML 1.2 core into plain values, with the place of every key and value.

The format is a small part of YAML on purpose: one document of mappings with text keys, lists and scalars.
What makes a file mean something else than it seems to (duplicate keys, aliases, merge keys, tags, directives)
is refused with its line and with what to write instead. Scalars follow the core schema of YAML 1.2: `true`,
`false`, `null`, whole and decimal numbers are taken as such, and all else is text, `17:00`, `NO` and
`2026-03-06` included; what stands in quotes is always text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)
from ruamel.yaml.reader import ReaderError

from firstmile.journey.problems import Place, Problem, Severity, field_name, value_at
from firstmile.journey.syntax import BRACES, explain

MAX_BYTES = 1_000_000
MAX_DEPTH = 50

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_ALIAS = "aliases are not part of the format: write out what"

Value = str | int | float | bool | None | list[Any] | dict[str, Any]
"""What a file is read into. `Any` stands for `Value` itself."""


class Position(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file as read: its values, where each stands, and what is wrong with the file as YAML."""

    file: str
    tree: Value
    keys: Mapping[Place, Position] = field(default_factory=dict)
    values: Mapping[Place, Position] = field(default_factory=dict)
    written: Mapping[Place, str] = field(default_factory=dict)
    """How the scalars stand in the file that were taken for something else than text."""
    problems: tuple[Problem, ...] = ()
    complete: bool = True
    """False when the end of the file was not reached: what is missing in `tree` may be there all the same."""
    refused: tuple[Place, ...] = ()
    """Where a value was refused that is therefore not in `tree` as it was meant."""

    def line(self, path: Place) -> int | None:
        """The line of a value, or of the nearest thing around it; of mappings and lists that of their key."""
        places = [self.values, self.keys]
        if isinstance(value_at(self.tree, path), dict | list):
            places.reverse()
        for positions in places:
            if path in positions:
                return positions[path].line
        return self.line(path[:-1]) if path else None

    def problem(
        self, path: Place, message: str, severity: Severity = "error", *, key: bool = False
    ) -> Problem:
        """A problem with the value at `path`, or with its key."""
        line = self.keys[path].line if key and path in self.keys else self.line(path)
        return Problem(self.file, line, field_name(path, self.tree), message, severity)


def read(text: str, file: str) -> Document:
    """Read a file. Never raises: what is wrong is in `problems`."""
    reading = _Reading(file)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        reading.refuse(None, (), f"the file is larger than {MAX_BYTES // 1_000_000} MB")
        return reading.document(None, complete=False)
    tree: Value = None
    try:
        reading.start(text)
        tree = reading.documents()
    except _Stop:
        return reading.document(tree, complete=False)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        reading.refuse(line, (), f"the character {character} may not stand in a YAML file: remove it")
    except MarkedYAMLError as error:
        where, message = explain(error, text.splitlines())
        if (where, message) not in ((line, told) for line, _, told in reading.found):
            reading.refuse(where, (), message)
    else:
        return reading.document(tree)
    return reading.document(tree, complete=False)


class _Stop(Exception):
    """Nothing more can be read."""


class _Reading:
    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Place, Position] = {}
        self.values: dict[Place, Position] = {}
        self.written: dict[Place, str] = {}
        self.tree: Value = None
        self.found: list[tuple[int | None, Place, str]] = []
        self.refused: list[Place] = []
        self.aliased: set[str] = set()
        self.anchors: list[tuple[str, int, Place]] = []
        self.events: Iterator[Any] = iter(())

    def start(self, text: str) -> None:
        self.events = YAML(typ="safe", pure=True).parse(text.removeprefix("\ufeff"))

    def refuse(self, line: int | None, path: Place, message: str) -> None:
        self.found.append((line, path, message))

    def document(self, tree: Value, *, complete: bool = True) -> Document:
        for name, line, path in self.anchors:
            if name not in self.aliased:
                self.refuse(line, path, f'YAML takes &{name} for an anchor: quote this: "&{name} …"')
        tree = self.tree if tree is None else tree
        problems = tuple(
            Problem(self.file, line, field_name(path, tree), message) for line, path, message in self.found
        )
        refused = tuple(self.refused)
        return Document(self.file, tree, self.keys, self.values, self.written, problems, complete, refused)

    def documents(self) -> Value:
        read = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                read += 1
                if event.version or event.tags:
                    self.refuse(1, (), "directives (%YAML, %TAG) are not part of the format: remove them")
                if read == 2:
                    line = event.start_mark.line + 1
                    self.refuse(line, (), "a second document starts here: a file holds one journey")
                    raise _Stop
            elif isinstance(event, NodeEvent):
                self.tree = self.node(event, (), 0)
        if not read:
            self.refuse(1, (), "the file is empty")
        return self.tree

    def node(self, event: Any, path: Place, depth: int) -> Value:
        mark = event.start_mark
        self.values[path] = Position(mark.line + 1, mark.column + 1)
        line = mark.line + 1
        if isinstance(event, AliasEvent):
            self.aliased.add(event.anchor)
            self.refuse(line, path, f'{_ALIAS} *{event.anchor} stands for, or quote this: "*{event.anchor}"')
            self.refused.append(path)
            return None
        if event.anchor:
            self.anchors.append((event.anchor, line, path))
        if event.tag:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self.refuse(line, path, f"tags are not part of the format: remove {tag} (text goes in quotes)")
        if isinstance(event, ScalarEvent):
            quoted = event.style is not None or event.tag
            return str(event.value) if quoted else self.scalar(event.value, line, path)
        if depth >= MAX_DEPTH:
            self.refuse(line, path, f"nested more than {MAX_DEPTH} levels deep")
            raise _Stop
        if isinstance(event, MappingStartEvent):
            return self.mapping(path, depth)
        return self.sequence(path, depth)

    def sequence(self, path: Place, depth: int) -> list[Any]:
        items: list[Any] = []
        if not path:
            self.tree = items
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(None)
            items[-1] = self.node(event, (*path, len(items) - 1), depth + 1)
        return items

    def mapping(self, path: Place, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        if not path:
            # Kept while it grows: problems found before a syntax error can name the steps they are in.
            self.tree = items
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.key(event, path)
            if key is None or key in items:
                if key is not None:
                    first = self.keys[(*path, key)].line
                    message = f"duplicate key '{key}': it was first written in line {first}"
                    self.refuse(event.start_mark.line + 1, (*path, key), message)
                self.skip()
                continue
            inner = (*path, key)
            self.keys[inner] = Position(event.start_mark.line + 1, event.start_mark.column + 1)
            items[key] = None
            items[key] = self.node(next(self.events), inner, depth + 1)
        return items

    def key(self, event: Any, path: Place) -> str | None:
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            self.aliased.add(event.anchor)
            self.refuse(line, path, f"{_ALIAS} *{event.anchor} stands for")
            return None
        if not isinstance(event, ScalarEvent):
            self.skip(1)
            self.refused.append(path)
            listed = "a key must be text, not a list: text with brackets goes in quotes"
            self.refuse(line, path, BRACES if isinstance(event, MappingStartEvent) else listed)
            return None
        if event.tag or event.anchor:
            self.refuse(line, path, f"a key has no tag and no anchor: write only '{event.value}'")
            return str(event.value)
        if event.value == "<<" and event.style is None:
            self.refuse(line, path, "merge keys are not part of the format: write out what '<<' stands for")
            return None
        if event.style is None and not isinstance(_resolve(event.value), str):
            kind = _named(_resolve(event.value))
            self.refuse(line, path, f'a key must be text, and this is {kind}: quote this: "{event.value}"')
        return str(event.value)

    def skip(self, depth: int = 0) -> None:
        """Leave out the next node, or the rest of the one that was entered."""
        while True:
            event = next(self.events)
            if isinstance(event, AliasEvent):
                self.aliased.add(event.anchor)
            if isinstance(event, CollectionStartEvent):
                depth += 1
                if depth > 10 * MAX_DEPTH:
                    raise _Stop
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                depth -= 1
            if depth == 0:
                return

    def scalar(self, text: str, line: int, path: Place) -> Value:
        value = _resolve(text)
        if isinstance(value, str):
            return value
        self.written[path] = text
        if isinstance(value, float) and not math.isfinite(value):
            self.refused.append(path)
            self.refuse(line, path, f'{text} is no number that can be used here: quote this: "{text}"')
            return 0.0
        if isinstance(value, int) and abs(value) >= 2**63:
            self.refused.append(path)
            self.refuse(line, path, f'this number is too large: quote this: "{text[:30]}"')
            return 0
        return value


def _resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar is by the core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return bool(_TRUE.fullmatch(text))
    if len(text) > 1000:
        # No number that anyone means; Python refuses to read numbers of thousands of digits.
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return math.inf
    return text


def _named(value: object) -> str:
    if value is None:
        return "nothing"
    return "true or false" if isinstance(value, bool) else "a number"


__all__ = ["Document", "Position", "Value", "read"]
