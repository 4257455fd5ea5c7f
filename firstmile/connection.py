"""Opening what every program stands on: Temporal and the store.

Temporal's own library reads where Temporal is (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, profiles, TLS, API
key); without any of it, `localhost:7233` and the namespace `default`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client as Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from firstmile import search_attributes
from firstmile.errors import StoreAway, TemporalAway
from firstmile.settings import Settings
from firstmile.store import schema
from firstmile.store.database import Database

DEFAULT_ADDRESS = "localhost:7233"
LOST = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
"""What a call to Temporal meets when Temporal, and not the call, is in trouble."""

_logger = logging.getLogger(__name__)


async def temporal(
    *,
    patience: timedelta = timedelta(seconds=10),
    runtime: Runtime | None = None,
    lazy: bool = False,
    **overrides: Any,
) -> Client:
    """A client. Tries for `patience`; then raises `TemporalAway`, which says where Temporal was looked for.

    `lazy`: connects at the first call, for what must start while Temporal is away. `overrides` win over the
    environment (`target_host`, `namespace`, …).
    """
    options: dict[str, Any] = {**ClientConfig.load_client_connect_config(), **overrides}
    address = options.setdefault("target_host", DEFAULT_ADDRESS)
    until = asyncio.get_running_loop().time() + patience.total_seconds()
    pause = 0.1
    while True:
        try:
            return await Client.connect(
                **options, data_converter=pydantic_data_converter, runtime=runtime, lazy=lazy
            )
        except RuntimeError as error:  # what the library raises when it cannot connect
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                raise TemporalAway(
                    f"Temporal does not answer at {address}: start it, or say where it is (TEMPORAL_ADDRESS)"
                ) from error
        await asyncio.sleep(min(pause, max(left, 0)))
        pause = min(pause * 2, 2.0)


async def ensure_search_attributes(client: Client) -> None:
    """Make the namespace know our search attributes: without them no customer can be started.

    Raises `TemporalAway` if Temporal does not answer. A namespace that does not let us add them (as Temporal
    Cloud's) is told about in the log: they are then made by whoever may.
    """
    try:
        known = await _known_attributes(client)
        missing = {
            key.name: IndexedValueType.ValueType(int(key.indexed_value_type))
            for key in search_attributes.ALL
            if key.name not in known
        }
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:  # somebody else added them in this moment
            return
        if error.status in LOST:
            raise TemporalAway("Temporal does not answer") from error
        names = ", ".join(key.name for key in search_attributes.ALL)
        _logger.warning("could not make sure of the search attributes %s: %s", names, error.message)


async def _known_attributes(client: Client) -> set[str]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        return set((await client.operator_service.list_search_attributes(request)).custom_attributes)
    except RPCError as error:
        if error.status != RPCStatusCode.UNIMPLEMENTED:  # the time-skipping server's answer
            raise
        return set()


@asynccontextmanager
async def store(settings: Settings) -> AsyncIterator[Database]:
    """The store, with this program's schema (brought to it, if `migrate` is set). Raises `StoreAway`."""
    with store_errors():
        if settings.migrate:
            await schema.upgrade(settings.database_url)
        database = Database(settings.database_url)
    try:
        with store_errors():
            await database.ready()
        yield database
    finally:
        await database.close()


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what a database raises when it is away into `StoreAway`; a mistake of ours stays what it is."""
    try:
        yield
    except schema.NotReady as error:
        raise StoreAway(f"the store is not ready: {error}") from error
    except (OperationalError, InterfaceError, PoolTimeout, OSError) as error:
        raise StoreAway(f"the store does not answer ({_kind(error)})") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreAway(f"the store does not answer ({_kind(error)})") from error


def _kind(error: Exception) -> str:
    # Never the message itself: it may hold the values of a statement, or where the database is.
    cause = getattr(error, "orig", None) or error
    return type(cause).__name__
