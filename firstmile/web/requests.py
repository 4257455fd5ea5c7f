"""Every request has an id: the caller's own, if it sends a proper one, else one of ours; the answer names it.

It is written into the audit and the logs, so that a question about one call finds everything it did.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
_KEY = "firstmile.request"
_PROPER = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Numbered:
    """Gives each request its id, and says it in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        id = given if _PROPER.fullmatch(given) else secrets.token_hex(16)
        scope[_KEY] = id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = id
            await send(message)

        await self._app(scope, receive, named)


def id_of(scope: Any) -> str:
    """The id of a request, from its scope."""
    return str(scope.get(_KEY) or secrets.token_hex(16))
