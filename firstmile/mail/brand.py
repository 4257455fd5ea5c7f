"""`_layout/brand.json`: what all messages have in common, validated with file, line and field.

What a brand needs and what the layout reads is named here; a template may read further keys of its own, so
an unknown key is refused only where it is plainly a known one misspelt. `locales` holds what is different in
another language: `{"de": {"help_url": "https://help.example/de"}}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from firstmile.journey import json_source
from firstmile.journey.problems import Place, Problem, nearest
from firstmile.journey.source import Document
from firstmile.mail.locales import DEFAULT_LANGUAGE, folders, known

FILE = "brand.json"


def _https(value: str) -> str:
    if not re.fullmatch(r"https://[^\s<>\"']+", value):
        raise ValueError("an address that begins with https:// was expected")
    return value


def _colour(value: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError("a colour of six digits was expected, for instance '#2f4bd8'")
    return value


def _mailbox(value: str) -> str:
    if not re.fullmatch(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+", value):
        raise ValueError("an address of the form name@host was expected")
    return value


def _language(value: str) -> str:
    if value.replace("-", "_") not in folders(value):
        raise ValueError("a language was expected, for instance 'en' or 'de'")
    return value


Words = Annotated[str, Field(min_length=1)]
Https = Annotated[str, AfterValidator(_https)]
Colour = Annotated[str, AfterValidator(_colour)]


class _BrandModel(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Logo(_BrandModel):
    """A picture in place of the name. `alt` is what is read where pictures are blocked; `width` in pixels."""

    url: Https
    alt: Words
    width: Annotated[int, Field(ge=1, le=600)]


class Palette(_BrandModel):
    """The colours of one scheme. `on_primary` is what is written on `primary`."""

    background: Colour | None = None
    surface: Colour | None = None
    tint: Colour | None = None
    line: Colour | None = None
    ink: Colour | None = None
    muted: Colour | None = None
    primary: Colour | None = None
    on_primary: Colour | None = None


class Colours(_BrandModel):
    """The colours by day and by night."""

    light: Palette | None = None
    dark: Palette | None = None


class LocalBrand(_BrandModel):
    """What a brand may say otherwise in a language."""

    name: Words | None = None
    website: Https | None = None
    help_url: Https | None = None
    booking_url: Https | None = None
    plans_url: Https | None = None
    reply_to: Annotated[str, AfterValidator(_mailbox)] | None = None
    address: Words | None = None
    logo: Logo | None = None


class BrandModel(LocalBrand):
    """A brand.json. `language` is the one that the templates' own folders are written in."""

    name: Words
    language: Annotated[str, AfterValidator(_language)] = DEFAULT_LANGUAGE
    colours: Colours | None = None
    locales: dict[Annotated[str, AfterValidator(_language)], LocalBrand] = {}


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand as templates read it. `problems` is all that is wrong with its file."""

    values: Mapping[str, Any]
    language: str = DEFAULT_LANGUAGE
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def in_language(self, language: str) -> Mapping[str, Any]:
        """What is different in a language, the nearest place winning (`de-AT` over `de`)."""
        found: dict[str, Any] = {}
        for name in reversed(folders(language)):
            found |= self.overrides.get(name, {})
        return found


def read_brand(path: Path, shown: str) -> Brand:
    """The brand of a file, which problems call `shown`. Without a file, a brand of nothing."""
    if not path.is_file():
        return Brand({"logo": None})
    document = json_source.read(path.read_text(encoding="utf-8", errors="replace"), shown)
    problems = list(document.problems)
    tree = document.tree
    if not isinstance(tree, dict):
        problems += [] if problems else [Problem(shown, 1, "", "an object was expected")]
        return Brand({"logo": None}, problems=tuple(problems))
    problems += _flaws(document)
    given = cast(Mapping[str, Any], tree)
    locales = given.get("locales")
    language = given.get("language")
    overrides = {
        name.replace("-", "_"): value
        for name, value in (locales.items() if isinstance(locales, dict) else ())
        if isinstance(value, dict)
    }
    return Brand(
        {"logo": None} | {name: value for name, value in given.items() if name != "locales"},
        language if isinstance(language, str) and known(language) else DEFAULT_LANGUAGE,
        overrides,
        tuple(problems),
    )


def _flaws(document: Document) -> Iterable[Problem]:
    """What pydantic says, and the known keys that are probably meant by unknown ones."""
    try:
        BrandModel.model_validate(document.tree)
    except ValidationError as error:
        for one in error.errors():
            place = tuple(part for part in one["loc"] if part != "[key]")
            message = str(one["msg"]).removeprefix("Value error, ")
            yield _problem(document, place, message[:1].lower() + message[1:])
    yield from _misspelt(document, (), BrandModel, document.tree)


def _misspelt(document: Document, place: Place, model: type[BaseModel], found: object) -> Iterable[Problem]:
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        here = (*place, key)
        if key in model.model_fields:
            if inner := _INSIDE.get((model, key)):
                if key == "locales" and isinstance(value, dict):
                    for name, one in value.items():
                        yield from _misspelt(document, (*here, name), inner, one)
                else:
                    yield from _misspelt(document, here, inner, value)
        elif (meant := nearest(key, model.model_fields)) and meant not in found:
            yield _problem(document, here, f"did you mean '{meant}'?")
        elif key.endswith("_url") and isinstance(value, str) and not value.startswith("https://"):
            yield _problem(document, here, "an address that begins with https:// was expected")


_INSIDE: Mapping[tuple[type[BaseModel], str], type[BaseModel]] = {
    (BrandModel, "logo"): Logo,
    (BrandModel, "colours"): Colours,
    (BrandModel, "locales"): LocalBrand,
    (LocalBrand, "logo"): Logo,
    (Colours, "light"): Palette,
    (Colours, "dark"): Palette,
}


def _problem(document: Document, place: Place, message: str) -> Problem:
    return Problem(document.file, document.line(place), ".".join(map(str, place)), message)
