"""The benchmark of searches, small: what it measures is right, and goes by indexes."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks import search
from benchmarks.crowd import Crowd, fill
from firstmile.store import finding, schema
from firstmile.store.database import Database

CUSTOMERS = 2_000

# Every row of a table, in no order: SQLite's words for what a search must never do.
FULL_SCAN = re.compile(
    r"SCAN (views|search_words|profiles|enrolments|assignments|journal|later|tasks)(?! USING)"
)


@pytest.fixture
async def crowded(tmp_path: Path) -> AsyncIterator[tuple[Database, Crowd]]:
    crowd = Crowd(CUSTOMERS)
    url = f"sqlite:///{tmp_path / 'firstmile.db'}"
    await fill(url, crowd)
    database = Database(url)
    yield database, crowd
    await database.close()


@pytest.mark.parametrize("few", [finding.FEW, 0], ids=["few", "many"])
async def test_every_kind_of_search_goes_by_indexes_alone(
    crowded: tuple[Database, Crowd], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, crowd = crowded
    monkeypatch.setattr(finding, "FEW", few)

    found = await search.measure(database, crowd, 1)

    assert {name.partition(":")[0] for name in found} == set(search.kinds(crowd))
    for name, seen in found.items():
        assert 0 < seen.p50 <= seen.p95
        plan = await search.plans(database, seen)
        assert plan, name
        assert not [line for line in plan if FULL_SCAN.match(line)], (name, plan)


async def test_what_is_made_up_is_found_by_what_was_made_up(
    crowded: tuple[Database, Crowd],
) -> None:
    database, crowd = crowded
    await database.ready()
    chance = random.Random(1)
    async with database.reading() as db:
        assert (await finding.count(db)).or_more
        for name, asked in search.kinds(crowd).items():
            pages = [await finding.find(db, asked(chance)) for _ in range(30)]
            rare = name.startswith(("nobody", "stuck", "reason", "overdue", "everything", "since, owner"))
            assert rare or any(page.customers for page in pages), name


async def test_a_store_that_is_migrated_finds_those_who_were_there(crowded: tuple[Database, Crowd]) -> None:
    database, _ = crowded
    dump = text("SELECT subject, word FROM search_words ORDER BY subject, word")
    async with database.reading() as db:
        before = (await db.all(dump))[:]
    async with database.writing() as tx:
        await tx.execute(text("DROP TABLE search_words"))
        for index in ("views_segment_status", "views_stage", "views_version", "views_next", "tasks_due"):
            await tx.execute(text(f"DROP INDEX ix_{index}"))
        for index in ("enrolments_fast", "assignments_current", "journal_failed"):
            await tx.execute(text(f"DROP INDEX ix_{index}"))
        await tx.execute(text("DROP INDEX ix_assignments_person_subject_enrolment"))
        await tx.execute(text("CREATE INDEX ix_assignments_person ON assignments (person)"))
        await tx.execute(text("UPDATE alembic_version SET version_num = '0007'"))

    await schema.upgrade(str(database._engine.url.set(drivername="sqlite")))

    async with database.reading() as db:
        assert await db.all(dump) == before
