"""SendGrid's Event Webhook: whether a request is SendGrid's, and what its events say. Pure.

A request is signed with ECDSA on P-256 over its timestamp and its raw body; its age is ours to check. Source:
Event Webhook reference and its security features (https://www.twilio.com/docs/sendgrid/for-developers/
tracking-events/event, …/getting-started-event-webhook-security-features). Custom arguments come back as
fields of the event. Delayed bounces may lack the message's id, some bounces their status, and any event may
come twice or in any order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from firstmile.bodies import NotJson
from firstmile.errors import BatchRefused, SignatureRefused
from firstmile.mail.delivery import KEY_NAME, EventName, Told, scrubbed, scrubbed_path
from firstmile.setting_values import verification_key
from firstmile.store.suppressions import Reason

SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"

EVENTS: Final[Mapping[str, EventName]] = {
    "processed": "processed",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
    "blocked": "blocked",
    "dropped": "dropped",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "resubscribed",
    "open": "opened",
    "click": "clicked",
}
"""SendGrid's events by their names; a `bounce` whose `type` is `blocked` is one of its own."""

DROPPED_FOR: Final[Mapping[str, Reason]] = {
    "bounced address": "bounced",
    "invalid": "invalid",
    "spam reporting address": "complained",
    "unsubscribed address": "unsubscribed",
}
"""Reasons for which SendGrid drops a message because of its address; other reasons lie in the message."""

_KEPT: Final = ("type", "status", "attempt", "bounce_classification", "sg_message_id", "asm_group_id")
_IDENTITY: Final = ("sg_message_id", "email", "event", "timestamp", "url", "url_offset", "attempt", "type")
_ID = re.compile(r"[!-~]{1,200}")
_KEY = re.compile(r"[!-~]{1,64}")
_PLAIN = re.compile(r"[\w .:/+-]{1,200}")


class Signatures:
    """Knows SendGrid's signature. `keys` are public keys as SendGrid shows them: one, or during a rotation
    several. Raises `ValueError` for one that is none."""

    def __init__(self, keys: Sequence[str], tolerance: timedelta) -> None:
        self._keys = [verification_key(key) for key in keys]
        self._tolerance = tolerance

    def verify(self, raw: bytes, signature: str | None, timestamp: str | None, now: datetime) -> None:
        """Return if the request is SendGrid's, and not old. Raises `SignatureRefused`."""
        if not signature or not timestamp:
            raise SignatureRefused(f"the request is not signed: {SIGNATURE} and {TIMESTAMP} are needed")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise SignatureRefused(f"{TIMESTAMP} is not a number of seconds")
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            raise SignatureRefused(f"{SIGNATURE} is not base64") from None
        if abs(now.timestamp() - int(timestamp)) > self._tolerance.total_seconds():
            raise SignatureRefused(
                f"{TIMESTAMP} is more than {self._tolerance.total_seconds():g} seconds from now: "
                "too old a request, or a clock that is wrong"
            )
        signed = timestamp.encode() + raw
        if not any(_verifies(key, given, signed) for key in self._keys):
            raise SignatureRefused(
                "no key of FIRSTMILE_SENDGRID_WEBHOOK_KEYS made this signature for this body"
            )


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def read(raw: bytes, now: datetime, is_signed_link: Callable[[str], bool]) -> list[Told]:
    """The events of a request's body. `is_signed_link` knows links of ours that open somebody's page.

    An element that is no event as we know them is read as `unknown`. Raises `NotJson` and `BatchRefused`.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise NotJson("the body cannot be read as JSON") from None
    if not isinstance(found, list):
        raise BatchRefused("a list of events was expected, as in [{…}, {…}]")
    return [_told(one if isinstance(one, dict) else {"": one}, now, is_signed_link) for one in found]


def _told(one: dict[str, Any], now: datetime, is_signed_link: Callable[[str], bool]) -> Told:
    said = one.get("event")
    event = EVENTS.get(said, "unknown") if isinstance(said, str) else "unknown"
    if event == "bounced" and one.get("type") == "blocked":
        event = "blocked"
    address = one.get("email") if isinstance(one.get("email"), str) else None
    words = one.get("reason") or one.get("response")
    reason = scrubbed(words, address) or None if isinstance(words, str) else None
    dropped_for = (
        DROPPED_FOR.get(words.strip().lower()) if event == "dropped" and isinstance(words, str) else None
    )
    # SendGrid's answer to sending (X-Message-Id) is what stands before the first dot.
    message_id = str(one.get("sg_message_id") or "").partition(".")[0]
    link = _link(one.get("url"), is_signed_link) if event == "clicked" else None
    detail = {name: value for name in _KEPT if (value := _plain(one.get(name))) is not None}
    detail |= {"reason": reason} if reason else {}
    detail |= {"dropped_for": dropped_for} if dropped_for else {}
    detail |= {"link": link} if link else {}
    detail |= {"machine": True} if one.get("sg_machine_open") is True else {}
    detail |= {"said": name} if event == "unknown" and (name := _plain(said)) is not None else {}
    return Told(
        id=_id(one, event),
        event=event,
        at=_moment(one.get("timestamp"), now),
        key=_key(one),
        reason=reason if event != "delivered" else None,
        provider_id=message_id if _ID.fullmatch(message_id) else None,
        dropped_for=dropped_for,
        link=link,
        detail=detail,
    )


def _id(one: Mapping[str, Any], event: EventName) -> str:
    """SendGrid's id of an event; where it has none, what makes it this event and no other."""
    given = one.get("sg_event_id")
    if isinstance(given, str) and _ID.fullmatch(given):
        return given
    known = {name: one.get(name) for name in _IDENTITY} | {"key": _key(one), "id": given}
    text = json.dumps(one if event == "unknown" else known, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _key(one: Mapping[str, Any]) -> str | None:
    """Our key: a field of the event, or, as in older events, one of its unique arguments."""
    for place in (one, one.get("unique_args"), one.get("custom_args")):
        key = place.get(KEY_NAME) if isinstance(place, dict) else None
        if isinstance(key, str) and _KEY.fullmatch(key):
            return key
    return None


def _moment(timestamp: object, now: datetime) -> datetime:
    """When it happened, as SendGrid says; now, where it says nothing that can be."""
    try:
        found = datetime.fromtimestamp(float(timestamp), UTC)  # type: ignore[arg-type]  # refused below
    except (TypeError, ValueError, OverflowError, OSError):
        return now
    return found if 2000 <= found.year < 3000 else now


def _link(url: object, is_signed_link: Callable[[str], bool]) -> str | None:
    """The host and path of a link. Of a link that opens somebody's page, nothing."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or host is None or is_signed_link(url):
        return None
    return f"{host}{scrubbed_path(parts.path)}"


def _plain(value: object) -> object:
    """A value that is safe to keep: a number, or a short word."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 2**53 else None
    text = str(value) if isinstance(value, str) else ""
    return text if _PLAIN.fullmatch(text) else None
