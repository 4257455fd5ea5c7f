"""From an effect's request to a message: whose words, to whom, with which headers and files."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from firstmile.contracts import EffectRequest
from firstmile.mail.context import Owner, context_from
from firstmile.mail.inviting import Invitation
from firstmile.mail.message import Address, Attachment, Message
from firstmile.mail.message_settings import MessageSettings
from firstmile.mail.recipients import Addressee, address_of
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
    who: Addressee,
    *,
    key: str,
    links: Mapping[str, str],
    owners: Mapping[str, Owner],
    now: datetime,
    invitation: Invitation | None = None,
) -> Message:
    """The message of an effect to one person, who has an address. Raises `TemplateError`."""
    templates, template = letterhead.templates, template_of(request)
    address = who.address
    assert address is not None
    session = None if invitation is None else invitation.values(links)
    context = context_from(
        request,
        profile,
        recipient=who,
        links=links,
        brand=templates.brand,
        owners=owners,
        session=session,
    )
    words = templates.render(template, context)
    sender, reply_to = _from(letterhead, templates.settings(template), owners)
    files: tuple[Attachment, ...] = ()
    if invitation is not None:
        entry = invitation.calendar_entry(
            language=words.language,
            organizer=letterhead.answers_to or letterhead.sender,
            attendees=(address,),
            page=links.get("training"),
            stamp=now,
        )
        files = () if entry is None else (entry.attachment(),)
    return Message(
        key=key,
        sender=sender,
        reply_to=reply_to,
        to=(address,),
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


def _from(
    letterhead: Letterhead, settings: MessageSettings, owners: Mapping[str, Owner]
) -> tuple[Address, Address | None]:
    """Who a message is from, and who gets the answers: the customer's owner where the template wants that.

    An address that is not of the sender's domain must not stand in From: receivers check that the domain
    there is the one that signs (DMARC, RFC 7489 §3.1). Then the owner is named there, and gets the answers.
    """
    sender, reply_to = letterhead.sender, letterhead.answers_to
    if (owner := owners.get(settings.sender or "")) is not None:
        theirs = address_of(owner.email, owner.name)
        if theirs is not None and _domain(theirs) == _domain(sender):
            sender = theirs
        else:
            sender = Address(sender.email, ", ".join(name for name in (owner.name, sender.name) if name))
        reply_to = theirs or reply_to
    if (owner := owners.get(settings.reply_to or "")) is not None:
        reply_to = address_of(owner.email, owner.name) or reply_to
    return sender, reply_to


def _domain(address: Address) -> str:
    return address.email.rpartition("@")[2].casefold()


def _headers(request: EffectRequest, links: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """One-click unsubscription for what people can opt out of (RFC 2369, RFC 8058)."""
    link = links.get("unsubscribe") or links.get("preferences")
    if message_class(request) == "transactional" or link is None:
        return ()
    return (("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))


def _shows(page: str, links: Mapping[str, str]) -> bool:
    return any(html.escape(link) in page for name, link in links.items() if name != "app")
