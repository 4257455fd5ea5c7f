"""Messages to customers: e-mails, invitations to trainings, surveys and check-ins, and their reminders.

What is said once is said by `firstmile.mail.sending`; here are the names that Temporal knows it by, and what
Temporal is told when a message is not decided yet: ask again then. Nothing is done twice by asking.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities import signatures
from activities.tasks import open_for, open_next
from activities.tools import Tools, conclude, earlier, journey_time, now
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.links import Links
from firstmile.mail.sending import Pending, Post, send_once
from firstmile.mail.transport import Transport
from firstmile.store import tasks


@dataclass(slots=True, frozen=True)
class Mailroom:
    """What sending takes: the transport, how messages are sent here, and how links are made.

    Raises `ValueError` if a call to the provider may take longer than Temporal gives an activity.
    """

    transport: Transport
    post: Post
    links: Links
    app_url: str

    def __post_init__(self) -> None:
        self.post.check(self.transport)
        if self.post.start_to_close > signatures.START_TO_CLOSE:
            raise ValueError("an attempt at sending is given more time than Temporal gives an activity")


class SendMessages:
    """The activities of the kinds that write to customers."""

    def __init__(self, tools: Tools, mailroom: Mailroom) -> None:
        self._tools = tools
        self._mailroom = mailroom

    @activity.defn(name=signatures.EFFECTS["email"])
    async def send_email(self, request: EffectRequest) -> EffectOutcome:
        """Send one message."""
        return await self._send(request)

    @activity.defn(name=signatures.EFFECTS["training"])
    async def invite_to_training(self, request: EffectRequest) -> EffectOutcome:
        """Invite to a session, with a calendar file where it has a date."""
        return await self._send(request)

    @activity.defn(name=signatures.EFFECTS["survey"])
    async def send_survey(self, request: EffectRequest) -> EffectOutcome:
        """Ask for a score, or remind of it."""
        return await self._send(request)

    @activity.defn(name=signatures.EFFECTS["checkin"])
    async def send_checkin(self, request: EffectRequest) -> EffectOutcome:
        """Ask how it goes: by message, or by a task to call; open a task for who needs help."""
        if request.purpose == "help" or request.params.get("by") == "call":
            return await self._open_task(request)
        return await self._send(request)

    async def _send(self, request: EffectRequest) -> EffectOutcome:
        mailroom = self._mailroom
        occurrence = 1 if request.purpose == "remind" else request.occurrence

        def links(address: str | None) -> dict[str, str]:
            found = mailroom.links.of_step(
                request.subject, request.enrolment, request.kind, request.step, occurrence, address
            )
            return {**found, "app": mailroom.app_url}

        found = await send_once(self._tools.database, mailroom.transport, request, mailroom.post, links=links)
        if isinstance(found, Pending):
            raise ApplicationError(
                found.reason,
                type="Pending",
                next_retry_delay=found.retry_in,
                category=ApplicationErrorCategory.BENIGN,
            )
        return found

    async def _open_task(self, request: EffectRequest) -> EffectOutcome:
        """A task for whoever owns the customer; for everybody where nobody does."""
        real = now()
        async with self._tools.database.writing() as tx:
            known = await earlier(tx, request, real)
            if known is not None:
                return known
            done = await conclude(tx, request, EffectOutcome("done", journey_time(request, real)), real)
            owner = next(iter(request.facts.owners), None)
            if request.purpose == "help":
                # Under a name of its own: it outlives the step.
                step = f"{request.step}{tasks.HELP}"
                await open_for(tx, request, "The customer asks for help", owner, step=step)
            else:
                await open_next(tx, request, request.title or "Call the customer", owner)
            return done
