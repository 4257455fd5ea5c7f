"""Where SQLite and PostgreSQL differ. No other module knows which of the two it talks to.

SQLite: WAL, one writer at a time, and transactions begun by us: Python's driver would begin them late, so
that a reader turning writer could fail with "database is locked" without waiting. A writing transaction takes
its lock at BEGIN, where waiting works.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Index, Table, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import String

Insert: TypeAlias = postgresql.Insert | sqlite.Insert

BUSY_TIMEOUT: Final = 10.0
"""Seconds that SQLite waits for the lock of another process."""

SCHEMA_LOCK: Final = 0x46697273746D696C
"""The advisory lock that migrations hold on PostgreSQL: "Firstmil" in ASCII."""

NAMES_LOCK: Final = 0x46697273
"""The class of advisory locks for names that have no row of their own to be locked: "Firs" in ASCII."""

_INSERTS: dict[str, Callable[[Table], Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
_WRITES = "firstmile_writes"

# At DEBUG the driver logs every statement with its values: personal data.
logging.getLogger("aiosqlite").setLevel(logging.WARNING)


def insert(dialect: str, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT."""
    return _INSERTS[dialect](table)


def partial_index(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> Index:
    """An index over the rows that satisfy `where` only."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


class first_under(FunctionElement[str]):  # noqa: N801  # it is called as an SQL function is
    """The first member of the list that a JSON object has under a name, as text; NULL if it has none."""

    type = String()
    inherit_cache = True


@compiles(first_under, "sqlite")
def _first_under_sqlite(element: first_under, compiler: SQLCompiler, **options: Any) -> str:
    column, name = (compiler.process(one, **options) for one in element.clauses)
    return f"""json_extract({column}, '$."' || {name} || '"[0]')"""


@compiles(first_under, "postgresql")
def _first_under_postgresql(element: first_under, compiler: SQLCompiler, **options: Any) -> str:
    column, name = (compiler.process(one, **options) for one in element.clauses)
    return f"(({column} -> CAST({name} AS TEXT)) ->> 0)"


def by_no_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same value, as no index has it: for conditions that are to be looked at, not looked up."""
    return func.coalesce(column, column)


def normalise(url: str) -> URL:
    """The URL with the asynchronous driver it needs.

    `sqlite:///file`, `postgresql://…` and `postgres://…` are understood, and libpq's `sslmode`. Raises
    `ValueError` for another database, and for SQLite in memory, which no second process could see.
    """
    parsed = make_url(
        url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
    )
    match parsed.get_backend_name():
        case "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise ValueError("the store needs a file: sqlite:///path/to/firstmile.db")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql":
            query = {name: value for name, value in parsed.query.items() if name != "sslmode"}
            if "sslmode" in parsed.query:
                query["ssl"] = parsed.query["sslmode"]
            return parsed.set(drivername="postgresql+asyncpg", query=query)
        case other:
            raise ValueError(f"'{other}' is not supported: use sqlite:///… or postgresql://…")


def create_engine(url: str, *, connections: int) -> AsyncEngine:
    """An engine for `url` with at most `connections` open connections. Connects to nothing yet.

    Its errors hide the values of statements: they are personal data, and errors end in logs and in Temporal.
    """
    parsed = normalise(url)
    if parsed.get_backend_name() == "postgresql":
        return create_async_engine(
            parsed,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"server_settings": {"application_name": "firstmile"}},
        )
    engine = create_async_engine(parsed, pool_size=connections, max_overflow=0, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _free_sqlite)
    return engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The same engine, whose transactions are begun to write."""
    return engine.execution_options(**{_WRITES: True})


def one_writer(engine: AsyncEngine) -> bool:
    """Whether the database lets one transaction write at a time."""
    return engine.dialect.name == "sqlite"


async def make_file(url: str) -> None:
    """Bring the SQLite file into being, with its folder, in WAL mode, which it keeps. Nothing on PostgreSQL.

    SQLite does not wait for the lock that the change of mode takes; so this tries again for `BUSY_TIMEOUT`.
    """
    parsed = normalise(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    file = Path(parsed.database)
    deadline = asyncio.get_running_loop().time() + BUSY_TIMEOUT
    while True:
        try:
            return await asyncio.to_thread(_make_file, file)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.01)


async def lock_names(connection: AsyncConnection, numbers: Collection[int]) -> None:
    """Keep others who ask for one of these numbers waiting until this transaction ends; always in the same
    order, so that nobody waits in a circle. On SQLite, writing already does."""
    if connection.dialect.name == "postgresql":
        # One after another: of one statement's locks the order would be the database's to choose.
        for number in sorted(set(numbers)):
            await connection.execute(select(func.pg_advisory_xact_lock(NAMES_LOCK, number)))


async def lock_schema(connection: AsyncConnection) -> None:
    """Keep other processes from migrating until this transaction ends. On SQLite, writing already does."""
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))


async def look_up_only(connection: AsyncConnection) -> None:
    """Keep PostgreSQL, until this transaction ends, from plans that pay for long questions only."""
    if connection.dialect.name == "postgresql":
        wanted = {"enable_seqscan": "off", "max_parallel_workers_per_gather": "0", "jit": "off"}
        await connection.execute(select(*(func.set_config(*one, True) for one in wanted.items())))


def _make_file(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_TIMEOUT)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_TIMEOUT * 1000:.0f}", "foreign_keys = ON", "synchronous = NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _free_sqlite(
    connection: DBAPIConnection, _record: ConnectionPoolEntry, _error: BaseException | None
) -> None:
    """Give up the lock before a connection is dropped because its task was cancelled.

    Closing does not: SQLite keeps a closed connection, lock and all, for as long as a statement that was
    under way lives, and the frames of the `CancelledError` keep it alive.
    """
    with suppress(Exception):
        connection.rollback()
