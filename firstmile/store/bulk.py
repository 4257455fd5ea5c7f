"""Commands to many customers at once: the jobs, and the list of each, frozen when it was asked for.

A list names customers by subject and enrolment. Nobody joins it later, and nobody leaves it: whoever is on
it has a result at the end, or was still waiting when the job was stopped. A result is written once, and
counted with the row: a batch that is repeated changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update

from firstmile.store import finding
from firstmile.store.database import AnyRow, Reading, Writing, batched
from firstmile.store.finding import Wanted
from firstmile.store.tables import bulk_items, bulk_jobs, enrolments, views

JobState = Literal["preparing", "running", "stopping", "stopped", "done"]
"""`preparing`: listed, and not begun yet; `stopping`: told to stop, and perhaps still at a customer."""
ItemState = Literal["waiting", "done", "rejected", "failed"]
"""`rejected`: the command could not be carried out; `failed`: nobody could be got to answer."""
RESULTS: Final[tuple[ItemState, ...]] = get_args(ItemState)

UNDER_WAY: Final = ("preparing", "running", "stopping")
_OVER: Final = ("completed", "stopped")


@dataclass(slots=True, frozen=True)
class Chosen:
    """A customer who is meant, in the newest enrolment; None: nobody is known under this id."""

    subject: str
    enrolment: int | None


@dataclass(slots=True, frozen=True)
class NewJob:
    """A job as it is asked for. `arguments` are the command's, as plain values; `filter` is for people."""

    id: str
    command: str
    arguments: Mapping[str, Any]
    filter: Mapping[str, Any] | None
    actor: str
    key: str | None
    reason: str
    request_hash: str
    rate: float


@dataclass(slots=True, frozen=True)
class Job:
    """One job. `rate` is customers per second at most; `done`, `rejected` and `failed` count its results."""

    id: str
    command: str
    arguments: Mapping[str, Any]
    filter: Mapping[str, Any] | None
    actor: str
    key: str | None
    reason: str
    request_hash: str
    rate: float
    state: JobState
    customers: int
    done: int
    rejected: int
    failed: int
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None

    @property
    def waiting(self) -> int:
        """How many customers have no result."""
        return self.customers - self.done - self.rejected - self.failed


@dataclass(slots=True, frozen=True)
class Item:
    """One customer of a job; `number` is the place in the list, from 1. `reason` goes with no success."""

    number: int
    subject: str
    enrolment: int | None
    state: ItemState
    reason: str | None = None
    at: datetime | None = None


@dataclass(slots=True, frozen=True)
class JobPage:
    """Jobs, the newest first; `cursor` asks for the next page, None on the last."""

    jobs: list[Job]
    cursor: str | None


@dataclass(slots=True, frozen=True)
class ItemPage:
    """Customers of a job, in the order of its list; `cursor` asks for the next page, None on the last."""

    items: list[Item]
    cursor: int | None


# Choosing


async def count(db: Reading, wanted: Wanted) -> int:
    """How many customers are meant: those who are wanted, in their newest enrolment, and on the way."""
    row = await db.first(select(func.count()).select_from(views).where(*_meant(wanted)))
    return 0 if row is None else int(row[0])


async def sample(db: Reading, wanted: Wanted, size: int) -> list[Chosen]:
    """The first of those who are meant, in the order of the list."""
    statement = select(views.c.subject, views.c.enrolment).where(*_meant(wanted))
    rows = await db.all(statement.order_by(*_ORDER).limit(size))
    return [Chosen(row.subject, row.enrolment) for row in rows]


async def chosen(db: Reading, subjects: Sequence[str]) -> list[Chosen]:
    """Customers by their ids, each once, in this order; those whom nobody knows as well."""
    subjects = list(dict.fromkeys(subjects))
    newest = func.max(enrolments.c.number).label("newest")
    known: dict[str, int] = {}
    for some in batched(subjects):
        statement = select(enrolments.c.subject, newest).where(enrolments.c.subject.in_(some))
        known |= {row.subject: row.newest for row in await db.all(statement.group_by(enrolments.c.subject))}
    return [Chosen(subject, known.get(subject)) for subject in subjects]


# Freezing


async def create(tx: Writing, new: NewJob, whom: Wanted | Sequence[Chosen], now: datetime) -> Job | None:
    """Write a job with its list; None if there is a job of this id: then nothing changes.

    One statement makes the list of those who are wanted: it is of one moment.
    """
    row = {name: getattr(new, name) for name in NewJob.__slots__}
    counted = {"customers": 0, "done": 0, "rejected": 0, "failed": 0}
    times = {"created_at": now, "updated_at": now}
    job = tx.insert(bulk_jobs).values({**row, **counted, **times, "state": "preparing"})
    if (await tx.execute(job.on_conflict_do_nothing())).rowcount != 1:
        return None
    if isinstance(whom, Wanted):
        listed = select(
            literal(new.id),
            func.row_number().over(order_by=_ORDER),
            views.c.subject,
            views.c.enrolment,
            literal("waiting"),
        ).where(*_meant(whom))
        columns = ["job", "number", "subject", "enrolment", "state"]
        customers = (await tx.execute(tx.insert(bulk_items).from_select(columns, listed))).rowcount
    else:
        customers = len(whom)
        rows = [
            {"job": new.id, "number": number, "subject": one.subject, "enrolment": one.enrolment}
            for number, one in enumerate(whom, 1)
        ]
        for some in batched(rows):
            await tx.execute(tx.insert(bulk_items).values(state="waiting"), some)
    done = await tx.first(
        update(bulk_jobs).where(bulk_jobs.c.id == new.id).values(customers=customers).returning(bulk_jobs)
    )
    assert done is not None
    return _job(done)


# Working


async def begin(tx: Writing, id: str, now: datetime) -> Job | None:
    """The job, which is at work from now on unless it is to stop; None if there is none."""
    prepared = and_(bulk_jobs.c.id == id, bulk_jobs.c.state == "preparing")
    await tx.execute(
        update(bulk_jobs).where(prepared).values(state="running", started_at=now, updated_at=now)
    )
    return await get(tx, id)


async def waiting(db: Reading, id: str, after: int, until: int) -> list[Item]:
    """Those who wait for their turn in a stretch of the list: `after` < number <= `until`."""
    here = and_(bulk_items.c.job == id, bulk_items.c.number > after, bulk_items.c.number <= until)
    statement = select(bulk_items).where(here, bulk_items.c.state == "waiting").order_by(bulk_items.c.number)
    return [_item(row) for row in await db.all(statement)]


async def worked_through(db: Reading, id: str) -> int:
    """The place in the list up to which everybody has a result."""
    first = select(func.min(bulk_items.c.number)).where(bulk_items.c.job == id)
    row = await db.first(first.where(bulk_items.c.state == "waiting"))
    if row is not None and row[0] is not None:
        return int(row[0]) - 1
    job = await get(db, id)
    return 0 if job is None else job.customers


async def state(db: Reading, id: str) -> JobState | None:
    """How a job stands; None if there is none."""
    row = await db.first(select(bulk_jobs.c.state).where(bulk_jobs.c.id == id))
    return None if row is None else row.state


async def settle(
    tx: Writing, id: str, number: int, result: ItemState, reason: str | None, now: datetime
) -> bool:
    """Write what became of a customer. False if that is known already: then nothing changes."""
    mine = and_(bulk_items.c.job == id, bulk_items.c.number == number, bulk_items.c.state == "waiting")
    statement = update(bulk_items).where(mine).values(state=result, reason=reason, at=now)
    if (await tx.execute(statement)).rowcount != 1:
        return False
    counted = {result: bulk_jobs.c[result] + 1, "updated_at": now}
    await tx.execute(update(bulk_jobs).where(bulk_jobs.c.id == id).values(counted))
    return True


async def stop(tx: Writing, id: str, now: datetime) -> bool:
    """Have a job stopped: one that has not begun, at once. False if it is over, or told so already."""
    for was, then in (("running", "stopping"), ("preparing", "stopped")):
        mine = and_(bulk_jobs.c.id == id, bulk_jobs.c.state == was)
        ended = now if then == "stopped" else None
        values = {"state": then, "updated_at": now, "ended_at": ended}
        if (await tx.execute(update(bulk_jobs).where(mine).values(values))).rowcount == 1:
            return True
    return False


async def end(tx: Writing, id: str, now: datetime) -> JobState | None:
    """How a job stands whose workflow has nothing left to do: `done`, or `stopped` if it was told to.

    Nothing changes while customers wait and nobody said that it stops.
    """
    mine = and_(bulk_jobs.c.id == id, bulk_jobs.c.state.in_(UNDER_WAY))
    results = bulk_jobs.c.done + bulk_jobs.c.rejected + bulk_jobs.c.failed
    ended = {"updated_at": now, "ended_at": now}
    complete = and_(mine, results >= bulk_jobs.c.customers)
    await tx.execute(update(bulk_jobs).where(complete).values(state="done", **ended))
    told = and_(mine, bulk_jobs.c.state == "stopping")
    await tx.execute(update(bulk_jobs).where(told).values(state="stopped", **ended))
    return await state(tx, id)


# Looking


async def get(db: Reading, id: str) -> Job | None:
    """One job, or None."""
    row = await db.first(select(bulk_jobs).where(bulk_jobs.c.id == id))
    return None if row is None else _job(row)


async def jobs(db: Reading, *, cursor: str | None = None, limit: int = 50) -> JobPage:
    """A page of jobs. `cursor` is the id of the last job of the page before; an unknown one begins anew."""
    statement = select(bulk_jobs)
    last = None if cursor is None else await get(db, cursor)
    if last is not None:
        created, id = bulk_jobs.c.created_at, bulk_jobs.c.id
        older = or_(created < last.created_at, and_(created == last.created_at, id < last.id))
        statement = statement.where(older)
    order = (bulk_jobs.c.created_at.desc(), bulk_jobs.c.id.desc())
    rows = await db.all(statement.order_by(*order).limit(limit + 1))
    found = [_job(row) for row in rows[:limit]]
    return JobPage(found, found[-1].id if len(rows) > limit else None)


async def items(
    db: Reading, id: str, *, state: ItemState | None = None, cursor: int | None = None, limit: int = 100
) -> ItemPage:
    """A page of a job's customers, of one state or of all."""
    wanted: list[ColumnElement[bool]] = [bulk_items.c.job == id]
    if state is not None:
        wanted.append(bulk_items.c.state == state)
    if cursor is not None:
        wanted.append(bulk_items.c.number > cursor)
    rows = await db.all(select(bulk_items).where(*wanted).order_by(bulk_items.c.number).limit(limit + 1))
    found = [_item(row) for row in rows[:limit]]
    return ItemPage(found, found[-1].number if len(rows) > limit else None)


async def quiet(db: Reading, since: datetime) -> list[Job]:
    """Jobs that are under way, and of which nothing was heard since a moment."""
    still = and_(bulk_jobs.c.state.in_(UNDER_WAY), bulk_jobs.c.updated_at < since)
    return [
        _job(row) for row in await db.all(select(bulk_jobs).where(still).order_by(bulk_jobs.c.created_at))
    ]


_ORDER: Final = (views.c.enrolled_at.desc(), views.c.subject.desc())


def _meant(wanted: Wanted) -> list[ColumnElement[bool]]:
    """The conditions on a view: the newest enrolment of a customer who is meant.

    Customers whose journey is over take no commands: they are meant only if the status says so.
    """
    later = select(enrolments.c.number).where(
        enrolments.c.subject == views.c.subject, enrolments.c.number > views.c.enrolment
    )
    meant = [~later.exists(), *finding.conditions(wanted)]
    if wanted.status is None:
        meant.append(views.c.status.not_in(_OVER))
    return meant


def _job(row: AnyRow) -> Job:
    return Job(**row._mapping)


def _item(row: AnyRow) -> Item:
    values = dict(row._mapping)
    values.pop("job")
    return Item(**values)
