"""Giving the command of a bulk job to a stretch of its list: the hand of the job's workflow.

Every customer gets the command under a key of their own, and every result is written once: a stretch that is
done again, after a crash or beside an attempt that was thought dead, gives nobody anything twice. What a
customer answers is a result; what is away is tried again, and the list waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from firstmile.callers import Caller, acting
from firstmile.contracts import BulkBatch, BulkProgress
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    FirstmileError,
    JourneyOver,
    NotThereYet,
    StoreAway,
    TemporalAway,
    UnknownCustomer,
)
from firstmile.service.commanding import Commanding
from firstmile.service.orders import request_of
from firstmile.service.premises import Premises
from firstmile.store import audit, bulk
from firstmile.store.audit import Outcome
from firstmile.store.bulk import Item, ItemState, Job

AT_ONCE: Final = 16
"""Customers of one stretch who are being told at the same time."""

TRIES: Final = 5
"""How often a customer who does not answer is tried, while others do."""

BEAT: Final = 2.0
"""Seconds between two signs of life."""

_REFUSALS: Final = (CommandRejected, JourneyOver, UnknownCustomer, CommandMalformed)


class Batches:
    """The part of the service that works through the lists of bulk jobs. For workers."""

    def __init__(self, premises: Premises, commanding: Commanding) -> None:
        self._premises = premises
        self._commanding = commanding

    async def give(self, batch: BulkBatch, *, attempt: int, beat: Callable[[], None]) -> BulkProgress:
        """Give the command to everybody of a stretch who waits, at its pace, until the job is stopped.

        `beat` is called every other second. Raises what kept some of them from being told: they wait, and
        another attempt tells them.
        """
        now = self._premises.now()
        async with self._premises.writing() as tx:
            if batch.stop:
                await bulk.stop(tx, batch.job, now)
            job = await bulk.begin(tx, batch.job, now)
        if job is None:  # the store is older than Temporal: nobody knows any more who was meant
            return BulkProgress("stopped")
        if job.state == "running":
            beating = asyncio.create_task(_beat(beat))
            try:
                await self._give(job, batch, attempt)
            finally:
                beating.cancel()
                with suppress(asyncio.CancelledError):
                    await beating
        async with self._premises.writing() as tx:
            await bulk.end(tx, batch.job, self._premises.now())
            ended = await bulk.get(tx, batch.job)
        assert ended is not None
        return BulkProgress(ended.state, ended.customers, ended.done, ended.rejected, ended.failed)

    async def _give(self, job: Job, batch: BulkBatch, attempt: int) -> None:
        async with self._premises.reading() as db:
            items = await bulk.waiting(db, job.id, batch.after, batch.until)
            known = await audit.outcomes(db, [_request_id(job, item) for item in items])
        loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
        # What was late when it began is caught up by the first attempt; a later one goes on at the pace.
        begun = loop.time() - (batch.late if attempt == 1 else 0)
        telling: list[asyncio.Task[None]] = []
        try:
            for place, item in enumerate(items):
                await asyncio.sleep(max(begun + place * batch.spacing - loop.time(), 0))
                async with self._premises.reading() as db:
                    if await bulk.state(db, job.id) != "running":
                        break
                await slots.acquire()
                task = asyncio.create_task(self._tell(job, item, known.get(_request_id(job, item)), attempt))
                task.add_done_callback(lambda _: slots.release())
                telling.append(task)
            problems = await asyncio.gather(*telling, return_exceptions=True)
        finally:
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
        for problem in problems:
            if problem is not None:
                raise problem

    async def _tell(
        self, job: Job, item: Item, known: tuple[Outcome, str | None] | None, attempt: int
    ) -> None:
        """Give the command to one customer and write the result. Raises what should be tried again."""
        result: ItemState = "done"
        reason: str | None = None
        try:
            if known is None:
                await self._command(job, item)
            elif known[0] == "rejected":
                result, reason = "rejected", known[1]
        except _REFUSALS as refused:
            result, reason = "rejected", str(refused)
        except Exception as error:
            # While Temporal or the store is away, everybody waits. But who alone does not answer, or meets a
            # fault of ours, does not keep the others from their turn for ever.
            away = isinstance(error, StoreAway | TemporalAway) and not isinstance(error, NotThereYet)
            if away or attempt < TRIES:
                raise
            result, reason = (
                "failed",
                str(error) if isinstance(error, FirstmileError) else type(error).__name__,
            )
        async with self._premises.writing() as tx:
            await bulk.settle(tx, job.id, item.number, result, reason, self._premises.now())

    async def _command(self, job: Job, item: Item) -> None:
        request_id = _request_id(job, item)
        with acting(Caller(job.actor, job.key, request=request_id)):
            await self._commanding.command(
                item.subject, job.command, request_of(job), key=request_id, enrolment=item.enrolment
            )


def _request_id(job: Job, item: Item) -> str:
    """The idempotency key of a command, and its request in the audit."""
    return f"bulk-{job.id}-{item.number}"


async def _beat(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await asyncio.sleep(BEAT)
