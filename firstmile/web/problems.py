"""Errors as RFC 9457 problem documents: a stable `type`, what was wrong, and what to do.

One table sorts every error of the service; what is in none of its rows is ours, and says nothing of itself.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstmile import errors
from firstmile.bodies import NotJson

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 5
"""Seconds after which a caller may try again what can be tried again."""

_logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is refused before the service hears of it."""

    def __init__(self, status: int, slug: str, detail: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.slug, self.detail, self.headers = status, slug, detail, headers or {}
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Kind:
    """What an error becomes: `slug` ends its `type`, for programs; `title` is for people."""

    status: int
    slug: str
    title: str


KINDS: dict[type[Exception], Kind] = {
    NotJson: Kind(400, "not-json", "The body is not JSON"),
    errors.BatchRefused: Kind(400, "not-a-list", "The body is not a list"),
    errors.SignatureRefused: Kind(401, "signature-refused", "The signature was refused"),
    errors.UnknownCustomer: Kind(404, "unknown-customer", "There is no such customer"),
    errors.UnknownJob: Kind(404, "unknown-job", "There is no such bulk job"),
    errors.JobDiffers: Kind(409, "job-differs", "This key asked for another job"),
    errors.SignUpDiffers: Kind(409, "sign-up-differs", "This id signed up with another body"),
    errors.CommandRejected: Kind(409, "command-rejected", "The command was rejected"),
    errors.JourneyOver: Kind(409, "journey-over", "The journey has ended"),
    errors.SignUpRefused: Kind(422, "sign-up-refused", "The sign-up was refused"),
    errors.EventRefused: Kind(422, "event-refused", "The event was refused"),
    errors.SearchRefused: Kind(422, "bad-parameter", "A parameter cannot be read"),
    errors.CommandMalformed: Kind(422, "command-malformed", "The command was refused"),
    errors.KeyRefused: Kind(401, "unauthorized", "A key is needed"),
    errors.TooManyAttempts: Kind(429, "too-many-attempts", "Too many wrong keys"),
    errors.TemporalAway: Kind(503, "temporal-away", "Temporal does not answer"),
    errors.StoreAway: Kind(503, "store-away", "The store does not answer"),
    errors.WebhookClosed: Kind(503, "webhook-closed", "This webhook is not set up"),
    errors.NotConfirmed: Kind(504, "not-confirmed", "Nobody has confirmed the command"),
}
_TITLES = {
    "unauthorized": "A key is needed",
    "forbidden": "Not from there",
    "scope-missing": "The key may not do this",
    "too-large": "The body is too large",
    "request-timeout": "The body took too long",
    "unsupported-media-type": "Another kind of body is needed",
    "bad-parameter": "A parameter cannot be read",
}


def document(status: int, slug: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """A problem document."""
    return {
        "type": f"urn:firstmile:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }


def response(
    status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem document as an answer."""
    body = document(status, slug, title, detail, **more)
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def of(error: errors.FirstmileError | NotJson) -> tuple[Kind, dict[str, Any]]:
    """The kind of an error, and what its document says beyond it."""
    kind = next(found for cls, found in KINDS.items() if isinstance(error, cls))
    flaws = getattr(error, "flaws", None)
    if flaws is None:
        return kind, {"detail": str(error)}
    listed = [{"field": flaw.field, "message": flaw.message} for flaw in flaws]
    return kind, {"detail": "; ".join(str(flaw) for flaw in flaws), "errors": listed}


class Safeguard:
    """The last stop of an error that nobody expected: the caller gets a problem document, the log the place.

    Not what the error says: that may hold what was sent, or what a statement wrote.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            route = getattr(scope.get("route"), "path", "?")
            frames = "".join(traceback.format_tb(error.__traceback__)[-6:])
            _logger.error("%s %s: %s\n%s", scope["method"], route, type(error).__name__, frames)
            if begun:
                raise ConnectionAbortedError("the answer broke off") from None
            said = response(500, "our-fault", "Something went wrong here", "It was logged; try again later")
            await said(scope, receive, send)


def install(app: FastAPI) -> None:
    """Let every error of this application leave as a problem document."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.FirstmileError | NotJson)
        if not any(isinstance(error, cls) for cls in KINDS):
            raise error
        kind, more = of(error)
        retryable = isinstance(error, errors.FirstmileError) and error.retryable
        headers = {"Retry-After": str(getattr(error, "retry_after", RETRY_AFTER))} if retryable else {}
        if kind.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return response(kind.status, kind.slug, kind.title, headers=headers, **more)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        title = _TITLES.get(error.slug, HTTPStatus(error.status).phrase)
        return response(error.status, error.slug, title, error.detail, error.headers)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        listed = [
            {"field": ".".join(str(part) for part in one["loc"][1:]), "message": one["msg"]}
            for one in error.errors()
        ]
        detail = "; ".join(f"{one['field']}: {one['message']}" for one in listed)
        return response(422, "bad-parameter", _TITLES["bad-parameter"], detail, errors=listed)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        slug = phrase.lower().replace(" ", "-")
        headers = dict(error.headers or {})
        return response(error.status_code, slug, phrase, f"{phrase}: {request.url.path}", headers)

    app.add_exception_handler(errors.FirstmileError, known)
    app.add_exception_handler(NotJson, known)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(HTTPException, plain)
    app.add_middleware(Safeguard)
