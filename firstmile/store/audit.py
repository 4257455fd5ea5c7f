"""Who did what, when and why: only ever added to.

A command that a workflow carries out is written down twice under one `request`: when it was asked for, and
what came of it, so that a crash between the two leaves a trace. What the store does by itself is written in
the transaction that does it, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import and_, exists, select

from firstmile.store.database import AnyRow, Reading, Writing, batched
from firstmile.store.tables import audit

Outcome = Literal["asked", "done", "rejected", "failed"]
"""`failed`: nobody can say whether it was carried out."""


@dataclass(slots=True, frozen=True)
class Deed:
    """Something somebody did.

    `subject` and `enrolment` say to whom, `target` to what else (a hold's place, a key's name); `detail` why
    it was rejected; `before` and `after` what of the customer changed: facts without personal data.
    """

    at: datetime
    actor: str
    action: str
    outcome: Outcome
    request: str
    key: str | None = None
    subject: str | None = None
    enrolment: int | None = None
    target: str | None = None
    reason: str | None = None
    detail: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Page:
    """Deeds, the newest first; `cursor` asks for the next page, None on the last."""

    deeds: list[tuple[int, Deed]]
    cursor: int | None


async def record(tx: Writing, deed: Deed) -> None:
    """Write down a deed."""
    await tx.execute(
        tx.insert(audit).values({field.name: getattr(deed, field.name) for field in fields(deed)})
    )


async def read(
    db: Reading,
    *,
    subject: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Page:
    """A page of deeds. What was asked for is left out where it is known what came of it."""
    later = audit.alias("later")
    answered = exists().where(later.c.request == audit.c.request, later.c.number > audit.c.number)
    wanted = [~and_(audit.c.outcome == "asked", answered)]
    for column, value in (("subject", subject), ("actor", actor), ("action", action)):
        if value is not None:
            wanted.append(audit.c[column] == value)
    if since is not None:
        wanted.append(audit.c.at >= since)
    if before is not None:
        wanted.append(audit.c.number < before)
    rows = await db.all(select(audit).where(*wanted).order_by(audit.c.number.desc()).limit(limit + 1))
    found = [_deed(row) for row in rows[:limit]]
    return Page(found, found[-1][0] if len(rows) > limit else None)


async def outcomes(db: Reading, requests: Sequence[str]) -> dict[str, tuple[Outcome, str | None]]:
    """What is known to have come of these requests, with the detail; those that are open are left out."""
    found: dict[str, tuple[Outcome, str | None]] = {}
    for some in batched(requests):
        statement = select(audit.c.request, audit.c.outcome, audit.c.detail).where(
            audit.c.request.in_(some), audit.c.outcome.in_(("done", "rejected"))
        )
        found |= {row.request: (row.outcome, row.detail) for row in await db.all(statement)}
    return found


def _deed(row: AnyRow) -> tuple[int, Deed]:
    values = dict(row._mapping)
    return values.pop("number"), Deed(**values)
