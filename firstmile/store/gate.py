"""The gate: may this message go out now? Asked in the transaction that turns it to `sending` (DESIGN §3).

A hold or a closed window puts a message off; what cannot or must not be received is skipped, for good. A hold
is looked at first: what is skipped for good is decided when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Select, and_, case, cast, literal, null, or_, select, union_all

from firstmile.store import holds
from firstmile.store.columns import FreeText, Moment
from firstmile.store.database import Reading
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import STOPS, MessageClass
from firstmile.store.tables import holds as hold_rows
from firstmile.store.tables import profiles
from firstmile.store.tables import suppressions as suppression_rows


@dataclass(slots=True, frozen=True)
class Question:
    """What the gate is asked.

    `address` is None if the customer has none; `valid` says whether it can be an address at all. `not_after`
    is the end of the window, as the clock on the wall has it.
    """

    subject: str
    segment: str
    template: str
    message_class: MessageClass
    address: str | None
    valid: bool = True
    not_after: datetime | None = None


@dataclass(slots=True, frozen=True)
class Verdict:
    """`open`: it may go out. `until` goes with `deferred`; None: nobody knows until when, look again."""

    outcome: Literal["open", "skipped", "deferred"]
    reason: str | None = None
    until: datetime | None = None


OPEN = Verdict("open")


async def ask(db: Reading, question: Question, now: datetime) -> Verdict:
    """The verdict at `now`: one statement."""
    facts: dict[str, list[tuple[str, datetime | None]]] = {"hold": [], "suppression": [], "consent": []}
    for row in await db.all(union_all(*_facts(question, now))):
        facts[row.what].append((row.detail, row.until))
    if facts["hold"]:
        ends = [until for _, until in facts["hold"] if until is not None]
        until = max(ends) if len(ends) == len(facts["hold"]) else None
        return Verdict("deferred", f"on hold: {facts['hold'][0][0]}", until)
    if question.not_after is not None and now > question.not_after:
        return Verdict("deferred", "its window has closed")
    if question.address is None:
        return Verdict("skipped", "no address")
    if not question.valid:
        return Verdict("skipped", "invalid address")
    if facts["suppression"]:
        return Verdict("skipped", f"suppressed: {min(facts['suppression'])[0]}")
    if question.message_class != "transactional" and ("yes", None) not in facts["consent"]:
        return Verdict("skipped", f"no consent to {question.message_class} messages")
    return OPEN


def _facts(question: Question, now: datetime) -> list[Select[str, str, datetime]]:
    of = hold_rows.c
    found = [
        select(literal("hold").label("what"), of.reason.label("detail"), of.until.label("until")).where(
            holds.in_force(now),
            or_(
                of.scope == "everything",
                and_(of.scope == "segment", of.value == question.segment),
                and_(of.scope == "template", of.value == question.template),
                and_(of.scope == "customer", of.value == question.subject),
            ),
        )
    ]
    never = cast(null(), Moment)
    if question.address is not None:
        reasons = [reason for reason, classes in STOPS.items() if question.message_class in classes]
        row = suppression_rows.c
        found.append(
            select(literal("suppression"), row.reason, never).where(
                row.address_key == address_key(question.address), row.reason.in_(reasons)
            )
        )
    if question.message_class != "transactional":
        agreed = profiles.c[f"consent_{question.message_class}"]
        answer = cast(case((agreed, "yes"), else_="no"), FreeText)
        found.append(select(literal("consent"), answer, never).where(profiles.c.subject == question.subject))
    return found
