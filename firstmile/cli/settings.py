"""`firstmile settings`: every setting, its value, and where that comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from firstmile.cli.errands import console, print_json, settings_or_exit

app = typer.Typer()


@app.command(name="settings")
def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each setting is for.")] = False,
) -> None:
    """Show the settings of this machine; secrets are masked. Exit status 2 if they cannot be used."""
    from firstmile import settings as reading

    settings = settings_or_exit()
    values = reading.shown(settings)
    if as_json:
        print_json(
            {
                name: {"variable": reading.variable(name), "value": value, "from": reading.origin(name)}
                for name, value in values.items()
            }
        )
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=None, header_style="bold", pad_edge=False)
    if explain:
        table.add_column("what for", ratio=1)
    for name, value in values.items():
        origin = reading.origin(name)
        style = "dim" if origin == "default" else ""
        row = [Text(reading.variable(name)), Text(_said(value), style), Text(origin, style)]
        if explain:
            row.append(Text(reading.Settings.model_fields[name].description or "", "dim"))
        table.add_row(*row)
    console().print(table)


def _said(value: object) -> str:
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(
            f"{name}: {one['url'] if isinstance(one, dict) else one}" for name, one in value.items()
        )
    return str(value)
