"""The schema for editors: current, complete, and of one mind with the models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from firstmile.journey.loader import load
from firstmile.journey.model import Journey, JourneyModel
from firstmile.journey.schema import DESCRIPTIONS, FILE, json_schema, schema_text
from firstmile.journey.shape import fields_of, model_in
from firstmile.journey.source import read

TESTS = Path(__file__).resolve().parents[1]
JOURNEYS = TESTS.parent / "journeys"
GOOD = [TESTS / "journey" / "example.yaml", *sorted(JOURNEYS.glob("*.yaml"))]
SHAPES = sorted((TESTS / "bad" / "journeys").glob("shape_*.yaml"))
# What the schema does not hold: the meaning of texts, and rules between fields of a window or a check-in.
NOT_HELD = {"shape_durations", "shape_conditions"}


def accepts(schema: dict[str, Any], value: object, root: dict[str, Any]) -> bool:
    """Whether a value fits, by as much of JSON Schema as it uses; an unknown keyword is a KeyError."""
    return all(_KEYWORDS[keyword](wanted, value, schema, root) for keyword, wanted in schema.items())


def _is_type(wanted: str, value: object) -> bool:
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    return isinstance(value, types[wanted]) and (wanted != "integer" or not isinstance(value, bool))


def _properties(wanted: dict[str, Any], value: object, root: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(accepts(wanted[key], item, root) for key, item in value.items() if key in wanted)


def _patterned(wanted: dict[str, Any], value: object, root: dict[str, Any]) -> bool:
    return not isinstance(value, dict) or all(
        accepts(shape, item, root)
        for pattern, shape in wanted.items()
        for key, item in value.items()
        if re.search(pattern, key)
    )


def _no_others(value: object, schema: dict[str, Any]) -> bool:
    patterns = schema.get("patternProperties", {})
    return not isinstance(value, dict) or all(
        key in schema.get("properties", {}) or any(re.search(pattern, key) for pattern in patterns)
        for key in value
    )


_KEYWORDS: dict[str, Any] = {
    **dict.fromkeys(
        ("$schema", "$defs", "title", "description", "default", "examples", "then"), lambda w, v, s, r: True
    ),
    "$ref": lambda w, v, s, r: accepts(r["$defs"][w.removeprefix("#/$defs/")], v, r),
    "type": lambda w, v, s, r: _is_type(w, v),
    "enum": lambda w, v, s, r: v in w,
    "const": lambda w, v, s, r: v == w,
    "pattern": lambda w, v, s, r: not isinstance(v, str) or re.search(w, v) is not None,
    "minLength": lambda w, v, s, r: not isinstance(v, str) or len(v) >= w,
    "maxLength": lambda w, v, s, r: not isinstance(v, str) or len(v) <= w,
    "minimum": lambda w, v, s, r: not isinstance(v, int) or v >= w,
    "maximum": lambda w, v, s, r: not isinstance(v, int) or v <= w,
    "minItems": lambda w, v, s, r: not isinstance(v, list) or len(v) >= w,
    "maxItems": lambda w, v, s, r: not isinstance(v, list) or len(v) <= w,
    "items": lambda w, v, s, r: not isinstance(v, list) or all(accepts(w, item, r) for item in v),
    "required": lambda w, v, s, r: not isinstance(v, dict) or set(w) <= set(v),
    "properties": lambda w, v, s, r: _properties(w, v, r),
    "patternProperties": lambda w, v, s, r: _patterned(w, v, r),
    "propertyNames": lambda w, v, s, r: not isinstance(v, dict) or all(accepts(w, key, r) for key in v),
    "additionalProperties": lambda w, v, s, r: w is not False or _no_others(v, s),
    "anyOf": lambda w, v, s, r: any(accepts(option, v, r) for option in w),
    "oneOf": lambda w, v, s, r: sum(accepts(option, v, r) for option in w) == 1,
    "if": lambda w, v, s, r: not accepts(w, v, r) or accepts(s["then"], v, r),
}


def test_the_schema_beside_the_journeys_is_current() -> None:
    assert (JOURNEYS / FILE).read_text(encoding="utf-8") == schema_text(), (
        "run: firstmile schema > journeys/" + FILE
    )


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_the_schema_accepts_what_the_models_accept(file: Path) -> None:
    schema = json_schema()
    tree = read(file.read_text(encoding="utf-8"), file.name).tree
    assert accepts(schema, tree, schema)


@pytest.mark.parametrize(
    "file", [file for file in SHAPES if file.stem not in NOT_HELD], ids=lambda file: file.stem
)
def test_the_schema_refuses_a_file_with_a_wrong_shape(file: Path) -> None:
    schema = json_schema()
    tree = read(file.read_text(encoding="utf-8"), file.name).tree
    assert not accepts(schema, tree, schema)


@pytest.mark.parametrize("after", ["value", ["value", "missed value"], None])
def test_the_schema_knows_that_one_condition_needs_no_list(after: object) -> None:
    schema = json_schema()
    step = {"id": "a", "after": after, "until": "value", "task": {"title": "T"}}
    value = {"id": "value", "milestone": {"event": ["x", "y"]}}
    tree = {"journey": "a", "version": 1, "onboarded": {"milestone": "value"}, "steps": [value, step]}
    assert accepts(schema, tree, schema)
    assert load(json.dumps({**tree, "ends": "1 day"}), "f").errors == []


def test_every_field_has_a_word_of_help_and_no_other_has() -> None:
    models: dict[str, type[JourneyModel]] = {}
    found: list[type[JourneyModel]] = [Journey]
    while found:
        model = found.pop()
        models[model.__name__] = model
        inner = [model_in(field.annotation) for field in fields_of(model).values()]
        found += [other for other in inner if other is not None and other.__name__ not in models]
    assert {name: set(fields_of(model)) for name, model in models.items()} == {
        name: set(fields) for name, fields in DESCRIPTIONS.items()
    }
