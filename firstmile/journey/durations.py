"""Durations and moments: how a journey writes down time.

A *duration* is a length of time in calendar units (weeks, days, business days) and elapsed units (hours,
minutes, seconds). A *moment* is a duration before or after a date trait. Both are parsed here and nowhere
else; what they mean on a customer's calendar is the business of `calendar`.

The words are those of JOURNEYS §2; ISO 8601 durations are read too. Months and years are refused: they have
no fixed length, and a journey that says "30 days" leaves no doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {
    "week": "weeks",
    "day": "days",
    "business day": "business",
    "hour": "hours",
    "minute": "minutes",
    "second": "seconds",
}
_WORDS = re.compile(
    r"(\d+)\s+(business\s+days?|weeks?|days?|hours?|minutes?|seconds?)(?=\s|,|$)", re.IGNORECASE
)
_ISO = re.compile(
    r"P(?=\d|T\d)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_MOMENT = re.compile(r"(?P<duration>.+?)\s+(?P<direction>before|after)\s+(?P<trait>\S+)", re.DOTALL)
_TRAIT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_DAYS = 36_525


class DurationError(ValueError):
    """The text is not a duration or a moment; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: calendar part (`days`, `business` days) and elapsed part (`elapsed`, microseconds)."""

    days: int = 0
    business: int = 0
    elapsed: int = 0
    text: str = ""

    @property
    def only_business_days(self) -> bool:
        """Whether this is a plain number of business days: rule 4's same-day opening applies to it."""
        return self.business > 0 and not self.days and not self.elapsed

    @property
    def only_whole_days(self) -> bool:
        """Whether nothing finer than days occurs: counted from a plain date it is a plain date again."""
        return not self.elapsed

    @property
    def at_most(self) -> int:
        """An upper bound in microseconds: for checks and the reach of a calendar slice, never for due times."""
        return (self.days + self.business * 3) * DAY + self.elapsed

    @property
    def at_least(self) -> int:
        """A lower bound in microseconds, business days taken as days."""
        return (self.days + self.business) * DAY + self.elapsed

    def times(self, count: int) -> Duration:
        """This duration `count` times over, unit by unit."""
        return Duration(self.days * count, self.business * count, self.elapsed * count)

    def __str__(self) -> str:
        if self.text:
            return self.text
        hours, rest = divmod(self.elapsed, HOUR)
        minutes, rest = divmod(rest, MINUTE)
        parts = [
            (self.days, "day"),
            (self.business, "business day"),
            (hours, "hour"),
            (minutes, "minute"),
            (rest // SECOND, "second"),
        ]
        return " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in parts if n) or "0 days"


@dataclass(frozen=True, slots=True)
class Moment:
    """A duration `before` or after the date trait `trait`."""

    duration: Duration
    before: bool
    trait: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"{self.duration} {'before' if self.before else 'after'} {self.trait}"


Span = Duration | Moment
"""What may stand wherever a journey asks for a duration."""


def parse_duration(text: str) -> Duration:
    """Read `3 days`, `1 business day`, `2 days 4 hours`, `P3D`. Raises `DurationError`."""
    clean = " ".join(text.replace(",", " ").split())
    if not clean:
        raise DurationError("a duration is missing: write for instance '3 days' or '36 hours'")
    parts: dict[str, int] = {}
    if clean[0] in "Pp" and len(clean) > 1 and (clean[1].isdigit() or clean[1] in "Tt"):
        match = _ISO.fullmatch(clean.upper())
        if match is None:
            hint = (
                "months and years have no fixed length: write days"
                if re.search(r"\d[YM](?![^T]*T)|\d+Y", clean.upper().split("T")[0])
                else "ISO 8601 durations look like P3D, P2W or PT90M"
            )
            raise DurationError(f"'{text}' is not a duration: {hint}")
        parts = {unit: int(value) for unit, value in match.groupdict().items() if value}
    else:
        position = 0
        for match in _WORDS.finditer(clean):
            if clean[position : match.start()].strip():
                break
            unit = _UNITS[re.sub(r"\s+", " ", match.group(2).lower()).rstrip("s")]
            if unit in parts:
                raise DurationError(f"'{text}' names {match.group(2)} twice")
            parts[unit] = int(match.group(1))
            position = match.end()
        if clean[position:].strip() or not parts:
            raise DurationError(_explain(text, clean[position:].strip() or clean))
    days = parts.get("weeks", 0) * 7 + parts.get("days", 0)
    business = parts.get("business", 0)
    elapsed = (
        parts.get("hours", 0) * HOUR + parts.get("minutes", 0) * MINUTE + parts.get("seconds", 0) * SECOND
    )
    if days + 3 * business + elapsed // DAY > _LONGEST_DAYS:
        raise DurationError(f"'{text}' is longer than a hundred years")
    return Duration(days, business, elapsed, clean)


def parse_span(text: str) -> Span:
    """Read a duration or a moment (`3 days before trial_ends`). Raises `DurationError`."""
    clean = " ".join(text.split())
    match = _MOMENT.fullmatch(clean)
    if match is None:
        return parse_duration(clean)
    trait = match.group("trait").removeprefix("traits.")
    if not _TRAIT.fullmatch(trait):
        raise DurationError(f"'{text}': after '{match.group('direction')}' comes the name of a date trait")
    duration = parse_duration(match.group("duration"))
    return Moment(duration, match.group("direction") == "before", trait, clean)


def _explain(text: str, rest: str) -> str:
    if re.fullmatch(r"\d+", text.strip()):
        return f"'{text}' has no unit: write for instance '{text.strip()} days'"
    if re.search(r"\d+\s*(months?|years?)\b", text, re.IGNORECASE):
        return f"'{text}' is not a duration: months and years have no fixed length: write days or weeks"
    if re.search(r"\d[.,]\d", text):
        return f"'{text}' is not a duration: write whole numbers, for instance '90 minutes'"
    return (
        f"'{text}' is not a duration: at '{rest}' a number and weeks, days, business days, hours or minutes "
        "were expected, as in '3 days', '1 business day' or '2 days 4 hours'"
    )
