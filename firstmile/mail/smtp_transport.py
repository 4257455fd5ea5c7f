"""SMTP (RFC 5321), through aiosmtplib: the only module that imports it.

One conversation a message, on a connection of its own, in an event loop of the calling thread's own. What
goes wrong before DATA certainly sent nothing; from DATA on, only the server's last word tells whether it took
the message (RFC 5321, section 4.2.5; RFC 1047 says what comes of guessing). SMTP has no log that could be
asked afterwards, and no keys: what is unknown is decided by the class of the message (DESIGN §3). Bounces come
back by mail to the sender, and are not read here.

The library hangs texts of the server on its exceptions, which may quote addresses: they never leave here.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import aiosmtplib

from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Message
from firstmile.mail.mime import Unwritable, ascii_address, message_id, mime_of
from firstmile.mail.transport import Receipt, Sighting, Trace, Unknown
from firstmile.setting_values import is_loopback

Security = Literal["tls", "starttls", "none"]
Verdict = Literal["permanent", "later", "unknown"]

PORTS = {"tls": 465, "starttls": 587, "none": 25}
"""Where a server listens if nothing else is said (RFC 8314, section 3)."""
LATER = timedelta(minutes=1)
"""When to try again if there was no conversation."""
AFTER_REPLY = timedelta(minutes=5)
"""When to try again if the server said "not now": grey lists mostly open after as long (RFC 6647, 2.5)."""
FAREWELL = 1.0
"""Seconds for QUIT: the message is the server's by then."""

# The error table. Replies, by their first digit (RFC 5321, section 4.2.1), wherever in the conversation: also
# to DATA and to the message, where they say that it was not taken. Any other word is no answer.
REPLIES: dict[int, Verdict] = {
    4: "later",  # transient: "the action may be requested again"
    5: "permanent",  # "SHOULD NOT repeat the exact request"; 535: wrong password (RFC 4954): alert
}
# Whatever else goes wrong: before DATA nothing was sent, from DATA on nobody knows.
BEFORE_DATA: Verdict = "later"
FROM_DATA_ON: Verdict = "unknown"
FAILURES: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (socket.gaierror, "the server's name cannot be resolved"),
    (ssl.SSLCertVerificationError, "the server's certificate is not valid"),
    (ssl.SSLError, "no TLS with the server"),
    (TimeoutError, "no answer in time"),
    (ConnectionError, "the connection broke"),
    (OSError, "the network failed"),
    (aiosmtplib.SMTPException, "the server does not speak as it should"),
)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")
_QUEUED = re.compile(r"queued as ([\w.-]{1,100})", re.ASCII)


class _NoLogin(Exception):
    """The server offers no way of signing in that we know."""


class _NoTls(Exception):
    """The server does not offer STARTTLS."""


@dataclass(slots=True)
class _Progress:
    """How far a conversation came."""

    at: str = "the connection"
    data: bool = False
    """DATA has been written, or part of it."""
    taken: str | None = None
    """The server's last word, if it took the message."""


_Deliver = Callable[[aiosmtplib.SMTP, _Progress], Awaitable[None]]


@dataclass(slots=True)
class SMTP:
    """Sends by an SMTP server. Raises `ValueError` for settings that cannot work.

    `timeout` is for the whole conversation, in seconds. `security`: TLS from the start, STARTTLS (and nothing
    without it), or none: then nobody but this machine may listen, or nothing may reach people.
    `reaches_people`: False only for a server that keeps what it gets, as those for development do. `trust`
    says which certificates are believed; by default, the system's (`SSL_CERT_FILE` names others).
    """

    host: str
    port: int | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    security: Security = "tls"
    timeout: float = 10.0
    reaches_people: bool = True
    trust: ssl.SSLContext | None = field(default=None, repr=False)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    name: str = field(default="smtp", init=False, repr=False)
    idempotent: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.:-]+", self.host):
            raise ValueError("the SMTP host must be a name or an address, without a port or a scheme")
        if bool(self.username) != bool(self.password):
            raise ValueError("an SMTP user name and a password come together, or not at all")
        if self.security == "none" and not is_loopback(self.host) and self.reaches_people:
            raise ValueError("SMTP without TLS is for this machine, or for a server that reaches nobody")
        if not 0 < self.timeout <= 60:
            raise ValueError("the SMTP time-out must lie between 0 and 60 seconds")
        if self.security != "none" and self.trust is None:
            self.trust = ssl.create_default_context()

    def send(self, message: Message) -> Receipt:
        """Send one message, to all its recipients or to none. Raises `Rejected`, `TryLater` or
        `OutcomeUnknown`."""
        try:
            octets = mime_of(message, self.now())
            sender = ascii_address(message.sender)
            recipients = [ascii_address(one) for one in message.recipients]
        except Unwritable as error:
            problem = str(error)
        else:

            async def deliver(client: aiosmtplib.SMTP, progress: _Progress) -> None:
                await _deliver(client, progress, sender, recipients, octets)

            answer = self._conversed(deliver)
            if isinstance(answer, TransportError):
                raise answer
            queued = _QUEUED.search(answer)
            return Receipt(queued[1] if queued else message_id(message.key, message.sender)[1:-1])
        raise Rejected(f"SMTP: {problem}")

    def find(self, trace: Trace) -> Sighting:
        """SMTP has nothing that could be asked."""
        return Unknown("SMTP keeps no log that could be asked")

    def check(self) -> None:
        """Connect and sign in, and send nothing. Raises `TransportError`; `Rejected` for a wrong password."""
        answer = self._conversed(None)
        if isinstance(answer, TransportError):
            raise answer

    # ---- the conversation ----

    def _conversed(self, deliver: _Deliver | None) -> str | TransportError:
        """Have a conversation, and sort what goes wrong: returned, not raised, so that no other exception
        hangs on it."""
        progress = _Progress()
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._converse(deliver, progress))
        except Exception as error:
            if progress.taken is None:
                return self._sorted(error, progress)
        finally:
            # Not `asyncio.run`: that waits for a look-up in DNS, however long it takes.
            loop.close()
        return progress.taken or ""

    async def _converse(self, deliver: _Deliver | None, progress: _Progress) -> None:
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port or PORTS[self.security],
            timeout=self.timeout,
            use_tls=self.security == "tls",
            start_tls=False,
            tls_context=self.trust,
            local_hostname=_own_name(),
        )
        try:
            async with asyncio.timeout(self.timeout):
                await client.connect()
                progress.at = "EHLO"
                await client.ehlo()
                if self.security == "starttls":
                    progress.at = "STARTTLS"
                    if not client.supports_extension("starttls"):
                        raise _NoTls
                    await client.starttls()
                    await client.ehlo()
                if self.username and self.password:
                    progress.at = "AUTH"
                    if not client.supported_auth_methods:
                        raise _NoLogin
                    await client.login(self.username, self.password)
                if deliver is not None:
                    await deliver(client, progress)
                with suppress(Exception):
                    await client.quit(timeout=FAREWELL)
        finally:
            transport = client.transport
            client.close()
            if isinstance(transport, asyncio.WriteTransport):
                # Not the slow way, with a last word in TLS: the conversation is over.
                transport.abort()
                await asyncio.sleep(0)

    # ---- errors ----

    def _sorted(self, error: Exception, progress: _Progress) -> TransportError:
        refused = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
        if isinstance(refused, aiosmtplib.SMTPResponseException) and refused.code // 100 in REPLIES:
            return self._refusal(refused, progress)
        if isinstance(error, _NoLogin):
            return Rejected("SMTP: the server offers no way of signing in that we know")
        reason = f"SMTP: {self._words(error)}, at {progress.at}"
        verdict = FROM_DATA_ON if progress.data else BEFORE_DATA
        return OutcomeUnknown(reason) if verdict == "unknown" else TryLater(reason, self.now() + LATER)

    def _refusal(self, refused: aiosmtplib.SMTPResponseException, progress: _Progress) -> TransportError:
        enhanced = _ENHANCED.match(refused.message)
        more = f" ({enhanced[0]})" if enhanced else ""
        reason = f"SMTP: the server answered {refused.code}{more} to {progress.at}"
        if REPLIES[refused.code // 100] == "permanent":
            return Rejected(reason, status=refused.code)
        return TryLater(reason, self.now() + AFTER_REPLY, status=refused.code)

    def _words(self, error: BaseException) -> str:
        if isinstance(error, _NoTls):
            return "the server does not offer STARTTLS"
        # The library wraps the network's errors.
        causes = [error.__cause__, error] if isinstance(error, aiosmtplib.SMTPConnectError) else [error]
        for cause in causes:
            for kind, words in FAILURES:
                if isinstance(cause, kind):
                    return words
        return type(error).__name__


async def _deliver(
    client: aiosmtplib.SMTP, progress: _Progress, sender: str, recipients: list[str], octets: bytes
) -> None:
    progress.at = "MAIL"
    # RFC 1870: a server that says how much it takes is told how much comes.
    await client.mail(sender, options=[f"SIZE={len(octets)}"] if client.supports_extension("size") else [])
    progress.at = "RCPT"
    for recipient in recipients:
        # The first that is refused ends it: nothing goes to some, with nobody having decided it.
        await client.rcpt(recipient)
    progress.at, progress.data = "DATA", True
    progress.taken = (await client.data(octets)).message


def _own_name() -> str:
    """What we call ourselves: a full name if this machine has one, else an address (RFC 5321, 4.1.3).

    Not `getfqdn`: that asks DNS, for as long as it takes.
    """
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"
