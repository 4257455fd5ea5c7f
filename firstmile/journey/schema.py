"""The journey format as JSON Schema (2020-12), for editors: completion, help and red underlines on the way.

Made from the models, so that there is one source of what is allowed; the words beside the fields are here.
The schema knows the shape of a file only: what names refer to is for `check` to say.
"""

from __future__ import annotations

import json
from typing import Any

from firstmile.journey.model import KINDS, STAYS_OPEN, Journey

FILE = "journey.schema.json"
"""What the schema is called where it lies beside the journeys."""

_ROLES = "Roles among the customer's contacts; default: the primary contact."
_TEMPLATE = "The message: a folder in templates/."
_REMIND = "Reminds once per this time while nothing has come."
_WITH = "What is sent along; texts may hold {{ … }}."

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Journey": {
        "journey": "The segment; also the name of its workflow type.",
        "version": "Raised with every published change.",
        "title": "The journey's name, for people.",
        "summary": "What this segment gets, in a sentence.",
        "subject": "The account that bought (customer), or one person in it (user).",
        "traits": "Facts about the customer that steps read: text, number, flag or date, with ? where absent "
        "is possible. Without this any name may be used.",
        "onboarded": "The milestone that makes a customer onboarded, and the goal for it.",
        "ends": "When every open step closes and the journey completes, counted from enrolment.",
        "stages": "The funnel, in order; each but the last names the milestone that ends it.",
        "stop_when": "Events that stop the journey.",
        "experiments": "Experiments with the weights of their variants.",
        "defaults": "What holds for every step that does not say otherwise.",
        "steps": "What happens.",
    },
    "Onboarded": {
        "milestone": "The id of the milestone step.",
        "within": "The goal for time to first value.",
    },
    "Stage": {"stage": "The stage's name.", "until": "The milestone that ends it."},
    "StopWhen": {
        "event": "The event that stops the journey.",
        "where": "Only events for which this expression over properties is true.",
        "undo": "Also undo what was provisioned.",
    },
    "Defaults": {
        "window": "When customer-facing messages may go out.",
        "spread": "Messages moved to a window's opening are spread over this time.",
        "cap": "How many messages a customer gets at most.",
        "timezone": "The time zone where the customer has none; UTC if absent.",
    },
    "Window": {
        "days": "mon-fri, daily, or a list of days.",
        "from": "The opening, local time, inclusive.",
        "to": "The closing, local time, exclusive.",
        "holidays": "Whether public holidays of the customer's country are left out.",
    },
    "Cap": {"messages": "So many messages at most …", "per": "… in any such time."},
    "Step": {
        "id": "The step's name, unique in the file.",
        "title": "The step's name, for people.",
        "notes": "Anything worth knowing, for people.",
        "stage": "The stage it belongs to, for people.",
        "after": "What must have happened first, all of it: ids of steps, or done, reached, missed, "
        "skipped ID. Without it: enrolment.",
        "wait": "How long to wait after that, or a moment.",
        "until": "Milestones: as soon as one is reached, the step is skipped, reminders stop, a task closes.",
        "window": "When it may go out: a window, or anytime.",
        "when": "An expression, looked at when the step is due; if false, the step is skipped.",
        "within": "The deadline, counted from the moment the step opened, or a moment.",
        "email": "Sends one message.",
        "training": "Invites to a session; open until it was attended.",
        "survey": "Asks for a score; open until an answer.",
        "checkin": "Asks how it goes: all good, or help needed, which opens a task.",
        "milestone": "Waits for product events, or joins steps.",
        "provision": "Asks a system to set something up.",
        "assign": "Gives the customer an owner from a team; the step's id is the role.",
        "task": "Work for a person; open until completed.",
        "request": "Asks the customer for information through a form.",
        "notify": "Tells people inside the company.",
        "webhook": "Tells another system, signed.",
    },
    "Email": {
        "template": _TEMPLATE,
        "class": "transactional messages know no window, cap or opt-out.",
        "to": _ROLES,
        "cc": _ROLES,
    },
    "Training": {
        "session": "The session; training.completed with it completes the step.",
        "template": _TEMPLATE,
        "to": _ROLES,
        "cc": _ROLES,
    },
    "Survey": {
        "kind": "nps: 0 to 10; csat: 1 to 5; ces: 1 to 7.",
        "template": _TEMPLATE,
        "remind": _REMIND,
        "low": "Scores up to this one count as low.",
    },
    "Checkin": {
        "template": _TEMPLATE,
        "every": "The time from one check-in to the next.",
        "times": "How many check-ins.",
        "by": "By message, or by call: a task for the owner.",
    },
    "Milestone": {
        "event": "The event, or a list of which any counts.",
        "times": "How many of them it takes.",
        "where": "Only events for which this expression over properties is true.",
        "since": "Events count from enrolment, or from the opening of the step.",
        "all": "Steps of which every one must be done or skipped, and at least one done.",
    },
    "Provision": {
        "system": "The system, asked by signed webhook.",
        "function": "A registered Python function.",
        "with": _WITH,
        "undo": "Undo this when the journey is stopped with undo.",
    },
    "Assign": {"team": "The team; its least loaded member is chosen."},
    "Task": {
        "title": "What is to be done; may hold {{ … }}.",
        "owner": "A role (the id of an assign step) or a team.",
        "due": "When it should be done.",
        "remind": _REMIND,
        "escalate_to": "A role or a team, told when it is overdue.",
        "checklist": "Points to tick off.",
    },
    "Request": {
        "form": "The form: a file in forms/.",
        "template": _TEMPLATE,
        "remind": _REMIND,
        "review": "The owner accepts the answers or returns them.",
    },
    "Notify": {"to": "Whom to tell.", "message": "What to tell; may hold {{ … }}."},
    "Webhook": {
        "system": "The system to tell.",
        "with": _WITH,
        "class": "With a class it is customer-facing, as a message.",
    },
}


def json_schema() -> dict[str, Any]:
    """The schema as JSON values."""
    schema = Journey.model_json_schema(by_alias=True)
    models: dict[str, dict[str, Any]] = schema.pop("$defs")
    for name, model in {**models, "Journey": schema}.items():
        model.pop("title", None)
        properties: dict[str, dict[str, Any]] = model["properties"]
        for field, shape in properties.items():
            properties[field] = {**_plainer(shape), "description": DESCRIPTIONS[name][field]}
    step = models["Step"]
    # What may be a list may also be written as a single text.
    after = step["properties"]["after"]
    after["anyOf"] = [after["items"], {"type": "array", "items": after.pop("items")}, {"type": "null"}]
    del after["type"]
    step["oneOf"] = [{"required": [kind]} for kind in KINDS]
    step["if"] = {"required": ["within"]}
    step["then"] = {"anyOf": [{"required": [kind]} for kind in KINDS if kind in STAYS_OPEN]}
    models["Milestone"]["oneOf"] = [{"required": ["event"]}, {"required": ["all"]}]
    models["Provision"]["oneOf"] = [{"required": ["system"]}, {"required": ["function"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Firstmile journey",
        **schema,
        "$defs": models,
    }


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _plainer(shape: Any) -> Any:
    """Without the titles that only repeat names, without null (a key without a value is refused) and defaults
    that say nothing, and with no keys but those that have a shape."""
    if isinstance(shape, list):
        return [_plainer(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    found = {key: _plainer(value) for key, value in shape.items() if key not in ("title", "description")}
    if "patternProperties" in found:
        found["additionalProperties"] = False
    if found.get("default") in (None, [], {}) or isinstance(found.get("default"), dict):
        found.pop("default", None)
    if "anyOf" in found:
        options = [option for option in found["anyOf"] if option != {"type": "null"}]
        if len(options) == 1:
            del found["anyOf"]
            return {**options[0], **found}
        found["anyOf"] = options
    return found


__all__ = ["DESCRIPTIONS", "FILE", "json_schema", "schema_text"]
