"""Operators' commands: updates to a customer's workflow, asked for before and after in the audit.

An update is applied at once or rejected with a reason; the call returns when it is done (DESIGN §2.5). What
reaches a finished customer, or nobody, is answered in words.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio.client import (
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from firstmile import callers
from firstmile.contracts import Clock, CommandRequest, CommandResult
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    FirstmileError,
    Flaw,
    JourneyOver,
    NotConfirmed,
    NotThereYet,
    StoreAway,
    UnknownCustomer,
)
from firstmile.journey import foresight
from firstmile.journey.calendar import Calendar
from firstmile.journey.foresight import Foreseen
from firstmile.journey.inputs import COMMANDS
from firstmile.journey.instants import format_instant, from_datetime
from firstmile.journey.journal import FINISHED, View
from firstmile.journey.problems import unknown
from firstmile.journey.slices import cut
from firstmile.service.auditing import changes, facts_of
from firstmile.service.premises import PATIENCE, Premises, is_not_found, no_worker, temporal_errors
from firstmile.store import audit, enrolments, journal, owners, profiles, tasks, views
from firstmile.store.audit import Deed
from firstmile.store.enrolments import Enrolment

_logger = logging.getLogger(__name__)
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts at a workflow that is not ready."""

ANSWERED_WITHIN = timedelta(seconds=15)
"""How long a command may wait for a worker to carry it out."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a command would do: `changes` in plain words, times in the customer's zone."""

    changes: list[str]
    found: Foreseen


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
        self,
        subject: str,
        name: str,
        request: CommandRequest,
        *,
        key: str | None = None,
        enrolment: int | None = None,
    ) -> Done:
        """Carry out a command. With a `key`, the same command given twice has one effect.

        `enrolment`: it is meant for this one, and rejected once the customer is on the way again.

        Raises `CommandRejected` with the reason, `UnknownCustomer`, `JourneyOver`, or a retryable error
        (`NotConfirmed`: it may still be carried out).
        """
        name = _known(name)
        async with self._premises.reading() as db:
            row = await enrolments.latest(db, subject)
            if row is None:
                raise UnknownCustomer(subject)
            if enrolment not in (None, row.number):
                raise CommandRejected("the customer has been enrolled again since")
            customer = await views.get(db, subject, row.number)
            owner_is_known = request.owner is None or await owners.person(db, request.owner) is not None
        deed = self._deed(row, name, request, None if customer is None else customer.view)
        async with self._premises.writing() as tx:
            await audit.record(tx, deed)
        try:
            done = await self._carry_out(row, name, request, key, owner_is_known)
        except (CommandRejected, JourneyOver) as rejected:
            await self._end(replace(deed, outcome="rejected", detail=str(rejected)))
            raise
        except FirstmileError as error:
            await self._end(replace(deed, outcome="failed", detail=str(error)))
            raise
        view = None if done.result is None else done.result.view
        before, after = changes(deed.before, None if view is None else facts_of(view))
        await self._end(replace(deed, outcome="done", before=before, after=after))
        return done

    async def foresee(self, subject: str, name: str, request: CommandRequest) -> Foresight:
        """What a command would do, asked of the customer's workflow: nothing changes.

        Raises what `command` raises.
        """
        name = _known(name)
        async with self._premises.reading() as db:
            row = await enrolments.latest(db, subject)
            owner_is_known = request.owner is None or await owners.person(db, request.owner) is not None
            profile = await profiles.get(db, subject)
        if row is None:
            raise UnknownCustomer(subject)
        if name == "assign" and not owner_is_known:
            raise CommandRejected(f"nobody is known as '{request.owner}'")
        try:
            with temporal_errors(), no_worker():
                found: Foreseen = await self._premises.workflow(subject).query(
                    "foresee",
                    args=[name, request, from_datetime(self._premises.now())],
                    result_type=Foreseen,
                    rpc_timeout=PATIENCE,
                )
        except WorkflowQueryFailedError as failed:
            raise NotConfirmed(f"the workflow did not answer: {failed}") from failed
        except RPCError as error:
            if not is_not_found(error):
                raise
            raise await self._nobody_there(row) from error
        if found.rejected is not None:
            raise CommandRejected(found.rejected)
        clock = Clock(from_datetime(row.enrolled_at), row.speed)
        now = clock.journey(from_datetime(self._premises.now()))
        times = [at for at in (now, *(one.due for one in found.entries)) if at is not None]
        zone = (profile.timezone if profile is not None else None) or "UTC"
        calendar = Calendar(await asyncio.to_thread(cut, zone, min(times), max(times)))
        return Foresight(foresight.words(found, calendar, now), found)

    # Carrying out

    async def _carry_out(
        self, row: Enrolment, name: str, request: CommandRequest, key: str | None, owner_is_known: bool
    ) -> Done:
        if name == "complete" and (request.step or "").endswith(tasks.ASIDE):
            return await self._complete_aside(row, request)
        if name == "assign" and not owner_is_known:
            raise CommandRejected(f"nobody is known as '{request.owner}'")
        result = await self._update(row, name, request, key)
        if name == "assign":
            await self._reassign(row, request)
        return Done(name, result)

    def _deed(self, row: Enrolment, name: str, request: CommandRequest, view: View | None) -> Deed:
        caller = callers.current()
        return Deed(
            at=self._premises.now(),
            actor=request.actor or "somebody",
            action=name,
            outcome="asked",
            request=uuid.uuid4().hex if caller is None else caller.request,
            key=None if caller is None else caller.key,
            subject=row.subject,
            enrolment=row.number,
            target=request.step,
            reason=request.reason,
            before=None if view is None else facts_of(view),
        )

    async def _end(self, deed: Deed) -> None:
        """Write down and count what came of a command. That it was asked for is written already."""
        outcome = "done" if deed.outcome == "done" else "rejected"
        try:
            async with self._premises.writing() as tx:
                await audit.record(tx, replace(deed, at=self._premises.now()))
                if deed.outcome != "failed":
                    tx.tallies.count("commands_total", {"command": deed.action, "outcome": outcome})
        except StoreAway as error:
            _logger.error("what came of '%s' could not be written down: %s", deed.action, error)

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
                raise NotThereYet("the workflow is not ready to be commanded: try again") from error
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
            return NotThereYet(f"'{row.subject}' is only just starting: try again")
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


def foreseen_as_json(found: Foresight) -> dict[str, Any]:
    """What a command would do, as plain values."""
    starts = [{"step": one.step, "kind": one.kind, "purpose": one.purpose} for one in found.found.starts]
    return {"dry_run": True, "changes": found.changes, "starts": starts}


def _known(name: str) -> str:
    name = name.replace("-", "_")
    if name not in COMMANDS:
        shown = [one.replace("_", "-") for one in COMMANDS]
        raise CommandMalformed([Flaw("command", unknown("command", name.replace("_", "-"), shown))])
    return name


def _update_id(row: Enrolment, name: str, key: str) -> str:
    text = "\x1f".join((row.subject, str(row.number), name, key))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _rejection(failed: WorkflowUpdateFailedError) -> CommandRejected:
    cause = failed.cause
    reason = cause.message if isinstance(cause, ApplicationError) else str(cause)
    return CommandRejected(reason or "the workflow rejected the command")
