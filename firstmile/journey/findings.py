"""What a check works on: a journey, where it was written, and the problems found so far.

The journey may be only what is left of a file that has not the shape of one: then some steps may have
no kind (`kindless`), and nothing is said about places that are wrong already (`told`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from firstmile.journey.durations import Moment, Span
from firstmile.journey.model import STAYS_OPEN, Journey, Onboarded, Step
from firstmile.journey.problems import Place, Problem, in_order, unknown
from firstmile.journey.source import Document


@dataclass
class Findings:
    """The problems of one journey; `steps` are its steps with their positions in the file."""

    journey: Journey
    document: Document
    steps: list[tuple[int, Step]]
    kindless: list[tuple[int, Step]] = field(default_factory=list)
    """Steps of a wrong file that are of no kind, or of several: their `kind` cannot be asked for."""
    told: tuple[Place, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, journey: Journey, document: Document | None, file: str) -> Findings:
        """Findings for a whole journey; without a document its problems have no lines."""
        if document is None:
            tree = journey.model_dump(mode="json", by_alias=True, exclude_none=True)
            document = Document(file or f"{journey.journey}.yaml", tree)
        return cls(journey, document, list(enumerate(journey.steps)))

    @property
    def onboarded(self) -> Onboarded | None:
        """What onboarded means; None in what is left of a file that does not say it rightly."""
        found: Onboarded | None = vars(self.journey).get("onboarded")
        return found

    @cached_property
    def by_id(self) -> dict[str, Step]:
        """The steps by id; of two with one id the first."""
        found: dict[str, Step] = {}
        for _, step in self.steps:
            found.setdefault(step.id, step)
        return found

    @cached_property
    def positions(self) -> dict[str, int]:
        """The steps' positions in the file."""
        return {step.id: position for position, step in reversed(self.steps)}

    @cached_property
    def every_step(self) -> list[tuple[int, Step]]:
        """The steps, also those without a kind."""
        return sorted([*self.steps, *self.kindless], key=lambda placed: placed[0])

    @cached_property
    def unclear(self) -> frozenset[str]:
        """The ids of the steps without a kind."""
        return frozenset(step.id for _, step in self.kindless)

    @cached_property
    def ids(self) -> list[str]:
        """Every id that is taken, in the order of the file."""
        return list(dict.fromkeys(step.id for _, step in self.every_step))

    @cached_property
    def milestones(self) -> list[str]:
        """The ids of the milestones."""
        return [step.id for _, step in self.steps if step.kind == "milestone"]

    @cached_property
    def roles(self) -> list[str]:
        """The roles that the journey fills: the ids of its assign steps."""
        return [step.id for _, step in self.steps if step.kind == "assign"]

    def error(self, place: Place, message: str, *, key: bool = False) -> None:
        """Note an error, unless the place is wrong already."""
        if not any(place[: len(other)] == other for other in self.told):
            self.problems.append(self.document.problem(place, message, key=key))

    def warn(self, place: Place, message: str, *, key: bool = False) -> None:
        """Note something doubtful."""
        self.problems.append(self.document.problem(place, message, "warning", key=key))

    def in_order(self) -> list[Problem]:
        """The problems by line."""
        return in_order(self.problems)

    def kind_of(self, step_id: str, place: Place, where: str) -> str | None:
        """The kind of a step that is referred to; None, with an error noted, if there is none such."""
        step = self.by_id.get(step_id)
        if step is not None:
            return step.kind
        if step_id not in self.unclear:
            self.error(place, unknown("step", step_id, self.ids, where=f" {where}"))
        return None

    def milestone(self, step_id: str, place: Place, where: str, rule: str) -> None:
        """Note an error, with the rule that is broken, unless the id is that of a milestone."""
        kind = self.kind_of(step_id, place, where)
        if kind is not None and kind != "milestone":
            self.error(place, f"'{step_id}' is {a(kind)}: {rule}")

    def can_be_missed(self, step_id: str, place: Place, where: str) -> None:
        """Note an error unless the step is of a kind that can be missed."""
        kind = self.kind_of(step_id, place, where)
        if kind is not None and kind not in STAYS_OPEN:
            self.error(place, f"'{step_id}' is {a(kind)}: it is never missed, since it does not stay open")

    def moments(self) -> Iterator[tuple[Place, Moment]]:
        """Every moment of the journey, with its place."""
        journey = self.journey
        spans: list[tuple[Place, Span | None]] = [(("ends",), journey.ends)]
        spans.append((("onboarded", "within"), self.onboarded.within if self.onboarded else None))
        for position, step in self.every_step:
            spans.append((("steps", position, "wait"), step.wait))
            spans.append((("steps", position, "within"), step.within))
            if step.task is not None:
                spans.append((("steps", position, "task", "due"), step.task.due))
        return ((place, span) for place, span in spans if isinstance(span, Moment))


def a(word: str) -> str:
    """The word with its article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def listed(words: Iterable[str]) -> str:
    """The words in quotes, with commas."""
    return ", ".join(f"'{word}'" for word in words)
