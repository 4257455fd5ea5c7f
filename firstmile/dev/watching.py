"""Noticing that files were saved: by looking, which works on every file system and in every container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Final

LOOK: Final = 0.4
"""Seconds between two looks."""

_Stamp = tuple[int, int]


def stamps(folders: Iterable[Path]) -> dict[Path, _Stamp]:
    """Every file of the folders, with what changes when it is saved. Hidden and backup files do not count."""
    found: dict[Path, _Stamp] = {}
    for folder in folders:
        for file in folder.rglob("*"):
            if file.name.startswith(".") or file.name.endswith(("~", ".swp", ".tmp")):
                continue
            try:
                state = file.stat()
            except OSError:
                continue  # gone in this moment: editors write a new file and rename it
            if file.is_file():
                found[file] = (state.st_mtime_ns, state.st_size)
    return found


async def changes(folders: Iterable[Path], look: float = LOOK) -> AsyncGenerator[set[Path], None]:
    """The files that were saved, made or removed, each time something was and then nothing for one look."""
    watched = list(folders)
    before = last = stamps(watched)
    while True:
        await asyncio.sleep(look)
        now = stamps(watched)
        if now == last and now != before:
            yield {file for file in before.keys() | now.keys() if before.get(file) != now.get(file)}
            before = now
        last = now
