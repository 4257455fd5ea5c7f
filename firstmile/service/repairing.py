"""Repairs of what the reconciler found: each in one transaction with its line of the audit and its count."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal
from urllib.parse import quote

from firstmile.contracts import Clock, Records, Told
from firstmile.journey.instants import format_instant, from_datetime, to_datetime
from firstmile.journey.journal import FINISHED, Entry, View
from firstmile.service.auditing import deed_of
from firstmile.service.premises import Premises
from firstmile.service.sightings import Sightings
from firstmile.store import audit, enrolments, journal, records, views
from firstmile.store.database import Writing
from firstmile.store.enrolments import Enrolment, NewEnrolment
from firstmile.store.views import Customer

Kind = Literal[
    "starting", "unstarted", "lost", "closed", "unregistered", "runs_on", "behind", "ahead", "parked",
    "left_open", "load",
]  # fmt: skip
"""`starting`: a sign-up stuck half-way. `unstarted`: said to be started, unknown to Temporal, and nothing done
yet; `lost`: the same with something done. `closed`: the workflow ended without the store hearing of it.
`unregistered`: a workflow that runs without an enrolment. `runs_on`: finished in the store, and running.
`behind`, `ahead`: the store lacks what the workflow told it, or has a view that the workflow never had.
`parked`: events that could be handed over. `left_open`: a finished customer's tasks or owners. `load`: a
person's load is miscounted."""

ACTOR = "reconciler"
_ABOVE = 100
"""How far above the last number known an end is written: effects under way have reserved some, and come yet."""
_LOOKS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between looks whether a workflow has told the store what it was asked to."""


class Repairs:
    """What can be mended of one customer."""

    def __init__(self, premises: Premises, sightings: Sightings) -> None:
        self._premises = premises
        self._sightings = sightings

    async def end(
        self, row: Enrolment, change: Literal["completed", "stopped"], reason: str, kind: Kind
    ) -> bool:
        """Write that a journey is over, as its workflow would have. False if that is written already."""
        now = self._premises.now()
        clock = Clock(from_datetime(row.enrolled_at), row.speed)
        async with self._premises.writing() as tx:
            customer = await views.get(tx, row.subject, row.number)
            if customer is not None and customer.view.status in FINISHED:
                return False
            known = await journal.read(tx, row.subject, row.number)
            entries = [] if known else [Entry(1, clock.enrolled_at, "enrolled")]
            last = max(entry.number for entry in [*known, *entries])
            if not any(entry.change in FINISHED for entry in known):
                at = clock.journey(from_datetime(now))
                entries.append(Entry(last + _ABOVE, at, change, reason=reason))
            told = Records(
                subject=row.subject,
                enrolment=row.number,
                segment=row.segment,
                version=row.version,
                entries=entries,
                view=_ended(customer, change),
            )
            await records.write(tx, told, now)
            await self._write_down(tx, kind, "repaired", reason, row)
        return True

    async def tell_again(self, subject: str, number: int, newest: int) -> bool:
        """Have a workflow tell the store again, and see that it has."""
        if not await self._sightings.flush(subject, newest):
            return False
        for pause in _LOOKS:
            await asyncio.sleep(pause)
            if await self.number_of(subject, number) > newest:
                return True
        return False

    async def record(self, kind: Kind, outcome: str, detail: str, row: Enrolment | None) -> None:
        """Count a difference and, if it was repaired and is a customer's, write that down."""
        async with self._premises.writing() as tx:
            await self._write_down(tx, kind, outcome, detail, row)

    async def number_of(self, subject: str, number: int) -> int:
        """The number of the view that the store has; 0 if it has none."""
        async with self._premises.reading() as db:
            customer = await views.get(db, subject, number)
        return 0 if customer is None else customer.view.number

    async def is_unfinished(self, row: Enrolment) -> bool:
        """Whether the store, looked at once more, still has an enrolment as one that should run."""
        async with self._premises.reading() as db:
            customer = await views.get(db, row.subject, row.number)
            there = await enrolments.get(db, row.subject, row.number)
        return there is not None and (customer is None or customer.view.status not in FINISHED)

    async def _write_down(
        self, tx: Writing, kind: Kind, outcome: str, detail: str, row: Enrolment | None
    ) -> None:
        tx.tallies.count("reconciler_drift_total", {"kind": kind, "outcome": outcome})
        if row is not None and outcome == "repaired":
            now = self._premises.now()
            deed = deed_of("reconcile", ACTOR, now, row.subject, row.number, detail, target=kind)
            await audit.record(tx, deed)


def row_of(subject: str, told: Told) -> NewEnrolment:
    """The enrolment of a workflow that was started without one. No sign-up is ever the same as it."""
    return NewEnrolment(
        subject=subject,
        segment=told.segment,
        version=told.version,
        request_hash="",
        response={
            "id": subject,
            "segment": told.segment,
            "version": told.version,
            "enrolment": told.enrolment,
            "enrolled_at": format_instant(told.enrolled_at),
            "status_url": f"/v1/onboardings/{quote(subject)}",
        },
        enrolled_at=to_datetime(told.enrolled_at),
        number=told.enrolment,
        speed=told.speed,
    )


def _ended(customer: Customer | None, status: Literal["completed", "stopped"]) -> View:
    if customer is None:
        return View(number=_ABOVE, status=status, stage=None, onboarded_at=None, next=None)
    view = customer.view
    return replace(view, number=view.number + _ABOVE, status=status, next=None, paused_until=None)
