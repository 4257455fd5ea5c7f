"""What became of messages, as mail providers tell: a request's events, taken in one transaction.

Events come late, twice and in any order, and every effect of one is such that this makes no difference: the
ledger's fate, the address's suppression, a task, a number. Whose address it is the ledger says, never the
event: events of messages that it does not know are kept, and change nothing. What a journey listens to is
parked in the same transaction and signalled afterwards, so that nothing is lost while Temporal is away.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from firstmile.bodies import NotJson
from firstmile.errors import (
    BatchRefused,
    FirstmileError,
    SignatureRefused,
    StoreAway,
    WebhookClosed,
)
from firstmile.journey.instants import from_datetime
from firstmile.links import is_signed_link
from firstmile.mail import sendgrid_events
from firstmile.mail.delivery import Told
from firstmile.mail.sendgrid_events import Signatures
from firstmile.service.events import Events, ProductEvent
from firstmile.service.premises import Premises
from firstmile.settings import variable
from firstmile.store import (
    choices,
    delivery_events,
    enrolments,
    ledger,
    owners,
    parked,
    profiles,
    suppressions,
    tasks,
)
from firstmile.store.choices import Choice
from firstmile.store.database import Writing
from firstmile.store.delivery_events import DeliveryEvent
from firstmile.store.ledger import Message, NewFate
from firstmile.store.profiles import address_key
from firstmile.store.tasks import NewTask

SENDGRID: Final = "sendgrid"
AT_ONCE: Final = 16
"""Signals under way at one time."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was taken: how many events it had, and how many of them were new.

    `waiting` is for journeys that listen; `Deliveries.tell` hands it over, and the sweep does if nobody else.
    """

    events: int
    fresh: int
    waiting: Sequence[ProductEvent] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Of:
    """An event, and the message of ours that it is about."""

    told: Told
    message: Message


class Deliveries:
    """The part of the service that mail providers' webhooks talk to."""

    def __init__(self, premises: Premises, events: Events) -> None:
        self._premises = premises
        self._events = events
        settings = premises.settings
        self._signatures = Signatures(settings.sendgrid_webhook_keys, settings.webhook_tolerance)

    async def sendgrid(self, raw: bytes, signature: str | None, timestamp: str | None) -> Taken:
        """Take the events of one request of SendGrid's Event Webhook, all or none.

        Raises `SignatureRefused`, `NotJson`, `BatchRefused`, or `WebhookClosed` while no key is set; and
        `StoreAway`, upon which SendGrid sends them again.
        """
        now = self._premises.now()
        try:
            if not self._premises.settings.sendgrid_webhook_keys:
                raise WebhookClosed(
                    f"{variable('sendgrid_webhook_keys')} is not set: copy the verification key that SendGrid "
                    "shows for the webhook"
                )
            self._signatures.verify(raw, signature, timestamp, now)
            told = await asyncio.to_thread(sendgrid_events.read, raw, now, self._is_signed_link)
        except (WebhookClosed, SignatureRefused, NotJson, BatchRefused) as error:
            self.refused(SENDGRID, _OUTCOMES[type(error)])
            raise
        return await self._take(SENDGRID, told, now)

    def refused(self, provider: str, outcome: str) -> None:
        """Count a request that was not taken."""
        self._premises.count("webhook_requests_total", {"provider": provider, "outcome": outcome})

    async def tell(self, waiting: Sequence[ProductEvent]) -> None:
        """Hand over to journeys what was parked for them; what cannot be handed over waits for the sweep."""
        of_subject: dict[str, list[ProductEvent]] = defaultdict(list)
        for event in waiting:
            of_subject[event.subject].append(event)
        slots, away = asyncio.Semaphore(AT_ONCE), asyncio.Event()

        async def hand_over(events: Sequence[ProductEvent]) -> list[str]:
            done: list[str] = []
            async with slots:
                for event in events:
                    if away.is_set():
                        break
                    try:
                        await self._events.signal(event)
                    except FirstmileError as error:
                        away.set()
                        _logger.warning("events of messages wait for the sweep: %s", error)
                        break
                    done.append(event.id)
            return done

        handed_over = await asyncio.gather(*(hand_over(events) for events in of_subject.values()))
        if not any(handed_over):
            return
        try:
            async with self._premises.writing() as tx:
                for subject, ids in sorted(zip(of_subject, handed_over, strict=True)):
                    await parked.delivered(tx, subject, ids)
        except StoreAway as error:
            # The sweep hands them over once more, which the journey sees by their ids.
            _logger.warning("events of messages were handed over and are still parked: %s", error)

    # One transaction

    async def _take(self, provider: str, told: Sequence[Told], now: datetime) -> Taken:
        by_id = {one.id: one for one in told}
        rows = [
            DeliveryEvent(one.id, one.key, one.event, one.at, now, dict(one.detail)) for one in by_id.values()
        ]
        async with self._premises.writing() as tx:
            fresh = [by_id[row.id] for row in await delivery_events.keep(tx, rows)]
            known = await ledger.locked(tx, (one.key for one in fresh if one.key is not None))
            ours = [_Of(one, known[one.key]) for one in fresh if one.key in known]
            await ledger.record_fates(tx, known, _fates(ours), now)
            if self._premises.settings.mail_redirect_to is None:
                # Elsewhere, whoever got the message is not who the ledger says.
                await self._choices(tx, ours)
                await suppressions.add_all(tx, _suppressed(ours), now)
            await self._open_tasks(tx, ours, now)
            waiting = await self._park(tx, ours, now)
            for event, number in Counter(
                one.event if one.key in known else "unknown" for one in fresh
            ).items():
                tx.tallies.count("message_events_total", {"event": event}, number)
            tx.tallies.count("webhook_requests_total", {"provider": provider, "outcome": "taken"})
        return Taken(len(told), len(fresh), waiting)

    async def _choices(self, tx: Writing, ours: Sequence[_Of]) -> None:
        """Unsubscriptions and what takes them back: whichever the recipient chose last holds, here or
        there."""
        concerned: dict[tuple[str, str], list[_Of]] = defaultdict(list)
        for one in ours:
            if _said(one.told) is not None and one.message.recipient is not None:
                concerned[one.message.subject, one.message.recipient].append(one)
        # Two requests about one address, or a page: the later reads what the earlier wrote.
        await choices.alone(tx, {address_key(recipient) for _, recipient in concerned})
        for (subject, recipient), chosen in sorted(concerned.items()):
            key = address_key(recipient)
            profile = await profiles.locked(tx, subject)
            for one in chosen:
                said = _said(one.told) or ""
                await choices.record(tx, key, Choice(said, choices.PROVIDER, one.told.at, subject))
            history = await choices.of(tx, key)
            primary = profile is not None and profile.email is not None and address_key(profile.email) == key
            if profile is not None and primary and not choices.wants_offers(history):
                consent = replace(profile.consent, marketing=False)
                if consent != profile.consent:
                    await profiles.agree(tx, subject, consent, self._premises.now())
            if choices.stopped(history):
                await suppressions.add(tx, recipient, "unsubscribed", self._premises.now())
            else:
                await suppressions.lift(tx, recipient, "unsubscribed")

    async def _open_tasks(self, tx: Writing, ours: Sequence[_Of], now: datetime) -> None:
        """Somebody is to see that what the account makes necessary did not arrive."""
        lost = {
            one.message.key: one.message
            for one in ours
            if one.told.meaning.lost and one.message.message_class == "transactional"
        }
        if not lost:
            return
        owned_by = await owners.first_of(tx, [message.subject for message in lost.values()])
        await tasks.open_all(
            tx,
            [
                NewTask(
                    key=hashlib.sha256(f"undelivered\x1f{key}".encode()).hexdigest(),
                    subject=message.subject,
                    enrolment=message.enrolment,
                    step=f"{message.step}{tasks.UNDELIVERED}",
                    title=f"A necessary message could not be delivered: {message.template}",
                    owner=owned_by.get((message.subject, message.enrolment)),
                )
                for key, message in lost.items()
            ],
            now,
        )

    async def _park(self, tx: Writing, ours: Sequence[_Of], now: datetime) -> list[ProductEvent]:
        """Park what journeys listen to. An earlier enrolment's message says nothing to a later journey."""
        tellable = [one for one in ours if one.told.meaning.told is not None]
        if not tellable:
            return []
        rows = await enrolments.latest_of(tx, [one.message.subject for one in tellable])
        waiting: dict[str, ProductEvent] = {}
        for one in tellable:
            row = rows.get(one.message.subject)
            if row is None or row.number != one.message.enrolment:
                continue
            route = await self._premises.shelf.route(tx, row.segment, row.version)
            if route is not None and one.told.meaning.told in route.listens:
                event = _product_event(one, now)
                waiting[event.id] = event
        await parked.park_all(
            tx,
            [
                parked.ParkedEvent(event.id, event.subject, event.event, event.at, event.properties, now)
                for event in waiting.values()
            ],
        )
        return list(waiting.values())

    def _is_signed_link(self, url: str) -> bool:
        return is_signed_link(url, self._premises.settings.public_url)


_OUTCOMES: Final[Mapping[type[Exception], str]] = {
    WebhookClosed: "closed",
    SignatureRefused: "refused",
    NotJson: "malformed",
    BatchRefused: "malformed",
}


def _fates(ours: Iterable[_Of]) -> list[NewFate]:
    return [
        NewFate(one.message.key, fate, one.told.at, one.told.reason, one.told.provider_id)
        for one in ours
        if (fate := one.told.meaning.fate) is not None
    ]


def _said(told: Told) -> str | None:
    """What an event says of the recipient's own choice."""
    if told.suppresses == "unsubscribed":
        return "stop"
    return "start" if told.event == "resubscribed" else None


def _suppressed(ours: Iterable[_Of]) -> list[tuple[str, suppressions.Reason]]:
    """Addresses that must not be written to any more; unsubscriptions, which can be taken back, apart."""
    return [
        (one.message.recipient, reason)
        for one in ours
        if one.message.recipient is not None
        and (reason := one.told.suppresses) is not None
        and reason != "unsubscribed"
    ]


def _product_event(one: _Of, now: datetime) -> ProductEvent:
    told, message = one.told, one.message
    properties: dict[str, Any] = {
        "step": message.step,
        "template": message.template,
        "class": message.message_class,
        "purpose": message.purpose,
        "enrolment": message.enrolment,
    }
    more = _MORE.get(told.event)
    properties |= {} if more is None else more(told)
    return ProductEvent(
        subject=message.subject,
        event=told.meaning.told or "",
        id=told.journey_id,
        # A provider's clock that is fast must not make it come from the future.
        at=from_datetime(min(told.at, now)),
        properties=properties,
    )


_MORE: Final[Mapping[str, Callable[[Told], dict[str, Any]]]] = {
    "bounced": lambda _: {"hard": True},
    "blocked": lambda _: {"hard": False},
    "opened": lambda told: {"machine": bool(told.detail.get("machine"))},
    "clicked": lambda told: {} if told.link is None else {"link": told.link.partition("/")[2]},
    "unsubscribed": lambda _: {"topic": "all"},
}
"""What single events say beyond the message that they are about."""
