"""Enrolling: from a sign-up to a running workflow, once, whatever is repeated or falls over on the way.

The enrolment row decides (DESIGN §2.1). It is written with the profile, in one transaction, before the
workflow is started, and says `started` when the workflow is known to run. In between, whoever repeats the
sign-up goes on where it stopped, and `sweep` tidies up after those who do not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from firstmile import search_attributes, signup
from firstmile.connection import ensure_search_attributes
from firstmile.contracts import Start
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    FirstmileError,
    Flaw,
    SignUpDiffers,
    SignUpRefused,
    StoreAway,
    TemporalAway,
    UnknownCustomer,
)
from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import enrol as enrolled_engine
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import Instant, format_instant, from_datetime
from firstmile.journey.journal import FINISHED
from firstmile.journey.problems import unknown
from firstmile.journey.route import Route, route_of
from firstmile.journey.script import Script, reach
from firstmile.journey.slices import cut
from firstmile.publishing import routes
from firstmile.service.auditing import deed_of
from firstmile.service.events import Events
from firstmile.service.premises import PATIENCE, Premises, is_not_found, temporal_errors, workflow_id
from firstmile.service.sightings import ENROLMENT
from firstmile.signup import SignUp
from firstmile.store import (
    audit,
    delivery_events,
    enrolments,
    ledger,
    parked,
    profiles,
    published,
    views,
)
from firstmile.store.audit import Deed
from firstmile.store.enrolments import Enrolment, NewEnrolment
from firstmile.store.profiles import Profile
from firstmile.store.published import Published

STALE = timedelta(minutes=2)
"""How long a row may stay `starting` before `sweep` looks at it: far longer than a start may take."""

AGAIN = ("segment", "traits", "skip", "speed")
"""What may be said when somebody is onboarded again."""
_FIRST = WorkflowIDReusePolicy.REJECT_DUPLICATE
_FURTHER = WorkflowIDReusePolicy.ALLOW_DUPLICATE
BODIES_KEPT = timedelta(days=30)
"""How long what a message said is kept once it is not to be sent again: for whoever asks what went out."""
EVENTS_KEPT = timedelta(days=180)
"""How long single delivery events are kept; what they did stays."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The answer to a sign-up. `same`: it was seen before, and the answer is what it was then."""

    outcome: Literal["started", "same"]
    response: dict[str, Any]

    @property
    def subject(self) -> str:
        """The customer's id."""
        return str(self.response["id"])


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: rows that turned out started, rows removed, parked events delivered or expired."""

    started: int = 0
    removed: int = 0
    delivered: int = 0
    expired: int = 0


class Enrolling:
    """The part of the service that starts customers."""

    def __init__(self, premises: Premises, events: Events) -> None:
        self._premises = premises
        self._events = events
        self._world_is_known = False

    async def enrol(self, body: object) -> Enrolled:
        """Start a customer, or say that this was done before.

        Raises `SignUpRefused`, `SignUpDiffers` (this id has another body), or a retryable error; after one of
        those, repeat the sign-up.
        """
        body = signup.unwrapped(body)
        known, version = await self._known(body)
        if known is not None and known.state == "started":
            return Enrolled("same", known.response)
        sign_up, version = await self._read(body, version)
        return await self._enrol(sign_up, version, body)

    async def again(
        self, subject: str, given: Mapping[str, Any], *, actor: str, reason: str | None
    ) -> Enrolled:
        """Onboard somebody a second time, once the first is finished: a new enrolment, numbered.

        `given` may name another `segment`, and `traits`, `skip`, `speed` as a sign-up does; who they are is as
        it is kept. The same again, while that one is on its way, gets the same answer. Raises what `enrol`
        raises, `CommandRejected` while one is on its way, and `UnknownCustomer`.
        """
        found = await self._asked_again(subject, given)
        if isinstance(found, Enrolment):
            return Enrolled("same", found.response)
        deed = deed_of("again", actor, self._premises.now(), subject, found.number, reason)
        return await self._enrol(found.sign_up, found.version, found.body, found.number, deed)

    async def foresee_again(self, subject: str, given: Mapping[str, Any]) -> list[str]:
        """What `again` would do, in words; nothing changes. Raises what `again` raises."""
        found = await self._asked_again(subject, given)
        if isinstance(found, Enrolment):
            return [f"nothing changes: enrolment {found.number} is on its way"]
        published = f"'{found.version.segment}', version {found.version.version}"
        return [f"'{subject}' is onboarded again: enrolment {found.number} in {published}"]

    async def _asked_again(self, subject: str, given: Mapping[str, Any]) -> _Again | Enrolment:
        """What is to be started; or what was, if this was asked for before."""
        if unknown_ones := [name for name in given if name not in AGAIN]:
            raise CommandMalformed([Flaw(one, unknown("field", one, AGAIN)) for one in unknown_ones])
        async with self._premises.reading() as db:
            last = await enrolments.latest(db, subject)
            profile = await profiles.get(db, subject)
            customer = None if last is None else await views.get(db, subject, last.number)
        if last is None or profile is None:
            raise UnknownCustomer(subject)
        body = signup.again(profile, last.segment, given)
        same = last.number > 1 and last.request_hash == _hash(body)
        over = customer is not None and customer.view.status in FINISHED
        if same and last.state == "started" and not over:
            return last
        if not over and not (same and last.state == "starting"):
            raise CommandRejected(f"'{subject}' is still being onboarded: cancel that first, or let it end")
        async with self._premises.reading() as db:
            version = await published.current(db, str(body["segment"]))
        sign_up, version = await self._read(body, version)
        return _Again(sign_up, version, body, last.number if same and not over else last.number + 1)

    async def sweep(self, older_than: timedelta = STALE) -> Swept:
        """Finish or remove what stayed `starting`, and hand over parked events."""
        premises = self._premises
        stale = premises.now() - older_than
        started = removed = delivered = 0
        async with premises.reading() as db:
            rows = await enrolments.stale_starting(db, stale)
            waiting = await parked.deliverable(db)
        for row in rows:
            if await self._runs(row):
                async with premises.writing() as tx:
                    await enrolments.mark_started(tx, row.subject, row.number)
                waiting.append(row.subject)
                started += 1
            else:
                # Nobody was told that it was accepted: whoever signed up repeats it.
                async with premises.writing() as tx:
                    gone = await enrolments.remove_starting(tx, row.subject, row.number, stale)
                removed += 1 if gone else 0
        for subject in dict.fromkeys(waiting):
            try:
                delivered += await self._events.deliver_parked(subject)
            except RPCError as error:  # something about this one: the others go on
                _logger.warning("parked events of %s were not delivered: %s", subject, error.status.name)
        async with premises.writing() as tx:
            expired = await parked.expire(tx, premises.now())
        await self._forget()
        await premises.flush()
        return Swept(started, removed, delivered, expired)

    async def start_again(self, row: Enrolment, profile: Profile) -> bool:
        """Start the workflow of a row that Temporal lost before it had done anything. False if it cannot be:
        what it was started with is not known."""
        if row.given is None:
            return False
        return await self._start(row, partial(signup.subject_as_kept, profile, row.given))

    async def _forget(self) -> None:
        """Remove what has served: bodies of messages, and what providers told of them. A portion each time, in
        transactions of their own: nobody waits long for either."""
        now = self._premises.now()
        async with self._premises.writing() as tx:
            await ledger.drop_bodies(tx, now - BODIES_KEPT)
        async with self._premises.writing() as tx:
            await delivery_events.drop_before(tx, now - EVENTS_KEPT)

    async def trait_kinds(self, segment: str) -> dict[str, str]:
        """What the current journey of a segment declares of traits: name and kind."""
        async with self._premises.reading() as db:
            current = await published.current(db, segment)
        return {} if current is None else dict(route_of(current.journey).trait_kinds)

    # Enrolling, step by step

    async def _enrol(
        self, sign_up: SignUp, version: Published, body: object, number: int = 1, deed: Deed | None = None
    ) -> Enrolled:
        while True:
            registered = await self._register(sign_up, version, body, number, deed)
            row = registered.enrolment
            if registered.outcome == "different":
                raise SignUpDiffers(sign_up.id, row.response)
            if row.state == "started":
                return Enrolled("same", row.response)
            if await self._start(row, sign_up.subject):
                return Enrolled("started" if registered.outcome == "created" else "same", row.response)

    async def _known(self, body: object) -> tuple[Enrolment | None, Published | None]:
        """The row from before, if this id signed up with this body, and the version to start on: the current
        one, or that of an earlier attempt. Raises `SignUpDiffers`."""
        subject = signup.subject_of(body)
        segment = body.get("segment") if isinstance(body, dict) else None
        async with self._premises.reading() as db:
            # The first one: being onboarded again is no sign-up.
            row = None if subject is None else await enrolments.get(db, subject, 1)
            if row is not None and isinstance(body, dict) and row.request_hash != _hash(body):
                raise SignUpDiffers(row.subject, row.response)
            if row is not None and row.state == "started":
                return row, None
            if row is not None:
                return row, await published.get(db, row.segment, row.version)
            return None, await published.current(db, segment) if isinstance(segment, str) else None

    async def _read(self, body: object, version: Published | None) -> tuple[SignUp, Published]:
        shelf = self._premises.shelf
        if version is not None:
            found = {version.segment: version}
            shelf.keep(version)
        else:
            async with self._premises.reading() as db:
                found = await shelf.current(db)
        if self._world_is_known:
            sign_up = signup.read(body, routes(found))
        else:
            # The first time, this loads the names of the world's zones and countries: not on the event loop.
            sign_up = await asyncio.to_thread(signup.read, body, routes(found))
            self._world_is_known = sign_up.country is not None and sign_up.timezone is not None
        return sign_up, found[sign_up.segment]

    async def _register(
        self, sign_up: SignUp, version: Published, body: object, number: int, deed: Deed | None
    ) -> enrolments.Registered:
        assert isinstance(body, dict)
        now = self._premises.now()
        new = NewEnrolment(
            subject=sign_up.id,
            segment=sign_up.segment,
            version=version.version,
            request_hash=_hash(body),
            response={
                "id": sign_up.id,
                "segment": sign_up.segment,
                "version": version.version,
                "enrolment": number,
                "enrolled_at": format_instant(from_datetime(now)),
                "status_url": f"/v1/onboardings/{quote(sign_up.id)}",
            },
            enrolled_at=now,
            number=number,
            speed=sign_up.speed,
            given={"traits": sign_up.traits, "skip": sign_up.skip},
        )
        async with self._premises.writing() as tx:
            registered = await enrolments.register(tx, new, sign_up.profile(), now)
            if deed is not None and registered.outcome == "created":
                await audit.record(tx, deed)
            return registered

    async def _start(self, row: Enrolment, subject: Callable[[Route, int], Subject]) -> bool:
        """Start the workflow of a row. False if a sweep removed the row meanwhile: register it again."""
        premises = self._premises
        canonical = premises.shelf.known(row.segment, row.version)
        if canonical is None:
            async with premises.reading() as db:
                canonical = await premises.shelf.canonical(db, row.segment, row.version)
        if canonical is None:
            raise StoreAway(f"version {row.version} of '{row.segment}' is not in the store: publish it again")
        starting = await asyncio.to_thread(_start_of, subject, row, canonical)
        try:
            await self._call(row, starting)
        except RPCError as error:
            # A namespace that was never used before does not know our search attributes.
            if error.status != RPCStatusCode.INVALID_ARGUMENT or "search attribute" not in str(error).lower():
                raise
            await ensure_search_attributes(premises.client)
            await self._call(row, starting)
        async with premises.writing() as tx:
            if not await enrolments.mark_started(tx, row.subject, row.number):
                return False
            waiting = await parked.of(tx, row.subject)
        if waiting:
            try:
                await self._events.deliver_parked(row.subject)
            except FirstmileError as error:
                _logger.warning("parked events of %s wait for the sweep: %s", row.subject, error)
        return True

    async def _call(self, row: Enrolment, starting: _Starting) -> None:
        premises = self._premises
        try:
            with temporal_errors():
                await premises.client.start_workflow(
                    row.segment,
                    starting.start,
                    id=workflow_id(row.subject),
                    task_queue=premises.settings.task_queue,
                    # A first enrolment starts once, whatever became of it; a further one follows on a closed
                    # workflow of the same id.
                    id_reuse_policy=_FIRST if row.number == 1 else _FURTHER,
                    memo={ENROLMENT: row.number},
                    search_attributes=search_attributes.at_start(row.segment, row.version, starting.stage),
                    static_summary=f"{row.segment}, version {row.version}",
                    rpc_timeout=PATIENCE,
                )
        except WorkflowAlreadyStartedError:
            # Somebody who repeated the sign-up, or an attempt whose answer was lost, was quicker. Or the former
            # enrolment is only just ending.
            if row.number > 1 and not await self._runs(row):
                raise TemporalAway(f"'{row.subject}' is only just finishing: try again") from None

    async def _runs(self, row: Enrolment) -> bool:
        """Whether the workflow of this enrolment was started."""
        try:
            with temporal_errors():
                found = await self._premises.workflow(row.subject).describe(rpc_timeout=PATIENCE)
                return row.number == 1 or await found.memo_value(ENROLMENT, 1, type_hint=int) == row.number
        except RPCError as error:
            if is_not_found(error):
                return False
            raise
        except ValueError:  # a status that this SDK does not know (FACTS: Temporal's own pause)
            pass
        return True


@dataclass(frozen=True, slots=True)
class _Again:
    """A further enrolment of somebody who is known."""

    sign_up: SignUp
    version: Published
    body: Mapping[str, Any]
    number: int


@dataclass(frozen=True, slots=True)
class _Starting:
    start: Start
    stage: str | None


def _start_of(subject_on: Callable[[Route, int], Subject], row: Enrolment, canonical: str) -> _Starting:
    """Everything that the engine will read, and the stage that the customer begins in."""
    route = route_of(canonical)
    subject, enrolled_at = subject_on(route, row.number), from_datetime(row.enrolled_at)
    slice_ = cut(
        subject.timezone, enrolled_at, _latest_end(route, subject, enrolled_at), subject.country,
        subject.subdivision,
    )  # fmt: skip
    engine = enrolled_engine(route, Calendar(slice_), subject, enrolled_at)
    start = Start(
        subject=subject,
        segment=row.segment,
        journey=canonical,
        calendar=slice_,
        enrolled_at=enrolled_at,
        speed=row.speed,
    )
    return _Starting(start, engine.stage)


def _latest_end(route: Route, subject: Subject, enrolled_at: Instant) -> Instant:
    return reach(route.journey, subject, Script(), enrolled_at)


def _hash(body: Mapping[str, Any]) -> str:
    return enrolments.request_hash(body)


__all__ = ["STALE", "Enrolled", "Enrolling", "SignUpRefused", "Swept"]
