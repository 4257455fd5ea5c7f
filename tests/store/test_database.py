"""Transactions, and the ways into a database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from firstmile.store import dialect, profiles, schema, tables
from firstmile.store.database import Database
from firstmile.store.profiles import Profile

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///var/f.db", "sqlite+aiosqlite:///var/f.db"),
        ("sqlite:////var/f.db", "sqlite+aiosqlite:////var/f.db"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p@h:5/d?sslmode=require", "postgresql+asyncpg://u:p@h:5/d?ssl=require"),
        ("postgresql+psycopg://u@h/d", "postgresql+asyncpg://u@h/d"),
    ],
)
def test_a_url_gets_the_driver_it_needs(given: str, used: str) -> None:
    assert dialect.normalise(given).render_as_string(hide_password=False) == used


@pytest.mark.parametrize("given", ["sqlite://", "sqlite:///:memory:", "mysql://h/d"])
def test_a_database_that_cannot_serve_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        Database(given)


async def test_what_an_exception_leaves_is_rolled_back(db: Database) -> None:
    async def fail() -> None:
        async with db.writing() as tx:
            await profiles.write(tx, Profile("c-1"), NOW)
            tx.tallies.count("events_total", {"outcome": "accepted"})
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    async with db.reading() as reading:
        assert await profiles.get(reading, "c-1") is None
        assert await reading.all(text("SELECT * FROM tallies")) == []


async def test_a_task_that_would_wait_for_itself_is_told(db: Database) -> None:
    async with db.writing():
        with pytest.raises(RuntimeError, match="pass it on"):
            async with db.writing():
                pass


async def test_reading_goes_on_while_another_writes(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), NOW)
        async with db.reading() as reading:
            assert await profiles.get(reading, "c-1") is None


async def test_writers_of_several_processes_wait_for_each_other(url: str, db: Database) -> None:
    other = Database(url)

    async def write(database: Database, number: int) -> None:
        async with database.writing() as tx:
            await profiles.get(tx, "c-0")
            await profiles.write(tx, Profile(f"c-{number}"), NOW)
            tx.tallies.count("events_total", {"outcome": "accepted"})

    try:
        await asyncio.gather(*(write((db, other)[number % 2], number) for number in range(40)))
    finally:
        await other.close()

    async with db.reading() as reading:
        row = await reading.first(text("SELECT count(*), (SELECT sum(value) FROM tallies) FROM profiles"))
        assert row is not None
        assert tuple(row) == (40, 40)


async def test_whatever_is_cancelled_the_others_go_on(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-0"), NOW)

    async def write(number: int) -> None:
        async with db.writing() as tx:
            await profiles.get(tx, "c-0")
            await profiles.write(tx, Profile(f"c-{number}"), NOW)
            tx.tallies.count("events_total", {"outcome": "accepted"})

    kept = []  # an exception that is kept keeps its frames, and with them a statement that was under way
    for turns in range(100):
        tasks = [asyncio.create_task(write(turns * 10 + number)) for number in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[:2]:
            task.cancel()
        kept += await asyncio.gather(*tasks[:2], return_exceptions=True)
        await tasks[2]

    async with db.reading() as reading:
        row = await reading.first(text("SELECT count(*), (SELECT sum(value) FROM tallies) FROM profiles"))
        assert row is not None
        assert row[0] == row[1] + 1 > 100


async def test_a_naive_datetime_is_refused(db: Database) -> None:
    async with db.writing() as tx:
        with pytest.raises(StatementError, match="no time zone"):
            await profiles.write(tx, Profile("c-1"), datetime(2026, 1, 1))  # noqa: DTZ001  # without a zone: the point of the test


async def test_moments_come_back_in_utc_to_the_microsecond(db: Database) -> None:
    tokyo = datetime(2026, 3, 6, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=9)))
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1"), tokyo)

    async with db.reading() as reading:
        row = await reading.first(tables.profiles.select())
        assert row is not None
        assert row.created_at == tokyo
        assert row.created_at.tzinfo is UTC


async def test_what_a_database_would_refuse_in_a_text_is_replaced(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", name="A\x00b \ud800 \U0001f600"), NOW)

    async with db.reading() as reading:
        profile = await profiles.get(reading, "c-1")
        assert profile is not None
        assert profile.name == "A\ufffdb \ufffd \U0001f600"


async def test_a_database_is_ready_when_its_schema_is(empty_url: str) -> None:
    await dialect.make_file(empty_url)
    database = Database(empty_url)
    try:
        with pytest.raises(schema.NotReady, match="at nothing"):
            await database.ready()
        await schema.upgrade(empty_url)
        await database.ready()
    finally:
        await database.close()
