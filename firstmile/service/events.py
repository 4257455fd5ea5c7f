"""Product events: from outside to the customer's workflow, dropped at the edge when nobody listens.

The workflow removes duplicates by the event's id; the edge passes on whatever it accepted, so that a crash
between the two loses nothing. What people wrote (a survey's comment) stays in the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from temporalio.service import RPCError

from firstmile import bodies
from firstmile.contracts import EventSignal
from firstmile.errors import EventRefused, FirstmileError, Flaw
from firstmile.journey.durations import DAY
from firstmile.journey.instants import Instant, from_datetime, parse_instant
from firstmile.journey.problems import unknown
from firstmile.journey.route import ANSWERS, MESSAGES, Route
from firstmile.service.premises import PATIENCE, Premises, is_not_found, temporal_errors
from firstmile.store import enrolments, parked, responses
from firstmile.store.enrolments import Enrolment
from firstmile.store.responses import Response

EventOutcome = Literal["accepted", "ignored", "parked", "ended"]
"""`ignored`: no journey of the subject listens. `parked`: kept until the subject signs up, for 7 days.
`ended`: the subject's journey is over."""

SIGNAL = "event"
MAX_PROPERTIES = 16_000
AHEAD = DAY
"""How far a sender's clock may be ahead."""
BEHIND = 3_653 * DAY
FREE_TEXT = ("comment", "answers")
"""Properties of answers that people wrote: never sent to a workflow."""
_FIELDS = ("subject", "event", "id", "at", "properties")
_logger = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}")


@dataclass(frozen=True, slots=True)
class ProductEvent:
    """Something a subject did. `at` is its own time; the same `id` twice is one event."""

    subject: str
    event: str
    id: str
    at: Instant | None = None
    properties: dict[str, Any] = field(default_factory=dict)


def read(body: object) -> ProductEvent:
    """An event, or the CloudEvent that is one. Raises `EventRefused` with every flaw."""
    if isinstance(body, dict) and "specversion" in body:
        body = _from_cloud_event(body)
    if not isinstance(body, dict):
        raise EventRefused([Flaw("", 'an event is a JSON object, as in {"subject": …, "event": …, "id": …}')])
    body = {name: value for name, value in body.items() if value is not None}
    flaws = list(bodies.flaws(body))
    flaws += [Flaw(name, unknown("field", name, _FIELDS)) for name in body if name not in _FIELDS]
    for name in ("subject", "event", "id"):
        value = body.get(name)
        if value is None:
            flaws.append(Flaw(name, _MISSING[name]))
        elif not isinstance(value, str) or not value or len(value) > 200:
            flaws.append(Flaw(name, "a text of 1 to 200 characters was expected"))
        elif name == "event" and not _NAME.fullmatch(value):
            flaws.append(Flaw(name, "an event's name is letters, digits, '_', '.', ':', '/' and '-'"))
    at = _instant(body.get("at"), flaws)
    properties = body.get("properties", {})
    if not isinstance(properties, dict):
        flaws.append(Flaw("properties", "a JSON object was expected"))
    elif len(json.dumps(properties)) > MAX_PROPERTIES:
        flaws.append(Flaw("properties", f"they have at most {MAX_PROPERTIES // 1000} kB as JSON"))
    if flaws:
        raise EventRefused(flaws)
    return ProductEvent(body["subject"], body["event"], body["id"], at, properties)


class Events:
    """The part of the service that passes events on."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def event(self, event: ProductEvent) -> EventOutcome:
        """Pass an event on. Raises `EventRefused` for a time that cannot be meant, and a retryable error when
        it could not be passed on: send it again."""
        if event.at is not None:
            _require_sense(event.at, self._premises.now())
        outcome = await self._event(event)
        self._premises.count("events_total", {"outcome": outcome})
        return outcome

    async def deliver_parked(self, subject: str) -> int:
        """Hand over what came before the subject had signed up. Returns how many events that were."""
        async with self._premises.reading() as db:
            events = await parked.of(db, subject)
            row = await enrolments.latest(db, subject) if events else None
            route = await self._route(db, row)
        if row is None or not events:
            return 0
        for one in events:
            event = ProductEvent(one.subject, one.event, one.id, one.at, one.properties)
            # What became of a message of an earlier enrolment is nothing to the journey of a later one.
            mine = one.properties.get("enrolment", row.number) == row.number or one.event not in MESSAGES
            if mine and (route is None or one.event in route.listens):
                event = await self._keep_free_text(event, row, route)
                await self.signal(event)
        async with self._premises.writing() as tx:
            return await parked.delivered(tx, subject, [one.id for one in events])

    async def signal(self, event: ProductEvent) -> bool:
        """Signal an event to its subject's workflow. False if the journey is over, or there is none."""
        signal = EventSignal(event.event, event.id, event.at, event.properties)
        try:
            with temporal_errors():
                await self._premises.workflow(event.subject).signal(SIGNAL, signal, rpc_timeout=PATIENCE)
        except RPCError as error:
            if is_not_found(error):
                return False
            raise
        return True

    async def hand_over(self, event: ProductEvent) -> None:
        """Signal an event that is parked already, and park it no longer. The sweep does it if this cannot."""
        try:
            await self.signal(event)
            async with self._premises.writing() as tx:
                await parked.delivered(tx, event.subject, [event.id])
        except FirstmileError as error:
            _logger.warning("%s of %s waits for the sweep: %s", event.event, event.subject, error)

    async def _event(self, event: ProductEvent) -> EventOutcome:
        async with self._premises.reading() as db:
            row = await enrolments.latest(db, event.subject)
            route = await self._route(db, row)
        if row is None or row.state == "starting":
            if await self._park(event):
                return "parked"
            return await self._event(event)  # signed up in this very moment
        if route is not None and event.event not in route.listens:
            return "ignored"
        event = await self._keep_free_text(event, row, route)
        return "accepted" if await self.signal(event) else "ended"

    async def _route(self, db: Any, row: Enrolment | None) -> Route | None:
        return None if row is None else await self._premises.shelf.route(db, row.segment, row.version)

    async def _park(self, event: ProductEvent) -> bool:
        """Keep an event for a subject that is not there yet. False if it has started meanwhile."""
        now = self._premises.now()
        async with self._premises.writing() as tx:
            row = await enrolments.latest(tx, event.subject)
            if row is not None and row.state == "started":
                return False
            await parked.park(
                tx,
                parked.ParkedEvent(
                    id=event.id,
                    subject=event.subject,
                    event=event.event,
                    # Late delivery must not make it late: it counts no later than it arrived here.
                    at=from_datetime(now) if event.at is None else min(event.at, from_datetime(now)),
                    properties=event.properties,
                    parked_at=now,
                ),
            )
        return True

    async def _keep_free_text(self, event: ProductEvent, row: Enrolment, route: Route | None) -> ProductEvent:
        """An answer without what people wrote, which goes into the store."""
        if event.event not in ANSWERS or route is None:
            return event
        response = answer_of(event, row, route, self._premises)
        if response is not None:
            async with self._premises.writing() as tx:
                await responses.record(tx, response)
        kept = {name: value for name, value in event.properties.items() if name not in FREE_TEXT}
        return replace(event, properties=kept)


def answer_of(event: ProductEvent, row: Enrolment, route: Route, premises: Premises) -> Response | None:
    """What an answer says, for the store; None if it answers no survey and no check-in."""
    step, properties = event.properties.get("step"), event.properties
    if not isinstance(step, str) or step not in route.index:
        return None
    stop = route.stops[route.index[step]]
    survey = stop.step.survey
    if (survey is None and stop.checkin is None) or ANSWERS[event.event] != stop.kind:
        return None
    score, answer, comment = (properties.get(name) for name in ("score", "answer", "comment"))
    occurrence = properties.get("occurrence", 1)
    return Response(
        id=event_key(event),
        subject=event.subject,
        enrolment=row.number,
        segment=row.segment,
        step=step,
        occurrence=occurrence if isinstance(occurrence, int) and 0 < occurrence < 10_000 else 1,
        kind="checkin" if survey is None else survey.kind,
        at=premises.now(),
        score=score if isinstance(score, int) and abs(score) < 1000 else None,
        answer=answer if isinstance(answer, str) and len(answer) <= 40 else None,
        comment=comment if isinstance(comment, str) else None,
    )


def _require_sense(at: Instant, now: datetime) -> None:
    """Refuse what a wrong clock, or a wrong unit, makes of a time. An event counts no later than it arrives, and
    no earlier than its subject was enrolled: within these bounds any time is fine."""
    arrived = from_datetime(now)
    if at > arrived + AHEAD:
        raise EventRefused(
            [Flaw("at", "it lies more than a day ahead: an event is told once it has happened")]
        )
    if at < arrived - BEHIND:
        raise EventRefused([Flaw("at", "it lies more than ten years back: is it in another unit?")])


def event_key(event: ProductEvent) -> str:
    """The id of a response that came as an event: ids of events are unique per subject only."""
    return hashlib.sha256(f"{event.subject}\x1f{event.id}".encode()).hexdigest()[:40]


_MISSING = {
    "subject": "it is missing: the id that the customer signed up with",
    "event": "it is missing: the event's name, for instance user.logged_in",
    "id": "it is missing: the event's own id, so that sending it twice counts once",
}


def _instant(value: object, flaws: list[Flaw]) -> Instant | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_instant(value)
        except ValueError as error:
            flaws.append(Flaw("at", str(error)))
            return None
    flaws.append(Flaw("at", "an instant was expected, as in 2026-03-06T03:00:00Z"))
    return None


def _from_cloud_event(body: Mapping[str, Any]) -> dict[str, Any]:
    """CloudEvents 1.0, structured: `subject`, `type`, `source` and `id`, `time`, `data`."""
    flaws = [
        Flaw(name, "a CloudEvent about a customer has one, and it is text")
        for name in ("id", "source", "type", "subject")
        if not isinstance(body.get(name), str)
    ]
    if body["specversion"] != "1.0":
        flaws.append(Flaw("specversion", "CloudEvents 1.0 are understood: write '1.0'"))
    if flaws:
        raise EventRefused(flaws)
    # An id is unique together with its source.
    identity = f"{body['source']}#{body['id']}"
    if len(identity) > 200:
        identity = hashlib.sha256(identity.encode()).hexdigest()
    return {
        "subject": body["subject"],
        "event": body["type"],
        "id": identity,
        "at": body.get("time"),
        "properties": body.get("data"),
    }
