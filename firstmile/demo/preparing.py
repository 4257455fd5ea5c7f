"""What must be there before the first sign-up: a store, published journeys, and colleagues to assign."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from firstmile.demo.customers import Colleague
from firstmile.demo.surroundings import Surroundings
from firstmile.publishing import publish
from firstmile.store import owners, schema
from firstmile.store.database import Database


async def prepare(place: Surroundings, colleagues: Iterable[Colleague]) -> None:
    """Make the store, publish the journeys, and let the colleagues be known.

    Raises `PublishRefused` with every problem of the files.
    """
    await schema.upgrade(place.database_url)
    database = Database(place.database_url)
    try:
        await publish(database, place.journeys, place.templates, datetime.now(UTC))
        await colleagues_known(database, colleagues)
    finally:
        await database.close()


async def colleagues_known(database: Database, colleagues: Iterable[Colleague]) -> None:
    """Let the colleagues be known, so that journeys can assign them."""
    async with database.writing() as tx:
        for one in colleagues:
            await owners.put(tx, owners.Person(one.id, one.name, one.team, one.email))
