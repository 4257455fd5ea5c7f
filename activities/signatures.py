"""The activities by name, as workflows call them: what each takes and gives, and how long it may take.

Workflows import this module and no other of the room, so that nothing of an effect is loaded into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio.common import Priority, RetryPolicy

EFFECTS = {
    "email": "send_email",
    "training": "invite_to_training",
    "survey": "send_survey",
    "checkin": "send_checkin",
    "provision": "provision",
    "assign": "assign_owner",
    "task": "open_task",
}
"""Kind of step -> the activity that carries out its effects: EffectRequest -> EffectOutcome."""

SENDING = frozenset({"email", "training", "survey", "checkin"})
"""The kinds whose effects write to customers. They run on a task queue of their own: a provider that is slow,
or a rate that it asks for, holds up messages and nothing else."""

TRANSACTIONAL_FIRST = Priority(priority_key=1)
"""Of the messages that wait for their turn, those that a customer waits for go first; others have
Temporal's default, 3."""

ELSEWHERE = "Elsewhere"
"""The type of the error that says: ask for this effect on the task queue where it belongs."""

RECORD = "write_records"
"""Writes journal entries and a view: Records -> None."""

PREPARE = "prepare_start"
"""What a start by a bare Temporal client left out: Start -> Start."""

BULK = "give_commands"
"""Gives the command of a bulk job to a stretch of its list: BulkBatch -> BulkProgress."""

BULK_ROOM = timedelta(minutes=2)
"""How long a stretch may take beyond its own pace: customers who do not answer, a few at a time."""

BULK_HEARTBEAT = timedelta(seconds=10)
"""After how long without a sign of life a stretch is given to another worker."""

START_TO_CLOSE = timedelta(seconds=15)
"""Longer than any one attempt may take: a provider's time-out lies below it. Decides how fast the customers
of a killed worker go on."""

PROMPT = timedelta(seconds=60)
"""How long an effect may keep its customer's clock waiting for the next wake-up to be armed."""

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)
"""Effects are tried until they are decided: each attempt finds what an earlier one did, by its key."""

LOCAL = timedelta(seconds=1)
"""How long records may be written within a workflow task before they go by an ordinary activity."""

ONCE = RetryPolicy(maximum_attempts=1)


def queue_of(kind: str, task_queue: str) -> str:
    """The task queue of a kind's effects, for customers on `task_queue`."""
    return f"{task_queue}-send" if kind in SENDING else task_queue


def priority_of(params: Mapping[str, Any]) -> Priority:
    """The priority of an effect with these parameters."""
    return TRANSACTIONAL_FIRST if params.get("class") == "transactional" else Priority.default
