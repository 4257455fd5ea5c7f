"""The store and Temporal never disagree for long: what differs is found and, where that is safe, repaired.

Two walks, each by pages: through those who should be running according to the store, and through those who
run according to Temporal. A difference is looked at once more, exactly, before anything is said of it; what
was repaired is in the audit. Whoever Temporal has lost for good is left for a person: another namespace by
mistake looks just the same, and would end every journey there is.

A round does a bounded part and goes on where the last one, of whichever process, stopped; one process at a
time. `whole` goes through everybody.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from firstmile.contracts import Clock, Told
from firstmile.errors import NotConfirmed
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.journey.journal import FINISHED
from firstmile.service.enrolling import STALE, Enrolling
from firstmile.service.premises import Premises
from firstmile.service.repairing import Kind, Repairs, row_of
from firstmile.service.sightings import ENDED, Sighting, Sightings
from firstmile.store import drift, enrolments, journal, owners, parked, profiles, tasks, turns, views
from firstmile.store.drift import Place, Unfinished
from firstmile.store.enrolments import Enrolment
from firstmile.store.views import Customer

TURN = "reconcile"
LEASE = timedelta(minutes=5)
PAGE = 100
PAGES = 10
"""Pages of each walk in one round."""
ASKED = 100
"""Workflows that are asked in one round; each may have to be replayed."""
OVERDUE = timedelta(minutes=10)
"""How long what a view shows as next may be over before the workflow is asked."""
_DONE_NOTHING = frozenset({"enrolled", "scheduled", "stage"})


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `subject` is a customer's id, or a person's for `load`; None for several at once.

    `repaired`: it is no more. `left`: it needs somebody, or another round. `found`: nothing was to be repaired.
    """

    kind: Kind
    subject: str | None
    detail: str
    outcome: Literal["found", "repaired", "left"]


@dataclass(slots=True)
class Reconciled:
    """What came of it. `compared`: customers of the store; `seen`: workflows of Temporal; `unanswered`: those
    that no worker answered for. `busy`: another process is at it, and nothing was done."""

    drifts: list[Drift] = field(default_factory=list)
    compared: int = 0
    seen: int = 0
    unanswered: int = 0
    busy: bool = False


@dataclass(slots=True)
class _Walk:
    """What one round or pass may do, and how far it has come."""

    repair: bool
    thorough: bool = False
    stop_lost: bool = False
    asks: int = ASKED
    silent: bool = False
    found: Reconciled = field(default_factory=Reconciled)


class Reconciling:
    """The part of the service that compares store and Temporal."""

    def __init__(self, premises: Premises, enrolling: Enrolling) -> None:
        self._premises = premises
        self._enrolling = enrolling
        self._sightings = Sightings(premises)
        self._repairs = Repairs(premises, self._sightings)

    async def round(self) -> Reconciled:
        """Compare and repair a bounded part: what is next. Raises a retryable error if something is away."""
        walk, holder = _Walk(repair=True), uuid.uuid4().hex
        reached = await self._take(holder)
        if reached is None:
            return Reconciled(busy=True)
        after: Place | None = (reached["after"][0], reached["after"][1]) if reached.get("after") else ("", 0)
        token = base64.b64decode(reached.get("token", ""))
        try:
            after = await self._compare(walk, after or ("", 0), PAGES)
            token = await self._see(walk, token, PAGES) or b""
            if after is None:
                await self._people(walk)
        finally:
            kept = {"after": after, "token": base64.b64encode(token).decode()}
            await self._give_back(holder, kept)
            await self._premises.flush()
        return walk.found

    async def whole(
        self, *, repair: bool = False, thorough: bool = False, stop_lost: bool = False
    ) -> Reconciled:
        """Compare everybody, and with `repair` repair it.

        `thorough` asks every workflow, not only those whose view looks old. `stop_lost` ends the journeys of
        those whom Temporal does not know any more. Raises what `round` does.
        """
        walk = _Walk(repair, thorough, stop_lost, asks=10**9)
        holder = uuid.uuid4().hex
        if await self._take(holder) is None:
            return Reconciled(busy=True)
        after: Place | None = ("", 0)
        token: bytes | None = b""
        try:
            await self._sign_ups(walk)
            while after is not None or token is not None:
                if after is not None:
                    after = await self._compare(walk, after, PAGES)
                if token is not None:
                    token = await self._see(walk, token, PAGES)
                await self._take(holder)
            await self._people(walk)
        finally:
            await self._give_back(holder, {})
            await self._premises.flush()
        return walk.found

    # The two walks

    async def _compare(self, walk: _Walk, after: Place, pages: int) -> Place | None:
        """From the store to Temporal. Returns where to go on; None at the end."""
        for _ in range(pages):
            async with self._premises.reading() as db:
                page = await drift.unfinished(db, after, PAGE)
            running = await self._sightings.running_of([one.row.subject for one in page])
            for one in page:
                await self._look_at(walk, one, one.row.subject in running)
                after = (one.row.subject, one.row.number)
            walk.found.compared += len(page)
            if len(page) < PAGE:
                return None
        return after

    async def _see(self, walk: _Walk, token: bytes, pages: int) -> bytes | None:
        """From Temporal to the store. Returns the token to go on with; None at the end."""
        for _ in range(pages):
            page, token = await self._sightings.running(token, PAGE)
            subjects = sorted({one.subject for one in page})
            async with self._premises.reading() as db:
                rows = await enrolments.latest_of(db, subjects)
                known = await views.some(db, [(row.subject, row.number) for row in rows.values()])
            for one in page:
                row = rows.get(one.subject)
                if row is None:
                    await self._unregistered(walk, one)
                else:
                    await self._finished(walk, row, known.get((row.subject, row.number)))
            walk.found.seen += len(page)
            if not token:
                return None
        return token

    async def _sign_ups(self, walk: _Walk) -> None:
        """What the sweep is for."""
        now = self._premises.now()
        async with self._premises.reading() as db:
            stuck = [row.subject for row in await enrolments.stale_starting(db, now - STALE)]
            waiting = await parked.deliverable(db)
        if walk.repair and (stuck or waiting):
            await self._enrolling.sweep()
            async with self._premises.reading() as db:
                still = {row.subject for row in await enrolments.stale_starting(db, now - STALE)}
                still |= set(await parked.deliverable(db))
        else:
            still = {*stuck, *waiting}
        for subject in stuck:
            await self._note(walk, "starting", subject, "a sign-up stuck half-way", subject not in still)
        for subject in waiting:
            await self._note(walk, "parked", subject, "events could be handed over", subject not in still)

    # One customer

    async def _look_at(self, walk: _Walk, one: Unfinished, runs: bool) -> None:
        row = one.row
        if runs:
            await self._ask(walk, one)
            return
        seen = await self._sightings.look(row.subject)
        if seen is not None and seen.ended is None and seen.enrolment == row.number:
            await self._ask(walk, one)  # only visibility was late
        elif seen is not None and (seen.ended is not None or seen.enrolment > row.number):
            await self._closed(walk, row, seen)
        elif row.tried_at < self._premises.now() - STALE:
            await self._unknown_to_temporal(walk, row)

    async def _closed(self, walk: _Walk, row: Enrolment, seen: Sighting) -> None:
        outcome, reason = "stopped", seen.ended or "a later workflow of this customer runs in Temporal"
        if seen.enrolment == row.number and seen.ended == ENDED:
            outcome = await self._sightings.outcome(row.subject)
        if not await self._repairs.is_unfinished(row):
            return
        if walk.repair:
            await self._repairs.end(
                row, "completed" if outcome == "completed" else "stopped", reason, "closed"
            )
        await self._note(walk, "closed", row.subject, reason, written=True)

    async def _unknown_to_temporal(self, walk: _Walk, row: Enrolment) -> None:
        async with self._premises.reading() as db:
            entries = await journal.read(db, row.subject, row.number)
            profile = await profiles.get(db, row.subject)
        if not await self._repairs.is_unfinished(row):
            return
        if all(entry.change in _DONE_NOTHING for entry in entries) and profile is not None and row.given:
            detail = "Temporal does not know it, and nothing was done yet: it is started again"
            done = walk.repair and await self._enrolling.start_again(row, profile)
            await self._note(walk, "unstarted", row.subject, detail, done, row=row)
            return
        detail = (
            "Temporal does not know it any more: is this the right namespace? If so, `--stop-lost` ends it"
        )
        if walk.repair and walk.stop_lost:
            await self._repairs.end(row, "stopped", "Temporal does not know the workflow any more", "lost")
            await self._note(walk, "lost", row.subject, "it was ended", written=True)
            return
        await self._note(walk, "lost", row.subject, detail, done=False)

    async def _ask(self, walk: _Walk, one: Unfinished) -> None:
        """Compare the numbers of what was told, if there is a reason to."""
        if not (walk.thorough or self._looks_old(one)):
            return
        row = one.row
        told = await self._told(walk, row.subject)
        if told is None or told.enrolment != row.number:
            return
        # Read after the workflow was asked: whatever it knows to be in the store is there by now.
        number = await self._repairs.number_of(row.subject, row.number)
        if told.acknowledged > number:
            detail = f"the store has view {number}, and was told {told.acknowledged}"
            done = walk.repair and await self._repairs.tell_again(row.subject, row.number, number)
            await self._note(walk, "behind", row.subject, detail, done, row=row)
        elif number > told.newest:
            detail = f"the store has view {number}, and the workflow has only come to {told.newest}"
            done = walk.repair and await self._repairs.tell_again(row.subject, row.number, number)
            await self._note(walk, "ahead", row.subject, detail, done, row=row)

    async def _unregistered(self, walk: _Walk, seen: Sighting) -> None:
        told = await self._told(walk, seen.subject)
        if told is None:
            return
        done = False
        if walk.repair:
            async with self._premises.writing() as tx:
                done = await enrolments.adopt(tx, row_of(seen.subject, told), self._premises.now())
        detail = f"it runs in Temporal on '{told.segment}', and nobody signed it up"
        await self._note(walk, "unregistered", seen.subject, detail, done)

    async def _finished(self, walk: _Walk, row: Enrolment, customer: Customer | None) -> None:
        """A workflow that runs, whose customer has finished, the store says."""
        if customer is None or customer.view.status not in FINISHED:
            return
        if customer.updated_at > self._premises.now() - STALE:
            return  # it is only just ending
        seen = await self._sightings.look(row.subject)
        if seen is None or seen.ended is not None:
            return
        told = await self._told(walk, row.subject)
        if told is None or told.enrolment != row.number or told.status in FINISHED:
            return
        done = walk.repair and await self._repairs.tell_again(row.subject, row.number, customer.view.number)
        if done:
            async with self._premises.writing() as tx:
                await drift.own_again(tx, row.subject, row.number)
        detail = f"the store says {customer.view.status}, and the workflow is {told.status}"
        await self._note(walk, "runs_on", row.subject, detail, done, row=row)

    # What the store has with itself

    async def _people(self, walk: _Walk) -> None:
        now = self._premises.now()
        async with self._premises.reading() as db:
            places = await drift.left_open(db, PAGE)
            differences = await drift.miscounted(db)
        for subject, number in places:
            if walk.repair:
                async with self._premises.writing() as tx:
                    await owners.release(tx, subject, number, now)
                    await tasks.end_of_journey(tx, subject, number, now=now)
            await self._note(walk, "left_open", subject, "it has finished, and its tasks or owners have not")
        if walk.repair and (places or differences):
            async with self._premises.writing() as tx:
                differences = await drift.miscounted(tx)
                drift.mend_load(tx, differences)
        for person, difference in differences.items():
            await self._note(walk, "load", person, f"the load was counted {-difference:+d} too many")

    # Small things

    def _looks_old(self, one: Unfinished) -> bool:
        now = self._premises.now()
        if one.customer is None:
            return one.row.created_at < now - STALE
        view = one.customer.view
        if view.status == "paused" and view.paused_until is None:
            return False
        clock = Clock(from_datetime(one.row.enrolled_at), one.row.speed)
        return view.next is not None and to_datetime(clock.real(view.next)) < now - OVERDUE

    async def _told(self, walk: _Walk, subject: str) -> Told | None:
        if walk.silent or walk.asks <= 0:
            walk.found.unanswered += 1
            return None
        walk.asks -= 1
        try:
            return await self._sightings.told(subject)
        except NotConfirmed:
            walk.silent = True  # no worker: nobody else will be answered for either
            walk.found.unanswered += 1
            return None

    async def _note(
        self,
        walk: _Walk,
        kind: Kind,
        subject: str | None,
        detail: str,
        done: bool = True,
        *,
        row: Enrolment | None = None,
        written: bool = False,
    ) -> None:
        """Add to what was found. `written`: audit and count have it already; `row`: the audit should."""
        outcome: Literal["found", "repaired", "left"] = "found"
        if walk.repair:
            outcome = "repaired" if done else "left"
            if not written:
                await self._repairs.record(kind, outcome, detail, row)
        walk.found.drifts.append(Drift(kind, subject, detail, outcome))

    async def _take(self, holder: str) -> dict[str, Any] | None:
        async with self._premises.writing() as tx:
            return await turns.take(tx, TURN, holder, self._premises.now(), LEASE)

    async def _give_back(self, holder: str, reached: dict[str, Any]) -> None:
        async with self._premises.writing() as tx:
            await turns.give_back(tx, TURN, holder, reached)
