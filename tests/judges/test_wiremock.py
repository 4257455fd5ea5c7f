"""WireMock fails as a provider may, and counts: what was sent is in its journal, not in ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from firstmile.contracts import EffectOutcome
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Pending, Post, send_once
from firstmile.store import ledger
from firstmile.store.database import Database
from tests.judges.servers import Judge
from tests.mail.building import LINKS, Ask, SetClock

SEND = {"method": "POST", "urlPath": "/v3/mail/send"}
TAKEN = {"status": 202, "headers": {"X-Message-Id": "wm-1"}}
RECONCILE = timedelta(minutes=30)


@pytest.fixture
def transport(wiremock: Judge, now: SetClock) -> SendGrid:
    return SendGrid("SG.judged", host=wiremock.url, timeout=0.4, settles_after=timedelta(minutes=5), now=now)


def answer(wiremock: Judge, *responses: Mapping[str, Any]) -> None:
    """What WireMock answers to sends, one after another; the last one from then on."""
    for number, response in enumerate(responses):
        state = "Started" if number == 0 else f"after {number}"
        following = f"after {number + 1}" if number + 1 < len(responses) else state
        stub = {
            "scenarioName": "sends",
            "requiredScenarioState": state,
            "newScenarioState": following,
            "request": SEND,
            "response": response,
        }
        told = httpx.post(f"{wiremock.url}/__admin/mappings", json=stub, trust_env=False)
        told.raise_for_status()


def logs(wiremock: Judge, *messages: Mapping[str, Any]) -> None:
    """What SendGrid's log has."""
    for request, body in [
        ({"method": "POST", "urlPath": "/v3/logs"}, {"messages": [dict(one) for one in messages]}),
        *(({"method": "GET", "urlPath": f"/v3/logs/{one['sg_message_id']}"}, dict(one)) for one in messages),
    ]:
        stub = {"request": request, "response": {"status": 200, "jsonBody": body}}
        httpx.post(f"{wiremock.url}/__admin/mappings", json=stub, trust_env=False).raise_for_status()


def sent(wiremock: Judge) -> int:
    """How many sends WireMock has seen."""
    counted = httpx.post(f"{wiremock.url}/__admin/requests/count", json=SEND, trust_env=False)
    return int(counted.json()["count"])


async def look(db: Database, key: str) -> ledger.Message:
    async with db.reading() as tx:
        found = await ledger.get(tx, key)
    assert found is not None
    return found


def later(now: SetClock, found: EffectOutcome | Pending) -> None:
    """As much later as the answer asks for."""
    assert isinstance(found, Pending), found
    now.move(seconds=found.retry_in.total_seconds())


async def test_a_message_that_is_taken_is_sent_once(
    wiremock: Judge, db: Database, transport: SendGrid, post: Post, ask: Ask
) -> None:
    answer(wiremock, TAKEN)
    request = ask()
    for _ in range(3):
        found = await send_once(db, transport, request, post, links=LINKS)
        assert isinstance(found, EffectOutcome)
        assert found.outcome == "done"
    assert sent(wiremock) == 1
    assert (await look(db, request.key)).provider_id == "wm-1"


async def test_a_rate_limit_is_waited_out_and_the_message_sent_then(
    wiremock: Judge, db: Database, transport: SendGrid, post: Post, ask: Ask, now: SetClock
) -> None:
    reset = f"{datetime.now(UTC).timestamp() + 90:.0f}"
    answer(wiremock, {"status": 429, "headers": {"X-RateLimit-Reset": reset}}, TAKEN)
    request = ask()

    found = await send_once(db, transport, request, post, links=LINKS)

    assert isinstance(found, Pending)
    assert timedelta(seconds=80) < found.retry_in <= timedelta(seconds=91)
    assert (await look(db, request.key)).state == "prepared", "it was not carried out: nothing to decide"
    later(now, found)
    again = await send_once(db, transport, request, post, links=LINKS)
    assert isinstance(again, EffectOutcome)
    assert again.outcome == "done"
    assert sent(wiremock) == 2
    assert (await look(db, request.key)).decisions == ()


@pytest.mark.parametrize("status", [400, 401, 403, 413])
async def test_a_refusal_fails_the_step_and_is_not_tried_again(
    wiremock: Judge, db: Database, transport: SendGrid, post: Post, ask: Ask, status: int
) -> None:
    answer(wiremock, {"status": status, "jsonBody": {"errors": [{"message": "no", "field": "from"}]}})
    request = ask()
    for _ in range(2):
        found = await send_once(db, transport, request, post, links=LINKS)
        assert isinstance(found, EffectOutcome)
        assert (found.outcome, found.reason) == ("failed", f"SendGrid answered {status} (from)")
    assert sent(wiremock) == 1


UNKNOWN: dict[str, Mapping[str, Any]] = {
    "500": {"status": 500},
    "502": {"status": 502, "body": "<html>"},
    "503 that says when": {"status": 503, "headers": {"Retry-After": "1"}},
    "no answer in time": {**TAKEN, "fixedDelayMilliseconds": 2000},
    "an answer that drips": {**TAKEN, "body": "x" * 50, "chunkedDribbleDelay": {"numberOfChunks": 5, "totalDuration": 5000}},
    "reset": {"fault": "CONNECTION_RESET_BY_PEER"},
    "empty": {"fault": "EMPTY_RESPONSE"},
    "garbage": {"fault": "RANDOM_DATA_THEN_CLOSE"},
    "broken off": {"fault": "MALFORMED_RESPONSE_CHUNK"},
    "something else": {"status": 200, "body": "hello"},
}  # fmt: skip


@pytest.mark.parametrize("how", UNKNOWN)
async def test_what_is_unknown_is_looked_for_and_sent_again_only_by_decision(
    wiremock: Judge, db: Database, transport: SendGrid, post: Post, ask: Ask, now: SetClock, how: str
) -> None:
    answer(wiremock, UNKNOWN[how], TAKEN)
    logs(wiremock)
    request = ask(params={"template": "welcome", "class": "transactional"})
    patient = replace(post, reconcile_for=RECONCILE)

    found = await send_once(db, transport, request, patient, links=LINKS)
    assert (await look(db, request.key)).state == "unknown"
    for _ in range(3):
        # Asked again as often as one likes, SendGrid's log has not had its time.
        found = await send_once(db, transport, request, patient, links=LINKS)
        assert isinstance(found, Pending)
        assert sent(wiremock) == 1
    now.move(minutes=6)
    found = await send_once(db, transport, request, patient, links=LINKS)

    assert isinstance(found, EffectOutcome)
    assert found.outcome == "done"
    assert sent(wiremock) == 2
    decisions = (await look(db, request.key)).decisions
    assert [one.text for one in decisions] == ["sent again: the provider's log does not have it"]


@pytest.mark.parametrize("how", ["500", "no answer in time", "reset", "garbage"])
async def test_what_the_log_has_is_not_sent_again(
    wiremock: Judge, db: Database, transport: SendGrid, post: Post, ask: Ask, how: str
) -> None:
    request = ask()
    answer(wiremock, UNKNOWN[how], TAKEN)
    logs(wiremock, {"sg_message_id": "wm-7.abc", "custom_args": {"fm_key": request.key}})

    found: EffectOutcome | Pending = await send_once(db, transport, request, post, links=LINKS)
    assert isinstance(found, Pending)
    found = await send_once(db, transport, request, post, links=LINKS)

    assert isinstance(found, EffectOutcome)
    assert found.outcome == "done"
    assert sent(wiremock) == 1
    row = await look(db, request.key)
    assert row.provider_id == "wm-7.abc"
    assert [one.text for one in row.decisions] == ["not sent again: the provider's log has it"]


@pytest.mark.parametrize(
    ("message_class", "outcome", "sends"), [("transactional", "done", 2), ("lifecycle", "failed", 1)]
)
async def test_when_nobody_can_tell_the_class_decides(
    wiremock: Judge,
    db: Database,
    transport: SendGrid,
    post: Post,
    ask: Ask,
    now: SetClock,
    message_class: str,
    outcome: str,
    sends: int,
) -> None:
    """The log is away, too."""
    answer(wiremock, UNKNOWN["reset"], TAKEN)
    request = ask(params={"template": "welcome", "class": message_class})
    patient = replace(post, reconcile_for=RECONCILE)
    found = await send_once(db, transport, request, patient, links=LINKS)
    while isinstance(found, Pending):
        assert sent(wiremock) == 1
        later(now, found)
        found = await send_once(db, transport, request, patient, links=LINKS)

    assert found.outcome == outcome
    assert sent(wiremock) == sends
    assert len((await look(db, request.key)).decisions) == 1
