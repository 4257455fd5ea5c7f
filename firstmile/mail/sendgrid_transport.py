"""SendGrid, through its own library: the only module that imports it.

What the library does by itself would hurt here, so it is told otherwise (FACTS.md, "SendGrid"): it has no
time-out, keeps headers of one call for all later ones, writes the API key to its log at DEBUG, takes a
missing key from the environment or sends `Bearer None`, and lets the network's own exceptions through.

Sources: Mail Send API (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send), its errors
(…/mail-send/errors), rate limits (…/how-to-use-the-sendgrid-v3-api/rate-limits), scopes of a key
(…/api-reference/api-key-permissions), Email Logs API (…/api-reference/email-logs; `tsg_logs_v3.json` in
github.com/twilio/sendgrid-oai).
"""

from __future__ import annotations

import http.client
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
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.error import URLError
from urllib.parse import urlsplit

import sendgrid
from python_http_client.exceptions import HTTPError

from firstmile.mail.delivery import KEY_NAME
from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Message
from firstmile.mail.sendgrid_body import body_of
from firstmile.mail.transport import Absent, Found, Receipt, Sighting, Trace, Unknown
from firstmile.setting_values import (
    EU_HOST,
    HOST,
    is_loopback,
    sendgrid_host_problem,
    sendgrid_key_problem,
)

SCOPE = "mail.send"
"""What a key must be allowed."""
MAX_CATEGORIES = 10
LATER = timedelta(seconds=60)
"""When to try again if the provider does not say."""
LATEST = timedelta(hours=1)
"""Never wait longer than this for what a header said."""
LOG_LIMIT = 1000
"""The most that a search of the log returns; there are no further pages."""
MOST_UNREAD = 3
"""After so many messages that the log does not show, no more are asked for."""
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
    429: "later",  # rate limit: not carried out. X-RateLimit-Reset or Retry-After (RFC 9110) says until when
}
TAKEN = 202
TAKEN_BY_SANDBOX = 200
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

    `timeout` is for one read or write, in seconds. `settles_after` is how long SendGrid's log may lag behind
    what it took: only after that is a message that is not in the log counted as absent. `sandbox`: SendGrid
    checks messages and throws them away. `reaches_people` is known from that and from the host (a loopback
    address is a stand-in); give it only where a stand-in runs on another machine.
    """

    name = "sendgrid"
    idempotent = False

    def __init__(
        self,
        api_key: str,
        *,
        host: str = HOST,
        timeout: float = 8.0,
        settles_after: timedelta = timedelta(minutes=5),
        sandbox: bool = False,
        reaches_people: bool | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        for problem in (
            sendgrid_key_problem(api_key),
            sendgrid_host_problem(host, reaches_people is not False),
        ):
            if problem:
                raise ValueError(problem)
        if not 0 < timeout <= 60:
            raise ValueError("the SendGrid time-out must lie between 0 and 60 seconds")
        people = not sandbox and not is_loopback(urlsplit(host).hostname or "")
        self.reaches_people = people if reaches_people is None else reaches_people
        # The time-out holds for each read and write: connecting, writing and reading are a few of them.
        self.timeout = 3 * timeout
        self._api_key, self._host, self._read_timeout = api_key, host.rstrip("/"), timeout
        self._settles_after, self._sandbox, self._now = settles_after, sandbox, now
        self._of_thread = threading.local()

    def __repr__(self) -> str:
        return f"SendGrid(host={self._host!r})"

    # ---- sending ----

    def send(self, message: Message) -> Receipt:
        """Send one message. Raises `Rejected`, `TryLater` or `OutcomeUnknown`."""
        body = body_of(message, sandbox=self._sandbox)
        answer = self._call(lambda client: client.mail.send.post(request_body=body))
        if isinstance(answer, TransportError):
            raise answer
        if answer.status not in ((TAKEN, TAKEN_BY_SANDBOX) if self._sandbox else (TAKEN,)):
            reason = f"SendGrid answered {answer.status} instead of {TAKEN}"
            raise OutcomeUnknown(reason, status=answer.status)
        return Receipt(answer.headers.get("X-Message-Id") or None)

    # ---- asking whether we may ----

    def check(self) -> None:
        """Ask SendGrid what the key may do. Raises `Rejected` if it may not send, and another
        `TransportError` if that cannot be told now."""
        answer = self._call(lambda client: client.scopes.get())
        if isinstance(answer, TransportError):
            if answer.status in (401, 403):
                other = EU_HOST if self._host != EU_HOST else HOST
                raise Rejected(
                    f"SendGrid refused the API key ({answer.status}): it is wrong, was deleted, or belongs to "
                    f"{other}",
                    status=answer.status,
                )
            # A proxy may know nothing but sending: that it answers otherwise proves nothing.
            raise OutcomeUnknown(answer.reason, status=answer.status)
        try:
            scopes = json.loads(answer.body)["scopes"]
        except (ValueError, KeyError, TypeError):
            scopes = None
        if not isinstance(scopes, list):
            raise OutcomeUnknown("SendGrid did not say what the API key may do")
        if SCOPE not in scopes:
            raise Rejected(f"the SendGrid API key may not send: give it the permission {SCOPE}")

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
        unread, enough = 0, time.monotonic() + self.timeout
        for entry in entries:
            if unread >= MOST_UNREAD or time.monotonic() > enough:
                # It cannot be proven absent any more; and whoever asked has gone, or the log has limits.
                return Unknown("SendGrid's log has more messages from that time than could be read")
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
        """When to try again: what a header says, within reason."""
        now = self._now()
        said = [*_epoch(headers, "X-RateLimit-Reset"), *_retry_after(headers, now)]
        until = max(said, default=now + LATER)
        return min(max(until, now + timedelta(seconds=1)), now + LATEST)


def _epoch(headers: Headers | None, name: str) -> list[datetime]:
    try:
        return [datetime.fromtimestamp(float((headers or Headers())[name]), UTC)]
    except (TypeError, ValueError, OverflowError, OSError):
        return []


def _retry_after(headers: Headers | None, now: datetime) -> list[datetime]:
    """Seconds or a date (RFC 9110, section 10.2.3)."""
    said = (headers or Headers())["Retry-After"]
    if said is None:
        return []
    try:
        return [now + timedelta(seconds=int(said))]
    except (ValueError, OverflowError):
        pass
    try:
        return [parsedate_to_datetime(said).astimezone(UTC)]
    except ValueError:
        return []


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
