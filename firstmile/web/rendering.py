"""Customers' pages as HTML: one language each, the brand of the messages, no script, nothing from elsewhere.

A page is kept by nobody, found by no search engine, shown in no frame, and tells no other site where it was.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firstmile.web import texts

_BRAND = {"name": "Firstmile"}
_COLOURS: dict[str, dict[str, str]] = {
    "light": {
        "background": "#f2f4f9",
        "surface": "#ffffff",
        "tint": "#eef1fc",
        "line": "#dde2ee",
        "ink": "#1a2033",
        "muted": "#596177",
        "primary": "#2f4bd8",
        "on-primary": "#ffffff",
        "wrong": "#b3261e",
    },
    "dark": {
        "background": "#10131a",
        "surface": "#191e29",
        "tint": "#222938",
        "line": "#323a4c",
        "ink": "#e9ecf5",
        "muted": "#a9b1c6",
        "primary": "#a9b8ff",
        "on-primary": "#10162e",
        "wrong": "#ffb4ab",
    },
}
PRIVATE = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer to a signed link says of itself: kept by nobody, found by nobody."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}")


class Pages:
    """Renders pages with the brand in a folder of templates."""

    def __init__(self, templates: Path) -> None:
        file = templates / "_layout" / "brand.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.brand: dict[str, Any] = {**_BRAND, **found}
        self._colours = {mode: _colours(mode, found.get("colours", {})) for mode in _COLOURS}
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def render(self, template: str, language: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page as an answer."""
        nonce = secrets.token_urlsafe(16)
        html = self._environment.get_template(template).render(
            {
                "language": language,
                "texts": texts.LANGUAGES[language],
                "brand": self.brand,
                "colours": self._colours,
                "nonce": nonce,
                **values,
            }
        )
        return HTMLResponse(html, status, headers(nonce) | {"Content-Language": language})

    def message(
        self, language: str, name: str, status: int = 200, *, good: bool = False, **values: Any
    ) -> HTMLResponse:
        """A page that only says something: the texts `name` and `name.more`, unless given."""
        words = texts.LANGUAGES[language]
        filled = {"heading": words[name], "text": words.get(f"{name}.more", ""), "change": None, **values}
        return self.render("message.html.j2", language, status, good=good, **filled)


def headers(nonce: str) -> dict[str, str]:
    """What keeps a page to itself."""
    policy = (
        "default-src 'none'",
        f"style-src 'nonce-{nonce}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return PRIVATE | {"Content-Security-Policy": "; ".join(policy), "X-Frame-Options": "DENY"}


def _colours(mode: str, brand: Mapping[str, Any]) -> dict[str, str]:
    given = {str(name).replace("_", "-"): value for name, value in brand.get(mode, {}).items()}
    # They stand in a style sheet: only what is a colour may come in.
    right = {name: value for name, value in given.items() if _COLOUR.fullmatch(str(value))}
    return {name: right.get(name, value) for name, value in _COLOURS[mode].items()}
