"""While journeys are worked on, every change is a version of its own, and what is wrong changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firstmile import paths
from firstmile.dev.releasing import Released, release
from firstmile.errors import PublishRefused
from firstmile.store import published, schema
from firstmile.store.database import Database

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await schema.upgrade(url)
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    folder = tmp_path / "journeys"
    folder.mkdir()
    shutil.copy(paths.journeys() / "self_serve.yaml", folder)
    return folder


async def current(database: Database) -> tuple[int, str]:
    async with database.reading() as db:
        found = await published.current(db, "self_serve")
        assert found is not None
        return found.version, found.journey


def rewrite(journeys: Path, old: str, new: str) -> None:
    file = journeys / "self_serve.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


async def test_a_change_under_the_same_number_is_the_next_version(database: Database, journeys: Path) -> None:
    async def again() -> Released:
        (found,) = (await release(database, journeys, paths.templates(), NOW)).journeys
        return found

    assert await again() == Released("self_serve", 1, changed=True)
    assert await again() == Released("self_serve", 1, changed=False)

    rewrite(journeys, "wait: 2 weeks", "wait: 3 weeks")
    assert await again() == Released("self_serve", 2, changed=True)
    assert await again() == Released("self_serve", 2, changed=False)
    # Taken back: the next customer gets what the file says now.
    rewrite(journeys, "wait: 3 weeks", "wait: 2 weeks")
    assert await again() == Released("self_serve", 3, changed=True)

    rewrite(journeys, "version: 1", "version: 9")
    rewrite(journeys, "wait: 2 weeks", "wait: 4 weeks")
    assert await again() == Released("self_serve", 9, changed=True)
    number, journey = await current(database)
    assert number == 9
    assert '"version":9' in journey.replace(" ", "")


async def test_what_is_wrong_is_told_with_its_line_and_nothing_changes(
    database: Database, journeys: Path
) -> None:
    await release(database, journeys, paths.templates(), NOW)
    before = await current(database)
    rewrite(journeys, "template: ease", "template: eese")
    rewrite(journeys, "after: [workspace]", "after: [workspce]")

    with pytest.raises(PublishRefused) as refused:
        await release(database, journeys, paths.templates(), NOW)

    assert len(refused.value.problems) == 2
    assert all(problem.startswith("self_serve.yaml:") for problem in refused.value.problems)
    assert await current(database) == before
