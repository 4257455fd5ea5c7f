"""The filters and tests that journey expressions may use (`x | lower`, `x is defined`).

They carry Jinja2's names and meanings. What is not in the two tables does not exist for an expression:
nothing random, nothing that tells the time, nothing that formats by template or grows without bound. A new
one is a line in a table, a row in the documentation and a case in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from firstmile.journey.expression_values import (
    ABSENT,
    MAX_TEXT,
    Missing,
    as_text,
    bounded,
    fail,
    kind_of,
)

# Filters: what they are given is present and not ABSENT, except for `default`. An absent trait stays absent
# through every other filter, so that what is compared in the end is false.


def _default(value: object, default: object = "", boolean: object = False) -> object:
    if isinstance(value, Missing) or value is ABSENT or (boolean and not value):
        return default
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        fail(f"the filter '{name}' takes text, not {kind_of(value)}")
    return value


def _number(value: object, name: str) -> int | float:
    if not isinstance(value, int | float):
        fail(f"the filter '{name}' takes a number, not {kind_of(value)}")
    bounded(value)
    return value


def _items(value: object, name: str) -> Sequence[object]:
    if isinstance(value, Mapping):
        return list(value)
    if not isinstance(value, list | tuple | str):
        fail(f"the filter '{name}' takes a list, not {kind_of(value)}")
    return value


def _int(value: object, default: object = 0) -> object:
    try:
        if isinstance(value, str):
            return bounded(int(float(value)) if "." in value or "e" in value.lower() else int(value[:100]))
        return int(_number(value, "int"))
    except (ValueError, OverflowError):
        return default


def _float(value: object, default: object = 0.0) -> object:
    try:
        return bounded(float(value if isinstance(value, str) else _number(value, "float")))
    except (ValueError, OverflowError):
        return default


def _round(value: object, precision: object = 0, method: object = "common") -> object:
    number = _number(value, "round")
    if not isinstance(precision, int) or not -15 <= precision <= 15:
        fail("the precision of the filter 'round' is a whole number from -15 to 15")
    if method == "common":
        return round(float(number), precision)
    if method not in ("ceil", "floor"):
        fail("the method of the filter 'round' is 'common', 'ceil' or 'floor'")
    whole = math.ceil if method == "ceil" else math.floor
    return float(whole(number * 10.0**precision) / 10.0**precision)


def _length(value: object) -> object:
    return len(_items(value, "length"))


def _edge(name: str, position: int) -> Callable[[object], object]:
    def edge(value: object) -> object:
        items = _items(value, name)
        return items[position] if items else Missing(f"the {name} item of an empty list")

    return edge


def _extreme(name: str, choose: Callable[..., object]) -> Callable[[object], object]:
    def extreme(value: object) -> object:
        items = _items(value, name)
        try:
            return choose(items) if items else Missing(f"the {name} of an empty list")
        except TypeError:
            fail(f"the filter '{name}' takes a list of numbers or a list of texts, not a mixture")

    return extreme


def _sum(value: object) -> object:
    return bounded(sum(_number(item, "sum") for item in _items(value, "sum")))


def _join(value: object, separator: object = "") -> object:
    between = _text(separator, "join")
    items = [as_text(item) for item in _items(value, "join")]
    if sum(map(len, items)) + len(between) * len(items) > MAX_TEXT:
        fail(f"the text became longer than {MAX_TEXT} characters")
    return between.join(items)


def _replace(value: object, old: object, new: object) -> object:
    text, before, after = (_text(part, "replace") for part in (value, old, new))
    if not before:
        fail("the filter 'replace' needs something to replace")
    if len(text) + text.count(before) * len(after) > MAX_TEXT:
        fail(f"the text became longer than {MAX_TEXT} characters")
    return text.replace(before, after)


def _texts(name: str, change: Callable[[str], str]) -> Callable[[object], object]:
    return lambda value: change(_text(value, name))


FILTERS: dict[str, Callable[..., object]] = {
    "abs": lambda value: abs(_number(value, "abs")),
    "capitalize": _texts("capitalize", str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "first": _edge("first", 0),
    "float": _float,
    "int": _int,
    "join": _join,
    "last": _edge("last", -1),
    "length": _length,
    "lower": _texts("lower", str.lower),
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "replace": _replace,
    "round": _round,
    "string": as_text,
    "sum": _sum,
    "title": _texts("title", str.title),
    "trim": _texts("trim", str.strip),
    "upper": _texts("upper", str.upper),
}
"""The allowed filters, with Jinja2's names and meanings."""


def _divisible(value: object, by: object) -> bool:
    if not isinstance(value, int) or not isinstance(by, int) or by == 0:
        fail("the test 'divisibleby' takes whole numbers, and not 0")
    return value % by == 0


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: not isinstance(value, Missing) and value is not ABSENT,
    "divisibleby": lambda value, by: value is not ABSENT and _divisible(value, by),
    "even": lambda value: value is not ABSENT and _divisible(value, 2),
    "false": lambda value: value is False,
    "mapping": lambda value: isinstance(value, Mapping),
    # Absent is none, so that `is not none` is as false as every comparison with it.
    "none": lambda value: value is None or value is ABSENT,
    "number": lambda value: isinstance(value, int | float),
    "odd": lambda value: value is not ABSENT and not _divisible(value, 2),
    "sequence": lambda value: isinstance(value, list | tuple | str | Mapping),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
    "undefined": lambda value: isinstance(value, Missing) or value is ABSENT,
}
"""The allowed tests (`is …`)."""
