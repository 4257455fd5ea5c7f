"""SendGrid's webhook: what is signed and fresh is taken, whole or not at all; everything else is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from benchmarks import webhooks
from firstmile.mail.sendgrid_events import SIGNATURE, TIMESTAMP
from firstmile.service import Service
from firstmile.standins.sendgrid_webhook import SigningKey
from firstmile.store import delivery_events, ledger
from firstmile.store.tables import delivery_events as rows
from firstmile.web.app import create_app
from firstmile.web.webhooks import MAX_BYTES
from tests.doorway import SIGN_UP, Clock, Nowhere, database_of, opened
from tests.events import KEY, NOW, counted, event, key_of, post, sent
from tests.web.conftest import calling

OLDER = SigningKey.make()


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere, clock: Clock) -> AsyncIterator[Service]:
    keys = (KEY.public, OLDER.public)
    async with opened(tmp_path, temporal, clock, sendgrid_webhook_keys=keys) as found:
        yield found


async def kept(service: Service) -> int:
    async with database_of(service).reading() as db:
        return int((await db.all(select(func.count()).select_from(rows)))[0][0])


async def requests(service: Service) -> dict[str, float]:
    await service.metrics()
    async with database_of(service).reading() as db:
        found = await counted(db, "webhook_requests_total")
    return {name.removesuffix(" sendgrid"): number for name, number in found.items()}


async def test_what_is_signed_is_taken_once(client: httpx.AsyncClient, service: Service) -> None:
    await sent(service, "m-1")
    events = [event("processed"), event("delivered", after=2)]

    first, again = await post(client, events), await post(client, events)

    assert (first.status_code, first.json()) == (200, {"events": 2, "new": 2})
    assert (again.status_code, again.json()) == (200, {"events": 2, "new": 0})
    async with database_of(service).reading() as db:
        message = await ledger.get(db, key_of("m-1"))
        assert await counted(db, "message_events_total") == {"processed": 1, "delivered": 1}
    assert message is not None
    assert (message.fate, message.fate_at) == ("delivered", NOW + timedelta(seconds=2))
    assert await requests(service) == {"taken": 2}


async def test_while_keys_rotate_either_signs(client: httpx.AsyncClient, service: Service) -> None:
    assert (await post(client, [event("open")], key=OLDER)).status_code == 200
    assert (await post(client, [event("click")], key=KEY)).status_code == 200
    assert (await post(client, [event("bounce")], key=SigningKey.make())).status_code == 401
    assert await kept(service) == 2


RAW = json.dumps([event("delivered")]).encode()


def headers(**changes: str | None) -> dict[str, str]:
    found: dict[str, str | None] = {**KEY.headers(RAW, NOW.timestamp()), **changes}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({SIGNATURE: None}, "not signed"),
        ({TIMESTAMP: None}, "not signed"),
        ({SIGNATURE: "abc"}, "not base64"),
        ({SIGNATURE: "a b="}, "not base64"),
        ({SIGNATURE: base64.b64encode(b"no signature").decode()}, "no key"),
        ({TIMESTAMP: "soon"}, "not a number"),
        ({TIMESTAMP: "9" * 400}, "not a number"),
        ({TIMESTAMP: str(int(NOW.timestamp()) + 1)}, "no key"),
        (KEY.headers(RAW, NOW.timestamp() - 301), "more than 300 seconds"),
        (KEY.headers(RAW, NOW.timestamp() + 301), "more than 300 seconds"),
        (KEY.headers(RAW + b" ", NOW.timestamp()), "no key"),
    ],
)
async def test_what_is_not_signed_as_it_must_be_is_refused(
    client: httpx.AsyncClient, service: Service, given: dict[str, str | None], says: str
) -> None:
    answer = await client.post("/webhooks/sendgrid", content=RAW, headers=headers(**given))

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (401, "urn:firstmile:problem:signature-refused")
    assert says in problem["detail"]
    assert await kept(service) == 0
    assert await requests(service) == {"refused": 1}


@pytest.mark.parametrize("seconds", [-300, 300])
async def test_a_clock_may_be_wrong_by_five_minutes(client: httpx.AsyncClient, seconds: int) -> None:
    signed = KEY.headers(RAW, NOW.timestamp() + seconds)

    assert (await client.post("/webhooks/sendgrid", content=RAW, headers=signed)).status_code == 200


@pytest.mark.parametrize(
    ("raw", "type"),
    [
        (b"", "not-json"),
        (b"[{", "not-json"),
        (b"\xff\xfe", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"{}", "not-a-list"),
        (b'"delivered"', "not-a-list"),
    ],
)
async def test_what_is_no_list_of_events_is_refused_though_it_is_signed(
    client: httpx.AsyncClient, service: Service, raw: bytes, type: str
) -> None:
    signed = KEY.headers(raw, NOW.timestamp())

    answer = await client.post("/webhooks/sendgrid", content=raw, headers=signed)

    assert (answer.status_code, answer.json()["type"]) == (400, f"urn:firstmile:problem:{type}")
    assert await requests(service) == {"malformed": 1}


async def test_what_is_larger_than_any_batch_is_refused(client: httpx.AsyncClient, service: Service) -> None:
    raw = b" " * (MAX_BYTES + 1)

    answer = await client.post("/webhooks/sendgrid", content=raw, headers=KEY.headers(raw, NOW.timestamp()))

    assert (answer.status_code, answer.json()["type"]) == (413, "urn:firstmile:problem:too-large")
    assert await requests(service) == {"too_large": 1}


async def test_without_a_key_nothing_is_taken_not_even_from_this_machine(
    tmp_path: Path, clock: Clock
) -> None:
    async with opened(tmp_path, Nowhere(away=False), clock) as service:
        async with calling(create_app(service, sweep_every=None)) as client:
            answer = await post(client, [event("delivered")])

        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:firstmile:problem:webhook-closed"
        assert "FIRSTMILE_SENDGRID_WEBHOOK_KEYS" in answer.json()["detail"]
        assert await kept(service) == 0
        assert await requests(service) == {"closed": 1}


ODD: list[Any] = [
    None,
    7,
    "delivered",
    [],
    {},
    {"event": "account_status_change", "type": "compliance_suspend", "timestamp": 1772787600},
    {"event": ["delivered"], "timestamp": "soon", "sg_event_id": "\x00", "fm_key": "\ud800"},
    {"event": "delivered", "timestamp": 1e300, "sg_event_id": "x" * 300, "fm_key": "k" * 300},
    {"event": "bounce", "timestamp": True, "reason": {"a": 1}, "email": 7, "sg_message_id": 12},
    {"event": "click", "url": "http://[", "attempt": 10**400},
]


async def test_what_nobody_understands_is_kept_beside_what_is_understood(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1")

    answer = await post(client, [*ODD, event("delivered"), *ODD])

    assert answer.json() == {"events": 2 * len(ODD) + 1, "new": len(ODD) + 1}
    async with database_of(service).reading() as db:
        message = await ledger.get(db, key_of("m-1"))
        assert await counted(db, "message_events_total") == {"delivered": 1, "unknown": len(ODD)}
    assert message is not None
    assert message.fate == "delivered"
    assert (await post(client, ODD)).json() == {"events": len(ODD), "new": 0}


async def test_a_batch_is_taken_whole_or_not_at_all(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(service, "m-1")

    async def lost(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("connection lost"))

    with monkeypatch.context() as patched:
        patched.setattr("firstmile.store.suppressions.add_all", lost)
        answer = await post(client, [event("bounce")])

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:firstmile:problem:store-away")
    assert await kept(service) == 0
    async with database_of(service).reading() as db:
        message = await ledger.get(db, key_of("m-1"))
    assert message is not None
    assert message.fate is None
    assert (await post(client, [event("bounce")])).json()["new"] == 1


async def test_nothing_personal_is_kept_of_an_event(client: httpx.AsyncClient, service: Service) -> None:
    await sent(service, "m-1")
    await post(
        client,
        [
            event(
                "bounce", reason="550 5.1.1 <jonas@weber.example>: mailbox jonas is gone, not bo@x.example"
            ),
            event("click", url="https://app.example/reports/jonas%40weber.example?token=s3cret#x"),
            event("click", url="http://test/s/WyJjLTEiLDFd.signed?score=9"),
            event("open", useragent="Jonas's phone", name="Jonas Weber"),
            event("mystery", said="Jonas Weber", email="jonas@weber.example"),
        ],
    )

    async with database_of(service).reading() as db:
        found = await delivery_events.of(db, key_of("m-1"))
        message = await ledger.get(db, key_of("m-1"))
    text = json.dumps([one.detail for one in found], ensure_ascii=False)
    assert len(found) == 5
    for trace in ("jonas", "weber", "bo@", "s3cret", "198.51", "Mozilla", "signed"):
        assert trace.lower() not in text.lower()
    assert [one.detail["link"] for one in found if "link" in one.detail] == ["app.example/reports/…"]
    assert message is not None
    assert message.reason == "550 5.1.1 <…>: mailbox … is gone, not …"


async def test_a_status_shows_what_became_of_each_message(
    client: httpx.AsyncClient, service: Service
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    await sent(service, "m-1")
    await sent(service, "m-2", step="nps")
    await post(client, [event("delivered", after=1), event("open", after=60), event("open", after=50)])
    await post(client, [event("click", after=70, url="https://app.example/x")])

    messages = (await client.get("/v1/onboardings/c-1")).json()["messages"]
    first, second = sorted(messages, key=lambda one: str(one["step"]), reverse=True)

    assert first == {
        "step": "tips",
        "purpose": "run",
        "template": "tips",
        "class": "lifecycle",
        "state": "accepted",
        "fate": "delivered",
        "reason": None,
        "at": "2026-03-06T09:00:00Z",
        "fate_at": "2026-03-06T09:00:01Z",
        "opened_at": "2026-03-06T09:00:50Z",
        "clicked_at": "2026-03-06T09:01:10Z",
    }
    assert (second["fate"], second["opened_at"], second["clicked_at"]) == (None, None, None)


async def test_the_newest_event_has_its_moment_among_the_metrics(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    name = 'firstmile_webhook_last_event_timestamp_seconds{provider="sendgrid"}'
    assert name not in (await client.get("/metrics")).text
    await post(client, [event("delivered", after=-3_000)])
    clock.forward(timedelta(seconds=90))
    await post(client, [event("delivered", after=-3_000)])

    shown = (await client.get("/metrics")).text.splitlines()
    assert [float(line.split()[-1]) for line in shown if line.startswith(name)] == [NOW.timestamp()]


async def test_thousands_of_events_told_twice_and_shuffled_come_to_exact_numbers(tmp_path: Path) -> None:
    assert (await webhooks.measure(2_000, tmp_path)).events == 2_000
