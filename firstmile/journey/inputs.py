"""What goes into the engine and what comes out of it, apart from the journal.

Inputs are events, commands, outcomes of effects, and the time. Effects are what the shell must do. All of
them are plain records; instants are journey time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from firstmile.journey.instants import Instant

CommandName = Literal[
    "pause",
    "resume",
    "skip",
    "retry",
    "run_now",
    "complete",
    "resend",
    "reopen",
    "cancel",
    "traits",
    "assign",
    "extend",
]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
NEED_STEP: frozenset[str] = frozenset({"skip", "retry", "run_now", "complete", "resend", "reopen", "assign"})
"""Commands that name a step."""

Purpose = Literal["run", "remind", "occur", "help", "review", "resend", "escalate", "undo"]
"""What an effect of a step is for: its own run, a reminder, a later occurrence of a check-in, the task that
"I need help" opens, the task of reviewing what was submitted, an escalation, or the compensation.
`resend` is how the engine remembers a `run` by which an operator sends a message again: no effect has it."""

OutcomeName = Literal["done", "open", "failed", "deferred", "skipped"]


class CommandRejected(Exception):
    """A command that cannot be carried out now; the message tells the operator why."""


@dataclass(slots=True, frozen=True)
class Subject:
    """Whom a journey is about. `traits` hold facts that conditions read, no personal data."""

    id: str
    timezone: str = "UTC"
    country: str | None = None
    subdivision: str | None = None
    locale: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    enrolment: int = 1
    skip: list[str] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Event:
    """A product event or an answer. `at` is its own time; it counts no later than its arrival."""

    event: str
    id: str
    at: Instant | None = None
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Command:
    """An operator's command. Which of the optional fields matter depends on `command`.

    `complete` of a request that is reviewed accepts what was submitted; with the `answer` "returned" the
    customer is asked again.
    """

    command: CommandName
    actor: str | None = None
    reason: str | None = None
    step: str | None = None
    until: Instant | None = None
    overdue: Literal["shift", "run", "skip"] = "shift"
    undo: bool = False
    traits: dict[str, Any] | None = None
    owner: str | None = None
    answer: str | None = None


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of the effect `effect`. `until` goes with `deferred`; `at` is when it came about.

    A provision that came back as `open` gets a second one, its callback: `done` or `failed`.
    """

    effect: str
    outcome: OutcomeName
    at: Instant
    reason: str | None = None
    until: Instant | None = None
    result: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Effect:
    """Something to do in the world, once per (step, purpose, occurrence, attempt).

    `number` is the journal number reserved for its outcome. `not_after` is the end of the window it was
    started in: later than that it must be deferred, not done.
    """

    id: str
    step: str
    kind: str
    purpose: Purpose
    occurrence: int
    attempt: int
    at: Instant
    number: int
    params: dict[str, Any]
    not_after: Instant | None = None
    due: Instant | None = None
