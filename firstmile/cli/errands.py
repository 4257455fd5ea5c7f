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
    from rich.console import Console

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
    from firstmile.errors import CommandMalformed, EventRefused, FirstmileError
    from firstmile.service.opening import opened

    settings = settings_or_exit()

    async def run() -> T:
        async with opened(settings) as service:
            return await errand(service)

    try:
        return asyncio.run(run())
    except (CommandMalformed, EventRefused) as error:
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
