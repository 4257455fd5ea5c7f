"""Opening the service as the environment says: what every way in begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firstmile import connection
from firstmile.service import Service
from firstmile.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Service]:
    """The service on its store. Raises `StoreAway`.

    Temporal is connected to when it is first needed: what is asked of the store works while it is away.
    """
    async with connection.store(settings) as database:
        service = Service(await connection.temporal(lazy=True), database, settings)
        yield service
        await service.close()
