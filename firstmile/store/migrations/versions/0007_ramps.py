"""Until when messages come back after a hold. Only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("holds", sa.Column("ramp_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_holds_ramp",
        "holds",
        ["ramp_until"],
        unique=False,
        sqlite_where=sa.text("ramp_until IS NOT NULL"),
        postgresql_where=sa.text("ramp_until IS NOT NULL"),
    )
