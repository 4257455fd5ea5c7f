"""Messages as they would go out, rendered for somebody who is looked at before anything is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firstmile.journey.customer import read_customer
from firstmile.journey.problems import Problem
from firstmile.mail.context import first_name, sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.locales import known
from firstmile.mail.message import Address, Message, one_line
from firstmile.mail.page import Page
from firstmile.mail.screenshots import Camera, Screenshot
from firstmile.mail.templates import Rendered, Templates, Variant

TEST_HEADER = ("X-Firstmile-Test", "yes")


class CustomerRefused(Exception):
    """The file of a customer cannot be used: `problems` say where and why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as it would go out. `folder` is the variant's, empty for the template's own language."""

    template: str
    folder: str
    rendered: Rendered
    screenshots: tuple[Screenshot, ...] = ()

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.template}.{self.folder}" if self.folder else self.template

    @property
    def preheader(self) -> str:
        """What inboxes show after the subject."""
        return Page(self.rendered.html).preheader

    def pictured(self, camera: Camera | None) -> Preview:
        """With its pictures, if there is a camera."""
        return (
            self if camera is None else replace(self, screenshots=tuple(camera.pictures(self.rendered.html)))
        )

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The names and contents of its files."""
        yield f"{self.name}.html", self.rendered.html.encode()
        yield f"{self.name}.txt", self.rendered.text.encode()
        for shot in self.screenshots:
            yield f"{self.name}.{shot.device}-{shot.scheme}.png", shot.png


def read_recipient(file: Path) -> Mapping[str, Any]:
    """A customer's JSON, as the simulator reads it, as values of a sample. Raises `CustomerRefused`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CustomerRefused((Problem(str(file), None, "", f"cannot be read: {reason}"),)) from None
    read = read_customer(text, str(file))
    if read.subject is None:
        raise CustomerRefused(read.problems)
    given, subject = json.loads(text), read.subject
    person = {name: given.get(name) for name in ("name", "company", "email")}
    place = {"id": subject.id, "locale": subject.locale, "timezone": subject.timezone}
    customer = {**person, **place, "first_name": first_name(person["name"])}
    return {"customer": customer, "traits": subject.traits}


def preview(
    templates: Templates, name: str, *, locale: str | None = None, recipient: Mapping[str, Any] | None = None
) -> Preview:
    """A template as it would reach a customer of a locale. Raises `TemplateError`."""
    if locale is not None and known(locale) is None:
        raise TemplateError(name, f"'{locale}' is not a locale: write for instance de or de_AT")
    wanted = locale or (recipient or {}).get("customer", {}).get("locale")
    variant = templates.variant(name, wanted)
    return _preview(templates, variant, wanted, recipient)


def previews(templates: Templates, recipient: Mapping[str, Any] | None = None) -> Iterator[Preview]:
    """Every template in every language. Raises `TemplateError`."""
    for name in templates.names:
        for variant in templates.variants(name):
            yield _preview(templates, variant, variant.folder or None, recipient)


def _preview(
    templates: Templates, variant: Variant, locale: str | None, recipient: Mapping[str, Any] | None
) -> Preview:
    sample = templates.sample_values(variant.name, variant.folder or None)
    values = {**sample, **(recipient or {})}
    # The sample's own traits stay where the customer has none of the name: a table of plans is then met.
    values["traits"] = {**sample.get("traits", {}), **(recipient or {}).get("traits", {})}
    if locale is not None:
        values["customer"] = {**values.get("customer", {}), "locale": locale}
    rendered = templates.render_variant(variant, sample_context(values, templates.brand))
    return Preview(variant.name, variant.folder, rendered)


def as_test(preview: Preview, sender: Address, to: Address, reply_to: Address | None) -> Message:
    """A preview as a message that says of itself that it is a test, in subject and header."""
    return Message(
        key=f"test-{uuid.uuid4().hex}",
        sender=sender,
        reply_to=reply_to,
        to=(to,),
        subject=one_line(f"[Test] {preview.rendered.subject}"),
        html=preview.rendered.html,
        text=preview.rendered.text,
        headers=(TEST_HEADER,),
        categories=("test",),
    )
