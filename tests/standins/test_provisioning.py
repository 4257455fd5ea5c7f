"""Signed calls to another system, against the stand-in and the Standard Webhooks library as judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

from firstmile.contracts import Clock, EffectRequest, Records
from firstmile.journey.scope import Facts
from firstmile.provisioning import LATER, Outcome, System, Webhooks, body_of, signature
from firstmile.standins.faults import Fault
from firstmile.standins.provisioning import provisioning_standin
from firstmile.standins.serving import serving

SECRET = "whsec_" + "c2VjcmV0" * 6
OLDER = "whsec_" + "b2xkb2xk" * 6


def ask(**changes: Any) -> EffectRequest:
    values: dict[str, Any] = {
        "subject": "c-1",
        "enrolment": 1,
        "segment": "team",
        "version": 1,
        "step": "workspace",
        "kind": "provision",
        "purpose": "run",
        "occurrence": 1,
        "attempt": 1,
        "params": {"system": "workspace", "with": {"plan": "prö"}},
        "facts": Facts(day=0),
        "timezone": "UTC",
        "locale": None,
        "clock": Clock(0),
        "at": 0,
        "not_after": None,
        "records": Records("c-1", 1, "team", 1, []),
    }
    return EffectRequest(**(values | changes))


class World:
    """The stand-in being served, and calls to it."""

    def __init__(self, app: FastAPI, url: str) -> None:
        self.app, self.url = app, url
        self.webhooks = Webhooks(
            {"workspace": System(url + "/webhooks", (SECRET, OLDER))}, timeout=0.4, allow_private=True
        )

    def fail(self, **fault: Any) -> None:
        self.app.state.faults.add(Fault(on="call", **fault))

    @property
    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.app.state.resources.calls()
        return found


@pytest.fixture
async def world() -> AsyncIterator[World]:
    app = provisioning_standin(SECRET)
    async with serving(app) as place:
        world = World(app, place.url)
        async with world.webhooks:
            yield world


async def test_a_resource_is_set_up_once_however_often_it_is_asked_for(world: World) -> None:
    request = ask()
    done = Outcome("done", result={"id": request.resource[:12], "state": "active"})
    assert await world.webhooks.call(request) == done
    assert await world.webhooks.call(request) == done
    assert [(call["key"], call["times"]) for call in world.calls] == [(request.key, 2)]
    kept = world.app.state.resources.all()
    assert [(one.subject, one.system, one.given, one.state) for one in kept] == [
        ("c-1", "workspace", {"plan": "prö"}, "active")
    ]


async def test_undoing_addresses_the_resource(world: World) -> None:
    await world.webhooks.call(ask())
    found = await world.webhooks.call(ask(purpose="undo"))
    assert found.answer == "done"
    assert [(one.resource, one.state) for one in world.app.state.resources.all()] == [
        (ask().resource, "undone")
    ]
    assert [call["type"] for call in world.calls] == ["provision", "undo"]


async def test_an_operators_retry_has_another_key_and_the_same_resource(world: World) -> None:
    await world.webhooks.call(ask())
    await world.webhooks.call(ask(attempt=2))
    assert len(world.calls) == 2
    assert len(world.app.state.resources.all()) == 1


def test_the_signature_verifies_with_each_secret_and_not_with_another() -> None:
    body, now = body_of(ask()), datetime.now(UTC)
    headers = {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature((SECRET, OLDER), "msg-1", now, body),
    }
    for secret in (SECRET, OLDER):
        assert Webhook(secret).verify(body, headers)["type"] == "provision"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "b3RoZXJv" * 6).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


def test_what_the_system_is_told() -> None:
    request = ask()
    assert json.loads(body_of(request)) == {
        "type": "provision",
        "resource": request.resource,
        "subject": "c-1",
        "enrolment": 1,
        "segment": "team",
        "step": "workspace",
        "system": "workspace",
        "with": {"plan": "prö"},
    }
    assert json.loads(body_of(ask(kind="webhook")))["type"] == "webhook"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
async def test_a_refusal_is_final_and_tells_the_status_only(world: World, status: int) -> None:
    world.fail(kind="status", status=status)
    found = await world.webhooks.call(ask())
    assert found == Outcome("failed", f"system 'workspace' answered {status}")


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_a_system_in_trouble_is_asked_again(world: World, status: int) -> None:
    world.fail(kind="status", status=status)
    found = await world.webhooks.call(ask())
    assert found == Outcome("retry", f"system 'workspace' answered {status}", retry_in=LATER)
    assert (await world.webhooks.call(ask())).answer == "done"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("reset_in", "seconds"), [(20, 20), (None, 5), (1e6, 3600), (0, 1)])
async def test_retry_after_is_obeyed(
    world: World, status: int, reset_in: float | None, seconds: float
) -> None:
    world.fail(kind="status", status=status, reset_in=reset_in)
    found = await world.webhooks.call(ask())
    assert (found.answer, found.retry_in) == ("retry", timedelta(seconds=seconds))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["hang", "reset"])
async def test_no_answer_is_asked_again_and_done_once(world: World, kind: str, when: str) -> None:
    world.fail(kind=kind, when=when)
    assert (await world.webhooks.call(ask())).answer == "retry"
    assert (await world.webhooks.call(ask())).answer == "done"
    assert len(world.calls) == 1


async def test_a_fault_may_be_one_customers(world: World) -> None:
    world.fail(kind="status", status=500, match="^c-2$")
    assert (await world.webhooks.call(ask())).answer == "done"
    assert (await world.webhooks.call(ask(subject="c-2"))).answer == "retry"


async def test_202_leaves_it_open() -> None:
    async with serving(provisioning_standin(SECRET, status=202)) as place:
        systems = {"workspace": System(place.url + "/webhooks", (SECRET,))}
        async with Webhooks(systems, allow_private=True) as webhooks:
            assert (await webhooks.call(ask())).answer == "open"


async def test_nobody_listening_is_asked_again(free_port: Callable[[], int]) -> None:
    systems = {"workspace": System(f"http://127.0.0.1:{free_port()}/", (SECRET,))}
    async with Webhooks(systems, allow_private=True) as webhooks:
        found = await webhooks.call(ask())
    reason = "system 'workspace': it cannot be connected to"
    assert found == Outcome("retry", reason, retry_in=LATER, sent=False)


async def test_a_system_that_is_not_configured_fails(world: World) -> None:
    found = await world.webhooks.call(ask(params={"system": "billing"}))
    assert found == Outcome("failed", "no system 'billing' is configured (FIRSTMILE_SYSTEMS)", sent=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "169.254.169.254", "0.0.0.0", "[::ffff:10.0.0.1]"]
)
async def test_an_address_inside_is_refused_unless_allowed(host: str) -> None:
    systems = {"workspace": System(f"http://{host}:1/", (SECRET,))}
    async with Webhooks(systems) as webhooks:
        found = await webhooks.call(ask())
    assert (found.answer, found.sent) == ("failed", False)
    assert found.reason == "system 'workspace': its address is a private one, which settings do not allow"


async def test_a_redirection_is_not_followed_and_no_answers_body_is_told() -> None:
    app = FastAPI()
    seen: list[str] = []

    @app.post("/{path:path}")
    async def answer(path: str, request: Request) -> Response:
        seen.append(path)
        if path == "moved":
            return Response(status_code=307, headers={"Location": "/elsewhere"})
        return Response("ann@customer.example is wrong", status_code=422)

    async with serving(app) as place:
        systems = {name: System(f"{place.url}/{name}", (SECRET,)) for name in ("moved", "wrong")}
        async with Webhooks(systems, allow_private=True) as webhooks:
            moved = await webhooks.call(ask(params={"system": "moved"}))
            wrong = await webhooks.call(ask(params={"system": "wrong"}))
    assert moved == Outcome("failed", "system 'moved' answered 307: redirections are not followed")
    assert wrong == Outcome("failed", "system 'wrong' answered 422")
    assert seen == ["moved", "wrong"]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b'{"url": "https://x"}', {"url": "https://x"}),
        (b"", None),
        (b"ok", None),
        (b"[1]", None),
        (b"{}", None),
    ],
)
async def test_a_json_object_is_the_result(answer: bytes, result: dict[str, Any] | None) -> None:
    app = FastAPI()

    @app.post("/")
    async def done() -> Response:
        return Response(answer)

    async with serving(app) as place:
        webhooks = Webhooks({"workspace": System(place.url, (SECRET,))}, allow_private=True)
        assert await webhooks.call(ask()) == Outcome("done", result=result)
        await webhooks.close()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("ftp://x.example", (SECRET,)),
        ("https://user:hunter2@x.example", (SECRET,)),
        ("https://x.example", ()),
        ("https://x.example", ("whsec_short",)),
        ("https://x.example", ("whsec_not base64 at all, whatever its length",)),
    ],
)
def test_a_system_that_cannot_be_called_is_refused_at_once(url: str, secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"URL|secret") as caught:
        System(url, secrets)
    assert "hunter2" not in str(caught.value)
    assert SECRET not in repr(System("https://x.example", (SECRET,)))


async def test_the_standin_takes_only_what_is_signed_and_shows_what_it_keeps(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        assert (await client.post("/webhooks", json={})).status_code == 401
        await world.webhooks.call(ask())
        page = (await client.get("/")).text
        assert "workspace" in page
        assert "c-1" in page
        assert "plan: prö" in page
        assert "Nothing set up that fits" in (await client.get("/", params={"q": "nobody"})).text
