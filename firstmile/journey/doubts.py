"""What is doubtful in a journey: allowed, but probably not meant (JOURNEYS §2, `check`).

A doubt never keeps a journey from being used; it is told only where it can be argued from the file alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import product

from firstmile.journey.durations import DAY, Duration, Moment
from firstmile.journey.expressions import ExpressionError, References, compile_expression
from firstmile.journey.findings import Findings
from firstmile.journey.model import STAYS_OPEN, Condition, Step
from firstmile.journey.problems import Place, unknown
from firstmile.journey.route import MESSAGES

_WEEK = 7 * DAY
_MOST = 200
"""How many times of one step are looked at: more than a year of weekly reminders."""


def find_doubts(findings: Findings) -> None:
    """Note everything doubtful."""
    _starts_at_once(findings)
    _also_when_missed(findings)
    _never_drawn(findings)
    _never(findings)
    _too_late(findings)
    _too_many(findings)
    _never_told(findings)


def _never_told(findings: Findings) -> None:
    """Events of messages are ours: whoever misspells one waits for ever."""
    listened: list[tuple[Place, str]] = [
        (("stop_when", number, "event"), rule.event) for number, rule in enumerate(findings.journey.stop_when)
    ]
    for position, step in findings.steps:
        events = (step.milestone.event or []) if step.milestone else []
        listened += [(("steps", position, "milestone", "event"), event) for event in events]
    for place, event in listened:
        if event.startswith("message.") and event not in MESSAGES:
            findings.warn(place, f"nobody tells of it: {unknown('event', event, sorted(MESSAGES))}")


def _references(text: str | None) -> References:
    try:
        return compile_expression(text).references if text else References()
    except ExpressionError:
        return References()


def _starts_at_once(findings: Findings) -> None:
    for position, step in findings.steps:
        if step.after or step.wait is not None or step.when or not (step.customer_facing or step.task):
            continue
        findings.warn(
            ("steps", position),
            f"this {step.kind} starts at the moment of enrolment: give it 'after', 'wait' or 'when' "
            "unless that is meant",
        )


def _also_when_missed(findings: Findings) -> None:
    for position, step in findings.steps:
        considered = set(_references(step.when).called("reached", "missed", "done"))
        considered |= {condition.step for condition in step.after if condition.outcome != "settled"}
        considered |= set(step.until)
        for number, condition in enumerate(step.after):
            milestone = findings.by_id.get(condition.step)
            if milestone is None or milestone.kind != "milestone" or milestone.within is None:
                continue
            if condition.outcome == "settled" and condition.step not in considered:
                findings.warn(
                    ("steps", position, "after", number),
                    f"'{condition.step}' may be missed, and then this step runs too: write "
                    f"'reached {condition.step}' unless that is meant",
                )


def _never_drawn(findings: Findings) -> None:
    experiments = findings.journey.experiments
    for position, step in findings.steps:
        for experiment, variant in sorted(_references(step.when).variants):
            if experiments.get(experiment, {}).get(variant) == 0:
                findings.warn(
                    ("steps", position, "when"),
                    f"the variant '{variant}' of '{experiment}' has the weight 0: nobody gets it",
                )


def _never(findings: Findings) -> None:
    """Branches that can never be taken, and the steps that only they lead to."""
    never: set[str] = set()
    for position, step in _in_order(findings):
        reason: tuple[Place, str] | None = None
        place: Place = ("steps", position)
        for number, condition in enumerate(step.after):
            other = findings.by_id.get(condition.step)
            if reason is None and other is not None:
                told = _impossible(condition, other, step, never)
                reason = ((*place, "after", number), told) if told else None
        if reason is None and (told := _contradiction(step)):
            reason = ((*place, "after"), told)
        if reason is None and _is_false(step.when):
            reason = ((*place, "when"), "this is always false: the step never runs")
        members = (step.milestone.all or []) if step.milestone else []
        if reason is None and members and never.issuperset(members):
            reason = ((*place, "milestone"), "no member of this milestone can ever be done")
        if reason is not None:
            never.add(step.id)
            findings.warn(*reason)


def _impossible(condition: Condition, other: Step, step: Step, never: set[str]) -> str | None:
    if condition.outcome in ("done", "reached", "missed") and other.id in never:
        return f"nothing can reach this step: '{other.id}' never runs"
    if condition.outcome == "missed" and other.kind in STAYS_OPEN and other.within is None:
        return (
            f"this branch can never be taken: '{other.id}' has no 'within', "
            "so it is not missed before the journey ends"
        )
    if condition.outcome in ("reached", "done") and other.id in step.until:
        return f"this branch can never be taken: when '{other.id}' is reached, 'until' skips the step"
    return None


def _contradiction(step: Step) -> str | None:
    outcomes: dict[str, set[str]] = defaultdict(set)
    for condition in step.after:
        outcomes[condition.step].add(condition.outcome)
    for other, found in outcomes.items():
        if "skipped" in found and found & {"done", "reached", "missed"}:
            return f"this branch can never be taken: what is skipped is neither done nor missed ('{other}')"
    return None


def _is_false(text: str | None) -> bool:
    """Whether an expression that reads nothing is false."""
    try:
        expression = compile_expression(text or "true")
        references = expression.references
        return not references.names and not references.functions and not expression.is_true({})
    except ExpressionError:
        return False


def _in_order(findings: Findings) -> list[tuple[int, Step]]:
    """The steps so that each comes after what it waits for; those in a circle are left out."""
    waiting = [(position, step) for position, step in findings.steps if findings.by_id[step.id] is step]
    placed: set[str] = set()
    ordered: list[tuple[int, Step]] = []
    while True:
        ready = [
            (position, step)
            for position, step in waiting
            if all(other in placed or other not in findings.by_id for other in _waits_for(step))
        ]
        if not ready:
            return ordered
        ordered += ready
        placed |= {step.id for _, step in ready}
        waiting = [(position, step) for position, step in waiting if step.id not in placed]


def _waits_for(step: Step) -> list[str]:
    members = (step.milestone.all or []) if step.milestone else []
    return [condition.step for condition in step.after] + members


def _too_late(findings: Findings) -> None:
    """Steps that cannot start before the journey ends."""
    ends = findings.journey.ends
    if not isinstance(ends, Duration):
        return
    starts: dict[str, int] = {}
    for position, step in _in_order(findings):
        start = 0
        for condition in step.after:
            other = findings.by_id.get(condition.step)
            if other is not None:
                missed = condition.outcome == "missed" and isinstance(other.within, Duration)
                start = max(start, starts[other.id] + (_least(other.within) if missed else 0))
        late_before = start >= ends.at_most
        start += _least(step.wait)
        starts[step.id] = start
        if start >= ends.at_most and not late_before:
            findings.warn(
                ("steps", position),
                f"nothing can reach this step: it starts after {start // DAY} days at the earliest, "
                f"and the journey ends after {ends}",
            )


def _least(span: Duration | Moment | None) -> int:
    return span.at_least if isinstance(span, Duration) else 0


@dataclass(frozen=True)
class _Time:
    """When something happens, as far as the file says: so long after something whose own time is open."""

    since: tuple[object, ...]
    offset: int = 0


def _too_many(findings: Findings) -> None:
    """Whether more messages may fall into one week than the cap lets through.

    What depends on the customer (when a milestone is reached, when an answer comes) may happen at any time,
    in the worst case all in one week. What follows it at a fixed distance keeps its distance.
    """
    cap = findings.journey.defaults.cap
    if cap is None:
        return
    allowed = cap.messages * -(-_WEEK // cap.per.at_least)
    starts: dict[str, _Time] = {}
    messages: list[tuple[Step, _Time]] = []
    for _, step in _in_order(findings):
        starts[step.id] = start = _start(findings, step, starts)
        if step.capped:
            repeats = _repeats(findings, step)
            messages += [(step, _Time(start.since, start.offset + repeat)) for repeat in repeats]
    worst = 0
    for variants in _drawn(findings):
        weeks: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for step, time in messages:
            only = _only_for(step)
            if only is None or only in variants:
                weeks[time.since].append(time.offset)
        worst = max(worst, sum(_busiest(times) for times in weeks.values()))
    if worst > allowed:
        findings.warn(
            ("defaults", "cap"),
            f"in the worst case {worst} messages fall into one week, and the cap lets {allowed} through: "
            "the others come later than planned",
        )


def _start(findings: Findings, step: Step, starts: dict[str, _Time]) -> _Time:
    if isinstance(step.wait, Moment):
        sign = -1 if step.wait.before else 1
        return _Time(("trait", step.wait.trait), sign * step.wait.duration.at_least)
    befores = [
        _settled(other, condition.outcome, starts)
        for condition in step.after
        if (other := findings.by_id.get(condition.step)) is not None
    ]
    since = {before.since for before in befores}
    if not befores:
        last = _Time(("enrolment",))
    elif len(since) == 1:
        last = max(befores, key=lambda before: before.offset)
    else:
        last = _Time(("all of", step.id))
    return _Time(last.since, last.offset + _least(step.wait))


def _settled(other: Step, outcome: str, starts: dict[str, _Time]) -> _Time:
    start = starts.get(other.id, _Time(("enrolment",)))
    if outcome == "missed" and isinstance(other.within, Duration):
        return _Time(start.since, start.offset + other.within.at_least)
    if other.kind in ("email", "assign", "notify", "webhook", "provision"):
        return start
    return _Time(("end of", other.id))


def _repeats(findings: Findings, step: Step) -> list[int]:
    """How long after its start the step sends: at once, then reminders or further occurrences."""
    ends = findings.journey.ends
    until = step.within if isinstance(step.within, Duration) else ends
    limit = until.at_most if isinstance(until, Duration) else 26 * _WEEK
    every, times = getattr(step.does, "remind", None), _MOST
    if step.checkin is not None:
        every, times = step.checkin.every, step.checkin.times
    if not isinstance(every, Duration) or every.at_least <= 0:
        return [0]
    return [n * every.at_least for n in range(min(times, _MOST)) if n == 0 or n * every.at_least < limit]


def _busiest(times: list[int]) -> int:
    """The most of these times that fall into one week."""
    times = sorted(times)
    return max((sum(1 for other in times if time <= other < time + _WEEK) for time in times), default=0)


def _only_for(step: Step) -> tuple[str, str] | None:
    """The one variant whose customers this step is for, if its condition is plainly that."""
    variants = _references(step.when).variants
    plain = (
        step.when is not None and "==" in step.when and " or " not in step.when and "not " not in step.when
    )
    return next(iter(variants)) if len(variants) == 1 and plain else None


def _drawn(findings: Findings) -> list[set[tuple[str, str]]]:
    """Every combination of variants that a customer may get; only the first where there are too many."""
    experiments = findings.journey.experiments
    choices = [
        [(name, variant) for variant in variants] for name, variants in experiments.items() if variants
    ]
    combinations = (set(choice) for choice in product(*choices))
    return [choice for _, choice in zip(range(1000), combinations, strict=False)]


__all__ = ["find_doubts"]
