"""What all customers' pages read of a request: the fields of a form, and the language of the answer."""

from __future__ import annotations

from fastapi import Request
from starlette.types import Message

from firstmile.web import texts
from firstmile.web.problems import Refused

MAX_FORM_BYTES = 64_000


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form, texts only, the last of a name. Raises `Refused` for a body too large."""
    return {name: values[-1] for name, values in (await lists(request)).items()}


async def lists(request: Request) -> dict[str, list[str]]:
    """As `fields`, with all values of a name."""
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > MAX_FORM_BYTES:
            raise Refused(413, "too-large", f"a form has at most {MAX_FORM_BYTES} bytes")
        return message

    # Counted as it comes: a mail program's button need not say how long its form is.
    bounded = Request(request.scope, receive)
    found: dict[str, list[str]] = {}
    async with bounded.form(max_files=0, max_fields=20) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                found.setdefault(name, []).append(value)
    return found


def language(request: Request, locale: str | None = None) -> str:
    """The language to answer in: the customer's, else one that the browser asks for."""
    return texts.language(locale, request.headers.get("accept-language"))
