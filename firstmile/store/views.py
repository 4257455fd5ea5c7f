"""The read model: where each customer stands. A view is never written over one with a higher number.

How many customers there are by segment, status and stage is kept beside it (`counts`), not counted. Who is
found by what is in `finding`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, func, select, update
from sqlalchemy.sql.dml import ReturningInsert

from firstmile.journey.instants import Instant, from_datetime
from firstmile.journey.journal import View
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.dialect import insert
from firstmile.store.tables import journal, tallies, views

_WAS = {"was_status": views.c.status, "was_stage": views.c.stage}
_OVER_A_LOWER_NUMBER = (
    update(views)
    .where(
        views.c.subject == bindparam("the_subject"),
        views.c.enrolment == bindparam("the_enrolment"),
        views.c.number < bindparam("the_number"),
    )
    .values(**_WAS)
    .returning(views.c.was_status, views.c.was_stage)
)


@dataclass(slots=True, frozen=True)
class Customer:
    """One enrolment as operators see it. `updated_at` tells the age of what is shown."""

    subject: str
    enrolment: int
    segment: str
    version: int
    enrolled_at: Instant
    view: View
    updated_at: datetime


@dataclass(slots=True, frozen=True)
class Count:
    """How many customers are there. `stage` is None where a journey has no stages."""

    segment: str
    status: str
    stage: str | None
    customers: int


async def write(
    tx: Writing,
    subject: str,
    enrolment: int,
    segment: str,
    version: int,
    view: View,
    now: datetime,
    enrolled_at: Instant | None = None,
) -> bool:
    """Write a view, mostly in one statement. False if this one or one with a higher number is there.

    `enrolled_at` is looked at when the row is made; None: the first entry of the journal says it.
    """
    key = {"subject": subject, "enrolment": enrolment}
    row = {
        "number": view.number,
        "segment": segment,
        "version": version,
        "status": view.status,
        "stage": view.stage,
        "onboarded_at": view.onboarded_at,
        "next_at": view.next,
        "steps": view.steps,
        "owners": view.owners,
        "paused_until": view.paused_until,
        "ends": view.ends,
        "updated_at": now,
    }
    was = None
    if enrolled_at is None:
        parameters = {"the_subject": subject, "the_enrolment": enrolment, "the_number": view.number}
        was = await tx.first(_OVER_A_LOWER_NUMBER, row | parameters)
    if was is None:
        began = enrolled_at if enrolled_at is not None else await _first_entry(tx, subject, enrolment, now)
        was = await tx.first(_upsert(tx.dialect_name), row | key | {"enrolled_at": began})
    if was is None:
        was = await _done_again(tx, subject, enrolment, view, row)
    if was is None:
        return False
    if was.was_status is not None:
        tx.tallies.count("customers", _place(segment, was.was_status, was.was_stage), -1)
    tx.tallies.count("customers", _place(segment, view.status, view.stage))
    return True


async def get(db: Reading, subject: str, enrolment: int | None = None) -> Customer | None:
    """One customer, in the newest enrolment unless told which; None if there is no view yet."""
    statement = select(views).where(views.c.subject == subject)
    if enrolment is not None:
        statement = statement.where(views.c.enrolment == enrolment)
    row = await db.first(statement.order_by(views.c.enrolment.desc()).limit(1))
    return None if row is None else customer_of(row)


async def some(db: Reading, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Customer]:
    """The views of several enrolments (a page of them), by subject and number."""
    wanted = views.c.subject.in_([subject for subject, _ in places])
    found = [customer_of(row) for row in await db.all(select(views).where(wanted))]
    return {(one.subject, one.enrolment): one for one in found if (one.subject, one.enrolment) in set(places)}


async def counts(db: Reading) -> list[Count]:
    """How many customers there are by segment, status and stage. Costs the same for a million of them."""
    total = func.sum(tallies.c.value)
    statement = (
        select(tallies.c.labels, total)
        .where(tallies.c.metric == "customers")
        .group_by(tallies.c.labels)
        .having(total > 0)
        .order_by(tallies.c.labels)
    )
    found: Sequence[tuple[dict[str, str], float]] = [
        (json.loads(row[0]), row[1]) for row in await db.all(statement)
    ]
    return [
        Count(labels["segment"], labels["status"], labels["stage"] or None, int(number))
        for labels, number in found
    ]


@cache
def _upsert(name: str) -> ReturningInsert[Any, Any]:
    new = insert(name, views)
    kept = {"subject", "enrolment", "enrolled_at", *_WAS}
    changed = {column.name: new.excluded[column.name] for column in views.c if column.name not in kept}
    return new.on_conflict_do_update(
        index_elements=[views.c.subject, views.c.enrolment],
        set_=changed | _WAS,
        where=views.c.number < new.excluded.number,
    ).returning(views.c.was_status, views.c.was_stage)


async def _done_again(
    tx: Writing, subject: str, enrolment: int, view: View, values: dict[str, Any]
) -> AnyRow | None:
    """Write over a view of the same number that says something else: a workflow task failed after it had
    written one, and was done again (`journal` has the same rule)."""
    mine = and_(views.c.subject == subject, views.c.enrolment == enrolment, views.c.number == view.number)
    row = await tx.first(select(views).where(mine))
    if row is None or customer_of(row).view == view:
        return None
    statement = update(views).where(mine).values(**_WAS).returning(views.c.was_status, views.c.was_stage)
    return await tx.first(statement, values)


async def _first_entry(db: Reading, subject: str, enrolment: int, now: datetime) -> Instant:
    here = (journal.c.subject == subject) & (journal.c.enrolment == enrolment)
    row = await db.first(select(journal.c.at).where(here).order_by(journal.c.at).limit(1))
    return from_datetime(now) if row is None else row.at


def _place(segment: str, status: str, stage: str | None) -> dict[str, str]:
    return {"segment": segment, "status": status, "stage": stage or ""}


def customer_of(row: AnyRow) -> Customer:
    """A customer from a row of `views`."""
    steps: dict[str, list[Any]] = row.steps
    view = View(
        number=row.number,
        status=row.status,
        stage=row.stage,
        onboarded_at=row.onboarded_at,
        next=row.next_at,
        steps={step: (phase, at) for step, (phase, at) in steps.items()},
        owners=row.owners,
        paused_until=row.paused_until,
        ends=row.ends,
    )
    return Customer(
        row.subject, row.enrolment, row.segment, row.version, row.enrolled_at, view, row.updated_at
    )
