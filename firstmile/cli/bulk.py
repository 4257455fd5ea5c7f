"""`firstmile bulk …`: one command to many customers, with a look beforehand and progress.

The work is done by workers: this program only asks for it and watches. Ctrl-C ends the watching.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, console, fail, instant, operator, print_json, say
from firstmile.cli.operators import pairs

if TYPE_CHECKING:
    from firstmile.service import Service
    from firstmile.service.bulk import BulkForesight
    from firstmile.service.orders import Order
    from firstmile.store.bulk import Job

app = typer.Typer()

WATCH_EVERY = 0.5
"""Seconds between two looks at a job."""

Json = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
Actor = Annotated[str | None, typer.Option(help="Who asks for it; default: this machine's user.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)]


@app.command()
def bulk(
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="pause, resume, skip, extend …", show_default=False)
    ],
    reason: Annotated[str, typer.Option(help="Why: it is written into every customer's journal.")],
    segment: Annotated[str | None, typer.Option(help="Only customers of this segment.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those who are active, paused or stuck.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only those in this stage.")] = None,
    q: Annotated[
        str | None,
        typer.Option("--q", metavar="WORDS", help="Beginnings of words of id, name, address or company."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version of a journey.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="PERSON", help="Only this person's customers.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only where something is late.")] = False,
    stuck: Annotated[
        str | None, typer.Option(metavar="STEP", help="Only where this step has failed.")
    ] = None,
    because: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only where a step failed for a reason like this.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Only those enrolled then or later.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Everybody who is on the way.")] = False,
    ids: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Those in this file, an id a line; - is standard input."),
    ] = None,
    step: Annotated[str | None, typer.Option(help="For skip, retry, run-now, assign (the role) …")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="For pause and extend.")] = None,
    became_due: Annotated[
        str, typer.Option(help="For resume: what became due meanwhile: shift, run or skip.")
    ] = "shift",
    undo: Annotated[bool, typer.Option("--undo", help="For cancel: undo what was provisioned.")] = False,
    to: Annotated[str | None, typer.Option(metavar="PERSON", help="For assign: who owns them then.")] = None,
    answer: Annotated[str | None, typer.Option(help="For complete: good or help.")] = None,
    trait: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For traits; several times.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Customers a second; default: FIRSTMILE_BULK_RATE.")
    ] = None,
    actor: Actor = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say whom and what, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not watch it.")] = False,
    as_json: Json = False,
) -> None:
    """Give a command to many customers at once: count and look first, then at a rate, each once."""
    from firstmile.contracts import CommandRequest
    from firstmile.service.bulk import foresight_as_json, job_as_json
    from firstmile.service.orders import Order
    from firstmile.service.searching import Asked

    began = instant(since, "--since")
    filters = Asked(q, segment, status, stage, version, owner, overdue, stuck, because, began)
    if sum((filters != Asked(), everybody, ids is not None)) != 1:
        raise typer.BadParameter("say whom: --segment, --status and the like; or --everybody; or --ids FILE")
    request = CommandRequest(
        actor=actor or operator(),
        reason=reason,
        step=step,
        until=instant(until),
        overdue=became_due,
        undo=undo,
        traits=pairs(trait) if trait else None,
        owner=to,
        answer=answer,
    )
    order = Order(command, request, None if ids is not None else filters, _ids(ids), rate)
    if dry_run or not yes:
        foreseen: BulkForesight = call(lambda service: service.bulk.foresee(order))
        if dry_run and as_json:
            print_json(foresight_as_json(foreseen))
            return
        _show(foreseen, err=as_json)
        if dry_run:
            return
        if not sys.stdin.isatty() or ids == "-":
            fail("nobody is there to be asked: say --yes, or --dry-run", 2)
        typer.confirm(f"{foreseen.command} these {foreseen.customers} customers?", abort=True, err=as_json)
    job = call(lambda service: _carry_out(service, order, watched=not no_wait, quiet=as_json))
    if as_json:
        print_json(job_as_json(job))
    elif no_wait:
        typer.echo(f"job {job.id}: {job.customers} customers; `firstmile bulk-status {job.id}` follows it")
    if not no_wait and (job.state != "done" or job.rejected or job.failed):
        raise typer.Exit(1)


@app.command(name="bulk-status")
def bulk_status(
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="A job's id; without: all jobs.", show_default=False)
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="List customers: waiting, done, rejected, failed, or all."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many are listed.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the bulk commands that were given; or one of them, with what became of each customer."""
    from firstmile.service.bulk import item_as_json, job_as_json
    from firstmile.store.bulk import RESULTS

    if results is not None and (id is None or results not in (*RESULTS, "all")):
        raise typer.BadParameter(f"with an ID, and one of {', '.join(RESULTS)}, all", param_hint="--results")
    if id is None:
        jobs = call(lambda service: service.bulk.jobs(limit=limit)).jobs
        if as_json:
            print_json({"jobs": [job_as_json(one) for one in jobs]})
        elif jobs:
            console().print(_table(jobs))
        else:
            typer.echo("no bulk command has been given")
        return
    if results is not None:
        state: Any = None if results == "all" else results
        items = call(lambda service: _items(service, id, state, limit))
        for item in map(item_as_json, items):
            if as_json:
                print_json(item)
            else:
                typer.echo("  ".join(filter(None, (item["id"], item["state"], item["reason"]))))
        return
    job = call(lambda service: _watch(service, id, quiet=as_json) if watch else service.bulk.get(id))
    if as_json:
        print_json(job_as_json(job))
    elif not watch:
        console().print(_table([job]))


@app.command(name="bulk-stop")
def bulk_stop(
    id: JobId,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Stop a bulk command: no further customer is begun; what was done stays done."""
    from firstmile.service.bulk import job_as_json

    who = actor or operator()
    job: Job = call(lambda service: service.bulk.stop(id, actor=who, reason=reason))
    said = f"job {id} is {job.state}: {job.done} of {job.customers} customers are done"
    say(as_json, job_as_json(job), said)


# ---- carrying out, watching ------------------------------------------------------------------------------


async def _carry_out(service: Service, order: Order, *, watched: bool, quiet: bool) -> Job:
    try:
        job, _ = await service.bulk.start(order)
    except asyncio.CancelledError:
        typer.echo("it may have been taken on: `firstmile bulk-status` lists what was", err=True)
        raise
    return await _watch(service, job.id, quiet=quiet) if watched else job


async def _watch(service: Service, id: str, *, quiet: bool) -> Job:
    """Follow a job to its end. Ctrl-C leaves it running, and says how to stop it."""
    try:
        job = await _followed(service, id, quiet=quiet)
    except asyncio.CancelledError:
        goes_on = f"job {id} goes on: `firstmile bulk-status {id} --watch` follows it"
        typer.echo(f"{goes_on}, `firstmile bulk-stop {id}` stops it", err=True)
        raise
    if not quiet:
        typer.echo(f"job {id} is {job.state}: {_counts(job)}, of {job.customers} customers")
        if job.rejected or job.failed:
            worse = "rejected" if job.rejected else "failed"
            typer.echo(f"`firstmile bulk-status {id} --results {worse}` says whom, and why", err=True)
    return job


async def _followed(service: Service, id: str, *, quiet: bool) -> Job:
    """A job once it has ended; with a bar until then, on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
        console=console(),
        disable=quiet or not sys.stdout.isatty(),
    )
    job = await service.bulk.get(id)
    begun, before = asyncio.get_running_loop().time(), job.customers - job.waiting
    with shown:
        task = shown.add_task(f"{job.command} ({id})", total=job.customers, counts="")
        while True:
            given = job.customers - job.waiting
            seconds = asyncio.get_running_loop().time() - begun
            counts = f"{_counts(job)}, {(given - before) / max(seconds, WATCH_EVERY):.1f}/s, {job.state}"
            shown.update(task, completed=given, counts=counts)
            if job.ended_at is not None:
                return job
            await asyncio.sleep(WATCH_EVERY)
            job = await service.bulk.get(id)


async def _items(service: Service, id: str, state: Any, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor: int | None = None
    while len(found) < limit:
        page = await service.bulk.results(id, state=state, cursor=cursor, limit=min(limit - len(found), 1000))
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    return found


def _counts(job: Job) -> str:
    return f"{job.done} done, {job.rejected} rejected, {job.failed} failed"


def _show(foreseen: BulkForesight, *, err: bool) -> None:
    """How many, and what would change for the first of them."""
    seconds = foreseen.customers / foreseen.rate
    takes = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    typer.echo(
        f"{foreseen.command}: {foreseen.customers} customers at {foreseen.rate:g} a second, about {takes}",
        err=err,
    )
    for one in foreseen.sample:
        said = "; ".join(one.changes)
        if one.rejected is not None:
            said = f"would be rejected: {one.rejected}"
        elif one.unclear is not None:
            said = f"nobody can say: {one.unclear}"
        typer.echo(f"  {one.subject}: {said}", err=err)
    more = foreseen.customers - len(foreseen.sample)
    if more:
        typer.echo(f"  … and {more} more", err=err)


def _table(jobs: list[Job]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "id",
        "command",
        "by",
        "state",
        "customers",
        "done",
        "rejected",
        "failed",
        "waiting",
        "began",
    ):
        table.add_column(column, no_wrap=True)
    table.add_column("reason")
    for job in jobs:
        numbers = (job.customers, job.done, job.rejected, job.failed, job.waiting)
        began = f"{job.created_at:%Y-%m-%d %H:%M}"
        cells = (
            job.id,
            job.command.replace("_", "-"),
            job.actor,
            job.state,
            *map(str, numbers),
            began,
            job.reason,
        )
        table.add_row(*map(Text, cells))
    return table


def _ids(file: str | None) -> list[str] | None:
    """The ids of a file, an id a line."""
    if file is None:
        return None
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}", param_hint="--ids") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
