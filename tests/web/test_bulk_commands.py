"""Commands to many customers over HTTP: what is answered, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from firstmile.callers import Caller
from firstmile.service import Service
from firstmile.store import bulk
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, Clock, database_of, town, until
from tests.web.conftest import calling

ORDER: dict[str, Any] = {"command": "pause", "ids": ["c-1", "c-2"], "reason": "holidays", "actor": "ann"}


async def test_an_order_is_answered_with_a_job_that_can_be_followed(client: httpx.AsyncClient) -> None:
    asked = await client.post("/v1/bulk", json=ORDER)

    assert asked.status_code == 202
    job = asked.json()
    assert asked.headers["location"] == f"/v1/bulk/{job['id']}"
    assert {name: job[name] for name in ("command", "actor", "reason", "rate", "state", "customers")} == {
        "command": "pause", "actor": "ann", "reason": "holidays", "rate": 10.0, "state": "preparing",
        "customers": 2,
    }  # fmt: skip
    assert (await client.get(f"/v1/bulk/{job['id']}")).json() == job
    assert (await client.get("/v1/bulk")).json() == {"jobs": [job], "next": None}
    page = (await client.get(f"/v1/bulk/{job['id']}/results?limit=1")).json()
    assert page["results"] == [{"number": 1, "id": "c-1", "state": "waiting", "reason": None, "at": None}]
    rest = (await client.get(f"/v1/bulk/{job['id']}/results?cursor={page['next']}")).json()
    assert ([one["id"] for one in rest["results"]], rest["next"]) == (["c-2"], None)


async def test_results_are_paged_by_state(client: httpx.AsyncClient, service: Service, clock: Clock) -> None:
    id = (await client.post("/v1/bulk", json=ORDER)).json()["id"]
    async with database_of(service).writing() as tx:
        await bulk.settle(tx, id, 2, "rejected", "it is paused already", clock())

    rejected = (await client.get(f"/v1/bulk/{id}/results?state=rejected")).json()["results"]

    assert [(one["id"], one["reason"]) for one in rejected] == [("c-2", "it is paused already")]
    assert (await client.get(f"/v1/bulk/{id}")).json()["rejected"] == 1
    assert (await client.get(f"/v1/bulk/{id}/results?state=other")).status_code == 422


async def test_the_same_order_under_one_idempotency_key_is_one_job(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}

    first = await client.post("/v1/bulk", json=ORDER, headers=key)
    again = await client.post("/v1/bulk", json=ORDER, headers=key)
    other = await client.post("/v1/bulk", json={**ORDER, "ids": ["c-3"]}, headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 409)
    assert first.json()["id"] == again.json()["id"]
    assert other.json()["type"] == "urn:firstmile:problem:job-differs"


async def test_a_job_is_stopped_once(client: httpx.AsyncClient) -> None:
    id = (await client.post("/v1/bulk", json=ORDER)).json()["id"]

    stopped = await client.post(f"/v1/bulk/{id}/stop", json={"actor": "bo", "reason": "enough"})
    again = await client.post(f"/v1/bulk/{id}/stop")

    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    assert (again.status_code, again.json()["type"]) == (409, "urn:firstmile:problem:command-rejected")
    deeds = (await client.get("/v1/audit")).json()["deeds"]
    assert [(deed["action"], deed["actor"], deed["reason"]) for deed in deeds] == [
        ("bulk-stop", "bo", "enough"), ("bulk", "ann", "holidays")
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/bulk/x", "/v1/bulk/x/results"])
async def test_a_job_that_is_unknown_is_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:firstmile:problem:unknown-job")
    assert (await client.post("/v1/bulk/x/stop")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"command": "paus"}, ["command"]),
        ({"command": None}, ["command"]),
        ({"command": 7}, ["command"]),
        ({"reason": None}, ["reason"]),
        ({"reason": "x" * 2_001}, ["reason"]),
        ({"rate": 0}, ["rate"]),
        ({"rate": 1_000}, ["rate"]),
        ({"rate": True}, ["rate"]),
        ({"rate": "fast"}, ["rate"]),
        ({"ids": None}, ["filter"]),
        ({"ids": []}, ["ids"]),
        ({"ids": ["c-1", 7]}, ["ids[1]"]),
        ({"ids": ["c-\x00"]}, ["ids[0]"]),
        ({"filter": {}}, ["filter"]),
        ({"ids": None, "filter": {"segment": "nothing"}}, ["filter"]),
        ({"ids": None, "filter": {"segmnt": "small"}}, ["filter.segmnt"]),
        ({"ids": None, "filter": {"segment": 1}}, ["filter.segment"]),
        ({"ids": None, "filter": {"version": True}}, ["filter.version"]),
        ({"ids": None, "filter": {"version": 0}}, ["filter.version"]),
        ({"ids": None, "filter": {"overdue": "yes"}}, ["filter.overdue"]),
        ({"ids": None, "filter": {"since": "soon"}}, ["filter.since"]),
        ({"ids": None, "filter": {"q": "ab"}}, ["filter.q"]),
        ({"arguments": {"reason": "here"}}, ["arguments.reason"]),
        ({"arguments": {"until": "soon"}}, ["arguments.until"]),
        ({"arguments": {"stp": "x"}}, ["arguments.stp"]),
        ({"more": 1}, ["more"]),
        ({"dry_run": "yes"}, ["dry_run"]),
    ],
)
async def test_what_makes_no_sense_is_422_and_names_the_field(
    client: httpx.AsyncClient, changes: dict[str, Any], fields: list[str]
) -> None:
    answer = await client.post("/v1/bulk", json={**ORDER, **changes})

    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "urn:firstmile:problem:command-malformed"
    assert [flaw["field"] for flaw in answer.json()["errors"]] == fields
    assert (await client.get("/v1/bulk")).json()["jobs"] == []


async def test_only_a_key_that_may_operate_opens_it(
    app: FastAPI, client: httpx.AsyncClient, service: Service
) -> None:
    async def headers(role: str) -> dict[str, str]:
        _, token = await service.keys.create(role, by=Caller("ann"), role=role)
        return {"Authorization": f"Bearer {token}"}

    viewer, operator = await headers("viewer"), await headers("operator")

    assert (await client.post("/v1/bulk", json=ORDER)).status_code == 401
    assert (await client.post("/v1/bulk", json=ORDER, headers=viewer)).status_code == 403
    asked = await client.post("/v1/bulk", json=ORDER, headers=operator)
    assert (asked.status_code, asked.json()["actor"]) == (202, "ann via operator")
    job = await service.bulk.get(asked.json()["id"])
    assert job.key is not None
    for path in ("", f"/{job.id}", f"/{job.id}/results"):
        assert (await client.get(f"/v1/bulk{path}", headers=viewer)).status_code == 403
        assert (await client.get(f"/v1/bulk{path}", headers=operator)).status_code == 200
    assert (await client.post(f"/v1/bulk/{job.id}/stop", headers=viewer)).status_code == 403


async def test_a_dry_run_and_an_order_over_http_with_customers_who_run(tmp_path: Path) -> None:
    async with town(tmp_path) as service, calling(create_app(service, sweep_every=None)) as client:
        for id in ("c-1", "c-2"):
            await service.enrol({**SIGN_UP, "id": id})
        await until(service.counts, lambda counts: sum(one.customers for one in counts) == 2)
        order = {**ORDER, "ids": None, "filter": {"segment": "small"}, "rate": 50}

        foreseen = await client.post("/v1/bulk", json={**order, "dry_run": True})
        asked = await client.post("/v1/bulk", json=order)
        id = asked.json()["id"]
        job = await until(lambda: service.bulk.get(id), lambda one: one.ended_at is not None)

        assert foreseen.status_code == 200
        assert {name: foreseen.json()[name] for name in ("dry_run", "customers", "rate")} == {
            "dry_run": True, "customers": 2, "rate": 50.0
        }  # fmt: skip
        assert all(one["changes"] for one in foreseen.json()["sample"])
        assert (job.done, job.customers) == (2, 2)
