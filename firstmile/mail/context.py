"""What a template sees: the names of JOURNEYS §2.

The same names come from an effect's request (`context_from`) and from a template's sample (`sample_context`).
Everything is plain values: a template reaches no object of the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from firstmile.contracts import EffectRequest
from firstmile.journey.expressions import ABSENT
from firstmile.journey.problems import unknown
from firstmile.mail.recipients import Addressee

Values = dict[str, Any]


class Recipient(Protocol):
    """What is read of a customer's profile (`store.profiles` has it)."""

    @property
    def name(self) -> str | None: ...
    @property
    def email(self) -> str | None: ...
    @property
    def company(self) -> str | None: ...
    @property
    def locale(self) -> str | None: ...
    @property
    def timezone(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Owner:
    """A person of ours, as the customer gets to know them."""

    name: str
    email: str | None = None


class Names(dict[str, Any]):
    """A mapping that a template reads with a dot. `label` is what an error calls it; with `forgiving`, what
    is not there is `ABSENT` (empty and false) instead of an error."""

    def __init__(self, label: str, values: Mapping[str, Any], *, forgiving: bool = False) -> None:
        super().__init__(values)
        self.label, self.forgiving = label, forgiving


def first_name(name: str | None) -> str | None:
    """The word to greet with: the first of several that is no title; None for a name of one word with an
    @."""
    words = [word for word in (name or "").split() if not re.fullmatch(r"(?i)(mr|mrs|ms|dr|prof)\.?", word)]
    return words[0] if words and "@" not in words[0] else None


def context_from(
    request: EffectRequest,
    profile: Recipient,
    *,
    recipient: Addressee | None = None,
    links: Mapping[str, str],
    brand: Mapping[str, Any],
    owners: Mapping[str, Owner] | None = None,
    session: Mapping[str, Any] | None = None,
) -> Values:
    """The context of one message. `recipient`: whom it is for, if not the customer's primary contact;
    `owners` by role; `session` of a training (`inviting`)."""
    facts, who = request.facts, recipient or Addressee(profile.email, profile.name)
    values: Values = {
        "customer": {
            "id": request.subject,
            "name": profile.name,
            "first_name": first_name(profile.name),
            "company": profile.company,
            "email": profile.email,
            "locale": profile.locale or request.locale,
            "timezone": request.timezone,
        },
        "recipient": {
            "name": who.name,
            "first_name": first_name(who.name),
            "email": who.email,
            "role": who.role,
            "copy": who.copy,
        },
        "traits": {**dict.fromkeys(facts.absent, ABSENT), **facts.traits},
        "owner": {role: {"name": owner.name, "email": owner.email} for role, owner in (owners or {}).items()},
        "day": facts.day,
        "reached": facts.reached,
        "missed": facts.missed,
        "done": facts.done,
        "skipped": facts.skipped,
        "results": facts.results,
        "counts": facts.counts,
        "variants": facts.variants,
        "links": links,
        "step": {
            "id": request.step,
            "title": request.title,
            "kind": request.kind,
            "occurrence": request.occurrence if request.purpose != "remind" else 1,
            "reminder": request.occurrence if request.purpose == "remind" else 0,
        },
    }
    if session is not None:
        values["session"] = session
    return _context(values, brand)


SAMPLE_NAMES = frozenset(
    ["customer", "traits", "absent", "owner", "day", "reached", "missed", "done", "skipped"]
) | frozenset(["results", "counts", "variants", "links", "step", "session", "recipient"])
"""What a sample.json may hold."""


def sample_context(sample: Mapping[str, Any], brand: Mapping[str, Any]) -> Values:
    """The context of a template's sample.json. Raises `ValueError` for a name that templates do not know."""
    if surplus := set(sample) - SAMPLE_NAMES:
        raise ValueError(unknown("name", min(surplus), SAMPLE_NAMES, ", ".join(sorted(SAMPLE_NAMES))))
    values = dict(sample)
    customer = dict.fromkeys(("id", "name", "first_name", "company", "email", "locale", "timezone"))
    customer |= values.get("customer", {})
    customer["first_name"] = customer["first_name"] or first_name(customer["name"])
    recipient: Values = {"role": None, "copy": False, "name": customer["name"], "email": customer["email"]}
    recipient |= values.get("recipient", {})
    recipient.setdefault("first_name", first_name(recipient["name"]))
    step = {"id": "sample", "title": None, "kind": "email", "occurrence": 1, "reminder": 0}
    values |= {"customer": customer, "recipient": recipient, "step": step | values.get("step", {})}
    values["traits"] = {**dict.fromkeys(values.get("absent", ()), ABSENT), **values.get("traits", {})}
    return _context(values, brand)


def _context(values: Mapping[str, Any], brand: Mapping[str, Any]) -> Values:
    results: Mapping[str, Any] = values.get("results", {})
    counts: Mapping[str, int] = values.get("counts", {})
    variants: Mapping[str, str] = values.get("variants", {})
    context: Values = {
        "brand": Names("brand", brand),
        "customer": Names("customer", values["customer"]),
        "recipient": Names("recipient", values["recipient"]),
        "traits": Names("traits", values.get("traits", {})),
        "owner": Names("owner", values.get("owner", {}), forgiving=True),
        "day": values.get("day", 0),
        "links": Names("links", values.get("links", {})),
        "step": Names("step", values["step"]),
        "result": lambda step: Names(f"result('{step}')", results.get(step, {})),
        "count": lambda event: counts.get(event, 0),
        "variant": variants.get,
    }
    for name in ("reached", "missed", "done", "skipped"):
        context[name] = _among(frozenset(values.get(name, ())))
    if "session" in values:
        context["session"] = Names("session", values["session"])
    return context


def _among(steps: Collection[str]) -> Callable[[str], bool]:
    return lambda step: step in steps
