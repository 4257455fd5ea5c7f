"""Finding customers: the words of those who are there, and the indexes of what may be asked. Only adds.

A store with a million customers takes some minutes for it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# The words must be those that a search of this program looks for. Whoever changes what a word is
# brings a migration that writes all of them anew.
from firstmile.store import words

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

AT_ONCE = 2_000
"""Profiles that are read and written at a time."""

PLACE = ["enrolled_at", "subject", "enrolment"]


def upgrade() -> None:
    _table()
    _backfill()
    # After the words are there: an index that is made at once is made faster.
    op.create_index(op.f("ix_search_words_word_subject"), "search_words", ["word", "subject"], unique=False)
    _indexes()


def _table() -> None:
    searched = sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql")
    op.create_table(
        "search_words",
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("word", searched, nullable=False),
        sa.ForeignKeyConstraint(
            ["subject"],
            ["profiles.subject"],
            name=op.f("fk_search_words_subject"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subject", "word", name=op.f("pk_search_words")),
        sqlite_with_rowid=False,
    )


def _backfill() -> None:
    connection = op.get_bind()
    profiles = sa.table("profiles", *(sa.column(name) for name in ("subject", "name", "email", "company")))
    target = sa.table("search_words", sa.column("subject"), sa.column("word"))
    after = ""
    while True:
        page = sa.select(profiles).where(profiles.c.subject > after).order_by(profiles.c.subject)
        rows = connection.execute(page.limit(AT_ONCE)).all()
        found = [{"subject": row.subject, "word": word} for row in rows for word in words.kept(row)]
        if found:
            connection.execute(target.insert(), found)
        if len(rows) < AT_ONCE:
            return
        after = rows[-1].subject


def _indexes() -> None:
    op.create_index("ix_views_segment_status", "views", ["segment", "status", *PLACE], unique=False)
    op.create_index("ix_views_stage", "views", ["stage", *PLACE], unique=False)
    op.create_index("ix_views_version", "views", ["version", *PLACE], unique=False)
    _partial("ix_views_next", "views", ["status", "next_at", "subject", "enrolment"], "next_at IS NOT NULL")
    _partial("ix_enrolments_fast", "enrolments", ["subject", "number"], "speed != 1")
    op.drop_index(op.f("ix_assignments_person"), table_name="assignments")
    owned = ["person", "subject", "enrolment"]
    op.create_index(op.f("ix_assignments_person_subject_enrolment"), "assignments", owned, unique=False)
    _partial("ix_assignments_current", "assignments", owned, "released_at IS NULL")
    _partial("ix_journal_failed", "journal", ["step", "subject", "enrolment"], "change = 'failed'")
    _partial("ix_tasks_due", "tasks", ["due", "subject", "enrolment"], "state = 'open'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
