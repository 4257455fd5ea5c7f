"""Asking another system to set something up, by signed webhook: provisioning, its undoing, and the
`webhook` kind.

Signed as Standard Webhooks says (https://www.standardwebhooks.com): `webhook-id` is the effect's key, the
same for every attempt, and `Idempotency-Key` is too; several secrets sign, so that they can be rotated. No
redirection is followed, and addresses inside (loopback, private, link-local) are refused unless settings
allow them, so that a journey file cannot reach inside. No body of an answer and no address goes into a
reason.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx

from firstmile.contracts import EffectRequest

LATER = timedelta(seconds=5)
"""When to ask again if the system does not say."""
LATEST = timedelta(hours=1)
MAX_ANSWER = 64_000
"""Bytes of an answer that are read; a longer one is not taken as a result."""

Answer = Literal["done", "open", "failed", "retry"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the system answered. `open`: it will call back. `retry`: ask again after `retry_in`, with the
    same key.

    `sent` is false only if the system surely was not asked.
    """

    answer: Answer
    reason: str | None = None
    result: dict[str, Any] | None = None
    retry_in: timedelta | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class System:
    """Another system: where it is called, and with which secrets (the first is the newest; all sign).

    A secret is 24 to 64 bytes in base64, with or without `whsec_`. Raises `ValueError`.
    """

    url: str
    secrets: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
            raise ValueError("a system's URL is like https://host/path, without a user or password")
        if not self.secrets:
            raise ValueError("a system needs a secret: its webhooks are signed")
        for secret in self.secrets:
            _secret(secret)


def _secret(text: str) -> bytes:
    try:
        found = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        found = b""
    if not 24 <= len(found) <= 64:
        raise ValueError("a webhook secret is 24 to 64 bytes in base64, as in 'whsec_…'")
    return found


def signature(secrets: Iterable[str], identity: str, moment: datetime, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret."""
    signed = f"{identity}.{int(moment.timestamp())}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(_secret(secret), signed, hashlib.sha256).digest()).decode()
        for secret in secrets
    )


def body_of(request: EffectRequest) -> bytes:
    """What the system is told. The key order and spacing are fixed: it is what was signed."""
    told = {
        "type": "undo" if request.purpose == "undo" else request.kind,
        "resource": request.resource,
        "subject": request.subject,
        "enrolment": request.enrolment,
        "segment": request.segment,
        "step": request.step,
        "system": request.params.get("system"),
        "with": request.params.get("with") or {},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


class Webhooks:
    """Calls systems by their names. One per process: it keeps connections. Use as an async context manager.

    `allow_private` lets calls reach addresses inside; the demo and tests need it.
    """

    def __init__(
        self,
        systems: Mapping[str, System],
        *,
        timeout: float = 8.0,
        allow_private: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._systems, self._timeout, self._now = dict(systems), timeout, now
        self._allow_private = allow_private
        # Settings of the environment (proxies, .netrc) must not send signed calls elsewhere.
        self._client = httpx.AsyncClient(
            timeout=timeout, follow_redirects=False, trust_env=False, headers={"User-Agent": "firstmile"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def systems(self) -> list[str]:
        """The names of the systems that can be called."""
        return sorted(self._systems)

    async def call(self, request: EffectRequest) -> Outcome:
        """Make the call of an effect of kind `provision` or `webhook`, once. Asking again needs no care:
        the system knows the key. Raises nothing."""
        name = str(request.params.get("system"))
        system = self._systems.get(name)
        if system is None:
            return Outcome("failed", f"no system '{name}' is configured (FIRSTMILE_SYSTEMS)", sent=False)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._call(name, system, request)
        except TimeoutError:
            return Outcome("retry", f"system '{name}' did not answer in time", retry_in=LATER)
        except httpx.ConnectError as error:
            words = "its certificate is not valid" if _certificate(error) else "it cannot be connected to"
            return Outcome("retry", f"system '{name}': {words}", retry_in=LATER, sent=False)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Outcome("retry", f"system '{name}': {type(error).__name__}", retry_in=LATER)

    async def _call(self, name: str, system: System, request: EffectRequest) -> Outcome:
        target = await self._target(system.url)
        if isinstance(target, str):
            return Outcome("failed", f"system '{name}': {target}", sent=False)
        url, extensions, host = target
        body, moment = body_of(request), self._now()
        headers = {
            "Content-Type": "application/json",
            "Host": host,
            "Idempotency-Key": request.key,
            "webhook-id": request.key,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature(system.secrets, request.key, moment, body),
        }
        call = self._client.stream("POST", url, content=body, headers=headers, extensions=extensions)
        async with call as response:
            answer = await _read(response) if response.is_success else None
            return self._sorted(name, response, answer)

    def _sorted(self, name: str, response: httpx.Response, body: bytes | None) -> Outcome:
        status = response.status_code
        reason = f"system '{name}' answered {status}"
        if status == 202:
            return Outcome("open")
        if response.is_success:
            return Outcome("done", result=_result(body))
        if status in (429, 503):
            return Outcome("retry", reason, retry_in=self._retry_after(response.headers.get("Retry-After")))
        if status >= 500 or status == 408:
            return Outcome("retry", reason, retry_in=LATER)
        if response.has_redirect_location:
            return Outcome("failed", f"{reason}: redirections are not followed")
        return Outcome("failed", reason)

    def _retry_after(self, text: str | None) -> timedelta:
        """RFC 9110 §10.2.3: seconds, or a date."""
        if text is None:
            return LATER
        try:
            if re.fullmatch(r"\d{1,9}", text.strip()):
                wait = timedelta(seconds=int(text))
            else:
                wait = parsedate_to_datetime(text) - self._now()
        except (ValueError, TypeError):
            return LATER
        return min(max(wait, timedelta(seconds=1)), LATEST)

    async def _target(self, url: str) -> tuple[httpx.URL, dict[str, Any], str] | str:
        """Where to connect: the address that was looked at, so that a name cannot change in between (DNS
        rebinding); the name stays in the Host header and in TLS. Or the reason not to."""
        parts = httpx.URL(url)
        host = parts.netloc.decode("ascii")
        if self._allow_private:
            return parts, {}, host
        loop = asyncio.get_running_loop()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = await loop.getaddrinfo(parts.host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpx.ConnectError("name not resolved") from error
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses or not all(_outside(address) for address in addresses):
            return "its address is a private one, which settings do not allow"
        pinned = addresses[0]
        there = f"[{pinned}]" if pinned.version == 6 else str(pinned)
        return parts.copy_with(host=there), {"sni_hostname": parts.host}, host


def _outside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is not None:
            return _outside(embedded)
    return address.is_global and not address.is_multicast


def _certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def _read(response: httpx.Response) -> bytes | None:
    chunks: list[bytes] = []
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        if sum(map(len, chunks)) > MAX_ANSWER:
            return None
    return b"".join(chunks)


def _result(body: bytes | None) -> dict[str, Any] | None:
    """A JSON object is the effect's result; anything else is none, also what no other program could read."""
    try:
        found = json.loads(body or b"")
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


__all__: Sequence[str] = ["Outcome", "System", "Webhooks", "body_of", "signature"]
