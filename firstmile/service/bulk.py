"""One command to many customers: asked for, looked at beforehand, stopped, and what became of each.

Whom it is for is written down when it is asked for, with the job, in one transaction; a workflow of its own
then works through the list (`batches` is its hand). So nothing is lost when anything is away: a job that
could not be started yet is started by the sweep, and what the store says of stopping is what counts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from firstmile import bodies, callers
from firstmile.contracts import BULK_WORKFLOW, BulkStart
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    FirstmileError,
    Flaw,
    JobDiffers,
    JourneyOver,
    SearchRefused,
    TemporalAway,
    UnknownCustomer,
    UnknownJob,
)
from firstmile.journey.inputs import COMMANDS, NEED_STEP
from firstmile.journey.instants import format_instant, from_datetime
from firstmile.journey.problems import unknown
from firstmile.service.auditing import deed_of
from firstmile.service.commanding import Commanding
from firstmile.service.orders import Order, new_job, nobody, wrong_ids
from firstmile.service.premises import PATIENCE, Premises, is_not_found, temporal_errors
from firstmile.service.searching import Searching
from firstmile.store import audit, bulk
from firstmile.store.bulk import Chosen, Item, ItemPage, ItemState, Job, JobPage
from firstmile.store.finding import Wanted

SAMPLE: Final = 10
"""How many customers are looked at beforehand."""

MAX_IDS: Final = 100_000
"""How many customers may be named one by one."""

QUIET: Final = timedelta(minutes=1)
"""After how long without news the sweep looks whether a job's workflow is there."""

_ID: Final = re.compile(r"[0-9a-f]{12}")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the command would do to one customer; or `rejected`, why it would not be carried out; or
    `unclear`, why nobody could say."""

    subject: str
    changes: list[str] = field(default_factory=list)
    rejected: str | None = None
    unclear: str | None = None


@dataclass(frozen=True, slots=True)
class BulkForesight:
    """How many customers a bulk command would go to, and what it would do to the first of them."""

    command: str
    customers: int
    rate: float
    sample: list[Sampled]


class BulkCommands:
    """The part of the service that commands many customers at once."""

    def __init__(self, premises: Premises, commanding: Commanding, searching: Searching) -> None:
        self._premises = premises
        self._commanding = commanding
        self._searching = searching

    async def foresee(self, order: Order) -> BulkForesight:
        """What an order would do; nothing changes. Raises `CommandMalformed`."""
        order = self._checked(order)
        async with self._premises.reading() as db:
            if order.filters is not None:
                wanted = self._searching.wanted(order.filters)
                customers = await bulk.count(db, wanted)
                first = await bulk.sample(db, wanted, SAMPLE)
            else:
                named = list(dict.fromkeys(order.ids or ()))
                customers, first = len(named), [Chosen(subject, None) for subject in named[:SAMPLE]]
        if not customers:
            raise nobody(order)
        sample = await asyncio.gather(*(self._sampled(one.subject, order) for one in first))
        return BulkForesight(order.command, customers, order.rate or 0, list(sample))

    async def start(self, order: Order, *, key: str | None = None) -> tuple[Job, bool]:
        """Freeze the list and set to work. The job, and whether it is new: with a `key`, asking twice is
        asking once.

        Raises `CommandMalformed`, or `JobDiffers` for a key that asked for something else.
        """
        order = self._checked(order)
        caller = callers.current()
        new = new_job(order, key, None if caller is None else caller.key)
        now = self._premises.now()
        if order.filters is not None:
            whom: Wanted | Sequence[Chosen] = self._searching.wanted(order.filters)
        else:
            async with self._premises.reading() as db:
                whom = await bulk.chosen(db, order.ids or ())
        async with self._premises.writing() as tx:
            job = await bulk.create(tx, new, whom, now)
            if job is None:
                known = await bulk.get(tx, new.id)
                if known is None or known.request_hash != new.request_hash:
                    raise JobDiffers(new.id)
                return known, False
            if not job.customers:
                raise nobody(order)
            asked = {"command": job.command, "customers": job.customers, "rate": job.rate}
            deed = deed_of("bulk", job.actor, now, reason=job.reason, target=f"bulk {job.id}")
            await audit.record(tx, replace(deed, after=asked))
        try:
            await self._run(job)
        except TemporalAway as error:
            _logger.warning("bulk job %s waits for the sweep: %s", job.id, error)
        return job, True

    async def stop(self, id: str, *, actor: str, reason: str | None = None) -> Job:
        """Stop a job: no further customer is begun. Raises `UnknownJob`, or `CommandRejected` if it is over."""
        _look(id)
        now = self._premises.now()
        async with self._premises.writing() as tx:
            told = await bulk.stop(tx, id, now)
            job = await bulk.get(tx, id)
            if job is None:
                raise UnknownJob(id)
            if told:
                deed = deed_of("bulk-stop", actor, now, reason=reason, target=f"bulk {id}")
                await audit.record(tx, deed)
        if not told and job.state != "stopping":
            raise CommandRejected(f"bulk job {id} is {job.state} already")
        try:
            # It is in the store already; this only keeps nobody waiting for the next batch.
            with temporal_errors():
                await self._workflow(id).signal("stop", rpc_timeout=PATIENCE)
        except (TemporalAway, RPCError) as error:
            _logger.warning("the workflow of bulk job %s was not told to stop: %s", id, error)
        return job

    async def get(self, id: str) -> Job:
        """One job. Raises `UnknownJob`."""
        _look(id)
        async with self._premises.reading() as db:
            job = await bulk.get(db, id)
        if job is None:
            raise UnknownJob(id)
        return job

    async def jobs(self, *, cursor: str | None = None, limit: int = 50) -> JobPage:
        """A page of jobs, the newest first."""
        async with self._premises.reading() as db:
            return await bulk.jobs(db, cursor=cursor, limit=limit)

    async def results(
        self, id: str, *, state: ItemState | None = None, cursor: int | None = None, limit: int = 100
    ) -> ItemPage:
        """A page of a job's customers and what became of each. Raises `UnknownJob`."""
        await self.get(id)
        async with self._premises.reading() as db:
            return await bulk.items(db, id, state=state, cursor=cursor, limit=limit)

    async def sweep(self) -> int:
        """Start jobs that could not be started; end those whose workflow somebody ended. How many that were."""
        async with self._premises.reading() as db:
            found = await bulk.quiet(db, self._premises.now() - QUIET)
        return sum([await self._repair(job) for job in found])

    async def _repair(self, job: Job) -> bool:
        try:
            with temporal_errors():
                there = await self._workflow(job.id).describe(rpc_timeout=PATIENCE)
        except RPCError as error:
            if not is_not_found(error):
                raise
            await self._run(job)
            return True
        if there.status == WorkflowExecutionStatus.RUNNING:
            return False
        # Somebody ended it in Temporal: that is not to be undone behind their back.
        now = self._premises.now()
        async with self._premises.writing() as tx:
            await bulk.stop(tx, job.id, now)
            await bulk.end(tx, job.id, now)
        _logger.warning("the workflow of bulk job %s was ended in Temporal: it is stopped", job.id)
        return True

    # What both need

    async def _run(self, job: Job) -> None:
        """Start the workflow of a job where its list has got to; nothing, if it runs."""
        async with self._premises.reading() as db:
            after = await bulk.worked_through(db, job.id)
        try:
            with temporal_errors():
                await self._premises.client.start_workflow(
                    BULK_WORKFLOW,
                    BulkStart(job.id, job.customers, job.rate, after),
                    id=_workflow_id(job.id),
                    task_queue=self._premises.settings.task_queue,
                    static_summary=f"{job.command} to {job.customers} customers",
                    rpc_timeout=PATIENCE,
                )
        except WorkflowAlreadyStartedError:
            pass  # an attempt whose answer was lost

    def _workflow(self, id: str) -> WorkflowHandle[object, object]:
        return self._premises.client.get_workflow_handle(_workflow_id(id))

    def _checked(self, order: Order) -> Order:
        """The order with the command's own name and a rate. Raises `CommandMalformed` with every flaw."""
        settings, command = self._premises.settings, order.command.replace("-", "_")
        limit, rate = settings.bulk_rate_limit, order.rate
        flaws = [Flaw(flaw.field, flaw.message) for flaw in bodies.flaws(asdict(order.request))]
        if command not in COMMANDS:
            shown = [one.replace("_", "-") for one in COMMANDS]
            flaws.append(Flaw("command", unknown("command", order.command, shown)))
        if command in NEED_STEP and not order.request.step:
            flaws.append(Flaw("arguments.step", f"'{order.command}' needs a step"))
        if command == "assign" and not order.request.owner:
            flaws.append(Flaw("arguments.owner", "'assign' needs an owner"))
        if not (order.request.reason or "").strip():
            flaws.append(Flaw("reason", "it needs a reason: it is written into every customer's journal"))
        if (order.filters is None) == (order.ids is None):
            flaws.append(Flaw("filter", "say whom: a filter ({} is everybody on the way), or ids; not both"))
        if order.ids is not None and len(order.ids) > MAX_IDS:
            flaws.append(Flaw("ids", f"at most {MAX_IDS} customers are named one by one"))
        flaws += islice(wrong_ids(order.ids or ()), SAMPLE)
        if order.filters is not None:
            try:
                self._searching.wanted(order.filters)
            except SearchRefused as refused:
                flaws += [Flaw(f"filter.{flaw.field}", flaw.message) for flaw in refused.flaws]
        if rate is None:
            rate = min(settings.bulk_rate, limit)
        elif not (math.isfinite(rate) and 0 < rate <= limit):
            flaws.append(Flaw("rate", f"a number above 0 and at most {limit:g} customers a second"))
        if flaws:
            raise CommandMalformed(flaws)
        return replace(order, command=command, rate=rate)

    async def _sampled(self, subject: str, order: Order) -> Sampled:
        try:
            found = await self._commanding.foresee(subject, order.command, order.request)
        except (CommandRejected, JourneyOver, UnknownCustomer) as rejected:
            return Sampled(subject, rejected=str(rejected))
        except FirstmileError as error:
            if not error.retryable:
                raise
            return Sampled(subject, unclear=str(error))
        return Sampled(subject, found.changes)


def _look(id: str) -> None:
    """Ask no database for what cannot be one of our ids, and perhaps no text of its."""
    if not _ID.fullmatch(id):
        raise UnknownJob(id)


def _workflow_id(id: str) -> str:
    return f"bulk/{id}"


# As plain values


def job_as_json(job: Job) -> dict[str, Any]:
    """A job as plain values."""
    times = ("created_at", "started_at", "updated_at", "ended_at")
    arguments: Mapping[str, Any] = job.arguments
    if "until" in arguments:
        arguments = {**arguments, "until": format_instant(arguments["until"])}
    return {
        "id": job.id,
        "command": job.command,
        "arguments": dict(arguments),
        "filter": job.filter,
        "actor": job.actor,
        "reason": job.reason,
        "rate": job.rate,
        "state": job.state,
        "customers": job.customers,
        "waiting": job.waiting,
        "done": job.done,
        "rejected": job.rejected,
        "failed": job.failed,
        **{
            name: None if at is None else format_instant(from_datetime(at))
            for name, at in ((one, getattr(job, one)) for one in times)
        },
    }


def item_as_json(item: Item) -> dict[str, Any]:
    """One customer of a job as plain values."""
    at = None if item.at is None else format_instant(from_datetime(item.at))
    return {"number": item.number, "id": item.subject, "state": item.state, "reason": item.reason, "at": at}


def foresight_as_json(found: BulkForesight) -> dict[str, Any]:
    """What a bulk command would do, as plain values."""
    sample = [
        {"id": one.subject, "changes": one.changes, "rejected": one.rejected, "unclear": one.unclear}
        for one in found.sample
    ]
    return {
        "dry_run": True,
        "command": found.command,
        "customers": found.customers,
        "rate": found.rate,
        "sample": sample,
    }
