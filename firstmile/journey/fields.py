"""The fields of a JSON object that people write, each asked for as what it has to be.

What is missing, misspelt or of another kind is collected, with its line and with what to write instead; null
is the same as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from firstmile.journey.problems import Place, Problem, in_order, nearest, unknown
from firstmile.journey.source import Document

_T = TypeVar("_T")

_EXAMPLES = {
    "id": "c-1",
    "timezone": "Europe/Berlin",
    "country": "DE",
    "subdivision": "BY",
    "locale": "de",
    "event": "user.logged_in",
    "command": "pause",
    "outcome": "failed",
    "actor": "ann",
    "reason": "on holiday",
    "step": "welcome",
    "owner": "ann",
    "answer": "good",
    "overdue": "shift",
    "skip": ["welcome"],
    "traits": {"plan": "pro"},
    "properties": {"score": 9},
    "result": {"url": "https://example.com"},
    "undo": True,
}
"""What a field may look like, for messages."""


class Fields:
    """The fields of one object, and what was found wrong with them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.tree: dict[str, Any] = document.tree if isinstance(document.tree, dict) else {}
        self._found: list[Problem] = list(document.problems)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, by line."""
        return in_order(self._found)

    def refuse(self, place: Place, message: str, *, named: bool = True, key: bool = False) -> None:
        """Something is wrong at `place`, or with its `key`; `named`: its name goes before the message."""
        problem = self.document.problem(place, message, key=key)
        self._found.append(problem if named else Problem(problem.file, problem.line, "", message))

    def known(
        self, keys: Iterable[str], *, elsewhere: Iterable[str] = (), what: str = "", hint: str = ""
    ) -> None:
        """Refuse every key but `keys`; those of `elsewhere` exist, but not in `what`."""
        keys, elsewhere = list(keys), set(elsewhere)
        for key in self.tree:
            if key in keys:
                continue
            if key in elsewhere:
                message = f"'{key}' does not belong to {what}" + (f": {hint}" if hint else "")
            else:
                message = unknown("key", key, keys, hint)
            self.refuse((key,), message, named=False, key=True)

    def value(self, key: str) -> Any:
        """The value as it stands, or None."""
        return self.tree.get(key)

    def need(self, key: str, message: str) -> None:
        """Refuse the object if it has no such field; `message` goes on from "'key' is missing: "."""
        if self.value(key) is None:
            self.refuse((), f"'{key}' is missing: {message}", named=False)

    def of(self, key: str, kind: type[_T], what: str) -> _T | None:
        """The value as a `kind`, or None, also where it is something else."""
        found = self.value(key)
        if found is None or isinstance(found, kind):
            return found
        self.refuse((key,), f"{what} was expected, not {shown(found)}{_example(key)}")
        return None

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        found = self.of(key, str, "text")
        if found is not None and not found.strip():
            self.refuse((key,), f"this text is empty{_example(key)}")
            return None
        return found

    def object(self, key: str) -> dict[str, Any] | None:
        """An object."""
        return self.of(key, dict, "an object")

    def flag(self, key: str) -> bool:
        """True or false, which is also what an absent one is."""
        return self.of(key, bool, "true or false") or False

    def one_of(self, key: str, words: Sequence[str]) -> str | None:
        """One of some words."""
        found = self.text(key)
        if found is None or found in words:
            return found
        meant = nearest(found, words)
        hint = f"did you mean '{meant}'?" if meant else f"there are {', '.join(words)}"
        self.refuse((key,), f"unknown {key} '{found}': {hint}", named=False)
        return None


def shown(value: object) -> str:
    """A value of a JSON file in a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _example(key: str) -> str:
    example = _EXAMPLES.get(key)
    return "" if example is None else f": write for instance {json.dumps(example)}"


__all__ = ["Fields", "shown"]
