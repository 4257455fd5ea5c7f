"""The names that expressions and templates may use about a customer, answered from the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firstmile.journey.calendar import Calendar
from firstmile.journey.expressions import ABSENT
from firstmile.journey.instants import Instant
from firstmile.journey.model import Survey
from firstmile.journey.route import Route
from firstmile.journey.state import State


@dataclass(slots=True, frozen=True)
class Facts:
    """What expressions and templates may ask about a customer, as known at one instant.

    `absent` names declared optional traits that the customer does not have.
    """

    day: int
    traits: dict[str, Any] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)

    def names(self, properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The names as expressions see them; `properties` are those of an event, in `where`."""
        found: dict[str, Any] = {
            "traits": {**self.traits, **dict.fromkeys(self.absent, ABSENT)},
            "owner": self.owners,
            "day": self.day,
            "reached": lambda step: step in self.reached,
            "missed": lambda step: step in self.missed,
            "done": lambda step: step in self.done,
            "skipped": lambda step: step in self.skipped,
            "result": lambda step: self.results.get(step, {}),
            "count": lambda event: self.counts.get(event, 0),
            "variant": lambda experiment: self.variants[experiment],
        }
        if properties is not None:
            found["properties"] = dict(properties)
        return found


def facts(route: Route, calendar: Calendar, state: State, now: Instant) -> Facts:
    """Everything that may be asked about a customer at `now`."""
    records = state.steps
    if route.declared:
        traits = {name: value for name, value in state.traits.items() if name in route.trait_kinds}
    else:
        traits = dict(state.traits)
    return Facts(
        day=calendar.day(now) - calendar.day(state.enrolled_at),
        traits=traits,
        absent=sorted(name for name in route.optional if name not in traits),
        owners=dict(state.owners),
        reached=[step for step, record in records.items() if record.reached_at is not None],
        missed=[step for step, record in records.items() if record.missed_at is not None],
        done=[step for step, record in records.items() if record.done_at is not None],
        skipped=[step for step, record in records.items() if record.phase == "skipped"],
        results=results(route, state),
        counts=dict(state.counts),
        variants=dict(state.variants),
    )


def results(route: Route, state: State) -> dict[str, dict[str, Any]]:
    """What `result(id)` gives: a survey always has `answered` and `low`."""
    found: dict[str, dict[str, Any]] = {}
    for stop in route.stops:
        result = state.steps[stop.id].result
        if isinstance(stop.step.does, Survey):
            found[stop.id] = survey_result(stop.step.does, result)
        elif result:
            found[stop.id] = result
    return found


def survey_result(survey: Survey, result: dict[str, Any] | None) -> dict[str, Any]:
    """`answered`, `low` (inclusive, JOURNEYS §7.7) and, when answered, `score` and `comment`."""
    if result is None:
        return {"answered": False, "low": False}
    score: Any = result.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    low = is_number and survey.low is not None and bool(score <= survey.low)
    return {**result, "answered": True, "low": low}
