"""What the parts of the service share: Temporal, the store, the published journeys, and the clock.

A customer's workflow is `onboarding/<subject>`; only this package and `connection` know Temporal's client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from firstmile.connection import LOST, store_errors
from firstmile.contracts import Finished
from firstmile.errors import NotConfirmed, TemporalAway
from firstmile.publishing import Shelf
from firstmile.settings import Settings
from firstmile.store.database import Database, Reading, Writing

PATIENCE = timedelta(seconds=10)
"""How long one call to Temporal may take, its own retries included."""


def clock() -> datetime:
    """The time, where nothing else is given."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Premises:
    """One service's client and store. `counts` are numbers not yet written to the store."""

    client: Client
    database: Database
    settings: Settings
    now: Callable[[], datetime] = clock
    shelf: Shelf = field(default_factory=Shelf)
    counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=Counter)

    def workflow(self, subject: str) -> WorkflowHandle[object, Finished]:
        """The handle of a customer's workflow."""
        return self.client.get_workflow_handle(workflow_id(subject), result_type=Finished)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A transaction that reads. Raises `StoreAway`."""
        with store_errors():
            async with self.database.reading() as db:
                yield db

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that writes. Raises `StoreAway`."""
        with store_errors():
            async with self.database.writing() as tx:
                yield tx

    def count(self, metric: str, labels: Mapping[str, str]) -> None:
        """Count something that no row of the store stands for; written with the next `flush`."""
        self.counts[metric, tuple(sorted(labels.items()))] += 1

    async def flush(self) -> None:
        """Write what was counted."""
        counts, self.counts = self.counts, Counter()
        if not counts:
            return
        try:
            async with self.writing() as tx:
                for (metric, labels), number in counts.items():
                    tx.tallies.count(metric, dict(labels), number)
        except BaseException:
            self.counts.update(counts)
            raise


_AWAY = "Temporal does not answer: try again (TEMPORAL_ADDRESS says where it is)"


def workflow_id(subject: str) -> str:
    """The id of a customer's workflow."""
    return f"onboarding/{subject}"


@contextmanager
def temporal_errors() -> Iterator[None]:
    """Turn what Temporal's client raises when Temporal is in trouble into `TemporalAway`."""
    try:
        yield
    except RPCError as error:
        if error.status in LOST:
            raise TemporalAway(_AWAY) from error
        raise
    except RuntimeError as error:
        # A lazy client connects with its first call, and this is how it says that it cannot.
        if not str(error).startswith("Failed client connect"):
            raise
        raise TemporalAway(_AWAY) from error


def is_not_found(error: RPCError) -> bool:
    """Whether there is no such workflow, or it is closed."""
    return error.status == RPCStatusCode.NOT_FOUND


@contextmanager
def no_worker() -> Iterator[None]:
    """Turn a query that nobody answered into `NotConfirmed`."""
    try:
        yield
    except RPCError as error:
        # Which of the two it is depends on whether the server's clock or ours was quicker.
        if error.status not in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise
        raise NotConfirmed("no worker answered in time: is one running?") from error
