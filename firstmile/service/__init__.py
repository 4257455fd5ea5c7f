"""The one door to Temporal's client: whatever the console can do, the API, the CLI and `starter.py` can.

`Service` is the face; each part of it is a module here. What it raises is in `firstmile.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client

from firstmile.contracts import CommandRequest
from firstmile.journey.journal import View
from firstmile.links import Target
from firstmile.publishing import Publishing, publish
from firstmile.service.answers import Answers, Question
from firstmile.service.auditing import Auditing
from firstmile.service.batches import Batches
from firstmile.service.bookings import Bookings, TrainingPage
from firstmile.service.bulk import BulkCommands
from firstmile.service.commanding import Commanding, Done, Foresight
from firstmile.service.correcting import Correcting
from firstmile.service.deliveries import Deliveries
from firstmile.service.enrolling import STALE, Enrolled, Enrolling, Swept
from firstmile.service.events import EventOutcome, Events, ProductEvent
from firstmile.service.holding import Holding
from firstmile.service.keys import Keys
from firstmile.service.preferences import Preferences, Preferring
from firstmile.service.premises import Premises, clock
from firstmile.service.reconciling import Reconciled, Reconciling
from firstmile.service.searching import EVERYBODY, Asked, FoundPage, Searching
from firstmile.service.standing import Reading, Standing
from firstmile.service.suppressing import Suppressing
from firstmile.settings import Settings
from firstmile.store import metrics
from firstmile.store.database import Database
from firstmile.store.finding import Counted
from firstmile.store.holds import Hold
from firstmile.store.metrics import Snapshot
from firstmile.store.owners import Member, Person
from firstmile.store.views import Count


class Service:
    """Everything that can be asked of Firstmile from outside. Belongs to one event loop."""

    def __init__(
        self,
        client: Client,
        database: Database,
        settings: Settings,
        now: Callable[[], datetime] = clock,
    ) -> None:
        self.settings = settings
        self._premises = Premises(client, database, settings, now)
        events = Events(self._premises)
        self._events = events
        self._enrolling = Enrolling(self._premises, events)
        self._commanding = Commanding(self._premises)
        self._holding = Holding(self._premises)
        self._correcting = Correcting(self._premises)
        self._reading = Reading(self._premises)
        self._searching = Searching(self._premises)
        self._reconciling = Reconciling(self._premises, self._enrolling)
        self.keys = Keys(self._premises)
        self.bulk = BulkCommands(self._premises, self._commanding, self._searching)
        self.batches = Batches(self._premises, self._commanding)
        self.auditing = Auditing(self._premises)
        self.answers = Answers(self._premises, events)
        self.deliveries = Deliveries(self._premises, events)
        self.bookings = Bookings(self._premises, events)
        self.preferring = Preferring(self._premises, events)
        self.suppressing = Suppressing(self._premises)

    def now(self) -> datetime:
        """The time by this service's clock."""
        return self._premises.now()

    # Signing up

    async def enrol(self, body: object) -> Enrolled:
        """Start a customer from the body of a sign-up (see `Enrolling.enrol`)."""
        return await self._enrolling.enrol(body)

    async def again(
        self, subject: str, given: Mapping[str, Any], *, actor: str, reason: str | None = None
    ) -> Enrolled:
        """Onboard somebody a second time (see `Enrolling.again`)."""
        return await self._enrolling.again(subject, given, actor=actor, reason=reason)

    async def foresee_again(self, subject: str, given: Mapping[str, Any]) -> list[str]:
        """What `again` would do (see `Enrolling.foresee_again`)."""
        return await self._enrolling.foresee_again(subject, given)

    async def foresee_address(self, subject: str, body: object) -> list[str]:
        """What `address` would do (see `Correcting.foresee_address`)."""
        return await self._correcting.foresee_address(subject, body)

    async def address(self, subject: str, body: object, *, actor: str, reason: str | None = None) -> bool:
        """Change a customer's address (see `Correcting.address`)."""
        return await self._correcting.address(subject, body, actor=actor, reason=reason)

    async def sweep(self, older_than: timedelta = STALE) -> Swept:
        """Finish or remove sign-ups that got stuck, hand over parked events, start bulk jobs that were not."""
        swept = await self._enrolling.sweep(older_than)
        await self.bulk.sweep()
        return swept

    async def reconcile_a_part(self) -> Reconciled:
        """Compare the next part of store and Temporal, and repair it (see `Reconciling.round`)."""
        return await self._reconciling.round()

    async def reconcile(
        self, *, repair: bool = False, thorough: bool = False, stop_lost: bool = False
    ) -> Reconciled:
        """Compare all of store and Temporal (see `Reconciling.whole`)."""
        return await self._reconciling.whole(repair=repair, thorough=thorough, stop_lost=stop_lost)

    # Events and commands

    async def event(self, event: ProductEvent) -> EventOutcome:
        """Pass a product event on (see `Events.event`)."""
        return await self._events.event(event)

    async def command(
        self, subject: str, name: str, request: CommandRequest, *, key: str | None = None
    ) -> Done:
        """Carry out an operator's command (see `Commanding.command`)."""
        return await self._commanding.command(subject, name, request, key=key)

    async def foresee(self, subject: str, name: str, request: CommandRequest) -> Foresight:
        """What a command would do (see `Commanding.foresee`)."""
        return await self._commanding.foresee(subject, name, request)

    async def hold(
        self, scope: str, value: str | None, *, reason: str, actor: str, until: datetime | None = None
    ) -> Hold:
        """Let messages wait, with Temporal or without."""
        return await self._holding.hold(scope, value, reason=reason, actor=actor, until=until)

    async def hold_doubt(self, scope: str, value: str | None) -> str | None:
        """Why a hold may not hold what was meant (see `Holding.doubt`)."""
        return await self._holding.doubt(scope, value)

    async def release(
        self,
        scope: str,
        value: str | None,
        *,
        actor: str,
        reason: str | None = None,
        ramp: timedelta | None = None,
    ) -> int:
        """Let messages go out again, by and by (see `Holding.release`)."""
        return await self._holding.release(scope, value, actor=actor, reason=reason, ramp=ramp)

    async def holds(self) -> list[Hold]:
        """The holds in force."""
        return await self._holding.holds()

    async def put_person(self, person: Person, *, actor: str | None = None) -> None:
        """Make a person known, or change one."""
        await self._holding.put_person(person, actor=actor)

    async def people(self) -> list[Member]:
        """Everybody who is known, with their load."""
        return await self._holding.people()

    # Questions

    async def status(self, subject: str) -> Standing:
        """Where a customer stands and what comes next, from the store."""
        return await self._reading.status(subject)

    async def live(self, subject: str) -> View:
        """The workflow's own answer, now."""
        return await self._reading.live(subject)

    async def find(
        self, asked: Asked = EVERYBODY, *, cursor: str | None = None, limit: int = 50
    ) -> FoundPage:
        """A page of customers (see `Asked`). Raises `SearchRefused`."""
        return await self._searching.find(asked, cursor=cursor, limit=limit)

    async def count(self, asked: Asked = EVERYBODY) -> Counted:
        """How many of them there are, up to 1,000. Raises `SearchRefused`."""
        return await self._searching.count(asked)

    async def counts(self) -> list[Count]:
        """How many customers there are by segment, status and stage."""
        return await self._reading.counts()

    async def metrics(self) -> Snapshot:
        """The numbers of the business."""
        await self._premises.flush()
        async with self._premises.reading() as db:
            return await metrics.snapshot(db, self._premises.now())

    # Pages

    async def question(self, target: Target) -> Question:
        """What a customer's link asks."""
        return await self.answers.question(target)

    async def preferences(self, target: Target) -> Preferences:
        """What a recipient wants to be sent."""
        return await self.preferring.preferences(target)

    async def trait_kinds(self, segment: str) -> dict[str, str]:
        """The traits that a segment's current journey declares, with their kinds; none if it has none."""
        return await self._enrolling.trait_kinds(segment)

    # The house

    async def publish(self, journeys: Path | None = None, templates: Path | None = None) -> Publishing:
        """Check and publish journeys with their templates: those of the settings, unless given."""
        return await publish(
            self._premises.database,
            journeys or self.settings.journeys_folder(),
            templates or self.settings.templates_folder(),
            self._premises.now(),
        )

    async def ready(self) -> None:
        """Return if the store answers. Raises `StoreAway`."""
        async with self._premises.reading():
            await self._premises.database.ready()

    async def close(self) -> None:
        """Write what was counted. The client and the store belong to whoever opened them."""
        await self._premises.flush()


__all__ = [
    "STALE",
    "Asked",
    "Done",
    "Enrolled",
    "EventOutcome",
    "FoundPage",
    "Preferences",
    "ProductEvent",
    "Question",
    "Reconciled",
    "Service",
    "Standing",
    "Swept",
    "TrainingPage",
]
