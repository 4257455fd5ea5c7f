"""The command line: `firstmile COMMAND`.

Rules of the room: each group of commands is a module here with a `typer.Typer` called `app`, named in
`GROUPS`. A command module imports only typer and the standard library at its top; whatever is heavy
(Temporal's SDK, SQL, HTTP) is imported inside the command that needs it, so that `firstmile --version`,
`--help` and `simulate` start at once. A command does nothing that the service cannot do.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from firstmile.cli import (
    bulk,
    customers,
    demo,
    dev,
    holds,
    journeys,
    keys,
    operators,
    preview,
    publish,
    reconcile,
    serve,
    settings,
    simulate,
    suppressions,
    worker,
)

# Typers whose commands join the top level, in the order of `--help`.
GROUPS: tuple[typer.Typer, ...] = (
    demo.app,
    dev.app,
    journeys.app,
    simulate.app,
    preview.app,
    publish.app,
    customers.app,
    operators.app,
    bulk.app,
    holds.app,
    keys.app,
    suppressions.app,
    reconcile.app,
    serve.app,
    worker.app,
    settings.app,
)

app = typer.Typer(
    name="firstmile",
    help="The first mile of every customer relationship: from sign-up to onboarded.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold personal data
)
for group in GROUPS:
    app.add_typer(group)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"firstmile {importlib.metadata.version('firstmile')}")
        raise typer.Exit


@app.callback()
def firstmile(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """The first mile of every customer relationship: from sign-up to onboarded."""


def main() -> NoReturn:
    """The console script."""
    run(app)


def run(program: Callable[[], object]) -> NoReturn:
    """Call a command-line program and leave the process with its exit status.

    `worker.py` and `starter.py` leave through here too: see `leave`.
    """
    status: int
    try:
        program()
        status = 0
    except SystemExit as stop:
        match stop.code:
            case None:
                status = 0
            case int():
                status = stop.code
            case message:
                print(message, file=sys.stderr)
                status = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    leave(status)


def leave(status: int) -> NoReturn:
    """Leave the process, with everything written.

    After Temporal's SDK was used, about one process in ten aborts while the interpreter shuts down
    (temporalio/sdk-python#300), and its exit status is lost with it. Everything of ours is finished by now,
    so such a process leaves without that shutdown. Threads and atexit handlers are not waited for.
    """
    if "temporalio" not in sys.modules:
        raise SystemExit(status)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as problem:
            # A reader that went away (`| head`) is no failure; a full disk is.
            if not isinstance(problem, BrokenPipeError):
                status = status or 1
                with contextlib.suppress(OSError, ValueError):
                    print(f"could not write the output: {problem}", file=sys.stderr, flush=True)
    os._exit(status)
