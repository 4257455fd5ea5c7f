"""What `/openapi.json` says about bodies and answers that the routes read and write by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from firstmile.callers import ROLES, SCOPES, Scope
from firstmile.journey.inputs import COMMANDS
from firstmile.service.bulk import MAX_IDS
from firstmile.service.searching import Asked
from firstmile.signup import SignUp
from firstmile.store.bulk import RESULTS
from firstmile.store.finding import COUNTED
from firstmile.store.holds import SCOPES as HOLD_SCOPES
from firstmile.web.problems import MEDIA_TYPE

_JSON = "application/json"
_COMMAND_PATH = "/v1/onboardings/{id}/{command}"
_INSTANT = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_MAYBE_TEXT = {"type": ["string", "null"]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def problem(description: str) -> dict[str, Any]:
    """An answer that is a problem document."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}


REFUSED: dict[int | str, Any] = {
    401: problem("No key, or a wrong one"),
    403: problem("The key has not the scope for this, or there is none and the call comes from elsewhere"),
    429: problem("Too many calls, or too many wrong keys: wait for `Retry-After`"),
}
_ALWAYS: dict[int | str, Any] = {
    **REFUSED,
    422: problem("Something that was given cannot be taken"),
    503: problem("Temporal or the store is away: try again"),
}
_BODY: dict[int | str, Any] = {
    400: problem("The body is not JSON"),
    408: problem("The body took too long"),
    413: problem("The body is too large"),
    415: problem("The body is of another kind"),
}


def _route(
    answers: dict[int | str, Any],
    body: dict[str, Any] | None = None,
    *,
    required: bool = True,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"response_model": None, "responses": {**_ALWAYS, **answers}}
    found["status_code"] = min(int(status) for status in answers)
    if body is not None:
        found["responses"] |= _BODY
        content = {_JSON: {"schema": body}, "application/cloudevents+json": {"schema": _ref("CloudEvent")}}
        content |= more or {}
        found["openapi_extra"] = {"requestBody": {"required": required, "content": content}}
    return found


SIGN_UP = _route(
    {
        202: _answer("The customer is on the way", _ref("Enrolled")),
        200: _answer("This sign-up was seen before", _ref("Enrolled")),
        409: problem("This id signed up with another body"),
    },
    _ref("SignUp"),
    more={"application/x-ndjson": {"schema": {"type": "string", "description": "A sign-up a line."}}},
)
Q = (
    "Words of three letters or more: each begins a word of the id, the name, the address or the company. "
    "Case and accents do not matter."
)
OVERDUE = "Active, and the next instant more than a minute past; or with an open task that is past its time."
COUNT = f"Say how many there are, up to {COUNTED}."
FIND = _route(
    {
        200: _answer(
            "A page of customers",
            {
                "type": "object",
                "required": ["onboardings", "next"],
                "properties": {
                    "onboardings": {"type": "array", "items": _ref("Listed")},
                    "next": _MAYBE_TEXT,
                    "count": {"type": "integer", "maximum": COUNTED, "description": "Only if asked for."},
                    "or_more": {"type": "boolean", "description": "Whether there may be more of them."},
                },
            },
        )
    }
)
STATUS = _route(
    {200: _answer("Where the customer stands", _ref("Status")), 404: problem("There is no such customer")}
)
COMMAND = _route(
    {
        200: _answer(
            "It is done; or, with `dry_run`, what would be", {"oneOf": [_ref("Done"), _ref("Foreseen")]}
        ),
        404: problem("There is no such customer, or no such command"),
        409: problem("It was rejected: `detail` says why"),
        504: problem("Nobody has confirmed it: it may still be carried out"),
    },
    _ref("Command"),
    required=False,
)
AGAIN = _route(
    {
        202: _answer("The customer is on the way again", _ref("Enrolled")),
        200: _answer("This was asked for before", _ref("Enrolled")),
        404: problem("There is no such customer"),
        409: problem("The former onboarding is not finished"),
    },
    _ref("Again"),
    required=False,
)
ADDRESS = _route(
    {
        200: _answer(
            "It is done",
            {
                "type": "object",
                "required": ["id", "command", "changed"],
                "properties": {
                    "id": {"type": "string"},
                    "command": {"const": "address"},
                    "changed": {"type": "boolean", "description": "False: it was that one already."},
                },
            },
        ),
        404: problem("There is no such customer"),
    },
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["email"],
        "properties": {"email": {"type": "string"}, "reason": _MAYBE_TEXT, "actor": _MAYBE_TEXT},
    },
)


def _passed(description: str) -> dict[str, Any]:
    """An event alone is refused with a problem, a list with an outcome for each."""
    found = problem(description)
    found["content"][_JSON] = {"schema": _ref("PassedMany")}
    return found


EVENTS = _route(
    {
        202: _answer("Taken", {"oneOf": [_ref("Passed"), _ref("PassedMany")]}),
        422: _passed("One at least is refused for good"),
        503: _passed("One at least should be sent again"),
    },
    {"oneOf": [_ref("Event"), {"type": "array", "items": _ref("Event"), "maxItems": 1000}]},
    more={
        "application/cloudevents-batch+json": {
            "schema": {"type": "array", "items": _ref("CloudEvent"), "maxItems": 1000}
        }
    },
)
WEBHOOK: dict[str, Any] = {
    "response_model": None,
    "status_code": 200,
    "responses": {
        200: _answer(
            "Everything is in the store",
            {
                "type": "object",
                "required": ["events", "new"],
                "properties": {"events": {"type": "integer"}, "new": {"type": "integer"}},
            },
        ),
        400: problem("The body is not JSON, or no list"),
        401: problem("The signature was refused"),
        413: problem("The body is too large"),
        503: problem("No key is set, or the store is away: send it again"),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}},
        }
    },
}


def _list_of(name: str, item: str, **more: Any) -> dict[str, Any]:
    items = {"type": "array", "items": _ref(item)}
    return {"type": "object", "required": [name, *more], "properties": {name: items, **more}}


KEYS = _route({200: _answer("All keys", _list_of("keys", "Key"))})
NEW_KEY = _route({201: _answer("The key, with its token", _ref("Key"))}, _ref("NewKey"))
ROTATED = _route(
    {200: _answer("The new token", _ref("Token")), 409: problem("There is no such active key")},
    {"type": "object", "additionalProperties": False, "properties": {"grace": {"type": "string"}}},
    required=False,
)
REVOKED = _route(
    {
        200: _answer(
            "It opens nothing any more",
            {
                "type": "object",
                "required": ["id", "state"],
                "properties": {"id": {"type": "string"}, "state": {"const": "revoked"}},
            },
        ),
        409: problem("There is no such key"),
    },
    {"type": "object", "additionalProperties": False, "properties": {"reason": _MAYBE_TEXT}},
    required=False,
)
HOLDS = _route({200: _answer("The holds in force", _list_of("holds", "Hold"))})
HOLD = _route({201: _answer("Messages wait", _ref("Hold"))}, _ref("NewHold"))
RELEASE = _route(
    {
        200: _answer(
            "How many holds were released",
            {"type": "object", "required": ["released"], "properties": {"released": {"type": "integer"}}},
        )
    },
    _ref("Place"),
)
BULK = _route(
    {
        202: _answer("The list is made, and being worked through", _ref("BulkJob")),
        200: _answer(
            "What it would do (`dry_run`); or this was asked for before",
            {
                "oneOf": [_ref("BulkForesight"), _ref("BulkJob")],
            },
        ),
        409: problem("This idempotency key asked for another job"),
    },
    _ref("Bulk"),
)
BULK_JOBS = _route({200: _answer("Bulk jobs", _list_of("jobs", "BulkJob", next=_MAYBE_TEXT))})
_NO_JOB = problem("There is no such job")
BULK_JOB = _route({200: _answer("How far it has got", _ref("BulkJob")), 404: _NO_JOB})
BULK_RESULTS = _route(
    {
        200: _answer(
            "What became of each", _list_of("results", "BulkResult", next={"type": ["integer", "null"]})
        ),
        404: _NO_JOB,
    }
)
BULK_STOP = _route(
    {
        200: _answer("No further customer is begun", _ref("BulkJob")),
        404: _NO_JOB,
        409: problem("It is over already"),
    },
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {"reason": _MAYBE_TEXT, "actor": _MAYBE_TEXT},
    },
    required=False,
)
AUDIT = _route({200: _answer("Who did what", _list_of("deeds", "Deed", next={"type": ["integer", "null"]}))})

_COMPONENTS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `type` is stable; `errors` names every field that is wrong.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "examples": ["urn:firstmile:problem:sign-up-refused"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    },
    "CloudEvent": {
        "type": "object",
        "description": "CloudEvents 1.0, structured mode. `data` is the sign-up, or an event's properties.",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string"},
            "subject": {"type": "string"},
            "time": _INSTANT,
            "data": {"type": "object"},
        },
    },
    "Enrolled": {
        "type": "object",
        "required": ["id", "segment", "version", "enrolment", "enrolled_at", "status_url"],
        "properties": {
            "id": {"type": "string"},
            "segment": {"type": "string"},
            "version": {"type": "integer"},
            "enrolment": {"type": "integer"},
            "enrolled_at": _INSTANT,
            "status_url": {"type": "string"},
        },
    },
    "Listed": {
        "type": "object",
        "required": ["id", "segment", "version", "status", "stage", "enrolled_at", "next_at", "updated_at"],
        "properties": {
            "id": {"type": "string"},
            "segment": {"type": "string"},
            "version": {"type": "integer"},
            "name": _MAYBE_TEXT,
            "company": _MAYBE_TEXT,
            "status": {"type": "string"},
            "stage": _MAYBE_TEXT,
            "enrolled_at": _INSTANT,
            "onboarded": {"type": "boolean"},
            "onboarded_at": _MAYBE_INSTANT,
            "next_at": _MAYBE_INSTANT,
            "updated_at": _INSTANT,
        },
    },
    "Status": {
        "type": "object",
        "description": "Instants are journey time. `steps` are in the order past, now, next, later.",
        "required": ["id", "segment", "version", "status", "steps", "tasks", "journal", "age_seconds"],
        "properties": {
            "status": {"enum": ["starting", "active", "paused", "stuck", "completed", "stopped"]},
            "updated_at": _MAYBE_INSTANT,
            "age_seconds": {"type": ["number", "null"], "description": "How old what is shown is."},
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["step", "kind", "phase", "group", "at", "earliest", "why"],
                    "properties": {
                        "step": {"type": "string"},
                        "kind": {"type": "string"},
                        "phase": {"type": "string"},
                        "group": {"enum": ["past", "now", "next", "later"]},
                        "at": _MAYBE_INSTANT,
                        "local": _MAYBE_TEXT,
                        "earliest": {"type": "boolean"},
                        "why": {"type": "string"},
                    },
                },
            },
            "tasks": {"type": "array", "items": {"type": "object"}},
            "messages": {
                "type": "array",
                "description": "What was sent and what became of it, oldest first; by the clock on the wall.",
                "items": {
                    "type": "object",
                    "required": ["step", "template", "class", "state", "fate", "at"],
                    "properties": {
                        "step": {"type": "string"},
                        "purpose": {"type": "string"},
                        "template": {"type": "string"},
                        "class": {"enum": ["transactional", "lifecycle", "marketing"]},
                        "state": {"enum": ["prepared", "sending", "accepted", "rejected", "unknown"]},
                        "fate": _MAYBE_TEXT,
                        "reason": _MAYBE_TEXT,
                        "at": _INSTANT,
                        "fate_at": _MAYBE_INSTANT,
                        "opened_at": _MAYBE_INSTANT,
                        "clicked_at": _MAYBE_INSTANT,
                    },
                },
            },
            "journal": {"type": "array", "items": {"type": "object"}},
        },
    },
    "Command": {
        "type": "object",
        "additionalProperties": False,
        "description": f"Which fields matter depends on the command: {', '.join(COMMANDS)}.",
        "properties": {
            "actor": _MAYBE_TEXT,
            "reason": _MAYBE_TEXT,
            "step": _MAYBE_TEXT,
            "until": _MAYBE_INSTANT,
            "overdue": {"enum": ["shift", "run", "skip", None]},
            "undo": {"type": ["boolean", "null"]},
            "traits": {"type": ["object", "null"]},
            "owner": _MAYBE_TEXT,
            "answer": _MAYBE_TEXT,
        },
    },
    "Done": {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "command", "view"],
        "properties": {
            "id": {"type": "string"},
            "command": {"enum": list(COMMANDS)},
            "view": {"type": ["object", "null"], "description": "Where the customer stands after it."},
        },
    },
    "Foreseen": {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "command", "dry_run", "changes", "starts"],
        "properties": {
            "id": {"type": "string"},
            "command": {"enum": list(COMMANDS)},
            "dry_run": {"const": True},
            "changes": {"type": "array", "items": {"type": "string"}, "description": "In plain words."},
            "starts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["step", "kind", "purpose"],
                    "properties": {
                        "step": {"type": "string"},
                        "kind": {"type": "string"},
                        "purpose": {"type": "string"},
                    },
                },
            },
        },
    },
    "Passed": {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "outcome"],
        "properties": {
            "id": _MAYBE_TEXT,
            "outcome": {"enum": ["accepted", "ignored", "parked", "ended", "refused", "retry"]},
            "problem": {**_ref("Problem"), "description": "Why it was refused, or is to be sent again."},
        },
    },
    "PassedMany": {
        "type": "object",
        "additionalProperties": False,
        "required": ["events"],
        "properties": {"events": {"type": "array", "items": _ref("Passed")}},
    },
    "Key": {
        "type": "object",
        "required": ["id", "name", "scopes", "state", "created_at", "created_by"],
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "scopes": {"type": "array", "items": {"type": "string"}},
            "state": {"enum": ["active", "expired", "revoked"]},
            "created_at": _INSTANT,
            "created_by": {"type": "string"},
            "expires_at": _MAYBE_INSTANT,
            "last_used_at": _MAYBE_INSTANT,
            "token": {"type": "string", "description": "Only when the key is made: nothing shows it again."},
        },
    },
    "NewKey": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 2000},
            "role": {"enum": [*ROLES, None]},
            "scopes": {"type": ["array", "null"], "items": {"enum": sorted(SCOPES)}},
            "expires_in": {"type": ["string", "null"], "examples": ["90 days"]},
        },
    },
    "Token": {
        "type": "object",
        "required": ["id", "token"],
        "properties": {"id": {"type": "string"}, "token": {"type": "string"}},
    },
    "Place": {
        "type": "object",
        "additionalProperties": False,
        "required": ["scope"],
        "properties": {
            "scope": {"enum": list(HOLD_SCOPES)},
            "value": _MAYBE_TEXT,
            "reason": _MAYBE_TEXT,
            "actor": _MAYBE_TEXT,
            "ramp": {"type": ["string", "null"], "examples": ["30 minutes"]},
        },
    },
    "NewHold": {
        "type": "object",
        "additionalProperties": False,
        "required": ["scope", "reason"],
        "properties": {
            "scope": {"enum": list(HOLD_SCOPES)},
            "value": _MAYBE_TEXT,
            "reason": {"type": "string", "minLength": 1},
            "until": _MAYBE_INSTANT,
            "actor": _MAYBE_TEXT,
        },
    },
    "Hold": {
        "type": "object",
        "required": ["id", "scope", "value", "reason", "actor", "since", "until"],
        "properties": {
            "id": {"type": "integer"},
            "scope": {"type": "string"},
            "value": _MAYBE_TEXT,
            "reason": {"type": "string"},
            "actor": {"type": "string"},
            "since": _INSTANT,
            "until": _MAYBE_INSTANT,
            "doubt": {"type": "string", "description": "Nothing that is known is called so: is it meant?"},
        },
    },
    "Deed": {
        "type": "object",
        "required": ["number", "at", "actor", "action", "outcome", "request"],
        "properties": {
            "number": {"type": "integer"},
            "at": _INSTANT,
            "actor": {"type": "string"},
            "key": _MAYBE_TEXT,
            "action": {"type": "string"},
            "outcome": {"enum": ["asked", "done", "rejected", "failed"]},
            "subject": _MAYBE_TEXT,
            "target": _MAYBE_TEXT,
            "reason": _MAYBE_TEXT,
            "detail": _MAYBE_TEXT,
            "before": {"type": ["object", "null"]},
            "after": {"type": ["object", "null"]},
            "request": {"type": "string"},
        },
    },
    "Bulk": {
        "type": "object",
        "additionalProperties": False,
        "required": ["command", "reason"],
        "description": "Whom: `filter` (`{}` is everybody who is on the way) or `ids`, not both.",
        "properties": {
            "command": {"type": "string", "examples": ["pause"]},
            "arguments": {
                "type": ["object", "null"],
                "description": "As for one customer, without `reason` and `actor`.",
            },
            "filter": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {
                    **{one.name: _MAYBE_TEXT for one in fields(Asked)},
                    "version": {"type": ["integer", "null"], "minimum": 1},
                    "overdue": {"type": ["boolean", "null"]},
                    "since": _MAYBE_INSTANT,
                },
            },
            "ids": {
                "type": ["array", "null"],
                "maxItems": MAX_IDS,
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
            },
            "rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Customers a second."},
            "reason": {"type": "string", "minLength": 1, "maxLength": 2000},
            "actor": _MAYBE_TEXT,
            "dry_run": {"type": ["boolean", "null"]},
        },
    },
    "BulkForesight": {
        "type": "object",
        "required": ["dry_run", "command", "customers", "rate", "sample"],
        "properties": {
            "dry_run": {"const": True},
            "command": {"type": "string"},
            "customers": {"type": "integer"},
            "rate": {"type": "number"},
            "sample": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "changes", "rejected", "unclear"],
                    "properties": {
                        "id": {"type": "string"},
                        "changes": {"type": "array", "items": {"type": "string"}},
                        "rejected": _MAYBE_TEXT,
                        "unclear": _MAYBE_TEXT,
                    },
                },
            },
        },
    },
    "BulkJob": {
        "type": "object",
        "required": ["id", "command", "actor", "reason", "rate", "state", "customers", "waiting"],
        "properties": {
            "id": {"type": "string"},
            "command": {"type": "string"},
            "arguments": {"type": "object"},
            "filter": {"type": ["object", "null"]},
            "actor": {"type": "string"},
            "reason": {"type": "string"},
            "rate": {"type": "number"},
            "state": {"enum": ["preparing", "running", "stopping", "stopped", "done"]},
            **{one: {"type": "integer"} for one in ("customers", "waiting", "done", "rejected", "failed")},
            "created_at": _INSTANT,
            "started_at": _MAYBE_INSTANT,
            "updated_at": _INSTANT,
            "ended_at": _MAYBE_INSTANT,
        },
    },
    "BulkResult": {
        "type": "object",
        "required": ["number", "id", "state", "reason", "at"],
        "properties": {
            "number": {"type": "integer"},
            "id": {"type": "string"},
            "state": {"enum": list(RESULTS)},
            "reason": _MAYBE_TEXT,
            "at": _MAYBE_INSTANT,
        },
    },
    "Again": {
        "type": "object",
        "additionalProperties": False,
        "description": "Who the customer is stays as it is known; the rest is as in a sign-up.",
        "properties": {
            "segment": _MAYBE_TEXT,
            "traits": {"type": ["object", "null"]},
            "skip": {"type": ["array", "null"], "items": {"type": "string"}},
            "speed": {"type": ["number", "null"]},
            "reason": _MAYBE_TEXT,
            "actor": _MAYBE_TEXT,
        },
    },
    "Event": {
        "type": "object",
        "additionalProperties": False,
        "required": ["subject", "event", "id"],
        "properties": {
            "subject": {"type": "string", "minLength": 1, "maxLength": 200},
            "event": {"type": "string", "minLength": 1, "maxLength": 100},
            "id": {"type": "string", "minLength": 1, "maxLength": 200},
            "at": _MAYBE_INSTANT,
            "properties": {"type": ["object", "null"]},
        },
    },
}


def install(app: FastAPI, scope_of: Callable[[object], Scope | None]) -> None:
    """Let `/openapi.json` say all of the above, and which scope each call needs.

    `scope_of` says it of a route's dependency.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generate()
            sign_up = SignUp.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = sign_up.pop("$defs", {})
            components = found.setdefault("components", {})
            components.setdefault("schemas", {}).update({**_COMPONENTS, **parts, "SignUp": sign_up})
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for route in app.routes:
                if not isinstance(route, APIRoute) or route.path not in found["paths"]:
                    continue
                scopes = [scope for one in route.dependencies if (scope := scope_of(one.dependency))]
                for method in (route.methods or ()) if scopes else ():
                    found["paths"][route.path][method.lower()]["security"] = [{"key": scopes}]
            for parameter in found["paths"][_COMMAND_PATH]["post"]["parameters"]:
                if parameter["name"] == "command":
                    parameter["schema"] = {"enum": [one.replace("_", "-") for one in COMMANDS]}
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


__all__ = ["COMMAND", "EVENTS", "FIND", "SIGN_UP", "STATUS", "WEBHOOK", "install"]
