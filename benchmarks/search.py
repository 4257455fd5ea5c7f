"""Finding customers among a million: how long every kind of search takes, and by which indexes it goes.

    python -m benchmarks.search [--customers 1000000] [--rounds 40] [--no-plans]

On SQLite in a temporary file, or on PostgreSQL where FIRSTMILE_TEST_POSTGRES_URL is set: beside the database
named there, another is made, and removed. Each search is a page of 50, as the API asks for one; `count` is the
count of the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import event, make_url

from benchmarks.crowd import FAILING, NOW, OWNERS, STAGES, Crowd, fill
from firstmile.journey.instants import from_datetime
from firstmile.store import dialect, finding, words
from firstmile.store.database import Database
from firstmile.store.finding import Wanted

POSTGRES: Final = "FIRSTMILE_TEST_POSTGRES_URL"
AT: Final = from_datetime(NOW)

LATER: Final = from_datetime(NOW + timedelta(hours=100))
"""By then half of all active customers are overdue, if nobody works."""

T = TypeVar("T")
Search = Callable[[random.Random], Wanted]


def kinds(crowd: Crowd) -> dict[str, Search]:
    """Each kind of search, with what it asks for made up anew each time."""

    def ago(days: float) -> int:
        return from_datetime(NOW - timedelta(days=days))

    def q(text: str, **more: Any) -> Wanted:
        return Wanted(words=words.wanted(text), **more)

    def common(chance: random.Random) -> str:
        return crowd.first_names[chance.randrange(40)]

    def rare(chance: random.Random) -> str:
        return crowd.last_names[chance.randrange(len(crowd.last_names) // 2, len(crowd.last_names))]

    def segment(chance: random.Random) -> str:
        return chance.choice(["self_serve", "team", "enterprise"])

    return {
        "everybody": lambda _: Wanted(),
        "last name": lambda chance: q(rare(chance)),
        "first name": lambda chance: q(common(chance)),
        "three letters": lambda chance: q(common(chance)[:3]),
        "both names": lambda chance: q(f"{common(chance)} {crowd.last_names[chance.randrange(200)]}"),
        "two beginnings": lambda chance: q(
            f"{common(chance)[:3]} {crowd.last_names[chance.randrange(200)][:3]}"
        ),
        "company": lambda chance: q(crowd.companies[chance.randrange(2000)]),
        "address": lambda chance: q(f"{common(chance)}.{crowd.last_names[chance.randrange(200)]}@"),
        "a word of all": lambda _: q("example"),
        "id": lambda chance: q(f"c-{chance.randrange(crowd.customers):07}"),
        "nobody": lambda _: q("qqqqq"),
        "first name, active": lambda chance: q(common(chance), status="active"),
        "first name, segment": lambda chance: q(common(chance), segment=segment(chance)),
        "first name, owner": lambda chance: q(common(chance), owner=OWNERS[chance.randrange(20)]),
        "segment": lambda chance: Wanted(segment=segment(chance)),
        "status": lambda chance: Wanted(status=chance.choice(["active", "paused", "stuck", "completed"])),
        "segment, status": lambda chance: Wanted(segment=segment(chance), status="paused"),
        "stage, active": lambda chance: Wanted(stage=chance.choice(STAGES), status="active"),
        "version": lambda chance: Wanted(segment=segment(chance), version=chance.randint(1, 13)),
        "old version, active": lambda chance: Wanted(version=chance.randint(1, 4), status="active"),
        "owner": lambda chance: Wanted(owner=chance.choice(OWNERS)),
        "owner, active": lambda chance: Wanted(owner=chance.choice(OWNERS), status="active"),
        "owner, stopped": lambda chance: Wanted(owner=chance.choice(OWNERS), status="stopped"),
        "overdue": lambda _: Wanted(overdue=AT),
        "overdue, owner": lambda chance: Wanted(overdue=AT, owner=chance.choice(OWNERS)),
        "stuck": lambda chance: Wanted(stuck=chance.choice(FAILING)),
        "stuck, reason": lambda chance: Wanted(stuck=chance.choice(FAILING), reason="quota"),
        "since": lambda chance: Wanted(since=ago(chance.uniform(0, 900)), status="stopped"),
        "since, owner": lambda chance: Wanted(since=ago(chance.uniform(0, 7)), owner=chance.choice(OWNERS)),
        "reason": lambda _: Wanted(reason="quota"),
        "an outage": lambda _: Wanted(overdue=LATER),
        "an outage, owner": lambda chance: Wanted(overdue=LATER, owner=chance.choice(OWNERS)),
        "nobody, the long way": lambda _: Wanted(overdue=LATER, status="stopped", version=6),
        "everything": lambda chance: q(
            common(chance)[:3], segment="team", status="active", owner=chance.choice(OWNERS), since=ago(900)
        ),
    }


@dataclass(slots=True)
class Seen:
    """What a kind of search took, in seconds each, and the statements that the last one gave."""

    times: list[float]
    statements: list[tuple[str, Any]]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        """What 95 of 100 did not exceed."""
        return sorted(self.times)[max(0, -(-len(self.times) * 95 // 100) - 1)]


@contextmanager
def heard(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are given meanwhile, with their values."""
    given: list[tuple[str, Any]] = []

    def hear(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        given.append((statement, values))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield given
    finally:
        event.remove(engine, "before_cursor_execute", hear)


async def measure(database: Database, crowd: Crowd, rounds: int) -> dict[str, Seen]:
    """Search in turn for every kind, `rounds` times; and half as often for the next page, and count."""
    chance = random.Random(11)
    found: dict[str, Seen] = {}

    async def timed(kind: str, errand: Callable[..., Awaitable[T]], *of: Any) -> T:
        seen = found.setdefault(kind, Seen([], []))
        with heard(database) as seen.statements:
            begin = time.perf_counter()
            result = await errand(*of)
            seen.times.append(time.perf_counter() - begin)
        return result

    async def page(wanted: Wanted, cursor: str | None = None) -> finding.Page:
        async with database.reading() as db:
            return await finding.find(db, wanted, cursor=cursor)

    async def count(wanted: Wanted) -> finding.Counted:
        async with database.reading() as db:
            return await finding.count(db, wanted)

    for turn in range(rounds):
        for kind, search in kinds(crowd).items():
            wanted = search(chance)
            first = await timed(kind, page, wanted)
            if turn % 2 == 0:
                if first.cursor is not None:
                    await timed(f"{kind}: next", page, wanted, first.cursor)
                await timed(f"{kind}: count", count, wanted)
    return found


async def plans(database: Database, seen: Seen) -> list[str]:
    """How the database carries the statements out, line by line."""
    lines: list[str] = []
    async with database.reading() as db:
        name = db.connection.dialect.name
        await dialect.look_up_only(db.connection)
        for statement, values in seen.statements:
            explain = "EXPLAIN QUERY PLAN " if name == "sqlite" else "EXPLAIN "
            rows = (await db.connection.exec_driver_sql(explain + statement, values)).all()
            lines += [str(row[-1]) for row in rows]
    return lines


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database, removed in the end."""
    beside = os.environ.get(POSTGRES)
    if beside is None:
        yield f"sqlite:///{folder / 'firstmile.db'}"
        return
    base = make_url(beside).set(drivername="postgresql")
    name = f"firstmile_search_{os.getpid()}"
    await _administer(base.render_as_string(hide_password=False), f'CREATE DATABASE "{name}"')
    try:
        yield base.set(database=name).render_as_string(hide_password=False)
    finally:
        await _administer(base.render_as_string(hide_password=False), f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def main(customers: int, rounds: int, show_plans: bool) -> None:
    """Fill, measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder)) as url:
            crowd = Crowd(customers)
            begin = time.perf_counter()
            await fill(url, crowd)
            kind = dialect.normalise(url).get_backend_name()
            print(f"{kind}, {customers} customers, made in {time.perf_counter() - begin:.0f} s")
            database = Database(url)
            try:
                await measure(database, crowd, 1)
                found = await measure(database, crowd, rounds)
                print(f"{'milliseconds':32} {'p50':>7} {'p95':>7}")
                for name, seen in found.items():
                    print(f"{name:32} {seen.p50 * 1000:7.1f} {seen.p95 * 1000:7.1f}")
                everything = Seen([one for seen in found.values() for one in seen.times], [])
                print(f"{'all of them':32} {everything.p50 * 1000:7.1f} {everything.p95 * 1000:7.1f}")
                for name, seen in found.items() if show_plans else ():
                    print(f"\n{name}")
                    print("\n".join(f"    {line}" for line in await plans(database, seen)))
            finally:
                await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--no-plans", action="store_true", help="leave the plans out of the report")
    given = parser.parse_args()
    asyncio.run(main(given.customers, given.rounds, not given.no_plans))
