"""What the engine tells the world: journal entries, and the view of a customer.

An *entry* says what happened to one step, or to the journey; entries are numbered, and people see them in the
order (`at`, `number`). The number of an effect's outcome is reserved when the effect starts, so numbers may
have holes. A *view* says where a customer stands now; a view with a higher number is newer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from firstmile.journey.instants import Instant

StepChange = Literal[
    "scheduled", "running", "open", "done", "skipped", "missed", "failed", "occurred", "undone"
]
JourneyChange = Literal["enrolled", "paused", "resumed", "stage", "onboarded", "completed", "stopped"]
Change = StepChange | JourneyChange

Status = Literal["active", "paused", "stuck", "completed", "stopped"]
FINISHED: frozenset[str] = frozenset({"completed", "stopped"})


@dataclass(slots=True, frozen=True)
class Entry:
    """One line of a customer's journal.

    `step` and `kind` are None for the journey itself. `due` goes with `scheduled`, `stage` with `stage`,
    `seconds` (since enrolment) with `onboarded`, `late` with `done`, `occurrence` with `occurred`, `actor`
    with what an operator's command did. `occurred` is one occurrence of a check-in or one reminder, or
    something noted about a step that did not change it (the reason says what).
    """

    number: int
    at: Instant
    change: Change
    step: str | None = None
    kind: str | None = None
    reason: str | None = None
    due: Instant | None = None
    stage: str | None = None
    seconds: float | None = None
    late: bool = False
    occurrence: int | None = None
    actor: str | None = None


@dataclass(slots=True, frozen=True)
class View:
    """Where a customer stands: the row of the read model.

    `steps` maps each step's id to its phase and, where one is known, the instant that matters next or last:
    `waiting` (none), `scheduled` (due), `running` (since), `open` (deadline or None), `done`, `skipped`,
    `missed`, `failed` (since). `next` is the next instant at which something is due, None when nothing is.
    """

    number: int
    status: Status
    stage: str | None
    onboarded_at: Instant | None
    next: Instant | None
    steps: dict[str, tuple[str, Instant | None]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    paused_until: Instant | None = None
    ends: Instant | None = None
