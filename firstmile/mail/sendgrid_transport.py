"""SendGrid, through its own library: the only module that imports it.

What the library does by itself would hurt here, so it is told otherwise (FACTS.md, "SendGrid"): it has no
time-out, keeps headers of one call for all later ones, writes the API key to its log at DEBUG, takes a
missing key from the environment or sends `Bearer None`, and lets the network's own exceptions through.

Sources: Mail Send API (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send), its errors
(…/mail-send/errors), rate limits (…/how-to-use-the-sendgrid-v3-api/rate-limits), Email Logs API
(…/api-reference/email-logs; `tsg_logs_v3.json` in github.com/twilio/sendgrid-oai).
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message as Headers
from typing import Any, Literal
from urllib.error import URLError
from urllib.parse import urlsplit

import sendgrid
from python_http_client.exceptions import HTTPError

from firstmile.mail.delivery import KEY_NAME
from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Address, Message
from firstmile.mail.transport import Absent, Found, Receipt, Sighting, Trace, Unknown

HOST = "https://api.sendgrid.com"
MAX_CATEGORIES = 10
LATER = timedelta(seconds=60)
"""When to try again if the provider does not say."""
LATEST = timedelta(hours=1)
"""Never wait longer than this for what a header said."""
LOG_LIMIT = 1000
"""The most that a search of the log returns; there are no further pages."""
LOG_SKEW = timedelta(minutes=5)
"""How far SendGrid's clock and ours may lie apart."""

_IDENTITY = re.compile(r"[\w.-]+")

Verdict = Literal["permanent", "later", "unknown"]

# The error table. What stands in none of its rows is `unknown`: nothing is sent again blindly.
STATUSES: Mapping[int, Verdict] = {
    400: "permanent",  # bad request; Mail Send API, "errors"
    401: "permanent",  # no or wrong key: alert
    403: "permanent",  # the key may not send, or the sender is not verified: alert
    404: "permanent",
    405: "permanent",
    406: "permanent",  # missing Accept
    413: "permanent",  # over 30 MB
    415: "permanent",
    429: "later",  # rate limit; X-RateLimit-Reset says until when. The request was not carried out
}
FAILURES: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    # Before anything was written to the provider. urllib wraps what happens until the request is out
    # (URLError).
    (ConnectionRefusedError, "later", "connection refused"),
    (socket.gaierror, "later", "the provider's name cannot be resolved"),
    (ssl.SSLCertVerificationError, "later", "the provider's certificate is not valid"),
    # The request may be out, in part or whole.
    (TimeoutError, "unknown", "no answer in time"),
    (ConnectionError, "unknown", "the connection broke"),
    (http.client.HTTPException, "unknown", "the answer broke off"),
    (OSError, "unknown", "the network failed"),
)


class _OnlyWarnings(logging.Filter):
    """The library logs the Authorization header at DEBUG: those records never pass, whatever level is set."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


def _pin_loggers() -> None:
    for name in ("python_http_client", "python_http_client.client"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(known, _OnlyWarnings) for known in logger.filters):
            logger.addFilter(_OnlyWarnings())


_pin_loggers()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes


class SendGrid:
    """Sends by SendGrid. Raises `ValueError` for settings that cannot work; the message never shows the key.

    `settles_after` is how long SendGrid's log may lag behind what it took: only after that is a message
    that is not in the log counted as absent. `reaches_people` is known from the host (a loopback address is
    a stand-in); give it only where a stand-in runs on another machine.
    """

    name = "sendgrid"

    def __init__(
        self,
        api_key: str,
        *,
        host: str = HOST,
        timeout: float = 8.0,
        settles_after: timedelta = timedelta(minutes=5),
        reaches_people: bool | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not api_key:
            raise ValueError("SendGrid needs an API key (SENDGRID_API_KEY)")
        if not re.fullmatch(r"[!-~]+", api_key):
            raise ValueError("the SendGrid API key contains a blank or a character that no key has")
        parts = urlsplit(host)
        if (
            parts.scheme not in ("https", "http")
            or not parts.hostname
            or parts.path.strip("/")
            or parts.query
        ):
            raise ValueError(f"the SendGrid host must be like {HOST}, without a path")
        if parts.scheme == "http" and not _loopback(parts.hostname) and reaches_people is not False:
            raise ValueError("a key goes out by https only: plain http is for stand-ins")
        if not 0 < timeout <= 60:
            raise ValueError("the SendGrid time-out must lie between 0 and 60 seconds")
        self.reaches_people = not _loopback(parts.hostname) if reaches_people is None else reaches_people
        # The time-out holds for each read and write: connecting, writing and reading are a few of them.
        self.timeout = 3 * timeout
        self._api_key, self._host, self._read_timeout = api_key, host.rstrip("/"), timeout
        self._settles_after, self._now = settles_after, now
        self._of_thread = threading.local()

    def __repr__(self) -> str:
        return f"SendGrid(host={self._host!r})"

    # ---- sending ----

    def send(self, message: Message) -> Receipt:
        """Send one message. Raises `Rejected`, `TryLater` or `OutcomeUnknown`."""
        answer = self._call(lambda client: client.mail.send.post(request_body=body_of(message)))
        if isinstance(answer, TransportError):
            raise answer
        if answer.status != 202:
            # 200 is sandbox mode: taken, and thrown away. Anything else was not sent by SendGrid.
            raise OutcomeUnknown(f"SendGrid answered {answer.status} instead of 202", status=answer.status)
        return Receipt(answer.headers.get("X-Message-Id") or None)

    # ---- looking in the log ----

    def find(self, trace: Trace) -> Sighting:
        """Search the log by recipient and time, then look for our key in each message found.

        Custom arguments come back only in the detail of a message, and cannot be searched for.
        """
        entries: list[Any] = []
        for query in _queries(trace):
            found = self._read(_search(query))
            if isinstance(found, Unknown):
                return found
            messages = found.get("messages")
            if not isinstance(messages, list):
                return Unknown("SendGrid's log answered something else than messages")
            if len(messages) >= LOG_LIMIT:
                return Unknown("SendGrid's log has more messages from that time than it shows")
            entries += messages
        unread = 0
        for entry in entries:
            identity = str(entry.get("sg_message_id", "")) if isinstance(entry, dict) else ""
            detail = self._read(_detail(identity)) if _IDENTITY.fullmatch(identity) else None
            if not isinstance(detail, dict):
                unread += 1
            elif (detail.get("custom_args") or {}).get(KEY_NAME) == trace.key:
                # In the log, a message's id is the X-Message-Id and what SendGrid adds after a dot.
                return Found(identity)
        if unread:
            return Unknown(f"{unread} messages in SendGrid's log could not be read")
        if self._now() - trace.until < self._settles_after:
            return Unknown("SendGrid's log may not have it yet")
        return Absent()

    def _read(self, call: Callable[[Any], Any]) -> dict[str, Any] | Unknown:
        answer = self._call(call)
        if isinstance(answer, TransportError):
            return Unknown(f"SendGrid's log: {answer.reason}")
        try:
            found = json.loads(answer.body)
        except ValueError:
            return Unknown("SendGrid's log did not answer with JSON")
        if answer.status != 200 or not isinstance(found, dict):
            return Unknown(f"SendGrid's log answered {answer.status}")
        return found

    # ---- the client ----

    def _client(self) -> Any:
        """A client of this thread's own, with its headers as at the beginning: it keeps those of earlier
        calls."""
        api = getattr(self._of_thread, "api", None)
        if api is None:
            api = sendgrid.SendGridAPIClient(self._api_key, host=self._host)
            api.client.timeout = self._read_timeout
            self._of_thread.api = api
        api.reset_request_headers()
        return api.client

    def _call(self, call: Callable[[Any], Any]) -> _Answer | TransportError:
        """Make a call and sort what goes wrong: returned, not raised, so that no other exception hangs on
        it."""
        try:
            response = call(self._client())
            return _Answer(int(response.status_code), response.headers, response.body)
        except HTTPError as error:
            return self._refusal(int(error.status_code), error.headers, error.body)
        except Exception as error:
            return self._failure(error)

    def _refusal(self, status: int, headers: Headers | None, body: bytes) -> TransportError:
        verdict = STATUSES.get(status, "unknown")
        reason = f"SendGrid answered {status}"
        if verdict == "permanent":
            return Rejected(reason + _fields(body), status=status)
        if verdict == "later":
            return TryLater(reason, self._reset(headers), status=status)
        return OutcomeUnknown(reason, status=status)

    def _failure(self, error: BaseException) -> TransportError:
        before_writing = isinstance(error, URLError)
        cause = error.reason if isinstance(error, URLError) else error
        for kind, verdict, words in FAILURES:
            if isinstance(cause, kind):
                reason = f"SendGrid: {words}"
                if verdict == "later" and before_writing:
                    return TryLater(reason, self._now() + LATER)
                return OutcomeUnknown(reason)
        return OutcomeUnknown(f"SendGrid: {type(cause).__name__}")

    def _reset(self, headers: Headers | None) -> datetime:
        now = self._now()
        try:
            until = datetime.fromtimestamp(float((headers or Headers())["X-RateLimit-Reset"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return now + LATER
        return min(max(until, now + timedelta(seconds=1)), now + LATEST)


def body_of(message: Message) -> dict[str, Any]:
    """The body of `POST /v3/mail/send`. One personalization: everyone in it sees the same message."""
    personalization: dict[str, Any] = {
        "to": [_address(address) for address in message.to],
        "custom_args": {**dict(message.notes), KEY_NAME: message.key},
    }
    others = {address.email.casefold() for address in message.to}
    if cc := [_address(address) for address in message.cc if address.email.casefold() not in others]:
        personalization["cc"] = cc
    body: dict[str, Any] = {
        "personalizations": [personalization],
        "from": _address(message.sender),
        "subject": message.subject,
        # Plain text first: SendGrid wants the parts in the order of RFC 2046, the richest last.
        "content": [
            {"type": "text/plain", "value": message.text},
            {"type": "text/html", "value": message.html},
        ],
        "tracking_settings": {
            "click_tracking": {"enable": message.track_clicks, "enable_text": False},
            "subscription_tracking": {"enable": False},
        },
    }
    if message.reply_to:
        body["reply_to"] = _address(message.reply_to)
    if message.headers:
        body["headers"] = dict(message.headers)
    if message.categories:
        body["categories"] = list(dict.fromkeys(message.categories))[:MAX_CATEGORIES]
    if message.attachments:
        body["attachments"] = [
            {
                "content": base64.b64encode(item.content).decode(),
                "type": item.type,
                "filename": item.name,
                "disposition": "attachment",
            }
            for item in message.attachments
        ]
    return body


def _address(address: Address) -> dict[str, str]:
    return {"email": address.email} | ({"name": address.name} if address.name else {})


def _fields(body: bytes) -> str:
    """Which fields were refused. Their names only: the message beside a name may quote an address."""
    try:
        fields = [str(error.get("field") or "") for error in json.loads(body)["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    named = sorted({field for field in fields if re.fullmatch(r"[a-z_][a-z0-9_.\[\]-]{0,80}", field)})
    return f" ({', '.join(named)})" if named else ""


def _queries(trace: Trace) -> list[str]:
    """Searches of the log that must find the message if it is there. Searching is case-sensitive, and which
    case the log keeps is not documented; nor is how to quote a quote: such an address is not searched by.
    Not by subject either: what is encoded differently in the log would look absent, and be sent twice."""
    since, until = _timestamp(trace.since - LOG_SKEW), _timestamp(trace.until + LOG_SKEW)
    time = (
        f'sg_message_id_created_at >= TIMESTAMP "{since}" AND sg_message_id_created_at <= TIMESTAMP "{until}"'
    )
    if not re.fullmatch(r"[\w.!#$%&*+/=?^`{|}~@-]+", trace.recipient):
        return [time]
    spellings = dict.fromkeys((trace.recipient, trace.recipient.lower()))
    return [f"to_email = '{spelling}' AND {time}" for spelling in spellings]


def _search(query: str) -> Callable[[Any], Any]:
    return lambda client: client.logs.post(request_body={"query": query, "limit": LOG_LIMIT})


def _detail(identity: str) -> Callable[[Any], Any]:
    return lambda client: client.logs._(identity).get()


def _timestamp(moment: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment.astimezone(UTC).timetuple())


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
