"""Where customers stand: from the store, with its age; a query to the workflow is only a live check."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from firstmile.contracts import Clock
from firstmile.errors import JourneyOver, NotConfirmed, UnknownCustomer
from firstmile.journey.calendar import Calendar
from firstmile.journey.instants import Instant, format_instant, from_datetime
from firstmile.journey.journal import Entry, View
from firstmile.journey.outlook import Row, outlook
from firstmile.journey.route import Route
from firstmile.journey.slices import cut
from firstmile.service.holding import hold_as_json
from firstmile.service.premises import PATIENCE, Premises, is_not_found, no_worker, temporal_errors
from firstmile.store import (
    delivery_events,
    enrolments,
    holds,
    journal,
    ledger,
    owners,
    profiles,
    tasks,
    views,
)
from firstmile.store.delivery_events import Engagement
from firstmile.store.enrolments import Enrolment
from firstmile.store.holds import Hold
from firstmile.store.ledger import Message
from firstmile.store.owners import Person
from firstmile.store.profiles import Profile
from firstmile.store.tasks import Task
from firstmile.store.views import Count, Customer

STARTING = "starting"
"""The status of a customer of whom the store has no view yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, and what its recipient did with it."""

    message: Message
    engagement: Engagement


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything about one customer. Instants are journey time; `updated_at` says how old this is."""

    enrolment: Enrolment
    profile: Profile | None
    title: str | None
    timezone: str
    calendar: Calendar
    view: View | None
    updated_at: datetime | None
    rows: list[Row]
    journal: list[Entry]
    owners: Mapping[str, Person]
    tasks: list[Task]
    messages: list[Sent]
    holds: list[Hold]
    now: datetime

    @property
    def status(self) -> str:
        """The customer's status; `starting` while no worker has looked at them yet."""
        return STARTING if self.view is None else self.view.status

    @property
    def clock(self) -> Clock:
        """Journey time against the clock on the wall."""
        return Clock(from_datetime(self.enrolment.enrolled_at), self.enrolment.speed)

    @property
    def journey_now(self) -> Instant:
        """The journey time at which this was read."""
        return self.clock.journey(from_datetime(self.now))


class Reading:
    """The part of the service that answers questions."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def status(self, subject: str) -> Standing:
        """Where a customer stands, what was done and what comes next. Raises `UnknownCustomer`."""
        async with self._premises.reading() as db:
            row = await enrolments.latest(db, subject)
            if row is None:
                raise UnknownCustomer(subject)
            customer = await views.get(db, subject, row.number)
            entries = await journal.read(db, subject, row.number)
            profile = await profiles.get(db, subject)
            owned_by = await owners.of(db, subject, row.number)
            work = await tasks.of(db, subject, row.number)
            sent = await ledger.of(db, subject, row.number)
            engaged = await delivery_events.engagement(db, subject, row.number) if sent else {}
            route = await self._premises.shelf.route(db, row.segment, row.version)
            now = self._premises.now()
            held = await holds.active(db, now)
        timezone = _zone(profile, route)
        calendar = await asyncio.to_thread(_calendar, timezone, profile, row, customer)
        clock = Clock(from_datetime(row.enrolled_at), row.speed)
        rows = (
            []
            if customer is None or route is None
            else outlook(route.journey, customer.view, calendar, clock.journey(from_datetime(now)), entries)
        )
        return Standing(
            enrolment=row,
            profile=profile,
            title=None if route is None else route.journey.title,
            timezone=timezone,
            calendar=calendar,
            view=None if customer is None else customer.view,
            updated_at=None if customer is None else customer.updated_at,
            rows=rows,
            journal=entries,
            owners=owned_by,
            tasks=work,
            messages=[Sent(one, engaged.get(one.key, Engagement())) for one in sent],
            holds=[one for one in held if _concerns(one, row, route)],
            now=now,
        )

    async def live(self, subject: str) -> View:
        """The workflow's own answer, now: for checks, not for pages."""
        try:
            with temporal_errors(), no_worker():
                found: View = await self._premises.workflow(subject).query(
                    "view", result_type=View, rpc_timeout=PATIENCE
                )
        except WorkflowQueryFailedError as failed:
            raise NotConfirmed(f"the workflow did not answer: {failed}") from failed
        except RPCError as error:
            if not is_not_found(error):
                raise
            async with self._premises.reading() as db:
                known = await enrolments.latest(db, subject)
            raise (UnknownCustomer(subject) if known is None else JourneyOver(subject, "", None)) from error
        return found

    async def counts(self) -> list[Count]:
        """How many customers there are by segment, status and stage."""
        async with self._premises.reading() as db:
            return await views.counts(db)


def as_json(standing: Standing) -> dict[str, Any]:
    """A standing as plain values: the answer of the API, and of `status --json`."""
    row, view, profile = standing.enrolment, standing.view, standing.profile
    return {
        "id": row.subject,
        "segment": row.segment,
        "version": row.version,
        "enrolment": row.number,
        "title": standing.title,
        "name": None if profile is None else profile.name,
        "company": None if profile is None else profile.company,
        "timezone": standing.timezone,
        "locale": None if profile is None else profile.locale,
        "speed": row.speed,
        "status": standing.status,
        "stage": None if view is None else view.stage,
        "enrolled_at": _text(from_datetime(row.enrolled_at)),
        "onboarded": view is not None and view.onboarded_at is not None,
        "onboarded_at": None if view is None else _text(view.onboarded_at),
        "next_at": None if view is None else _text(view.next),
        "paused_until": None if view is None else _text(view.paused_until),
        "ends_at": None if view is None else _text(view.ends),
        "owners": {role: {"id": one.id, "name": one.name} for role, one in standing.owners.items()},
        "updated_at": None if standing.updated_at is None else _text(from_datetime(standing.updated_at)),
        "age_seconds": None
        if standing.updated_at is None
        else round(max((standing.now - standing.updated_at).total_seconds(), 0), 3),
        "steps": [
            {
                "step": one.step,
                "title": one.title,
                "kind": one.kind,
                "phase": one.phase,
                "group": one.group,
                "at": _text(one.at),
                "local": None if one.at is None else standing.calendar.local(one.at),
                "earliest": one.earliest,
                "why": one.why,
            }
            for one in standing.rows
        ],
        "tasks": [
            {
                "step": one.step,
                "title": one.title,
                "owner": one.owner,
                "team": one.team,
                "state": one.state,
                "due": _text(one.due),
            }
            for one in standing.tasks
        ],
        "holds": [hold_as_json(one) for one in standing.holds],
        "messages": [_sent(one) for one in standing.messages],
        "journal": [_entry(one, standing.calendar) for one in standing.journal],
    }


def view_as_json(view: View) -> dict[str, Any]:
    """A view as plain values."""
    return {
        "status": view.status,
        "stage": view.stage,
        "onboarded_at": _text(view.onboarded_at),
        "next_at": _text(view.next),
        "paused_until": _text(view.paused_until),
        "ends_at": _text(view.ends),
        "owners": dict(view.owners),
        "steps": {step: {"phase": phase, "at": _text(at)} for step, (phase, at) in view.steps.items()},
    }


def _concerns(hold: Hold, row: Enrolment, route: Route | None) -> bool:
    """Whether a hold lets messages of this customer wait."""
    match hold.scope:
        case "everything":
            return True
        case "segment":
            return hold.value == row.segment
        case "customer":
            return hold.value == row.subject
        case "template":
            stops = () if route is None else route.stops
            return hold.value in {getattr(stop.step.does, "template", None) for stop in stops}


def _entry(entry: Entry, calendar: Calendar) -> dict[str, Any]:
    found = {name: value for name, value in asdict(entry).items() if value not in (None, False)}
    found["at"], found["local"] = _text(entry.at), calendar.local(entry.at)
    if entry.due is not None:
        found["due"] = _text(entry.due)
    return found


def _sent(sent: Sent) -> dict[str, Any]:
    message, engagement = sent.message, sent.engagement
    return {
        "step": message.step,
        "purpose": message.purpose,
        "template": message.template,
        "class": message.message_class,
        "state": message.state,
        "fate": message.fate,
        "reason": message.reason,
        "at": _moment(message.accepted_at or message.updated_at),
        "fate_at": _moment(message.fate_at),
        "opened_at": _moment(engagement.opened_at),
        "clicked_at": _moment(engagement.clicked_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else _text(from_datetime(moment))


def _text(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _zone(profile: Profile | None, route: Route | None) -> str:
    default = None if route is None else route.journey.defaults.timezone
    return (profile.timezone if profile is not None else None) or default or "UTC"


def _calendar(timezone: str, profile: Profile | None, row: Enrolment, customer: Customer | None) -> Calendar:
    """For showing times only: what decides is the slice that the workflow carries."""
    start = from_datetime(row.enrolled_at)
    known = [] if customer is None else [at for _, at in customer.view.steps.values() if at is not None]
    ends = [] if customer is None or customer.view.ends is None else [customer.view.ends]
    country = None if profile is None else profile.country
    subdivision = None if profile is None else profile.subdivision
    return Calendar(cut(timezone, start, max([start, *known, *ends]), country, subdivision))
