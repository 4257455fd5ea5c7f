"""Signed links: how a customer's page knows whom it is for, without a sign-in.

A link carries subject, enrolment, step and occurrence, signed with a salt of its own for each purpose, so
that a survey's link opens no preferences. A further recipient's preferences are told by the key of their
address: never by the address itself, for links are forwarded and logged. A link never expires by itself and
is not used up: mail scanners open every link, and the page decides what still counts. The first secret
signs; all of them verify, so that a secret can be rotated while messages with older links are still in
inboxes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

from firstmile.errors import LinkRefused

Purpose = Literal["survey", "checkin", "preferences", "training"]
Answer = Literal["good", "help"]

_PATHS: dict[Purpose, str] = {"survey": "s", "checkin": "c", "preferences": "u", "training": "t"}
_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """Whom and what a link is about.

    Preferences are the customer's own: no step, occurrence 0. `address` is the address key of the recipient
    whose preferences they are, None for the customer's primary contact, whatever their address is by then.
    """

    subject: str
    enrolment: int
    step: str = ""
    occurrence: int = 0
    address: str | None = None


class Links:
    """Makes and reads links. `base` is where customers reach the service, `secrets` the newest first."""

    def __init__(self, base: str, secrets: Sequence[str]) -> None:
        if not secrets or not all(secrets):
            raise ValueError("links need a secret to be signed with (FIRSTMILE_LINK_SECRETS)")
        self._base = base.rstrip("/")
        # itsdangerous signs with the last key and verifies with all.
        keys = list(reversed(secrets))
        self._signers = {
            purpose: URLSafeSerializer(
                keys,
                salt=f"firstmile.{purpose}",
                serializer=_Compact,
                signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
            )
            for purpose in _PATHS
        }

    def survey_url(self, subject: str, enrolment: int, step: str, occurrence: int = 1) -> str:
        """Where a survey is answered; `?score=N` may be appended to preselect a score."""
        return self._url("survey", Target(subject, enrolment, step, occurrence))

    def checkin_url(
        self, subject: str, enrolment: int, step: str, occurrence: int = 1, answer: Answer | None = None
    ) -> str:
        """Where a check-in is answered, with an answer preselected."""
        url = self._url("checkin", Target(subject, enrolment, step, occurrence))
        return url if answer is None else f"{url}?answer={answer}"

    def training_url(self, subject: str, enrolment: int, step: str) -> str:
        """Where a customer chooses among the dates of a training."""
        return self._url("training", Target(subject, enrolment, step, 1))

    def preferences_url(self, subject: str, enrolment: int, address: str | None = None) -> str:
        """Where a recipient chooses what to receive: the primary contact, or who has the address key."""
        return self._url("preferences", Target(subject, enrolment, address=address))

    def of_step(
        self,
        subject: str,
        enrolment: int,
        kind: str,
        step: str,
        occurrence: int = 1,
        address: str | None = None,
    ) -> dict[str, str]:
        """The `links` that a message of a step shows, by the names that templates know.

        `address` is the address key of a recipient who is not the customer's primary contact.
        """
        found = {"preferences": self.preferences_url(subject, enrolment, address)}
        if kind == "survey":
            found["survey"] = self.survey_url(subject, enrolment, step, occurrence)
        elif kind == "checkin":
            found["checkin_good"] = self.checkin_url(subject, enrolment, step, occurrence, "good")
            found["checkin_help"] = self.checkin_url(subject, enrolment, step, occurrence, "help")
        elif kind == "training":
            found["training"] = self.training_url(subject, enrolment, step)
        return found

    def read(self, token: str, purpose: Purpose) -> Target:
        """What a token is about. Raises `LinkRefused` for one not ours, or made for another purpose."""
        if len(token) > _LONGEST:
            raise LinkRefused("the link is too long to be one of ours")
        try:
            subject, enrolment, *rest = self._signers[purpose].loads(token)
            if len(rest) == 1:
                return Target(str(subject), int(enrolment), address=_unpacked(rest[0]))
            step, occurrence = rest or ("", 0)
            return Target(str(subject), int(enrolment), str(step), int(occurrence))
        except (BadData, ValueError, TypeError):
            raise LinkRefused("the link is not one of ours, or it has been changed") from None

    def _url(self, purpose: Purpose, target: Target) -> str:
        payload: list[str | int] = [target.subject, target.enrolment]
        if target.step:
            payload += [target.step, target.occurrence]
        elif target.address is not None:
            payload.append(_packed(target.address))
        token = self._signers[purpose].dumps(payload)
        return f"{self._base}/{_PATHS[purpose]}/{token}"


def _packed(key: str) -> str:
    """A key of 64 hexadecimal digits in 43 characters: the link is a line of the message's text."""
    return base64.urlsafe_b64encode(bytes.fromhex(key)).rstrip(b"=").decode("ascii")


def _unpacked(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=").hex()


def is_signed_link(url: str, base: str) -> bool:
    """Whether a URL leads to one of the pages that signed links open: whoever has it, has the page."""
    page = url.removeprefix(base.rstrip("/") + "/")
    return page != url and page.partition("/")[0] in _PATHS.values()


class _Compact:
    """JSON without blanks: links are read aloud, wrapped by mail programs and typed."""

    @staticmethod
    def dumps(value: object) -> str:
        return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def loads(text: str) -> object:
        return json.loads(text)
