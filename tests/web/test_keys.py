"""Keys: what opens, what each may do, how they end; holds and the audit over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from firstmile.callers import ROLES, Caller
from firstmile.service import Service
from firstmile.service.keys import FAILURES, Attempts
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, Clock, town, until
from tests.web.conftest import calling
from tests.web.test_api import EVENT, problem

ANN = Caller("ann")
ELSEWHERE: dict[str, Any] = {"client": ("203.0.113.9", 1)}


async def token_of(service: Service, **given: Any) -> str:
    _, token = await service.keys.create("crm", by=ANN, **given)
    return token


@pytest.fixture
async def admin(app: FastAPI, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    token = await token_of(service, role="admin")
    async with calling(app, headers={"Authorization": f"Bearer {token}"}, **ELSEWHERE) as client:
        yield client


def bearing(app: FastAPI, token: str, **more: Any) -> Any:
    return calling(app, headers={"Authorization": f"Bearer {token}"}, **{**ELSEWHERE, **more})


CALLS = {
    "signup": ("POST", "/v1/onboardings", SIGN_UP),
    "events": ("POST", "/v1/events", EVENT),
    "read": ("GET", "/v1/onboardings", None),
    "operate": ("POST", "/v1/holds", {"scope": "everything", "reason": "a flood"}),
    "admin": ("GET", "/v1/keys", None),
}


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_a_key_does_what_its_scopes_say_and_nothing_else(
    app: FastAPI, service: Service, role: str
) -> None:
    async with bearing(app, await token_of(service, role=role)) as client:
        for scope, (method, path, body) in CALLS.items():
            answer = await client.request(method, path, json=body)
            if scope in ROLES[role]:
                assert answer.status_code in (200, 201, 202), answer.text
            else:
                found = problem(answer, 403, "scope-missing")
                assert f"'{scope}'" in found["detail"]


async def test_once_there_is_a_key_nobody_gets_in_without_one(app: FastAPI, service: Service) -> None:
    async with calling(app) as client:
        assert (await client.get("/v1/onboardings")).status_code == 200
        await token_of(service, role="viewer")
        problem(await client.get("/v1/onboardings"), 401, "unauthorized")


async def test_an_expired_and_a_revoked_key_open_nothing(
    app: FastAPI, service: Service, clock: Clock
) -> None:
    await token_of(service, role="admin")
    expiring = await token_of(service, role="viewer", expires_in=timedelta(hours=1))
    key, revoked = await service.keys.create("old", by=ANN, role="viewer")
    async with bearing(app, expiring) as client, bearing(app, revoked) as other:
        assert (await client.get("/v1/onboardings")).status_code == 200
        assert (await other.get("/v1/onboardings")).status_code == 200
        clock.forward(timedelta(hours=1))
        await service.keys.revoke(key.id, by=ANN)
        assert "expired" in problem(await client.get("/v1/onboardings"), 401, "unauthorized")["detail"]
        assert "revoked" in problem(await other.get("/v1/onboardings"), 401, "unauthorized")["detail"]


async def test_a_rotated_key_opens_with_both_secrets_for_a_while(
    app: FastAPI, service: Service, clock: Clock
) -> None:
    key, former = await service.keys.create("crm", by=ANN, role="viewer")
    token = await service.keys.rotate(key.id, by=ANN, grace=timedelta(hours=1))
    async with bearing(app, former) as old, bearing(app, token) as new:
        assert (await old.get("/v1/onboardings")).status_code == 200
        assert (await new.get("/v1/onboardings")).status_code == 200
        clock.forward(timedelta(hours=1))
        problem(await old.get("/v1/onboardings"), 401, "unauthorized")
        assert (await new.get("/v1/onboardings")).status_code == 200


async def test_who_shows_many_wrong_keys_is_not_looked_at_any_more(app: FastAPI, service: Service) -> None:
    key, token = await service.keys.create("crm", by=ANN, role="viewer")
    wrong = f"fm_{key.id}_{'x' * 43}"
    async with bearing(app, wrong) as guessing:
        for _ in range(FAILURES):
            problem(await guessing.get("/v1/onboardings"), 401, "unauthorized")
        answer = await guessing.get("/v1/onboardings")
    problem(answer, 429, "too-many-attempts")
    assert int(answer.headers["retry-after"]) > 0
    async with bearing(app, token, client=("203.0.113.10", 1)) as owner:
        assert (await owner.get("/v1/onboardings")).status_code == 200


def test_wrong_keys_are_forgotten_after_a_minute() -> None:
    now = 0.0
    attempts = Attempts(lambda: now, most=3)
    for _ in range(FAILURES):
        attempts.failed("a", "k")
    now = 61.0
    attempts.require("a", "k")
    for address in "abcdef":
        attempts.failed(address, "k")
    assert len(attempts.seen) == 3


async def test_the_use_of_a_key_is_noted_once_a_minute(app: FastAPI, service: Service, clock: Clock) -> None:
    async with bearing(app, await token_of(service, role="viewer")) as client:
        noted = []
        for seconds in (0, 30, 31):
            clock.forward(timedelta(seconds=seconds))
            await client.get("/v1/onboardings")
            noted.append((await service.keys.all())[0].last_used_at)
    assert noted[0] == noted[1] == clock.at - timedelta(seconds=61)
    assert noted[2] == clock.at


async def test_keys_are_made_rotated_and_revoked_over_http(admin: httpx.AsyncClient, app: FastAPI) -> None:
    made = await admin.post("/v1/keys", json={"name": "crm", "role": "system", "expires_in": "90 days"})
    assert made.status_code == 201
    id, token = made.json()["id"], made.json()["token"]
    assert made.json()["scopes"] == ["events", "signup"]
    async with bearing(app, token) as client:
        assert (await client.post("/v1/events", json=EVENT)).status_code == 202
    rotated = await admin.post(f"/v1/keys/{id}/rotate", json={"grace": "0 hours"})
    assert rotated.json()["token"] != token
    assert (await admin.post(f"/v1/keys/{id}/revoke")).json() == {"id": id, "state": "revoked"}
    problem(await admin.post(f"/v1/keys/{id}/rotate"), 409, "command-rejected")
    listed = (await admin.get("/v1/keys")).json()["keys"]
    assert {one["id"]: one["state"] for one in listed}[id] == "revoked"
    assert not any("token" in one or "secret_hash" in one for one in listed)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "role": "owner"}, "role"),
        ({"name": "x", "scopes": ["reed"]}, "scopes"),
        ({"name": "x", "role": "viewer", "expires_in": "soon"}, "expires_in"),
        ({"name": "x", "role": "viewer", "expires_in": "2 business days"}, "expires_in"),
        ({"name": "x", "role": "viewer", "expires_in": "40000 days"}, "expires_in"),
        ({"nmae": "x", "role": "viewer"}, "nmae"),
        ({"name": 7, "role": "viewer"}, "name"),
    ],
)
async def test_what_is_wrong_with_a_key_is_named(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    found = problem(await client.post("/v1/keys", json=body), 422, "command-malformed")
    assert field in [one["field"] for one in found["errors"]]


# ---- holds -----------------------------------------------------------------------------------------------


async def test_a_hold_is_placed_seen_and_released(admin: httpx.AsyncClient) -> None:
    body = {"scope": "template", "value": "welcome", "reason": "a typo", "until": "2199-01-01T00:00:00Z"}
    placed = await admin.post("/v1/holds", json=body)

    assert placed.status_code == 201
    assert (placed.json()["actor"], placed.json()["until"]) == ("crm", "2199-01-01T00:00:00Z")
    assert (await admin.get("/v1/holds")).json()["holds"] == [placed.json()]
    released = await admin.post("/v1/holds/release", json={"scope": "template", "value": "welcome"})
    assert released.json() == {"released": 1}
    assert (await admin.get("/v1/holds")).json() == {"holds": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "segmnt", "value": "team", "reason": "x"}, "scope"),
        ({"scope": "segment", "reason": "x"}, "value"),
        ({"scope": "everything", "value": "x", "reason": "x"}, "value"),
        ({"scope": "everything"}, "reason"),
        ({"scope": "everything", "reason": " "}, "reason"),
        ({"scope": "everything", "reason": "x", "until": "tomorrow"}, "until"),
        ({"scope": "everything", "reason": "x", "until": "2001-01-01T00:00:00Z"}, "until"),
    ],
)
async def test_what_is_wrong_with_a_hold_is_named(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    found = problem(await client.post("/v1/holds", json=body), 422, "command-malformed")
    assert [one["field"] for one in found["errors"]] == [field]


async def test_a_hold_of_what_nobody_knows_is_placed_and_doubted(admin: httpx.AsyncClient) -> None:
    async def doubt(scope: str, value: str) -> str | None:
        answer = await admin.post("/v1/holds", json={"scope": scope, "value": value, "reason": "a typo"})
        assert answer.status_code == 201
        found: str | None = answer.json().get("doubt")
        return found

    assert await doubt("template", "welcom") == "unknown template 'welcom': did you mean 'welcome'?"
    assert await doubt("segment", "smal") == "unknown segment 'smal': did you mean 'small'?"
    assert await doubt("customer", "c-9") == "nobody signed up as 'c-9'"
    assert await doubt("template", "welcome") is None
    assert await doubt("segment", "small") is None


# ---- who did what ----------------------------------------------------------------------------------------


async def test_every_answer_names_its_request_and_the_audit_knows_it(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(
        "/v1/holds",
        json={"scope": "customer", "value": "c-1", "reason": "asked us to", "actor": "bo"},
        headers={"X-Request-Id": "ticket-4711"},
    )
    other = await admin.get("/v1/audit", headers={"X-Request-Id": "no good"})

    assert answer.headers["x-request-id"] == "ticket-4711"
    assert len(other.headers["x-request-id"]) == 32
    newest = other.json()["deeds"][0]
    assert {name: newest[name] for name in ("actor", "action", "subject", "reason", "request")} == {
        "actor": "bo via crm",
        "action": "hold",
        "subject": "c-1",
        "reason": "asked us to",
        "request": "ticket-4711",
    }


async def test_the_audit_pages_and_narrows_down(admin: httpx.AsyncClient) -> None:
    for number in range(5):
        await admin.post(
            "/v1/holds", json={"scope": "customer", "value": f"c-{number}", "reason": "one by one"}
        )
    first = (await admin.get("/v1/audit?limit=3&action=hold")).json()
    second = (await admin.get(f"/v1/audit?limit=3&action=hold&cursor={first['next']}")).json()
    assert [one["subject"] for one in first["deeds"] + second["deeds"]] == [
        f"c-{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert second["next"] is None
    assert [one["subject"] for one in (await admin.get("/v1/audit?subject=c-2")).json()["deeds"]] == ["c-2"]
    assert (await admin.get("/v1/audit?actor=nobody")).json()["deeds"] == []
    problem(await admin.get("/v1/audit?since=soon"), 422, "bad-parameter")


async def test_commands_are_foreseen_carried_out_and_written_down(tmp_path: Path) -> None:
    async with town(tmp_path) as service, calling(create_app(service, sweep_every=None)) as client:
        await client.post("/v1/onboardings", json=SIGN_UP)

        async def tips() -> str:
            found = (await client.get("/v1/onboardings/c-1")).json()
            return next((one["phase"] for one in found["steps"] if one["step"] == "tips"), "")

        await until(tips, lambda phase: phase == "scheduled")
        asked = {"step": "tips", "reason": "they know"}
        foreseen = await client.post("/v1/onboardings/c-1/skip?dry_run=true", json=asked)
        assert foreseen.json()["changes"] == ["'tips' is skipped (they know)"]
        assert await tips() == "scheduled"
        assert (await client.get("/v1/audit")).json()["deeds"] == []

        run = await client.post("/v1/onboardings/c-1/run-now?dry_run=true", json={"step": "tips"})
        assert run.json()["starts"] == [{"step": "tips", "kind": "email", "purpose": "run"}]
        assert run.json()["changes"] == ["'tips' is sent now"]
        nothing = await client.post("/v1/onboardings/c-1/resume?dry_run=true")
        assert problem(nothing, 409, "command-rejected")["detail"] == "the journey is not paused"

        await client.post("/v1/onboardings/c-1/skip", json=asked)
        again = await client.post("/v1/onboardings/c-1/skip", json=asked)
        assert again.status_code == 409
        rejected, done = (await client.get("/v1/audit?subject=c-1")).json()["deeds"]
    assert (done["action"], done["outcome"], done["target"], done["reason"]) == (
        "skip",
        "done",
        "tips",
        "they know",
    )
    assert done["before"]["steps"]["tips"][0] == "scheduled"
    assert done["after"]["steps"]["tips"][0] == "skipped"
    assert (rejected["outcome"], rejected["detail"]) == ("rejected", "step 'tips' is skipped already")
