"""Training sessions: what customers are invited to, and when it takes place.

Sessions are data (`templates/_layout/sessions.json`): a title, in one language or several, an address, how
long it takes; live ones and webinars have dates: listed (`starts`), every week (`weekly`: day, wall-clock
time, zone), or both. A video and what people take at their own pace have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from firstmile.journey.problems import unknown
from firstmile.mail.locales import DEFAULT_LANGUAGE, folders

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Kind = Literal["live", "webinar", "video", "self-paced"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
DATED: frozenset[Kind] = frozenset({"live", "webinar"})
"""The kinds that take place at a certain time."""
_HORIZON = 520
"""How many weeks ahead a weekly session is looked for: more than any page shows."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            unknown("time zone", name, available_timezones(), "write one such as Europe/Berlin")
        ) from None
    return name


def _address(url: str) -> str:
    # It becomes a link on a page: nothing but the web may stand there.
    if not url.startswith(("https://", "http://")) or any(sign.isspace() for sign in url):
        raise ValueError(f"'{url}' is no address on the web: write https://…")
    return url


def _title(value: object) -> str | Mapping[str, str]:
    if isinstance(value, str) and value.strip():
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError('a title is text, or text by language, as in {"en": "…", "de": "…"}')
    for language, text in value.items():
        if not folders(language):
            raise ValueError(f"'{language}' is no language: write en, de, de_AT …")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"the title in '{language}' is empty, or no text")
    return value


class Weekly(BaseModel):
    """Every week at the same wall-clock time of one zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    weekday: Weekday
    time: time
    timezone: Annotated[str, AfterValidator(_zone)]

    def starts_after(self, moment: datetime) -> Iterator[datetime]:
        """The starts after `moment`, in the session's zone, earliest first."""
        zone = ZoneInfo(self.timezone)
        local = moment.astimezone(zone)
        days = (WEEKDAYS.index(self.weekday) - local.weekday()) % 7
        for week in range(_HORIZON):
            day = local.date() + timedelta(days=days + 7 * week)
            # A time that does not exist is read with the offset before the gap, one that exists twice is the
            # first (RFC 5545 §3.3.5): fold=0 says both, and the way through UTC writes the wall clock anew.
            start = datetime.combine(day, self.time, tzinfo=zone).astimezone(UTC).astimezone(zone)
            if start > moment:
                yield start


class Session(BaseModel):
    """A training session that customers are invited to. Its `id` is the name it has in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = ""
    title: Annotated[str | Mapping[str, str], PlainValidator(_title)]
    kind: Kind = "live"
    url: Annotated[str, AfterValidator(_address)]
    minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 60
    starts: tuple[AwareDatetime, ...] = ()
    weekly: Weekly | None = None

    @model_validator(mode="after")
    def _dates_where_they_belong(self) -> Self:
        if self.kind not in DATED and (self.starts or self.weekly):
            raise ValueError(f"a session of kind '{self.kind}' has no dates: leave out starts and weekly")
        return self

    @property
    def dated(self) -> bool:
        """Whether it takes place at certain times, even if none of them lies ahead."""
        return bool(self.starts) or self.weekly is not None

    def titled(self, locale: str | None, default: str = DEFAULT_LANGUAGE) -> str:
        """The title in a locale's language (`de_AT`, then `de`), else in the `default` one, else the first."""
        if isinstance(self.title, str):
            return self.title
        spelt = {folders(language)[0]: text for language, text in self.title.items()}
        wanted = (*folders(locale), *folders(default))
        return next((spelt[name] for name in wanted if name in spelt), next(iter(spelt.values())))

    def next_starts(self, moment: datetime, count: int) -> Sequence[datetime]:
        """The next `count` starts after `moment` in UTC, earliest first; fewer where there are no more."""
        found = [start for start in self.starts if start > moment]
        if self.weekly is not None:
            found += islice(self.weekly.starts_after(moment), count)
        # In UTC, as instants of different zones are never equal where a clock is set back (PEP 495).
        return sorted({start.astimezone(UTC) for start in found})[:count]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first start after `moment`, in UTC; None where none lies ahead."""
        return next(iter(self.next_starts(moment, 1)), None)

    def offers(self, start: datetime) -> bool:
        """Whether the session takes place at this very instant."""
        return self.next_after(start - timedelta(microseconds=1)) == start.astimezone(UTC)


Sessions = Mapping[str, Session]
_SESSIONS = TypeAdapter(dict[str, Session])


def read_sessions(path: Path) -> Sessions:
    """The sessions of a sessions.json; none where there is no file. Raises `ValueError` that names every
    field that is wrong."""
    if not path.is_file():
        return {}
    tree = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    try:
        found = _SESSIONS.validate_python(tree)
    except ValidationError as error:
        raise ValueError("; ".join(map(_told, error.errors(include_url=False)))) from None
    if given := next((name for name, session in found.items() if session.id), None):
        raise ValueError(f"{given}.id: a session's id is its name in the file: leave it out")
    return {name: session.model_copy(update={"id": name}) for name, session in found.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"'{twice}' stands there twice")
    return dict(pairs)


def _told(details: ErrorDetails) -> str:
    """An error in the words of the file: which field, what was expected, what was probably meant."""
    *_, name = place = [str(part) for part in details["loc"]] or ["sessions.json"]
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            model = Weekly if place[-2:-1] == ["weekly"] else Session
            words = unknown("field", name, [field for field in model.model_fields if field != "id"])
        case "missing":
            words = "it is missing"
        case "literal_error":
            options = WEEKDAYS if name == "weekday" else get_args(Kind)
            words = unknown(name, str(value), options)
        case "value_error":
            words = str(context["error"])
        case "timezone_aware":
            words = "a start needs its offset from UTC, as in 2026-03-10T15:00:00+01:00"
        case "greater_than_equal" | "less_than_equal":
            words = f"{value} is not between 1 and {24 * 60}"
        case kind if kind.startswith("datetime"):
            words = f"'{value}' is no instant: write for instance 2026-03-10T15:00:00+01:00"
        case kind if kind.startswith("time"):
            words = f"'{value}' is no time of day: write for instance 15:00"
        case kind:
            words = _EXPECTED.get(kind, details["msg"])
    return f"{'.'.join(place)}: {words}"


_EXPECTED = {
    "string_type": "text was expected",
    "int_type": "a whole number was expected",
    "int_parsing": "a whole number was expected",
    "int_from_float": "a whole number was expected",
    "tuple_type": "a list was expected",
    "dict_type": "an object was expected",
    "model_type": "an object was expected",
}
