"""Effects other than messages, and what became of them: an activity that is run again finds what it did."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, select, update

from firstmile.contracts import EffectOutcome
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import effects


async def recorded(db: Reading, key: str) -> EffectOutcome | None:
    """What became of the effect under this key; None if nothing was recorded."""
    row = await db.first(select(effects).where(effects.c.key == key))
    return None if row is None else _outcome(row)


async def record(
    tx: Writing, key: str, outcome: EffectOutcome, now: datetime, *, system: str | None = None
) -> EffectOutcome:
    """Record an outcome, unless there is one: the first counts, and is returned.

    `system` names what a provision addressed, and counts it. Raises `ValueError` for `deferred`: that effect
    is yet to be done, under the same key.
    """
    if outcome.outcome == "deferred":
        raise ValueError("an effect that was put off is not recorded: it is yet to be done")
    statement = tx.insert(effects).values(
        key=key,
        outcome=outcome.outcome,
        at=outcome.at,
        reason=outcome.reason,
        result=outcome.result,
        system=system,
        recorded_at=now,
    )
    if (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1:
        _count(tx, system, outcome.outcome)
        return outcome
    found = await recorded(tx, key)
    assert found is not None
    return found


async def finish(tx: Writing, key: str, outcome: EffectOutcome, now: datetime) -> bool:
    """What an effect recorded as `open` came to (a provision's callback). False if it is not open."""
    statement = (
        update(effects)
        .where(and_(effects.c.key == key, effects.c.outcome == "open"))
        .values(
            outcome=outcome.outcome,
            at=outcome.at,
            reason=outcome.reason,
            result=outcome.result,
            recorded_at=now,
        )
        .returning(effects.c.system)
    )
    row = await tx.first(statement)
    if row is None:
        return False
    _count(tx, row.system, outcome.outcome)
    return True


def _count(tx: Writing, system: str | None, outcome: str) -> None:
    if system is not None:
        tx.tallies.count("provisioning_total", {"system": system, "outcome": outcome})


def _outcome(row: AnyRow) -> EffectOutcome:
    return EffectOutcome(outcome=row.outcome, at=row.at, reason=row.reason, result=row.result)
