"""Operators' commands about addresses that are not written to: `firstmile suppression list | add | lift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, operator, print_json

if TYPE_CHECKING:
    from datetime import datetime

app = typer.Typer()
suppression = typer.Typer(
    no_args_is_help=True, help="See, add and lift what keeps messages from an address. Needs no Temporal."
)
app.add_typer(suppression, name="suppression")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The e-mail address.", show_default=False)]
Why = Annotated[str, typer.Option(help="Why: it is kept with the address.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who gives the command; default: this machine's user.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@suppression.command(name="list")
def list_them(
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="One address, with all that was chosen about it.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, max=1000)] = 100,
    as_json: Json = False,
) -> None:
    """Show what is suppressed, or why one address gets no messages and how that came."""
    if address is not None:
        _show_one(address, as_json)
        return
    found = call(lambda service: service.suppressing.latest(limit))
    if as_json:
        shown = [
            {"address": one.address, "reason": one.reason, "since": _text(one.since), "note": one.note}
            for one in found
        ]
        print_json({"suppressions": shown})
        return
    for one in found:
        who = one.address or "an address that was removed"
        typer.echo(f"{who}  {one.reason} since {_minute(one.since)}{_note(one.note)}")
    if not found:
        typer.echo("no address is suppressed")


@suppression.command()
def add(address: Address, reason: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Send an address nothing but what the account makes necessary."""
    who = actor or operator()
    added = call(lambda service: service.suppressing.suppress(address, reason=reason, actor=who))
    said = (
        "it gets only what the account makes necessary" if added else "an operator had suppressed it before"
    )
    _say(as_json, {"added": added}, said)


@suppression.command()
def lift(
    address: Address,
    reason: Why,
    of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REASON",
            help="Which to lift; default: bounced, invalid and manual. A complaint and an unsubscription are "
            "the recipient's word, and lifted only by name.",
        ),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Write to an address again, as when a mailbox has been mended."""
    from firstmile.service.suppressing import OPERATORS

    who = actor or operator()
    lifted = call(
        lambda service: service.suppressing.lift(address, reason=reason, actor=who, of=of or OPERATORS)
    )
    if lifted:
        said = f"lifted: {', '.join(lifted)}. The mail provider may have it on a list of its own"
    else:
        known = call(lambda service: service.suppressing.of(address))
        left = [one.reason for one in known.suppressions if one.reason not in OPERATORS]
        said = "nothing to lift: see `firstmile suppression list ADDRESS`"
        if left:
            said = (
                f"nothing was lifted: {', '.join(left)} is the recipient's own word. If they asked you to, "
                f"name it: {' '.join(f'--of {one}' for one in left)}"
            )
    _say(as_json, {"lifted": lifted}, said)


def _show_one(address: str, as_json: bool) -> None:
    known = call(lambda service: service.suppressing.of(address))
    held = [{"reason": one.reason, "since": _text(one.since), "note": one.note} for one in known.suppressions]
    left = [{"topic": topic, "since": _text(since)} for topic, since in known.left.items()]
    history = [
        {"at": _text(one.at), "said": one.said, "by": one.by, "customer": one.subject, "note": one.note}
        for one in known.history
    ]
    if as_json:
        print_json({"suppressions": held, "left": left, "history": history})
        return
    for one in known.suppressions:
        typer.echo(f"suppressed: {one.reason} since {_minute(one.since)}{_note(one.note)}")
    for topic, since in known.left.items():
        typer.echo(f"wants no {topic} since {_minute(since)}")
    if not held and not left:
        typer.echo("nothing keeps messages from this address")
    for choice in known.history:
        typer.echo(f"  {_minute(choice.at)}  {choice.said}, by {choice.by}{_note(choice.note)}")


def _text(moment: datetime) -> str:
    from firstmile.journey.instants import format_instant, from_datetime

    return format_instant(from_datetime(moment))


def _minute(moment: datetime) -> str:
    from datetime import UTC

    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _note(note: str | None) -> str:
    return f": {note}" if note else ""


def _say(as_json: bool, value: dict[str, Any], words: str) -> None:
    if as_json:
        print_json(value)
    else:
        typer.echo(words)
