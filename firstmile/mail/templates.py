"""Templates: loaded once; a send only fills in values.

Rendering is strict (a name that is not there fails, with file and line), in one language, and capped.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError as JinjaError

from firstmile.journey.problems import nearest
from firstmile.mail.brand import FILE as BRAND
from firstmile.mail.brand import Brand, read_brand
from firstmile.mail.context import Names, Values, sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.folder import LAYOUT, SAMPLE, template_names
from firstmile.mail.loading import Loader, Part, Variant
from firstmile.mail.locales import folders, tag
from firstmile.mail.message import one_line
from firstmile.mail.message_settings import MessageSettings, read_message_settings
from firstmile.mail.sessions import Sessions, read_sessions

MAX_OUTPUT = 200_000
"""Characters of one part. Gmail cuts a message after 102 KB of HTML: `check_templates` says so."""
LONGEST_SUBJECT = 250
"""Characters; inboxes show some 70. What customers typed is cut rather than refused."""
_AT_A_TIME = 256
"""Pieces of output after which the cap is looked at."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's words. The subject is one line; `language` is the tag of what they are written in."""

    subject: str
    html: str
    text: str
    language: str


class Templates:
    """The templates of one folder. Those that cannot be loaded are in `problems`; the others can be used.

    Raises `TemplateError` for a brand or sessions that cannot be used, unless only `checking`: then that is
    in `problems`, too.
    """

    def __init__(self, folder: Path, *, checking: bool = False) -> None:
        self.folder = folder
        self.problems: list[TemplateError] = []
        self._brand = self._read_brand(checking)
        self.brand: Mapping[str, Any] = self._brand.values
        self.language = self._brand.language
        self.sessions: Sessions = self._read_sessions(checking)
        self._loader = Loader(folder, self.language)
        self._variants: dict[str, dict[str, Variant]] = {}
        self._settings: dict[str, MessageSettings] = {}
        for name in template_names(folder):
            self._variants[name] = self._loader.load(name)
            self._settings[name] = self._read_settings(name)
        self.problems += self._loader.problems

    def brand_in(self, language: str) -> Mapping[str, Any]:
        """The brand as a message in a language sees it."""
        return {**self.brand, **self._brand.in_language(language)}

    @property
    def names(self) -> list[str]:
        """The templates that can be used, in their own language at least."""
        return [name for name, variants in self._variants.items() if "" in variants]

    def variants(self, name: str) -> list[Variant]:
        """A template in every language that it is there in, its own first."""
        return list(self._variants.get(name, {}).values())

    def variant(self, name: str, locale: str | None) -> Variant:
        """The template in the language of a locale, else in its own. Raises `TemplateError`."""
        variants = self._variants.get(name, {})
        for folder in folders(locale):
            if folder in variants:
                return variants[folder]
        if "" in variants:
            return variants[""]
        for problem in self.problems:
            if problem.template == name:
                raise problem
        meant = nearest(name, self._variants)
        hint = f": did you mean '{meant}'?" if meant else ""
        raise TemplateError(name, f"there is no such template{hint}")

    def settings(self, name: str) -> MessageSettings:
        """What the template's message.json says; nothing where there is none."""
        return self._settings.get(name, MessageSettings())

    def render(self, name: str, context: Values) -> Rendered:
        """The message in words, in the customer's language where it is there in it. Raises `TemplateError`."""
        customer: Mapping[str, Any] = context.get("customer") or {}
        return self.render_variant(self.variant(name, customer.get("locale")), context)

    def render_variant(self, variant: Variant, context: Values) -> Rendered:
        """The message in words, in one language whatever the customer's is. Raises `TemplateError`."""
        values = self._in_language(variant, context)
        subject = _shortened(one_line(self._fill(variant.name, variant.subject, values)))
        if not subject:
            raise TemplateError(variant.name, "the subject is empty", file=variant.subject.file)
        html = self._fill(variant.name, variant.html, values)
        text = self._fill(variant.name, variant.text, values)
        return Rendered(subject, html.strip() + "\n", text.strip() + "\n", variant.language)

    def fill(self, variant: Variant, part: Part, context: Values) -> str:
        """One part of a message, as it comes. Raises `TemplateError`."""
        return self._fill(variant.name, part, self._in_language(variant, context))

    def sample(self, name: str, locale: str | None = None) -> Values:
        """The context of the template's own sample, or of the one in a locale's folder, with that locale.
        Raises `TemplateError`."""
        return sample_context(self.sample_values(name, locale), self.brand)

    def sample_values(self, name: str, locale: str | None = None) -> dict[str, Any]:
        """A template's sample.json. Raises `TemplateError`."""
        places = [f"{name}/{folder}/{SAMPLE}" for folder in folders(locale)]
        file = next((file for file in places if (self.folder / file).is_file()), f"{name}/{SAMPLE}")
        values: dict[str, Any] = _read_json(self.folder, file, name)
        try:
            sample_context(values, self.brand)
            if locale is not None:
                values["customer"] = {**values.get("customer", {}), "locale": tag(locale)}
        except (ValueError, TypeError, AttributeError) as error:
            raise TemplateError(name, str(error), file=file) from error
        return values

    def source(self, path: str) -> str:
        """The text of a file. Raises `TemplateError`."""
        return self._loader.source(path)

    # ---- what the templates share ----

    def _read_brand(self, checking: bool) -> Brand:
        file = f"{LAYOUT}/{BRAND}"
        brand = read_brand(self.folder / file, file)
        flaws = [
            TemplateError(
                LAYOUT,
                f"{one.field}: {one.message}" if one.field else one.message,
                file=one.file,
                line=one.line,
            )
            for one in brand.problems
        ]
        if flaws and not checking:
            raise flaws[0]
        self.problems += flaws
        return brand

    def _read_sessions(self, checking: bool) -> Sessions:
        try:
            return read_sessions(self.folder / LAYOUT / "sessions.json")
        except ValueError as error:
            problem = TemplateError(LAYOUT, str(error), file=f"{LAYOUT}/sessions.json")
            if not checking:
                raise problem from error
            self.problems.append(problem)
            return {}

    def _read_settings(self, name: str) -> MessageSettings:
        try:
            return read_message_settings(self.folder, name)
        except TemplateError as problem:
            # From nobody rather than from the wrong person: the template cannot be used.
            self.problems.append(problem)
            self._variants[name] = {}
            return MessageSettings()

    # ---- filling in ----

    def _in_language(self, variant: Variant, context: Values) -> Values:
        """The context with what is different in the language of a message."""
        values = context | {"language": variant.language}
        if brand := self._brand.in_language(variant.language):
            values["brand"] = Names("brand", {**context["brand"], **brand})
        given: Mapping[str, Any] = context.get("session") or {}
        session = self.sessions.get(given.get("id", ""))
        if session is not None and not isinstance(session.title, str):
            title = session.titled(variant.language, self.language)
            values["session"] = Names("session", {**given, "title": title})
        return values

    def _fill(self, name: str, part: Part, context: Values) -> str:
        try:
            return self._capped(name, part.file, part.compiled, context)
        except TemplateError:
            raise
        except Exception as error:
            failure = error
        if part.plain is not part.compiled:
            # Inlining moves lines: the same failure once more, from the files as they are written.
            try:
                self._capped(name, part.file, part.plain, context)
            except Exception as error:
                failure = error
        path, line = _place(failure, self.folder) or (part.file, None)
        # What a value's own exception says may hold what the value holds: only Jinja's own words go out.
        words = str(failure) if isinstance(failure, JinjaError) else type(failure).__name__
        raise TemplateError(name, words, file=path, line=line)

    def _capped(self, name: str, file: str, template: Template, context: Values) -> str:
        size, output, stream = 0, [], template.generate(context)
        # Joined by the batch: a look at the cap for each piece costs as much as rendering does.
        while batch := list(islice(stream, _AT_A_TIME)):
            output.append("".join(batch))
            size += len(output[-1])
            if size > MAX_OUTPUT:
                raise TemplateError(name, f"it became longer than {MAX_OUTPUT} characters", file=file)
        return "".join(output)


def _shortened(subject: str) -> str:
    if len(subject) <= LONGEST_SUBJECT:
        return subject
    start = subject[: LONGEST_SUBJECT - 1]
    return (start.rpartition(" ")[0] or start) + "…"


def _read_json(folder: Path, file: str, name: str) -> Any:
    try:
        found = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemplateError(name, "the file is missing", file=file) from None
    except json.JSONDecodeError as error:
        problem = f"this is not JSON: {error.msg}"
        raise TemplateError(name, problem, file=file, line=error.lineno) from None
    if not isinstance(found, dict):
        raise TemplateError(name, "an object was expected", file=file)
    return found


def _place(error: BaseException, folder: Path) -> tuple[str, int | None] | None:
    """Where in the templates an exception came about: Jinja2 writes the files' own lines into the
    traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix(), frame.lineno
    return None


__all__ = ["LAYOUT", "LONGEST_SUBJECT", "Part", "Rendered", "Templates", "Variant", "template_names"]
