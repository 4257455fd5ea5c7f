"""The migrations."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from firstmile.store import dialect, schema
from firstmile.store.tables import metadata


async def test_the_migrations_give_exactly_the_tables(empty_url: str) -> None:
    await schema.upgrade(empty_url)

    def compare(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    engine = dialect.create_engine(empty_url, connections=1)
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(compare) == []
    finally:
        await engine.dispose()


async def test_processes_that_start_at_once_do_not_collide(empty_url: str) -> None:
    program = (
        f"import asyncio; from firstmile.store import schema; asyncio.run(schema.upgrade({empty_url!r}))"
    )
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]

    await asyncio.gather(*(schema.upgrade(empty_url) for _ in range(3)))

    for process in started:
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        raise LookupError

    with monkeypatch.context() as patched:
        patched.setattr(schema, "_upgrade", half)
        with pytest.raises(LookupError):
            await schema.upgrade(empty_url)

    await schema.upgrade(empty_url)
    engine = dialect.create_engine(empty_url, connections=1)
    try:
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda sync: sync.dialect.get_table_names(sync))
            assert "half" not in names
    finally:
        await engine.dispose()


async def test_the_database_of_a_newer_program_is_left_alone(empty_url: str) -> None:
    await schema.upgrade(empty_url)
    engine = dialect.create_engine(empty_url, connections=1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()

    with pytest.raises(schema.NotReady, match="newer"):
        await schema.upgrade(empty_url)


async def test_the_file_is_made_with_its_folder_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "var" / "firstmile.db"
    await schema.upgrade(f"sqlite:///{file}")

    connection = sqlite3.connect(file)
    mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()

    assert mode == ("wal",)
