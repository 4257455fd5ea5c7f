"""SendGrid's Event Webhook, the sending side: what becomes of a message that was taken, told in signed
requests.

What becomes of it follows from the name before the `@`, so that a test or a person can choose: `bounce`,
`blocked`, `dropped`, `deferred` and `spam` (with anything after `+`); everybody else gets their message. A
request that is not answered with 2xx is sent again, as SendGrid does, with pauses that grow.
"""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from firstmile.standins.faults import Faults

SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"
GATHER: Final = 0.05
"""Seconds for which events are gathered before they are told."""
LONGEST_PAUSE: Final = 5.0
BATCH: Final = 1_000

_Event = dict[str, Any]

_COURSES: Final[dict[str, tuple[_Event, ...]]] = {
    "bounce": (
        {"event": "processed"},
        {
            "event": "bounce",
            "type": "bounce",
            "status": "5.1.1",
            "reason": "550 5.1.1 <{email}>: no such user here",
            "bounce_classification": "Invalid Address",
        },
    ),
    "blocked": (
        {"event": "processed"},
        {
            "event": "bounce",
            "type": "blocked",
            "status": "5.7.1",
            "reason": "550 5.7.1 message refused",
            "bounce_classification": "Content",
        },
    ),
    "dropped": ({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},),
    "deferred": (
        {"event": "processed"},
        {"event": "deferred", "attempt": "1", "response": "450 4.2.1 try again later"},
        {"event": "delivered", "response": "250 OK"},
    ),
    "spam": (
        {"event": "processed"},
        {"event": "delivered", "response": "250 OK"},
        {"event": "spamreport"},
    ),
}
_DELIVERED: Final[tuple[_Event, ...]] = (
    {"event": "processed"},
    {"event": "delivered", "response": "250 OK"},
)


class SigningKey:
    """The key that requests are signed with. `public` is what SendGrid would show to be copied."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public: Final = base64.b64encode(spki).decode()

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, text: str) -> Self:
        """The one that `text` wrote. Raises `ValueError`."""
        private = load_der_private_key(base64.b64decode(text, validate=True), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("not the private key of an elliptic curve")
        return cls(private)

    @property
    def text(self) -> str:
        """The private key, to be read by another process."""
        der = self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return base64.b64encode(der).decode()

    def headers(self, raw: bytes, at: float | None = None) -> dict[str, str]:
        """The headers of a request with this body, signed at a moment (seconds; now, unless given)."""
        timestamp = str(int(time.time() if at is None else at))
        signature = self._private.sign(timestamp.encode() + raw, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            SIGNATURE: base64.b64encode(signature).decode(),
            TIMESTAMP: timestamp,
        }


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who is told: the address of a webhook, and the key that requests to it are signed with."""

    url: str
    key: SigningKey


def course(message_id: str, body: dict[str, Any], at: float) -> Iterator[_Event]:
    """What becomes of a message that was taken at a moment: its events, for each personalization."""
    for position, person in enumerate(body["personalizations"]):
        everyone = [*person["to"], *person.get("cc", []), *person.get("bcc", [])]
        for place, recipient in enumerate(everyone):
            email = recipient["email"]
            name = re.match(r"([a-z]+)(?:\+[^@]*)?@", email.lower())
            events = _COURSES.get(name.group(1), _DELIVERED) if name else _DELIVERED
            for number, event in enumerate(events):
                identity = f"{message_id}.recvd-stand-in-{position}"
                yield _event(event, identity, body, person, email, at + number, f"{place}-{number}")


def opening(identity: str, body: dict[str, Any], at: float) -> _Event:
    """The first recipient of a letter opened it."""
    person = body["personalizations"][0]
    email = person["to"][0]["email"]
    event = {"event": "open", "useragent": "stand-in", "ip": "127.0.0.1", "sg_machine_open": False}
    return _event(event, identity, body, person, email, at, f"open-{at:.3f}")


def _event(
    event: _Event,
    identity: str,
    body: dict[str, Any],
    person: dict[str, Any],
    email: str,
    at: float,
    number: str,
) -> _Event:
    told = {
        name: value.format(email=email) if isinstance(value, str) else value for name, value in event.items()
    }
    text = f"{identity}-{number}"
    return {
        "email": email,
        "timestamp": int(at),
        "sg_message_id": identity,
        "sg_event_id": base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:24]).decode(),
        "smtp-id": f"<{identity}@stand-in>",
        "category": body.get("categories", []),
        **(person.get("custom_args") or body.get("custom_args") or {}),
        **told,
    }


class Teller:
    """Tells a subscriber of events, from a thread of its own. Faults: `duplicate` and `shuffle`."""

    def __init__(
        self, subscriber: Subscriber, faults: Faults, pause: Callable[[int], float] | None = None
    ) -> None:
        self._subscriber, self._faults = subscriber, faults
        self._pause = pause or (lambda attempt: min(0.1 * 2**attempt, LONGEST_PAUSE))
        self._waiting: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._over = threading.Event()
        self._chance = random.Random(0)
        self._thread = threading.Thread(target=self._run, name="event-webhook", daemon=True)
        self._thread.start()

    def tell(self, *events: _Event) -> None:
        """Tell of these, soon."""
        for event in events:
            self._waiting.put(event)

    def close(self) -> None:
        """Tell nothing more."""
        self._over.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            while not self._over.is_set():
                for batch in self._batches(self._gathered()):
                    self._post(client, batch)

    def _gathered(self) -> list[_Event]:
        found: list[_Event] = []
        while len(found) < BATCH:
            try:
                found.append(self._waiting.get(timeout=GATHER))
            except queue.Empty:
                break
        return found

    def _batches(self, events: list[_Event]) -> Sequence[list[_Event]]:
        if not events:
            return []
        addresses = [event["email"] for event in events]
        batches = [events]
        if self._faults.take("events", *addresses, kind="shuffle"):
            self._chance.shuffle(events)
            # One request each: what happened later may be told earlier.
            batches = [[event] for event in events]
        if self._faults.take("events", *addresses, kind="duplicate"):
            batches = [*batches, *batches]
        return batches

    def _post(self, client: httpx.Client, events: list[_Event]) -> None:
        raw, attempt = json.dumps(events).encode(), 0
        while not self._over.is_set():
            try:
                url, key = self._subscriber.url, self._subscriber.key
                if client.post(url, content=raw, headers=key.headers(raw)).is_success:
                    return
            except httpx.TransportError:
                pass
            self._over.wait(self._pause(attempt))
            attempt += 1
