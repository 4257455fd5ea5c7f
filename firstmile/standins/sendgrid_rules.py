"""What SendGrid refuses, and the query language of its log.

From the Mail Send API (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send,
"limitations" and "errors") and the Email Logs API (`tsg_logs_v3.json` in github.com/twilio/sendgrid-oai).
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from firstmile.standins.mailbox import Letter

MAX_PERSONALIZATIONS = 1000
MAX_BYTES = 30_000_000
RESERVED_HEADERS = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-transfer-encoding", "content-type"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")

Problem = tuple[str, str]
"""A field and what is wrong with it."""


def problems(body: Any) -> list[Problem]:
    """Everything that SendGrid would answer 400 for."""
    if not isinstance(body, dict):
        return [("", "Bad Request")]
    return list(_problems(body))


def _problems(body: dict[str, Any]) -> Iterator[Problem]:
    people = body.get("personalizations")
    if not isinstance(people, list) or not people:
        yield (
            "personalizations",
            "The personalizations field is required and must have at least one personalization.",
        )
    else:
        if len(people) > MAX_PERSONALIZATIONS:
            yield "personalizations", "There are too many personalizations."
        for position, person in enumerate(people):
            yield from _person_problems(f"personalizations.{position}", person)
    if not _address(body.get("from")):
        yield "from.email", "The from object must be provided for every email send."
    if "reply_to" in body and not _address(body["reply_to"]):
        yield "reply_to.email", "The reply_to email must be a valid address."
    subject = body.get("subject")
    if not isinstance(subject, str) or not subject or "\r" in subject or "\n" in subject:
        yield "subject", "The subject is required, and contains no line break."
    yield from _content_problems(body.get("content"))
    categories = body.get("categories", [])
    if not isinstance(categories, list) or len(categories) > 10 or len(set(categories)) != len(categories):
        yield "categories", "There is a limit of 10 categories per request, which must be unique."
    for position, item in enumerate(body.get("attachments", [])):
        yield from _attachment_problems(f"attachments.{position}", item)
    for name, value in body.get("headers", {}).items():
        if name.lower() in RESERVED_HEADERS:
            yield f"headers.{name}", "The header is reserved."
        if not isinstance(value, str) or "\r" in value or "\n" in value:
            yield f"headers.{name}", "The value of a header is a string on one line."


def _person_problems(field: str, person: Any) -> Iterator[Problem]:
    to = person.get("to") if isinstance(person, dict) else None
    if not isinstance(to, list) or not to:
        yield f"{field}.to", "The to array is required for all personalization objects."
        return
    everyone = [*to, *person.get("cc", []), *person.get("bcc", [])]
    for position, address in enumerate(everyone):
        if not _address(address):
            yield f"{field}.to.{position}.email", "Does not contain a valid address."
            return
    spellings = [address["email"].lower() for address in everyone]
    if len(set(spellings)) != len(spellings):
        yield field, "Each email address should be unique between to, cc, and bcc."
    custom = person.get("custom_args", {})
    if not isinstance(custom, dict) or not all(isinstance(value, str) for value in custom.values()):
        yield f"{field}.custom_args", "The values of custom_args are strings."
    elif len(json.dumps(custom).encode()) >= 10_000:
        yield f"{field}.custom_args", "The custom_args exceed 10000 bytes."


def _content_problems(content: Any) -> Iterator[Problem]:
    if not isinstance(content, list) or not content:
        yield "content", "Unless a valid template_id is provided, the content parameter is required."
        return
    kinds = [part.get("type") for part in content]
    if "text/plain" in kinds and kinds[0] != "text/plain":
        yield "content", "If present, text/plain must be first, followed by text/html."
    for position, part in enumerate(content):
        if not part.get("type") or not part.get("value"):
            yield (
                f"content.{position}.value",
                "The content value must be a string at least one character in length.",
            )


def _attachment_problems(field: str, item: Any) -> Iterator[Problem]:
    kind, name = item.get("type", "x/y"), item.get("filename")
    if not name or re.search(r"[\r\n]", name):
        yield f"{field}.filename", "The filename is required."
    if not kind or re.search(r"[;\r\n]", kind):
        yield f"{field}.type", "The type cannot contain ';', or CRLF characters."
    try:
        if not base64.b64decode(item.get("content") or "", validate=True):
            yield f"{field}.content", "The attachment content is required."
    except (binascii.Error, TypeError):
        yield f"{field}.content", "The attachment content must be base64 encoded."


def _address(value: Any) -> bool:
    email = value.get("email") if isinstance(value, dict) else None
    return isinstance(email, str) and bool(_ADDRESS.fullmatch(email))


# ---- the log ----

_TERM = re.compile(
    r"""\s*(?:(to_email|subject|sg_message_id)\s*=\s*['"]([^'"]*)['"]"""
    r"""|sg_message_id_created_at\s*(>=|<=|>|<)\s*TIMESTAMP\s*['"]([^'"]+)['"])\s*(?:AND\b|$)"""
)
_COMPARE: dict[str, Callable[[datetime, datetime], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def log_query(text: str) -> Callable[[Letter], bool]:
    """A search of the log as a condition. Raises `ValueError` for what it does not understand."""
    conditions: list[Callable[[Letter], bool]] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TERM.match(text, position)
        if match is None:
            raise ValueError(f"invalid query near character {position}")
        conditions.append(_condition(match))
        position = match.end()
    return lambda letter: all(condition(letter) for condition in conditions)


def _condition(match: re.Match[str]) -> Callable[[Letter], bool]:
    name, value, comparison, moment = match.groups()
    if comparison:
        compare, then = _COMPARE[comparison], datetime.fromisoformat(moment)
        # The log keeps whole seconds.
        return lambda letter: compare(letter.received_at.replace(microsecond=0), then)
    attribute = {"to_email": "recipient", "subject": "subject", "sg_message_id": "id"}[name]
    return lambda letter: bool(getattr(letter, attribute) == value)
