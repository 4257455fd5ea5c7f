"""`firstmile demo`: sample customers of every shipped segment, in accelerated time, on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when everybody has finished, with a summary.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(file_okay=False, resolve_path=True, help="Keep databases and logs here.")
    ] = None,
    customers: Annotated[
        list[str] | None, typer.Option("--customer", help="Only this sample customer (may be repeated).")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=1, max=36_000, help="How many times faster than the clock.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="How many workers.")] = 1,
) -> None:
    """Onboard sample customers of every segment, with everything that takes, until interrupted.

    Nothing of the caller's environment is used, and no message leaves this machine.
    """
    from firstmile.demo.cast import CAST
    from firstmile.demo.customers import SPEEDS
    from firstmile.demo.run import Options, console, run

    cast = [one for one in CAST if customers is None or one.id in customers]
    for unknown in set(customers or ()) - {one.id for one in cast}:
        raise typer.BadParameter(
            f"there is no sample customer '{unknown}': " + ", ".join(one.id for one in CAST)
        )
    speeds = dict.fromkeys(SPEEDS, speed) if speed is not None else dict(SPEEDS)
    status = run(Options(once=once, state=state, cast=cast, speeds=speeds, workers=workers), console())
    raise typer.Exit(status)
