"""The stand-in for SendGrid tells what became of messages as SendGrid does: signed, again, twice, in any
order."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI, Request, Response
from sendgrid.helpers.eventwebhook import EventWebhook

from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.sendgrid_webhook import SIGNATURE, TIMESTAMP, SigningKey, Subscriber
from firstmile.standins.serving import serve_in_thread
from tests.standins.test_sendgrid_standin import KEY as API_KEY
from tests.standins.test_sendgrid_standin import body, person

KEY = SigningKey.make()


class Listener:
    """A webhook that verifies as SendGrid's library does, and keeps what it was told."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.refuse = 0
        self._changed = threading.Condition()
        self.app = FastAPI()
        self.app.post("/")(self._take)

    async def _take(self, request: Request) -> Response:
        raw = (await request.body()).decode()
        signature, timestamp = request.headers[SIGNATURE], request.headers[TIMESTAMP]
        assert EventWebhook(KEY.public).verify_signature(raw, signature, timestamp)
        with self._changed:
            if self.refuse:
                self.refuse -= 1
                return Response(status_code=503)
            self.requests.append(json.loads(raw))
            self._changed.notify_all()
        return Response()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for request in self.requests for event in request]

    def wait(self, number: int) -> list[dict[str, Any]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= number, timeout=10), self.events
            return self.events


@pytest.fixture(scope="module")
def _told() -> Iterator[tuple[Listener, httpx.Client]]:
    listener = Listener()
    with serve_in_thread(listener.app) as there:
        app = sendgrid_standin(subscriber=Subscriber(f"{there.url}/", KEY))
        with serve_in_thread(app) as place, httpx.Client(base_url=place.url, trust_env=False) as client:
            yield listener, client
        app.state.teller.close()


@pytest.fixture
def told(_told: tuple[Listener, httpx.Client]) -> tuple[Listener, httpx.Client]:
    """Who listens, having heard nothing yet; and a client of the stand-in."""
    _told[0].requests.clear()
    return _told


def send(client: httpx.Client, address: str) -> None:
    people = person(to=[{"email": address}], custom_args={"fm_key": "k", "fm_step": "hello"})
    assert client.post("/v3/mail/send", json=body(personalizations=people), headers=API_KEY).is_success


@pytest.mark.parametrize(
    ("address", "events"),
    [
        ("ann@x.example", ["processed", "delivered"]),
        ("bounce@x.example", ["processed", "bounce"]),
        ("bounce+7@x.example", ["processed", "bounce"]),
        ("bouncer@x.example", ["processed", "delivered"]),
        ("blocked@x.example", ["processed", "bounce"]),
        ("dropped@x.example", ["dropped"]),
        ("deferred@x.example", ["processed", "deferred", "delivered"]),
        ("spam@x.example", ["processed", "delivered", "spamreport"]),
    ],
)
def test_what_becomes_of_a_message_follows_from_its_address(
    told: tuple[Listener, httpx.Client], address: str, events: list[str]
) -> None:
    listener, client = told
    send(client, address)
    found = listener.wait(len(events))

    assert [event["event"] for event in found] == events
    assert {(event["fm_key"], event["fm_step"], event["email"]) for event in found} == {
        ("k", "hello", address)
    }
    assert len({event["sg_event_id"] for event in found}) == len(events)


def test_a_message_that_somebody_looks_at_was_opened(told: tuple[Listener, httpx.Client]) -> None:
    listener, client = told
    send(client, "ann@x.example")
    listener.wait(2)
    number = client.get("/_standin/newest").json()["newest"]
    client.get(f"/messages/{number}/html")

    assert listener.wait(3)[2]["event"] == "open"


def test_a_request_that_is_refused_comes_again(told: tuple[Listener, httpx.Client]) -> None:
    listener, client = told
    listener.refuse = 2
    send(client, "ann@x.example")

    assert [event["event"] for event in listener.wait(2)] == ["processed", "delivered"]


def test_told_to_it_tells_events_twice_and_in_another_order(told: tuple[Listener, httpx.Client]) -> None:
    listener, client = told
    faults = [{"kind": "duplicate", "on": "events"}, {"kind": "shuffle", "on": "events"}]
    client.post("/_standin/faults", json=faults)
    send(client, "deferred@x.example")
    found = listener.wait(6)

    assert sorted(event["event"] for event in found) == sorted(2 * ["processed", "deferred", "delivered"])
    assert len({event["sg_event_id"] for event in found}) == 3
    assert len(listener.requests) == 6
    assert client.get("/_standin/faults").json() == []


@pytest.mark.parametrize("fault", [{"kind": "duplicate"}, {"kind": "hang", "on": "events"}])
def test_a_fault_that_fits_nothing_is_refused(
    told: tuple[Listener, httpx.Client], fault: dict[str, str]
) -> None:
    _, client = told
    assert client.post("/_standin/faults", json=fault).status_code == 422


def test_a_process_of_its_own_prints_the_key_to_verify_with() -> None:
    command = [sys.executable, "-m", "firstmile.standins.sendgrid", "--events-to", "http://127.0.0.1:9/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name, _, key = process.stdout.readline().strip().partition("=")
        process.terminate()

    assert name == "FIRSTMILE_SENDGRID_WEBHOOK_KEYS"
    assert EventWebhook(key).public_key is not None


def test_a_key_is_read_as_it_was_written() -> None:
    der = rsa_key(65_537, 2_048).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    rsa = base64.b64encode(der).decode()

    assert SigningKey.read(KEY.text).public == KEY.public
    with pytest.raises(ValueError, match="not the private key"):
        SigningKey.read(rsa)
