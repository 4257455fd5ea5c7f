"""The API: what each call answers, and what every refusal says."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from firstmile.service import Service
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, Clock, Nowhere, opened, town, until
from tests.web.conftest import calling

EVENT = {"subject": "c-1", "event": "report.published", "id": "e1"}


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document of an answer, which must be this one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["type"]) == (status, f"urn:firstmile:problem:{slug}")
    assert found["title"]
    assert found["detail"]
    return found


# ---- signing up ------------------------------------------------------------------------------------------


async def test_a_sign_up_is_accepted_once_and_answered_alike_ever_after(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/onboardings", json=SIGN_UP)
    again = await client.post("/v1/onboardings", json=SIGN_UP)

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert first.headers["location"] == first.json()["status_url"] == "/v1/onboardings/c-1"


async def test_another_body_under_the_same_id_is_a_conflict(client: httpx.AsyncClient) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)

    problem(await client.post("/v1/onboardings", json=SIGN_UP | {"segment": "other"}), 409, "sign-up-differs")


async def test_a_cloud_event_carries_a_sign_up(client: httpx.AsyncClient) -> None:
    carried = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "signed_up", "data": SIGN_UP}

    answer = await client.post(
        "/v1/onboardings",
        content=json.dumps(carried),
        headers={"Content-Type": "application/cloudevents+json; charset=utf-8"},
    )

    assert answer.status_code == 202


async def test_everything_wrong_with_a_sign_up_is_named_by_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/onboardings", json={"id": "a@b", "segment": "smal", "emial": 1})

    found = problem(answer, 422, "sign-up-refused")
    assert [one["field"] for one in found["errors"]] == ["id", "emial", "segment"]


async def test_while_temporal_is_away_a_sign_up_is_to_be_repeated(
    client: httpx.AsyncClient, temporal: Nowhere
) -> None:
    temporal.away = True
    answer = await client.post("/v1/onboardings", json=SIGN_UP)
    problem(answer, 503, "temporal-away")
    assert answer.headers["retry-after"] == "5"

    temporal.away = False
    assert (await client.post("/v1/onboardings", json=SIGN_UP)).is_success


@pytest.mark.parametrize(
    ("content", "media_type", "status", "slug"),
    [
        ('{"id": "a", "id": "b"}', "application/json", 400, "not-json"),
        ('{"speed": NaN}', "application/json", 400, "not-json"),
        ("", "application/json", 400, "not-json"),
        ("id=c-1", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        ("{}", "text/plain", 415, "unsupported-media-type"),
        ('"' + "x" * 70_000 + '"', "application/json", 413, "too-large"),
        ("[" * 10_000, "application/json", 400, "not-json"),
        ("[]", "application/json", 422, "sign-up-refused"),
    ],
)
async def test_a_body_that_is_none_is_refused(
    client: httpx.AsyncClient, content: str, media_type: str, status: int, slug: str
) -> None:
    answer = await client.post("/v1/onboardings", content=content, headers={"Content-Type": media_type})

    problem(answer, status, slug)


# ---- events ----------------------------------------------------------------------------------------------


async def test_an_event_is_taken(client: httpx.AsyncClient, temporal: Nowhere) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)

    answer = await client.post("/v1/events", json=EVENT)

    assert (answer.status_code, answer.json()) == (202, {"id": "e1", "outcome": "accepted"})
    assert len(temporal.signals) == 1


@pytest.mark.parametrize(
    ("at", "words"), [("2026-03-08T09:00:00Z", "ahead"), ("1970-01-21T12:00:00Z", "another unit")]
)
async def test_an_event_of_a_time_that_cannot_be_meant_is_refused(
    client: httpx.AsyncClient, at: str, words: str
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)

    found = problem(await client.post("/v1/events", json=EVENT | {"at": at}), 422, "event-refused")

    assert words in found["errors"][0]["message"]


async def test_holds_are_shown_where_they_hold(client: httpx.AsyncClient) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    for scope, value in (
        ("template", "tips"),
        ("template", "other"),
        ("customer", "c-1"),
        ("customer", "c-2"),
    ):
        await client.post("/v1/holds", json={"scope": scope, "value": value, "reason": "a typo"})

    shown = (await client.get("/v1/onboardings/c-1")).json()["holds"]

    assert [(one["scope"], one["value"]) for one in shown] == [("template", "tips"), ("customer", "c-1")]


async def test_many_events_get_an_outcome_each(client: httpx.AsyncClient) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    events = [EVENT, EVENT | {"event": "page.viewed"}, EVENT | {"subject": "c-2"}]

    answer = await client.post("/v1/events", json=events)

    assert answer.status_code == 202
    assert [one["outcome"] for one in answer.json()["events"]] == ["accepted", "ignored", "parked"]


async def test_a_wrong_event_among_many_is_named_and_the_others_are_taken(
    client: httpx.AsyncClient, temporal: Nowhere
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)

    answer = await client.post("/v1/events", json=[EVENT, {"subject": "c-1"}, 5])

    assert answer.status_code == 422
    assert [one["outcome"] for one in answer.json()["events"]] == ["accepted", "refused", "refused"]
    assert answer.json()["events"][1]["problem"]["errors"][0]["field"] == "event"
    assert len(temporal.signals) == 1


async def test_events_are_to_be_sent_again_while_temporal_is_away(
    client: httpx.AsyncClient, temporal: Nowhere
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    temporal.away = True

    problem(await client.post("/v1/events", json=EVENT), 503, "temporal-away")
    answer = await client.post("/v1/events", json=[EVENT])
    assert answer.status_code == 503
    assert answer.json()["events"][0]["outcome"] == "retry"


# ---- customers and commands ------------------------------------------------------------------------------


async def test_nobody_has_no_status_and_takes_no_command(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v1/onboardings/c-9"), 404, "unknown-customer")
    problem(await client.post("/v1/onboardings/c-9/pause", json={}), 404, "unknown-customer")


async def test_before_a_worker_has_looked_a_customer_is_starting(client: httpx.AsyncClient) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)

    found = (await client.get("/v1/onboardings/c-1")).json()

    assert (found["status"], found["steps"], found["age_seconds"]) == ("starting", [], None)


@pytest.mark.parametrize(
    ("command", "body", "status", "slug"),
    [
        ("pausse", {}, 404, "unknown-command"),
        ("pause", [], 422, "command-malformed"),
        ("pause", {"until": "tomorrow", "raeson": "x", "undo": 1}, 422, "command-malformed"),
    ],
)
async def test_a_command_that_is_none_is_refused(
    client: httpx.AsyncClient, command: str, body: object, status: int, slug: str
) -> None:
    problem(await client.post(f"/v1/onboardings/c-1/{command}", json=body), status, slug)


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "cursor=nonsense"])
async def test_a_parameter_that_cannot_be_read_is_refused(client: httpx.AsyncClient, query: str) -> None:
    problem(await client.get(f"/v1/onboardings?{query}"), 422, "bad-parameter")


async def test_customers_are_found_seen_and_commanded(tmp_path: Path) -> None:
    async with town(tmp_path) as running, calling(create_app(running, sweep_every=None)) as client:
        for id in ("c-1", "c-2", "c-3"):
            await client.post("/v1/onboardings", json=SIGN_UP | {"id": id})

        async def page(query: str = "") -> dict[str, Any]:
            found: dict[str, Any] = (await client.get(f"/v1/onboardings?{query}")).json()
            return found

        await until(page, lambda found: len(found["onboardings"]) == 3)
        first = await page("limit=2&segment=small")
        second = await page(f"limit=2&segment=small&cursor={first['next']}")
        assert [one["id"] for one in first["onboardings"] + second["onboardings"]] == ["c-3", "c-2", "c-1"]
        assert second["next"] is None

        answer = await client.post("/v1/onboardings/c-1/pause", json={"reason": "on holiday"})
        assert answer.json()["view"]["status"] == "paused"
        rejected = await client.post("/v1/onboardings/c-1/pause", json={"reason": "on holiday"})
        assert problem(rejected, 409, "command-rejected")["detail"] == "the journey is paused already"

        seen = await until(
            lambda: client.get("/v1/onboardings/c-1?live=true"), lambda one: one.json()["status"] == "paused"
        )
        assert seen.json()["live"]["status"] == "paused"
        assert seen.json()["age_seconds"] >= 0
        paused = [entry for entry in seen.json()["journal"] if entry["change"] == "paused"]
        assert (paused[0]["actor"], paused[0]["reason"]) == ("api", "on holiday")

        for number in (1, 2):
            await client.post("/v1/events", json=EVENT | {"subject": "c-2", "id": f"r{number}"})

        async def numbers() -> dict[str, float]:
            text = (await client.get("/metrics")).text
            return {
                f"{sample.name}{sorted(sample.labels.items())}": sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }

        bucket = "firstmile_time_to_first_value_seconds_bucket[('le', '+Inf'), ('segment', 'small')]"
        found = await until(numbers, lambda seen: bucket in seen)
        assert found[bucket] == 1
        assert found["firstmile_onboardings_started_total[('segment', 'small')]"] == 3
        assert found["firstmile_commands_total[('command', 'pause'), ('outcome', 'rejected')]"] == 1


# ---- who may call ----------------------------------------------------------------------------------------


@pytest.fixture
async def locked(tmp_path: Path, temporal: Nowhere, clock: Clock) -> Any:
    async with opened(tmp_path, temporal, clock) as service:
        service.settings = service.settings.model_copy(update={"api_key": SecretStr("a secret key")})
        yield create_app(service, sweep_every=None)


@pytest.mark.parametrize(
    "given",
    [None, "Bearer", "Bearer another key", "Basic a secret key", "a secret key", "Bearer a secret keyy"],
)
async def test_without_the_key_nothing_is_answered(locked: FastAPI, given: str | None) -> None:
    async with calling(locked, headers={} if given is None else {"Authorization": given}) as client:
        answer = await client.get("/v1/onboardings")

    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_with_the_key_everybody_is_answered(locked: FastAPI) -> None:
    headers = {"Authorization": "bearer a secret key", "Host": "hello.example"}
    async with calling(locked, headers=headers, client=("203.0.113.9", 1)) as client:
        assert (await client.get("/v1/onboardings")).status_code == 200


@pytest.mark.parametrize(
    "caller",
    [
        {"client": ("203.0.113.9", 1)},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Host": "attacker.example"}},
    ],
)
async def test_without_a_key_configured_only_this_machine_is_answered(
    app: FastAPI, caller: dict[str, Any]
) -> None:
    async with calling(app, **caller) as client:
        problem(await client.get("/v1/onboardings"), 403, "forbidden")


# ---- operations ------------------------------------------------------------------------------------------


async def test_metrics_are_what_the_store_counted(client: httpx.AsyncClient) -> None:
    await client.post("/v1/events", json=EVENT)

    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert 'firstmile_events_total{outcome="parked"} 1.0' in answer.text
    assert "# TYPE firstmile_time_to_first_value_seconds histogram" in answer.text


async def test_a_workers_metrics_are_joined(service: Service) -> None:
    def worker(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="temporal_x_total 1\n# EOF\n")

    service.settings = service.settings.model_copy(update={"core_metrics_url": "http://worker/metrics"})
    fetching = httpx.AsyncClient(transport=httpx.MockTransport(worker))
    async with calling(create_app(service, sweep_every=None, client=fetching)) as client:
        text = (await client.get("/metrics")).text

    assert "temporal_x_total 1\n" in text
    assert "firstmile_core_up 1\n" in text
    assert "# EOF" not in text


async def test_metrics_say_so_when_the_store_or_the_worker_is_away(service: Service, tmp_path: Path) -> None:
    service.settings = service.settings.model_copy(update={"core_metrics_url": "http://localhost:1/metrics"})
    app = create_app(service, sweep_every=None)
    (tmp_path / "firstmile.db").rename(tmp_path / "gone.db")
    await service._premises.database.close()
    (tmp_path / "firstmile.db").mkdir()

    async with calling(app) as client:
        text = (await client.get("/metrics")).text
        ready = await client.get("/readyz")
        alive = await client.get("/healthz")

    assert "firstmile_store_up 0.0" in text
    assert "firstmile_core_up 0\n" in text
    problem(ready, 503, "store-away")
    assert alive.status_code == 200


async def test_metrics_are_for_the_inside(app: FastAPI) -> None:
    async with calling(app, client=("203.0.113.9", 1)) as client:
        problem(await client.get("/metrics"), 403, "forbidden")
    async with calling(app, client=("10.1.2.3", 1)) as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_the_service_is_ready_when_its_store_is(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ok"}


async def test_openapi_describes_every_call(client: httpx.AsyncClient) -> None:
    found = (await client.get("/openapi.json")).json()

    assert {"/v1/onboardings", "/v1/onboardings/{id}", "/v1/onboardings/{id}/{command}", "/v1/events"} <= set(
        found["paths"]
    )
    text = json.dumps(found)
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(found["components"]["schemas"])
    assert found["components"]["schemas"]["SignUp"]["properties"]["segment"]


async def test_what_nobody_expected_is_told_without_what_was_sent(
    client: httpx.AsyncClient,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_: object) -> None:
        raise KeyError(SIGN_UP["email"])

    monkeypatch.setattr(service, "enrol", broken)

    problem(await client.post("/v1/onboardings", json=SIGN_UP), 500, "our-fault")

    assert "KeyError" in caplog.text
    assert "jonas" not in caplog.text


async def test_it_sweeps_while_it_runs(service: Service, temporal: Nowhere, clock: Clock) -> None:
    temporal.away = True
    app = create_app(service, sweep_every=timedelta(milliseconds=10), reconcile_every=None)
    async with calling(app) as client, app.router.lifespan_context(app):
        await client.post("/v1/onboardings", json=SIGN_UP)
        temporal.away = False
        clock.forward(timedelta(minutes=10))

        await until(lambda: client.get("/v1/onboardings/c-1"), lambda answer: answer.status_code == 404)
