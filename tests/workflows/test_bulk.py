"""The workflow of a bulk job alone: stretch after stretch of the list, at its pace, until it is done or told to
stop; the store is played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities import signatures
from firstmile.contracts import BULK_WORKFLOW, BulkBatch, BulkProgress, BulkStart
from workflows.bulk import BulkCommand
from workflows.pace import CATCHING_UP


@dataclass
class Played:
    """A store that takes every stretch at once."""

    customers: int
    batches: list[BulkBatch] = field(default_factory=list)

    @activity.defn(name=signatures.BULK)
    async def give(self, batch: BulkBatch) -> BulkProgress:
        self.batches.append(batch)
        over = "done" if batch.until >= self.customers else "stopped" if batch.stop else "running"
        return BulkProgress(over, self.customers, batch.until)


async def started(
    environment: WorkflowEnvironment, start: BulkStart
) -> WorkflowHandle[BulkCommand, BulkProgress]:
    return await environment.client.start_workflow(
        BULK_WORKFLOW, start, id=f"bulk/{start.job}", task_queue="bulk", result_type=BulkProgress
    )


def working(environment: WorkflowEnvironment, played: Played) -> Worker:
    return Worker(
        environment.client,
        task_queue="bulk",
        workflows=[BulkCommand],
        activities=[played.give],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


async def test_everybody_has_one_turn_at_the_spacing_of_the_rate(skipping: WorkflowEnvironment) -> None:
    played = Played(1_000)
    async with working(skipping, played):
        found = await (await started(skipping, BulkStart("j", 1_000, 2.0))).result()

    assert (found.state, found.done) == ("done", 1_000)
    stretches = [(batch.after, batch.until) for batch in played.batches]
    assert stretches == [(after, after + 10) for after in range(0, 1_000, 10)]
    # The server may skip a little further than to the next turn: then it is caught up.
    assert {batch.spacing for batch in played.batches} <= {0.5, 0.5 / CATCHING_UP}


async def test_it_goes_on_where_the_list_has_got_to(skipping: WorkflowEnvironment) -> None:
    played = Played(30)
    async with working(skipping, played):
        await (await started(skipping, BulkStart("j", 30, 2.0, after=5))).result()

    assert [(batch.after, batch.until) for batch in played.batches] == [(5, 15), (15, 25), (25, 30)]


@pytest.mark.parametrize("how", ["signal", "cancel"])
async def test_told_to_stop_it_begins_no_further_stretch_and_waits_for_no_turn(
    skipping: WorkflowEnvironment, how: str
) -> None:
    played = Played(10)
    async with working(skipping, played):
        job = await started(skipping, BulkStart("j", 10, 0.001))
        while not played.batches:  # noqa: ASYNC110  # a worker's thread makes it so
            await asyncio.sleep(0.01)
        await (job.signal("stop") if how == "signal" else job.cancel())
        found = await job.result()

    assert found.state == "stopped"
    assert [batch.stop for batch in played.batches] == [False, True]
    assert played.batches[-1].after == played.batches[-1].until
