"""How dates, times and numbers read: filters that follow the message's language and the customer's zone.

What is not there stays as it is: an absent trait is empty, whatever filter it goes through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_name
from babel.numbers import format_currency, format_decimal, format_percent, is_currency
from jinja2 import Undefined, pass_context
from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Context

from firstmile.journey.expressions import ABSENT
from firstmile.journey.instants import to_datetime
from firstmile.mail.locales import formatting_locale

STYLES = ("short", "medium", "long", "full")
"""How much a date says; Babel knows each locale's."""
_UTC = ZoneInfo("UTC")


@pass_context
def date_filter(context: Context, value: object, style: str = "long") -> object:
    """`{{ traits.trial_ends|date }}`: the day. A plain date stays that day, whatever the zone."""
    moment = _moment(value)
    if moment is None:
        return value
    day = moment.astimezone(_zone(context)) if isinstance(moment, datetime) else moment
    return format_date(day, _style(style), _locale(context))


@pass_context
def time_filter(context: Context, value: object) -> object:
    """`{{ session.starts|time }}`: the time of day, to the minute. The zone is named only where the customer
    has none, and so does not know which is meant: then it is UTC."""
    moment = _moment(value)
    if moment is None:
        return value
    if not isinstance(moment, datetime):
        raise FilterArgumentError("a plain date has no time of day")
    return _time(moment.astimezone(_zone(context)), _locale(context))


@pass_context
def datetime_filter(context: Context, value: object, style: str = "long") -> object:
    """`{{ session.starts|datetime }}`: day and time; of a plain date the day alone."""
    moment = _moment(value)
    if not isinstance(moment, datetime):
        return date_filter(context, value, style)
    locale, local = _locale(context), moment.astimezone(_zone(context))
    pattern = str(locale.datetime_formats["long"]).replace("'", "")
    day = format_date(local, _style(style), locale)
    return pattern.replace("{1}", day).replace("{0}", _time(local, locale))


@pass_context
def zone_filter(context: Context, value: object) -> object:
    """`{{ session.starts|zone }}`: what the customer's clocks are called at that moment: CET, BST, Japan
    Standard Time. Nothing where the customer has no zone: then times say UTC themselves."""
    moment = _moment(value)
    if moment is None:
        return value
    zone, locale = _zone(context), _locale(context)
    if not isinstance(moment, datetime) or zone.key == "UTC":
        return ""
    local = moment.astimezone(zone)
    short = get_timezone_name(local, "short", locale=locale)
    # Where a language has no short name, Babel gives a bare offset.
    return short if short[0].isalpha() else get_timezone_name(local, "long", locale=locale)


@pass_context
def number_filter(context: Context, value: object, digits: int | None = None) -> object:
    """`{{ traits.seats|number }}`: grouped as the reader's eye expects it. `digits` after the point: as many
    as there are, at most three, if not said."""
    number = _number(value)
    if number is None:
        return value
    pattern = None if digits is None else "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(number, pattern, _locale(context))


@pass_context
def percent_filter(context: Context, value: object, digits: int = 0) -> object:
    """`{{ 0.25|percent }}`: 25%, with the sign where the language has it."""
    number = _number(value)
    if number is None:
        return value
    locale = _locale(context)
    pattern = str(locale.percent_formats[None].pattern)
    exact = pattern.replace("#,##0", "#,##0." + "0" * digits) if digits else pattern
    return format_percent(number, exact, locale)


@pass_context
def currency_filter(context: Context, value: object, code: str, digits: int | None = None) -> object:
    """`{{ 1250|currency('EUR') }}`: an amount of money. `code` is ISO 4217's; `digits` as the currency has
    them, if not said."""
    if not is_currency(str(code)):
        raise FilterArgumentError("currency needs a code of ISO 4217, for instance currency('EUR')")
    number = _number(value)
    if number is None:
        return value
    locale = _locale(context)
    if digits is None:
        return format_currency(number, code, locale=locale)
    pattern = re.sub(r"0\.00", "0" + ("." + "0" * digits if digits else ""), _money(locale))
    return format_currency(number, code, pattern, locale=locale, currency_digits=False)


FILTERS: dict[str, Callable[..., Any]] = {
    "date": date_filter,
    "time": time_filter,
    "datetime": datetime_filter,
    "zone": zone_filter,
    "number": number_filter,
    "percent": percent_filter,
    "currency": currency_filter,
}


def _money(locale: Locale) -> str:
    return str(locale.currency_formats["standard"].pattern)


def _time(local: datetime, locale: Locale) -> str:
    named = isinstance(local.tzinfo, ZoneInfo) and local.tzinfo.key == "UTC"
    return format_time(local, "short", locale=locale) + (" UTC" if named else "")


def _style(style: str) -> Any:
    if style not in STYLES:
        raise FilterArgumentError(f"a date is one of {', '.join(STYLES)}")
    return style


def _locale(context: Context) -> Locale:
    customer = context.get("customer") or {}
    return formatting_locale(customer.get("locale"), context.get("language"))


def _zone(context: Context) -> ZoneInfo:
    customer = context.get("customer") or {}
    return _zone_named(customer.get("timezone") or "UTC")


@lru_cache(maxsize=512)
def _zone_named(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return _UTC


def _nothing(value: object) -> bool:
    return value is None or value is ABSENT or value == "" or isinstance(value, Undefined)


def _moment(value: object) -> datetime | date | None:
    """An aware datetime or a plain date of what stands for one in JSON; None for nothing. A name that is
    missing fails here as it does everywhere."""
    if isinstance(value, Undefined):
        str(value)
    if _nothing(value):
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return to_datetime(value)
    if isinstance(value, str):
        return _moment_read(value.strip())
    raise FilterArgumentError("neither a date nor an instant")


def _moment_read(text: str) -> datetime | date | None:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
        return _moment(datetime.fromisoformat(text))
    except ValueError:
        raise FilterArgumentError("neither a date nor an instant") from None


def _number(value: object) -> Decimal | None:
    if isinstance(value, Undefined):
        str(value)
    if _nothing(value):
        return None
    if isinstance(value, int | float | Decimal | str) and not isinstance(value, bool):
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            number = Decimal("nan")
        if number.is_finite():
            return number
    raise FilterArgumentError("not a number")
