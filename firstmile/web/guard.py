"""Who may call the API, and how large a body may be.

Keys are in the store, each with its scopes; FIRSTMILE_API_KEY is one more that may do everything, to begin
with. While there is none at all, only this machine is answered: by a loopback address and a loopback name (a
page elsewhere cannot make a browser say both), and not through a proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fastapi import Request

from firstmile import bodies, callers
from firstmile.callers import Caller, Scope
from firstmile.errors import KeyRefused
from firstmile.service import Service
from firstmile.web import requests
from firstmile.web.problems import Refused

PATIENCE = 30.0
"""Seconds within which a body has to arrive."""

API = "api"
"""Who calls with FIRSTMILE_API_KEY, or from this machine without a key."""

JSON_TYPES = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}
)
_INSIDE = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
    )
]
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Door:
    """Who may come in, and for what."""

    def __init__(self, service: Service) -> None:
        self._keys = service.keys
        self._bootstrap = service.settings.api_key
        self._scopes: dict[object, Scope] = {}

    def scope_of(self, dependency: object) -> Scope | None:
        """The scope that a dependency made by `needs` asks for."""
        return self._scopes.get(dependency)

    def needs(self, scope: Scope) -> Callable[[Request], Awaitable[None]]:
        """The dependency of a call: a caller with this scope, who is from then on `callers.current()`."""

        async def check(request: Request) -> None:
            caller = await self._caller(request)
            if not caller.may(scope):
                held = ", ".join(sorted(caller.scopes)) or "none"
                raise Refused(
                    403, "scope-missing", f"this needs a key with the scope '{scope}'; this one has: {held}"
                )
            callers.enter(caller)

        self._scopes[check] = scope
        return check

    def inside_or(self, scope: Scope) -> Callable[[Request], Awaitable[None]]:
        """The dependency of the metrics: whoever has a key with this scope, or scrapes from inside."""
        with_key = self.needs(scope)

        async def check(request: Request) -> None:
            if not _is_inside(request):
                await with_key(request)

        return check

    async def _caller(self, request: Request) -> Caller:
        id = requests.id_of(request.scope)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = given.strip() if scheme.lower() == "bearer" else ""
        if token and self._bootstrap is not None and _same(token, self._bootstrap.get_secret_value()):
            return Caller(API, request=id)
        if token and (self._bootstrap is not None or await self._keys.exist()):
            address = request.client.host if request.client is not None else ""
            return replace(await self._keys.caller(token, address), request=id)
        if self._bootstrap is not None or await self._keys.exist():
            raise KeyRefused("send the API key as `Authorization: Bearer …`")
        if not _is_this_machine(request):
            raise Refused(
                403,
                "forbidden",
                "there is no API key yet (`firstmile key create`), so only this machine is answered",
            )
        return Caller(API, request=id)


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes."""
    size, chunks = 0, []
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise Refused(413, "too-large", f"a body has at most {limit} bytes here")
                chunks.append(chunk)
    except TimeoutError:
        raise Refused(
            408, "request-timeout", f"the body did not arrive within {PATIENCE:g} seconds"
        ) from None
    return b"".join(chunks)


async def json_of(request: Request, limit: int) -> Any:
    """The body as strict JSON."""
    if media_type(request) not in JSON_TYPES:
        raise Refused(415, "unsupported-media-type", "send JSON, with `Content-Type: application/json`")
    return bodies.parse(await body_of(request, limit))


async def json_or_nothing(request: Request, limit: int) -> Any:
    """The body as strict JSON; an empty object where there is none."""
    length = request.headers.get("content-length")
    if length not in (None, "0") or "transfer-encoding" in request.headers:
        return await json_of(request, limit)
    return {}


def _same(given: str, key: str) -> bool:
    # Digests, so that the time taken does not even tell the length.
    return hmac.compare_digest(_digest(given), _digest(key))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _is_this_machine(request: Request) -> bool:
    address = _address(request)
    name = (request.url.hostname or "").lower()
    return address is not None and address.is_loopback and name in _LOCAL_NAMES


def _is_inside(request: Request) -> bool:
    address = _address(request)
    return address is not None and any(address in network for network in _INSIDE)


def _address(request: Request) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The caller's own address; None if it came through a proxy, or cannot be told."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return None
    try:
        return ipaddress.ip_address(request.client.host)
    except ValueError:
        return None
