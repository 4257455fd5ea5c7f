"""Answers of customers to surveys and check-ins. All are kept; the last one is the one that stands."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import ColumnElement, and_, select

from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.tables import responses

Kind = Literal["nps", "csat", "ces", "checkin"]

BUCKETS: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    "nps": ((6, "detractor"), (8, "passive"), (10, "promoter")),
    "csat": ((2, "dissatisfied"), (3, "neutral"), (5, "satisfied")),
    "ces": ((3, "difficult"), (4, "neutral"), (7, "easy")),
}
"""For each kind of survey, up to which score an answer falls into which bucket: 0–10, 1–5 and 1–7."""


@dataclass(slots=True, frozen=True)
class Response:
    """One answer. `id` is the event's: the same answer sent twice is one.

    `score` goes with surveys, `answer` (`good` or `help`) with check-ins. A `suspicious` one, by a machine
    that follows links, say, is kept and neither stands nor counts.
    """

    id: str
    subject: str
    enrolment: int
    segment: str
    step: str
    occurrence: int
    kind: Kind
    at: datetime
    score: int | None = None
    answer: str | None = None
    comment: str | None = None
    suspicious: bool = False

    @property
    def bucket(self) -> str:
        """What the answer comes to: `promoter`, `satisfied`, `easy`, `good`, …; `other` off the scale."""
        if self.kind == "checkin":
            return self.answer if self.answer in ("good", "help") else "other"
        lowest = 0 if self.kind == "nps" else 1
        if self.score is None or self.score < lowest:
            return "other"
        return next((name for upto, name in BUCKETS[self.kind] if self.score <= upto), "other")


async def record(tx: Writing, response: Response) -> bool:
    """Add an answer. False if it is there already.

    Counted where it says something other than the one that stood before.
    """
    while True:
        rows = await tx.all(select(responses).where(_question(response)).order_by(responses.c.number.desc()))
        before = [_response(row) for row in rows]
        if response.id in {one.id for one in before}:
            return False
        number = rows[0].number + 1 if rows else 1
        statement = tx.insert(responses).values(
            number=number, **{field.name: getattr(response, field.name) for field in fields(response)}
        )
        if (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1:
            break
        taken = await tx.first(select(responses.c.number).where(responses.c.id == response.id))
        if taken is not None:
            return False
        # another answer to the same question took the number: look again
    if not response.suspicious:
        stood = next((one for one in before if not one.suspicious), None)
        _count(tx, response, stood)
    return True


async def latest(db: Reading, subject: str, enrolment: int, step: str, occurrence: int) -> Response | None:
    """The answer that stands; None if there is none."""
    here = and_(
        responses.c.subject == subject,
        responses.c.enrolment == enrolment,
        responses.c.step == step,
        responses.c.occurrence == occurrence,
        responses.c.suspicious.is_(False),
    )
    row = await db.first(select(responses).where(here).order_by(responses.c.number.desc()).limit(1))
    return None if row is None else _response(row)


async def of(db: Reading, subject: str, enrolment: int) -> list[Response]:
    """Every answer of one enrolment, oldest first."""
    here = and_(responses.c.subject == subject, responses.c.enrolment == enrolment)
    statement = select(responses).where(here).order_by(responses.c.at, responses.c.step, responses.c.number)
    return [_response(row) for row in await db.all(statement)]


def _count(tx: Writing, response: Response, stood: Response | None) -> None:
    if stood is not None and stood.bucket == response.bucket:
        return
    labels = {"segment": response.segment, "kind": response.kind, "bucket": response.bucket}
    tx.tallies.count("survey_responses_total", labels)
    tx.tallies.count("answers", labels)
    if stood is not None:
        tx.tallies.count("answers", labels | {"bucket": stood.bucket}, -1)


def _question(response: Response) -> ColumnElement[bool]:
    return and_(
        responses.c.subject == response.subject,
        responses.c.enrolment == response.enrolment,
        responses.c.step == response.step,
        responses.c.occurrence == response.occurrence,
    )


def _response(row: AnyRow) -> Response:
    return Response(**{name: value for name, value in row._mapping.items() if name != "number"})
