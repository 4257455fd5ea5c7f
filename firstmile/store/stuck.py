"""Who is stuck, by the step that has failed and by why.

The view says which steps have failed; why, their last entry of that kind in the journal.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, literal, literal_column, or_, select

from firstmile.store.dialect import by_no_index, first_under
from firstmile.store.tables import journal, views

# Written into the statement: a partial index is used only for what is known when it is planned.
_FAILED = journal.c.change == literal_column("'failed'")


def holds(step: str | None, reason: str | None) -> ColumnElement[bool]:
    """Whether a row of `views` is stuck at a step, or for a reason in which this text occurs, or both."""
    is_stuck = by_no_index(views.c.status) == "stuck"
    if reason is None:
        return and_(is_stuck, first_under(views.c.steps, literal(step)) == "failed")
    later = journal.alias("later")
    another = (
        select(literal(1))
        .where(
            later.c.step == journal.c.step,
            later.c.subject == journal.c.subject,
            later.c.enrolment == journal.c.enrolment,
            later.c.change == literal_column("'failed'"),
            or_(
                later.c.at > journal.c.at, and_(later.c.at == journal.c.at, later.c.number > journal.c.number)
            ),
        )
        .limit(1)
        .correlate(journal)
        .scalar_subquery()
    )
    why = select(literal(1)).where(
        journal.c.subject == views.c.subject,
        journal.c.enrolment == views.c.enrolment,
        _FAILED,
        first_under(views.c.steps, journal.c.step) == "failed",
        journal.c.reason.icontains(reason, autoescape=True),
        another.is_(None),
    )
    if step is not None:
        why = why.where(journal.c.step == step)
    return and_(is_stuck, why.limit(1).correlate(views).scalar_subquery().is_not(None))


def candidates(step: str | None) -> Select[*tuple[Any, ...]] | None:
    """Everybody for whom a step has ever failed, by subject and enrolment."""
    if step is None:
        return None
    return select(journal.c.subject, journal.c.enrolment).where(_FAILED, journal.c.step == step)
