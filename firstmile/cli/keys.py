"""`firstmile key …` and `firstmile audit`: who may call the HTTP service, and who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, console, instant, length, operator, print_json, say

if TYPE_CHECKING:
    from firstmile.callers import Caller
    from firstmile.store.keys import Key

app = typer.Typer()
key = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke the keys of the HTTP service.")
app.add_typer(key, name="key")

Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
Actor = Annotated[str | None, typer.Option(help="Who does this; default: this machine's user.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.", show_default=False)]


@key.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what will use it.", show_default=False)],
    role: Annotated[
        str | None, typer.Option(help="system, viewer, operator or admin: a bundle of scopes.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="signup, events, read, operate or admin; several times.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="As in '90 days'; default: never.")
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: nothing can show it again."""
    from firstmile.service.keys import key_as_json

    within = length(expires_in, "--expires-in")

    async def errand(service: Any) -> tuple[Key, str]:
        found: tuple[Key, str] = await service.keys.create(
            name, by=_by(actor), role=role, scopes=scope or (), expires_in=within
        )
        return found

    made, token = call(errand)
    shown = {**key_as_json(made, made.created_at), "token": token}
    say(as_json, shown, f"{token}\nmay: {', '.join(shown['scopes'])}. Keep it: it is not shown again.")


@key.command(name="list")
def list_keys(as_json: Json = False) -> None:
    """Show the keys, without what opens."""
    from firstmile.service.keys import key_as_json

    async def errand(service: Any) -> list[dict[str, Any]]:
        now = service.now()
        return [key_as_json(one, now) for one in await service.keys.all()]

    found = call(errand)
    if as_json:
        print_json({"keys": found})
        return
    if not found:
        typer.echo("there are no keys: `firstmile key create NAME --role operator` makes one")
        return
    from rich.table import Table

    table = Table("id", "name", "scopes", "state", "expires", "last used", box=None, header_style="bold")
    for one in found:
        table.add_row(
            one["id"], one["name"], " ".join(one["scopes"]), one["state"],
            (one["expires_at"] or "never")[:10], (one["last_used_at"] or "never")[:16].replace("T", " "),
        )  # fmt: skip
    console().print(table)


@key.command()
def rotate(
    id: KeyId,
    grace: Annotated[
        str, typer.Option(metavar="LENGTH", help="How long the former secret still opens.")
    ] = "24 hours",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Give a key another secret and print it; the former one opens for a while."""
    within = length(grace, "--grace")
    token = call(
        lambda service: service.keys.rotate(id, by=_by(actor), **({"grace": within} if within else {}))
    )
    say(as_json, {"id": id, "token": token}, token)


@key.command()
def revoke(
    id: KeyId,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Let a key open nothing any more: everywhere within seconds."""
    call(lambda service: service.keys.revoke(id, by=_by(actor), reason=reason))
    say(as_json, {"id": id, "state": "revoked"}, f"{id} opens nothing any more")


@app.command()
def audit(
    subject: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of one customer only.", show_default=False)
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Of one person or key only.")] = None,
    action: Annotated[str | None, typer.Option(help="Of one kind only, as in pause.")] = None,
    since: Annotated[str | None, typer.Option(metavar="INSTANT", help="From then on.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, the newest first.")
    ] = False,
) -> None:
    """Show who did what, the newest first; with --json it is an export."""
    from firstmile.journey.instants import to_datetime
    from firstmile.service.auditing import deed_as_json

    begin = instant(since, "--since")
    moment = None if begin is None else to_datetime(begin)

    async def errand(service: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while len(found) < limit:
            page = await service.auditing.read(
                subject=subject, actor=actor, action=action, since=moment, cursor=cursor,
                limit=min(limit - len(found), 1000),
            )  # fmt: skip
            found += [deed_as_json(number, deed) for number, deed in page.deeds]
            cursor = page.cursor
            if cursor is None:
                break
        return found

    deeds = call(errand)
    if as_json:
        for one in deeds:
            print_json(one)
        return
    if not deeds:
        typer.echo("nothing is written down there")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("at", "who", "what", "to", "outcome", "why", box=None, header_style="bold")
    for one in deeds:
        what = one["action"].replace("_", "-")
        to = " ".join(part for part in (one["subject"], one["target"]) if part)
        why = one["detail"] or one["reason"] or ""
        table.add_row(
            *map(Text, (one["at"][:19].replace("T", " "), one["actor"], what, to, one["outcome"], why))
        )
    console().print(table)


def _by(actor: str | None) -> Caller:
    from firstmile.callers import Caller

    return Caller(actor or operator())
