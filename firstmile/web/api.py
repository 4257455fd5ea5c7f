"""The API: sign-ups, customers, commands and product events (DESIGN §4)."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from firstmile import bodies, callers, signup
from firstmile.callers import Caller, Scope
from firstmile.contracts import CommandRequest
from firstmile.errors import CommandMalformed, EventRefused, FirstmileError, Flaw, SearchRefused
from firstmile.journey.inputs import COMMANDS
from firstmile.journey.instants import parse_instant
from firstmile.journey.problems import unknown
from firstmile.service import Asked, Service, events
from firstmile.service.commanding import foreseen_as_json
from firstmile.service.searching import listed_as_json
from firstmile.service.standing import as_json, view_as_json
from firstmile.web import bulk, cloud_events, guard, problems, schemas
from firstmile.web.guard import Door

MAX_EVENTS = 1_000
MAX_EVENTS_BYTES = 2_000_000
MAX_COMMAND_BYTES = 64_000
_AT_ONCE = 16
"""Events of one call that are passed on at the same time."""


def router(service: Service, door: Door) -> APIRouter:
    """The routes of customers and events under `/v1`, each with the scope it needs."""
    found = APIRouter(prefix="/v1")

    def needs(scope: Scope) -> list[Any]:
        return [Depends(door.needs(scope))]

    @found.post("/onboardings", dependencies=needs("signup"), **schemas.SIGN_UP)
    async def sign_up(request: Request) -> Response:
        """Sign a customer up. The same body again gets the same answer; another under the same id, 409.

        As JSON Lines (`application/x-ndjson`), any number of them: each line is answered by one, and the last
        line of the answer counts them.
        """
        if guard.media_type(request) in bulk.JSON_LINES:
            return bulk.Answering(bulk.answers(service, request))
        body = cloud_events.structured(request.headers, await guard.json_of(request, signup.MAX_BYTES))
        enrolled = await service.enrol(body)
        status = 202 if enrolled.outcome == "started" else 200
        return JSONResponse(enrolled.response, status, {"Location": enrolled.response["status_url"]})

    @found.get("/onboardings", dependencies=needs("read"), **schemas.FIND)
    async def find(
        q: Annotated[str | None, Query(max_length=200, description=schemas.Q)] = None,
        segment: Annotated[str | None, Query(max_length=64)] = None,
        status: Annotated[str | None, Query(max_length=40)] = None,
        stage: Annotated[str | None, Query(max_length=200)] = None,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        owner: Annotated[str | None, Query(max_length=200, description="A person's id.")] = None,
        overdue: Annotated[bool, Query(description=schemas.OVERDUE)] = False,
        stuck: Annotated[str | None, Query(max_length=200, description="The step that has failed.")] = None,
        reason: Annotated[str | None, Query(max_length=200, description="A part of why it failed.")] = None,
        since: Annotated[str | None, Query(max_length=40, description="Enrolled then or later.")] = None,
        count: Annotated[bool, Query(description=schemas.COUNT)] = False,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Customers of whom all of this holds, newest enrolment first.

        `next` is the cursor of the next page, null on the last. A page may have fewer than `limit`, or none,
        though there is a next one: so far had been looked.
        """
        try:
            began = None if since is None else parse_instant(since)
        except ValueError as error:
            raise SearchRefused([Flaw("since", str(error))]) from None
        asked = Asked(q, segment, status, stage, version, owner, overdue, stuck, reason, began)
        page = await service.find(asked, cursor=cursor, limit=limit)
        listed = [listed_as_json(one) for one in page.customers]
        answer: dict[str, Any] = {"onboardings": listed, "next": page.cursor}
        if count:
            counted = await service.count(asked)
            answer |= {"count": counted.number, "or_more": counted.or_more}
        return JSONResponse(answer)

    @found.get("/onboardings/{id}", dependencies=needs("read"), **schemas.STATUS)
    async def status(id: str, live: bool = False) -> Response:
        """Where a customer stands: what was done, and what comes next, when and why.

        From the store, with its age; `live=true` adds the workflow's own answer.
        """
        shown = as_json(await service.status(id))
        if live:
            shown["live"] = view_as_json(await service.live(id))
        return JSONResponse(shown)

    @found.post("/onboardings/{id}/again", dependencies=needs("operate"), **schemas.AGAIN)
    async def again(id: str, request: Request, dry_run: bool = False) -> Response:
        """Onboard a customer a second time, once the first is finished: a new enrolment, numbered."""
        given, by = _split(await guard.json_or_nothing(request, MAX_COMMAND_BYTES))
        if dry_run:
            return _foreseen(id, "again", await service.foresee_again(id, given))
        enrolled = await service.again(id, given, actor=by.actor or guard.API, reason=by.reason)
        return JSONResponse(enrolled.response, 202 if enrolled.outcome == "started" else 200)

    @found.post("/onboardings/{id}/address", dependencies=needs("operate"), **schemas.ADDRESS)
    async def address(id: str, request: Request, dry_run: bool = False) -> Response:
        """Change a customer's address: messages sent from now on go there."""
        given, by = _split(await guard.json_of(request, MAX_COMMAND_BYTES))
        if dry_run:
            return _foreseen(id, "address", await service.foresee_address(id, given))
        changed = await service.address(id, given, actor=by.actor or guard.API, reason=by.reason)
        return JSONResponse({"id": id, "command": "address", "changed": changed})

    @found.post("/onboardings/{id}/{command}", dependencies=needs("operate"), **schemas.COMMAND)
    async def command(
        id: str,
        command: str,
        request: Request,
        dry_run: bool = False,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """Give an operator's command: 200 when it is done, 409 with the reason when it was rejected.

        With `dry_run` nothing is done: the answer says what would change.
        """
        name = command.replace("-", "_")
        if name not in COMMANDS:
            shown = [one.replace("_", "-") for one in COMMANDS]
            raise problems.Refused(404, "unknown-command", unknown("command", command, shown))
        given = await guard.json_or_nothing(request, MAX_COMMAND_BYTES)
        asked = command_request(given, callers.current())
        if dry_run:
            return JSONResponse(
                {"id": id, "command": name, **foreseen_as_json(await service.foresee(id, name, asked))}
            )
        done = await service.command(id, name, asked, key=idempotency_key)
        view = None if done.result is None else view_as_json(done.result.view)
        return JSONResponse({"id": id, "command": done.command, "view": view})

    @found.post("/events", dependencies=needs("events"), **schemas.EVENTS)
    async def post_events(request: Request) -> Response:
        """Pass on one product event, or a list of them; idempotent by `id`.

        An event alone gets 202 or an error. A list gets an outcome for each: 202 if all were taken, 422 if
        one is refused for good, 503 if one should be sent again; those that were taken may be sent again too.
        """
        body = cloud_events.structured(request.headers, await guard.json_of(request, MAX_EVENTS_BYTES))
        if not isinstance(body, list):
            event = events.read(body)
            return JSONResponse({"id": event.id, "outcome": await service.event(event)}, 202)
        if len(body) > MAX_EVENTS:
            raise EventRefused([Flaw("", f"a list has at most {MAX_EVENTS} events")])
        slots = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(_pass_on(service, one, slots) for one in body))
        worst = max((status for status, _ in found), default=202)
        headers = {"Retry-After": str(problems.RETRY_AFTER)} if worst >= 500 else None
        return JSONResponse({"events": [said for _, said in found]}, worst, headers)

    return found


def _foreseen(id: str, command: str, changes: list[str]) -> Response:
    return JSONResponse({"id": id, "command": command, "dry_run": True, "changes": changes, "starts": []})


def _split(body: object) -> tuple[dict[str, Any], CommandRequest]:
    """What a body says of the matter, and who asks why. Raises `CommandMalformed`."""
    if not isinstance(body, dict):
        raise CommandMalformed([Flaw("", "a JSON object was expected")])
    asked = {name: value for name, value in body.items() if name in ("actor", "reason")}
    return {name: value for name, value in body.items() if name not in asked}, command_request(
        asked, callers.current()
    )


async def _pass_on(service: Service, body: object, slots: asyncio.Semaphore) -> tuple[int, dict[str, Any]]:
    id = body.get("id") if isinstance(body, dict) else None
    try:
        event = events.read(body)
        async with slots:
            return 202, {"id": event.id, "outcome": await service.event(event)}
    except FirstmileError as error:
        kind, more = problems.of(error)
        said = problems.document(kind.status, kind.slug, kind.title, **more)
        outcome = "retry" if error.retryable else "refused"
        return kind.status, {"id": id if isinstance(id, str) else None, "outcome": outcome, "problem": said}


_KINDS: dict[str, tuple[type, str]] = {
    "actor": (str, "a text"),
    "reason": (str, "a text"),
    "step": (str, "a text"),
    "until": (str, "an instant, as in 2026-03-06T03:00:00Z"),
    "overdue": (str, "'shift', 'run' or 'skip'"),
    "undo": (bool, "true or false"),
    "traits": (dict, "a JSON object"),
    "owner": (str, "a text"),
    "answer": (str, "a text"),
}


def command_request(body: object, caller: Caller | None = None) -> CommandRequest:
    """A command's arguments. Raises `CommandMalformed` with everything that is wrong.

    Who gave it is the caller; a program with a key of its own may say for whom it does, which is added.
    """
    if not isinstance(body, dict):
        raise CommandMalformed([Flaw("", "a JSON object was expected")])
    given = {name: value for name, value in body.items() if value is not None}
    flaws = list(bodies.flaws(given))
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _KINDS:
            flaws.append(Flaw(name, unknown("field", name, _KINDS)))
            continue
        kind, words = _KINDS[name]
        if not isinstance(value, kind):
            flaws.append(Flaw(name, f"{words} was expected"))
        elif isinstance(value, str) and len(value) > 2_000:
            flaws.append(Flaw(name, "a text has at most 2000 characters"))
        elif name == "until":
            try:
                values[name] = parse_instant(str(value))
            except ValueError as error:
                flaws.append(Flaw(name, str(error)))
        else:
            values[name] = value
    if flaws:
        raise CommandMalformed(flaws)
    assert set(values) <= {field.name for field in fields(CommandRequest)}
    return CommandRequest(**{**values, "actor": actor_of(caller, values.get("actor"))})


def actor_of(caller: Caller | None, given: str | None) -> str:
    """Who the records name."""
    if caller is None or caller.key is None:
        return given or guard.API
    return f"{given} via {caller.actor}" if given else caller.actor
