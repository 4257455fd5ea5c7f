"""Operators' commands: what they tell a customer's journey, and messages that wait.

`hold` writes to the store alone: messages can be stopped while Temporal is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, operator, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from firstmile.contracts import CommandRequest
    from firstmile.journey.instants import Instant
    from firstmile.service import Done, Service

app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="ID", help="The customer's id.", show_default=False)]
StepId = Annotated[str, typer.Argument(metavar="STEP", help="The step's id.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who gives the command; default: this machine's user.")]
Reason = Annotated[str | None, typer.Option(help="Why: it is written into the customer's journal.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@app.command()
def pause(
    id: Id,
    reason: Annotated[str, typer.Option(help="Why: it is written into the customer's journal.")],
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Resume by itself then, as in 2026-03-06T09:00:00Z.")
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Let no new step of a customer start."""
    _command(id, "pause", actor, reason, as_json, until=_instant(until))


@app.command()
def resume(
    id: Id,
    overdue: Annotated[
        str, typer.Option(help="What became due meanwhile: shift all times, run it now, or skip it.")
    ] = "shift",
    reason: Reason = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """End a pause."""
    if overdue not in ("shift", "run", "skip"):
        raise typer.BadParameter("one of shift, run, skip", param_hint="--overdue")
    _command(id, "resume", actor, reason, as_json, overdue=overdue)


@app.command()
def skip(id: Id, step: StepId, reason: Reason = None, actor: Actor = None, as_json: Json = False) -> None:
    """Settle a step as skipped, whatever state it is in."""
    _command(id, "skip", actor, reason, as_json, step=step)


@app.command()
def retry(id: Id, step: StepId, reason: Reason = None, actor: Actor = None, as_json: Json = False) -> None:
    """Try a failed step again, as a new attempt."""
    _command(id, "retry", actor, reason, as_json, step=step)


@app.command(name="run-now")
def run_now(id: Id, step: StepId, reason: Reason = None, actor: Actor = None, as_json: Json = False) -> None:
    """Run a step now that is scheduled for later."""
    _command(id, "run_now", actor, reason, as_json, step=step)


@app.command()
def complete(
    id: Id,
    step: StepId,
    answer: Annotated[str | None, typer.Option(help="Of a check-in by call: good or help.")] = None,
    reason: Reason = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Say that a task was done."""
    _command(id, "complete", actor, reason, as_json, step=step, answer=answer)


@app.command()
def assign(
    id: Id,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The role: the id of an assign step.")],
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="The person's id.")],
    reason: Reason = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Give a customer another owner."""
    _command(id, "assign", actor, reason, as_json, step=role, owner=owner)


@app.command()
def cancel(
    id: Id,
    undo: Annotated[bool, typer.Option("--undo", help="Also undo what was provisioned.")] = False,
    reason: Reason = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Stop a customer's journey for good."""
    _command(id, "cancel", actor, reason, as_json, undo=undo)


@app.command()
def traits(
    id: Id,
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="seats=20, plan=pro, sso=true, go_live=null")
    ],
    reason: Reason = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Change what is known about a customer; null takes a trait away."""
    _command(id, "traits", actor, reason, as_json, traits=_pairs(changes))


@app.command()
def hold(
    scope: Annotated[
        str | None, typer.Argument(metavar="everything", help="What waits: every message to everybody.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Release it by itself then.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Let messages go out again.")] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Let messages wait, or go out again; without a word, show what is held. Works while Temporal is away."""
    from firstmile.journey.instants import to_datetime

    who = actor or operator()
    instant = _instant(until)
    ends = None if instant is None else to_datetime(instant)
    if scope not in (None, "everything"):
        raise typer.BadParameter("only 'everything' can be held from here", param_hint="everything")
    if release:
        released = call(lambda service: service.release("everything", None, actor=who))
        _say(as_json, {"released": released}, f"{released} released" if released else "nothing was held")
        return
    if scope is None:
        _show_holds(as_json)
        return
    if not (reason or "").strip():
        raise typer.BadParameter("a hold needs one: others will want to know why", param_hint="--reason")

    async def errand(service: Service) -> int:
        held = await service.hold("everything", None, reason=reason or "", actor=who, until=ends)
        return held.id

    number = call(errand)
    _say(as_json, {"hold": number}, "every message waits until `firstmile hold --release`")


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
    call(lambda service: service.put_person(known))
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
    _say(as_json, found, ", ".join(f"{number} {name}" for name, number in found.items()))


# ---- what commands have in common ------------------------------------------------------------------------


def _command(id: str, name: str, actor: str | None, reason: str | None, as_json: bool, **given: Any) -> None:
    from firstmile.contracts import CommandRequest
    from firstmile.service.standing import view_as_json

    request: CommandRequest = CommandRequest(actor=actor or operator(), reason=reason, **given)
    done: Done = call(lambda service: service.command(id, name, request))
    view = None if done.result is None else done.result.view
    shown = {"id": id, "command": name, "view": None if view is None else view_as_json(view)}
    if view is not None:
        said = f"done: '{id}' is {view.status}"
    else:
        said = f"done: '{request.step}' of '{id}'" if request.step else f"done: '{id}'"
    _say(as_json, shown, said)


def _say(as_json: bool, value: dict[str, Any], words: str) -> None:
    if as_json:
        print_json(value)
    else:
        typer.echo(words)


def _instant(text: str | None) -> Instant | None:
    from firstmile.journey.instants import parse_instant

    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from None


def _pairs(changes: Sequence[str]) -> dict[str, Any]:
    from firstmile import bodies

    found: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"'{change}' is not NAME=VALUE", param_hint="NAME=VALUE")
        try:
            # 12, true and null are what they look like; everything else is text.
            value = bodies.parse(text)
        except bodies.NotJson:
            value = text
        found[name] = value if isinstance(value, int | float | bool) or value is None else text.strip('"')
    return found


def _show_holds(as_json: bool) -> None:
    from firstmile.journey.instants import format_instant, from_datetime

    holds = call(lambda service: service.holds())

    def text(moment: datetime | None) -> str | None:
        return None if moment is None else format_instant(from_datetime(moment))

    found = [
        {
            "scope": one.scope,
            "value": one.value,
            "reason": one.reason,
            "actor": one.actor,
            "since": text(one.since),
            "until": text(one.until),
        }
        for one in holds
    ]
    if as_json:
        print_json({"holds": found})
        return
    for one in found:
        what = one["scope"] if one["value"] is None else f"{one['scope']} {one['value']}"
        ends = f" until {one['until']}" if one["until"] else ""
        typer.echo(f"{what} is held since {one['since']}{ends} by {one['actor']}: {one['reason']}")
    if not found:
        typer.echo("nothing is held")
