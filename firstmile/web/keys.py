"""Keys, holds and the audit over HTTP: what operators and admins need beside customers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from firstmile import callers
from firstmile.callers import Caller
from firstmile.errors import CommandMalformed, Flaw
from firstmile.journey.durations import DurationError, parse_duration
from firstmile.journey.instants import parse_instant, to_datetime
from firstmile.journey.problems import unknown
from firstmile.service import Service
from firstmile.service.auditing import deed_as_json
from firstmile.service.holding import hold_as_json
from firstmile.service.keys import key_as_json
from firstmile.web import guard, problems, schemas
from firstmile.web.api import actor_of
from firstmile.web.guard import Door

MAX_BYTES = 16_000


def router(service: Service, door: Door) -> APIRouter:
    """The routes `/v1/keys`, `/v1/holds` and `/v1/audit`."""
    found = APIRouter(prefix="/v1")
    admin, operate, read = ([Depends(door.needs(scope))] for scope in ("admin", "operate", "read"))

    @found.get("/keys", dependencies=admin, **schemas.KEYS)
    async def keys() -> Response:
        """Every API key, without its secret."""
        now = service.now()
        return JSONResponse({"keys": [key_as_json(key, now) for key in await service.keys.all()]})

    @found.post("/keys", dependencies=admin, **schemas.NEW_KEY)
    async def create(request: Request) -> Response:
        """Make a key. Its `token` is shown this once."""
        given = _object(
            await guard.json_of(request, MAX_BYTES),
            {"name": str, "role": str, "scopes": list, "expires_in": str},
        )
        key, token = await service.keys.create(
            given.get("name", ""),
            by=_caller(),
            role=given.get("role"),
            scopes=[str(one) for one in given.get("scopes", ())],
            expires_in=_length(given, "expires_in"),
        )
        return JSONResponse({**key_as_json(key, service.now()), "token": token}, 201)

    @found.post("/keys/{id}/rotate", dependencies=admin, **schemas.ROTATED)
    async def rotate(id: str, request: Request) -> Response:
        """Give a key another secret; the former one opens for `grace`, a day unless given."""
        given = _object(await guard.json_or_nothing(request, MAX_BYTES), {"grace": str})
        grace = _length(given, "grace")
        token = await service.keys.rotate(id, by=_caller(), **({} if grace is None else {"grace": grace}))
        return JSONResponse({"id": id, "token": token})

    @found.post("/keys/{id}/revoke", dependencies=admin, **schemas.REVOKED)
    async def revoke(id: str, request: Request) -> Response:
        """Let a key open nothing any more: everywhere within seconds."""
        given = _object(await guard.json_or_nothing(request, MAX_BYTES), {"reason": str})
        await service.keys.revoke(id, by=_caller(), reason=given.get("reason"))
        return JSONResponse({"id": id, "state": "revoked"})

    @found.get("/holds", dependencies=read, **schemas.HOLDS)
    async def holds() -> Response:
        """The holds in force."""
        return JSONResponse({"holds": [hold_as_json(one) for one in await service.holds()]})

    @found.post("/holds", dependencies=operate, **schemas.HOLD)
    async def hold(request: Request) -> Response:
        """Let messages wait, at once: `everything`, or those of a `segment`, a `template` or a `customer`."""
        given = _object(
            await guard.json_of(request, MAX_BYTES),
            {"scope": str, "value": str, "reason": str, "until": str, "actor": str},
        )
        until = _instant(given, "until")
        held = await service.hold(
            given.get("scope", ""),
            given.get("value"),
            reason=given.get("reason", ""),
            actor=actor_of(_caller(), given.get("actor")),
            until=None if until is None else to_datetime(until),
        )
        doubt = await service.hold_doubt(held.scope, held.value)
        return JSONResponse({**hold_as_json(held), **({"doubt": doubt} if doubt else {})}, 201)

    @found.post("/holds/release", dependencies=operate, **schemas.RELEASE)
    async def release(request: Request) -> Response:
        """Let messages go out again, by and by: each at a moment of its own within `ramp`."""
        given = _object(
            await guard.json_of(request, MAX_BYTES),
            {"scope": str, "value": str, "reason": str, "actor": str, "ramp": str},
        )
        released = await service.release(
            given.get("scope", ""),
            given.get("value"),
            actor=actor_of(_caller(), given.get("actor")),
            reason=given.get("reason"),
            ramp=_length(given, "ramp"),
        )
        return JSONResponse({"released": released})

    @found.get("/audit", dependencies=read, **schemas.AUDIT)
    async def audit(
        subject: Annotated[str | None, Query(max_length=200)] = None,
        actor: Annotated[str | None, Query(max_length=200)] = None,
        action: Annotated[str | None, Query(max_length=40)] = None,
        since: Annotated[str | None, Query(max_length=40)] = None,
        cursor: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Who did what, the newest first."""
        try:
            moment = None if since is None else to_datetime(parse_instant(since))
        except ValueError as error:
            raise problems.Refused(422, "bad-parameter", f"since: {error}") from None
        page = await service.auditing.read(
            subject=subject, actor=actor, action=action, since=moment, cursor=cursor, limit=limit
        )
        deeds = [deed_as_json(number, deed) for number, deed in page.deeds]
        return JSONResponse({"deeds": deeds, "next": page.cursor})

    return found


def _caller() -> Caller:
    caller = callers.current()
    assert caller is not None
    return caller


_WORDS: dict[type, str] = {str: "a text", list: "a list"}


def _object(body: object, kinds: dict[str, type]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise CommandMalformed([Flaw("", "a JSON object was expected")])
    flaws, given = [], {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name not in kinds:
            flaws.append(Flaw(name, unknown("field", name, kinds)))
        elif not isinstance(value, kinds[name]):
            flaws.append(Flaw(name, f"{_WORDS[kinds[name]]} was expected"))
        elif isinstance(value, str) and len(value) > 2_000:
            flaws.append(Flaw(name, "a text has at most 2000 characters"))
    if flaws:
        raise CommandMalformed(flaws)
    return given


def _length(given: dict[str, Any], name: str) -> timedelta | None:
    """A length of time without a calendar: a day is 24 hours here."""
    if name not in given:
        return None
    try:
        found = parse_duration(given[name])
    except DurationError as error:
        raise CommandMalformed([Flaw(name, str(error))]) from None
    if found.business:
        raise CommandMalformed([Flaw(name, "business days mean nothing here: write days or hours")])
    return timedelta(days=found.days, microseconds=found.elapsed)


def _instant(given: dict[str, Any], name: str) -> int | None:
    if name not in given:
        return None
    try:
        return parse_instant(given[name])
    except ValueError as error:
        raise CommandMalformed([Flaw(name, str(error))]) from None
