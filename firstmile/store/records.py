"""What rides on an effect: journal entries and the view, in the effect's own transaction (DESIGN §2.4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from firstmile.contracts import Records
from firstmile.journey.instants import Instant
from firstmile.store import journal, owners, tasks, views
from firstmile.store.database import Writing

_WITH_TASKS: Final = frozenset({"task", "checkin", "request"})
"""Kinds of step whose people's work ends with them."""


async def write(
    tx: Writing,
    records: Records,
    now: datetime,
    *,
    succeeded: bool = False,
    outcome_at: Instant | None = None,
) -> None:
    """Write the records: once or again, it comes to the same. Two statements, and one for the numbers.

    If the effect `succeeded`, its success entry is written too, at `outcome_at`, and the view is the one it
    leads to. Raises `ValueError` if it succeeded and nobody says when.
    """
    entries = list(records.entries)
    if succeeded and records.success is not None:
        if outcome_at is None:
            raise ValueError("an effect that succeeded did so at some instant: outcome_at is missing")
        entries.append(replace(records.success, at=outcome_at))
    fresh = await journal.write(tx, records.subject, records.enrolment, records.segment, entries)
    view = (records.success_view if succeeded else None) or records.view
    if view is not None:
        await views.write(
            tx,
            records.subject,
            records.enrolment,
            records.segment,
            records.version,
            view,
            now,
            enrolled_at=next((entry.at for entry in entries if entry.change == "enrolled"), None),
        )
    for entry in fresh:
        if entry.step is not None:
            if entry.kind in _WITH_TASKS and entry.change in ("done", "skipped"):
                await tasks.end_of_step(
                    tx,
                    records.subject,
                    records.enrolment,
                    entry.step,
                    actor=entry.actor if entry.change == "done" else None,
                    reason=entry.reason,
                    now=now,
                )
        elif entry.change in journal.FINISHED:
            await owners.release(tx, records.subject, records.enrolment, now)
            await tasks.end_of_journey(tx, records.subject, records.enrolment, now=now)
