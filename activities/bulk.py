"""Working through the list of a bulk job: the only activity that goes in by the service's door.

A command is given as anybody gives it, so that it is validated, answered and audited alike.
"""

from __future__ import annotations

from temporalio import activity

from activities import signatures
from firstmile.contracts import BulkBatch, BulkProgress
from firstmile.service import Service


class GiveCommands:
    """The activity behind a stretch of a bulk job."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @activity.defn(name=signatures.BULK)
    async def give_commands(self, batch: BulkBatch) -> BulkProgress:
        """Give the job's command to everybody of a stretch who has no result yet."""
        return await self._service.batches.give(
            batch, attempt=activity.info().attempt, beat=activity.heartbeat
        )
