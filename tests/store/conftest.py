"""A fresh store for each test: SQLite in a file, and PostgreSQL where FIRSTMILE_TEST_POSTGRES_URL is set.

The database named there is a place to stand: each test process makes databases of its own beside it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from firstmile.store import schema
from firstmile.store.database import Database
from firstmile.store.tables import metadata

POSTGRES = os.environ.get("FIRSTMILE_TEST_POSTGRES_URL")

DATABASES = ["sqlite"] if POSTGRES is None else ["sqlite", "postgresql"]


async def empty_postgres(name: str) -> str:
    """The URL of an empty PostgreSQL database of this name, made anew."""
    assert POSTGRES is not None
    base = make_url(POSTGRES).set(drivername="postgresql")
    connection = await asyncpg.connect(base.render_as_string(hide_password=False))
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return base.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=DATABASES)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path, worker_id: str) -> str:
    """The URL of a database without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'firstmile.db'}"
    return await empty_postgres(f"firstmile_test_empty_{worker_id}")


_migrated: dict[str, str] = {}


@pytest.fixture(params=DATABASES)
async def url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
) -> str:
    """The URL of a database with this program's schema and nothing in it."""
    kind: str = request.param
    if kind not in _migrated:
        _migrated[kind] = (
            f"sqlite:///{tmp_path_factory.mktemp('store') / 'template.db'}"
            if kind == "sqlite"
            else await empty_postgres(f"firstmile_test_{worker_id}")
        )
        await schema.upgrade(_migrated[kind])
    if kind == "sqlite":
        mine = tmp_path / "firstmile.db"
        shutil.copy(_migrated[kind].removeprefix("sqlite:///"), mine)
        return f"sqlite:///{mine}"
    connection = await asyncpg.connect(_migrated[kind])
    try:
        names = ", ".join(table.name for table in metadata.sorted_tables)
        await connection.execute(f"TRUNCATE {names} RESTART IDENTITY")
    finally:
        await connection.close()
    return _migrated[kind]


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """The store, empty."""
    database = Database(url)
    yield database
    await database.close()
