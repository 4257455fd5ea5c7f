"""Sending a message once, to everybody it is for (DESIGN §3).

An effect has one message for each person it is for, each with a row and a key of its own: one that was
accepted is not sent again because another was not. What is done with a message is in `attempt`; here is what
an effect makes of it. The records that ride on the effect are written once, in the transaction that settles
the last of its messages.

Nothing is waited for here. What is not decided yet comes back as `Pending`, and whoever called asks again;
every call begins with what the ledger says. No message is sent twice, or given up, without a recorded
decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.mail import outcomes
from firstmile.mail.attempt import RULES_CHANGED, SOON, Attempt, Draft
from firstmile.mail.composing import compose, message_class, template_of
from firstmile.mail.context import Owner
from firstmile.mail.errors import TemplateError
from firstmile.mail.inviting import Invitation, invitation_of
from firstmile.mail.message import Message
from firstmile.mail.outcomes import Pending, Settled
from firstmile.mail.places import Place, places_of
from firstmile.mail.post import Post
from firstmile.mail.recipients import Addressee, addressees_of
from firstmile.mail.transport import Transport
from firstmile.store import bookings, gate, ledger, owners, profiles, records
from firstmile.store.database import Database, Reading, Writing
from firstmile.store.profiles import Profile
from firstmile.store.suppressions import topic_of

ROUNDS = 3
"""How often the ledger is looked at anew for each message, before somebody else is asked to go on."""

LinksOf = Callable[[str | None], Mapping[str, str]]
"""The links of one recipient's message, by their address key; None for the primary contact."""


async def send_once(
    db: Database,
    transport: Transport,
    request: EffectRequest,
    post: Post,
    *,
    links: Mapping[str, str] | LinksOf,
) -> EffectOutcome | Pending:
    """Send the messages of an effect, or say what became of them when they were sent before.

    `links` are what the templates see, with `unsubscribe` for the header where it is not `preferences`: the
    same for everybody, or made for each.
    """
    effect = _Effect(db, transport, request, post, links if callable(links) else lambda _: links)
    rounds = 0
    while rounds < ROUNDS * effect.size:
        # A decision to send again, or another attempt's step in between, brings it round once more.
        if (outcome := await effect.round()) is not None:
            return outcome
        rounds += 1
    return Pending("the message is being changed by others", SOON)


class _Rebooked(Exception):
    """The customer chose another date while the invitation was being written: it is written anew."""


@dataclass(slots=True)
class _Known:
    """What the store says before anything is done. The last three: only where somebody is to be written to."""

    rows: Sequence[ledger.Message] = ()
    frozen: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    profile: Profile | None = None
    people: Mapping[str, owners.Person] = field(default_factory=dict)
    booking: bookings.Booking | None = None


@dataclass(slots=True)
class _Effect:
    """One effect's messages. Each round begins with what the ledger says, and forgets what it had."""

    db: Database
    transport: Transport
    request: EffectRequest
    post: Post
    links: LinksOf
    size: int = 1
    _began: datetime | None = None
    _known: _Known = field(default_factory=_Known)
    _drafts: dict[str, Draft] = field(default_factory=dict)
    _keys: Sequence[str] = ()
    _parts: dict[str, Settled] = field(default_factory=dict)
    _outcome: EffectOutcome | None = None
    _invitation: Invitation | None = None
    _went: bool = False
    _laid: bool = False
    _kept: bool = False

    async def round(self) -> EffectOutcome | Pending | None:
        """Go on with every message that is not settled. None: look at the ledger again."""
        self._outcome, self._laid, self._kept = None, False, False
        self._known = known = await self._look()
        try:
            self._draft()
        except TemplateError as error:
            # Nothing has gone out to anybody, and nothing will before the template is mended.
            self._keys, self._parts = [self.request.key], {self.request.key: Settled("failed", str(error))}
        rows = {row.key: row for row in known.rows}
        attempt = Attempt(self.db, self.transport, self.post, self, self.request.clock.speed)
        pending: list[Pending] = []
        # Those that can go out do so before anybody is looked for: a log that is slow holds up nobody else.
        for key in sorted(self._keys, key=lambda one: one not in self._drafts):
            if key in self._parts:
                continue
            draft = self._drafts.get(key)
            if self._went and not self._time_left():
                if draft is not None or not pending:
                    pending.append(Pending("the others are next", SOON))
                break
            self._went = True
            try:
                found = await (attempt.find_out(rows[key]) if draft is None else attempt.begin(draft))
            except (_Rebooked, ledger.NotPrepared):
                # Not prepared any more: another attempt found that the effect is for somebody else by now.
                return None
            if found is not None:
                pending.append(found)
            elif key not in self._parts:
                return None
        if pending:
            return min(pending, key=lambda one: one.retry_in)
        if self._outcome is None:
            async with self.db.writing() as tx:
                await self._conclude(tx)
        return self._outcome

    # ---- what an attempt tells ----

    async def lay_out(self, tx: Writing, draft: Draft) -> bool:
        """Have a row for every message of the effect, before the first of them is begun."""
        if draft.again or self._laid:
            return True
        now, known = self.post.now(), self._known.rows
        if any(row.begun for row in known):
            await ledger.prepare(tx, draft.new, now)
            return True
        # The first row is locked by this: whoever lays out the same effect waits here.
        first, *others = self._drafts.values()
        await ledger.prepare(tx, first.new, now)
        if others or len(known) > 1:
            rows = await ledger.of_effect(tx, self.request.key)
            if any(row.begun for row in rows):
                return False
            if gone := [row.key for row in rows if row.key not in self._drafts]:
                await ledger.forget(tx, gone)
            for other in others:
                await ledger.prepare(tx, other.new, now)
        self._laid = True
        return True

    async def going_out(self, tx: Writing, draft: Draft) -> None:
        """Write the date down with the frozen body that names it: before anybody can read and change it."""
        invited = self._invitation
        if draft.again or self._kept or invited is None or invited.booking is None:
            return
        if not await bookings.keep(tx, invited.before, invited.booking):
            raise _Rebooked
        self._kept = True

    async def settle(self, tx: Writing, key: str, part: Settled) -> None:
        """What became of a message; with the last of them, the records are written."""
        self._parts[key] = part
        if all(key in self._parts for key in self._keys):
            await self._conclude(tx)

    # ---- what is there ----

    async def _look(self) -> _Known:
        request = self.request
        self._began = self._began or self.post.now()
        async with self.db.reading() as tx:
            rows = await ledger.of_effect(tx, request.key)
            frozen = {}
            for row in rows:
                if row.state == "prepared" and row.sends and (body := await ledger.frozen_body(tx, row.key)):
                    frozen[row.key] = body
            if rows and all(row.begun for row in rows):
                return _Known(rows, frozen)
            return _Known(
                rows,
                frozen,
                await profiles.get(tx, request.subject),
                await owners.of(tx, request.subject, request.enrolment) if request.facts.owners else {},
                await self._booking(tx),
            )

    async def _booking(self, tx: Reading) -> bookings.Booking | None:
        """The date that the customer is booked for already, where the step invites to one."""
        request = self.request
        if request.params.get("session") is None:
            return None
        return await bookings.get(tx, request.subject, request.enrolment, request.step)

    def _draft(self) -> None:
        """Say what is settled, and write the messages that are to be begun. Raises `TemplateError` if none
        was begun before."""
        known, params = self._known, self.request.params
        begun = any(row.begun for row in known.rows)
        people = addressees_of(known.profile, params.get("to") or (), params.get("cc") or ())
        places = places_of(self.request.key, known.rows, people)
        rows = {row.key: row for row in known.rows}
        self._keys, self.size = [place.key for place in places], len(places)
        self._drafts, self._parts = {}, {}
        for place in places:
            row = rows.get(place.key)
            if row is not None and row.begun:
                if (part := outcomes.settled(row)) is not None:
                    self._parts[row.key] = part
                elif row.state == "prepared" and row.not_before(self.post.now()) is None:
                    self._draft_again(row)
                continue
            try:
                self._drafts[place.key] = self._drafted(place)
            except TemplateError as error:
                if not begun:
                    raise
                self._parts[place.key] = Settled("failed", str(error))

    def _drafted(self, place: Place) -> Draft:
        """The message for somebody, as the profile and the template have it now."""
        who, profile = place.addressee, self._known.profile
        address = who.address
        question = self._question(place.key, who.email, valid=address is not None)
        new = self._row(place.key, place.number, question)
        if profile is None or address is None:
            return Draft(new, question, None)
        applied = self._safe(self._message(place.key, profile, who))
        if isinstance(applied, str):
            return Draft(new, question, None, refused=applied)
        return Draft(new, question, applied)

    def _draft_again(self, row: ledger.Message) -> None:
        """A message that was begun before: to whom and as it was frozen then, whatever the profile says."""
        message = Message.thawed(self._known.frozen[row.key])
        if self._safe(message) != message:
            # Frozen when other rules held: it must not go out as it is, nor be changed after it was frozen.
            self._parts[row.key] = Settled("failed", outcomes.told(row, RULES_CHANGED))
            return
        question = self._question(row.key, row.recipient)
        new = self._row(row.key, row.place or 0, question)
        self._drafts[row.key] = Draft(new, question, message, again=True)

    def _safe(self, message: Message) -> Message | str:
        return self.post.safety.applied(
            message, speed=self.request.clock.speed, reaches_people=self.transport.reaches_people
        )

    def _question(self, key: str, address: str | None, *, valid: bool = True) -> gate.Question:
        request, of_class = self.request, message_class(self.request)
        closes = request.not_after
        return gate.Question(
            subject=request.subject,
            segment=request.segment,
            template=template_of(request),
            message_class=of_class,
            address=address,
            valid=valid,
            not_after=None if closes is None else to_datetime(request.clock.real(closes)),
            topic=topic_of(request.kind, of_class),
            key=key,
        )

    def _row(self, key: str, place: int, question: gate.Question) -> ledger.NewMessage:
        request = self.request
        return ledger.NewMessage(
            key=key,
            subject=request.subject,
            enrolment=request.enrolment,
            segment=request.segment,
            step=request.step,
            purpose=request.purpose,
            template=question.template,
            message_class=question.message_class,
            recipient=question.address,
            effect=request.key,
            place=place,
            topic=question.topic,
        )

    def _message(self, key: str, profile: Profile, who: Addressee) -> Message:
        known, now = self._known, self.post.now()
        sessions = self.post.letterhead.templates.sessions
        self._invitation = invitation_of(self.request, sessions, known.booking, now)
        return compose(
            self.post.letterhead,
            self.request,
            profile,
            who,
            key=key,
            links=self.links(who.key),
            owners={role: Owner(person.name, person.email) for role, person in known.people.items()},
            now=now,
            invitation=self._invitation,
        )

    # ---- what becomes of it ----

    def _time_left(self) -> bool:
        """Whether one more call to the provider has room in this attempt."""
        assert self._began is not None
        spent = self.post.now() - self._began
        return spent <= self.post.start_to_close - self.post.limit

    async def _conclude(self, tx: Writing) -> None:
        """The effect's outcome, with the records that ride on it, in the transaction that records it."""
        request, clock, now = self.request, self.request.clock, self.post.now()
        whole = outcomes.together([self._parts[key] for key in self._keys])
        # Not before the effect was started, whatever this machine's clock or the provider's says. When it was
        # accepted is the same however often it is asked for.
        at = max(request.at, clock.journey(from_datetime(whole.accepted_at or now)))
        until = None if whole.until is None else clock.journey(from_datetime(whole.until))
        riding, done = request.records, whole.outcome == "done"
        if done and whole.reason and riding.success is not None:
            riding = replace(riding, success=replace(riding.success, reason=whole.reason))
        await records.write(tx, riding, now, succeeded=done, outcome_at=at if done else None)
        self._outcome = EffectOutcome(whole.outcome, at, reason=whole.reason, until=until)


__all__ = ["Pending", "Post", "send_once"]
