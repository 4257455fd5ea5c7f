"""What the operators, filters and tests of journey expressions do with values.

Values are what JSON knows (text, numbers, true and false, nothing, lists, mappings), `ABSENT`, and `Missing`.
Everything here is total: a value that an operation cannot take raises `ExpressionError` with a sentence for
the author of the journey. Nothing is random, nothing tells the time, nothing reaches an attribute of a Python
object, and nothing can be made to grow without bound.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Self

from jinja2 import Undefined

MAX_TEXT = 100_000
MAX_ITEMS = 10_000
MAX_NUMBER = 2**63


class ExpressionError(ValueError):
    """An expression cannot be compiled or evaluated; the message names what is missing or not allowed."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Absent(Undefined):
    """The type of `ABSENT`. It extends Jinja2's `Undefined` so that message templates, which Jinja2 itself
    renders, treat an absent trait as expressions do: empty, false, not defined, unequal to everything."""

    __slots__ = ()

    def _false(self, other: object) -> bool:
        return False

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _false  # type: ignore[assignment]  # one answer to every comparison

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an absent trait has no '{name}'")

    def __hash__(self) -> int:
        return 0

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        return "ABSENT"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent(name="an absent trait")
"""Stands for a declared optional trait that the customer does not have."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A name that the scope does not have: any use but `is defined` and `default` fails."""

    what: str


def fail(message: str) -> NoReturn:
    """Raise `ExpressionError`."""
    raise ExpressionError(message)


def present(value: object) -> object:
    """The value, unless it is missing."""
    if isinstance(value, Missing):
        fail(f"{value.what} is missing")
    return value


def truth(value: object) -> bool:
    """The value taken as true or false; a missing one fails."""
    return bool(present(value))


def kind_of(value: object) -> str:
    """What people call a value of this type."""
    if value is None:
        return "nothing"
    if value is ABSENT:
        return "an absent trait"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list"


def _has_absent(value: object) -> bool:
    if value is ABSENT:
        return True
    return isinstance(value, list | tuple) and any(_has_absent(item) for item in value)


def item_of(value: object, key: object, what: str) -> object:
    """`value.key` and `value[key]`: by item only, never an attribute of the object."""
    if present(value) is ABSENT:
        return ABSENT
    if isinstance(value, Mapping):
        return value[key] if isinstance(key, str | int) and key in value else Missing(what)
    if isinstance(value, list | tuple | str) and isinstance(key, int) and -len(value) <= key < len(value):
        found: object = value[key]
        return found
    return Missing(what)


def part_of(value: object, start: object, stop: object, step: object, what: str) -> object:
    """`value[start:stop:step]`."""
    if value is ABSENT:
        return ABSENT
    if not isinstance(value, list | tuple | str):
        fail(f"{what}: only a part of text or of a list can be taken, not of {kind_of(value)}")
    bounds = [bound for bound in (start, stop, step) if bound is None or isinstance(bound, int)]
    if len(bounds) < 3 or step == 0:
        fail(f"{what}: the bounds of a part are whole numbers, and its step is not 0")
    part: object = value[slice(*bounds)]
    return part


# Comparison


def _contains(container: object, value: object) -> bool:
    if isinstance(container, Mapping):
        return isinstance(value, str | int) and container.get(value, ABSENT) is not ABSENT
    if isinstance(container, str):
        if not isinstance(value, str):
            fail(f"only text can be in text, not {kind_of(value)}")
        return value in container
    if isinstance(container, list | tuple):
        return any(value == item for item in container)
    fail(f"nothing can be in {kind_of(container)}: a list, text or mapping was expected")


def _not_in(value: object, container: object) -> bool:
    return not _has_absent(container) and not _contains(container, value)


def _ordered(compare: Callable[..., bool]) -> Callable[[object, object], bool]:
    def ordered(left: object, right: object) -> bool:
        try:
            return compare(left, right)
        except TypeError:
            fail(f"{kind_of(left)} cannot be compared with {kind_of(right)}")

    return ordered


COMPARISONS: dict[str, tuple[str, Callable[..., bool]]] = {
    "eq": ("==", operator.eq),
    "ne": ("!=", operator.ne),
    "lt": ("<", _ordered(operator.lt)),
    "lteq": ("<=", _ordered(operator.le)),
    "gt": (">", _ordered(operator.gt)),
    "gteq": (">=", _ordered(operator.ge)),
    "in": ("in", lambda value, container: _contains(container, value)),
    "notin": ("not in", _not_in),
}


def compare(name: str, left: object, right: object, left_text: str, right_text: str) -> bool:
    """One comparison; false whenever an absent trait takes part in it, also inside a list."""
    if left is ABSENT or right is ABSENT:
        return False
    if name not in ("in", "notin") and (_has_absent(left) or _has_absent(right)):
        return False
    symbol, test = COMPARISONS[name]
    try:
        return test(left, right)
    except ExpressionError as error:
        fail(f"{left_text} {symbol} {right_text}: {error}")


# Arithmetic and text


def bounded(value: object) -> object:
    """The value, unless it has grown past what an expression may produce."""
    if isinstance(value, int | float) and not abs(value) < MAX_NUMBER:
        fail("the number became too large")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        fail(f"the text became longer than {MAX_TEXT} characters")
    if isinstance(value, list | tuple) and len(value) > MAX_ITEMS:
        fail(f"the list became longer than {MAX_ITEMS} items")
    return value


ARITHMETIC: dict[str, Callable[..., object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def calculate(symbol: str, left: object, right: object, left_text: str, right_text: str) -> object:
    """`left symbol right`: numbers with numbers; `+` also joins text to text and list to list."""
    for value, text in ((left, left_text), (right, right_text)):
        if present(value) is ABSENT:
            fail(f"{text} is absent: '{symbol}' cannot be applied to it (give it a value with default)")
    if isinstance(left, int | float) and isinstance(right, int | float):
        # Bounded before as well as after: the operation itself must not take long.
        bounded(left), bounded(right)
        try:
            return bounded(ARITHMETIC[symbol](left, right))
        except ZeroDivisionError:
            fail(f"{left_text} {symbol} {right_text}: division by zero")
    for kind in (str, list):
        if symbol == "+" and isinstance(left, kind) and isinstance(right, kind):
            return bounded(operator.add(left, right))
    hint = ": join text with '~'" if symbol == "+" and str in (type(left), type(right)) else ""
    fail(f"'{symbol}' cannot be applied to {kind_of(left)} and {kind_of(right)}{hint}")


def negate(value: object, sign: int, text: str) -> object:
    """`-value` and `+value`."""
    if present(value) is ABSENT:
        fail(f"{text} is absent: it has no sign")
    if not isinstance(value, int | float):
        fail(f"{text} is {kind_of(value)}, not a number")
    return bounded(sign * value)


def as_text(value: object) -> str:
    """How a value reads inside text: nothing and absent are empty, true and false as in the file."""
    if present(value) is None or value is ABSENT:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(bounded(value))
    return json.dumps(plain(value), ensure_ascii=False)


def joined(parts: Iterable[object]) -> str:
    """The parts as one text (`~`)."""
    texts = [as_text(part) for part in parts]
    if sum(map(len, texts)) > MAX_TEXT:
        fail(f"the text became longer than {MAX_TEXT} characters")
    return "".join(texts)


def plain(value: object) -> object:
    """A copy made of what JSON knows: what is absent becomes None."""
    if present(value) is ABSENT:
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    fail("a function was named without calling it")
