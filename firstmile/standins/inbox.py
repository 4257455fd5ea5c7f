"""The inbox: what customers would see, as pages for people. No external assets, little script, none
required."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firstmile.standins.mailbox import CLASSES, Mailbox, OpenLetter

PAGE = 100
PAGES = Path(__file__).parent / "pages"
VIEWS = ("message", "text", "details")

# The message runs no script, loads nothing but pictures, and its links open beside the inbox.
_MESSAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


def _hue(text: str) -> int:
    """A colour for a recipient, the same every time."""
    return int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:2]) % 360


def _initials(name: str | None, email: str) -> str:
    words = re.findall(r"\w+", name or email.partition("@")[0])
    return "".join(word[0] for word in words[:2]).upper() or "?"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"hue": _hue, "time": _time, "size": _size}
    environment.globals |= {"initials": _initials, "classes": CLASSES}
    return environment


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count / 1000:.1f} kB"


def routes(mailbox: Mailbox, opened: Callable[[OpenLetter], None] | None = None) -> APIRouter:
    """The pages. `opened` is called when somebody looks at a message as its recipient would."""
    router = APIRouter()
    environment = _environment()

    def page(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(
            environment.get_template(name).render(values), headers={"Cache-Control": "no-store"}
        )

    @router.get("/")
    def inbox(
        request: Request,
        to: str = "",
        q: str = "",
        class_: Annotated[str, Query(alias="class")] = "",
        before: int | None = None,
        rows: bool = False,
    ) -> Response:
        newest = mailbox.newest()
        etag = f'"{newest}"'
        if rows and request.headers.get("If-None-Match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        letters = mailbox.letters(
            recipient=to or None, text=q or None, message_class=class_ or None, before=before, limit=PAGE + 1
        )

        def address(**changes: object) -> str:
            chosen = {"to": to, "q": q, "class": class_, **changes}
            query = urlencode({name: value for name, value in chosen.items() if value})
            return f"/?{query}" if query else "/"

        values = {
            "letters": letters[:PAGE],
            "older": address(before=letters[PAGE - 1].number) if len(letters) > PAGE else None,
            "address": address,
            "to": to,
            "q": q,
            "chosen": class_,
            "before": before,
            "newest": newest,
            "count": mailbox.count(),
        }
        if rows:
            answer = page("rows.html.j2", **values)
            answer.headers["ETag"] = etag
            return answer
        return page("inbox.html.j2", recipients=mailbox.recipients(), **values)

    @router.get("/messages/{number}")
    def message(number: int, view: str = "message") -> Response:
        found = mailbox.open(number)
        if found is None:
            return HTMLResponse(environment.get_template("missing.html.j2").render(), status_code=404)
        newer, older = mailbox.neighbours(number)
        letter, person, body = found.letter, found.personalization, found.body
        headers = {
            "From": _person(body["from"]),
            "To": ", ".join(map(_person, person["to"])),
            "Cc": ", ".join(map(_person, person.get("cc", []))),
            "Reply-To": _person(body["reply_to"]) if "reply_to" in body else "",
            "Subject": letter.subject,
            **body.get("headers", {}),
        }
        files = [found.attachment(index) for index in range(letter.attachments)]
        return page(
            "message.html.j2",
            letter=letter,
            sender=body["from"],
            cc=person.get("cc", []),
            headers={name: value for name, value in headers.items() if value},
            custom=person.get("custom_args", {}),
            categories=body.get("categories", []),
            tracking=body.get("tracking_settings", {}).get("click_tracking", {}).get("enable", True),
            text=found.part("text/plain") or "",
            html_size=len((found.part("text/html") or "").encode()),
            files=[(file[0], file[1], len(file[2])) for file in files if file],
            view=view if view in VIEWS else "message",
            newer=newer,
            older=older,
        )

    @router.get("/messages/{number}/html")
    def html(number: int) -> Response:
        found = mailbox.open(number)
        if found is None:
            return Response(status_code=404)
        if opened is not None:
            opened(found)
        shown = (found.part("text/html") or "").replace("<head>", '<head><base target="_blank">', 1)
        headers = {"Content-Security-Policy": _MESSAGE_POLICY, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(shown, headers=headers)

    @router.get("/messages/{number}/attachments/{index}")
    def attachment(number: int, index: int) -> Response:
        found = mailbox.open(number)
        file = found.attachment(index) if found else None
        if file is None:
            return Response(status_code=404)
        name, kind, content = file
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type=kind, headers=headers)

    @router.get("/_standin/newest")
    def newest() -> JSONResponse:
        return JSONResponse({"newest": mailbox.newest(), "count": mailbox.count()})

    return router


def _person(address: dict[str, str]) -> str:
    return f"{address['name']} <{address['email']}>" if address.get("name") else address["email"]
