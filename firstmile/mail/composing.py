"""From an effect's request to a message: whose words, to whom, with which headers and files."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from firstmile.contracts import EffectRequest
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.mail.calendar_file import Session, invitation
from firstmile.mail.context import Owner, context_from
from firstmile.mail.errors import TemplateError
from firstmile.mail.message import Address, Attachment, Message
from firstmile.mail.recipients import Recipients
from firstmile.mail.templates import Templates
from firstmile.store.profiles import Profile
from firstmile.store.suppressions import MessageClass


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What all messages have in common. `reply_to` defaults to the brand's."""

    templates: Templates
    sender: Address
    reply_to: Address | None = None
    track_clicks: bool = False

    @property
    def answers_to(self) -> Address | None:
        """Where answers go."""
        brand = self.templates.brand.get("reply_to")
        return self.reply_to or (Address(brand, self.sender.name) if brand else None)


def message_class(request: EffectRequest) -> MessageClass:
    """The class of a step's messages: an email says so itself, all other kinds are lifecycle."""
    return cast(MessageClass, request.params.get("class") or "lifecycle")


def template_of(request: EffectRequest) -> str:
    """The template of a step's messages; empty where it has none."""
    return str(request.params.get("template") or "")


def compose(
    letterhead: Letterhead,
    request: EffectRequest,
    profile: Profile,
    recipients: Recipients,
    *,
    links: Mapping[str, str],
    owners: Mapping[str, Owner],
    now: datetime,
) -> Message:
    """The message of an effect. Raises `TemplateError`."""
    templates, template = letterhead.templates, template_of(request)
    session, starts = _session(templates, request, now)
    context = context_from(
        request, profile, links=links, brand=templates.brand, owners=owners, session=session, starts=starts
    )
    words = templates.render(template, context)
    files: tuple[Attachment, ...] = ()
    if session is not None and starts is not None:
        file = invitation(
            request.key,
            session,
            starts,
            organizer=letterhead.answers_to or letterhead.sender,
            attendees=recipients.to + recipients.cc,
            stamp=now,
        )
        files = (file,)
    return Message(
        key=request.key,
        sender=letterhead.sender,
        reply_to=letterhead.answers_to,
        to=recipients.to,
        cc=recipients.cc,
        subject=words.subject,
        html=words.html,
        text=words.text,
        headers=_headers(request, links),
        attachments=files,
        categories=(message_class(request), f"segment-{request.segment}", f"template-{template}"),
        notes=(
            ("fm_subject", request.subject),
            ("fm_enrolment", str(request.enrolment)),
            ("fm_step", request.step),
        ),
        # A provider's redirection in a signed link is one more party that opens it.
        track_clicks=letterhead.track_clicks and not _shows(words.html, links),
    )


def _session(
    templates: Templates, request: EffectRequest, now: datetime
) -> tuple[Session | None, datetime | None]:
    """The session that a training invites to, and when: the next one in journey time."""
    name: Any = request.params.get("session")
    if name is None:
        return None, None
    session = templates.sessions.get(name)
    if session is None:
        raise TemplateError(
            template_of(request), f"there is no session '{name}'", file="_layout/sessions.json"
        )
    return session, session.next_after(to_datetime(request.clock.journey(from_datetime(now))))


def _headers(request: EffectRequest, links: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """One-click unsubscription for what people can opt out of (RFC 2369, RFC 8058)."""
    link = links.get("unsubscribe") or links.get("preferences")
    if message_class(request) == "transactional" or link is None:
        return ()
    return (("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))


def _shows(page: str, links: Mapping[str, str]) -> bool:
    return any(html.escape(link) in page for name, link in links.items() if name != "app")
