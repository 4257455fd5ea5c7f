"""Commands to many customers over HTTP: asking for one, looking at it, stopping it.

How many sign-ups come in one call is `bulk`'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from firstmile import callers
from firstmile.bodies import flaws as unstorable
from firstmile.errors import CommandMalformed, Flaw
from firstmile.journey.instants import parse_instant
from firstmile.journey.problems import unknown
from firstmile.service import Service
from firstmile.service.bulk import foresight_as_json, item_as_json, job_as_json
from firstmile.service.orders import Order
from firstmile.service.searching import Asked
from firstmile.store.bulk import ItemState
from firstmile.web import guard, schemas
from firstmile.web.api import command_request
from firstmile.web.guard import Door

MAX_BYTES = 4_000_000
"""A hundred thousand ids of ordinary length."""

_FIELDS = ("command", "arguments", "filter", "ids", "rate", "reason", "actor", "dry_run")
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "command": (str, "a text"),
    "arguments": (dict, "a JSON object"),
    "filter": (dict, "a JSON object"),
    "ids": (list, "a list"),
    "rate": ((int, float), "a number"),
    "reason": (str, "a text"),
    "actor": (str, "a text"),
    "dry_run": (bool, "true or false"),
}


def router(service: Service, door: Door) -> APIRouter:
    """The routes under `/v1/bulk`."""
    found = APIRouter(prefix="/v1/bulk")
    operate = [Depends(door.needs("operate"))]

    @found.post("", dependencies=operate, **schemas.BULK)
    async def ask(
        request: Request, idempotency_key: Annotated[str | None, Header(max_length=200)] = None
    ) -> Response:
        """Give a command to many customers, at a rate: those whom `filter` finds, or `ids`.

        The list is frozen at once. With `dry_run` nothing is done: the answer says how many it would reach,
        and what would change for the first of them.
        """
        order, dry_run = read(await guard.json_of(request, MAX_BYTES))
        if dry_run:
            return JSONResponse(foresight_as_json(await service.bulk.foresee(order)))
        job, fresh = await service.bulk.start(order, key=idempotency_key)
        return JSONResponse(job_as_json(job), 202 if fresh else 200, {"Location": f"/v1/bulk/{job.id}"})

    @found.get("", dependencies=operate, **schemas.BULK_JOBS)
    async def jobs(
        cursor: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Bulk jobs, the newest first."""
        page = await service.bulk.jobs(cursor=cursor, limit=limit)
        return JSONResponse({"jobs": [job_as_json(one) for one in page.jobs], "next": page.cursor})

    @found.get("/{id}", dependencies=operate, **schemas.BULK_JOB)
    async def job(id: str) -> Response:
        """One bulk job: how far it has got."""
        return JSONResponse(job_as_json(await service.bulk.get(id)))

    @found.get("/{id}/results", dependencies=operate, **schemas.BULK_RESULTS)
    async def results(
        id: str,
        state: Annotated[ItemState | None, Query()] = None,
        cursor: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """What became of each customer, in the order of the list."""
        page = await service.bulk.results(id, state=state, cursor=cursor, limit=limit)
        return JSONResponse({"results": [item_as_json(one) for one in page.items], "next": page.cursor})

    @found.post("/{id}/stop", dependencies=operate, **schemas.BULK_STOP)
    async def stop(id: str, request: Request) -> Response:
        """Begin no further customer. What was done stays done."""
        given = await guard.json_or_nothing(request, 16_000)
        by = command_request(given, callers.current())
        more = sorted(set(given) - {"actor", "reason"})
        if more:
            raise CommandMalformed([Flaw(name, unknown("field", name, ("actor", "reason"))) for name in more])
        return JSONResponse(
            job_as_json(await service.bulk.stop(id, actor=by.actor or guard.API, reason=by.reason))
        )

    return found


def read(body: object) -> tuple[Order, bool]:
    """An order, and whether it is only to be foreseen. Raises `CommandMalformed` with everything wrong."""
    if not isinstance(body, dict):
        raise CommandMalformed([Flaw("", "a JSON object was expected")])
    given = {name: value for name, value in body.items() if value is not None}
    found = list(unstorable({name: value for name, value in given.items() if name != "arguments"}))
    found += [Flaw(name, unknown("field", name, _FIELDS)) for name in given if name not in _FIELDS]
    for name, (kind, words) in _KINDS.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            found.append(Flaw(name, f"{words} was expected"))
            given[name] = None
        elif name in ("reason", "actor") and len(str(value)) > 2_000:
            found.append(Flaw(name, "a text has at most 2000 characters"))
    if given.get("command") is None and "command" not in {flaw.field for flaw in found}:
        found.append(Flaw("command", "it is missing: which command?"))
    filters, wrong = _filters(given.get("filter"))
    ids, wrong_ids = _ids(given.get("ids"))
    found += [*wrong, *wrong_ids]
    arguments = given.get("arguments") or {}
    found += [
        Flaw(f"arguments.{name}", f"say it beside `arguments`: `{name}`")
        for name in ("actor", "reason")
        if name in arguments
    ]
    said = {name: given.get(name) for name in ("actor", "reason")}
    try:
        request = command_request({**arguments, **said}, callers.current())
    except CommandMalformed as malformed:
        found += [
            flaw if flaw.field in said else Flaw(f"arguments.{flaw.field}", flaw.message)
            for flaw in malformed.flaws
        ]
        request = None
    if found or request is None:
        raise CommandMalformed(dict.fromkeys(found))
    rate = given.get("rate")
    order = Order(given["command"], request, filters, ids, None if rate is None else float(rate))
    return order, bool(given.get("dry_run"))


_FILTERS: dict[str, tuple[type, str]] = {
    **{one.name: (str, "a text of at most 200 characters") for one in fields(Asked)},
    "version": (int, "a whole number from 1"),
    "overdue": (bool, "true or false"),
    "since": (str, "an instant, as in 2026-03-06T03:00:00Z"),
}


def _filters(given: dict[str, Any] | None) -> tuple[Asked | None, list[Flaw]]:
    """What a search takes, as JSON."""
    if given is None:
        return None, []
    asked: dict[str, Any] = {}
    flaws = []
    for name, value in given.items():
        kind, words = _FILTERS.get(name, (str, ""))
        if name not in _FILTERS:
            flaws.append(Flaw(f"filter.{name}", unknown("filter", name, _FILTERS)))
        elif value is not None and not _fits(value, kind):
            flaws.append(Flaw(f"filter.{name}", f"{words} was expected"))
        elif value is not None:
            asked[name] = value
    try:
        if "since" in asked:
            asked["since"] = parse_instant(asked["since"])
    except ValueError as error:
        flaws.append(Flaw("filter.since", str(error)))
    return (None, flaws) if flaws else (Asked(**asked), [])


def _fits(value: object, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is int:
        return isinstance(value, int) and 1 <= value < 2**31
    return isinstance(value, str) and len(value) <= 200


def _ids(given: list[Any] | None) -> tuple[Sequence[str] | None, list[Flaw]]:
    if given is None:
        return None, []
    for place, one in enumerate(given):
        if not isinstance(one, str):
            return None, [Flaw(f"ids[{place}]", "an id was expected: a text of at most 200 characters")]
    return given, []
