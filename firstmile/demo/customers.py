"""Who is in the demo: sample customers, our own colleagues, and how fast time goes for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from firstmile.demo.story import Scene, Work

SPEEDS: Final = MappingProxyType({"self_serve": 18_000.0, "team": 36_000.0, "enterprise": 36_000.0})
"""Journey time against the clock. The fastest that is allowed is 36,000: a day in 2.4 s, 90 days in 216 s."""

FASTEST: Final = 36_000.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a customer's journey must have ended. `steps`: how certain steps must have been settled."""

    status: str = "completed"
    onboarded: bool = True
    steps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """One sample customer.

    `offers`: agreed to be sent offers. `outage`: the provisioning system refuses them that many times.
    `silence`: SendGrid takes so many of their messages and the connection breaks before it says so.
    """

    id: str
    segment: str
    name: str
    company: str
    email: str
    timezone: str
    country: str
    locale: str
    about: str
    traits: Mapping[str, Any]
    scenes: tuple[Scene, ...]
    work: Mapping[str, Work] = field(default_factory=dict)
    offers: bool = False
    outage: int = 0
    silence: int = 0
    ending: Ending = Ending()


@dataclass(frozen=True, slots=True)
class Colleague:
    """One of our own people, in a team that journeys assign from."""

    id: str
    name: str
    team: str
    email: str


COLLEAGUES: Final = (
    Colleague("ann", "Ann Becker", "onboarding", "ann@acme-cloud.example"),
    Colleague("tomasz", "Tomasz Wilk", "onboarding", "tomasz@acme-cloud.example"),
    Colleague("leila", "Leila Haddad", "onboarding", "leila@acme-cloud.example"),
    Colleague("oscar", "Oscar Nyström", "finance", "oscar@acme-cloud.example"),
)

OPERATOR: Final = "Ann Becker"
"""Who gives the commands."""
