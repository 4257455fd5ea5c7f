"""Sending a message once: the walk through the ledger (DESIGN §3).

    prepared ── gate open ──> sending ──> accepted | rejected
                                 │
                                 └─ nobody knows, or the attempt died ──> reconcile: look, never send blindly

Nothing is waited for here. What is not decided yet comes back as `Pending`, and whoever called asks again;
every call begins with what the ledger says. No message is sent twice, or given up, without a recorded
decision.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.inputs import OutcomeName
from firstmile.journey.instants import Instant, from_datetime, to_datetime
from firstmile.mail.composing import Letterhead, compose, message_class, template_of
from firstmile.mail.context import Owner
from firstmile.mail.errors import OutcomeUnknown, Rejected, TemplateError, TryLater
from firstmile.mail.message import Message
from firstmile.mail.recipients import Recipients, Safety, recipients_of
from firstmile.mail.transport import Absent, Found, Receipt, Sighting, Trace, Transport, Unknown
from firstmile.store import effects, gate, ledger, owners, profiles, records, suppressions
from firstmile.store.database import Database, Writing
from firstmile.store.profiles import Profile

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

RESENT_ABSENT = "sent again: the provider's log does not have it"
RESENT_UNKNOWN = "sent again: transactional, and nobody could tell whether it was delivered"
FOUND = "not sent again: the provider's log has it"
MAY_HAVE_BEEN_DELIVERED = (
    "may have been delivered: the provider did not answer, and nobody could tell in time"
)


@dataclass(frozen=True, slots=True)
class Pending:
    """Not decided yet: ask again after `retry_in`, and nothing will be done twice."""

    reason: str
    retry_in: timedelta


@dataclass(frozen=True, slots=True)
class Post:
    """How messages are sent here.

    `limit`: how long one call to the provider may take; it lies below an activity's start-to-close time-out
    (15 s), and that below `lease`, after which an attempt that did not come back is reconciled.
    """

    letterhead: Letterhead
    safety: Safety = field(default_factory=Safety)
    limit: timedelta = timedelta(seconds=12)
    lease: timedelta = timedelta(seconds=30)
    reconcile_for: timedelta = timedelta(minutes=30)
    look_again: timedelta = timedelta(minutes=5)
    """How soon to look again at a hold that nobody gave an end."""
    executor: Executor | None = None
    """Where the transport's calls block; None: the event loop's own threads."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if self.lease <= self.limit:
            raise ValueError("the lease must be longer than a call to the provider may take")


async def send_once(
    db: Database, transport: Transport, request: EffectRequest, post: Post, *, links: Mapping[str, str]
) -> EffectOutcome | Pending:
    """Send the message of an effect, or say what became of it when it was sent before.

    `links` are what the templates see, with `unsubscribe` for the header where it is not `preferences`.
    """
    sender = _Sender(db, transport, request, post, links)
    for _ in range(3):
        # A decision to send again, or another attempt's step in between, brings it round once more.
        if (outcome := await sender.step()) is not None:
            return outcome
    return Pending("the message is being changed by others", timedelta(seconds=1))


class _Taken(Exception):
    """The lease would be over before the call is."""


@dataclass(slots=True)
class _Sender:
    """One effect's walk. A step returns None where the ledger is to be looked at again."""

    db: Database
    transport: Transport
    request: EffectRequest
    post: Post
    links: Mapping[str, str]

    async def step(self) -> EffectOutcome | Pending | None:
        async with self.db.reading() as tx:
            row = await ledger.get(tx, self.request.key)
        if row is None or row.state == "prepared":
            return await self._attempt()
        return await self._settled_or_reconciled(row)

    # ---- what the ledger says already ----

    async def _settled_or_reconciled(self, row: ledger.Message) -> EffectOutcome | Pending | None:
        now = self.post.now()
        if row.state == "accepted":
            async with self.db.writing() as tx:
                return await self._done(tx, row)
        if row.state == "rejected":
            return await self._recorded("failed", row.reason)
        if row.given_up_at is not None:
            return await self._recorded("failed", row.reason or MAY_HAVE_BEEN_DELIVERED)
        if row.state == "sending" and row.lease_until is not None and row.lease_until > now:
            return Pending("another attempt is sending it", row.lease_until - now)
        return await self._reconcile(row)

    async def _reconcile(self, row: ledger.Message) -> EffectOutcome | Pending | None:
        """Find out, and decide. The time for it counts from the send, or from when its outcome became
        unknown."""
        async with self.db.reading() as tx:
            body = await ledger.frozen_body(tx, row.key)
        sighting = await self._sighting(row, body)
        now = self.post.now()
        if isinstance(sighting, Found):
            async with self.db.writing() as tx:
                proven = await ledger.prove_accepted(
                    tx, row.key, now=now, decision=FOUND, provider_id=sighting.provider_id
                )
                return await self._done(tx, proven) if proven else None
        if isinstance(sighting, Absent):
            await self._decide_resend(row, RESENT_ABSENT)
            return None
        age = now - row.updated_at
        if age < self.post.reconcile_for:
            patience = min(max(age, timedelta(seconds=5)), timedelta(minutes=2))
            retry_in = max(min(patience, self.post.reconcile_for - age), timedelta(seconds=1))
            return Pending(f"its outcome is unknown: {sighting.reason}", retry_in)
        if row.message_class == "transactional":
            await self._decide_resend(row, RESENT_UNKNOWN)
            return None
        async with self.db.writing() as tx:
            if await ledger.give_up(tx, row.key, now=now, decision=MAY_HAVE_BEEN_DELIVERED) is None:
                return None
            return await self._write(tx, "failed", reason=MAY_HAVE_BEEN_DELIVERED)

    async def _decide_resend(self, row: ledger.Message, decision: str) -> None:
        async with self.db.writing() as tx:
            await ledger.decide_resend(tx, row.key, now=self.post.now(), decision=decision)

    async def _sighting(self, row: ledger.Message, body: dict[str, object] | None) -> Sighting:
        message = Message.thawed(body) if body else None
        recipient = message.to[0].email if message else row.recipient
        if recipient is None:
            return Unknown("nobody knows who it went to")
        trace = Trace(row.key, recipient, row.created_at, row.updated_at)
        try:
            sighting = await self._in_thread(lambda: self.transport.find(trace))
        except TimeoutError:
            return Unknown("the provider's log does not answer")
        surely_over = row.updated_at + timedelta(seconds=self.transport.timeout)
        if isinstance(sighting, Absent) and self.post.now() < surely_over:
            return Unknown("the call may still be under way")
        return sighting

    # ---- sending ----

    async def _attempt(self) -> EffectOutcome | Pending | None:
        request, key = self.request, self.request.key
        composed = await self._composed()
        if isinstance(composed, EffectOutcome):
            return composed
        recipients, message = composed
        token, now = uuid.uuid4().hex, self.post.now()
        question = gate.Question(
            subject=request.subject,
            segment=request.segment,
            template=template_of(request),
            message_class=message_class(request),
            address=recipients.address,
            valid=recipients.valid,
            not_after=self._real(request.not_after),
        )
        new = ledger.NewMessage(
            key=key,
            subject=request.subject,
            enrolment=request.enrolment,
            segment=request.segment,
            step=request.step,
            purpose=request.purpose,
            template=question.template,
            message_class=question.message_class,
            recipient=recipients.address,
        )
        body = message.frozen() if message else {}
        async with self.db.writing() as tx:
            await ledger.prepare(tx, new, now)
            began = await ledger.begin_sending(
                tx, key, token, now=now, lease=self.post.lease, body=body, question=question
            )
            if began.outcome == "skipped":
                return await self._write(tx, "skipped", reason=began.reason)
            if began.outcome == "deferred":
                until = self._look_again(began.until, question.not_after, now)
                return await self._write(tx, "deferred", reason=began.reason, until=until)
        if began.outcome == "taken" or began.body is None:
            return None
        return await self._send(token, Message.thawed(began.body), now + self.post.lease)

    async def _composed(self) -> tuple[Recipients, Message | None] | EffectOutcome:
        """The message, or the outcome of an effect that needs no look at the gate."""
        request = self.request
        async with self.db.reading() as tx:
            profile = await profiles.get(tx, request.subject)
            recipients = recipients_of(
                profile, request.params.get("to") or (), request.params.get("cc") or ()
            )
            others = [address.email for address in recipients.others]
            stopped = await suppressions.stopped(tx, others, message_class(request)) if others else {}
            people = await owners.of(tx, request.subject, request.enrolment) if request.facts.owners else {}
        recipients = recipients.without(stopped)
        if profile is None or not recipients.valid:
            return recipients, None
        try:
            message = self._message(profile, recipients, people)
        except TemplateError as error:
            return await self._recorded("failed", str(error))
        applied = self._safe(message)
        if isinstance(applied, str):
            async with self.db.writing() as tx:
                now = self.post.now()
                outcome = await self._write(tx, "skipped", reason=applied)
                return await effects.record(tx, request.key, outcome, now)
        return recipients, applied

    def _message(
        self, profile: Profile, recipients: Recipients, people: Mapping[str, owners.Person]
    ) -> Message:
        return compose(
            self.post.letterhead,
            self.request,
            profile,
            recipients,
            links=self.links,
            owners={role: Owner(person.name, person.email) for role, person in people.items()},
            now=self.post.now(),
        )

    def _safe(self, message: Message) -> Message | str:
        return self.post.safety.applied(
            message, speed=self.request.clock.speed, reaches_people=self.transport.reaches_people
        )

    async def _send(
        self, token: str, message: Message, lease_until: datetime
    ) -> EffectOutcome | Pending | None:
        """Call the provider with the frozen message, and write down what came of it."""
        key, safe = self.request.key, self._safe(message)
        if safe != message:
            # Frozen when other rules held: it must not go out as it is, nor be changed after it was frozen.
            reason = "the rules for recipients have changed since it was first sent"
            async with self.db.writing() as tx:
                await ledger.release(tx, key, token, now=self.post.now(), reason=reason)
                return await self._write(tx, "failed", reason=reason)

        def call() -> Receipt:
            # In the thread: it may have waited for its turn there.
            if lease_until - self.post.now() < self.post.limit:
                raise _Taken
            return self.transport.send(message)

        try:
            receipt = await self._in_thread(call)
        except Rejected as error:
            return await self._rejected(token, error)
        except (TryLater, _Taken) as error:
            return await self._released(token, error)
        except OutcomeUnknown as error:
            return await self._unknown(token, error.reason)
        except TimeoutError:
            return await self._unknown(token, "the provider did not answer in time")
        except Exception as error:
            # A transport raises nothing else. Should it, the message may be out all the same.
            logger.exception("the transport %s failed in a way of its own", self.transport.name)
            return await self._unknown(token, type(error).__name__)
        return await self._accepted(token, receipt)

    async def _accepted(self, token: str, receipt: Receipt) -> EffectOutcome | None:
        key, now = self.request.key, self.post.now()
        async with self.db.writing() as tx:
            row = await ledger.accept(tx, key, token, now=now, provider_id=receipt.provider_id)
            if row is None:
                # A delivery event was quicker, or the lease was lost while the provider said yes.
                decision = "the provider took it after its lease was over"
                row = await ledger.prove_accepted(
                    tx, key, now=now, decision=decision, provider_id=receipt.provider_id
                )
            return await self._done(tx, row) if row else None

    async def _rejected(self, token: str, error: Rejected) -> EffectOutcome | None:
        async with self.db.writing() as tx:
            now = self.post.now()
            if await ledger.reject(tx, self.request.key, token, now=now, reason=error.reason) is None:
                return None
            return await self._write(tx, "failed", reason=error.reason)

    async def _released(self, token: str, error: TryLater | _Taken) -> Pending:
        now = self.post.now()
        until = error.until if isinstance(error, TryLater) else now
        reason = error.reason if isinstance(error, TryLater) else "it waited too long for its turn"
        async with self.db.writing() as tx:
            await ledger.release(tx, self.request.key, token, now=now, reason=reason)
        return Pending(reason, max(until - now, timedelta(seconds=1)))

    async def _unknown(self, token: str, reason: str) -> Pending | None:
        async with self.db.writing() as tx:
            now = self.post.now()
            if await ledger.mark_unknown(tx, self.request.key, token, now=now, reason=reason) is None:
                return None
        return Pending(f"its outcome is unknown: {reason}", timedelta(seconds=5))

    # ---- outcomes ----

    async def _done(self, tx: Writing, row: ledger.Message) -> EffectOutcome:
        # The instant at which it was accepted: the same however often it is asked for, until a fate comes.
        at = self._journey(
            row.updated_at if row.fate is None else min(row.updated_at, row.fate_at or row.updated_at)
        )
        return await self._write(tx, "done", reason=row.decisions[-1].text if row.decisions else None, at=at)

    async def _recorded(self, outcome: OutcomeName, reason: str | None) -> EffectOutcome:
        async with self.db.writing() as tx:
            return await self._write(tx, outcome, reason=reason)

    async def _write(
        self,
        tx: Writing,
        outcome: OutcomeName,
        *,
        reason: str | None,
        at: Instant | None = None,
        until: Instant | None = None,
    ) -> EffectOutcome:
        """The outcome, with the records that ride on the effect, in the transaction that records it."""
        now = self.post.now()
        # Not before the effect was started, whatever this machine's clock or the provider's says.
        at = max(self.request.at, self._journey(now) if at is None else at)
        riding, done = self.request.records, outcome == "done"
        if done and reason and riding.success is not None:
            riding = replace(riding, success=replace(riding.success, reason=reason))
        await records.write(tx, riding, now, succeeded=done, outcome_at=at if done else None)
        return EffectOutcome(outcome, at, reason=reason, until=until)

    def _look_again(self, until: datetime | None, not_after: datetime | None, now: datetime) -> Instant:
        """When a deferred message is due again, in journey time: the engine finds the window from there."""
        if until is None:
            closed = not_after is not None and now > not_after
            # A journey that runs faster than the clock does not wait for minutes of the clock.
            pause = timedelta() if closed else self.post.look_again / max(self.request.clock.speed, 1.0)
            until = now + max(pause, timedelta(seconds=0 if closed else 1))
        return self._journey(until)

    def _journey(self, moment: datetime) -> Instant:
        return self.request.clock.journey(from_datetime(moment))

    def _real(self, instant: Instant | None) -> datetime | None:
        return None if instant is None else to_datetime(self.request.clock.real(instant))

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        """Run what blocks, for at most `limit`. Raises `TimeoutError`; the call may go on then."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self.post.executor, call)
        return await asyncio.wait_for(future, self.post.limit.total_seconds())
