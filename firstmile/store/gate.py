"""The gate: may this message go out now? Asked in the transaction that turns it to `sending` (DESIGN §3).

A hold or a closed window puts a message off; what cannot or must not be received is skipped, for good. A hold
is looked at first: what is skipped for good is decided when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal

from sqlalchemy import CompoundSelect, and_, bindparam, case, cast, literal, null, or_, select, union_all

from firstmile.store import holds
from firstmile.store.columns import FreeText, Moment
from firstmile.store.database import Reading
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import STOPS, MessageClass, Topic
from firstmile.store.tables import holds as hold_rows
from firstmile.store.tables import profiles
from firstmile.store.tables import suppressions as suppression_rows


@dataclass(slots=True, frozen=True)
class Question:
    """What the gate is asked.

    `address` is None if the customer has none; `valid` says whether it can be an address at all. `not_after`
    is the end of the window, as the clock on the wall has it. `topic` is what the address may have opted out
    of (`suppressions.topic_of`).
    """

    subject: str
    segment: str
    template: str
    message_class: MessageClass
    address: str | None
    valid: bool = True
    not_after: datetime | None = None
    topic: Topic | None = None


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
    parameters = {
        "now": now,
        "segment": question.segment,
        "template": question.template,
        "subject": question.subject,
        "address_key": None if question.address is None else address_key(question.address),
    }
    for row in await db.all(_facts(question.message_class), parameters):
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


@cache
def _facts(message_class: MessageClass) -> CompoundSelect[str, str, datetime]:
    """Holds in force, reasons that stop this class at this address, and what was agreed to: `yes` or `no`."""
    of, never = hold_rows.c, cast(null(), Moment)
    held = select(literal("hold").label("what"), of.reason.label("detail"), of.until.label("until")).where(
        holds.in_force(bindparam("now", type_=Moment)),
        or_(
            of.scope == "everything",
            and_(of.scope == "segment", of.value == bindparam("segment")),
            and_(of.scope == "template", of.value == bindparam("template")),
            and_(of.scope == "customer", of.value == bindparam("subject")),
        ),
    )
    row = suppression_rows.c
    stopped = select(literal("suppression"), row.reason, never).where(
        row.address_key == bindparam("address_key"),
        row.reason.in_([reason for reason, classes in STOPS.items() if message_class in classes]),
    )
    if message_class == "transactional":
        return union_all(held, stopped)
    agreed = cast(case((profiles.c[f"consent_{message_class}"], "yes"), else_="no"), FreeText)
    asked = select(literal("consent"), agreed, never).where(profiles.c.subject == bindparam("subject"))
    return union_all(held, stopped, asked)
