"""Tasks: work for people. `open` until a person completes one (`done`) or the journey no longer needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, select, update

from firstmile.journey.instants import Instant
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import tasks

TaskState = Literal["open", "done", "closed"]


HELP: Final = "/help"
"""Ends the step of a task that a customer's "I need help" opened: it outlives the step."""

UNDELIVERED: Final = "/undelivered"
"""Ends the step of a task that a necessary message opened which did not arrive."""

ASIDE: Final = (HELP, UNDELIVERED)
"""Tasks that are no steps of the journey: only the store has them, and they outlive the journey."""


@dataclass(slots=True, frozen=True)
class NewTask:
    """A task to be opened.

    `owner` is a person's id, `team` says who else may take it, `due` is journey time.
    """

    key: str
    subject: str
    enrolment: int
    step: str
    title: str
    owner: str | None = None
    team: str | None = None
    due: Instant | None = None
    checklist: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Task:
    """One task. `reason` says why it was closed; `ended_at` and `ended_by` go with `done` and `closed`."""

    key: str
    subject: str
    enrolment: int
    step: str
    title: str
    owner: str | None
    team: str | None
    due: Instant | None
    checklist: tuple[str, ...]
    state: TaskState
    reminded: int
    escalated_to: str | None
    reason: str | None
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None


async def open_task(tx: Writing, new: NewTask, now: datetime) -> Task:
    """Open a task, or find the one that was opened under its key."""
    row = {field.name: getattr(new, field.name) for field in fields(new)}
    statement = tx.insert(tasks).values(
        row | {"checklist": list(new.checklist), "state": "open", "reminded": 0, "created_at": now}
    )
    found = await tx.first(statement.on_conflict_do_nothing().returning(tasks))
    if found is not None:
        return _task(found)
    there = await get(tx, new.key)
    assert there is not None
    return there


async def open_all(tx: Writing, new: Iterable[NewTask], now: datetime) -> None:
    """Open several tasks, in one statement; those that were opened before stay as they are."""
    rows = [
        {field.name: getattr(one, field.name) for field in fields(one)}
        | {"checklist": list(one.checklist), "state": "open", "reminded": 0, "created_at": now}
        for one in sorted(new, key=lambda one: one.key)
    ]
    if rows:
        await tx.execute(tx.insert(tasks).on_conflict_do_nothing(), rows)


async def complete(tx: Writing, key: str, *, actor: str, now: datetime) -> Task | None:
    """A person did it. None if it is not open."""
    return await _change(tx, key, "open", {"state": "done", "ended_at": now, "ended_by": actor})


async def close(tx: Writing, key: str, *, reason: str, now: datetime) -> Task | None:
    """It is no longer needed. None if it is not open."""
    return await _change(tx, key, "open", {"state": "closed", "ended_at": now, "reason": reason})


async def end_of_step(
    tx: Writing,
    subject: str,
    enrolment: int,
    step: str,
    *,
    actor: str | None,
    reason: str | None,
    now: datetime,
) -> None:
    """The step of a journey was settled: what is open for it was done by `actor`, or is no longer needed."""
    values: dict[str, Any] = {"state": "done", "ended_at": now, "ended_by": actor}
    if actor is None:
        values = {"state": "closed", "ended_at": now, "reason": reason}
    await tx.execute(update(tasks).where(_open_of(subject, enrolment), tasks.c.step == step).values(values))


async def end_of_journey(tx: Writing, subject: str, enrolment: int, *, now: datetime) -> None:
    """The journey ended: its tasks are closed. Those aside of it stay open, until a person has done them."""
    aside = [tasks.c.step.not_like("%" + ending) for ending in ASIDE]
    concerned = and_(_open_of(subject, enrolment), *aside)
    closed = {"state": "closed", "ended_at": now, "reason": "journey ended"}
    await tx.execute(update(tasks).where(concerned).values(closed))


async def reopen(tx: Writing, key: str) -> Task | None:
    """Take completion or closing back. None if it is open."""
    back = {"state": "open", "ended_at": None, "ended_by": None, "reason": None}
    return await _change(tx, key, ("done", "closed"), back)


async def remind(tx: Writing, key: str, number: int) -> Task | None:
    """Its owner was reminded for the `number`th time. None if it is not open, or that was noted already."""
    return await _change(tx, key, "open", {"reminded": number}, tasks.c.reminded < number)


async def escalate(tx: Writing, key: str, to: str) -> Task | None:
    """It went to somebody else because it took too long. None if it is not open."""
    return await _change(tx, key, "open", {"escalated_to": to})


async def hand_over(tx: Writing, key: str, owner: str) -> Task | None:
    """Another person owns it now. None if it is not open."""
    return await _change(tx, key, "open", {"owner": owner})


async def get(db: Reading, key: str) -> Task | None:
    """A task by its key, or None."""
    row = await db.first(select(tasks).where(tasks.c.key == key))
    return None if row is None else _task(row)


async def of(db: Reading, subject: str, enrolment: int, step: str | None = None) -> list[Task]:
    """The tasks of one enrolment, or of one step of it, oldest first."""
    statement = select(tasks).where(tasks.c.subject == subject, tasks.c.enrolment == enrolment)
    if step is not None:
        statement = statement.where(tasks.c.step == step)
    return [_task(row) for row in await db.all(statement.order_by(tasks.c.created_at, tasks.c.key))]


async def find(
    db: Reading,
    *,
    owner: str | None = None,
    team: str | None = None,
    state: TaskState = "open",
    limit: int = 100,
) -> list[Task]:
    """Tasks of a person, of a team, or all: what is due first, first; without a due time, last."""
    statement = select(tasks).where(tasks.c.state == state)
    if owner is not None:
        statement = statement.where(tasks.c.owner == owner)
    if team is not None:
        statement = statement.where(tasks.c.team == team)
    statement = statement.order_by(tasks.c.due.is_(None), tasks.c.due, tasks.c.created_at, tasks.c.key)
    return [_task(row) for row in await db.all(statement.limit(limit))]


async def _change(
    tx: Writing, key: str, state: str | tuple[str, ...], values: dict[str, Any], *also: ColumnElement[bool]
) -> Task | None:
    states = (state,) if isinstance(state, str) else state
    condition = and_(tasks.c.key == key, tasks.c.state.in_(states), *also)
    row = await tx.first(update(tasks).where(condition).values(**values).returning(tasks))
    return None if row is None else _task(row)


def _open_of(subject: str, enrolment: int) -> ColumnElement[bool]:
    return and_(tasks.c.subject == subject, tasks.c.enrolment == enrolment, tasks.c.state == "open")


def _task(row: AnyRow) -> Task:
    return Task(**{**row._mapping, "checklist": tuple(row.checklist)})
