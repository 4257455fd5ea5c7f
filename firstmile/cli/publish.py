"""`firstmile publish`: journeys become what new customers are started on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstmile.cli.errands import call, print_json

if TYPE_CHECKING:
    from firstmile.publishing import Publishing
    from firstmile.service import Service

app = typer.Typer()


@app.command()
def publish(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="A folder of journeys; default: the journeys."
        ),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Their templates; default: `templates` beside DIR."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check journeys and templates, and publish those that are new. All of them, or none."""

    async def errand(service: Service) -> Publishing:
        beside = folder.absolute().parent / "templates" if folder is not None else None
        found = templates or (beside if beside is not None and beside.is_dir() else None)
        return await service.publish(folder, found)

    published = call(errand)
    if as_json:
        releases = [
            {"segment": one.segment, "version": one.version, "hash": one.hash, "outcome": one.outcome}
            for one in published.releases
        ]
        print_json({"releases": releases, "warnings": published.warnings})
        return
    for warning in published.warnings:
        typer.echo(warning, err=True)
    for one in published.releases:
        said = "published" if one.outcome == "new" else "is published already"
        typer.echo(f"{one.segment} version {one.version} {said} ({one.hash[:12]})")
