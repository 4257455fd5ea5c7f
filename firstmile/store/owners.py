"""People of the company, and which customers they own in which role.

A person's load, how many unfinished enrolments they own, is a number of `tallies`: it changes last in each
transaction. Choosing locks the team first. So no two transactions wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, update

from firstmile.store.database import Reading, Writing, batched
from firstmile.store.tables import assignments, people, tallies
from firstmile.store.tallies import labels_text


@dataclass(slots=True, frozen=True)
class Person:
    """Somebody who can own customers. One who is not `active` gets no further ones."""

    id: str
    name: str
    team: str
    email: str | None = None
    active: bool = True


@dataclass(slots=True, frozen=True)
class Member:
    """A person, and how many unfinished enrolments they own."""

    person: Person
    load: int


@dataclass(slots=True, frozen=True)
class Assignment:
    """Who owns a customer in a role."""

    subject: str
    enrolment: int
    role: str
    person: str
    assigned_at: datetime
    released_at: datetime | None = None


@dataclass(slots=True, frozen=True)
class Unassigned:
    """Nobody could be chosen; the reason names the team."""

    reason: str


async def put(tx: Writing, person: Person) -> None:
    """Make a person known, or change one."""
    row = {"name": person.name, "email": person.email, "team": person.team, "active": person.active}
    statement = tx.insert(people).values(row | {"id": person.id})
    await tx.execute(statement.on_conflict_do_update(index_elements=[people.c.id], set_=row))


async def person(db: Reading, id: str) -> Person | None:
    """A person by id, or None."""
    row = await db.first(select(people).where(people.c.id == id))
    return None if row is None else Person(**row._mapping)


async def members(db: Reading, team: str | None = None) -> list[Member]:
    """Everybody of a team, or of all, by id."""
    statement = select(people) if team is None else select(people).where(people.c.team == team)
    found = [Person(**row._mapping) for row in await db.all(statement.order_by(people.c.id))]
    loads = await _loads(db, [person.id for person in found])
    return [Member(person, loads.get(person.id, 0)) for person in found]


async def assign(
    tx: Writing, team: str, subject: str, enrolment: int, role: str, now: datetime
) -> Assignment | Unassigned:
    """Give the role to the least loaded active member of the team, ties by id.

    Asked again, it is who it was.
    """
    statement = select(people).where(people.c.team == team).order_by(people.c.id)
    rows = await tx.all(statement.with_for_update(key_share=True))
    there = await tx.first(select(assignments).where(_role(subject, enrolment, role)))
    if there is not None:
        return Assignment(**there._mapping)
    if not rows:
        return Unassigned(f"there is no team '{team}': nobody is known in it")
    free = [row.id for row in rows if row.active]
    if not free:
        return Unassigned(f"nobody in team '{team}' is active")
    loads = await _loads(tx, free)
    chosen = min(free, key=lambda id: (loads.get(id, 0) + tx.tallies.pending("load", {"person": id}), id))
    new = Assignment(subject, enrolment, role, chosen, now)
    if await _give(tx, new):
        return new
    row = await tx.first(select(assignments).where(_role(subject, enrolment, role)))
    assert row is not None
    return Assignment(**row._mapping)


async def reassign(
    tx: Writing, subject: str, enrolment: int, role: str, to: str, now: datetime
) -> Assignment | Unassigned:
    """Give the role to a certain person, whoever had it."""
    if await person(tx, to) is None:
        return Unassigned(f"nobody is known as '{to}'")
    new = Assignment(subject, enrolment, role, to, now)
    if await _give(tx, new):
        return new
    here = _role(subject, enrolment, role)
    there = await tx.first(select(assignments).where(here).with_for_update())
    assert there is not None
    if there.released_at is None:
        _load(tx, there.person, -1)
        _load(tx, to, +1)
    statement = update(assignments).where(here).values(person=to, assigned_at=now).returning(assignments)
    row = await tx.first(statement)
    assert row is not None
    return Assignment(**row._mapping)


async def of(db: Reading, subject: str, enrolment: int) -> dict[str, Person]:
    """Who owns a customer, by role."""
    here = (assignments.c.subject == subject) & (assignments.c.enrolment == enrolment)
    statement = select(assignments.c.role, people).join(people).where(here).order_by(assignments.c.role)
    return {
        row.role: Person(**{name: value for name, value in row._mapping.items() if name != "role"})
        for row in await db.all(statement)
    }


async def first_of(db: Reading, subjects: Sequence[str]) -> dict[tuple[str, int], str]:
    """Who was the first to own each of these subjects, by subject and enrolment."""
    found: dict[tuple[str, int], str] = {}
    for some in batched(sorted(set(subjects))):
        statement = select(assignments).where(assignments.c.subject.in_(some))
        for row in await db.all(statement.order_by(assignments.c.assigned_at, assignments.c.role)):
            found.setdefault((row.subject, row.enrolment), row.person)
    return found


async def release(tx: Writing, subject: str, enrolment: int, now: datetime) -> None:
    """The enrolment is finished: it no longer counts as anybody's load. The assignments stay."""
    here = and_(
        assignments.c.subject == subject,
        assignments.c.enrolment == enrolment,
        assignments.c.released_at.is_(None),
    )
    statement = update(assignments).where(here).values(released_at=now).returning(assignments.c.person)
    for row in await tx.all(statement):
        _load(tx, row.person, -1)


async def _give(tx: Writing, new: Assignment) -> bool:
    """Whether nobody had the role, and this person has it now."""
    statement = tx.insert(assignments).values(
        subject=new.subject,
        enrolment=new.enrolment,
        role=new.role,
        person=new.person,
        assigned_at=new.assigned_at,
    )
    if (await tx.execute(statement.on_conflict_do_nothing())).rowcount != 1:
        return False
    _load(tx, new.person, +1)
    return True


async def _loads(db: Reading, ids: Sequence[str]) -> dict[str, int]:
    texts = {labels_text({"person": id}): id for id in ids}
    statement = (
        select(tallies.c.labels, func.sum(tallies.c.value))
        .where(tallies.c.metric == "load", tallies.c.labels.in_(texts))
        .group_by(tallies.c.labels)
    )
    return {texts[row[0]]: int(row[1]) for row in await db.all(statement)}


def _load(tx: Writing, person: str, by: int) -> None:
    tx.tallies.count("load", {"person": person}, by)


def _role(subject: str, enrolment: int, role: str) -> ColumnElement[bool]:
    return and_(
        assignments.c.subject == subject, assignments.c.enrolment == enrolment, assignments.c.role == role
    )
