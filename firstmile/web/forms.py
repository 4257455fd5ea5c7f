"""What all customers' pages read of a request: the fields of a form, and the language of the answer."""

from __future__ import annotations

from fastapi import Request

from firstmile.web import texts
from firstmile.web.problems import Refused

MAX_FORM_BYTES = 64_000


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form, texts only. Raises `Refused` for a body too large, or of no known size."""
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise Refused(411, "length-required", "send the length of the form (Content-Length)")
    if int(length) > MAX_FORM_BYTES:
        raise Refused(413, "too-large", f"a form has at most {MAX_FORM_BYTES} bytes")
    async with request.form(max_files=0, max_fields=20) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def language(request: Request, locale: str | None) -> str:
    """The language to answer in: the customer's, else one that the browser asks for."""
    return texts.language(locale, request.headers.get("accept-language"))
