"""Every shipped message, as it would go out: its template's sample, through the real composing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from firstmile import paths
from firstmile.journey.loader import load
from firstmile.mail.composing import Letterhead, compose
from firstmile.mail.inviting import invitation_of
from firstmile.mail.message import Address, Message
from firstmile.mail.recipients import Addressee
from firstmile.mail.templates import Rendered, Templates, Variant, template_names
from firstmile.store.profiles import Profile
from tests.mail.building import asking

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
NAMES = template_names(paths.templates())
LINKS = {
    name: f"https://hello.acme.example/{name}/{'aZ-_.9' * 30}"
    for name in ("preferences", "unsubscribe", "survey", "training", "form", "answer", "help")
} | {"app": "https://app.acme.example"}


class _Samples(Templates):
    """The shipped templates, filled in with their samples whatever the context is."""

    variant_of_now: Variant

    def render(self, name: str, context: Mapping[str, Any]) -> Rendered:
        variant = self.variant_of_now
        return self.render_variant(variant, self.sample(name, variant.folder or None))


@cache
def _shipped() -> _Samples:
    return _Samples(paths.templates())


@cache
def _steps() -> dict[str, tuple[str, dict[str, Any]]]:
    """The kind and parameters of a step that sends a template, by template."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for file in sorted(paths.journeys().glob("*.yaml")):
        journey = load(file.read_text(encoding="utf-8"), file.name).journey
        assert journey is not None
        for step in journey.steps:
            params = step.does.model_dump(mode="json", exclude_none=True)
            if "template" in params:
                found.setdefault(params["template"], (step.kind, params))
    return found


def messages(name: str) -> list[Message]:
    """The messages of a template, one for each language that it is there in."""
    templates = _shipped()
    letterhead = Letterhead(templates, Address("hello@acme.example", "Acme Cloud"))
    kind, params = _steps().get(name, ("email", {"template": name}))
    request = asking(lambda: NOW)(step=name, kind=kind, params=params | {"template": name})
    profile = Profile("c-1", "Zoë O'Neil-Грин", "zoe.o'neil@customer.example", "Lee & Co", locale="en")
    who = Addressee("zoe.o'neil@customer.example", 'Zoë "Z" O\'Neil-Грин, Mrs.')
    found = []
    for variant in templates.variants(name):
        templates.variant_of_now = variant
        message = compose(
            letterhead,
            request,
            profile,
            who,
            key=request.key,
            links=LINKS,
            owners={},
            now=NOW,
            invitation=invitation_of(request, templates.sessions, None, NOW),
        )
        found.append(replace(message, reply_to=message.reply_to or Address("help@acme.example", "Ann")))
    return found
