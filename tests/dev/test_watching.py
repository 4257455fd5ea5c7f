"""Files that are saved are noticed, once, and only when the saving is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from firstmile.dev.watching import changes, stamps


@pytest.fixture
async def saved(tmp_path: Path) -> AsyncIterator[AsyncGenerator[set[Path], None]]:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old.yaml").write_text("1")
    async with aclosing(changes([tmp_path], look=0.02)) as found:
        yield found


async def next_of(saved: AsyncGenerator[set[Path], None]) -> set[Path]:
    async with asyncio.timeout(10):
        return await anext(saved)


@pytest.mark.parametrize("name", ["new.yaml", "there/new.html.j2", "there/deep/new.json"])
async def test_a_new_file_is_noticed(
    saved: AsyncGenerator[set[Path], None], tmp_path: Path, name: str
) -> None:
    coming = asyncio.create_task(next_of(saved))
    await asyncio.sleep(0)
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("1")

    assert await coming == {file}


async def test_a_change_and_a_removal_are_noticed(
    saved: AsyncGenerator[set[Path], None], tmp_path: Path
) -> None:
    old = tmp_path / "there" / "old.yaml"
    coming = asyncio.create_task(next_of(saved))
    await asyncio.sleep(0)
    old.write_text("other")
    assert await coming == {old}

    coming = asyncio.create_task(next_of(saved))
    old.unlink()
    assert await coming == {old}


def test_what_editors_keep_beside_a_file_does_not_count(tmp_path: Path) -> None:
    for name in (".team.yaml.swp", "team.yaml~", "4913.tmp", ".git", "team.yaml"):
        (tmp_path / name).write_text("1")

    assert stamps([tmp_path]).keys() == {tmp_path / "team.yaml"}
