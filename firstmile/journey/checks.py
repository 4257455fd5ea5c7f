"""What is wrong with a journey that has the right shape: every rule that can be held before anything runs.

Each rule is a function over `Findings`, listed in `find_errors`. A rule says where the fault stands and what
to write instead, and leaves alone what another rule has told. What is doubtful is the business of `doubts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from firstmile.journey.check_expressions import check_expressions
from firstmile.journey.doubts import find_doubts
from firstmile.journey.findings import Findings, a, listed
from firstmile.journey.model import STAYS_OPEN, Email, Journey, Training
from firstmile.journey.problems import Place, Problem, unknown
from firstmile.journey.source import Document

SCORES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
"""The lowest and the highest score of each kind of survey."""
NOT_YET = ("request", "notify", "webhook")
"""Kinds that a journey may have but that nothing carries out yet."""


def check(
    journey: Journey,
    *,
    document: Document | None = None,
    file: str = "",
    templates: Collection[str] | None = None,
    forms: Collection[str] | None = None,
) -> list[Problem]:
    """Every error and every warning of a journey, by line.

    `document` is what it was read from; without it problems have no line and name `file`. `templates` and
    `forms` are the names that exist; what is None is not looked up.
    """
    findings = Findings.of(journey, document, file)
    find_errors(findings, templates, forms)
    find_doubts(findings)
    return findings.in_order()


def find_errors(findings: Findings, templates: Collection[str] | None, forms: Collection[str] | None) -> None:
    """Note every error; also for what is left of a wrong file."""
    _unique_ids(findings)
    _conditions(findings)
    _until(findings)
    _joins(findings)
    _circles(findings)
    _onboarded_and_stages(findings)
    _moments(findings)
    _ends(findings)
    _experiments(findings)
    _scores(findings)
    _timezone(findings)
    _files(findings, "template", templates)
    _files(findings, "form", forms)
    check_expressions(findings)


def unavailable(journey: Journey, *, document: Document | None = None, file: str = "") -> list[Problem]:
    """What the format has but nothing carries out yet: `publish` refuses it."""
    findings = Findings.of(journey, document, file)
    if journey.subject != "customer":
        findings.error(("subject",), f"subject '{journey.subject}' is not yet available: write customer")
    for position, step in findings.steps:
        place: Place = ("steps", position, step.kind)
        if step.kind in NOT_YET:
            findings.error(place, f"the kind '{step.kind}' is not yet available", key=True)
        if isinstance(step.does, Email | Training):
            for key in ("to", "cc"):
                if getattr(step.does, key) is not None:
                    findings.error(
                        (*place, key), f"'{key}' is not yet available: messages go to the primary contact"
                    )
        if step.provision is not None and step.provision.function is not None:
            findings.error((*place, "function"), "'function' is not yet available: write system")
    return findings.in_order()


def _unique_ids(findings: Findings) -> None:
    first: dict[str, int] = {}
    for position, step in findings.every_step:
        if step.id in first:
            line = findings.document.line(("steps", first[step.id], "id"))
            where = f"it was first given in line {line}" if line else "each step needs one of its own"
            findings.error(("steps", position, "id"), f"duplicate step id '{step.id}': {where}")
        first.setdefault(step.id, position)


def _conditions(findings: Findings) -> None:
    for position, step in findings.every_step:
        for number, condition in enumerate(step.after):
            place: Place = ("steps", position, "after", number)
            if condition.step == step.id:
                findings.error(place, f"'{step.id}' waits for itself")
            elif condition.outcome == "missed":
                findings.can_be_missed(condition.step, place, "in after")
            else:
                kind = findings.kind_of(condition.step, place, "in after")
                if condition.outcome == "reached" and kind not in (None, "milestone"):
                    message = (
                        f"'{condition.step}' is {a(str(kind))}: only milestones are reached, others done"
                    )
                    findings.error(place, message)


def _until(findings: Findings) -> None:
    for position, step in findings.every_step:
        for number, milestone in enumerate(step.until):
            place: Place = ("steps", position, "until", number)
            if milestone == step.id and milestone in findings.milestones:
                findings.error(place, f"'{step.id}' would be skipped when it is reached")
            else:
                findings.milestone(milestone, place, "in until", "'until' takes milestones")


def _joins(findings: Findings) -> None:
    for position, step in findings.steps:
        for number, member in enumerate((step.milestone.all or []) if step.milestone else []):
            place: Place = ("steps", position, "milestone", "all", number)
            if member == step.id:
                findings.error(place, f"'{step.id}' waits for itself")
            else:
                findings.kind_of(member, place, "in all")


def _circles(findings: Findings) -> None:
    waits = {
        step.id: [
            other
            for other in dict.fromkeys(
                [condition.step for condition in step.after]
                + ((step.milestone.all or []) if step.milestone else [])
            )
            if other in findings.by_id and other != step.id
        ]
        for step in findings.by_id.values()
    }
    for circle in _find_circles(waits):
        field = "after" if findings.by_id[circle[0]].after else "milestone"
        findings.error(
            ("steps", findings.positions[circle[0]], field),
            f"these steps wait for each other: {' → '.join([*circle, circle[0]])}",
        )


def _find_circles(waits: dict[str, list[str]]) -> Iterator[list[str]]:
    """One circle for each group of steps that wait for each other, from the first step in the file."""
    finished: set[str] = set()
    for start in waits:
        path: list[str] = []
        stack = [(start, iter(waits[start]))] if start not in finished else []
        if stack:
            path.append(start)
        while stack:
            step, others = stack[-1]
            for other in others:
                if other in path:
                    yield path[path.index(other) :]
                elif other not in finished:
                    path.append(other)
                    stack.append((other, iter(waits[other])))
                    break
            else:
                finished.add(step)
                path.pop()
                stack.pop()


def _onboarded_and_stages(findings: Findings) -> None:
    onboarded = findings.onboarded
    if onboarded is not None and onboarded.milestone:
        place = ("onboarded", "milestone")
        findings.milestone(
            onboarded.milestone, place, "in onboarded", "customers are onboarded by a milestone"
        )
    stages = findings.journey.stages
    for number, stage in enumerate(stages):
        if stage.until is not None:
            here: Place = ("stages", number, "until")
            findings.milestone(stage.until, here, "in until", "stages end with milestones")
        elif number < len(stages) - 1:
            name = f"the stage '{stage.stage}'" if stage.stage else "this stage"
            findings.error(("stages", number, "until"), f"{name} never ends: name the milestone in 'until'")


def _moments(findings: Findings) -> None:
    traits = findings.journey.traits
    if traits is None:
        return
    dates = [name for name, kind in traits.items() if kind.startswith("date")]
    for place, moment in findings.moments():
        kind = traits.get(moment.trait)
        if kind is None:
            hint = "" if dates else "declare it as date or date?"
            findings.error(place, unknown("date trait", moment.trait, dates, hint))
        elif not kind.startswith("date"):
            findings.error(
                place, f"moments count from a date, and the trait '{moment.trait}' is a {kind.rstrip('?')}"
            )


def _ends(findings: Findings) -> None:
    if findings.journey.ends is not None:
        return
    moment = next(findings.moments(), None)
    endless = [step.id for _, step in findings.steps if step.kind in STAYS_OPEN and step.within is None]
    if moment is not None:
        findings.error(("ends",), f"'ends' is missing: it is required where moments occur ('{moment[1]}')")
    elif endless:
        some = listed(endless[:5]) + (" and others" if len(endless) > 5 else "")
        findings.error(
            ("ends",),
            f"'ends' is missing: it is required unless all that can stay open have 'within' (not so {some})",
        )


def _experiments(findings: Findings) -> None:
    for name, variants in findings.journey.experiments.items():
        if not variants:
            findings.error(("experiments", name), f"the experiment '{name}' has no variants")
        elif not any(variants.values()):
            findings.error(
                ("experiments", name), f"no variant of '{name}' has a weight above 0: nobody could get one"
            )


def _scores(findings: Findings) -> None:
    for position, step in findings.steps:
        survey = step.survey
        if survey is None or survey.low is None or survey.kind not in SCORES:
            continue
        lowest, highest = SCORES[survey.kind]
        if not lowest <= survey.low <= highest:
            findings.error(
                ("steps", position, "survey", "low"),
                f"scores of {survey.kind} go from {lowest} to {highest}: {survey.low} is outside",
            )


def _timezone(findings: Findings) -> None:
    # Reading the zone and holiday data takes a while; only this rule needs it.
    from firstmile.journey.slices import PlaceError, check_place

    try:
        check_place(findings.journey.defaults.timezone, None, None)
    except PlaceError as error:
        findings.error(("defaults", "timezone"), str(error))


def _files(findings: Findings, what: str, names: Collection[str] | None) -> None:
    """The templates or forms that steps name must be among those that exist."""
    if names is None:
        return
    where = {"template": "there is no folder templates/{}", "form": "there is no file of it in forms/"}[what]
    for position, step in findings.steps:
        name = getattr(step.does, what, None)
        if name and name not in names:
            findings.error(
                ("steps", position, step.kind, what), unknown(what, name, sorted(names), where.format(name))
            )


__all__ = ["NOT_YET", "SCORES", "check", "find_errors", "unavailable"]
