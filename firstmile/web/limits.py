"""Back-pressure: more than can be done is refused at once, with when to try again, instead of falling over.

Two limits, both of this process: how many calls of the API are under way at a time, and how many a caller may
begin in a second (a bucket that fills at that rate and holds two seconds' worth). Customers' pages, webhooks
and operations are never refused here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from firstmile.web import problems

API = "/v1/"
BUCKETS = 10_000
"""How many callers are remembered; the one longest silent is forgotten first."""
BURST = 2.0


class Limited:
    """Lets through at most `at_once` calls at a time, and `per_second` of each caller (None: any number)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        at_once: int,
        per_second: float | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._at_once, self._per_second, self._monotonic = at_once, per_second, monotonic
        self._under_way = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._at_once:
            await _refuse(scope, receive, send, f"{self._at_once} calls are under way", 1)
            return
        wait = self._wait(_caller(scope))
        if wait > 0:
            words = f"a caller has {self._per_second:g} calls a second"
            await _refuse(scope, receive, send, words, max(round(wait + 0.5), 1))
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _wait(self, caller: str) -> float:
        """Take one call out of the caller's bucket. Returns how many seconds too early it comes; 0 if not."""
        if self._per_second is None:
            return 0.0
        now, most = self._monotonic(), max(self._per_second * BURST, 1.0)
        left, then = self._buckets.get(caller, (most, now))
        left = min(left + (now - then) * self._per_second, most)
        if left < 1:
            return (1 - left) / self._per_second
        self._buckets[caller] = left - 1, now
        self._buckets.move_to_end(caller)
        while len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0


def _caller(scope: Scope) -> str:
    """Whose bucket it is: that of a key's id, which is no secret, else that of an address."""
    given = Headers(scope=scope).get("authorization", "").partition(" ")[2].strip()
    if given.startswith("fm_"):
        return given[:15]
    client = scope.get("client")
    return client[0] if client else ""


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str, seconds: int) -> None:
    said = problems.response(
        429,
        "too-many-requests",
        "Too many calls at once",
        f"{why}: send it again in {seconds} seconds",
        {"Retry-After": str(seconds)},
    )
    await said(scope, receive, send)
