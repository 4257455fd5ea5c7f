"""What commands that call the service have in common: opening it, errors, exit statuses, output.

Exit statuses: 0 done; 1 rejected, refused or failed; 2 wrongly used.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from datetime import timedelta

    from rich.console import Console

    from firstmile.journey.instants import Instant
    from firstmile.service import Service
    from firstmile.settings import Settings

T = TypeVar("T")


def settings_or_exit(*, sends: bool = False) -> Settings:
    """The settings; if they cannot be used, says everything that is wrong and leaves with 2."""
    from firstmile import settings
    from firstmile.errors import SettingsError

    try:
        return settings.load(sends=sends)
    except SettingsError as error:
        fail(error, 2)


def call(errand: Callable[[Service], Awaitable[T]]) -> T:
    """Open the service, do something with it, and give what came of it; an error is told, and leaves."""
    from firstmile.callers import Caller, acting
    from firstmile.errors import CommandMalformed, EventRefused, FirstmileError, SearchRefused, SignUpRefused
    from firstmile.service.opening import opened

    settings = settings_or_exit()

    async def run() -> T:
        async with opened(settings) as service:
            with acting(Caller(operator())):
                return await errand(service)

    try:
        return asyncio.run(run())
    except (CommandMalformed, EventRefused, SearchRefused, SignUpRefused) as error:
        fail(error, 2)
    except FirstmileError as error:
        fail(error, 1)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fail(message: object, status: int = 1) -> NoReturn:
    """Say what went wrong, on standard error, and leave."""
    typer.echo(str(message), err=True)
    raise typer.Exit(status)


def print_json(value: Any) -> None:
    """One JSON value on one line, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def say(as_json: bool, value: dict[str, Any], words: str) -> None:
    """The same thing for programs, or for people."""
    if as_json:
        print_json(value)
    else:
        typer.echo(words)


def instant(text: str | None, option: str = "--until") -> Instant | None:
    """The instant that an option names; leaves with 2 if it is none."""
    from firstmile.journey.instants import parse_instant

    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def length(text: str | None, option: str) -> timedelta | None:
    """The length of time that an option names, a day being 24 hours; leaves with 2 if it is none."""
    from datetime import timedelta

    from firstmile.journey.durations import DurationError, parse_duration

    if text is None:
        return None
    try:
        found = parse_duration(text)
    except DurationError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if found.business:
        raise typer.BadParameter("business days mean nothing here: write days or hours", param_hint=option)
    return timedelta(days=found.days, microseconds=found.elapsed)


def console() -> Console:
    """Where tables go: as wide as the terminal, wide enough for any where there is none."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=200, soft_wrap=True)


def operator() -> str:
    """Who gives a command unless told otherwise: the user of this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
