"""One attempt at one message: the walk through the ledger (DESIGN §3).

    prepared ── gate open ──> sending ──> accepted | rejected
                                 │
                                 └─ nobody knows, or the attempt died ──> reconcile: look, never send blindly

Nothing is waited for here. What is not decided yet comes back as `Pending`. None says: look at the ledger, for
something was settled or decided, or another attempt was here. What a message came to is told to its effect in
the transaction that records it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from firstmile.mail.errors import OutcomeUnknown, Rejected, TryLater
from firstmile.mail.message import Message
from firstmile.mail.outcomes import (
    FOUND,
    MAY_HAVE_BEEN_DELIVERED,
    RESENT_ABSENT,
    RESENT_IDEMPOTENT,
    RESENT_UNKNOWN,
    TAKEN_LATE,
    Pending,
    Settled,
    settled,
    told,
)
from firstmile.mail.post import Post
from firstmile.mail.transport import Absent, Found, Receipt, Sighting, Trace, Transport, Unknown
from firstmile.store import gate, ledger
from firstmile.store.database import Database, Writing

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

SOON = timedelta(seconds=1)
UNANSWERED = timedelta(seconds=5)
"""How soon to look for a message whose call was not answered."""
PATIENCE = timedelta(minutes=2)
"""The longest between two looks: the provider's log has limits of its own."""
BLINDLY = 3
"""How often a transactional message is sent again though nobody knows: a provider that takes everything and
answers nothing would have a customer get one every half an hour, for ever. Then an operator decides."""
RULES_CHANGED = "the rules for recipients have changed since it was first sent"


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is to be begun: its row, what the gate is asked, and what would go out.

    `message` is None where there is nobody to send it to. `refused` says why it must not go out as things are
    set here. `again`: it was begun before, and goes out as it was frozen then.
    """

    new: ledger.NewMessage
    question: gate.Question
    message: Message | None
    refused: str | None = None
    again: bool = False

    @property
    def key(self) -> str:
        """The message's own key."""
        return self.new.key


class Effect(Protocol):
    """What an attempt tells the effect that the message belongs to, each in the transaction it is about."""

    async def lay_out(self, tx: Writing, draft: Draft) -> bool:
        """Make sure that the message's row is there. False: others have changed whom the effect is for."""
        ...

    async def going_out(self, tx: Writing, draft: Draft) -> None:
        """It is `sending` now. What this raises undoes that."""
        ...

    async def settle(self, tx: Writing, key: str, part: Settled) -> None:
        """What became of the message."""
        ...


class _Taken(Exception):
    """The lease would be over before the call is."""


@dataclass(slots=True)
class Attempt:
    """The walk of the messages of one effect. `speed` is the enrolment's."""

    db: Database
    transport: Transport
    post: Post
    effect: Effect
    speed: float

    async def begin(self, draft: Draft) -> Pending | None:
        """Ask the gate about a prepared message, and send it."""
        token, now = uuid.uuid4().hex, self.post.now()
        body = draft.message.frozen() if draft.message else {}
        async with self.db.writing() as tx:
            if not await self.effect.lay_out(tx, draft):
                return None
            if draft.refused is not None:
                skipped = await ledger.skip(tx, draft.key, now=now, reason=draft.refused)
                await self._settled(tx, skipped)
                return None
            began = await ledger.begin_sending(
                tx, draft.key, token, now=now, lease=self.post.lease, body=body, question=draft.question
            )
            if began.outcome == "skipped":
                await self._settled(tx, began.message)
                return None
            if began.outcome == "deferred":
                until = self._look_again(began.until, draft.question.not_after, now)
                reason = told(began.message, began.reason)
                await self.effect.settle(tx, draft.key, Settled("deferred", reason, until=until))
                return None
            if began.outcome == "taken" or began.body is None:
                return None
            if began.body == body:
                await self.effect.going_out(tx, draft)
        return await self._send(token, Message.thawed(began.body), now + self.post.lease)

    async def find_out(self, row: ledger.Message) -> Pending | None:
        """What became of a message that is `sending` or `unknown`, or may not be begun yet."""
        now = self.post.now()
        if row.state == "prepared":
            wait = row.not_before(now)
            return None if wait is None else Pending(row.reason or "it waits for its turn", max(wait, SOON))
        if row.state == "sending" and not row.lease_over(now):
            assert row.lease_until is not None
            return Pending("another attempt is sending it", row.lease_until - now)
        return await self._reconcile(row)

    # ---- sending ----

    async def _send(self, token: str, message: Message, lease_until: datetime) -> Pending | None:
        """Call the provider with the frozen message, and write down what came of it."""
        safe = self.post.safety.applied(
            message, speed=self.speed, reaches_people=self.transport.reaches_people
        )
        if safe != message:
            # Frozen when other rules held: it must not go out as it is, nor be changed after it was frozen.
            async with self.db.writing() as tx:
                now = self.post.now()
                row = await ledger.release(tx, message.key, token, now=now, reason=RULES_CHANGED)
                if row is not None:
                    part = Settled("failed", told(row, RULES_CHANGED))
                    await self.effect.settle(tx, message.key, part)
            return None
        room = self.post.room(self.transport)

        def call() -> Receipt:
            # In the thread: it may have waited for its turn there.
            if lease_until - self.post.now() < room:
                raise _Taken
            return self.transport.send(message)

        try:
            receipt = await self._in_thread(call)
        except Rejected as error:
            await self._rejected(token, message.key, error.reason)
            return None
        except TryLater as error:
            return await self._released(token, message.key, error.reason, error.until)
        except _Taken:
            now = self.post.now()
            return await self._released(token, message.key, "it waited too long for its turn", now)
        except OutcomeUnknown as error:
            return await self._unknown(token, message.key, error.reason)
        except TimeoutError:
            return await self._unknown(token, message.key, "the provider did not answer in time")
        except Exception as error:
            # A transport raises nothing else. Should it, the message may be out all the same.
            logger.exception("the transport %s failed in a way of its own", self.transport.name)
            return await self._unknown(token, message.key, type(error).__name__)
        await self._accepted(token, message.key, receipt)
        return None

    async def _accepted(self, token: str, key: str, receipt: Receipt) -> None:
        now, id = self.post.now(), receipt.provider_id
        async with self.db.writing() as tx:
            row = await ledger.accept(tx, key, token, now=now, provider_id=id)
            if row is None:
                # A delivery event was quicker, or the lease was lost while the provider said yes.
                row = await ledger.prove_accepted(tx, key, now=now, decision=TAKEN_LATE, provider_id=id)
            await self._settled(tx, row)

    async def _rejected(self, token: str, key: str, reason: str) -> None:
        async with self.db.writing() as tx:
            row = await ledger.reject(tx, key, token, now=self.post.now(), reason=reason)
            await self._settled(tx, row)

    async def _released(self, token: str, key: str, reason: str, until: datetime) -> Pending:
        now = self.post.now()
        async with self.db.writing() as tx:
            await ledger.release(tx, key, token, now=now, reason=reason, until=until)
        return Pending(reason, max(until - now, SOON))

    async def _unknown(self, token: str, key: str, reason: str) -> Pending | None:
        async with self.db.writing() as tx:
            row = await ledger.mark_unknown(tx, key, token, now=self.post.now(), reason=reason)
        if row is None:
            return None
        # Sent again and again, where the provider tells duplicates: then more and more slowly.
        retry_in = min(UNANSWERED * 2 ** min(row.sends - 1, 10), PATIENCE)
        return Pending(f"its outcome is unknown: {reason}", retry_in)

    # ---- finding out ----

    async def _reconcile(self, row: ledger.Message) -> Pending | None:
        """Find out, and decide. The time for it counts from the send, or from when its outcome became
        unknown."""
        if self.transport.idempotent and self._first_unknown(row) < self.post.reconcile_for:
            # Keys are not remembered for ever: later than this, it is looked for like anything else.
            await self._decide_resend(row, RESENT_IDEMPOTENT)
            return None
        async with self.db.reading() as tx:
            body = await ledger.frozen_body(tx, row.key)
        sighting = await self._sighting(row, Message.thawed(body) if body else None)
        now = self.post.now()
        if isinstance(sighting, Found):
            async with self.db.writing() as tx:
                proven = await ledger.prove_accepted(
                    tx, row.key, now=now, decision=FOUND, provider_id=sighting.provider_id
                )
                await self._settled(tx, proven)
                return None
        if isinstance(sighting, Absent):
            await self._decide_resend(row, RESENT_ABSENT)
            return None
        age, enough = now - row.updated_at, max(self.post.reconcile_for, self._surely_over)
        if age < enough:
            patience = min(max(age, UNANSWERED), PATIENCE)
            retry_in = max(min(patience, enough - age), SOON)
            return Pending(f"its outcome is unknown: {sighting.reason}", retry_in)
        blindly = sum(decision.text == RESENT_UNKNOWN for decision in row.decisions)
        if row.message_class == "transactional" and blindly < BLINDLY:
            await self._decide_resend(row, RESENT_UNKNOWN)
            return None
        async with self.db.writing() as tx:
            given_up = await ledger.give_up(tx, row.key, now=now, decision=MAY_HAVE_BEEN_DELIVERED)
            await self._settled(tx, given_up)
            return None

    async def _decide_resend(self, row: ledger.Message, decision: str) -> None:
        async with self.db.writing() as tx:
            await ledger.decide_resend(tx, row.key, now=self.post.now(), decision=decision)

    async def _sighting(self, row: ledger.Message, message: Message | None) -> Sighting:
        recipient = message.to[0].email if message else row.recipient
        if recipient is None:
            return Unknown("nobody knows who it went to")
        # Until then it may have been taken: a log that lags behind counts its lag from there.
        over = row.lease_until or row.updated_at + self._surely_over
        trace = Trace(row.key, recipient, row.created_at, over)
        try:
            sighting = await self._in_thread(lambda: self.transport.find(trace))
        except TimeoutError:
            return Unknown("the provider's log does not answer")
        if isinstance(sighting, Absent) and self.post.now() < over:
            return Unknown("the call may still be under way")
        return sighting

    @property
    def _surely_over(self) -> timedelta:
        """How long a call may go on after it was given up."""
        return timedelta(seconds=self.transport.timeout)

    def _first_unknown(self, row: ledger.Message) -> timedelta:
        """How long ago its outcome was unknown for the first time, or is now."""
        first = row.decisions[0].at if row.decisions else row.updated_at
        return self.post.now() - first

    # ---- both ----

    async def _settled(self, tx: Writing, row: ledger.Message | None) -> None:
        """Tell the effect, unless another attempt was quicker: then the ledger is to be looked at again."""
        if row is not None and (part := settled(row)) is not None:
            await self.effect.settle(tx, row.key, part)

    def _look_again(self, until: datetime | None, not_after: datetime | None, now: datetime) -> datetime:
        """When a deferred message is due again: the engine finds the window from there."""
        if until is not None:
            return until
        if not_after is not None and now > not_after:
            return now
        # A journey that runs faster than the clock does not wait for minutes of the clock.
        return now + max(self.post.look_again / max(self.speed, 1.0), SOON)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        """Run what blocks, for at most `limit`. Raises `TimeoutError`; the call may go on then."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self.post.executor, call)
        return await asyncio.wait_for(future, self.post.limit.total_seconds())
