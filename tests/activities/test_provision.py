"""Provisioning as an activity: the system is asked as often as it takes, and its answer is recorded once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Response
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.provision import Provision
from activities.tools import Tools
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.instants import from_datetime
from firstmile.provisioning import Webhooks
from firstmile.standins.faults import Fault
from firstmile.standins.provisioning import provisioning_standin
from firstmile.store import effects
from firstmile.store.database import Database
from tests.activities.building import (
    Ask,
    Switch,
    attempt,
    believed,
    contents,
    dies,
    is_discreet,
    journal_of,
    rode,
    told,
    view_of,
)
from tests.activities.conftest import SECRET, THEN, systems


@dataclass
class Workspace:
    """The system that provisions, and the activity that asks it."""

    system: Switch
    app: FastAPI
    activity: Provision
    hasty: Provision
    """The same with little patience."""

    async def attempt(self, request: EffectRequest) -> EffectOutcome:
        self.system.app = self.app
        return await attempt(self.activity.provision, request)

    async def is_in_trouble(self, request: EffectRequest, *, hangs: bool) -> ApplicationError:
        """An attempt that is to be made again, without any fuss."""
        self.system.app = self.app
        with pytest.raises(ApplicationError) as raised:
            await attempt((self.hasty if hangs else self.activity).provision, request)
        error = raised.value
        assert (error.type, error.category, error.non_retryable) == (
            "SystemAway",
            ApplicationErrorCategory.BENIGN,
            False,
        )
        assert is_discreet(told(error))
        return error

    def fail(self, **fault: Any) -> None:
        self.app.state.faults.add(Fault(on="call", **fault))

    @property
    def calls(self) -> dict[str, int]:
        """How often each key came."""
        return {call["key"]: call["times"] for call in self.app.state.resources.calls()}

    @property
    def resources(self) -> dict[str, str]:
        """What was set up, or undone."""
        return {one.resource: one.state for one in self.app.state.resources.all()}


@pytest.fixture
async def workspace(system: Switch, webhooks: Webhooks, tools: Tools) -> AsyncIterator[Workspace]:
    async with Webhooks(systems(system), timeout=0.2, allow_private=True) as hasty:
        app = provisioning_standin(SECRET)
        yield Workspace(system, app, Provision(tools, webhooks), Provision(tools, hasty))


def asked(ask: Ask, **changes: Any) -> EffectRequest:
    return ask("provision", "workspace", params={"system": "workspace", "with": {"plan": "pro"}}, **changes)


async def test_what_was_set_up_is_the_result(db: Database, workspace: Workspace, ask: Ask) -> None:
    request = asked(ask)

    outcome = await workspace.attempt(request)

    assert (outcome.outcome, outcome.result) == ("done", {"id": request.resource[:12], "state": "active"})
    assert await rode(db, request, outcome)
    assert workspace.resources == {request.resource: "active"}


async def test_an_attempt_repeated_asks_nobody_and_comes_to_the_same(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    first = await workspace.attempt(asked(ask))
    written = await contents(db)

    assert await workspace.attempt(asked(ask)) == first
    assert await contents(db) == written
    assert workspace.calls == {asked(ask).key: 1}


async def test_an_attempt_that_died_is_made_again_with_the_same_key(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    request, before = asked(ask), await contents(db)

    await dies(db, workspace.attempt, request)

    assert await contents(db) == before
    outcome = await workspace.attempt(request)
    assert await rode(db, request, outcome)
    assert workspace.calls == {request.key: 2}
    assert workspace.resources == {request.resource: "active"}


@pytest.mark.parametrize("status", [400, 401, 409, 422])
async def test_what_the_system_refuses_fails_and_stays_failed(
    db: Database, workspace: Workspace, ask: Ask, status: int
) -> None:
    request = asked(ask)
    workspace.fail(kind="status", status=status)

    outcome = await workspace.attempt(request)

    assert (outcome.outcome, outcome.reason) == ("failed", f"system 'workspace' answered {status}")
    assert await rode(db, request, outcome)
    assert await workspace.attempt(request) == outcome
    assert workspace.calls == {}


async def test_an_operators_retry_finds_the_same_resource(workspace: Workspace, ask: Ask) -> None:
    workspace.fail(kind="status", status=422, when="after")
    assert (await workspace.attempt(asked(ask))).outcome == "failed"

    assert (await workspace.attempt(asked(ask, attempt=2))).outcome == "done"

    assert workspace.calls == {asked(ask).key: 1, asked(ask, attempt=2).key: 1}
    assert workspace.resources == {asked(ask).resource: "active"}


@pytest.mark.parametrize(
    ("fault", "reason", "seconds"),
    [
        ({"kind": "status", "status": 500}, "system 'workspace' answered 500", 5),
        ({"kind": "status", "status": 503, "reset_in": 20}, "system 'workspace' answered 503", 20),
        ({"kind": "status", "status": 429, "reset_in": 40}, "system 'workspace' answered 429", 40),
        ({"kind": "hang"}, "system 'workspace' did not answer in time", 5),
        ({"kind": "reset"}, "system 'workspace': ReadError", 5),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_system_in_trouble_is_asked_again_later(
    db: Database, workspace: Workspace, ask: Ask, fault: dict[str, Any], reason: str, seconds: int, when: str
) -> None:
    request, before = asked(ask), await contents(db)
    workspace.fail(when=when, **fault)

    error = await workspace.is_in_trouble(request, hangs=fault["kind"] == "hang")

    assert (error.message, error.next_retry_delay) == (reason, timedelta(seconds=seconds))
    assert await contents(db) == before, "records ride on what is decided"
    assert await rode(db, request, await workspace.attempt(request))
    assert list(workspace.calls) == [request.key]
    assert workspace.resources == {request.resource: "active"}


async def test_undoing_goes_to_the_same_resource_under_a_key_of_its_own(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    await workspace.attempt(asked(ask))
    undo = asked(ask, purpose="undo")

    outcome = await workspace.attempt(undo)

    assert outcome.outcome == "done"
    assert workspace.resources == {asked(ask).resource: "undone"}
    assert workspace.calls == {asked(ask).key: 1, undo.key: 1}
    assert await workspace.attempt(undo) == outcome
    assert workspace.calls[undo.key] == 1


async def test_a_system_that_will_call_back_leaves_the_step_open(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    workspace.app, request = provisioning_standin(SECRET, status=202), asked(ask)

    outcome = await workspace.attempt(request)

    assert outcome.outcome == "open"
    assert await rode(db, request, outcome)
    assert await workspace.attempt(request) == outcome


async def test_an_attempt_after_the_callback_tells_what_it_came_to(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    workspace.app, request = provisioning_standin(SECRET, status=202), asked(ask)
    await workspace.attempt(request)
    called_back = EffectOutcome("done", ask.enrolled + 7, result={"id": "w-1"})
    async with db.writing() as tx:
        await effects.finish(tx, request.key, called_back, THEN)

    assert await workspace.attempt(request) == called_back
    assert await rode(db, request, called_back)


async def test_of_two_attempts_that_hear_different_things_the_first_to_write_counts(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    workspace.app, request, both = FastAPI(), asked(ask), asyncio.Barrier(2)
    answers = iter([200, 422])

    @workspace.app.post("/webhooks")
    async def take() -> Response:
        await both.wait()
        return Response(status_code=next(answers))

    one, other = await asyncio.gather(workspace.attempt(request), workspace.attempt(request))

    assert one == other
    assert await rode(db, request, one)


async def test_a_system_that_nobody_configured_fails_the_step(
    db: Database, workspace: Workspace, ask: Ask
) -> None:
    request = ask("provision", params={"system": "billing"})

    outcome = await workspace.attempt(request)

    assert (outcome.outcome, outcome.reason) == (
        "failed",
        "no system 'billing' is configured (FIRSTMILE_SYSTEMS)",
    )
    assert await rode(db, request, outcome)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b'{"owner": "somebody"}', {"owner": "somebody"}),
        (b'{"deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", None),
        (b'{"cost": NaN}', None),
        (b'{"cost": 1e999}', None),
        (b'{"name": "\\ud800"}', None),
        (b'{"id": "w-1"', None),
    ],
    ids=["an owner of its own", "too deep", "not a number", "too large", "half a character", "cut off"],
)
async def test_whatever_a_system_answers_the_step_is_done(
    db: Database, workspace: Workspace, ask: Ask, answer: bytes, result: dict[str, Any] | None
) -> None:
    """A result goes through Temporal and into the store, whichever it is: one that cannot is none."""
    workspace.app, request = FastAPI(), asked(ask)

    @workspace.app.post("/webhooks")
    async def take() -> Response:
        return Response(answer)

    outcome = await workspace.attempt(request)

    assert (outcome.outcome, outcome.result) == ("done", result)
    assert await rode(db, request, outcome)
    view = await view_of(db)
    assert view is not None
    assert view.owners == {}, "only an assignment makes somebody an owner"
    assert believed(request, outcome) == view


async def test_an_outcome_is_as_old_as_the_answer(db: Database, workspace: Workspace, ask: Ask) -> None:
    begun = from_datetime(datetime.now(UTC))

    outcome = await workspace.attempt(asked(ask))

    assert begun <= outcome.at <= from_datetime(datetime.now(UTC))
    assert [entry.at for entry in await journal_of(db)] == [ask.enrolled, outcome.at]
