"""What `/openapi.json` says about bodies and answers that the routes read and write by themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from firstmile.callers import ROLES, SCOPES
from firstmile.journey.inputs import COMMANDS
from firstmile.signup import SignUp
from firstmile.store.finding import COUNTED
from firstmile.store.holds import SCOPES as HOLD_SCOPES
from firstmile.web.problems import MEDIA_TYPE

_JSON = "application/json"
_INSTANT = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_MAYBE_TEXT = {"type": ["string", "null"]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}


_ALWAYS: dict[int | str, Any] = {
    401: _problem("No key, or a wrong one"),
    403: _problem("The key has not the scope for this, or there is none and the call comes from elsewhere"),
    429: _problem("Too many calls, or too many wrong keys: wait for `Retry-After`"),
    422: _problem("Something that was given cannot be taken"),
    503: _problem("Temporal or the store is away: try again"),
}
_BODY: dict[int | str, Any] = {
    400: _problem("The body is not JSON"),
    408: _problem("The body took too long"),
    413: _problem("The body is too large"),
    415: _problem("The body is of another kind"),
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
        409: _problem("This id signed up with another body"),
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
    {200: _answer("Where the customer stands", _ref("Status")), 404: _problem("There is no such customer")}
)
COMMAND = _route(
    {
        200: _answer("It is done", {"type": "object", "required": ["id", "command", "view"]}),
        404: _problem("There is no such customer, or no such command"),
        409: _problem("It was rejected: `detail` says why"),
        504: _problem("Nobody has confirmed it: it may still be carried out"),
    },
    _ref("Command"),
    required=False,
)
AGAIN = _route(
    {
        202: _answer("The customer is on the way again", _ref("Enrolled")),
        200: _answer("This was asked for before", _ref("Enrolled")),
        404: _problem("There is no such customer"),
        409: _problem("The former onboarding is not finished"),
    },
    _ref("Again"),
    required=False,
)
ADDRESS = _route(
    {200: _answer("It is done", {"type": "object"}), 404: _problem("There is no such customer")},
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["email"],
        "properties": {"email": {"type": "string"}, "reason": _MAYBE_TEXT, "actor": _MAYBE_TEXT},
    },
)
EVENTS = _route(
    {202: _answer("Taken", {"type": "object"})},
    {"oneOf": [_ref("Event"), {"type": "array", "items": _ref("Event"), "maxItems": 1000}]},
)


def _list_of(name: str, item: str, **more: Any) -> dict[str, Any]:
    items = {"type": "array", "items": _ref(item)}
    return {"type": "object", "required": [name, *more], "properties": {name: items, **more}}


KEYS = _route({200: _answer("All keys", _list_of("keys", "Key"))})
NEW_KEY = _route({201: _answer("The key, with its token", _ref("Key"))}, _ref("NewKey"))
ROTATED = _route(
    {200: _answer("The new token", _ref("Token")), 409: _problem("There is no such active key")},
    {"type": "object", "additionalProperties": False, "properties": {"grace": {"type": "string"}}},
    required=False,
)
REVOKED = _route(
    {200: _answer("It opens nothing any more", {"type": "object"}), 409: _problem("There is no such key")},
    {"type": "object", "additionalProperties": False, "properties": {"reason": _MAYBE_TEXT}},
    required=False,
)
HOLDS = _route({200: _answer("The holds in force", _list_of("holds", "Hold"))})
HOLD = _route({201: _answer("Messages wait", _ref("Hold"))}, _ref("NewHold"))
RELEASE = _route(
    {200: _answer("How many holds were released", {"type": "object", "required": ["released"]})},
    _ref("Place"),
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


def install(app: FastAPI) -> None:
    """Let `/openapi.json` say all of the above."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generate()
            sign_up = SignUp.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = sign_up.pop("$defs", {})
            components = found.setdefault("components", {})
            components.setdefault("schemas", {}).update({**_COMPONENTS, **parts, "SignUp": sign_up})
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, operations in found["paths"].items():
                for operation in operations.values() if path.startswith("/v1/") else ():
                    operation["security"] = [{"key": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


__all__ = ["COMMAND", "EVENTS", "FIND", "SIGN_UP", "STATUS", "install"]
