"""The gate: may this message go out now? Asked in the transaction that turns it to `sending` (DESIGN §3).

The first of these that applies is the verdict:

1. A hold on the customer, the segment, the template or everything: put off. It comes first: what is skipped
   for good is decided when the hold is over. So is, for a while after a release, what is not transactional
   and whose moment to come back lies ahead (`holds.comes_back`).
2. The window has closed: put off.
3. The customer has no address, or one that cannot be one: skipped.
4. The address is suppressed for a reason that stops this class (`suppressions.STOPS`): skipped.
5. The address has opted out of the message's topic: skipped. A transactional message has none.
6. The customer has not agreed to this class: skipped. Consent is the account's, for all of its contacts;
   suppressions and topics are each address's own: a contact who leaves stops nobody else's messages.

Put off is asked again; skipped is for good, with the reason for the journal and a cause for the metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal, cast

from sqlalchemy import CompoundSelect, and_, bindparam, case, literal, null, or_, select, union_all
from sqlalchemy import cast as sql_cast

from firstmile.store import holds
from firstmile.store.columns import FreeText, Moment
from firstmile.store.database import Reading
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import STOPS, MessageClass, Topic
from firstmile.store.tables import holds as hold_rows
from firstmile.store.tables import opt_outs, profiles
from firstmile.store.tables import suppressions as suppression_rows

Cause = Literal[
    "no_address",
    "invalid_address",
    "bounced",
    "invalid",
    "complained",
    "unsubscribed",
    "manual",
    "topic",
    "no_consent",
]
"""Why a message was stopped for good, as metrics have it."""


@dataclass(slots=True, frozen=True)
class Question:
    """What the gate is asked.

    `address` is None if the customer has none; `valid` says whether it can be an address at all. `not_after`
    is the end of the window, as the clock on the wall has it. `topic` is what the address may have opted out
    of (`suppressions.topic_of`), `key` the message's own.
    """

    subject: str
    segment: str
    template: str
    message_class: MessageClass
    address: str | None
    valid: bool = True
    not_after: datetime | None = None
    topic: Topic | None = None
    key: str = ""


@dataclass(slots=True, frozen=True)
class Verdict:
    """`open`: it may go out. `until` goes with `deferred`; None: nobody knows until when, look again.

    `cause` goes with `skipped`.
    """

    outcome: Literal["open", "skipped", "deferred"]
    reason: str | None = None
    until: datetime | None = None
    cause: Cause | None = None


OPEN = Verdict("open")


async def ask(db: Reading, question: Question, now: datetime) -> Verdict:
    """The verdict at `now`: one statement."""
    facts: dict[str, list[tuple[str, datetime | None]]] = {name: [] for name in _FACTS}
    back = now
    parameters = {
        "now": now,
        "segment": question.segment,
        "template": question.template,
        "subject": question.subject,
        "topic": question.topic,
        "address_key": None if question.address is None else address_key(question.address),
    }
    for row in await db.all(_facts(question.message_class), parameters):
        if row.what == "ramp":
            back = max(back, holds.comes_back(question.key, row.since, row.until))
        else:
            facts[row.what].append((row.detail, row.until))
    if facts["hold"]:
        ends = [until for _, until in facts["hold"] if until is not None]
        until = max(ends) if len(ends) == len(facts["hold"]) else None
        return Verdict("deferred", f"on hold: {facts['hold'][0][0]}", until)
    if back > now:
        return Verdict("deferred", "messages come back by and by after a hold", back)
    if question.not_after is not None and now > question.not_after:
        return Verdict("deferred", "its window has closed")
    if question.address is None:
        return _skipped("no address", "no_address")
    if not question.valid:
        return _skipped("invalid address", "invalid_address")
    if facts["suppression"]:
        reason = min(detail for detail, _ in facts["suppression"])
        return _skipped(f"suppressed: {reason}", cast(Cause, reason))
    if facts["opt_out"]:
        return _skipped(f"unsubscribed from {facts['opt_out'][0][0]}", "topic")
    if question.message_class != "transactional" and ("yes", None) not in facts["consent"]:
        return _skipped(f"no consent to {question.message_class} messages", "no_consent")
    return OPEN


_FACTS: Final = ("hold", "suppression", "opt_out", "consent")


def _skipped(reason: str, cause: Cause) -> Verdict:
    return Verdict("skipped", reason, cause=cause)


@cache
def _facts(message_class: MessageClass) -> CompoundSelect[str, str, datetime, datetime]:
    """Holds in force, reasons that stop this class at this address, the topic if the address has opted out of
    it, and what was agreed to: `yes` or `no`."""
    of, never = hold_rows.c, sql_cast(null(), Moment)
    here = or_(
        of.scope == "everything",
        and_(of.scope == "segment", of.value == bindparam("segment")),
        and_(of.scope == "template", of.value == bindparam("template")),
        and_(of.scope == "customer", of.value == bindparam("subject")),
    )
    held = select(
        literal("hold").label("what"),
        of.reason.label("detail"),
        of.until.label("until"),
        never.label("since"),
    ).where(holds.in_force(bindparam("now", type_=Moment)), here)
    ramp = select(literal("ramp"), of.reason, of.ramp_until, of.released_at).where(
        of.ramp_until > bindparam("now", type_=Moment), here
    )
    row = suppression_rows.c
    stopped = select(literal("suppression"), row.reason, never, never).where(
        row.address_key == bindparam("address_key"),
        row.reason.in_([reason for reason, classes in STOPS.items() if message_class in classes]),
    )
    if message_class == "transactional":
        return union_all(held, stopped)
    out = select(literal("opt_out"), opt_outs.c.topic, never, never).where(
        opt_outs.c.address_key == bindparam("address_key"), opt_outs.c.topic == bindparam("topic")
    )
    agreed = sql_cast(case((profiles.c[f"consent_{message_class}"], "yes"), else_="no"), FreeText)
    asked = select(literal("consent"), agreed, never, never).where(profiles.c.subject == bindparam("subject"))
    return union_all(held, ramp, stopped, out, asked)
