"""The way into the store: transactions that read, and transactions that write.

Functions of this package take a `Reading` or a `Writing`: the type says whether a function changes something,
and the caller decides what belongs into one transaction. Every `Writing` is a `Reading`. Errors of the
database come out as SQLAlchemy raises them (`DBAPIError`, `TimeoutError`): trying again may help.

Building a statement costs more than running it: those that every effect runs are built once, with parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import CursorResult, Executable, Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from firstmile.store import dialect, schema
from firstmile.store.tallies import Tallies

Item = TypeVar("Item")
Rows: TypeAlias = Sequence[Mapping[str, Any]]
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

CONNECTIONS: Final = 10
"""Connections of one process to the database, unless told otherwise."""

AT_ONCE: Final = 1_000
"""How many values one condition names at most: databases have limits, and plans for longer lists are poor."""


def batched(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in portions that one statement can take."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


class Reading:
    """A transaction that reads, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection: Final = connection

    async def execute(
        self, statement: Executable, rows: Rows | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement, with one or many sets of values."""
        return await self.connection.execute(statement, rows)

    async def first(self, statement: Executable, row: Mapping[str, Any] | None = None) -> AnyRow | None:
        """The first row of the result, or None."""
        return (await self.connection.execute(statement, row)).first()

    async def all(
        self, statement: Executable, rows: Rows | Mapping[str, Any] | None = None
    ) -> Sequence[AnyRow]:
        """Every row of the result."""
        return (await self.connection.execute(statement, rows)).all()


class Writing(Reading):
    """A transaction that writes, and counts what it wrote."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.tallies: Final = Tallies()

    @property
    def dialect_name(self) -> str:
        """Which dialect its statements are in: for those that are built once (`dialect.insert`)."""
        return self.connection.dialect.name

    def insert(self, table: Table) -> dialect.Insert:
        """An INSERT that knows ON CONFLICT."""
        return dialect.insert(self.dialect_name, table)


class Database:
    """One database: SQLite in a file, or PostgreSQL. Belongs to one event loop.

    `url` is `sqlite:///file`, `postgresql://…` or `postgres://…`; anything else raises `ValueError`.
    """

    def __init__(self, url: str, *, connections: int = CONNECTIONS) -> None:
        self._engine = dialect.create_engine(url, connections=connections)
        self._writer = dialect.writing(self._engine)
        # Waiting in turn here is fair and quick; SQLite's own waiting is neither: it is left to processes.
        self._turn: AbstractAsyncContextManager[object] = (
            asyncio.Lock() if dialect.one_writer(self._engine) else nullcontext()
        )
        self._tasks: set[asyncio.Task[Any] | None] = set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A transaction that reads."""
        async with self._engine.connect() as connection:
            yield Reading(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that writes: committed at the end, rolled back if an exception leaves it.

        Keep it short, and never wait for anything but the database in it: on SQLite no one else writes
        meanwhile. A task that has one open and asks for another gets `RuntimeError`: it would wait for
        itself.
        """
        task = asyncio.current_task()
        if task in self._tasks:
            raise RuntimeError("a writing transaction is open in this task already: pass it on")
        self._tasks.add(task)
        try:
            async with self._turn, self._writer.begin() as connection:
                transaction = Writing(connection)
                yield transaction
                await transaction.tallies.write(connection)
        finally:
            self._tasks.discard(task)

    async def ready(self) -> None:
        """Return if the database answers and has this program's schema; else raise (`schema.NotReady`)."""
        async with self._engine.connect() as connection:
            await connection.run_sync(schema.require_current)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
