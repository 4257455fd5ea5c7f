"""What activities work with, built once by the worker; and the little they all do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.instants import Instant, from_datetime
from firstmile.store import effects, records
from firstmile.store.database import Database, Writing


@dataclass(slots=True, frozen=True)
class Tools:
    """The store, and nothing that only some effects need."""

    database: Database


def now() -> datetime:
    """The real time, at which activities live."""
    return datetime.now(UTC)


def journey_time(request: EffectRequest, real: datetime) -> Instant:
    """A real instant in the journey time of a request's customer.

    Never before the effect was started: this machine's clock may be behind the one that says when that was.
    """
    return max(request.at, request.clock.journey(from_datetime(real)))


async def earlier(tx: Writing, request: EffectRequest, real: datetime) -> EffectOutcome | None:
    """What an earlier attempt recorded, with the records written again; None if none has come so far."""
    known = await effects.recorded(tx, request.key)
    if known is not None:
        await _ride(tx, request, known, real)
    return known


async def conclude(
    tx: Writing,
    request: EffectRequest,
    outcome: EffectOutcome,
    real: datetime,
    *,
    system: str | None = None,
) -> EffectOutcome:
    """Record what became of an effect that is no message, with the records that ride on it: one transaction.

    If an earlier attempt has recorded something, that counts.
    """
    recorded = await effects.record(tx, request.key, outcome, real, system=system)
    await _ride(tx, request, recorded, real)
    return recorded


async def _ride(tx: Writing, request: EffectRequest, outcome: EffectOutcome, real: datetime) -> None:
    """Write the records that ride on an effect, as its outcome has it."""
    done = outcome.outcome == "done"
    carried = request.records
    owner = (outcome.result or {}).get("owner") if request.kind == "assign" else None
    if done and owner is not None and carried.success_view is not None:
        # Who it is was not known when the view was written beforehand.
        owners = {**carried.success_view.owners, request.step: str(owner)}
        carried = replace(carried, success_view=replace(carried.success_view, owners=owners))
    await records.write(tx, carried, real, succeeded=done, outcome_at=outcome.at if done else None)
