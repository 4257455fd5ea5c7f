"""One command to many customers, as a workflow: stretch after stretch of a frozen list, at a rate.

The list and every result are in the store; here is only how far the list has got, and the time. Temporal's
own batch operations keep no rate, and a loop in a process would end with it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from activities import signatures
from firstmile.contracts import BULK_WORKFLOW, BulkBatch, BulkProgress, BulkStart
from workflows.pace import Pace

STRETCHES = 300
"""After how many stretches a run continues as new."""


@workflow.defn(name=BULK_WORKFLOW)
class BulkCommand:
    """A bulk job. It decides nothing about customers: it keeps the pace, and sees to it that all get a turn."""

    @workflow.init
    def __init__(self, start: BulkStart) -> None:
        self._start = start
        self._after = start.after
        self._pace = Pace(start.rate, self._now() if start.due is None else start.due, start.lost)
        self._stop = start.stop
        self._progress = BulkProgress("preparing", start.customers)

    @workflow.run
    async def run(self, start: BulkStart) -> BulkProgress:
        """Work through the list; returns when it is done or stopped."""
        stretches = 0
        while True:
            try:
                await self._due()
                self._progress = await self._give()
            except (asyncio.CancelledError, FailureError) as failure:
                # Temporal's own cancel is taken for what its sender means.
                if not is_cancelled_exception(failure):
                    raise
                self._stop = True
                continue
            if self._progress.state in ("done", "stopped"):
                return self._progress
            workflow.set_current_details(self._details())
            stretches += 1
            if stretches >= STRETCHES or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._left_over())

    @workflow.signal
    def stop(self) -> None:
        """Begin no further customer. The store says so too: this only wakes whoever waits for a turn."""
        self._stop = True

    @workflow.query
    def progress(self) -> BulkProgress:
        """How the job stood after its last stretch."""
        return self._progress

    async def _due(self) -> None:
        wait = self._pace.due - self._now()
        if wait > 0 and not self._stop:
            try:
                await workflow.wait_condition(
                    lambda: self._stop, timeout=wait, timeout_summary=f"after {self._after} customers"
                )
            except TimeoutError:
                return

    async def _give(self) -> BulkProgress:
        """One stretch; with nobody in it, where the job is to end."""
        if self._stop:
            batch = BulkBatch(self._start.job, self._after, self._after, 0, stop=True)
        else:
            turn = self._pace.turn(max(self._start.customers - self._after, 1), self._now())
            until = self._after + turn.size
            batch = BulkBatch(self._start.job, self._after, until, turn.spacing, turn.late)
        given: BulkProgress = await workflow.execute_activity(
            signatures.BULK,
            batch,
            result_type=BulkProgress,
            start_to_close_timeout=timedelta(seconds=(batch.until - batch.after) * batch.spacing)
            + signatures.BULK_ROOM,
            heartbeat_timeout=signatures.BULK_HEARTBEAT,
            retry_policy=signatures.RETRY,
            summary="stop" if batch.stop else f"customers {batch.after + 1} to {batch.until}",
        )
        self._after = batch.until
        return given

    def _now(self) -> float:
        return workflow.time()

    def _left_over(self) -> BulkStart:
        start = self._start
        return BulkStart(
            start.job, start.customers, start.rate, self._after, self._pace.due, self._pace.lost, self._stop
        )

    def _details(self) -> str:
        found = self._progress
        said = f"{found.done} done, {found.rejected} rejected, {found.failed} failed"
        return f"**{found.state}**: {said}, of {found.customers}"
