"""`firstmile reconcile`: where the store and Temporal disagree. `serve` does it by itself, in parts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from firstmile.cli.errands import call, fail, print_json

app = typer.Typer()


@app.command()
def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Ask every workflow, not only those whose view looks old."),
    ] = False,
    stop_lost: Annotated[
        bool,
        typer.Option(
            "--stop-lost",
            help="With --repair: end the journeys of those whom Temporal does not know any more.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Compare the store with Temporal, customer by customer. Leaves with 1 if something differs still."""
    if stop_lost and not repair:
        raise typer.BadParameter("it repairs: say --repair as well", param_hint="--stop-lost")
    found = call(lambda service: service.reconcile(repair=repair, thorough=thorough, stop_lost=stop_lost))
    if found.busy:
        fail("another process is comparing them just now: try again in a minute")
    if as_json:
        print_json(asdict(found))
    else:
        for drift in found.drifts:
            typer.echo(f"{drift.outcome}  {drift.kind}  {drift.subject}: {drift.detail}")
        silent = f"; no worker answered for {found.unanswered}" if found.unanswered else ""
        typer.echo(
            f"{found.compared} unfinished customers and {found.seen} workflows compared, "
            f"{len(found.drifts)} differences{silent}"
        )
    if any(drift.outcome != "repaired" for drift in found.drifts):
        raise typer.Exit(1)
