"""The durable shell by itself: what comes in, what is written, and what survives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from firstmile import search_attributes
from firstmile.contracts import CommandRequest, CommandResult, EffectOutcome, EventSignal, Finished, Start
from firstmile.journey.durations import HOUR, MINUTE
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import View
from firstmile.journey.model import Journey
from firstmile.journey.slices import plain_slice
from tests.workflows.conftest import World, add_search_attributes, worker

JOURNEY: dict[str, Any] = {
    "journey": "quick",
    "version": 3,
    "onboarded": {"milestone": "value", "within": "10 days"},
    "ends": "30 days",
    "stages": [{"stage": "new", "until": "value"}, {"stage": "grown"}],
    "steps": [
        {"id": "room", "provision": {"system": "rooms", "undo": True}},
        {"id": "hello", "after": ["room"], "email": {"template": "hello"}},
        {"id": "value", "milestone": {"event": "value", "times": 2}, "within": "20 days"},
        {"id": "tip", "after": ["hello"], "wait": "2 days", "until": ["value"], "email": {"template": "tip"}},
        {"id": "call", "after": ["reached value"], "task": {"title": "Call"}, "within": "5 days"},
    ],
}  # fmt: skip

Handle = WorkflowHandle[Any, Finished]


async def _start(
    client: Client, *, journey: dict[str, Any] | None = None, now: int = 0, subject: str = "c-1"
) -> Handle:
    model = Journey.model_validate(journey or JOURNEY)
    start = Start(
        Subject(subject), model.journey, model.canonical_json(), plain_slice(), now, 1.0
    )  # fmt: skip
    return await client.start_workflow(
        model.journey,
        start,
        id=f"onboarding/{subject}",
        task_queue="quick",
        result_type=Finished,
        search_attributes=search_attributes.at_start(model.journey, model.version, "new"),
    )


async def _enrol(environment: WorkflowEnvironment, journey: dict[str, Any] | None = None) -> Handle:
    now = from_datetime(await environment.get_current_time())
    return await _start(environment.client, journey=journey, now=now)


async def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the world behind a worker has no event to wait for
            await asyncio.sleep(0.02)


def _changes(world: World, step: str | None) -> list[str]:
    return [entry.change for entry in world.journal() if entry.step == step]


async def test_a_customer_is_carried_to_the_end(skipping: WorkflowEnvironment) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        await skipping.sleep(timedelta(days=3))
        await handle.signal("event", EventSignal("value", "e1"))
        await handle.signal("event", EventSignal("value", "e2"))

        finished = await handle.result()

    assert (finished.outcome, finished.onboarded) == ("completed", True)
    assert finished.seconds_to_first_value == pytest.approx(3 * 86_400, abs=60)
    assert [request.step for request in world.requests] == ["room", "hello", "tip", "call"]
    assert world.view is not None
    assert world.view.status == "completed"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [3],
        ["text"],
        [None],
        [{"event": "value"}],
        [{"event": 7, "id": "e"}],
        [EventSignal("", "")],
        [{"event": "value", "id": "e", "properties": []}],
        [EventSignal("value", "e"), 2],
    ],
    ids=repr,
)
async def test_a_malformed_signal_is_noted_and_harms_nothing(
    arguments: list[Any], skipping: WorkflowEnvironment
) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)

        await handle.signal("event", args=arguments)
        await handle.signal("event", EventSignal("value", "e1"))
        await handle.signal("event", EventSignal("value", "e2"))
        finished = await handle.result()

    notes = [entry.reason for entry in world.journal() if entry.step is None and entry.change == "occurred"]
    assert len(notes) == 1
    assert "malformed signal" in (notes[0] or "")
    assert finished.onboarded


async def test_an_event_counts_once_however_often_it_comes(skipping: WorkflowEnvironment) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        for _ in range(3):
            await handle.signal("event", EventSignal("value", "same"))

        finished = await handle.result()

    assert not finished.onboarded


async def test_of_three_pauses_at_once_one_is_carried_out(skipping: WorkflowEnvironment) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)

        answers = await asyncio.gather(
            *(handle.execute_update("pause", CommandRequest(f"op-{n}")) for n in range(3)),
            return_exceptions=True,
        )
        await handle.execute_update("cancel", CommandRequest("ann"))
        await handle.result()

    refused = [answer for answer in answers if isinstance(answer, WorkflowUpdateFailedError)]
    assert len(refused) == 2
    assert {str(one.cause) for one in refused} == {"CommandRejected: the journey is paused already"}
    assert _changes(world, None).count("paused") == 1


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("explode", [CommandRequest()], "unknown command 'explode'"),
        ("skip", [CommandRequest()], "'skip' needs a step"),
        ("skip", [], "'skip' needs a step"),
        ("skip", [CommandRequest(step="helo")], "unknown step 'helo': did you mean 'hello'?"),
        ("skip", [7], "the arguments of 'skip' cannot be read"),
        ("run_now", [CommandRequest(step="call")], "step 'call' waits for reached value"),
        ("resume", [CommandRequest()], "the journey is not paused"),
        ("complete", [CommandRequest(step="hello")], "step 'hello' is not a task"),
    ],
)
async def test_a_command_that_cannot_be_carried_out_is_rejected_with_the_reason(
    name: str, arguments: list[Any], reason: str, skipping: WorkflowEnvironment
) -> None:
    async with worker(skipping.client, World(), "quick"):
        handle = await _enrol(skipping)

        with pytest.raises(WorkflowUpdateFailedError) as rejected:
            await handle.execute_update(name, args=arguments)

        await handle.terminate()
    assert reason in str(rejected.value.cause)


async def test_a_command_is_answered_with_where_the_customer_stands(skipping: WorkflowEnvironment) -> None:
    async with worker(skipping.client, World(), "quick"):
        handle = await _enrol(skipping)

        result = await handle.execute_update(
            "pause", CommandRequest("ann", "holiday"), result_type=CommandResult
        )
        live = await handle.query("view", result_type=View)

        await handle.terminate()
    assert result.view.status == live.status == "paused"


async def test_a_failing_effect_makes_the_customer_stuck_and_never_fails_the_workflow(
    skipping: WorkflowEnvironment,
) -> None:
    world = World()
    world.script("room", ApplicationError("no such plan", type="Refused", non_retryable=True))
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        await _until(lambda: world.view is not None and world.view.status == "stuck")

        await handle.execute_update("retry", CommandRequest("ann", "mended", "room"))
        await _until(lambda: "done" in _changes(world, "hello"))

        await handle.terminate()
    assert _changes(world, "room") == ["scheduled", "running", "failed", "scheduled", "running", "done"]
    first, second = (request for request in world.requests if request.step in ("room", "hello"))
    assert first.attempt == 1
    assert second.attempt == 0


async def test_the_store_being_away_holds_up_no_command_and_no_customer(
    skipping: WorkflowEnvironment,
) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        await _until(lambda: "done" in _changes(world, "hello"))
        world.store_is_away = True

        async with asyncio.timeout(10):
            await handle.execute_update("pause", CommandRequest("ann"))
            await handle.execute_update("resume", CommandRequest("ann"))
        assert _changes(world, None)[-1] != "resumed"
        world.store_is_away = False
        await handle.signal("event", EventSignal("value", "e1"))
        await handle.signal("event", EventSignal("value", "e2"))
        finished = await handle.result()

    assert finished.onboarded
    assert world.collisions == []
    assert [change for change in _changes(world, None) if change in ("paused", "resumed")] == [
        "paused",
        "resumed",
    ]


async def test_time_goes_on_beside_an_effect_that_takes_long(skipping: WorkflowEnvironment) -> None:
    world = World()
    world.script("room", *(ApplicationError("the system is away") for _ in range(20)))
    steps = [dict(step) for step in JOURNEY["steps"]]
    steps[2]["within"] = "5 minutes"
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping, {**JOURNEY, "steps": steps})

        await skipping.sleep(timedelta(minutes=6))
        view = await handle.query("view", result_type=View)
        await _until(lambda: world.view is not None and world.view.steps["value"][0] == "missed")
        told = world.view

        await handle.terminate()
    assert view.steps["value"][0] == "missed"
    assert view.steps["room"][0] == "running"
    assert told is not None
    assert told.steps["room"][0] == "running"


async def test_a_cancel_in_temporal_stops_the_journey_in_order(skipping: WorkflowEnvironment) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        await _until(lambda: "done" in _changes(world, "hello"))

        await handle.cancel()
        finished = await handle.result()

    assert finished.outcome == "stopped"
    assert world.journal()[-1].reason == "cancelled in Temporal"


async def test_what_was_provisioned_is_undone_when_the_journey_is_cancelled_with_undo(
    skipping: WorkflowEnvironment,
) -> None:
    world = World()
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)
        await _until(lambda: "done" in _changes(world, "hello"))

        await handle.execute_update("cancel", CommandRequest("ann", undo=True))
        await handle.result()

    assert [(request.step, request.purpose) for request in world.requests][-1] == ("room", "undo")
    assert world.journal()[-1].change == "stopped"
    assert world.journal()[-2].change == "undone"


async def test_parallel_steps_are_one_workflow_task(skipping: WorkflowEnvironment) -> None:
    steps = [{"id": f"room-{n}", "provision": {"system": "rooms"}} for n in range(5)]
    journey = {**JOURNEY, "steps": [*steps, *JOURNEY["steps"]]}
    async with worker(skipping.client, World(), "quick"):
        handle = await _enrol(skipping, journey)
        await handle.result()
        history = await handle.fetch_history()

    scheduled = [
        event.activity_task_scheduled_event_attributes.workflow_task_completed_event_id
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert len(set(scheduled[:6])) == 1


async def test_a_finished_customer_answers_commands_no_more(skipping: WorkflowEnvironment) -> None:
    async with worker(skipping.client, World(), "quick"):
        handle = await _enrol(skipping)
        await handle.result()

        with pytest.raises(RPCError) as error:
            await handle.execute_update("pause", CommandRequest("ann"))

    assert error.value.status == RPCStatusCode.NOT_FOUND


async def test_an_effect_that_is_deferred_is_tried_again(skipping: WorkflowEnvironment) -> None:
    world = World()
    now = from_datetime(await skipping.get_current_time())
    world.script("hello", EffectOutcome("deferred", now, "on hold", now + 6 * HOUR))
    async with worker(skipping.client, world, "quick"):
        handle = await _enrol(skipping)

        await handle.result()

    hello = [entry for entry in world.journal() if entry.step == "hello"]
    assert [entry.change for entry in hello] == ["scheduled", "running", "scheduled", "running", "done"]
    assert hello[3].at - now == pytest.approx(6 * HOUR, abs=MINUTE)


# What only a real server has: continue-as-new by suggestion, search attributes.


@pytest.fixture
async def real() -> AsyncIterator[WorkflowEnvironment]:
    """A development server that suggests to continue as new after few events."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_extra_args=[
            "--dynamic-config-value",
            "limit.historyCount.suggestContinueAsNew=40",
        ],
        data_converter=pydantic_data_converter,
    )
    async with environment:
        await add_search_attributes(environment.client)
        yield environment


async def test_nothing_is_lost_across_continue_as_new(real: WorkflowEnvironment) -> None:
    world = World()
    many: dict[str, Any] = {**JOURNEY, "steps": [dict(step) for step in JOURNEY["steps"]]}
    many["steps"][2] = {**many["steps"][2], "milestone": {"event": "value", "times": 300}}
    async with worker(real.client, world, "quick"):
        handle = await _enrol(real, many)
        for batch in range(10):
            await asyncio.gather(
                *(handle.signal("event", EventSignal("value", f"e{batch}-{n}")) for n in range(30)),
                _command(handle, "pause", f"{batch}"),
            )
            await _command(handle, "resume", f"{batch}")
        await _until(lambda: "open" in _changes(world, "call"))
        await handle.execute_update("complete", CommandRequest("ann", step="call"))
        finished = await handle.result()
        description = await handle.describe()

    assert finished.onboarded
    assert description.run_id != handle.first_execution_run_id
    journey = [change for change in _changes(world, None) if change in ("paused", "resumed")]
    assert journey == ["paused", "resumed"] * 10
    # A workflow task that met a signal while it continued as new was done again: that is what is left.
    # What a resume moves is scheduled again.
    for step in ("value", "call"):
        changes = [change for change in _changes(world, step) if change != "scheduled"]
        assert changes == ["running", "open", "done"]


async def _command(handle: Handle, name: str, reason: str) -> None:
    """Give a command as the service does: again, under the same id, where a workflow was not ready for it."""
    async with asyncio.timeout(20):
        while True:
            try:
                await handle.execute_update(name, CommandRequest("ann", reason), id=f"{name}-{reason}")
            except RPCError as error:
                if error.status != RPCStatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


async def test_search_attributes_tell_segment_version_stage_and_trouble(real: WorkflowEnvironment) -> None:
    world = World()
    world.script("room", ApplicationError("no", type="Refused", non_retryable=True))
    async with worker(real.client, world, "quick"):
        handle = await _enrol(real)
        await _until_shown(handle, "new", "stuck")
        found = (await handle.describe()).typed_search_attributes
        assert found.get(search_attributes.SEGMENT) == "quick"
        assert found.get(search_attributes.VERSION) == 3

        await handle.execute_update("skip", CommandRequest("ann", step="room"))
        for n in range(2):
            await handle.signal("event", EventSignal("value", f"e{n}"))
        await _until_shown(handle, "grown", None)

        await handle.terminate()


async def _until_shown(handle: Handle, stage: str, status: str | None) -> None:
    async with asyncio.timeout(20):
        while True:
            found = (await handle.describe()).typed_search_attributes
            if (found.get(search_attributes.STAGE), found.get(search_attributes.STATUS)) == (stage, status):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("given", [[], [3], [{"subject": "c-1"}], [{"subject": {"id": "c-1"}}]], ids=repr)
async def test_a_start_that_cannot_be_used_ends_with_its_reason(
    given: list[Any], skipping: WorkflowEnvironment
) -> None:
    async with worker(skipping.client, World(), "quick"):
        handle = await skipping.client.start_workflow(
            "quick", args=given, id="onboarding/c-1", task_queue="quick"
        )

        with pytest.raises(WorkflowFailureError) as failure:
            async with asyncio.timeout(10):
                await handle.result()

    assert any(word in str(failure.value.cause) for word in ("cannot be read", "prepare"))
