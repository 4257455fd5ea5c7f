"""What Alembic runs: the migrations, on the connection and in the transaction that `schema.upgrade` gives.

A released migration is never edited, and there is no way back but a backup. Migrations name plain SQLAlchemy
types, never this package's: those may change later.
"""

from __future__ import annotations

from alembic import context

from firstmile.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional since the driver no longer begins transactions by itself.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
