"""Messages that wait, people who own customers, and the sweep: what is done in the store.

`hold` does not need Temporal: messages can be stopped while it is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstmile.cli.errands import call, instant, length, operator, print_json, say

if TYPE_CHECKING:
    from firstmile.service import Service
    from firstmile.store.holds import Hold

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@app.command()
def hold(
    scope: Annotated[
        str | None,
        typer.Argument(
            metavar="everything|segment|template|customer", help="What waits.", show_default=False
        ),
    ] = None,
    value: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Which segment, template or customer.", show_default=False),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Release it by itself then.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Let messages go out again.")] = False,
    ramp: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="With --release: within how long what waited comes back; default: 30 minutes for everything, "
            "15 for a segment or a template, at once for a customer.",
        ),
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who holds; default: this machine's user.")] = None,
    as_json: Json = False,
) -> None:
    """Let messages wait, or go out again; without a word, show what is held. Works while Temporal is away."""
    from firstmile.journey.instants import to_datetime
    from firstmile.service.holding import hold_as_json

    if scope is None and not release:
        _show(as_json)
        return
    scope = scope or "everything"
    who = actor or operator()
    if release:
        within = length(ramp, "--ramp")
        released = call(lambda service: service.release(scope, value, actor=who, reason=reason, ramp=within))
        say(as_json, {"released": released}, f"{released} released" if released else "nothing was held")
        return
    ends = instant(until)
    until_moment = None if ends is None else to_datetime(ends)

    async def errand(service: Service) -> tuple[Hold, str | None]:
        placed = await service.hold(scope, value, reason=reason or "", actor=who, until=until_moment)
        return placed, await service.hold_doubt(scope, value)

    held, doubt = call(errand)
    if doubt is not None:
        typer.echo(f"it holds nothing so far: {doubt}", err=True)
    what = "every message" if scope == "everything" else f"every message of {scope} {value}"
    again = " ".join(part for part in ("firstmile hold", scope, value, "--release") if part)
    say(as_json, {"hold": held.id, **hold_as_json(held)}, f"{what} waits until `{again}`")


@app.command()
def person(
    id: Annotated[str, typer.Argument(metavar="ID", help="Their id, as in `ann`.", show_default=False)],
    name: Annotated[str, typer.Option(help="Their name, as customers read it.")],
    team: Annotated[str, typer.Option(help="The team that `assign` steps choose them from.")],
    email: Annotated[str | None, typer.Option(help="Where customers reach them.")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="They get no further customers.")] = False,
) -> None:
    """Make a person known who can own customers, or change what is known of one."""
    from firstmile.store.owners import Person

    known = Person(id, name, team, email, active=not inactive)
    call(lambda service: service.put_person(known, actor=operator()))
    typer.echo(f"{id} is in {team}" + (", and gets no further customers" if inactive else ""))


@app.command()
def people(as_json: Json = False) -> None:
    """Show who can own customers, and how many unfinished ones each has."""
    found = [
        {
            "id": member.person.id,
            "name": member.person.name,
            "team": member.person.team,
            "email": member.person.email,
            "active": member.person.active,
            "customers": member.load,
        }
        for member in call(lambda service: service.people())
    ]
    if as_json:
        print_json({"people": found})
        return
    for one in found:
        away = "" if one["active"] else ", inactive"
        typer.echo(f"{one['id']}  {one['name']}, {one['team']}{away}: {one['customers']} customers")
    if not found:
        typer.echo("nobody is known: `firstmile person ID --name … --team …`")


@app.command()
def sweep(as_json: Json = False) -> None:
    """Finish or remove sign-ups that got stuck, and hand over parked events. `serve` does it by itself."""
    swept = call(lambda service: service.sweep())
    found = {
        "started": swept.started,
        "removed": swept.removed,
        "delivered": swept.delivered,
        "expired": swept.expired,
    }
    say(as_json, found, ", ".join(f"{number} {name}" for name, number in found.items()))


def _show(as_json: bool) -> None:
    from firstmile.service.holding import hold_as_json

    found: list[Hold] = call(lambda service: service.holds())
    if as_json:
        print_json({"holds": [hold_as_json(one) for one in found]})
        return
    for one in map(hold_as_json, found):
        what = one["scope"] if one["value"] is None else f"{one['scope']} {one['value']}"
        ends = f" until {one['until']}" if one["until"] else ""
        typer.echo(f"{what} is held since {one['since']}{ends} by {one['actor']}: {one['reason']}")
    if not found:
        typer.echo("nothing is held")
