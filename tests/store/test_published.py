"""Publishing: a version never changes once it is published."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from firstmile.store import published
from firstmile.store.database import Database
from firstmile.store.published import Publication

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)


async def test_versions_are_published_in_order(db: Database) -> None:
    async with db.writing() as tx:
        assert await published.current(tx, "team") is None
        first = await published.publish(tx, "team", 1, '{"a":1}', NOW)
        again = await published.publish(tx, "team", 1, '{"a":1}', NOW)
        changed = await published.publish(tx, "team", 1, '{"a":2}', NOW)
        third = await published.publish(tx, "team", 3, '{"a":2}', NOW)
        older = await published.publish(tx, "team", 1, '{"a":1}', NOW)
        await published.publish(tx, "solo", 2, "{}", NOW)

    outcomes = [one.outcome for one in (first, again, changed, third, older)]
    assert outcomes == ["new", "unchanged", "refused", "new", "refused"]
    assert changed.reason == "version 1 of team is published with other content: raise its version"
    assert older.reason == "version 1 of team is older than version 3, which is published"
    async with db.reading() as reading:
        assert await published.current(reading, "team") == third.current == older.current
        assert await published.get(reading, "team", 1) == first.current
        assert await published.get(reading, "team", 2) is None
        current = [(one.segment, one.version) for one in await published.segments(reading)]
        assert current == [("solo", 2), ("team", 3)]


async def test_of_many_publishers_at_once_one_publishes(db: Database) -> None:
    async def publish(number: int) -> Publication:
        async with db.writing() as tx:
            return await published.publish(tx, "team", 1, f'{{"a":{number % 2}}}', NOW)

    publications = await asyncio.gather(*map(publish, range(10)))

    outcomes = sorted(one.outcome for one in publications)
    assert outcomes == ["new", *["refused"] * 5, *["unchanged"] * 4]
    assert len({one.current.hash for one in publications}) == 1
