"""The workers of a process: one that carries customers through their journeys, one that sends messages.

Each has a task queue of its own (`activities.signatures.queue_of`), so that a slow provider, or a rate that
it asks for, holds up messages and nothing else. They may run in one process or in several. Whoever runs
workers (the command, tests, benchmarks) builds them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalio.worker import Worker

    from firstmile.connection import Client

Activities = Sequence[Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Sending:
    """How fast messages go out. `rate`: messages per second over all workers of the queue, which Temporal's
    server sees to; None: as many as there are. `concurrency`: how many one worker has in hand at a time."""

    rate: float | None = None
    concurrency: int = 20


def workers(
    client: Client,
    task_queue: str,
    *,
    journeys: Activities | None = None,
    messages: Activities | None = None,
    workflows: Sequence[type] = (),
    sending: Sending | None = None,
    grace: timedelta = timedelta(),
    **options: Any,
) -> list[Worker]:
    """The workers, not yet running: for journeys with these activities, for messages with those; none for
    None. Each may be given more than it is asked for.

    `workflows` are more than those of journeys. `grace`: how long what runs has when they stop. `options` are
    Temporal's, of the worker for journeys.
    """
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    from activities import signatures
    from activities.elsewhere import elsewhere
    from workflows.bulk import BulkCommand
    from workflows.onboarding import Onboarding

    found: list[Worker] = []
    if journeys is not None:
        found.append(
            Worker(
                client,
                task_queue=task_queue,
                # The dynamic definition takes every type that none has by name: the segments.
                workflows=[Onboarding, BulkCommand, *workflows],
                activities=[*journeys, *elsewhere(journeys)],
                # Outside the sandbox: re-importing workflows in it costs each customer several milliseconds
                # and a hundred kilobytes. That they are deterministic is kept by the import contracts and the
                # replay tests.
                workflow_runner=UnsandboxedWorkflowRunner(),
                graceful_shutdown_timeout=grace,
                **options,
            )
        )
    if messages is not None:
        sending = sending or Sending()
        found.append(
            Worker(
                client,
                task_queue=signatures.queue_of("email", task_queue),
                activities=messages,
                max_concurrent_activities=sending.concurrency,
                max_task_queue_activities_per_second=sending.rate,
                graceful_shutdown_timeout=grace,
            )
        )
    return found


@asynccontextmanager
async def working(client: Client, task_queue: str, **options: Any) -> AsyncIterator[list[Worker]]:
    """Workers that run, built as `workers` does. At the end they stop, all at the same time."""
    found = workers(client, task_queue, **options)
    async with AsyncExitStack() as stack:
        for one in found:
            await stack.enter_async_context(one)
        try:
            yield found
        finally:
            # Each waits for what it runs: together, not one after another.
            await asyncio.gather(*(one.shutdown() for one in found))
