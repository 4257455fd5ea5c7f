"""Enrolments: whether a sign-up was seen before, and what it was answered (DESIGN §2.1).

The row decides, not the workflow's id: a sign-up that is repeated, at once or years later, changes nothing
and gets the same answer. A row is `starting` until the workflow is known to run; a sweep finishes or removes
what stayed so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, bindparam, delete, select, update
from sqlalchemy.sql.dml import ReturningInsert

from firstmile.store import profiles
from firstmile.store.database import AnyRow, Reading, Writing, batched
from firstmile.store.dialect import insert
from firstmile.store.profiles import Profile
from firstmile.store.tables import enrolments
from firstmile.store.tables import profiles as profile_rows

# Every sign-up runs these: they are built once.
_HERE = and_(enrolments.c.subject == bindparam("the_subject"), enrolments.c.number == bindparam("the_number"))
_GET = select(enrolments).where(_HERE)
_STARTED = update(enrolments).where(_HERE, enrolments.c.state == "starting").values(state="started")


@dataclass(slots=True, frozen=True)
class NewEnrolment:
    """A sign-up. `request_hash` is of its body, `response` the body of the answer to it.

    `number` is 1, or one more for each time the same subject is onboarded again. `given` are the traits and the
    steps already done, with which a workflow that got lost at once can be started again.
    """

    subject: str
    segment: str
    version: int
    request_hash: str
    response: dict[str, Any]
    enrolled_at: datetime
    number: int = 1
    speed: float = 1.0
    given: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Enrolment:
    """One row. `tried_at` is when somebody last set out to start its workflow."""

    subject: str
    number: int
    segment: str
    version: int
    state: Literal["starting", "started"]
    request_hash: str
    response: dict[str, Any]
    enrolled_at: datetime
    speed: float
    created_at: datetime
    tried_at: datetime
    given: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Registered:
    """`created`: new. `same`: seen before, `enrolment` is what was stored. `different`: another body then."""

    outcome: Literal["created", "same", "different"]
    enrolment: Enrolment


def request_hash(body: Mapping[str, Any]) -> str:
    """SHA-256 of a sign-up's body as canonical JSON: the order of its keys does not matter."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


async def register(tx: Writing, new: NewEnrolment, profile: Profile, now: datetime) -> Registered:
    """Write profile and enrolment, unless the enrolment exists; then nothing is changed.

    One that is the same and still `starting` counts as tried again: whoever asked goes on to start it.
    Raises `ValueError` if profile and enrolment are not of one subject.
    """
    if profile.subject != new.subject:
        raise ValueError(f"the profile is of {profile.subject}, the enrolment of {new.subject}")
    row = await tx.first(_insert(tx.dialect_name), _row(new, "starting", now))
    if row is not None:
        await profiles.write(tx, profile, now)
        return Registered("created", enrolment_of(row))
    here = _at(new.subject, new.number)
    row = await tx.first(select(enrolments).where(here).with_for_update())
    if row is None:  # removed by a sweep in this very moment: it is new after all
        return await register(tx, new, profile, now)
    if row.request_hash != new.request_hash:
        return Registered("different", enrolment_of(row))
    if row.state == "starting":
        await tx.execute(update(enrolments).where(here).values(tried_at=now))
    return Registered("same", enrolment_of(row))


async def adopt(tx: Writing, new: NewEnrolment, now: datetime) -> bool:
    """Write the row of a workflow that somebody started without one. False if there is one by now."""
    return await tx.first(_insert(tx.dialect_name), _row(new, "started", now)) is not None


async def mark_started(tx: Writing, subject: str, number: int) -> bool:
    """Its workflow runs. False if the row is gone: a sweep thought it given up; register it again."""
    if (await tx.execute(_STARTED, [{"the_subject": subject, "the_number": number}])).rowcount == 1:
        return True
    return await get(tx, subject, number) is not None


async def stale_starting(db: Reading, older_than: datetime, limit: int = 100) -> list[Enrolment]:
    """What stayed `starting` and was last tried before a moment, oldest first."""
    statement = select(enrolments).where(enrolments.c.state == "starting", enrolments.c.tried_at < older_than)
    return [enrolment_of(row) for row in await db.all(statement.order_by(enrolments.c.tried_at).limit(limit))]


async def remove_starting(tx: Writing, subject: str, number: int, older_than: datetime) -> bool:
    """Remove one that stayed `starting`, and the profile if nothing else needs it.

    False if it was started or tried again meanwhile.
    """
    stale = and_(_at(subject, number), enrolments.c.state == "starting", enrolments.c.tried_at < older_than)
    if (await tx.execute(delete(enrolments).where(stale))).rowcount != 1:
        return False
    others = select(enrolments.c.subject).where(enrolments.c.subject == subject)
    await tx.execute(delete(profile_rows).where(profile_rows.c.subject == subject, ~others.exists()))
    return True


async def get(db: Reading, subject: str, number: int) -> Enrolment | None:
    """One enrolment, or None."""
    row = await db.first(_GET, {"the_subject": subject, "the_number": number})
    return None if row is None else enrolment_of(row)


async def latest(db: Reading, subject: str) -> Enrolment | None:
    """The subject's newest enrolment; None if the subject is unknown."""
    statement = select(enrolments).where(enrolments.c.subject == subject)
    row = await db.first(statement.order_by(enrolments.c.number.desc()).limit(1))
    return None if row is None else enrolment_of(row)


@cache
def _insert(name: str) -> ReturningInsert[*tuple[Any, ...]]:
    return insert(name, enrolments).on_conflict_do_nothing().returning(enrolments)


def _row(new: NewEnrolment, state: str, now: datetime) -> dict[str, Any]:
    given = {field.name: getattr(new, field.name) for field in fields(new)}
    return given | {"state": state, "created_at": now, "tried_at": now}


async def latest_of(db: Reading, subjects: Sequence[str]) -> dict[str, Enrolment]:
    """The newest enrolment of each of these subjects that is known."""
    found: dict[str, Enrolment] = {}
    for some in batched(sorted(set(subjects))):
        statement = select(enrolments).where(enrolments.c.subject.in_(some))
        for row in await db.all(statement.order_by(enrolments.c.number)):
            found[row.subject] = enrolment_of(row)
    return found


def _at(subject: str, number: int) -> ColumnElement[bool]:
    return and_(enrolments.c.subject == subject, enrolments.c.number == number)


def enrolment_of(row: AnyRow) -> Enrolment:
    """An enrolment from its row."""
    return Enrolment(**row._mapping)
