"""Messages to several people, what became of them, topics, and booked trainings. Only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("effect", sa.String(length=64), nullable=True))
    op.add_column("messages", sa.Column("place", sa.Integer(), nullable=True))
    op.add_column("messages", sa.Column("topic", sa.String(length=40), nullable=True))
    op.add_column("messages", sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_messages_effect"), "messages", ["effect"], unique=False)
    op.create_table(
        "delivery_events",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("message", sa.String(length=64), nullable=True),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_events")),
    )
    op.create_index(op.f("ix_delivery_events_message"), "delivery_events", ["message"], unique=False)
    op.create_index(op.f("ix_delivery_events_received_at"), "delivery_events", ["received_at"], unique=False)
    op.create_table(
        "opt_outs",
        sa.Column("address_key", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address_key", "topic", name=op.f("pk_opt_outs")),
    )
    op.create_table(
        "bookings",
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("enrolment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.String(length=200), nullable=False),
        sa.Column("session", sa.String(length=200), nullable=False),
        sa.Column("starts", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", "enrolment", "step", name=op.f("pk_bookings")),
    )
