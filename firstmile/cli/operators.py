"""Operators' commands: what they tell a customer's journey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstmile.cli.errands import call, instant, operator, say

if TYPE_CHECKING:
    from firstmile.contracts import CommandRequest
    from firstmile.service import Done

app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="ID", help="The customer's id.", show_default=False)]
StepId = Annotated[str, typer.Argument(metavar="STEP", help="The step's id.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who gives the command; default: this machine's user.")]
Reason = Annotated[str | None, typer.Option(help="Why: it is written into the customer's journal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@app.command()
def pause(
    id: Id,
    reason: Annotated[str, typer.Option(help="Why: it is written into the customer's journal.")],
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Resume by itself then, as in 2026-03-06T09:00:00Z.")
    ] = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let no new step of a customer start."""
    _command(id, "pause", actor, reason, dry_run, as_json, until=instant(until))


@app.command()
def resume(
    id: Id,
    overdue: Annotated[
        str, typer.Option(help="What became due meanwhile: shift all times, run it now, or skip it.")
    ] = "shift",
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """End a pause."""
    if overdue not in ("shift", "run", "skip"):
        raise typer.BadParameter("one of shift, run, skip", param_hint="--overdue")
    _command(id, "resume", actor, reason, dry_run, as_json, overdue=overdue)


@app.command()
def skip(
    id: Id,
    step: StepId,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Settle a step as skipped, whatever state it is in."""
    _command(id, "skip", actor, reason, dry_run, as_json, step=step)


@app.command()
def retry(
    id: Id,
    step: StepId,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Try a failed step again, as a new attempt."""
    _command(id, "retry", actor, reason, dry_run, as_json, step=step)


@app.command(name="run-now")
def run_now(
    id: Id,
    step: StepId,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a step now that is scheduled for later."""
    _command(id, "run_now", actor, reason, dry_run, as_json, step=step)


@app.command()
def complete(
    id: Id,
    step: StepId,
    answer: Annotated[str | None, typer.Option(help="Of a check-in by call: good or help.")] = None,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Say that a task was done."""
    _command(id, "complete", actor, reason, dry_run, as_json, step=step, answer=answer)


@app.command()
def assign(
    id: Id,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The role: the id of an assign step.")],
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="The person's id.")],
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give a customer another owner."""
    _command(id, "assign", actor, reason, dry_run, as_json, step=role, owner=owner)


@app.command()
def cancel(
    id: Id,
    undo: Annotated[bool, typer.Option("--undo", help="Also undo what was provisioned.")] = False,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Stop a customer's journey for good."""
    _command(id, "cancel", actor, reason, dry_run, as_json, undo=undo)


@app.command()
def resend(
    id: Id,
    step: StepId,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Send a step's message again, as a new attempt."""
    _command(id, "resend", actor, reason, dry_run, as_json, step=step)


@app.command()
def reopen(
    id: Id,
    step: StepId,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Open a task again that was closed."""
    _command(id, "reopen", actor, reason, dry_run, as_json, step=step)


@app.command()
def extend(
    id: Id,
    until: Annotated[str, typer.Option(metavar="INSTANT", help="When the journey ends instead.")],
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the end of a customer's journey off."""
    _command(id, "extend", actor, reason, dry_run, as_json, until=instant(until))


@app.command()
def address(
    id: Id,
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="The new one.", show_default=False)],
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Change a customer's address: messages sent from now on go there."""
    if dry_run:
        _foreseen(as_json, id, "address", call(lambda service: service.foresee_address(id, {"email": email})))
        return
    who = actor or operator()
    changed = call(lambda service: service.address(id, {"email": email}, actor=who, reason=reason))
    said = f"'{id}' gets messages at the new address from now on" if changed else "it is that already"
    say(as_json, {"id": id, "command": "address", "changed": changed}, said)


@app.command()
def again(
    id: Id,
    traits: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="What is known of the customer now.")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="Another journey than the last one.")] = None,
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Onboard a customer a second time, once the first is finished."""
    who, given = actor or operator(), {"traits": pairs(traits or [])}
    more = {"segment": segment} if segment else {}
    if dry_run:
        _foreseen(as_json, id, "again", call(lambda service: service.foresee_again(id, {**given, **more})))
        return
    enrolled = call(lambda service: service.again(id, {**given, **more}, actor=who, reason=reason))
    said = f"'{id}' is on the way again: enrolment {enrolled.response['enrolment']}"
    say(as_json, enrolled.response, said)


@app.command()
def traits(
    id: Id,
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="seats=20, plan=pro, sso=true, go_live=null")
    ],
    reason: Reason = None,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Change what is known about a customer; null takes a trait away."""
    _command(id, "traits", actor, reason, dry_run, as_json, traits=pairs(changes))


# ---- what commands have in common ------------------------------------------------------------------------


def _command(
    id: str,
    name: str,
    actor: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    from firstmile.contracts import CommandRequest
    from firstmile.service.commanding import foreseen_as_json
    from firstmile.service.standing import view_as_json

    request: CommandRequest = CommandRequest(actor=actor or operator(), reason=reason, **given)
    if dry_run:
        foreseen = call(lambda service: service.foresee(id, name, request))
        _foreseen(as_json, id, name, foreseen.changes, **foreseen_as_json(foreseen))
        return
    done: Done = call(lambda service: service.command(id, name, request))
    view = None if done.result is None else done.result.view
    shown = {"id": id, "command": name, "view": None if view is None else view_as_json(view)}
    if view is not None:
        said = f"done: '{id}' is {view.status}"
    else:
        said = f"done: '{request.step}' of '{id}'" if request.step else f"done: '{id}'"
    say(as_json, shown, said)


def pairs(changes: Sequence[str]) -> dict[str, Any]:
    """Traits as they are written on a command line: NAME=VALUE."""
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


def _foreseen(as_json: bool, id: str, name: str, changes: list[str], **more: Any) -> None:
    """Say what would change."""
    shown = {"id": id, "command": name, "dry_run": True, "changes": changes, **more}
    say(as_json, shown, "\n".join(["nothing was changed; this would happen:", *changes]))
