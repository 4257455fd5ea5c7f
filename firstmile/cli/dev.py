"""`firstmile dev`: the stack of the demo without customers, for whoever writes journeys and templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def dev(
    journeys: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="The folder of journeys (default: what ships)."),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="The folder of templates (default: what ships)."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(file_okay=False, resolve_path=True, help="Keep databases and logs here.")
    ] = None,
) -> None:
    """Run everything on this machine, and reload journeys and templates as they are saved.

    What is saved is checked; what is wrong is told with file and line, and what is right starts the next
    customer. Nothing of the caller's environment is used, and no message leaves this machine.
    """
    from firstmile import paths
    from firstmile.dev.run import Options, run

    options = Options(
        journeys=(journeys or paths.journeys()).absolute(),
        templates=(templates or paths.templates()).absolute(),
        state=state,
    )
    raise typer.Exit(run(options, lambda line: print(line, flush=True)))
