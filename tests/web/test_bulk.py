"""Sign-ups by the line, CloudEvents in both modes, and what happens when it is too much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from firstmile.service import Service
from firstmile.web.app import create_app
from firstmile.web.limits import Limited
from tests.doorway import SIGN_UP, Nowhere
from tests.web.conftest import calling
from tests.web.test_api import EVENT, problem

LINES = {"Content-Type": "application/x-ndjson"}


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def line(**changes: Any) -> str:
    return json.dumps(SIGN_UP | changes)


# ---- lines -----------------------------------------------------------------------------------------------


async def test_each_line_is_answered_in_order_and_one_line_keeps_no_other(client: httpx.AsyncClient) -> None:
    sent = "\n".join(
        [line(id="b-1"), "", line(id="b-2", segment="smal"), "{", line(id="b-1"), line(id="b-3"), "[]"]
    )

    answer = await client.post("/v1/onboardings", content=sent, headers=LINES)

    *said, last = lines_of(answer)
    assert answer.status_code == 202
    assert [(one["line"], one["outcome"], one["id"]) for one in said if one["id"] != "b-1"] == [
        (3, "refused", "b-2"),
        (4, "refused", None),
        (6, "started", "b-3"),
        (7, "refused", None),
    ]
    assert {one["outcome"] for one in said if one["id"] == "b-1"} == {"started", "same"}
    assert said[1]["problem"]["type"] == "urn:firstmile:problem:sign-up-refused"
    assert said[2]["problem"]["type"] == "urn:firstmile:problem:not-json"
    assert (last["lines"], last["refused"], last["complete"]) == (6, 3, True)


async def test_while_temporal_is_away_every_line_is_to_be_sent_again(
    client: httpx.AsyncClient, temporal: Nowhere
) -> None:
    temporal.away = True
    sent = "\n".join(line(id=f"b-{number}") for number in range(3))

    first = lines_of(await client.post("/v1/onboardings", content=sent, headers=LINES))
    temporal.away = False
    second = lines_of(await client.post("/v1/onboardings", content=sent, headers=LINES))

    assert [one["outcome"] for one in first[:-1]] == ["retry"] * 3
    assert second[-1]["same"] + second[-1]["started"] == 3
    assert len(temporal.starts) == 3


async def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(client: httpx.AsyncClient) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield line(id="b-1").encode()[:20]
        yield line(id="b-1").encode()[20:] + b"\n"
        for _ in range(5):
            yield b"x" * 20_000
        yield b"\n" + line(id="b-2").encode()

    said = lines_of(await client.post("/v1/onboardings", content=sent(), headers=LINES))

    assert [one.get("outcome") for one in said] == ["started", "refused", "started", None]
    assert "longer than" in said[1]["problem"]["detail"]


# ---- CloudEvents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [to_structured, to_binary])
async def test_cloud_events_are_taken_in_both_modes(
    client: httpx.AsyncClient, temporal: Nowhere, convert: Any
) -> None:
    signed_up = CloudEvent({"type": "crm.signed_up", "source": "/crm"}, SIGN_UP)
    done = CloudEvent(
        {
            "type": "report.published",
            "source": "/app/ü",
            "subject": "c-1",
            "id": "7",
            "time": "2026-03-06T08:59:00Z",
        },
        {"pages": 3},
    )
    for path, event in (("/v1/onboardings", signed_up), ("/v1/events", done)):
        headers, body = convert(event)
        # The library leaves the data's type, and the encoding of headers, to whoever makes the event.
        headers = {"content-type": "application/json"} | {
            n: quote(v, safe="/:+; =.") for n, v in headers.items()
        }
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code == 202, answer.text

    ((_, signal),) = temporal.signals
    assert (signal.event, signal.id, signal.properties) == ("report.published", "/app/ü#7", {"pages": 3})


async def test_a_binary_cloud_event_that_lacks_something_is_told_what(client: httpx.AsyncClient) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "report.published"}

    found = problem(await client.post("/v1/events", json={}, headers=headers), 422, "event-refused")

    assert [one["field"] for one in found["errors"]] == ["source", "subject"]


# ---- too much --------------------------------------------------------------------------------------------


async def test_a_caller_who_calls_too_often_is_put_off_and_no_other(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"http_calls_per_second": 0.5})
    app = create_app(service, sweep_every=None)
    async with calling(app) as client, calling(app, client=("127.0.0.2", 1)) as other:
        assert (await client.post("/v1/events", json=EVENT)).status_code == 202
        answer = await client.post("/v1/events", json=EVENT)
        problem(answer, 429, "too-many-requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/healthz")).status_code == 200
        assert (await other.post("/v1/events", json=EVENT)).status_code == 202


async def test_more_calls_than_can_be_carried_out_are_put_off() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(Limited(slow, at_once=1, per_second=None))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        first = asyncio.create_task(client.get("/v1/onboardings"))
        await entered.wait()
        problem(await client.get("/v1/onboardings"), 429, "too-many-requests")
        leave.set()
        assert (await first).status_code == 200
        assert (await client.get("/v1/onboardings")).status_code == 200


def test_a_bucket_fills_again_and_few_callers_are_remembered(app: FastAPI) -> None:
    now = 0.0
    limited = Limited(app, at_once=1, per_second=2, monotonic=lambda: now)
    assert [limited._wait("a") > 0 for _ in range(6)] == [False] * 4 + [True] * 2
    now = 1.0
    assert [limited._wait("a") > 0 for _ in range(3)] == [False] * 2 + [True]
