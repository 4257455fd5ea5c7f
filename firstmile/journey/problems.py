"""What is wrong with a journey file, and where: one line for the person who writes it.

A problem names file, line and field, says what was found, and what to write instead where that is known.
Errors keep a journey from being used; warnings point at what is probably not meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]
Place = tuple[str | int, ...]
"""Where something stands in a journey: keys and list positions from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or doubtful. `line` counts from 1; `field` is a dotted path, or empty."""

    file: str
    line: int | None
    field: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        mark = "warning: " if self.severity == "warning" else ""
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {mark}{field}{self.message}"


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, or None."""
    by_lower = {candidate.lower(): candidate for candidate in candidates if candidate != word}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.65)
    return by_lower[close[0]] if close else None


def unknown(what: str, word: str, candidates: Iterable[str], otherwise: str = "", *, where: str = "") -> str:
    """The sentence for a name that does not exist: with the one that was probably meant, or `otherwise`."""
    candidates = list(candidates)
    told = f"unknown {what} '{word}'{where}"
    if meant := nearest(word, candidates):
        return f"{told}: did you mean '{meant}'?"
    if not otherwise and 0 < len(candidates) <= 12:
        otherwise = f"there {'are' if len(candidates) > 1 else 'is only'} {', '.join(candidates)}"
    return f"{told}: {otherwise}" if otherwise else told


def field_name(path: Place, tree: object) -> str:
    """A path as people write it: `steps.welcome.after`. Steps go by their id, texts in a list by nothing."""
    words: list[str] = []
    for position, key in enumerate(path):
        here = value_at(tree, path[: position + 1])
        if isinstance(key, str):
            words.append(key)
        elif position == 1 and path[0] == "steps":
            step = here.get("id") if isinstance(here, dict) else None
            words[-1:] = [words[-1], step] if isinstance(step, str) and step else [f"{words[-1]}[{key}]"]
        elif isinstance(here, dict | list):
            words[-1:] = [f"{words[-1] if words else ''}[{key}]"]
    return ".".join(words)


def value_at(tree: object, path: Place) -> object:
    """What stands at a path; None if nothing does."""
    for key in path:
        if isinstance(tree, dict) and isinstance(key, str):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int) and 0 <= key < len(tree):
            tree = tree[key]
        else:
            return None
    return tree


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems by line, each once; what has no line comes first."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def errors(problems: Sequence[Problem]) -> list[Problem]:
    """Only those that keep the journey from being used."""
    return [problem for problem in problems if problem.severity == "error"]


__all__ = [
    "Place",
    "Problem",
    "Severity",
    "errors",
    "field_name",
    "in_order",
    "nearest",
    "unknown",
    "value_at",
]
