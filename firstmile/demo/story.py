"""What a sample customer does, as data: scenes, each with a moment and an act. Pure.

Most scenes answer to something that really happened, a message that came or a task that was opened, so that a
story holds on whatever day, before whatever holiday, the demo is started. Days are days of journey time.
`Story.due` says what is to be done now, given what was seen so far; each thing once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, TypeAlias

Answer = Literal["good", "help"]

# ---- when ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """So many days after enrolment."""

    number: float


@dataclass(frozen=True, slots=True)
class After:
    """So many days after a message came: the step's own, its reminder, or a later occurrence."""

    step: str
    days: float
    purpose: Literal["run", "remind", "occur"] = "run"
    occurrence: int = 1


When: TypeAlias = Day | After

# ---- what ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Uses:
    """Uses the product: so many events of this name."""

    event: str
    times: int = 1
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers a survey on the page behind its link."""

    step: str
    score: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Replies:
    """Answers a check-in on the page behind its link."""

    step: str
    answer: Answer
    comment: str = ""


@dataclass(frozen=True, slots=True)
class OptsOut:
    """Unsubscribes on the page behind a message's link."""

    step: str


@dataclass(frozen=True, slots=True)
class Orders:
    """An operator gives a command. Traits may be dates `InDays`."""

    command: str
    step: str | None = None
    reason: str = ""
    traits: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


Act: TypeAlias = Uses | Rates | Replies | OptsOut | Orders


@dataclass(frozen=True, slots=True)
class Scene:
    """When this, then that."""

    when: When
    act: Act


@dataclass(frozen=True, slots=True)
class InDays:
    """A date so many days after enrolment."""

    days: int


@dataclass(frozen=True, slots=True)
class Work:
    """How an operator does a task: after so many days, entering traits first."""

    days: float = 0.8
    traits: Mapping[str, Any] = field(default_factory=dict)


# ---- what was seen ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """Which message: the step's own, its second reminder, its third occurrence."""

    step: str
    purpose: str = "run"
    occurrence: int = 1


@dataclass(slots=True)
class Seen:
    """What the world shows of one customer. Times are days of journey time since enrolment.

    `messages`: when each came. `tasks`: when each open task was first seen, by step. `failed`: likewise for
    failed steps. `over`: the journey has ended.
    """

    messages: dict[Note, float] = field(default_factory=dict)
    tasks: dict[str, float] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)
    over: bool = False


REPAIRED_AFTER = 0.6
"""Days from a step's failure to an operator's retry."""


@dataclass(frozen=True, slots=True)
class Due:
    """An act that is to be done now; `id` is the same however often it is asked for."""

    id: str
    act: Act


class Story:
    """What one customer, and the operators on their behalf, still have to do."""

    def __init__(self, scenes: tuple[Scene, ...], work: Mapping[str, Work]) -> None:
        self._scenes, self._work = scenes, work
        self._done: set[str] = set()

    def due(self, seen: Seen, day: float) -> list[Due]:
        """What is to be done on this day, in the order of the story; nothing that was marked as done.

        Once the journey is over only tasks are left: a customer's call for help outlives it.
        """
        scenes = () if seen.over else (*self._scened(seen, day), *self._repairs(seen, day))
        return [due for due in (*scenes, *self._tasks(seen, day)) if due.id not in self._done]

    def done(self, due: Due) -> None:
        """It was done: never again."""
        self._done.add(due.id)

    def _scened(self, seen: Seen, day: float) -> Iterator[Due]:
        for number, scene in enumerate(self._scenes, 1):
            moment = _moment(scene.when, seen)
            if moment is not None and moment <= day:
                yield Due(f"scene-{number}", scene.act)

    def _repairs(self, seen: Seen, day: float) -> Iterator[Due]:
        for step, since in seen.failed.items():
            if since + REPAIRED_AFTER <= day:
                reason = "the system is back: tried again"
                yield Due(f"retry-{step}-{since:.6f}", Orders("retry", step, reason))

    def _tasks(self, seen: Seen, day: float) -> Iterator[Due]:
        for step, since in seen.tasks.items():
            work = self._work.get(step, Work())
            if since + work.days > day:
                continue
            if work.traits:
                yield Due(
                    f"traits-{step}", Orders("traits", reason=f"entered with {step}", traits=work.traits)
                )
            yield Due(f"complete-{step}-{since:.6f}", Orders("complete", step, "done"))


def _moment(when: When, seen: Seen) -> float | None:
    if isinstance(when, Day):
        return when.number
    came = seen.messages.get(Note(when.step, when.purpose, when.occurrence))
    return None if came is None else came + when.days


def dated(traits: Mapping[str, Any], enrolled: date) -> dict[str, Any]:
    """Traits as they are sent: dates relative to enrolment become plain dates."""
    return {
        name: (enrolled + timedelta(days=value.days)).isoformat() if isinstance(value, InDays) else value
        for name, value in traits.items()
    }
