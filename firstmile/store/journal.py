"""The journal of every customer: what happened, entry by entry, in the order (`at`, `number`).

Entries arrive in any order, several times, and with holes between their numbers: the first writing counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlalchemy import select
from sqlalchemy.sql.dml import ReturningInsert

from firstmile.journey.journal import Entry
from firstmile.store.database import Reading, Writing
from firstmile.store.dialect import insert
from firstmile.store.tables import journal

SETTLED: Final = frozenset({"done", "skipped", "missed", "failed", "undone"})
"""Changes of a step that `steps_total` counts."""

FINISHED: Final = frozenset({"completed", "stopped"})
"""Changes of a journey that end it."""

_FIELDS = [column for column in journal.c if column.name not in ("subject", "enrolment")]
_NAMES = [column.name for column in _FIELDS]


async def write(
    tx: Writing, subject: str, enrolment: int, segment: str, entries: Sequence[Entry]
) -> list[Entry]:
    """Write entries, in one statement. Returns those that were not there before; only they are counted."""
    if not entries:
        return []
    here = {"subject": subject, "enrolment": enrolment}
    rows = [here | {name: getattr(entry, name) for name in _NAMES} for entry in entries]
    inserted = {row.number for row in await tx.all(_insert(tx.dialect_name), rows)}
    fresh = list({entry.number: entry for entry in reversed(entries) if entry.number in inserted}.values())
    for entry in fresh:
        _count(tx, segment, entry)
    return fresh


async def read(db: Reading, subject: str, enrolment: int) -> list[Entry]:
    """The journal of one enrolment, in the order shown to people."""
    here = (journal.c.subject == subject) & (journal.c.enrolment == enrolment)
    statement = select(*_FIELDS).where(here).order_by(journal.c.at, journal.c.number)
    return [Entry(**row._mapping) for row in await db.all(statement)]


@cache
def _insert(name: str) -> ReturningInsert[int]:
    return insert(name, journal).on_conflict_do_nothing().returning(journal.c.number)


def _count(tx: Writing, segment: str, entry: Entry) -> None:
    of = {"segment": segment}
    if entry.step is not None:
        kind = entry.kind or "unknown"
        if entry.change in SETTLED:
            tx.tallies.count("steps_total", of | {"kind": kind, "outcome": entry.change})
        elif entry.change == "running" and entry.due is not None:
            lag = max(0, entry.at - entry.due) / 1_000_000
            tx.tallies.observe("step_lag_seconds", {"kind": kind}, lag)
    elif entry.change == "enrolled":
        tx.tallies.count("onboardings_started_total", of)
    elif entry.change in FINISHED:
        tx.tallies.count("onboardings_finished_total", of | {"outcome": entry.change})
    elif entry.change == "onboarded" and entry.seconds is not None:
        tx.tallies.observe("time_to_first_value_seconds", of, entry.seconds)
