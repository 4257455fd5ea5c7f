"""Writing records that no effect carries."""

from __future__ import annotations

from temporalio import activity

from activities import signatures
from activities.tools import Tools, now
from firstmile.contracts import Records
from firstmile.store import records


class WriteRecords:
    """The activity behind a flush: the only one that is no effect."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @activity.defn(name=signatures.RECORD)
    async def write_records(self, carried: Records) -> None:
        """Write journal entries and the view, idempotently."""
        async with self._tools.database.writing() as tx:
            await records.write(tx, carried, now())
