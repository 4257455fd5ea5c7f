"""What the tests of the durable shell share: servers of their own, and effects that answer from a script."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import signatures
from firstmile import search_attributes
from firstmile.cli.workers import working
from firstmile.contracts import EffectOutcome, EffectRequest, Records, Start
from firstmile.journey.journal import Entry, View


@dataclass
class World:
    """The world behind the effects: answers from a script, and a store that can be away."""

    scripted: dict[str, deque[EffectOutcome | Exception]] = field(default_factory=dict)
    requests: list[EffectRequest] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict)
    collisions: list[tuple[Entry, Entry]] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    view: View | None = None
    store_is_away: bool = False
    flushes: int = 0

    def script(self, step: str, *outcomes: EffectOutcome | Exception) -> None:
        """What the next effects of a step will meet."""
        self.scripted.setdefault(step, deque()).extend(outcomes)

    def journal(self) -> list[Entry]:
        """The entries as people see them."""
        return sorted(self.entries.values(), key=lambda entry: (entry.at, entry.number))

    def write(self, records: Records, outcome: EffectOutcome | None) -> None:
        """What the real store does, in memory: idempotent by number, a view only over an older one."""
        if self.store_is_away:
            raise ApplicationError("the store is away")
        entries, view = list(records.entries), records.view
        if outcome is not None and outcome.outcome == "done" and records.success is not None:
            entries.append(replace(records.success, at=outcome.at))
            view = records.success_view
        for entry in entries:
            known = self.entries.get(entry.number, entry)
            if known != entry:
                self.collisions.append((known, entry))
            # What a failed workflow task wrote is overwritten by what was done in its place.
            self.entries[entry.number] = entry
        if view is not None and (self.view is None or view.number >= self.view.number):
            self.view = view
            self.views.append(view)

    def activities(self) -> Sequence[Callable[..., Any]]:
        """The activities by their real names."""

        def effect(name: str) -> Callable[..., Any]:
            @activity.defn(name=name)
            async def carry_out(request: EffectRequest) -> EffectOutcome:
                queue = self.scripted.get(request.step)
                outcome = queue[0] if queue else EffectOutcome("done", request.at)
                if isinstance(outcome, Exception):
                    if queue:
                        queue.popleft()
                    raise outcome
                self.write(request.records, outcome)
                if queue:
                    queue.popleft()
                self.requests.append(request)
                return outcome

            return carry_out

        @activity.defn(name=signatures.RECORD)
        async def write_records(records: Records) -> None:
            self.write(records, None)
            self.flushes += 1

        @activity.defn(name=signatures.PREPARE)
        async def prepare(start: Start) -> Start:
            raise ApplicationError("nobody prepares here", non_retryable=True)

        # Kinds whose effects are yet to be built are carried out under their own names.
        names = {*signatures.EFFECTS.values(), "request", "notify", "webhook"}
        return [*(effect(name) for name in names), write_records, prepare]


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server that knows the search attributes."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
        data_converter=pydantic_data_converter,
    )
    async with environment:
        await add_search_attributes(environment.client)
        yield environment


async def add_search_attributes(client: Client) -> None:
    """Tell a server about the search attributes: without them its workflow tasks loop."""
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={
                key.name: key.indexed_value_type.value  # type: ignore[misc]  # an enum of the API
                for key in search_attributes.ALL
            },
        )
    )


def worker(
    client: Client, world: World, queue: str, **options: Any
) -> AbstractAsyncContextManager[list[Worker]]:
    """Workers for the world's activities."""
    activities = world.activities()
    return working(client, queue, journeys=activities, messages=activities, **options)
