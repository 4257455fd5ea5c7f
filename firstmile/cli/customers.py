"""Commands that look at customers, and the one that reports what they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, console, fail, instant, print_json, say

if TYPE_CHECKING:
    from firstmile.service import Asked, Service

app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="ID", help="The customer's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]

# ---- looking ---------------------------------------------------------------------------------------------


@app.command(name="list")
def list_customers(
    q: Annotated[
        str | None,
        typer.Option("--q", metavar="WORDS", help="Beginnings of words of id, name, address or company."),
    ] = None,
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status: active, paused, stuck, completed, stopped.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version of a journey.")] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Only customers of this person.")
    ] = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only where something should have happened, or a task is late.")
    ] = False,
    stuck: Annotated[
        str | None, typer.Option(metavar="STEP", help="Only where this step has failed.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only where a step failed for a reason like this.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Only those enrolled then or later.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are, up to 1,000.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="No more than so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """List customers, the newest first: those of whom everything holds that is asked."""
    from firstmile.cli import tables
    from firstmile.service import Asked

    if status is not None and status not in tables.STATUSES:
        raise typer.BadParameter(f"there is no status '{status}': " + ", ".join(tables.STATUSES))
    began = instant(since, "--since")
    asked = Asked(q, segment, status, stage, version, owner, overdue, stuck, reason, began)
    if count:
        _count(asked, as_json)
        return
    customers, more = call(lambda service: _listed(service, asked, limit))
    if as_json:
        for one in customers:
            print_json(one)
        return
    console().print(tables.customers(customers))
    if more:
        typer.echo(f"There are more: --limit {limit * 2} shows some of them.", err=True)


def _count(asked: Asked, as_json: bool) -> None:
    counted = call(lambda service: service.count(asked))
    number, more = counted.number, " or more" if counted.or_more else ""
    words = f"{number:,}{more} customer{'' if number == 1 and not more else 's'}"
    say(as_json, {"count": number, "or_more": counted.or_more}, words)


async def _listed(service: Service, asked: Asked, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """At most so many customers, and whether there may be more."""
    from firstmile.service.searching import listed_as_json

    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await service.find(asked, cursor=cursor, limit=min(limit - len(found), 200))
        found += map(listed_as_json, page.customers)
        cursor = page.cursor
        if cursor is None or len(found) >= limit:
            return found, cursor is not None


@app.command()
def status(
    id: Id,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="Show all that happened, entry by entry.")
    ] = False,
    messages: Annotated[
        bool, typer.Option("--messages", help="Show what was sent, and what became of it.")
    ] = False,
) -> None:
    """Show where a customer stands: what was done, what is open, and what comes next, when and why."""
    from firstmile.cli import tables
    from firstmile.service.standing import as_json as plain

    if watch and not as_json:
        call(lambda service: _watch(service, id))
        return
    standing = call(lambda service: service.status(id))
    if as_json:
        print_json(plain(standing))
        return
    console().print(tables.standing(standing))
    if messages:
        console().print(tables.messages(standing))
    if journal:
        console().print(tables.journal(standing))


async def _watch(service: Service, id: str) -> None:
    from rich.live import Live

    from firstmile.cli import tables

    with Live(console=console(), auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            standing = await service.status(id)
            live.update(tables.standing(standing), refresh=True)
            if standing.status in ("completed", "stopped"):
                return
            await asyncio.sleep(1)


# ---- events ----------------------------------------------------------------------------------------------


@app.command()
def event(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose event it is.")],
    name: Annotated[str, typer.Argument(metavar="EVENT", help="Its name, for instance user.logged_in.")],
    id: Annotated[str | None, typer.Option(help="Its own id: the same twice counts once.")] = None,
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="When it happened; default: now.")] = None,
    properties: Annotated[str | None, typer.Option(metavar="JSON", help="What is known about it.")] = None,
    as_json: Json = False,
) -> None:
    """Report a product event."""
    import uuid

    from firstmile import bodies
    from firstmile.errors import EventRefused
    from firstmile.service import events

    body: dict[str, Any] = {"subject": subject, "event": name, "id": id or f"cli-{uuid.uuid4()}", "at": at}
    try:
        if properties is not None:
            body["properties"] = bodies.parse(properties, "--properties")
        given = events.read(body)
    except (bodies.NotJson, EventRefused) as error:
        fail(error, 2)
    outcome = call(lambda service: service.event(given))
    if as_json:
        print_json({"id": given.id, "outcome": outcome})
        return
    typer.echo(_OUTCOMES[outcome].format(subject=subject, event=name))


_OUTCOMES = {
    "accepted": "{event} was passed on to '{subject}'",
    "ignored": "{event} was dropped: nothing in the journey of '{subject}' listens to it",
    "parked": "{event} is kept for 7 days: nobody has signed up as '{subject}' yet",
    "ended": "{event} came too late: the journey of '{subject}' has ended",
}
