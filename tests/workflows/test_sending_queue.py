"""Messages wait on a task queue of their own: at a rate for all workers, the urgent ones first, and with nobody
held up by them but who waits for one."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities import signatures
from firstmile import search_attributes
from firstmile.cli.workers import Sending, working
from firstmile.contracts import Finished, Start
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.model import Journey
from firstmile.journey.slices import plain_slice
from tests.workflows.conftest import World, add_search_attributes
from workflows.onboarding import Onboarding

QUEUE = "letters"
JOURNEY = Journey.model_validate(
    {
        "journey": "letters",
        "version": 1,
        "onboarded": {"milestone": "ready"},
        "ends": "30 days",
        "steps": [
            {"id": "news", "email": {"template": "news"}},
            {"id": "key", "email": {"template": "key", "class": "transactional"}},
            {"id": "call", "task": {"title": "Call"}},
            {"id": "ready", "milestone": {"all": ["news", "key"]}},
        ],
    }
)
CUSTOMERS = 6


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Of a development server: the time-skipping one knows neither rates nor priorities."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        # A queue in several parts keeps order in each of them only: here, in one.
        dev_server_extra_args=[
            *("--dynamic-config-value", "matching.numTaskqueueReadPartitions=1"),
            *("--dynamic-config-value", "matching.numTaskqueueWritePartitions=1"),
        ],
        data_converter=pydantic_data_converter,
    )
    async with environment:
        await add_search_attributes(environment.client)
        yield environment.client


async def enrol(client: Client, number: int) -> WorkflowHandle[Any, Finished]:
    now = from_datetime(datetime.now(UTC))
    start = Start(Subject(f"c-{number}"), JOURNEY.journey, JOURNEY.canonical_json(), plain_slice(), now, 1.0)
    return await client.start_workflow(
        JOURNEY.journey,
        start,
        id=f"onboarding/c-{number}",
        task_queue=QUEUE,
        result_type=Finished,
        search_attributes=search_attributes.at_start(JOURNEY.journey, 1, None),
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the world behind a worker has no event to wait for
            await asyncio.sleep(0.02)


async def test_messages_wait_for_their_worker_and_the_urgent_go_first(client: Client) -> None:
    world = World()
    activities = world.activities()

    def done(step: str) -> int:
        return sum(request.step == step for request in world.requests)

    async with working(client, QUEUE, journeys=activities):
        for number in range(CUSTOMERS):
            await enrol(client, number)
        # What writes to nobody goes on while no messages go out.
        await until(lambda: done("call") == CUSTOMERS)
        assert done("news") == done("key") == 0

        world.requests.clear()
        async with working(client, QUEUE, messages=activities, sending=Sending(concurrency=1)):
            await until(lambda: len(world.requests) == 2 * CUSTOMERS)
    order = [request.step for request in world.requests]
    assert order == ["key"] * CUSTOMERS + ["news"] * CUSTOMERS


async def test_a_rate_holds_for_all_workers_together(client: Client) -> None:
    world = World()
    activities = world.activities()
    slow = Sending(rate=4.0)
    # A client serves a task queue with one worker.
    another = await Client.connect(
        client.service_client.config.target_host, data_converter=pydantic_data_converter
    )
    async with (
        working(client, QUEUE, journeys=activities, messages=activities, sending=slow),
        working(another, QUEUE, messages=activities, sending=slow),
    ):
        begun = time.monotonic()
        for number in range(CUSTOMERS):
            await enrol(client, number)
        await until(lambda: sum(request.kind == "email" for request in world.requests) == 2 * CUSTOMERS)
        took = time.monotonic() - begun

    # Twelve messages at four a second; the server lets some go at once.
    assert took > 1.5


async def test_what_an_earlier_release_left_waiting_with_everything_else_is_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    activities = world.activities()
    writes = {signatures.EFFECTS[kind] for kind in signatures.SENDING}
    others = [one for one in activities if activity._Definition.must_from_callable(one).name not in writes]
    with monkeypatch.context() as earlier:
        earlier.setattr(signatures, "queue_of", lambda _kind, task_queue: task_queue)
        old = Worker(
            client,
            task_queue=QUEUE,
            workflows=[Onboarding],
            activities=others,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with old:
            await enrol(client, 1)
            await until(lambda: any(request.step == "call" for request in world.requests))

    another = await Client.connect(
        client.service_client.config.target_host, data_converter=pydantic_data_converter
    )
    # The two roles in processes of their own.
    async with (
        working(client, QUEUE, journeys=others),
        working(another, QUEUE, messages=activities),
    ):
        await until(lambda: len(world.requests) == 3)
    assert sorted(request.step for request in world.requests) == ["call", "key", "news"]
