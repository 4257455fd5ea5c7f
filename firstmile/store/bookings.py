"""Booked trainings: which date of a session a customer is invited to, and whether they come.

    offered ──> booked ──> cancelled ──> offered | booked
       └──────────────────────┘

One row for each step that invites. Its `sequence` is the SEQUENCE of the calendar file (RFC 5546 §2.1.4): it
rises with each change of what a calendar shows, never otherwise, and so a number that has been given out
always means the same date. `becomes` says what a change makes of a booking; `keep` writes that only over what
was looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, and_, select, update

from firstmile.store.database import Reading, Writing
from firstmile.store.tables import bookings

State = Literal["offered", "booked", "cancelled"]
"""`offered`: we named a date. `booked`: the customer chose it. `cancelled`: they cannot come, or it is off."""


@dataclass(slots=True, frozen=True)
class Booking:
    """One training of one customer. `starts` is in journey time; `updated_at` by the clock on the wall."""

    subject: str
    enrolment: int
    step: str
    session: str
    starts: datetime
    state: State
    updated_at: datetime
    sequence: int = 0

    def becomes(
        self, state: State, now: datetime, *, session: str | None = None, starts: datetime | None = None
    ) -> Booking:
        """The booking after a change; itself if there is none. Session and date stay unless given."""
        changed = replace(self, session=session or self.session, starts=starts or self.starts, state=state)
        if changed == self:
            return self
        return replace(changed, sequence=self.sequence + (changed._shown != self._shown), updated_at=now)

    @property
    def _shown(self) -> tuple[str, datetime, bool]:
        """What a calendar shows of it: whether somebody promised to come is no new date."""
        return self.session, self.starts, self.state == "cancelled"


async def get(db: Reading, subject: str, enrolment: int, step: str) -> Booking | None:
    """The booking of a step; None before an invitation."""
    row = await db.first(select(bookings).where(_place(subject, enrolment, step)))
    return None if row is None or row.starts is None else Booking(**row._mapping)


async def keep(tx: Writing, before: Booking | None, after: Booking) -> bool:
    """Write a booking over `before` (None: where there is none). False if that is no longer what is there."""
    if after == before:
        return await get(tx, after.subject, after.enrolment, after.step) == before
    row = asdict(after)
    if before is None:
        statement = tx.insert(bookings).values(row).on_conflict_do_nothing()
        return (await tx.execute(statement)).rowcount == 1
    # A sequence stands for one session and date, and no state comes back under the same one.
    same = and_(bookings.c.sequence == before.sequence, bookings.c.state == before.state)
    here = _place(after.subject, after.enrolment, after.step)
    return (await tx.execute(update(bookings).where(here, same).values(row))).rowcount == 1


def _place(subject: str, enrolment: int, step: str) -> ColumnElement[bool]:
    return and_(bookings.c.subject == subject, bookings.c.enrolment == enrolment, bookings.c.step == step)
