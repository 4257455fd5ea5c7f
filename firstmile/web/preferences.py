"""The page where recipients choose what they are sent, and the button of their mail program (RFC 8058).

One click stops everything but what the account makes necessary: whoever presses "unsubscribe" in a mailbox
expects silence, sees no page that could tell them otherwise, and presses "spam" if more arrives. Topics are
for the page. A look records nothing, and the same form sent twice is one choice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date
from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from firstmile.errors import LinkRefused, StoreAway
from firstmile.links import Links, Target
from firstmile.service import Preferences, Service
from firstmile.store.choices import ONE_CLICK
from firstmile.store.suppressions import TOPICS
from firstmile.web import forms, texts
from firstmile.web.desk import READ, Desk
from firstmile.web.forms import language
from firstmile.web.rendering import Pages


def router(service: Service, links: Links, pages: Pages) -> APIRouter:
    """The route `/u/…`."""
    found = APIRouter(include_in_schema=False)
    desk = _PreferencesDesk(service, links, pages)
    found.add_api_route("/u/{token}", desk.look, methods=READ)
    found.add_api_route("/u/{token}", desk.take, methods=["POST"])
    return found


class _PreferencesDesk(Desk):
    async def look(self, request: Request, token: str) -> Response:
        """The page that says what a recipient is sent, and why."""
        target = self.target(request, token, "preferences")
        if isinstance(target, Response):
            return target
        try:
            return self._page(request, await self.service.preferences(target))
        except LinkRefused:
            return self.pages.message(language(request), "gone", 410)
        except StoreAway as error:
            return self.away(language(request), error, "unavailable.choice")

    async def take(self, request: Request, token: str) -> Response:
        """What a recipient chose, on the page or by one click."""
        target = self.target(request, token, "preferences")
        if isinstance(target, Response):
            return target
        form = await forms.lists(request)
        one_click = _is_one_click(form)
        try:
            return await self._carry_out(request, target, form, one_click)
        except LinkRefused:
            # Nothing is sent to somebody of whom nothing is kept: what the click asked for is so.
            return self.pages.message(language(request), "gone", 200 if one_click else 410)
        except StoreAway as error:
            return self.away(language(request), error, "unavailable.choice")

    async def _carry_out(
        self, request: Request, target: Target, form: dict[str, list[str]], one_click: bool
    ) -> Response:
        preferring = self.service.preferring
        choice = "stop" if one_click else form.get("choice", [""])[-1]
        if choice == "stop":
            found = await preferring.stop(target, **({"by": ONE_CLICK} if one_click else {}))
        elif choice == "start":
            found = await preferring.start(target)
        elif choice == "save":
            wanted = form.get("topic", [])
            found = await preferring.choose(target, [topic for topic in TOPICS if topic in wanted])
        else:
            return self._page(request, await self.service.preferences(target))
        return self._page(request, found, saved=True)

    def _page(self, request: Request, found: Preferences, *, saved: bool = False) -> Response:
        spoken = language(request, found.locale)
        words = texts.LANGUAGES[spoken]
        address = found.address or words["preferences.this_address"]
        names = {
            # In one piece: a line that breaks within it could be taken for two addresses.
            "address": Markup('<span class="address">{}</span>').format(address),
            "company": found.company or words["preferences.your_company"],
            "brand": str(self.pages.brand["name"]),
            "role": (found.role or "").replace("_", " "),
        }
        why = "primary" if found.role is None else "contact" if found.role else "former"
        return self.pages.render(
            "preferences.html.j2",
            spoken,
            action=request.url.path,
            why=escape(words[f"preferences.why.{why}"]).format(**names),
            standing=found.standing,
            said=_said(found, words, saved),
            saved=saved and found.standing in ("going", "stopped"),
            topics=[(topic, topic in found.wanted) for topic in found.offered],
            changed=_date(found.changed_at, found.timezone, spoken),
            write_to=self.pages.brand.get("reply_to"),
        )


def _said(found: Preferences, words: texts.Words, saved: bool) -> str | None:
    """What holds now, where the boxes do not say it already; after a form, they say it in words, too."""
    if found.standing != "going":
        return words[f"preferences.now.{found.standing}"]
    if not saved:
        return None
    titles = [words[f"topic.{topic}"] for topic in TOPICS if topic in found.wanted]
    return words["preferences.now.going"].format(topics=", ".join(titles))


def _is_one_click(form: dict[str, list[str]]) -> bool:
    """Whether this is RFC 8058's form; its words are matched as header fields are, whatever their case."""
    return any(
        name.casefold() == "list-unsubscribe" and values[-1].strip().casefold() == "one-click"
        for name, values in form.items()
    )


def _date(moment: datetime | None, timezone: str | None, spoken: str) -> str | None:
    if moment is None:
        return None
    try:
        zone = ZoneInfo(timezone) if timezone else UTC
    except (ZoneInfoNotFoundError, ValueError):
        zone = UTC
    return format_date(moment.astimezone(zone), "long", locale=spoken)
