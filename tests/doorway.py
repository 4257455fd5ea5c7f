"""What tests of the ways in share: a service on a real store, with a real Temporal or with none.

`Town` is a service whose customers really run, on a time-skipping server, with a worker whose effects succeed
at once and write their records into the store. `Nowhere` stands in for a client while Temporal is away.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities import signatures
from activities.bulk import GiveCommands
from firstmile import connection, settings
from firstmile.cli.workers import working
from firstmile.contracts import EffectOutcome, EffectRequest, Records
from firstmile.journey.instants import from_datetime
from firstmile.service import Service
from firstmile.store import owners, records, schema
from firstmile.store.database import Database
from firstmile.store.owners import Person

T = TypeVar("T")

JOURNEY = """\
journey: small
version: 1
title: A small journey
traits: {plan: text, seats: number?, trial_ends: date?}
onboarded: {milestone: first_value, within: 14 days}
ends: 60 days
stages:
  - {stage: sign-up, until: first_value}
  - {stage: mastery}
steps:
  - id: specialist
    assign: {team: onboarding}
  - id: welcome
    title: Welcome
    after: [specialist]
    email: {template: welcome, class: transactional}
  - id: first_value
    title: First report
    milestone: {event: report.published, times: 2}
    within: 14 days
  - id: tips
    after: [welcome]
    wait: 2 days
    email: {template: tips}
  - id: nps
    title: Would you recommend us?
    after: [welcome]
    survey: {kind: nps, template: nps, low: 6}
    within: 30 days
  - id: check_in
    after: [welcome]
    checkin: {template: check_in, every: 20 days, times: 2}
  - id: call
    after: [missed first_value]
    task: {title: Call the customer, owner: specialist}
"""

SIGN_UP: dict[str, Any] = {
    "id": "c-1",
    "segment": "small",
    "email": "jonas@weber.example",
    "name": "Jonas Weber",
    "company": "Weber & Partner",
    "timezone": "Europe/Berlin",
    "country": "DE",
    "locale": "de",
    "traits": {"plan": "pro", "seats": 12},
}


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 6, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


class Nowhere:
    """A client of a Temporal that does not answer; with `started`, it answers starts and signals."""

    def __init__(self, *, away: bool = True) -> None:
        self.away = away
        self.finished: set[str] = set()
        self.starts: list[dict[str, Any]] = []
        self.signals: list[tuple[str, Any]] = []

    def _answer(self) -> None:
        if self.away:
            raise RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")

    async def start_workflow(self, workflow: str, arg: Any, **options: Any) -> None:
        self._answer()
        self.starts.append({"workflow": workflow, "start": arg, **options})

    def get_workflow_handle(self, workflow_id: str, **_: Any) -> _NoHandle:
        return _NoHandle(self, workflow_id)

    namespace = "default"

    @property
    def workflow_service(self) -> _NoLists:
        return _NoLists(self)


@dataclass
class _NoLists:
    client: Nowhere

    async def list_workflow_executions(self, *_: Any, **__: Any) -> None:
        self.client._answer()
        raise RPCError("not here", RPCStatusCode.UNIMPLEMENTED, b"")

    async def describe_workflow_execution(self, *_: Any, **__: Any) -> None:
        self.client._answer()
        raise RPCError("not here", RPCStatusCode.UNIMPLEMENTED, b"")


@dataclass
class _NoHandle:
    client: Nowhere
    id: str

    async def _there(self) -> None:
        self.client._answer()
        known = {start["id"] for start in self.client.starts}
        if self.id not in known or self.id in self.client.finished:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

    async def signal(self, name: str, arg: Any = None, **_: Any) -> None:
        await self._there()
        self.client.signals.append((self.id, arg))

    async def describe(self, **_: Any) -> None:
        self.client._answer()
        if self.id not in {start["id"] for start in self.client.starts}:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

    async def execute_update(self, *_: Any, **__: Any) -> None:
        await self._there()


@cache
def _templates() -> Path:
    """Templates by the names that the small journey uses; made once, as they are only read."""
    place = Path(tempfile.mkdtemp(prefix="firstmile-templates-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    shipped = Path(__file__).parents[1] / "templates"
    names = {"welcome": "team_welcome", "tips": "team_invite", "nps": "nps", "check_in": "check_in"}
    for name, like in {**names, "_layout": "_layout"}.items():
        shutil.copytree(shipped / like, place / name)
    return place


def folders(place: Path, journey: str = JOURNEY) -> settings.Settings:
    """Settings with folders of their own: one small journey, and templates that exist."""
    (place / "journeys").mkdir(parents=True, exist_ok=True)
    (place / "journeys" / "small.yaml").write_text(journey)
    return settings.Settings(
        state_dir=place,
        journeys=place / "journeys",
        templates=_templates(),
        task_queue=f"queue-{place.name}",
        public_url="http://test",
    )


_stores: list[Path] = []


async def _store(chosen: settings.Settings) -> Database:
    """A store with the small journey published and two specialists: made once, and copied."""
    file = Path(chosen.database_url.removeprefix("sqlite:///"))
    if _stores:
        shutil.copy(_stores[0], file)
        return Database(chosen.database_url)
    await schema.upgrade(chosen.database_url)
    database = Database(chosen.database_url)
    await Service(cast(Client, Nowhere()), database, chosen).publish()
    async with database.writing() as tx:
        await owners.put(tx, Person("ann", "Ann Becker", "onboarding"))
        await owners.put(tx, Person("bo", "Bo Berg", "onboarding", active=False))
    await database.close()
    kept = _templates() / ".store.db"
    shutil.copy(file, kept)
    _stores.append(kept)
    return Database(chosen.database_url)


@asynccontextmanager
async def opened(
    place: Path, client: object, now: Callable[[], datetime] | None = None, **changes: object
) -> AsyncIterator[Service]:
    """A service on a store of its own, with the small journey published and one specialist. `changes` are
    settings."""
    chosen = folders(place).model_copy(update=changes)
    database = await _store(chosen)
    try:
        options: dict[str, Any] = {} if now is None else {"now": now}
        service = Service(cast(Client, client), database, chosen, **options)
        yield service
        await service.close()
    finally:
        await database.close()


def database_of(service: Service) -> Database:
    """The store behind a service."""
    return service._premises.database


def activities(database: Database) -> Sequence[Callable[..., Any]]:
    """Effects that succeed at once, and write their records as the real ones do."""

    def effect(name: str) -> Callable[..., Any]:
        @activity.defn(name=name)
        async def carry_out(request: EffectRequest) -> EffectOutcome:
            now = datetime.now(UTC)
            at = request.clock.journey(from_datetime(now))
            result = {"owner": "ann"} if request.kind == "assign" else None
            async with database.writing() as tx:
                if request.kind == "assign":
                    await owners.assign(tx, "onboarding", request.subject, 1, request.step, now)
                await records.write(tx, request.records, now, succeeded=True, outcome_at=at)
            return EffectOutcome("done", at, result=result)

        return carry_out

    @activity.defn(name=signatures.RECORD)
    async def write_records(carried: Records) -> None:
        async with database.writing() as tx:
            await records.write(tx, carried, datetime.now(UTC))

    return [*(effect(name) for name in set(signatures.EFFECTS.values())), write_records]


def skipping_server() -> Awaitable[WorkflowEnvironment]:
    """A server whose time skips; it has no lists."""
    return WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
        data_converter=pydantic_data_converter,
    )


def development_server(*dynamic_config: str) -> Awaitable[WorkflowEnvironment]:
    """A server with everything that a real one has; its time is ours."""
    options = [word for value in dynamic_config for word in ("--dynamic-config-value", value)]
    return WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_extra_args=options,
        dev_server_log_level="error",
        data_converter=pydantic_data_converter,
    )


@asynccontextmanager
async def town(
    place: Path,
    *,
    works: bool = True,
    server: Awaitable[WorkflowEnvironment] | None = None,
    now: Callable[[], datetime] | None = None,
    **changes: object,
) -> AsyncIterator[Service]:
    """A service whose customers run; or wait for a worker, if it does not work. `changes` are settings."""
    async with await (server or skipping_server()) as environment:
        await connection.ensure_search_attributes(environment.client)
        async with (
            opened(place, environment.client, now, **changes) as service,
            worker(service) if works else nullcontext(),
        ):
            yield service


def worker(service: Service) -> AbstractAsyncContextManager[object]:
    """Workers for a service's customers, on both of their queues."""
    effects = [*activities(database_of(service)), GiveCommands(service).give_commands]
    return working(service._premises.client, service.settings.task_queue, journeys=effects, messages=effects)


async def until(look: Callable[[], Awaitable[T]], right: Callable[[T], bool], seconds: float = 20) -> T:
    """Look until what is seen is right."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        seen = await look()
        if right(seen):
            return seen
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"still not so after {seconds} seconds: {seen}")
        await asyncio.sleep(0.02)
