"""What a recipient wants to be sent: read and changed by the page and the button behind one signed link.

A link is for an address: the primary contact's current one, or the one whose key the link carries, even when
nothing else is known of it any more. Stopping is that address's alone; a colleague's messages go on. The
account's consent is the primary contact's to give, and for marketing to withdraw. Whatever changes here is in
the store when the call returns, and the gate reads it for every message that is not out yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from firstmile.errors import LinkRefused
from firstmile.links import Target
from firstmile.service.events import Events, ProductEvent
from firstmile.service.premises import Premises
from firstmile.store import choices, enrolments, opt_outs, parked, profiles, suppressions
from firstmile.store.choices import Choice
from firstmile.store.database import Reading, Writing
from firstmile.store.profiles import Consent, Profile, address_key
from firstmile.store.suppressions import TOPICS, Topic

UNSUBSCRIBED: Final = "message.unsubscribed"
"""What a journey that listens hears: `topic` (`all`, or one), `primary` (whose choice it was), `enrolment`."""

Standing = Literal["going", "stopped", "held", "account"]
_LIFECYCLE: Final[tuple[Topic, ...]] = tuple(topic for topic in TOPICS if topic != "offers")
_HELD: Final = frozenset({"complained", "manual"})


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a recipient has chosen.

    `address` is masked: links are forwarded. `role` is theirs at the customer: None for the primary contact,
    and empty for an address that is nobody's there any more. `offered` are the topics that are theirs to
    choose. `standing`: `stopped` by themselves; `held` after a complaint or by an operator, which only an
    operator lifts; `account`: the customer agreed to no such messages, and only its primary contact may.
    """

    target: Target
    address: str | None
    role: str | None
    standing: Standing
    wanted: frozenset[Topic]
    offered: tuple[Topic, ...]
    locale: str | None = None
    timezone: str | None = None
    company: str | None = None
    changed_at: datetime | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing is sent but what the account makes necessary."""
        return self.standing != "going"


@dataclass(frozen=True, slots=True)
class _Recipient:
    """Whom a link is for, as the store has it now. `key` is None for a customer without an address."""

    key: str | None
    address: str | None
    role: str | None
    profile: Profile | None
    reasons: frozenset[str]
    left: frozenset[Topic]
    changed_at: datetime | None

    @property
    def primary(self) -> bool:
        return self.role is None

    @property
    def consent(self) -> Consent:
        """The account's; as it is by default where no account is left, for what the address says of itself."""
        return Consent() if self.profile is None else self.profile.consent

    @property
    def offered(self) -> tuple[Topic, ...]:
        """What it makes sense to choose: a contact cannot agree for the account."""
        if self.primary:
            return TOPICS
        agreed = _LIFECYCLE if self.consent.lifecycle else ()
        return (*agreed, *(("offers",) if self.consent.marketing else ()))

    @property
    def would_get(self) -> frozenset[Topic]:
        """The topics that reach this address while it is not stopped as a whole."""
        agreed = set(_LIFECYCLE if self.consent.lifecycle else ())
        agreed |= {"offers"} if self.consent.marketing else set()
        return frozenset(agreed - self.left)

    @property
    def standing(self) -> Standing:
        if self.reasons & _HELD:
            return "held"
        if not self.offered:
            return "account"
        return "stopped" if "unsubscribed" in self.reasons or not self.would_get else "going"


class Preferring:
    """The part of the service that the preferences page and mail programs' unsubscribe buttons talk to."""

    def __init__(self, premises: Premises, events: Events) -> None:
        self._premises = premises
        self._events = events

    async def preferences(self, target: Target) -> Preferences:
        """What a recipient has chosen. Raises `LinkRefused` if nothing is kept of the customer any more."""
        async with self._premises.reading() as db:
            return _shown(target, await _recipient(db, target))

    async def stop(self, target: Target, *, by: str = choices.PAGE) -> Preferences:
        """Send this address nothing but what the account makes necessary, from now on."""
        async with self._premises.writing() as tx:
            recipient = await _alone(tx, target)
            told = await self._stopped(tx, target, recipient, by)
            shown = _shown(target, await _recipient(tx, target))
        await self._tell(told)
        return shown

    async def start(self, target: Target) -> Preferences:
        """Take a stop back: the topics are again as they were before it."""
        async with self._premises.writing() as tx:
            recipient = await _alone(tx, target)
            if recipient.standing == "stopped":
                await self._started(tx, target, recipient)
            return _shown(target, await _recipient(tx, target))

    async def choose(self, target: Target, wanted: Collection[Topic]) -> Preferences:
        """Send these topics and no others; none at all is `stop`."""
        told: list[ProductEvent] = []
        async with self._premises.writing() as tx:
            recipient = await _alone(tx, target)
            wanted = frozenset(wanted) & frozenset(recipient.offered)
            if recipient.standing in ("going", "stopped"):
                if wanted:
                    told = await self._chosen(tx, target, recipient, wanted)
                else:
                    told = await self._stopped(tx, target, recipient, choices.PAGE)
            shown = _shown(target, await _recipient(tx, target))
        await self._tell(told)
        return shown

    # Writing

    async def _stopped(
        self, tx: Writing, target: Target, recipient: _Recipient, by: str
    ) -> list[ProductEvent]:
        now, key = self._premises.now(), recipient.key
        if key is None:
            # No address could be suppressed: their word is kept for the one they may have some day.
            await profiles.agree(tx, target.subject, Consent(lifecycle=False), now)
            return []
        if recipient.primary and recipient.consent.marketing:
            await profiles.agree(tx, target.subject, replace(recipient.consent, marketing=False), now)
        if not await suppressions.add_key(tx, key, "unsubscribed", now, address=recipient.address):
            return []
        await choices.record(tx, key, Choice("stop", by, now, target.subject))
        return await self._unsubscribed(tx, target, recipient, ["all"], now)

    async def _started(self, tx: Writing, target: Target, recipient: _Recipient) -> None:
        now, key = self._premises.now(), recipient.key
        if recipient.primary and not recipient.consent.lifecycle:
            await profiles.agree(tx, target.subject, replace(recipient.consent, lifecycle=True), now)
        if key is None:
            return
        await suppressions.lift_key(tx, key, "unsubscribed")
        if not recipient.would_get and recipient.left.issuperset(_LIFECYCLE):
            await opt_outs.rejoin(tx, key, _LIFECYCLE)
        await choices.record(tx, key, Choice("start", choices.PAGE, now, target.subject))

    async def _chosen(
        self, tx: Writing, target: Target, recipient: _Recipient, wanted: frozenset[Topic]
    ) -> list[ProductEvent]:
        now, key = self._premises.now(), recipient.key
        if recipient.primary:
            lifecycle = recipient.consent.lifecycle or not wanted.isdisjoint(_LIFECYCLE)
            consent = Consent(lifecycle, marketing="offers" in wanted)
            if consent != recipient.consent:
                await profiles.agree(tx, target.subject, consent, now)
        if key is None:
            return []
        got = frozenset[Topic]() if "unsubscribed" in recipient.reasons else recipient.would_get
        await suppressions.lift_key(tx, key, "unsubscribed")
        unwanted = [topic for topic in recipient.offered if topic not in wanted]
        await opt_outs.leave(tx, key, unwanted, now, recipient.address)
        await opt_outs.rejoin(tx, key, wanted)
        said = [f"leave {topic}" for topic in unwanted if topic in got]
        said += [f"join {topic}" for topic in TOPICS if topic in wanted - got]
        for one in said:
            await choices.record(tx, key, Choice(one, choices.PAGE, now, target.subject))
        return await self._unsubscribed(tx, target, recipient, [one for one in unwanted if one in got], now)

    # Telling the journey

    async def _unsubscribed(
        self, tx: Writing, target: Target, recipient: _Recipient, topics: Iterable[str], now: datetime
    ) -> list[ProductEvent]:
        """What the customer's journey is to hear; parked first, so that it is not lost while Temporal is
        away."""
        row = await enrolments.latest(tx, target.subject)
        if row is None or row.number != target.enrolment:
            return []
        route = await self._premises.shelf.route(tx, row.segment, row.version)
        if route is None or UNSUBSCRIBED not in route.listens:
            return []
        told = []
        for topic in topics:
            identity = f"{recipient.key}\x1f{topic}\x1f{now.isoformat()}"
            event = ProductEvent(
                target.subject,
                UNSUBSCRIBED,
                hashlib.sha256(identity.encode()).hexdigest()[:40],
                None,
                {"topic": topic, "primary": recipient.primary, "enrolment": target.enrolment},
            )
            waiting = parked.ParkedEvent(event.id, event.subject, event.event, None, event.properties, now)
            await parked.park(tx, waiting)
            told.append(event)
        return told

    async def _tell(self, events: list[ProductEvent]) -> None:
        for event in events:
            await self._events.hand_over(event)


async def _alone(tx: Writing, target: Target) -> _Recipient:
    """As `_recipient`, and nobody else chooses for that address until the transaction ends."""
    found = await _recipient(tx, target)
    if found.key is None:
        return found
    await choices.alone(tx, [found.key])
    return await _recipient(tx, target)


async def _recipient(db: Reading, target: Target) -> _Recipient:
    """Raises `LinkRefused` for a primary contact of whom nothing is kept."""
    profile = await profiles.get(db, target.subject)
    key = target.address
    address: str | None = None
    role: str | None = ""
    if key is None:
        if profile is None:
            raise LinkRefused("we keep nothing about you any more")
        address, role = profile.email, None
        key = None if address is None else address_key(address)
    elif profile is not None:
        address, role = _at_the_customer(profile, key)
    reasons = [] if key is None else await suppressions.of_key(db, key)
    return _Recipient(
        key=key,
        address=address,
        role=role,
        profile=profile,
        reasons=frozenset(one.reason for one in reasons),
        left=frozenset() if key is None else frozenset(await opt_outs.of(db, key)),
        changed_at=None if key is None else await choices.last(db, key),
    )


def _at_the_customer(profile: Profile, key: str) -> tuple[str | None, str | None]:
    """The address with this key and its role: None for the primary contact's, empty where it is nobody's."""
    if profile.email is not None and address_key(profile.email) == key:
        return profile.email, None
    for contact in profile.contacts:
        if address_key(contact.email) == key:
            return contact.email, contact.role
    return None, ""


def _shown(target: Target, recipient: _Recipient) -> Preferences:
    profile = recipient.profile
    return Preferences(
        target=target,
        address=None if recipient.address is None else masked(recipient.address),
        role=recipient.role,
        standing=recipient.standing,
        wanted=recipient.would_get if recipient.standing == "going" else frozenset(),
        offered=recipient.offered,
        locale=None if profile is None else profile.locale,
        timezone=None if profile is None else profile.timezone,
        company=None if profile is None else profile.company,
        changed_at=recipient.changed_at,
    )


def masked(address: str) -> str:
    """An address as its owner knows it again and nobody else learns it: `j…@w….example`."""
    name, _, domain = address.strip().rpartition("@")
    host, _, top = domain.rpartition(".")
    return f"{name[:1]}…@{host[:1]}….{top}" if host else f"{name[:1]}…@{domain[:1]}…"
