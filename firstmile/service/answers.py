"""Customers' answers from the pages behind their links: surveys and check-ins.

An answer is written to the store and parked in one transaction, then signalled: a customer who pressed
"send" is never asked to press again because Temporal was away. Every answer is kept; the last one stands.
A question closes when the journey is stopped, or `OPEN_FOR` after it was completed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from firstmile.errors import LinkRefused
from firstmile.journey.checks import SCORES
from firstmile.journey.journal import FINISHED
from firstmile.journey.model import Checkin, Survey
from firstmile.journey.route import Route, Stop
from firstmile.links import Answer, Target
from firstmile.service.events import Events, ProductEvent, event_key
from firstmile.service.premises import Premises
from firstmile.store import enrolments, parked, profiles, responses, views
from firstmile.store.enrolments import Enrolment
from firstmile.store.profiles import Profile
from firstmile.store.responses import Response

MAX_COMMENT = 4_000
OPEN_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Question:
    """What a link asks: whom, about what, and what they have answered so far."""

    target: Target
    segment: str
    kind: str
    title: str | None
    scale: tuple[int, int] | None
    locale: str | None
    answered: Response | None


class Answers:
    """The part of the service that customers' pages talk to."""

    def __init__(self, premises: Premises, events: Events) -> None:
        self._premises = premises
        self._events = events

    async def question(self, target: Target) -> Question:
        """What a survey's or check-in's link asks. Raises `LinkRefused` if that is no longer asked."""
        row, route, profile = await self._behind(target)
        stop = _stop(route, target)
        kind, scale = _asked(stop)
        async with self._premises.reading() as db:
            customer = await views.get(db, target.subject, row.number)
            answered = await responses.latest(db, target.subject, row.number, stop.id, target.occurrence)
        if customer is not None and customer.view.status in FINISHED:
            age = self._premises.now() - customer.updated_at
            if customer.view.status == "stopped" or age > OPEN_FOR:
                raise LinkRefused("the question is closed")
        return Question(
            target=target,
            segment=row.segment,
            kind=kind,
            title=stop.step.title,
            scale=scale,
            locale=profile.locale if profile is not None else None,
            answered=answered,
        )

    async def answer(
        self,
        question: Question,
        *,
        score: int | None = None,
        answer: Answer | None = None,
        comment: str | None = None,
        nonce: str = "",
        suspicious: bool = False,
    ) -> None:
        """Record an answer and pass it on. The same answer from the same page (`nonce`) counts once."""
        target = question.target
        comment = (comment or "").strip()[:MAX_COMMENT] or None
        event = _event(question, score, answer, _event_id(target, score, answer, comment, nonce))
        response = Response(
            id=event_key(event),
            subject=target.subject,
            enrolment=target.enrolment,
            segment=question.segment,
            step=target.step,
            occurrence=target.occurrence,
            kind=question.kind,  # type: ignore[arg-type]  # comes from the journey, which was checked
            at=self._premises.now(),
            score=score,
            answer=answer,
            comment=comment,
            suspicious=suspicious,
        )
        now = self._premises.now()
        async with self._premises.writing() as tx:
            fresh = await responses.record(tx, response)
            if not fresh or suspicious:
                return
            waiting = parked.ParkedEvent(event.id, event.subject, event.event, None, event.properties, now)
            await parked.park(tx, waiting)
        await self._events.hand_over(event)

    async def _behind(self, target: Target) -> tuple[Enrolment, Route, Profile | None]:
        async with self._premises.reading() as db:
            row = await enrolments.get(db, target.subject, target.enrolment)
            profile = await profiles.get(db, target.subject)
            route = None if row is None else await self._premises.shelf.route(db, row.segment, row.version)
        if row is None or route is None:
            raise LinkRefused("nothing is known any more of what this link was about")
        return row, route, profile


def _stop(route: Route, target: Target) -> Stop:
    if target.step not in route.index:
        raise LinkRefused("this is no longer asked")
    return route.stops[route.index[target.step]]


def _asked(stop: Stop) -> tuple[str, tuple[int, int] | None]:
    does = stop.step.does
    if isinstance(does, Survey):
        return does.kind, SCORES[does.kind]
    if isinstance(does, Checkin):
        return "checkin", None
    raise LinkRefused("this is no longer asked")


def _event(question: Question, score: int | None, answer: str | None, id: str) -> ProductEvent:
    """What the workflow hears: nothing that people wrote."""
    target = question.target
    properties: dict[str, Any] = {"step": target.step, "occurrence": target.occurrence}
    if question.kind == "checkin":
        return ProductEvent(target.subject, "checkin.answered", id, None, properties | {"answer": answer})
    return ProductEvent(target.subject, "survey.responded", id, None, properties | {"score": score})


def _event_id(target: Target, score: int | None, answer: str | None, comment: str | None, nonce: str) -> str:
    parts = (
        target.subject, target.enrolment, target.step, target.occurrence, score, answer, comment, nonce
    )  # fmt: skip
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:40]
