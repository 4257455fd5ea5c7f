"""A journey made ready for the engine: the look-up tables that its rules ask for at every wake-up.

Nothing here changes while customers are on their way, so one `Route` serves every customer of a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from firstmile.journey.durations import Duration, Moment
from firstmile.journey.expressions import Expression, compile_expression, compile_text
from firstmile.journey.model import Checkin, Journey, Milestone, Step, Window

ANSWERS = {
    "survey.responded": "survey",
    "checkin.answered": "checkin",
    "request.submitted": "request",
    "training.completed": "training",
}
"""The events that answer a step, and the kind they answer."""

MESSAGES = frozenset(
    f"message.{what}"
    for what in ("delivered", "bounced", "dropped", "complained", "unsubscribed", "opened", "clicked")
)
"""The events that say what became of a message, with the `step` and `template` that it was of."""


@dataclass(slots=True, frozen=True)
class Stop:
    """Where one step stands on the route. `dependents` are looked at again whenever this step changes.

    `capped`: its messages wait and count under the cap. `joins` are the steps that a milestone of `all` joins.
    """

    index: int
    step: Step
    id: str
    kind: str
    window: Window | None
    spread: int
    when: Expression | None
    where: Expression | None
    dependents: tuple[int, ...]
    milestone: Milestone | None
    checkin: Checkin | None
    params: dict[str, Any]
    dynamic: bool
    wait: Duration | Moment | None
    remind: Duration | None
    capped: bool
    joins: tuple[str, ...]


class Route:
    """The journey's tables: stops in the order of the file, and who listens to what."""

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.index = {step.id: number for number, step in enumerate(journey.steps)}
        spread = journey.defaults.spread.at_least if journey.defaults.spread else 0
        self.stops = [
            Stop(
                index=number,
                step=step,
                id=step.id,
                kind=step.kind,
                window=journey.window_of(step),
                spread=spread,
                when=compile_expression(step.when) if step.when else None,
                where=compile_expression(step.milestone.where)
                if step.milestone and step.milestone.where
                else None,
                dependents=self._dependents(step.id),
                milestone=step.milestone,
                checkin=step.checkin,
                params=(params := step.does.model_dump(mode="json", exclude_none=True)),
                dynamic=bool(_texts(params)),
                wait=step.wait,
                remind=getattr(step.does, "remind", None),
                capped=step.capped,
                joins=tuple((step.milestone.all if step.milestone else None) or ()),
            )
            for number, step in enumerate(journey.steps)
        ]
        self.milestones: dict[str, list[int]] = {}
        for stop in self.stops:
            for event in (stop.milestone.event or []) if stop.milestone else []:
                self.milestones.setdefault(event, []).append(stop.index)
        self.stop_when = [
            (rule, compile_expression(rule.where) if rule.where else None) for rule in journey.stop_when
        ]
        self.answers: dict[str, list[int]] = {
            event: found
            for event, kind in ANSWERS.items()
            if (found := [stop.index for stop in self.stops if stop.kind == kind])
        }
        self.counted = self._counted()
        self.listens = (
            self.counted
            | set(self.milestones)
            | set(self.answers)
            | {rule.event for rule in journey.stop_when}
        )
        """Every event that can change anything for a customer of this journey."""
        declared = journey.traits or {}
        self.declared = journey.traits is not None
        self.optional = frozenset(name for name, kind in declared.items() if kind.endswith("?"))
        self.trait_kinds = {name: kind.rstrip("?") for name, kind in declared.items()}
        self.moment_traits = frozenset(moment.trait for moment in self._moments())

    def _dependents(self, step_id: str) -> tuple[int, ...]:
        steps = self.journey.steps
        return tuple(
            number
            for number, step in enumerate(steps)
            if any(condition.step == step_id for condition in step.after)
            or step_id in step.until
            or (step.milestone is not None and step_id in (step.milestone.all or ()))
        )

    def _moments(self) -> list[Moment]:
        spans = [self.journey.ends]
        for step in self.journey.steps:
            spans += [step.wait, step.within, step.task.due if step.task else None]
        return [span for span in spans if isinstance(span, Moment)]

    def _counted(self) -> set[str]:
        """The events that `count(…)` asks for, in any expression of the journey."""
        references = [stop.when.references for stop in self.stops if stop.when]
        references += [stop.where.references for stop in self.stops if stop.where]
        references += [where.references for _, where in self.stop_when if where]
        for step in self.journey.steps:
            for text in _texts(step.does.model_dump(exclude_none=True)):
                references.append(compile_text(text).references)
        return {
            argument
            for found in references
            for name, argument in found.functions
            if name == "count" and argument is not None
        }


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if "{{" in value else []
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


@lru_cache(maxsize=256)
def route_of(canonical: str) -> Route:
    """The route of a journey given as canonical JSON; shared by content, since many customers carry the same."""
    return Route(Journey.model_validate_json(canonical))
