"""Who is overdue: active, with a next instant that is past; or with an open task that should be done.

What is due is journey time. For most customers that is the time on the wall; for those of another speed it is
worked out here, to the second. They are few, outside demonstrations, and found by an index of their own.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    extract,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from firstmile.journey.durations import MINUTE, SECOND
from firstmile.journey.instants import Instant
from firstmile.store.dialect import by_no_index
from firstmile.store.tables import enrolments, tasks, views

PATIENCE: Final = MINUTE
"""So long something that is due may take until it is overdue. Tasks have none: people were told when."""

# Written into the statement: a partial index is used only for what is known when it is planned.
_OPEN: Final = tasks.c.state == literal_column("'open'")
_FAST: Final = enrolments.c.speed != literal_column("1")


def holds(now: Instant) -> ColumnElement[bool]:
    """Whether a row of `views` is overdue."""
    fast = _at_speed(views.c.subject, views.c.enrolment)
    own = and_(enrolments.c.subject == views.c.subject, enrolments.c.number == views.c.enrolment)
    open_task = and_(tasks.c.subject == views.c.subject, tasks.c.enrolment == views.c.enrolment, _OPEN)
    active = by_no_index(views.c.status) == "active"
    late = and_(active, by_no_index(views.c.next_at) < now - PATIENCE)
    late_at_speed = and_(active, _past(views.c.next_at, now - PATIENCE))
    undone_at_speed = _exists(open_task, _past(tasks.c.due, now), of=(views, enrolments))
    return or_(
        and_(or_(late, _exists(open_task, tasks.c.due < now)), ~fast),
        and_(fast, _exists(own, or_(late_at_speed, undone_at_speed))),
    )


def candidates(now: Instant) -> Select[*tuple[Any, ...]]:
    """Everybody who is overdue, by subject and enrolment."""
    # One statement for each way to be overdue, since each has an index of its own.
    late = select(views.c.subject, views.c.enrolment).where(
        views.c.status == "active",
        views.c.next_at < now - PATIENCE,
        ~_at_speed(views.c.subject, views.c.enrolment),
    )
    undone = select(tasks.c.subject, tasks.c.enrolment).where(
        _OPEN, tasks.c.due < now, ~_at_speed(tasks.c.subject, tasks.c.enrolment)
    )
    of_speed = select(enrolments.c.subject, enrolments.c.number.label("enrolment")).where(_FAST)
    late_at_speed = _exists(
        views.c.subject == enrolments.c.subject,
        views.c.enrolment == enrolments.c.number,
        by_no_index(views.c.status) == "active",
        _past(views.c.next_at, now - PATIENCE),
        of=(enrolments,),
    )
    undone_at_speed = _exists(
        tasks.c.subject == enrolments.c.subject,
        tasks.c.enrolment == enrolments.c.number,
        _OPEN,
        _past(tasks.c.due, now),
        of=(enrolments,),
    )
    found = union_all(late, undone, of_speed.where(or_(late_at_speed, undone_at_speed))).subquery()
    return select(found.c.subject, found.c.enrolment)


def _at_speed(subject: ColumnElement[str], enrolment: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether an enrolment's journey time is not the time on the wall."""
    return tuple_(subject, enrolment).in_(select(enrolments.c.subject, enrolments.c.number).where(_FAST))


def _past(due: ColumnElement[Any], now: Instant) -> ColumnElement[bool]:
    """Whether what is due at an instant of the journey is past at a real one, by the enrolment's speed."""
    began = extract("epoch", enrolments.c.enrolled_at)
    return extract("epoch", due) < began + (literal(now / SECOND) - began) * enrolments.c.speed


def _exists(*conditions: ColumnElement[bool], of: tuple[Any, ...] = (views,)) -> ColumnElement[bool]:
    """Whether there is such a row: looked up for each row of `of`, never joined."""
    return select(literal(1)).where(*conditions).limit(1).correlate(*of).scalar_subquery().is_not(None)
