"""From the text of a journey file to a journey, with everything that is wrong with the file at once.

Three sieves, one after the other: YAML (`source`), the shape (`shape`), and what names refer to (`checks`).
A file that fails the second still goes through the third as far as possible, with what is left of it, so that
an author sees all errors and not only the first kind. No file is opened here: callers pass text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_origin

from pydantic import TypeAdapter, ValidationError

from firstmile.journey.checks import check, find_errors
from firstmile.journey.findings import Findings
from firstmile.journey.model import KINDS, Journey, JourneyModel, Step
from firstmile.journey.problems import Place, Problem, errors, in_order
from firstmile.journey.shape import model_in, validate
from firstmile.journey.source import Document, read


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file as read. `journey` is None when the file has not the shape of one; `problems` are by line."""

    journey: Journey | None
    problems: list[Problem]
    document: Document

    @property
    def errors(self) -> list[Problem]:
        """What keeps the journey from being used."""
        return errors(self.problems)


def load(text: str, name: str) -> Loaded:
    """Read a journey file called `name`.

    Says what keeps the text from being a journey, and then also what its names wrongly refer to. Whether a
    journey that could be read is right is for `check` to say, or for `load_checked`, which does both.
    """
    return _load(text, name, None, None)


def load_checked(
    text: str,
    name: str,
    *,
    templates: Collection[str] | None = None,
    forms: Collection[str] | None = None,
) -> Loaded:
    """Read a journey file and check it: with every error and every warning there is."""
    loaded = _load(text, name, templates, forms)
    if loaded.journey is None:
        return loaded
    found = check(loaded.journey, document=loaded.document, templates=templates, forms=forms)
    return Loaded(loaded.journey, in_order([*loaded.problems, *found]), loaded.document)


def _load(text: str, name: str, templates: Collection[str] | None, forms: Collection[str] | None) -> Loaded:
    document = read(text, name)
    problems = list(document.problems)
    if not document.complete or document.tree is None:
        return Loaded(None, problems, document)
    journey, faults = validate(document)
    problems += [document.problem(fault.place, fault.message, key=fault.key) for fault in faults]
    if problems and isinstance(document.tree, dict):
        told = (*document.refused, *(fault.place for fault in faults))
        findings = _remains(document.tree, document, told)
        find_errors(findings, templates, forms)
        return Loaded(None, in_order([*problems, *findings.problems]), document)
    return Loaded(journey, in_order(problems), document)


# What is left of a wrong file


def _remains(tree: dict[str, Any], document: Document, told: tuple[Place, ...]) -> Findings:
    journey = _construct(Journey, {**tree, "steps": []})
    assert isinstance(journey, Journey)
    steps: list[tuple[int, Step]] = []
    kindless: list[tuple[int, Step]] = []
    raw = tree.get("steps")
    for position, item in enumerate(raw if isinstance(raw, list) else []):
        step_id = item.get("id") if isinstance(item, dict) else None
        if isinstance(step_id, str):
            step = _construct(Step, {**item, "id": "x"}).model_copy(update={"id": step_id})
            assert isinstance(step, Step)
            kinds = [kind for kind in KINDS if getattr(step, kind) is not None]
            (steps if len(kinds) == 1 else kindless).append((position, step))
    # What is wrong with a step as a whole says nothing about its fields.
    fields = tuple(place for place in told if place and not (len(place) == 2 and place[0] == "steps"))
    return Findings(journey, document, steps, kindless, fields)


def _construct(model: type[JourneyModel], tree: dict[str, Any]) -> JourneyModel:
    """The model with those fields that are right; what is wrong or missing has its default, or is None."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        inner = model_in(field.annotation)
        value = tree.get(key)
        try:
            if value is None:
                raise LookupError
            values[name] = _adapter(model, name).validate_python(value, by_alias=True, by_name=False)
        except (ValidationError, LookupError):
            listed = get_origin(field.annotation) is list
            if inner is not None and isinstance(value, dict) and not listed:
                values[name] = _construct(inner, value)
            elif inner is not None and isinstance(value, list) and listed:
                values[name] = [_construct(inner, item) for item in value if isinstance(item, dict)]
            elif name == "traits" and isinstance(value, dict):
                # Declared is declared: a wrong kind is told, and the name is known all the same.
                values[name] = {str(trait): "date?" for trait in value}
            elif name == "experiments" and isinstance(value, dict):
                values[name] = {
                    key: dict.fromkeys(item, 1) for key, item in value.items() if isinstance(item, dict)
                }
            else:
                values[name] = None if field.is_required() else field.get_default(call_default_factory=True)
    return model.model_construct(**values)


@lru_cache(maxsize=256)
def _adapter(model: type[JourneyModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for extra in field.metadata:
        annotation = Annotated[annotation, extra]
    if field.discriminator is not None:
        annotation = Annotated[annotation, field.discriminator]
    return TypeAdapter(annotation)


__all__ = ["Loaded", "load", "load_checked"]
