"""Who did what: reading the audit, and what of a customer is kept in it, before and after."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from firstmile import callers
from firstmile.journey.instants import format_instant, from_datetime
from firstmile.journey.journal import View
from firstmile.service.premises import Premises
from firstmile.store import audit
from firstmile.store.audit import Deed, Page


class Auditing:
    """The part of the service that says who did what."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def read(
        self,
        *,
        subject: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> Page:
        """A page of what was done, the newest first."""
        async with self._premises.reading() as db:
            return await audit.read(
                db, subject=subject, actor=actor, action=action, since=since, before=cursor, limit=limit
            )


def deed_of(
    action: str,
    actor: str,
    at: datetime,
    subject: str | None = None,
    enrolment: int | None = None,
    reason: str | None = None,
    *,
    target: str | None = None,
) -> Deed:
    """What is done in the store alone: to be written in the transaction that does it."""
    caller = callers.current()
    return Deed(
        at=at,
        actor=actor,
        action=action,
        outcome="done",
        request=uuid.uuid4().hex if caller is None else caller.request,
        key=None if caller is None else caller.key,
        subject=subject,
        enrolment=enrolment,
        target=target,
        reason=reason,
    )


def facts_of(view: View) -> dict[str, Any]:
    """What a command may change of a customer."""
    return {
        "status": view.status,
        "stage": view.stage,
        "ends": _text(view.ends),
        "paused_until": _text(view.paused_until),
        "owners": dict(view.owners),
        "steps": {step: [phase, _text(at)] for step, (phase, at) in view.steps.items()},
    }


def changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What differs between two such records, on either side. None where nothing is known of one."""
    if before is None or after is None:
        return None, None
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            old, new = changes(old, new)
        was[name], now[name] = old, new
    return was, now


def deed_as_json(number: int, deed: Deed) -> dict[str, Any]:
    """A deed as plain values."""
    return {"number": number, **asdict(deed), "at": format_instant(from_datetime(deed.at))}


def _text(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
