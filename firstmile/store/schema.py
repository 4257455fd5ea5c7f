"""The schema's versions: bringing a database to the one this program needs, and asking for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from firstmile.store import dialect

MIGRATIONS = Path(__file__).parent / "migrations"


class NotReady(Exception):
    """The database's schema is not the one this program needs."""


async def upgrade(url: str) -> None:
    """Bring the database to this program's schema, making the SQLite file if there is none.

    Everything happens in one transaction, under a lock: of two processes that start at once, one migrates and
    the other waits and finds nothing to do. Raises `NotReady` if the database is of a newer program.
    """
    await dialect.make_file(url)
    engine = dialect.create_engine(url, connections=1)
    try:
        async with dialect.writing(engine).begin() as connection:
            await dialect.lock_schema(connection)
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def require_current(connection: Connection) -> None:
    """Raise `NotReady` unless the schema is this program's."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found != head():
        raise NotReady(
            f"the schema is at {found or 'nothing'}, this program needs {head()}: migrate, or update"
        )


@cache
def head() -> str:
    """The newest version of the schema that this program knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def _upgrade(connection: Connection) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise NotReady(f"the schema is at {found}, of a newer version of this program: update the program")
    if found != head():
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
