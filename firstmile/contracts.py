"""What crosses the borders: between service, workflow and activities. Frozen records, no behaviour of effects.

Nothing here carries personal data: a subject's id is opaque, traits are facts that conditions read, and who
a message goes to is looked up by the activity in the store. Instants are microseconds since the epoch in
*journey time*; `Clock` maps them to the clock on the wall.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from firstmile.journey.calendar import CalendarSlice
from firstmile.journey.inputs import OutcomeName, Purpose, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry, View
from firstmile.journey.scope import Facts


@dataclass(slots=True, frozen=True)
class Clock:
    """Journey time against real time (JOURNEYS §4, rule 8). Both instants in microseconds."""

    enrolled_at: Instant
    speed: float = 1.0

    def journey(self, real: Instant) -> Instant:
        """The journey time of a real instant."""
        return self.enrolled_at + round((real - self.enrolled_at) * self.speed)

    def real(self, journey: Instant) -> Instant:
        """The real instant of a journey time."""
        return self.enrolled_at + round((journey - self.enrolled_at) / self.speed)


@dataclass(slots=True, frozen=True)
class Records:
    """The journal entries and the view that ride on an effect (DESIGN §2.4).

    `entries` and `view` are written whatever becomes of the effect. If its outcome is `done`, `success` (its
    `at` then being the outcome's own) and `success_view` are written in the transaction that records it.
    """

    subject: str
    enrolment: int
    segment: str
    version: int
    entries: list[Entry]
    view: View | None = None
    success: Entry | None = None
    success_view: View | None = None


@dataclass(slots=True, frozen=True)
class EffectRequest:
    """What an activity is asked to do, once."""

    subject: str
    enrolment: int
    segment: str
    version: int
    step: str
    kind: str
    purpose: Purpose
    occurrence: int
    attempt: int
    params: dict[str, Any]
    facts: Facts
    timezone: str
    locale: str | None
    clock: Clock
    at: Instant
    not_after: Instant | None
    records: Records
    title: str | None = None
    due: Instant | None = None

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt that Temporal makes, another for an operator's."""
        return effect_key(
            self.subject, self.enrolment, self.step, self.purpose, self.occurrence, self.attempt
        )

    @property
    def resource(self) -> str:
        """What a provision sets up, whichever attempt does it: a hash of subject, enrolment and step."""
        return resource_of(self.subject, self.enrolment, self.step)


@dataclass(slots=True, frozen=True)
class EffectOutcome:
    """What became of an effect. `until` (journey time) goes with `deferred`."""

    outcome: OutcomeName
    at: Instant
    reason: str | None = None
    until: Instant | None = None
    result: dict[str, Any] | None = None


def effect_key(subject: str, enrolment: int, step: str, purpose: str, occurrence: int, attempt: int) -> str:
    """The key of an effect: SHA-256 of what it is, never of a run or of Temporal's attempt (DESIGN §3)."""
    return _digest("effect", subject, enrolment, step, purpose, occurrence, attempt)


def recipient_key(effect: str, address_key: str) -> str:
    """The key of an effect's message to a further recipient; the first has the effect's own."""
    return _digest("recipient", effect, address_key)


def resource_of(subject: str, enrolment: int, step: str) -> str:
    """The name under which a provision is known to its system, whichever attempt made it."""
    return _digest("resource", subject, enrolment, step)


def _digest(*parts: str | int) -> str:
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(slots=True, frozen=True)
class Kept:
    """What one run of a customer's workflow leaves to the next: state, and records not yet acknowledged."""

    state: dict[str, Any]
    outbox: list[Entry] = field(default_factory=list)
    acknowledged: View | None = None
    view_number: int = 0
    stage: str | None = None
    status: str | None = None


@dataclass(slots=True, frozen=True)
class Start:
    """What a customer's workflow is started with: everything that the engine will read (DESIGN §2.2).

    `journey` is the published journey as canonical JSON, `enrolled_at` the real instant at which journey time
    begins. A start by a bare Temporal client may carry the subject's id alone; the workflow then fetches the
    rest. `kept` is what crosses a continue-as-new.
    """

    subject: Subject
    segment: str = ""
    journey: str | None = None
    calendar: CalendarSlice | None = None
    enrolled_at: Instant = 0
    speed: float = 1.0
    kept: Kept | None = None


@dataclass(slots=True, frozen=True)
class EventSignal:
    """A product event or an answer, as signalled to a workflow; `at` is the event's own real instant."""

    event: str
    id: str
    at: Instant | None = None
    properties: dict[str, Any] = field(default_factory=dict)


FLUSH = "flush"
"""The signal that asks a workflow to tell the store again where its customer stands; see `Flush`."""


@dataclass(slots=True, frozen=True)
class Flush:
    """Tell the store again, with a view numbered higher than `newest`: the store may know one of later."""

    newest: int = 0


@dataclass(slots=True, frozen=True)
class Told:
    """What a customer's workflow has told the store, and what an enrolment of it would say.

    `acknowledged` is the number of the newest view that the store is known to have had, `newest` that of the
    newest view that was sent there. `enrolled_at` is a real instant.
    """

    enrolment: int
    segment: str
    version: int
    enrolled_at: Instant
    speed: float
    status: str
    acknowledged: int
    newest: int


@dataclass(slots=True, frozen=True)
class CommandRequest:
    """An operator's command as sent to a workflow; `until` is a real instant."""

    actor: str | None = None
    reason: str | None = None
    step: str | None = None
    until: Instant | None = None
    overdue: str = "shift"
    undo: bool = False
    traits: dict[str, Any] | None = None
    owner: str | None = None
    answer: str | None = None


@dataclass(slots=True, frozen=True)
class CommandResult:
    """What a command that was carried out did: where the customer stands after it."""

    command: str
    view: View


@dataclass(slots=True, frozen=True)
class Finished:
    """What a customer's workflow returns."""

    outcome: str
    onboarded: bool
    seconds_to_first_value: float | None = None


BULK_WORKFLOW = "bulk-command"
"""The workflow type of a command to many customers: no segment may be called so."""


@dataclass(slots=True, frozen=True)
class BulkStart:
    """What the workflow of a bulk job is started with, and what one run of it leaves to the next.

    The list is in the store; `after` is the place in it up to which everybody has had a turn, `rate` customers
    per second at most. `due` (real seconds since the epoch) and `lost` (seconds) keep the pace.
    """

    job: str
    customers: int
    rate: float
    after: int = 0
    due: float | None = None
    lost: float = 0.0
    stop: bool = False


@dataclass(slots=True, frozen=True)
class BulkBatch:
    """A stretch of a job's list: those at `after` < number <= `until`, one every `spacing` seconds.

    `late`: by how many seconds the stretch begins later than was due. `stop`: give none, and end the job.
    """

    job: str
    after: int
    until: int
    spacing: float
    late: float = 0.0
    stop: bool = False


@dataclass(slots=True, frozen=True)
class BulkProgress:
    """How a bulk job stands: `preparing`, `running`, `stopping`, `stopped` or `done`, and its results."""

    state: str
    customers: int = 0
    done: int = 0
    rejected: int = 0
    failed: int = 0
