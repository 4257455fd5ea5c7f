"""A message as it goes out, and as it is kept: frozen, with no line break where a header could be smuggled
in.

Names and subjects are cleaned (what customers typed must not fail their message); addresses and headers
with a control character are refused. Nothing here shows an address in its `repr`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Self

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+")


def one_line(text: str) -> str:
    """The text on one line: every run of white space and control characters becomes one space."""
    return " ".join(_CONTROL.sub(" ", text).split())


@dataclass(frozen=True, slots=True)
class Address:
    """Who a message goes to or comes from."""

    email: str = field(repr=False)
    name: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.email):
            raise ValueError("not an address of the form name@host")
        if self.name is not None:
            object.__setattr__(self, "name", one_line(self.name) or None)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along."""

    name: str
    type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one person. `key` is its own in the ledger.

    More than one in `to`, and `cc`, are in messages that earlier versions have frozen.
    """

    key: str
    sender: Address
    to: tuple[Address, ...]
    subject: str = field(repr=False)
    html: str = field(repr=False)
    text: str = field(repr=False)
    cc: tuple[Address, ...] = ()
    reply_to: Address | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    attachments: tuple[Attachment, ...] = ()
    categories: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    """What comes back with the provider's events, next to the key: never personal data."""
    track_clicks: bool = False

    def __post_init__(self) -> None:
        if not self.to:
            raise ValueError("a message needs a recipient")
        if _CONTROL.search(self.subject):
            raise ValueError("the subject contains a control character")
        for name, value in self.headers:
            if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
                raise ValueError("a header contains a control character or has no proper name")

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everyone it reaches, each address once, the first place winning."""
        return tuple({address.email.casefold(): address for address in reversed(self.to + self.cc)}.values())[
            ::-1
        ]

    def frozen(self) -> dict[str, Any]:
        """As JSON, for the ledger: what is sent again is this, not a new rendering."""
        return {
            "key": self.key,
            "sender": _written(self.sender),
            "to": [_written(address) for address in self.to],
            "cc": [_written(address) for address in self.cc],
            "reply_to": _written(self.reply_to) if self.reply_to else None,
            "subject": self.subject,
            "html": self.html,
            "text": self.text,
            "headers": [list(header) for header in self.headers],
            "attachments": [
                {"name": item.name, "type": item.type, "content": base64.b64encode(item.content).decode()}
                for item in self.attachments
            ],
            "categories": list(self.categories),
            "notes": [list(note) for note in self.notes],
            "track_clicks": self.track_clicks,
        }

    @classmethod
    def thawed(cls, body: dict[str, Any]) -> Self:
        """The message that `frozen` wrote."""
        return cls(
            key=body["key"],
            sender=Address(*body["sender"]),
            to=tuple(Address(*address) for address in body["to"]),
            cc=tuple(Address(*address) for address in body["cc"]),
            reply_to=Address(*body["reply_to"]) if body["reply_to"] else None,
            subject=body["subject"],
            html=body["html"],
            text=body["text"],
            headers=tuple((name, value) for name, value in body["headers"]),
            attachments=tuple(
                Attachment(item["name"], item["type"], base64.b64decode(item["content"]))
                for item in body["attachments"]
            ),
            categories=tuple(body["categories"]),
            notes=tuple((name, value) for name, value in body["notes"]),
            track_clicks=body["track_clicks"],
        )


def _written(address: Address) -> list[str | None]:
    return [address.email, address.name]
