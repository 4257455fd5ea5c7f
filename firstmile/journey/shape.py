"""Whether a file has the shape of a journey, told in the words of the format.

Pydantic finds what does not fit the models; this module says it to the author: which field of which step,
what was expected, what stands there instead, and what was probably meant. Whether names refer to anything is
the business of `checks`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from firstmile.journey.model import KINDS, Condition, Defaults, Journey, JourneyModel, Step, wrong_kinds
from firstmile.journey.problems import Place, nearest, unknown, value_at
from firstmile.journey.source import Document

PATTERNS = {
    r"^[a-z0-9_-]+$": "write lower case letters, digits, '_' and '-', without spaces",
    r"^[A-Za-z0-9_][A-Za-z0-9_-]*$": "write letters, digits, '_' and '-', without spaces",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "write letters, digits and '_', beginning with a letter",
    r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$": "write letters, digits and _ . : / -, without spaces",
    r"^\d{1,2}:\d{2}$": 'write a time of day, for instance "09:00"',
    r"^(text|number|flag|date)\??$": "write text, number, flag or date, with '?' where it may be absent",
}
"""What each pattern of the models asks for."""

# Words that people bring from elsewhere.
_SYNONYMS = {
    "if": "when",
    "condition": "when",
    "delay": "wait",
    "needs": "after",
    "depends_on": "after",
    "requires": "after",
    "deadline": "within",
    "timeout": "within",
    "name": "id",
    "key": "id",
    "description": "notes",
    "subject_line": "template",
    "recipients": "to",
    "string": "text",
    "str": "text",
    "int": "number",
    "integer": "number",
    "float": "number",
    "bool": "flag",
    "boolean": "flag",
    "datetime": "date",
    "time": "date",
}


class Fault(NamedTuple):
    """Something that does not fit at a place; `key` when it is the key and not the value."""

    place: Place
    message: str
    key: bool = False


def fields_of(model: type[JourneyModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that a file uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def model_in(annotation: object) -> type[JourneyModel] | None:
    """The model that a field holds: itself, in a list, or as one of several possibilities."""
    if annotation is Condition:  # it is written as text
        return None
    if isinstance(annotation, type) and issubclass(annotation, JourneyModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


def model_at(place: Place) -> type[JourneyModel] | None:
    """The model whose fields may stand at a place."""
    model: type[JourneyModel] | None = Journey
    for key in place:
        if isinstance(key, str):
            field = fields_of(model).get(key) if model else None
            model = model_in(field.annotation) if field else None
    return model


def validate(document: Document) -> tuple[Journey | None, list[Fault]]:
    """The journey that a document holds, or everything that keeps it from being one."""
    if not isinstance(document.tree, dict):
        what = _found(document.tree, "")
        return None, [
            Fault((), f"a journey is a mapping with journey, version and steps, but this is {what}")
        ]
    tree = copy.deepcopy(document.tree)
    empty = list(_empty(tree, Journey, ()))
    faults = [Fault(place, _nothing(document.written.get(place))) for place in empty]
    journey: Journey | None = None
    try:
        journey = Journey.model_validate(tree, by_alias=True, by_name=False)
    except ValidationError as error:
        told = [*empty, *document.refused]
        for details in error.errors(include_url=False):
            place = _place(details, tree)
            # A field that was taken out is not missing, and what its model says as a whole only follows.
            follows = details["type"] == "value_error" and any(other[:-1] == place for other in told)
            if place not in told and not follows:
                faults.append(_fault(place, details, document))
        faults += _kinds(tree, faults)
    faults = [fault for fault in faults if not _inside(fault.place, document.refused)]
    return (None if faults else journey), faults


def _nothing(written: str | None) -> str:
    if written:
        return f'YAML takes {written} for nothing: quote this: "{written}"'
    return "nothing stands here: write a value, or leave out the key"


def _kinds(tree: dict[str, Any], told: list[Fault]) -> Iterator[Fault]:
    """Steps without exactly one kind, also where pydantic stopped at another fault of the step."""
    steps = tree.get("steps")
    for position, step in enumerate(steps if isinstance(steps, list) else []):
        place: Place = ("steps", position)
        if not isinstance(step, dict) or any(fault.place == place for fault in told):
            continue
        # A key that is unknown, or was left empty, was probably meant to be the kind.
        meant = any(fault.key or fault.place[2] in KINDS for fault in told if fault.place[:-1] == place)
        message = wrong_kinds([kind for kind in KINDS if kind in step], "within" in step)
        if message and not meant:
            yield Fault(place, message)


def _inside(place: Place, others: Iterable[Place]) -> bool:
    return any(place[: len(other)] == other for other in others)


def _empty(tree: dict[str, Any], model: type[JourneyModel], place: Place) -> Iterator[Place]:
    """Take out keys without a value, so that they are told once and not as something else."""
    for key, field in fields_of(model).items():
        value, inner = tree.get(key), model_in(field.annotation)
        if key in tree and value is None and key != "after":
            del tree[key]
            yield (*place, key)
        elif inner and isinstance(value, dict):
            yield from _empty(value, inner, (*place, key))
        elif inner and isinstance(value, list):
            for position, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _empty(item, inner, (*place, key, position))


def _place(details: ErrorDetails, tree: object) -> Place:
    """Pydantic's location as a place in the file: without what names the member of a union."""
    place: Place = ()
    for position, key in enumerate(details["loc"]):
        here = value_at(tree, place)
        missing = details["type"] == "missing" and position == len(details["loc"]) - 1
        in_mapping = isinstance(here, dict) and (key in here or missing)
        if in_mapping or (isinstance(here, list) and isinstance(key, int)):
            place = (*place, key)
    return place


def _fault(place: Place, details: ErrorDetails, document: Document) -> Fault:
    value, name = value_at(document.tree, place), str(place[-1]) if place else ""
    found = _found(value, document.written.get(place, ""))
    context: Mapping[str, Any] = details.get("ctx", {})
    is_key = details["loc"][-1:] == ("[key]",)
    match details["type"]:
        case "extra_forbidden":
            return Fault(place, _unknown_field(place, document.tree), key=True)
        case "missing":
            return Fault(place, f"'{name}' is missing{_in(place[:-1], document.tree)}")
        case "value_error":
            return Fault(place, str(context["error"]))
        case "string_pattern_mismatch":
            advice = PATTERNS.get(str(context["pattern"]), "it has characters that may not stand here")
            meant = _SYNONYMS.get(str(value).lower()) if "text|number" in str(context["pattern"]) else None
            hint = f"did you mean '{meant}'?" if meant else advice
            return Fault(place, f"'{name if is_key else value}' cannot stand here: {hint}", is_key)
        case "literal_error" if name == "window":
            return Fault(place, f"a window (days, from, to) or 'anytime' was expected, but this is {found}")
        case "literal_error":
            options = str(context["expected"]).replace("' or '", "', '").strip("'").split("', '")
            if isinstance(value, str) and name in ("kind", "class"):
                return Fault(place, unknown(name, value, options))
            if isinstance(value, str):
                return Fault(place, unknown("value", value, options, where=f" for '{name}'"))
            return Fault(place, f"one of {', '.join(options)} was expected, but this is {found}")
        case "too_short":
            return Fault(place, "the list is empty: it needs at least one item")
        case "string_too_short":
            return Fault(place, "the text is empty", is_key)
        case "too_long" | "string_too_long":
            unit = "characters" if isinstance(value, str) or is_key else "items"
            return Fault(place, f"longer than {context['max_length']} {unit}", is_key)
        case "greater_than_equal":
            return Fault(place, f"{value} is too small: at least {context['ge']} was expected")
        case "less_than_equal":
            return Fault(place, f"{value} is too large: at most {context['le']} was expected")
        case kind if kind in _EXPECTED:
            advice = _advice(kind, value, document.written.get(place, ""), place)
            return Fault(place, f"{_EXPECTED[kind]} was expected, but this is {found}{advice}")
    return Fault(place, details["msg"])


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
}


def _advice(kind: str, value: object, written: str, place: Place) -> str:
    model = model_at(place)
    if kind == "string_type" and (isinstance(value, int | float) or (value is None and written)):
        return f': quote this: "{written or value}"'
    if kind == "string_type" and isinstance(value, dict):
        return ": text with ': ' or '{' goes in quotes"
    if kind == "int_type" and isinstance(value, str) and value.lstrip("+-").isdigit():
        return f": write it without quotes: {value}"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("yes", "on", "no", "off"):
        return f": write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    if kind == "list_type" and isinstance(value, dict):
        return ": begin each item with '- '"
    if kind.startswith(("model", "dict")) and model is not None:
        needed = [name for name, field in fields_of(model).items() if field.is_required()]
        names = needed or list(fields_of(model))[:3]
        return f": write for instance {{{', '.join(f'{name}: …' for name in names)}}}"
    return ""


def _found(value: object, written: str) -> str:
    match value:
        case None:
            return written or "nothing"
        case bool():
            return written or str(value).lower()
        case int() | float():
            return f"the number {written or value}"
        case str():
            return f"the text '{value if len(value) <= 40 else value[:40] + '…'}'"
        case list():
            return "a list"
    return "a mapping"


def _in(place: Place, tree: object) -> str:
    """` in email`, ` in step 'welcome'`: where a field stands, for the end of a sentence."""
    if not place:
        return ""
    if len(place) == 2 and place[0] == "steps":
        step = value_at(tree, (*place, "id"))
        return f" in step '{step}'" if isinstance(step, str) else " in this step"
    names = [key for key in place if isinstance(key, str)]
    return f" in {names[-1]}" if names else ""


def _unknown_field(place: Place, tree: object) -> str:
    *outer, name = place
    told = f"unknown field '{name}'{_in(tuple(outer), tree) or ' in the journey'}"
    model = model_at(tuple(outer))
    fields = list(fields_of(model)) if model else []
    owner = value_at(tree, tuple(outer))
    step = owner if isinstance(owner, dict) else {}
    name = str(name)
    if model is Step:
        for kind in step:
            if kind in KINDS and name in fields_of(KINDS[kind]):
                return f"{told}: it belongs inside '{kind}'"
    if model in KINDS.values() and name in fields_of(Step):
        return f"{told}: it belongs to the step, beside '{outer[-1]}'"
    if model is Journey and name in fields_of(Defaults):
        return f"{told}: it belongs inside 'defaults'"
    meant = nearest(name, fields) or _SYNONYMS.get(name.lower())
    if meant in fields:
        return f"{told}: did you mean '{meant}'?"
    return f"{told}: there are {', '.join(fields)}"
