"""Operators' commands: updates to a customer's workflow, and holds, which need the store alone.

An update is applied at once or rejected with a reason; the call returns when it is done (DESIGN §2.5). What
reaches a finished customer, or nobody, is answered in words.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from firstmile.contracts import CommandRequest, CommandResult
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    Flaw,
    JourneyOver,
    NotConfirmed,
    TemporalAway,
    UnknownCustomer,
)
from firstmile.journey.inputs import COMMANDS
from firstmile.journey.instants import format_instant
from firstmile.journey.journal import FINISHED
from firstmile.journey.problems import unknown
from firstmile.service.premises import Premises, is_not_found, temporal_errors
from firstmile.store import enrolments, holds, journal, owners, tasks, views
from firstmile.store.enrolments import Enrolment
from firstmile.store.holds import Hold, Scope
from firstmile.store.owners import Member, Person

_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts at a workflow that is not ready."""

ANSWERED_WITHIN = timedelta(seconds=15)
"""How long a command may wait for a worker to carry it out."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command was carried out: where the customer stands after it (None: it changed no journey)."""

    command: str
    result: CommandResult | None = None


class Commanding:
    """The part of the service that gives commands."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def command(
        self, subject: str, name: str, request: CommandRequest, *, key: str | None = None
    ) -> Done:
        """Carry out a command. With a `key`, the same command given twice has one effect.

        Raises `CommandRejected` with the reason, `UnknownCustomer`, `JourneyOver`, or a retryable error
        (`NotConfirmed`: it may still be carried out).
        """
        name = name.replace("-", "_")
        if name not in COMMANDS:
            shown = [one.replace("_", "-") for one in COMMANDS]
            raise CommandMalformed([Flaw("command", unknown("command", name.replace("_", "-"), shown))])
        try:
            done = await self._carry_out(subject, name, request, key)
        except (CommandRejected, JourneyOver):
            self._premises.count("commands_total", {"command": name, "outcome": "rejected"})
            raise
        self._premises.count("commands_total", {"command": name, "outcome": "done"})
        return done

    async def hold(
        self, scope: str, value: str | None, *, reason: str, actor: str, until: datetime | None = None
    ) -> Hold:
        """Let messages wait: `everything`, or those of a `segment`, a `template` or a `customer`."""
        place = _scope(scope, value)
        if not reason.strip():
            raise CommandMalformed([Flaw("reason", "a hold needs a reason: others will want to know why")])
        now = self._premises.now()
        async with self._premises.writing() as tx:
            return await holds.place(tx, place, value, reason=reason, actor=actor, now=now, until=until)

    async def release(self, scope: str, value: str | None, *, actor: str) -> int:
        """Let messages go out again. Returns how many holds were released."""
        place = _scope(scope, value)
        async with self._premises.writing() as tx:
            return await holds.release(tx, place, value, actor=actor, now=self._premises.now())

    async def holds(self) -> list[Hold]:
        """The holds in force."""
        async with self._premises.reading() as db:
            return await holds.active(db, self._premises.now())

    # People

    async def put_person(self, person: Person) -> None:
        """Make a person known, or change one: `assign` steps choose from those of a team who are active."""
        flaws = [
            Flaw(name, "a text without blanks was expected")
            for name, value in (("id", person.id), ("team", person.team))
            if not value or value.split() != [value]
        ]
        if not person.name.strip():
            flaws.append(Flaw("name", "it is missing: customers read it"))
        if flaws:
            raise CommandMalformed(flaws)
        async with self._premises.writing() as tx:
            await owners.put(tx, person)

    async def people(self) -> list[Member]:
        """Everybody who is known, with how many unfinished customers they own."""
        async with self._premises.reading() as db:
            return await owners.members(db)

    # Carrying out

    async def _carry_out(self, subject: str, name: str, request: CommandRequest, key: str | None) -> Done:
        async with self._premises.reading() as db:
            row = await enrolments.latest(db, subject)
            owner_is_known = request.owner is None or await owners.person(db, request.owner) is not None
        if row is None:
            raise UnknownCustomer(subject)
        if name == "complete" and (request.step or "").endswith(tasks.ASIDE):
            return await self._complete_aside(row, request)
        if name == "assign" and not owner_is_known:
            raise CommandRejected(f"nobody is known as '{request.owner}'")
        result = await self._update(row, name, request, key)
        if name == "assign":
            await self._reassign(row, request)
        return Done(name, result)

    async def _update(
        self, row: Enrolment, name: str, request: CommandRequest, key: str | None
    ) -> CommandResult:
        update_id = uuid.uuid4().hex if key is None else _update_id(row, name, key)
        try:
            for pause in _PAUSES:
                try:
                    return await self._update_once(row, name, request, update_id)
                except RPCError as error:
                    # The workflow was just continuing as new, and a signal came in between: nothing was done.
                    if error.status != RPCStatusCode.FAILED_PRECONDITION:
                        raise
                await asyncio.sleep(pause)
            return await self._update_once(row, name, request, update_id)
        except WorkflowUpdateFailedError as failed:
            raise _rejection(failed) from failed
        except WorkflowUpdateRPCTimeoutOrCancelledError as silence:
            raise NotConfirmed(
                f"no worker answered within {ANSWERED_WITHIN.total_seconds():g} seconds: "
                "the command may still be carried out; look at the status before you repeat it"
            ) from silence
        except RPCError as error:
            if is_not_found(error):
                raise await self._nobody_there(row) from error
            if error.status == RPCStatusCode.FAILED_PRECONDITION:
                raise TemporalAway("the workflow is not ready to be commanded: try again") from error
            raise

    async def _update_once(
        self, row: Enrolment, name: str, request: CommandRequest, update_id: str
    ) -> CommandResult:
        with temporal_errors():
            found: CommandResult = await self._premises.workflow(row.subject).execute_update(
                name,
                request,
                id=update_id,
                result_type=CommandResult,
                rpc_timeout=ANSWERED_WITHIN,
            )
        return found

    async def _nobody_there(self, row: Enrolment) -> Exception:
        """What to say when Temporal knows no running workflow of this customer."""
        if row.state == "starting":
            return TemporalAway(f"'{row.subject}' is only just starting: try again")
        async with self._premises.reading() as db:
            customer = await views.get(db, row.subject, row.number)
            entries = await journal.read(db, row.subject, row.number)
        last = next((entry for entry in reversed(entries) if entry.change in FINISHED), None)
        if last is not None:
            return JourneyOver(row.subject, last.change, format_instant(last.at)[:10])
        how = customer.view.status if customer is not None and customer.view.status in FINISHED else ""
        return JourneyOver(row.subject, how, None) if how else JourneyOver(row.subject, "not running", None)

    async def _complete_aside(self, row: Enrolment, request: CommandRequest) -> Done:
        """A task that is no step of the journey ("I need help"): the store has it."""
        now, actor = self._premises.now(), request.actor or "somebody"
        async with self._premises.writing() as tx:
            found = await tasks.of(tx, row.subject, row.number, request.step)
            done = [
                await tasks.complete(tx, task.key, actor=actor, now=now)
                for task in found
                if task.state == "open"
            ]
        if not done:
            raise CommandRejected(f"no task '{request.step}' is open")
        return Done("complete")

    async def _reassign(self, row: Enrolment, request: CommandRequest) -> None:
        """The store's part: who owns the customer, and whose the open tasks of the former owner are."""
        now = self._premises.now()
        role, to = request.step or "", request.owner or ""
        async with self._premises.writing() as tx:
            before = (await owners.of(tx, row.subject, row.number)).get(role)
            await owners.reassign(tx, row.subject, row.number, role, to, now)
            if before is None:
                return
            for task in await tasks.of(tx, row.subject, row.number):
                if task.state == "open" and task.owner == before.id:
                    await tasks.hand_over(tx, task.key, to)


def _scope(scope: str, value: str | None) -> Scope:
    scopes: dict[str, Scope] = {one: one for one in get_args(Scope)}
    if scope not in scopes:
        raise CommandMalformed([Flaw("scope", unknown("scope", scope, scopes))])
    if (value is None) != (scope == "everything"):
        wanted = "has no value" if value is not None else f"needs a value: which {scope}"
        raise CommandMalformed([Flaw("value", f"a hold on {scope} {wanted}")])
    return scopes[scope]


def _update_id(row: Enrolment, name: str, key: str) -> str:
    text = "\x1f".join((row.subject, str(row.number), name, key))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _rejection(failed: WorkflowUpdateFailedError) -> CommandRejected:
    cause = failed.cause
    reason = cause.message if isinstance(cause, ApplicationError) else str(cause)
    return CommandRejected(reason or "the workflow rejected the command")
