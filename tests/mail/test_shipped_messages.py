"""The messages that ship are worth sending: whoever they reach, in every language, in every situation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from firstmile import paths
from firstmile.journey.loader import load
from firstmile.mail.context import sample_context
from firstmile.mail.templates import Rendered, Templates, Variant

SUBJECT = 50
"""Characters of a subject that a phone shows."""
PREHEADER = 90
FORMAL_GERMAN = "Guten Tag"


@cache
def templates() -> Templates:
    return Templates(paths.templates())


@cache
def used(segment: str) -> frozenset[str]:
    """The templates that a shipped journey sends."""
    file = paths.journeys() / f"{segment}.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    found = re.findall(r'"template":\s*"(\w+)"', journey.canonical_json())
    return frozenset(found)


def shipped() -> list[Variant]:
    return [variant for name in templates().names for variant in templates().variants(name)]


EVERY = pytest.mark.parametrize("variant", shipped(), ids=str)


def sample(variant: Variant) -> dict[str, Any]:
    return deepcopy(templates().sample_values(variant.name, variant.folder or None))


def rendered(variant: Variant, values: dict[str, Any]) -> Rendered:
    return templates().render_variant(variant, sample_context(values, templates().brand))


def situations(variant: Variant) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sample, and what else may be so of a customer."""
    yield "as sampled", sample(variant)
    nobody = sample(variant)
    nobody["customer"] |= {"name": None, "first_name": None, "company": None}
    nobody["owner"] = {}
    yield "nobody knows anything", nobody
    owned = sample(variant)
    owned["owner"] = {"specialist": {"name": "Ann Becker", "email": None}}
    yield "an owner without an address", owned
    repeated = sample(variant)
    repeated["step"] |= {"reminder": 1, "occurrence": 2}
    yield "a reminder, a second occurrence", repeated
    copied = sample(variant)
    copied["recipient"] = {"name": "Sam Okafor", "email": "sam@acme.example", "role": "billing", "copy": True}
    yield "a copy", copied
    undated = sample(variant)
    gone = {"trial_ends", "go_live", "data_source"} & undated["traits"].keys()
    if variant.name not in ("trial_ending", "go_live_notice"):
        undated["traits"] = {name: value for name, value in undated["traits"].items() if name not in gone}
        undated["absent"] = [*undated.get("absent", []), *sorted(gone)]
    undated["traits"] |= {"seats": 1, "sso": False} if "seats" in undated["traits"] else {}
    if "session" in undated:
        undated["session"] |= {"starts": None, "choices": []}
    yield "without dates, alone", undated


class Page(HTMLParser):
    """The words, the links with what they are called, and the buttons of a page: each by its classes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: dict[str, str] = {}
        self.words: list[str] = []
        self.buttons: list[set[str]] = []
        self._href = ""
        self._label: list[str] = []
        self._silent = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._silent |= tag in ("style", "title")
        if "button" in (classes := set((attributes.get("class") or "").split())):
            self.buttons.append(classes)
        if tag == "a":
            self._href, self._label = attributes.get("href") or "", [attributes.get("aria-label") or ""]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "title"):
            self._silent = False
        if tag == "a":
            self.links[self._href] = " ".join(filter(None, self._label)).strip()
            self._href = ""

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.words += data.split()
        if self._href:
            self._label.append(data.strip())


def prose(html: str) -> str:
    """What is read of a page, with no blanks but those that are seen."""
    return " ".join(Page(re.sub(r"</?(?:strong|a|span)\b[^>]*>", "", html)).words)


def preheader(html: str) -> str:
    """What stands before the first of the blank characters that follow a preheader."""
    body = html.partition("<body")[2]
    found = re.search(r"<div[^>]*>(.*?)(?:͏|&#847;)", body, re.DOTALL)
    assert found is not None, "there is no preheader"
    return " ".join(re.sub(r"<[^>]*>", "", found.group(1)).split())


@EVERY
def test_a_message_can_be_sent_whatever_is_known_of_the_customer(variant: Variant) -> None:
    for situation, values in situations(variant):
        message = rendered(variant, values)
        for part in (message.subject, message.text, prose(message.html)):
            assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|[{}]", part), situation
            assert not re.search(r" [,.;:!?]", part), situation
            assert not re.search(r",\s*[.!]", part), situation
        assert not re.search(r"\S {2,}\S|\n{3,}|[ \t]\n", message.text), situation


@EVERY
def test_subject_and_preheader_are_short_and_say_two_things(variant: Variant) -> None:
    for situation, values in situations(variant):
        message = rendered(variant, values)
        line = preheader(message.html)
        assert 10 <= len(message.subject) <= SUBJECT, situation
        assert 20 <= len(line) <= PREHEADER, situation
        assert line.casefold().rstrip(".") != message.subject.casefold().rstrip("."), situation
        assert "!" not in message.subject


@EVERY
def test_a_message_asks_for_one_thing(variant: Variant) -> None:
    values = sample(variant)
    page = Page(rendered(variant, values).html)
    lesser = [classes for classes in page.buttons if "quiet" in classes]
    answers = [link for link in page.links if "?score=" in link]

    match values["step"]["kind"]:
        case "survey":
            assert (len(page.buttons), len(lesser)) == (0, 0)
            assert len(answers) in (5, 7, 11), "an answer is one tap away"
        case "checkin":
            assert (len(page.buttons), len(lesser)) == (2, 1)
        case _:
            assert (len(page.buttons), len(lesser)) == (1, 0)


@EVERY
def test_the_plain_text_stands_on_its_own(variant: Variant) -> None:
    for situation, values in situations(variant):
        message = rendered(variant, values)
        for link in Page(message.html).links:
            plain = link.partition("?score=")[0].removeprefix("mailto:")
            assert plain in message.text or link == templates().brand["website"], (situation, link)
        assert "html" not in message.text.casefold(), situation


@EVERY
def test_every_link_says_where_it_leads(variant: Variant) -> None:
    vague = {"here", "click here", "link", "more", "hier", "mehr", ""}
    for link, label in Page(rendered(variant, sample(variant)).html).links.items():
        assert label.casefold() not in vague, link


@EVERY
def test_each_recipient_is_greeted_by_their_own_name_and_told_why(variant: Variant) -> None:
    values = sample(variant)
    owner = values["customer"]["first_name"]
    values["recipient"] = {"name": "Sam Okafor", "email": "sam@acme.example", "role": "billing", "copy": True}
    message = rendered(variant, values)

    for part in (prose(message.html), message.text):
        assert re.search(r"(Hi|Dear|Guten Tag) Sam", part)
        assert owner not in part
        assert re.search("A copy for your information|Eine Kopie zu Ihrer Information", part)
        assert "“billing”" in part or "„billing“" in part
        assert templates().brand["address"] in part


def test_every_template_is_sent_by_a_journey_and_none_is_missing() -> None:
    segments = [file.stem for file in paths.journeys().glob("*.yaml")]

    assert frozenset().union(*map(used, segments)) == frozenset(templates().names)


@pytest.mark.parametrize("name", sorted(used("team")))
def test_the_teams_messages_are_there_in_german(name: str) -> None:
    variant = templates().variant(name, "de-AT")
    message = rendered(variant, sample(variant))

    assert message.language == "de"
    assert '<html lang="de"' in message.html
    for part in (message.text, prose(message.html)):
        assert FORMAL_GERMAN in part
        assert not re.search(r"\b(your|you|the|and|we|du|dein|deine|dir)\b", part, re.IGNORECASE)


def test_at_least_one_message_is_written_in_mjml() -> None:
    assert any(variant.html.file.endswith(".mjml.j2") for variant in shipped())


# ---- the brand -------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "surface"),
        ("ink", "tint"),
        ("ink", "background"),
        ("muted", "surface"),
        ("muted", "background"),
        ("primary", "surface"),
        ("primary", "tint"),
        ("on_primary", "primary"),
    ],
)
def test_what_is_written_can_be_read_by_day_and_by_night(scheme: str, ink: str, ground: str) -> None:
    colours = templates().brand["colours"][scheme]
    bright, dim = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)

    assert (bright + 0.05) / (dim + 0.05) >= 4.5
