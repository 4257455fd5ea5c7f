"""The message ledger: one row per message, from `prepared` to what became of it (DESIGN §3).

An effect that is for several people has a message for each of them: the first under the effect's own key, the
others under keys of their own; `effect` and `place` keep them together (`of_effect`). Once one of them has
`begun`, they are who it is for, whatever the profile says later.

Two columns are kept apart. `state` is what we did: `prepared` → `sending` → `accepted` | `rejected` |
`unknown`. `fate` is what became of the message; any fate proves that it was accepted, whenever it arrives.
Every transition is a conditional update, with the attempt's token where an attempt makes it; a function
returns the message after its transition, or None where the condition did not hold: then look at the row
(`get`) and do nothing blindly. The promise: no message is sent twice, or given up, without a recorded
decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from firstmile.store import gate
from firstmile.store.columns import Moment
from firstmile.store.database import AnyRow, Reading, Writing, batched
from firstmile.store.dialect import insert
from firstmile.store.ledger_rows import (
    FATES,
    Began,
    Decision,
    Fate,
    Message,
    NewFate,
    NewMessage,
    State,
    message_of,
)
from firstmile.store.tables import bodies, messages


class NotPrepared(LookupError):
    """No message was prepared under this key, or it was forgotten since."""


async def prepare(tx: Writing, new: NewMessage, now: datetime) -> Message:
    """The row of a message, made if there is none. It is locked until the transaction ends.

    Until it is first sent, who it is for and what it says follow `new`.
    """
    row = {field.name: getattr(new, field.name) for field in fields(new)}
    row["effect"] = new.effect or new.key
    fixed = {"state": "prepared", "decisions": [], "sends": 0, "created_at": now, "updated_at": now}
    found = await tx.first(_prepare(tx.dialect_name), row | fixed)
    return message_of(found) if found is not None else await _known(tx, new.key)


async def begin_sending(
    tx: Writing,
    key: str,
    token: str,
    *,
    now: datetime,
    lease: timedelta,
    body: Mapping[str, Any],
    question: gate.Question,
) -> Began:
    """Ask the gate, and if it is open make the message this attempt's, with its body frozen.

    Commit before calling the provider. A message that was sending before keeps its first body, which is the
    one returned. Raises `NotPrepared` if there is none.
    """
    verdict = await gate.ask(tx, question, now)
    values: dict[str, Any] = {"verdict": verdict.outcome, "reason": verdict.reason, "updated_at": now}
    if verdict.outcome == "open":
        values |= {
            "state": "sending",
            "token": token,
            "lease_until": now + lease,
        }
        message = await _change(tx, _BEGIN, {"the_key": key, "the_now": now}, values)
    else:
        message = await _change(tx, _FRESH, {"the_key": key}, values)
    if message is None:
        return Began("taken", await _known(tx, key))
    if verdict.outcome == "open":
        return Began("sending", message, body=await _freeze(tx, key, body, now))
    if verdict.outcome == "skipped":
        _count(tx, message, "skipped")
        if verdict.cause is not None:
            tx.tallies.count("suppressed_total", {"reason": verdict.cause})
    return Began(verdict.outcome, message, reason=verdict.reason, until=verdict.until)


async def skip(tx: Writing, key: str, *, now: datetime, reason: str) -> Message | None:
    """It must not go out, though the gate was not asked. None unless it is prepared and not skipped yet."""
    values = {"verdict": "skipped", "reason": reason, "updated_at": now}
    message = await _change(tx, _FRESH, {"the_key": key}, values)
    if message is not None:
        _count(tx, message, "skipped")
    return message


async def accept(
    tx: Writing, key: str, token: str, *, now: datetime, provider_id: str | None = None
) -> Message | None:
    """The provider took it. None unless it is sending under this token (a fate may have come first)."""
    values = {"accepted_at": now, "provider_id": provider_id, "reason": None}
    return await _settle(tx, _MINE, _at(key, token), "accepted", now, **values)


async def reject(tx: Writing, key: str, token: str, *, now: datetime, reason: str) -> Message | None:
    """The provider refused it for good. None unless it is sending under this token."""
    return await _settle(tx, _MINE, _at(key, token), "rejected", now, reason=reason)


async def mark_unknown(tx: Writing, key: str, token: str, *, now: datetime, reason: str) -> Message | None:
    """Nobody knows whether the provider took it. None unless it is sending under this token."""
    return await _settle(tx, _MINE, _at(key, token), "unknown", now, reason=reason)


async def release(
    tx: Writing, key: str, token: str, *, now: datetime, reason: str, until: datetime | None = None
) -> Message | None:
    """The provider certainly did not take it, and may later: back to `prepared`. None as with `accept`.

    Nobody begins it before `until`, whoever asks: what a provider says when it is busy is obeyed.
    """
    values = {"state": "prepared", "token": None, "lease_until": until, "reason": reason, "updated_at": now}
    return await _change(tx, _MINE, _at(key, token), values)


async def prove_accepted(
    tx: Writing, key: str, *, now: datetime, decision: str, provider_id: str | None = None
) -> Message | None:
    """The provider has it: what was decided for want of this proof gives way to it.

    None unless it is `unknown` (given up or not), `sending` with the lease over, or to be sent again.
    """
    unproven = or_(_nobody_knows(now), and_(messages.c.state == "prepared", messages.c.sends > 0))
    found = await _locked_if(tx, key, unproven)
    if found is None:
        return None
    values: dict[str, Any] = {"decisions": _decided(found, now, decision, None), "accepted_at": now}
    if provider_id is not None:
        values["provider_id"] = provider_id
    return await _settle(tx, _ANY, {"the_key": key}, "accepted", now, reason=None, **values)


async def decide_resend(
    tx: Writing, key: str, *, now: datetime, decision: str, actor: str | None = None
) -> Message | None:
    """Decide to send it again: back to `prepared`, the decision recorded, the frozen body kept.

    None unless it is `unknown`, or `sending` with the lease over, and has no fate and was not given up.
    """
    found = await _unsettled(tx, key, now)
    if found is None:
        return None
    values = {
        "state": "prepared",
        "token": None,
        "lease_until": None,
        "decisions": _decided(found, now, decision, actor),
        "updated_at": now,
    }
    message = await _change(tx, _ANY, {"the_key": key}, values)
    if message is not None:
        _count(tx, message, "sent_again")
    return message


async def give_up(
    tx: Writing, key: str, *, now: datetime, decision: str, actor: str | None = None
) -> Message | None:
    """Decide not to send it again though nobody knows: it stays `unknown`. None as with `decide_resend`."""
    found = await _unsettled(tx, key, now)
    if found is None:
        return None
    values = {
        "state": "unknown",
        "given_up_at": now,
        "reason": decision,
        "decisions": _decided(found, now, decision, actor),
        "updated_at": now,
    }
    message = await _change(tx, _ANY, {"the_key": key}, values)
    if message is not None:
        _count(tx, message, "given_up")
    return message


async def record_fate(
    tx: Writing,
    key: str,
    fate: Fate,
    *,
    at: datetime,
    now: datetime,
    reason: str | None = None,
    provider_id: str | None = None,
) -> Message | None:
    """What became of a message, from the provider. It proves acceptance, whatever the state was.

    None if the key is unknown, or a fate that stands before this one is recorded already.
    """
    told = NewFate(key, fate, at, reason, provider_id)
    return (await record_fates(tx, await locked(tx, [key]), [told], now)).get(key)


async def locked(tx: Writing, keys: Iterable[str]) -> dict[str, Message]:
    """The messages that there are under several keys, locked until the transaction ends, always in the same
    order: who locks several never waits in a circle."""
    rows: list[AnyRow] = []
    for some in batched(sorted(set(keys))):
        chosen = select(messages).where(messages.c.key.in_(some)).order_by(messages.c.key)
        rows += await tx.all(chosen.with_for_update())
    return {row.key: message_of(row) for row in rows}


async def record_fates(
    tx: Writing, known: Mapping[str, Message], told: Iterable[NewFate], now: datetime
) -> dict[str, Message]:
    """What became of several messages, `known` and locked, in one statement. Returns those that changed.

    Whatever the order in which fates arrive, the same one stands in the end.
    """
    best: dict[str, NewFate] = {}
    for one in told:
        if one.key in known and (one.key not in best or one.order > best[one.key].order):
            best[one.key] = one
    changed: dict[str, Message] = {}
    for key, one in best.items():
        before = known[key]
        stands = before.fate_told
        if stands is not None and stands.order >= one.order:
            continue
        changed[key] = replace(
            before,
            fate=one.fate,
            fate_at=one.at,
            reason=one.reason,
            state="accepted",
            lease_until=None,
            provider_id=before.provider_id or one.provider_id,
            accepted_at=before.accepted_at or min(one.at, now),
            updated_at=now,
        )
        if before.state != "accepted":
            _count(tx, before, "accepted")
    if changed:
        values = [
            {"the_key": key, **{f"new_{name}": getattr(one, name) for name in _FATED}}
            for key, one in sorted(changed.items())
        ]
        await tx.execute(_SET_FATE, values)
    return changed


async def get(db: Reading, key: str) -> Message | None:
    """The message under a key, or None."""
    row = await db.first(select(messages).where(messages.c.key == key))
    return None if row is None else message_of(row)


async def of_effect(db: Reading, effect: str) -> list[Message]:
    """The messages of one effect, by place."""
    return [message_of(row) for row in await db.all(_OF_EFFECT, {"the_effect": effect})]


async def forget(tx: Writing, keys: Sequence[str]) -> None:
    """Remove messages that were prepared for people whom an effect is no longer for; not one that has
    begun."""
    never = and_(
        messages.c.state == "prepared", messages.c.sends == 0, messages.c.verdict.is_distinct_from("skipped")
    )
    await tx.execute(delete(messages).where(messages.c.key.in_(keys), messages.c.fate.is_(None), never))


async def frozen_body(db: Reading, key: str) -> dict[str, Any] | None:
    """The body a message was first sent with; None if it was never sending, or has been dropped."""
    row = await db.first(select(bodies.c.body).where(bodies.c.key == key))
    return None if row is None else row.body


async def of(db: Reading, subject: str, enrolment: int) -> list[Message]:
    """The messages of one enrolment, oldest first."""
    statement = select(messages).where(messages.c.subject == subject, messages.c.enrolment == enrolment)
    return [
        message_of(row) for row in await db.all(statement.order_by(messages.c.created_at, messages.c.key))
    ]


async def drop_bodies(tx: Writing, before: datetime, limit: int = 1_000) -> int:
    """Remove bodies frozen before a moment, of messages that will not be sent again: the oldest, at most
    `limit`. Returns how many."""
    over = or_(
        messages.c.state.in_(("accepted", "rejected")),
        messages.c.given_up_at.is_not(None),
        and_(messages.c.state == "prepared", messages.c.verdict == "skipped"),
    )
    oldest = (
        select(bodies.c.key)
        .join(messages, messages.c.key == bodies.c.key)
        .where(bodies.c.frozen_at < before, over)
        .order_by(bodies.c.frozen_at)
        .limit(limit)
        # Whoever tidies up at the same time takes others.
        .with_for_update(of=bodies, skip_locked=True)
    )
    return (await tx.execute(delete(bodies).where(bodies.c.key.in_(oldest)))).rowcount


# The updates that every message runs; the columns they set are those of the values they are run with.
_ANY: Final = update(messages).where(messages.c.key == bindparam("the_key")).returning(messages)
_MINE: Final = _ANY.where(messages.c.state == "sending", messages.c.token == bindparam("the_token"))
_FRESH: Final = _ANY.where(
    messages.c.state == "prepared",
    messages.c.fate.is_(None),
    messages.c.verdict.is_distinct_from("skipped"),
)
_BEGIN: Final = _FRESH.where(
    or_(messages.c.lease_until.is_(None), messages.c.lease_until <= bindparam("the_now", type_=Moment))
).values(sends=messages.c.sends + 1)
_OF_EFFECT: Final = (
    select(messages)
    # The key alone finds rows of versions in which an effect had one message.
    .where(or_(messages.c.effect == bindparam("the_effect"), messages.c.key == bindparam("the_effect")))
    .order_by(messages.c.place, messages.c.key)
)
_FATED: Final = (
    "fate",
    "fate_at",
    "reason",
    "state",
    "lease_until",
    "provider_id",
    "accepted_at",
    "updated_at",
)
_SET_FATE: Final = (
    update(messages)
    .where(messages.c.key == bindparam("the_key"))
    .values({name: bindparam(f"new_{name}") for name in _FATED})
)


@cache
def _prepare(name: str) -> ReturningInsert[Any, Any]:
    new = insert(name, messages)
    return new.on_conflict_do_update(
        index_elements=[messages.c.key],
        set_={name: new.excluded[name] for name in ("recipient", "template", "place", "topic")},
        where=and_(messages.c.state == "prepared", messages.c.sends == 0),
    ).returning(messages)


@cache
def _insert_body(name: str) -> ReturningInsert[Any, Any]:
    return insert(name, bodies).on_conflict_do_nothing().returning(bodies.c.key)


def _at(key: str, token: str) -> dict[str, str]:
    return {"the_key": key, "the_token": token}


async def _settle(
    tx: Writing,
    statement: ReturningUpdate[Any, Any],
    at: Mapping[str, str],
    state: State,
    now: datetime,
    **values: Any,
) -> Message | None:
    changed = {"state": state, "lease_until": None, "updated_at": now} | values
    message = await _change(tx, statement, at, changed)
    if message is not None:
        _count(tx, message, state)
    return message


async def _unsettled(tx: Writing, key: str, now: datetime) -> AnyRow | None:
    """The row, locked, if nobody knows what became of it, no attempt is at it, and it was not given up."""
    return await _locked_if(tx, key, and_(_nobody_knows(now), messages.c.given_up_at.is_(None)))


def _nobody_knows(now: datetime) -> ColumnElement[bool]:
    died = and_(messages.c.state == "sending", messages.c.lease_until <= now)
    return or_(messages.c.state == "unknown", died)


async def _locked_if(tx: Writing, key: str, condition: ColumnElement[bool]) -> AnyRow | None:
    chosen = select(messages).where(messages.c.key == key, messages.c.fate.is_(None), condition)
    return await tx.first(chosen.with_for_update())


async def _change(
    tx: Writing, statement: ReturningUpdate[Any, Any], at: Mapping[str, Any], values: Mapping[str, Any]
) -> Message | None:
    row = await tx.first(statement, {**values, **at})
    return None if row is None else message_of(row)


async def _freeze(tx: Writing, key: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    row = {"key": key, "body": dict(body), "frozen_at": now}
    if await tx.first(_insert_body(tx.dialect_name), row) is not None:
        return dict(body)
    frozen = await frozen_body(tx, key)
    assert frozen is not None
    return frozen


async def _known(db: Reading, key: str) -> Message:
    message = await get(db, key)
    if message is None:
        raise NotPrepared(f"no message was prepared under {key}")
    return message


def _count(tx: Writing, message: Message, outcome: str) -> None:
    tx.tallies.count("messages_total", {"class": message.message_class, "outcome": outcome})


def _decided(row: AnyRow, now: datetime, text: str, actor: str | None) -> list[dict[str, Any]]:
    return [*row.decisions, {"at": now.isoformat(), "text": text, "actor": actor, "sends": row.sends}]


__all__ = [
    "FATES",
    "Began",
    "Decision",
    "Fate",
    "Message",
    "NewFate",
    "NewMessage",
    "State",
    "accept",
    "begin_sending",
    "decide_resend",
    "drop_bodies",
    "forget",
    "frozen_body",
    "get",
    "give_up",
    "locked",
    "mark_unknown",
    "of",
    "of_effect",
    "prepare",
    "prove_accepted",
    "record_fate",
    "record_fates",
    "reject",
    "release",
    "skip",
]
