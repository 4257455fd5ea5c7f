"""Reading the customer that a simulation is about: `customer.json` (JOURNEYS §6).

The same file may serve as a sign-up: the further fields of one are accepted and ignored, and so is `speed`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from firstmile.journey.commands import trait_problems
from firstmile.journey.fields import Fields, shown
from firstmile.journey.inputs import Subject
from firstmile.journey.json_source import read
from firstmile.journey.model import Journey
from firstmile.journey.problems import Problem, nearest, unknown
from firstmile.journey.route import Route
from firstmile.journey.slices import PlaceError, check_place

KEYS = ("id", "timezone", "country", "subdivision", "locale", "traits", "skip", "speed")
SIGN_UP_KEYS = ("segment", "email", "name", "company", "contacts", "consent")
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class ReadCustomer:
    """A customer as read. `subject` is None if anything is wrong; `notes` are what is probably not meant."""

    subject: Subject | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def read_customer(
    text: str, file: str, journey: Journey | None = None, route: Route | None = None
) -> ReadCustomer:
    """Read a customer, and hold it against the journey as far as there is one.

    `journey` is given when its file could be read, `route` when it also passed its checks.
    """
    document = read(text, file)
    if not isinstance(document.tree, dict):
        problems = list(document.problems)
        if document.complete:
            problems.append(document.problem((), 'a customer is a JSON object, as in {"id": "c-1"}'))
        return ReadCustomer(None, tuple(problems))
    fields = Fields(document)
    fields.known((*KEYS, *SIGN_UP_KEYS), hint=f"a customer has {', '.join(KEYS)}")
    default_zone = journey.defaults.timezone if journey is not None else None
    timezone, country, subdivision = (fields.text(key) for key in ("timezone", "country", "subdivision"))
    _check_place(fields, timezone, country, subdivision)
    traits = {name: value for name, value in (fields.object("traits") or {}).items() if value is not None}
    subject = Subject(
        id=_read_id(fields),
        timezone=timezone or default_zone or "UTC",
        country=country,
        subdivision=subdivision,
        locale=fields.text("locale"),
        traits=traits,
        skip=_read_skip(fields, journey),
    )
    notes: list[Problem] = []
    if route is not None and document.complete and isinstance(fields.value("traits"), dict | None):
        _check_traits(fields, traits, route)
        notes = _doubtful_traits(fields, traits, route)
    problems = fields.problems
    return ReadCustomer(None if problems else subject, tuple(problems), tuple(notes))


def _read_id(fields: Fields) -> str:
    if fields.document.complete:
        fields.need("id", 'every customer has one, for instance "c-1"')
    found = fields.text("id") or ""
    if "@" in found:
        fields.refuse(("id",), "an id is opaque and never an address: write it without '@'")
    elif len(found) > _LONGEST_ID:
        fields.refuse(("id",), f"an id has at most {_LONGEST_ID} characters, this one has {len(found)}")
    elif found and (found != found.strip() or not found.isprintable()):
        fields.refuse(("id",), "an id has no spaces around it and no control characters")
    return found


def _read_skip(fields: Fields, journey: Journey | None) -> list[str]:
    given = fields.of("skip", list, "a list of step ids") or []
    for position, step in enumerate(given):
        if not isinstance(step, str):
            fields.refuse(("skip", position), f"the id of a step was expected, not {shown(step)}")
        elif journey is not None and step not in journey.by_id:
            fields.refuse(("skip", position), unknown("step", step, journey.by_id))
    return [step for step in given if isinstance(step, str)]


def _check_place(fields: Fields, timezone: str | None, country: str | None, subdivision: str | None) -> None:
    refused: set[str] = set()
    # One after the other, so that each that is wrong is named.
    for place in ((timezone, None, None), (None, country, None), (None, country, subdivision)):
        try:
            check_place(*place)
        except PlaceError as error:
            if error.field not in refused:
                fields.refuse((error.field,), str(error))
            refused.add(error.field)


def _check_traits(fields: Fields, traits: dict[str, Any], route: Route) -> None:
    for message in trait_problems(route, traits):
        named = re.match(r"trait '([^']*)'", message)
        place = ("traits", named.group(1)) if named else ("traits",)
        fields.refuse(place if place in fields.document.keys else ("traits",), message, named=False)


def _doubtful_traits(fields: Fields, traits: dict[str, Any], route: Route) -> list[Problem]:
    """Undeclared traits are accepted (§7.12); one that looks like a declared one is probably a slip."""
    absent = [name for name in route.trait_kinds if name not in traits]
    notes = []
    for name in traits:
        meant = nearest(name, absent) if route.declared and name not in route.trait_kinds else None
        if meant:
            message = f"the journey declares no such trait and never reads it: did you mean '{meant}'?"
            notes.append(fields.document.problem(("traits", name), message, "warning"))
    return notes


__all__ = ["ReadCustomer", "read_customer"]
