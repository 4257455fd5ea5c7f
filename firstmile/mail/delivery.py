"""What became of a message, in our own words, whoever the provider is: events, and what each one means. Pure.

An event is what a provider tells; a fate is what the ledger keeps of it. Nothing here is personal data: an
event is told of a message by its key, and the address is the ledger's business.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import unquote

from firstmile.store.ledger import Fate
from firstmile.store.suppressions import Reason

KEY_NAME: Final = "fm_key"
"""Our key among a message's custom arguments; the prefix keeps it clear of providers' reserved names."""

EventName = Literal[
    "processed",
    "deferred",
    "delivered",
    "bounced",
    "blocked",
    "dropped",
    "complained",
    "unsubscribed",
    "resubscribed",
    "opened",
    "clicked",
    "unknown",
]
"""`bounced`: the address is dead. `blocked`: refused this once. `dropped`: the provider did not even try."""


@dataclass(slots=True, frozen=True)
class Meaning:
    """What follows from an event.

    `suppresses`: why the address must not be written to any more. `told`: the event's name for journeys.
    `lost`: the message did not arrive, and will not.
    """

    fate: Fate | None = None
    suppresses: Reason | None = None
    told: str | None = None
    lost: bool = False


MEANINGS: Final[Mapping[EventName, Meaning]] = {
    "processed": Meaning("processed"),
    "deferred": Meaning("deferred"),
    "delivered": Meaning("delivered", told="message.delivered"),
    "bounced": Meaning("bounced", "bounced", "message.bounced", lost=True),
    "blocked": Meaning("bounced", told="message.bounced", lost=True),
    "dropped": Meaning("dropped", told="message.dropped", lost=True),
    "complained": Meaning("complained", "complained", "message.complained"),
    "unsubscribed": Meaning(suppresses="unsubscribed", told="message.unsubscribed"),
    "resubscribed": Meaning(),
    "opened": Meaning(told="message.opened"),
    "clicked": Meaning(told="message.clicked"),
    "unknown": Meaning(),
}


@dataclass(slots=True, frozen=True)
class Told:
    """One event that a provider told. `id` is the provider's own, or made from what it says.

    `key` is the message's, None if the event carries none. `dropped_for`: why a provider that dropped a
    message no longer writes to the address. `link` is what was clicked, without what identifies anybody.
    `detail` is what is worth keeping.
    """

    id: str
    event: EventName
    at: datetime
    key: str | None = None
    reason: str | None = None
    provider_id: str | None = None
    dropped_for: Reason | None = None
    link: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def meaning(self) -> Meaning:
        """What follows from it."""
        return MEANINGS[self.event]

    @property
    def suppresses(self) -> Reason | None:
        """Why its address must not be written to any more, if it must not."""
        return self.dropped_for or self.meaning.suppresses

    @property
    def journey_id(self) -> str:
        """The same however often it is told, even where the provider gives it another id each time."""
        parts = (self.key, self.event, int(self.at.timestamp()), self.link)
        return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:40]


LONGEST: Final = 500
"""Characters that are kept of what a mail server said."""

_ADDRESS = re.compile(r"""[^\s<>"'(),;:\[\]/=&?]+(?:@|%40)[^\s<>"'(),;:\[\]/=&?]+""", re.IGNORECASE)
_UNKEPT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_QUERY = re.compile(r"(https?://[^\s?#]*)[?#]\S*")


def scrubbed(text: str, address: str | None = None) -> str:
    """What a mail server said, without addresses: neither `address`, however it is written, nor any other.

    Servers quote the recipient whole, as a bare mailbox name, or folded into a return path (`ann=host`).
    """
    text = _QUERY.sub(r"\1", _UNKEPT.sub(" ", text))
    if address is not None and "@" in address:
        mailbox, _, host = address.strip().rpartition("@")
        known = [re.escape(address.strip()), rf"{re.escape(mailbox)}={re.escape(host)}"]
        if len(mailbox) > 1:
            known.append(rf"(?<![\w.+-]){re.escape(mailbox)}(?![\w+-])")
        text = re.sub("|".join(known), "…", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("…", text)
    return " ".join(text.split())[:LONGEST]


def scrubbed_path(path: str) -> str:
    """The path of a link without addresses in it."""
    return _ADDRESS.sub("…", _UNKEPT.sub(" ", unquote(path)))[:LONGEST]
