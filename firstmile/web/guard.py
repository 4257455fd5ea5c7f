"""Who may call the API, and how large a body may be.

One key, compared in constant time. Without a key configured, only this machine is answered: by a loopback
address and a loopback name (a page elsewhere cannot make a browser say both), and not through a proxy.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from typing import Any

from fastapi import Request

from firstmile import bodies
from firstmile.settings import Settings
from firstmile.web.problems import Refused

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


def key_required(settings: Settings) -> Callable[[Request], None]:
    """The dependency of every call of the API."""

    def check(request: Request) -> None:
        if settings.api_key is None:
            if not _is_this_machine(request):
                raise Refused(
                    403,
                    "forbidden",
                    "no API key is configured (FIRSTMILE_API_KEY), so only this machine is answered",
                )
        elif not _has_key(request, settings.api_key.get_secret_value()):
            raise Refused(
                401,
                "unauthorized",
                "send the API key as `Authorization: Bearer …`",
                {"WWW-Authenticate": "Bearer"},
            )

    return check


def key_or_inside(settings: Settings) -> Callable[[Request], None]:
    """The dependency of the metrics: whoever has the key, or scrapes from inside."""
    with_key = key_required(settings)

    def check(request: Request) -> None:
        if not _is_inside(request):
            with_key(request)

    return check


async def body_of(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes."""
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Refused(413, "too-large", f"a body has at most {limit} bytes here")
        chunks.append(chunk)
    return b"".join(chunks)


async def json_of(request: Request, limit: int) -> Any:
    """The body as strict JSON."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in JSON_TYPES:
        raise Refused(415, "unsupported-media-type", "send JSON, with `Content-Type: application/json`")
    return bodies.parse(await body_of(request, limit))


def _has_key(request: Request, key: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Digests, so that the time taken does not even tell the length.
    same = hmac.compare_digest(_digest(given.strip()), _digest(key))
    return scheme.lower() == "bearer" and same


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
