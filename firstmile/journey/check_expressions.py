"""Whether what expressions and texts refer to exists: names, traits, roles, steps, experiments, variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from firstmile.journey.expressions import NAMES, Examined, References, examine_expression, examine_text
from firstmile.journey.findings import Findings
from firstmile.journey.model import Task
from firstmile.journey.problems import Place, nearest, unknown

RESULTS = {"survey": ("answered", "low", "score"), "milestone": ("event",)}
"""What the result of a step of this kind has. What others have is for the systems that give it to say."""


def check_expressions(findings: Findings) -> None:
    """Note every expression that cannot be compiled and every reference to what does not exist."""
    for place, text, in_where in _expressions(findings):
        _examine(findings, place, text, examine_expression(text), in_where)
    for position, step in findings.steps:
        parameters = step.does.model_dump(by_alias=True, exclude={"where"}, warnings=False)
        for place, text in _texts(parameters, ("steps", position, step.kind)):
            _examine(findings, place, text, examine_text(text), in_where=False)
        if step.task is not None:
            _check_people(findings, position, step.task)


def _expressions(findings: Findings) -> Iterator[tuple[Place, str, bool]]:
    for number, rule in enumerate(findings.journey.stop_when):
        if rule.where:
            yield ("stop_when", number, "where"), rule.where, True
    for position, step in findings.every_step:
        if step.when:
            yield ("steps", position, "when"), step.when, False
        if step.milestone is not None and step.milestone.where:
            yield ("steps", position, "milestone", "where"), step.milestone.where, True


def _texts(value: object, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, number))


def _examine(findings: Findings, place: Place, text: str, examined: Examined, in_where: bool) -> None:
    short = text if len(text) <= 80 else f"{text[:79]}…"
    for problem in examined.problems:
        findings.error(place, f'{problem} (in "{short}")')
    _look_up(findings, place, examined.references, in_where)


def _look_up(findings: Findings, place: Place, references: References, in_where: bool) -> None:
    journey = findings.journey
    for name in sorted(references.names - set(NAMES)):
        if name in (journey.traits or {}):
            findings.error(place, f"unknown name '{name}': did you mean 'traits.{name}'?")
        else:
            names = NAMES if in_where else NAMES[:-1]
            findings.error(place, unknown("name", name, names))
    if "properties" in references.names and not in_where:
        findings.error(place, "'properties' can only be read in 'where'")
    if journey.traits is not None:
        for trait in sorted(references.traits - set(journey.traits)):
            findings.error(place, unknown("trait", trait, journey.traits, "declare it in 'traits'"))
    for role in sorted(references.owners - set(findings.roles) - findings.unclear):
        findings.error(place, unknown("owner", role, findings.roles, "no assign step has this id"))
    for function, argument in references.functions:
        if function in _CALLS:
            _CALLS[function](findings, place, argument)
    for step_id, attribute in sorted(references.results):
        step = findings.by_id.get(step_id)
        has = RESULTS.get(step.kind) if step else None
        if step is not None and has and attribute not in has:
            findings.error(place, unknown("result", attribute, has, where=f" of the {step.kind} '{step_id}'"))
    for experiment, variant in sorted(references.variants):
        variants = journey.experiments.get(experiment)
        if variants and variant not in variants:
            findings.error(place, unknown("variant", variant, variants, where=f" of '{experiment}'"))


def _reached(findings: Findings, place: Place, step_id: str) -> None:
    findings.milestone(step_id, place, "in this expression", "only milestones are reached, others done")


def _missed(findings: Findings, place: Place, step_id: str) -> None:
    findings.can_be_missed(step_id, place, "in this expression")


def _any_step(findings: Findings, place: Place, step_id: str) -> None:
    findings.kind_of(step_id, place, "in this expression")


def _variant(findings: Findings, place: Place, experiment: str) -> None:
    experiments = findings.journey.experiments
    if experiment not in experiments:
        findings.error(place, unknown("experiment", experiment, experiments, "declare it in 'experiments'"))


# `count` is not among them: any event may be counted.
_CALLS: dict[str, Any] = {
    "reached": _reached,
    "missed": _missed,
    "done": _any_step,
    "skipped": _any_step,
    "result": _any_step,
    "variant": _variant,
}


def _check_people(findings: Findings, position: int, task: Task) -> None:
    """`owner` and `escalate_to` are roles or teams, and teams are free: only a near miss is worth a word."""
    teams = {step.assign.team for _, step in findings.steps if step.assign is not None}
    for key, name in (("owner", task.owner), ("escalate_to", task.escalate_to)):
        if not name or name in teams or name in findings.roles:
            continue
        if meant := nearest(name, findings.roles):
            findings.warn(
                ("steps", position, "task", key),
                f"no step assigns '{name}', so it is taken for a team: did you mean '{meant}'?",
            )


__all__ = ["RESULTS", "check_expressions"]
