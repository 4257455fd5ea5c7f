"""The journal of every customer: what happened, entry by entry, in the order (`at`, `number`).

Entries arrive in any order, several times, and with holes between their numbers. Under one number they say the
same, but for one case: a workflow task that wrote records failed and was done again, a moment later or with an
event more. What was done again is what happened, so the later writing counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, select, update
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
    """Write entries, in one statement. Returns those that were not there before; only they are counted.

    Entries that are there already cost one look more, and a statement where they say something else.
    """
    if not entries:
        return []
    here = {"subject": subject, "enrolment": enrolment}
    rows = [here | {name: getattr(entry, name) for name in _NAMES} for entry in entries]
    inserted = {row.number for row in await tx.all(_insert(tx.dialect_name), rows)}
    given = {entry.number: entry for entry in reversed(entries)}
    known = [number for number in given if number not in inserted]
    fresh = [entry for number, entry in given.items() if number in inserted]
    if known:
        fresh += await _written_again(tx, here, segment, {number: given[number] for number in known})
    for entry in fresh:
        _count(tx, segment, entry)
    return fresh


async def _written_again(
    tx: Writing, here: dict[str, Any], segment: str, entries: dict[int, Entry]
) -> list[Entry]:
    """Write over those entries that say something else; returns them, and takes back what was counted."""
    mine = and_(*(journal.c[name] == value for name, value in here.items()))
    rows = await tx.all(select(*_FIELDS).where(mine, journal.c.number.in_(list(entries))))
    changed = []
    for row in rows:
        before = Entry(**row._mapping)
        after = entries[before.number]
        if before != after:
            values = {name: getattr(after, name) for name in _NAMES}
            await tx.execute(update(journal).where(mine, journal.c.number == after.number).values(values))
            _count(tx, segment, before, -1)
            changed.append(after)
    return changed


async def read(db: Reading, subject: str, enrolment: int) -> list[Entry]:
    """The journal of one enrolment, in the order shown to people."""
    here = (journal.c.subject == subject) & (journal.c.enrolment == enrolment)
    statement = select(*_FIELDS).where(here).order_by(journal.c.at, journal.c.number)
    return [Entry(**row._mapping) for row in await db.all(statement)]


@cache
def _insert(name: str) -> ReturningInsert[int]:
    return insert(name, journal).on_conflict_do_nothing().returning(journal.c.number)


def _count(tx: Writing, segment: str, entry: Entry, by: int = 1) -> None:
    of = {"segment": segment}
    if entry.step is not None:
        kind = entry.kind or "unknown"
        if entry.change in SETTLED:
            tx.tallies.count("steps_total", of | {"kind": kind, "outcome": entry.change}, by)
        elif entry.change == "running" and entry.due is not None:
            lag = max(0, entry.at - entry.due) / 1_000_000
            tx.tallies.observe("step_lag_seconds", {"kind": kind}, lag, by)
    elif entry.change == "enrolled":
        tx.tallies.count("onboardings_started_total", of, by)
    elif entry.change in FINISHED:
        tx.tallies.count("onboardings_finished_total", of | {"outcome": entry.change}, by)
    elif entry.change == "onboarded" and entry.seconds is not None:
        tx.tallies.observe("time_to_first_value_seconds", of, entry.seconds, by)
