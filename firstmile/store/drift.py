"""What the store can say by itself of where it and Temporal, or two of its own tables, may disagree.

Nothing here decides: a page of customers who should be running, what people's work is left over, and whose
load is miscounted. The page is bounded; the other two look at open work only, and are for once a pass.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import and_, func, literal, or_, select, tuple_, union_all, update

from firstmile.store import views
from firstmile.store.database import Reading, Writing
from firstmile.store.enrolments import Enrolment, enrolment_of
from firstmile.store.journal import FINISHED
from firstmile.store.tables import assignments, enrolments, tallies, tasks
from firstmile.store.tables import views as view_rows
from firstmile.store.tasks import HELP
from firstmile.store.views import Customer

Place = tuple[str, int]
"""A subject and the number of an enrolment."""


@dataclass(slots=True, frozen=True)
class Unfinished:
    """An enrolment that was started and has not ended, as far as the store knows. `customer`: its view."""

    row: Enrolment
    customer: Customer | None


async def unfinished(db: Reading, after: Place, limit: int) -> list[Unfinished]:
    """A page of those who should be running, by subject and number."""
    same = and_(view_rows.c.subject == enrolments.c.subject, view_rows.c.enrolment == enrolments.c.number)
    place = tuple_(enrolments.c.subject, enrolments.c.number)
    statement = (
        select(enrolments)
        .outerjoin(view_rows, same)
        .where(
            enrolments.c.state == "started",
            or_(view_rows.c.status.is_(None), view_rows.c.status.not_in(FINISHED)),
            place > tuple_(literal(after[0]), literal(after[1])),
        )
        .order_by(enrolments.c.subject, enrolments.c.number)
        .limit(limit)
    )
    rows = [enrolment_of(row) for row in await db.all(statement)]
    known = await views.some(db, [(row.subject, row.number) for row in rows])
    return [Unfinished(row, known.get((row.subject, row.number))) for row in rows]


async def left_open(db: Reading, limit: int) -> list[Place]:
    """Finished enrolments that still have open tasks, those of "I need help" apart, or owners."""
    over = view_rows.c.status.in_(FINISHED)
    of_tasks = and_(view_rows.c.subject == tasks.c.subject, view_rows.c.enrolment == tasks.c.enrolment, over)
    of_owners = and_(
        view_rows.c.subject == assignments.c.subject, view_rows.c.enrolment == assignments.c.enrolment, over
    )
    still_open = (
        select(tasks.c.subject, tasks.c.enrolment)
        .join(view_rows, of_tasks)
        .where(tasks.c.state == "open", tasks.c.step.not_like("%" + HELP))
    )
    still_owned = (
        select(assignments.c.subject, assignments.c.enrolment)
        .join(view_rows, of_owners)
        .where(assignments.c.released_at.is_(None))
    )
    found: list[Place] = []
    for statement in (still_open, still_owned):
        found += [(row.subject, row.enrolment) for row in await db.all(statement.distinct().limit(limit))]
    return sorted(set(found))


async def miscounted(db: Reading) -> dict[str, int]:
    """By how much each person's load is too small (or, below nought, too large); only where it is.

    One statement, so that what it counts and what it compares that with are of the same moment.
    """
    owned = (
        select(literal(True), assignments.c.person, func.count())
        .where(assignments.c.released_at.is_(None))
        .group_by(assignments.c.person)
    )
    counted = (
        select(literal(False), tallies.c.labels, func.sum(tallies.c.value))
        .where(tallies.c.metric == "load")
        .group_by(tallies.c.labels)
    )
    differences: Counter[str] = Counter()
    for is_owned, name, number in await db.all(union_all(owned, counted)):
        if is_owned:
            differences[name] += int(number)
        else:
            differences[json.loads(name)["person"]] -= int(number)
    return {person: difference for person, difference in sorted(differences.items()) if difference}


async def own_again(tx: Writing, subject: str, enrolment: int) -> None:
    """Take back that the owners were released: the journey runs on after all."""
    here = and_(
        assignments.c.subject == subject,
        assignments.c.enrolment == enrolment,
        assignments.c.released_at.is_not(None),
    )
    statement = update(assignments).where(here).values(released_at=None).returning(assignments.c.person)
    for row in await tx.all(statement):
        tx.tallies.count("load", {"person": row.person})


def mend_load(tx: Writing, differences: dict[str, int]) -> None:
    """Count up or down what was miscounted."""
    for person, difference in differences.items():
        tx.tallies.count("load", {"person": person}, difference)
