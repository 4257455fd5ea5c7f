"""Finding customers: by words, and by everything that can be asked of where they stand; newest first.

Rules of the room: no question may cost more than another by much, however many customers there are. So each
condition can name its *candidates* from an index, and is counted first, up to `FEW`. If some condition has few
candidates, they are looked at one by one. If every one has many, customers are gone through from the newest on,
along an index, and no more than `SCANNED` at a time: a page may then be short, or even empty, and its cursor
goes on from there. No condition is written so that a database could think of a plan of its own: with a million
rows, its guesses are worth less than the counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, tuple_

from firstmile.journey.instants import Instant, to_datetime
from firstmile.store import overdue, stuck, words
from firstmile.store.columns import JourneyTime
from firstmile.store.database import AnyRow, Reading
from firstmile.store.dialect import by_no_index, look_up_only
from firstmile.store.tables import assignments, search_words, views
from firstmile.store.views import Customer, customer_of

FEW: Final = 3_000
"""So many candidates are looked at one by one."""

SCANNED: Final = 6_000
"""So many customers are gone through for one page at most."""

COUNTED: Final = 1_000
"""Nobody counts further, or looks at more than twice as many for it where candidates are not few."""

PLACE: Final = (views.c.enrolled_at, views.c.subject, views.c.enrolment)
"""Where a customer comes in the order of pages."""

_CURSOR: Final = re.compile(r"(?P<at>-?[0-9]{1,18})\.(?P<enrolment>[0-9]{1,9})\.(?P<subject>[!-~]+)")
_UNFINISHED: Final = frozenset({"active", "paused", "stuck"})


@dataclass(slots=True, frozen=True)
class Wanted:
    """Who is asked for: all conditions hold at once, and None asks nothing.

    `words` as `words.wanted` gives them. `owner` is the id of a person; of finished enrolments too. `overdue` is
    the real instant of the question: an active customer whose next instant is past, or an open task that should
    be done. `stuck` is the step that has failed, `reason` a part of why. `since` is when the enrolment began, or
    later.
    """

    words: tuple[str, ...] = ()
    segment: str | None = None
    status: str | None = None
    stage: str | None = None
    version: int | None = None
    owner: str | None = None
    overdue: Instant | None = None
    stuck: str | None = None
    reason: str | None = None
    since: Instant | None = None


EVERYBODY: Final = Wanted()


class NoCursor(ValueError):
    """It came with no page of ours."""


@dataclass(slots=True, frozen=True)
class Page:
    """Customers, newest enrolment first; `cursor` asks for the next page, None on the last."""

    customers: list[Customer]
    cursor: str | None


@dataclass(slots=True, frozen=True)
class Counted:
    """How many there are: `number`, or more of them, if `or_more`."""

    number: int
    or_more: bool


@dataclass(slots=True, frozen=True)
class _Condition:
    """One thing that is asked.

    `holds` is true of those rows of `views` that satisfy it, and leads a database to no index of `views`.
    `candidates` names everybody who may satisfy it by subject, and mostly enrolment; None if no index knows.
    `along` is the same as `holds`, where an index of `views` has those who satisfy it in the order of pages.
    """

    holds: ColumnElement[bool]
    candidates: Select[*tuple[Any, ...]] | None = None
    along: ColumnElement[bool] | None = None


async def find(
    db: Reading, wanted: Wanted = EVERYBODY, *, cursor: str | None = None, limit: int = 50
) -> Page:
    """A page of customers: `limit` at most, and fewer where many had to be gone through.

    Raises `NoCursor`.
    """
    after = None if cursor is None else _read_cursor(cursor)
    conditions = list(_conditions(wanted))
    await look_up_only(db.connection)
    chosen, few = await _rarest(db, conditions)
    if chosen is not None and few:
        return await _among(db, chosen, conditions, after, limit)
    return await _along(db, conditions, wanted.since, after, limit)


async def count(db: Reading, wanted: Wanted = EVERYBODY) -> Counted:
    """How many customers a search would find, up to `COUNTED`."""
    conditions = list(_conditions(wanted))
    await look_up_only(db.connection)
    chosen, few = await _rarest(db, conditions)
    found = select(literal(1))
    if chosen is None:
        found = found.select_from(views)
    else:
        assert chosen.candidates is not None
        some = chosen.candidates.limit(FEW if few else 2 * COUNTED)
        found = _looked_at(found, some).where(*(one.holds for one in conditions))
    row = await db.first(select(func.count()).select_from(found.limit(COUNTED + 1).subquery()))
    number: int = 0 if row is None else row[0]
    return Counted(min(number, COUNTED), number > COUNTED or not few)


def conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    """What is true of the views of all who are asked for: for whoever needs everybody, and goes through all."""
    return [one.holds for one in _conditions(wanted)]


# ---- how a page is found ---------------------------------------------------------------------------------


async def _rarest(db: Reading, conditions: Sequence[_Condition]) -> tuple[_Condition | None, bool]:
    """The condition with the fewest candidates, if any names some; and whether they are few."""
    able = [one for one in conditions if one.candidates is not None]
    if not able:
        return None, True
    row = await db.first(select(*(_capped(one) for one in able)))
    assert row is not None
    number, place = min((number, place) for place, number in enumerate(row))
    return able[place], number <= FEW


def _capped(condition: _Condition) -> ColumnElement[int]:
    assert condition.candidates is not None
    some = condition.candidates.limit(FEW + 1).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


async def _among(
    db: Reading,
    chosen: _Condition,
    conditions: Sequence[_Condition],
    after: tuple[Instant, str, int] | None,
    limit: int,
) -> Page:
    """A page of few candidates: each is looked at, and those who are left are put in order."""
    assert chosen.candidates is not None
    places = _looked_at(select(*PLACE), chosen.candidates).where(*(one.holds for one in conditions))
    if after is not None:
        places = places.where(_before(after))
    chosen_places = _newest_first(places).limit(limit + 1).subquery()
    same = and_(views.c.subject == chosen_places.c.subject, views.c.enrolment == chosen_places.c.enrolment)
    statement = select(views).join_from(chosen_places, views, same)
    rows = await db.all(_newest_first(statement))
    return _page(rows, limit)


async def _along(
    db: Reading,
    conditions: Sequence[_Condition],
    since: Instant | None,
    after: tuple[Instant, str, int] | None,
    limit: int,
) -> Page:
    """A page of those who are found when customers are gone through from the newest on."""
    line = next((one for one in conditions if one.along is not None), None)
    here = [] if line is None or line.along is None else [line.along]
    if since is not None:
        here.append(views.c.enrolled_at >= since)
    if after is not None:
        here.append(_before(after))
    others = [one.holds for one in conditions if one is not line]
    edge = None
    if others:
        last = _newest_first(select(*PLACE).where(*here)).offset(SCANNED - 1).limit(1)
        edge = await db.first(last)
    if edge is not None:
        here.append(tuple_(*PLACE) >= _place(edge.enrolled_at, edge.subject, edge.enrolment))
    rows = await db.all(_newest_first(select(views).where(*here, *others)).limit(limit + 1))
    page = _page(rows, limit)
    if page.cursor is None and edge is not None:
        return replace(page, cursor=_cursor(edge))
    return page


def _looked_at(
    what: Select[*tuple[Any, ...]], candidates: Select[*tuple[Any, ...]]
) -> Select[*tuple[Any, ...]]:
    """Something of the views of candidates, each of whom is named once."""
    once = select(*candidates.subquery().c).distinct().subquery()
    same = views.c.subject == once.c.subject
    if "enrolment" in once.c:
        same = and_(same, views.c.enrolment == once.c.enrolment)
    return what.join_from(once, views, same)


def _page(rows: Sequence[AnyRow], limit: int) -> Page:
    return Page(
        [customer_of(row) for row in rows[:limit]], _cursor(rows[limit - 1]) if len(rows) > limit else None
    )


def _newest_first(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return statement.order_by(*(column.desc() for column in PLACE))


def _before(place: tuple[Instant, str, int]) -> ColumnElement[bool]:
    return tuple_(*PLACE) < _place(*place)


def _place(at: Instant, subject: str, enrolment: int) -> ColumnElement[Any]:
    return tuple_(literal(at, JourneyTime), literal(subject), literal(enrolment))


# ---- what can be asked -----------------------------------------------------------------------------------


def _conditions(wanted: Wanted) -> Iterator[_Condition]:
    """What is asked, those first along which it is best to go."""
    for word in wanted.words:
        yield _word(word)
    if wanted.owner is not None:
        yield _owner(wanted.owner, unfinished=wanted.status in _UNFINISHED)
    if wanted.overdue is not None:
        yield _Condition(overdue.holds(wanted.overdue), overdue.candidates(wanted.overdue))
    if wanted.stuck is not None or wanted.reason is not None:
        yield _Condition(stuck.holds(wanted.stuck, wanted.reason), stuck.candidates(wanted.stuck))
        yield _equal(status="stuck")
    if wanted.segment is not None and wanted.status is not None:
        yield _equal(segment=wanted.segment, status=wanted.status)
    if wanted.stage is not None:
        yield _equal(stage=wanted.stage)
    if wanted.version is not None:
        yield _equal(version=wanted.version)
    if wanted.status is not None and wanted.segment is None:
        yield _equal(status=wanted.status)
    if wanted.segment is not None and wanted.status is None:
        yield _equal(segment=wanted.segment)
    if wanted.since is not None:
        later = views.c.enrolled_at >= wanted.since
        yield _Condition(later, select(views.c.subject, views.c.enrolment).where(later))


def _equal(**values: str | int) -> _Condition:
    along = and_(*(views.c[name] == value for name, value in values.items()))
    holds = and_(*(by_no_index(views.c[name]) == value for name, value in values.items()))
    return _Condition(holds, select(views.c.subject, views.c.enrolment).where(along), along)


def _word(word: str) -> _Condition:
    mine = search_words.c.subject == views.c.subject
    there = select(literal(1)).where(mine, words.begins(word)).limit(1).correlate(views).scalar_subquery()
    return _Condition(there.is_not(None), select(search_words.c.subject).where(words.begins(word)))


def _owner(person: str, *, unfinished: bool) -> _Condition:
    """Whose owner this is, or was when the journey ended; `unfinished`: only those of them matter."""
    mine = and_(assignments.c.subject == views.c.subject, assignments.c.enrolment == views.c.enrolment)
    owned = assignments.c.person == person
    there = select(literal(1)).where(mine, owned).limit(1).correlate(views).scalar_subquery()
    candidates = select(assignments.c.subject, assignments.c.enrolment).where(owned)
    if unfinished:
        candidates = candidates.where(assignments.c.released_at.is_(None))
    return _Condition(there.is_not(None), candidates)


def _cursor(last: AnyRow) -> str:
    return f"{last.enrolled_at}.{last.enrolment}.{last.subject}"


def _read_cursor(cursor: str) -> tuple[Instant, str, int]:
    found = _CURSOR.fullmatch(cursor)
    try:
        if found is not None:
            to_datetime(int(found["at"]))
            return int(found["at"]), found["subject"], int(found["enrolment"])
    except (ValueError, OverflowError):
        pass  # an instant that no calendar has
    raise NoCursor(f"'{cursor}' is no cursor: use the one that came with the page before")
