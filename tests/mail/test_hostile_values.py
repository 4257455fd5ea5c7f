"""What customers typed: shown as it is, and never markup, a template, a header, or more than fits."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstmile.mail.context import sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.message import Address, Message
from firstmile.mail.page import Page
from firstmile.mail.templates import LONGEST_SUBJECT, Rendered, Templates
from tests.mail.building import FILES, write_files

BREAKS = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Everything that Unicode or a mail server may take for the end of a line."""
HOSTILE = [
    "Ann\r\nBcc: all@evil.example",
    "Ann\nSubject: other",
    *(f"Ann{sign}Bcc: all@evil.example" for sign in BREAKS),
    "{{ 7 * 7 }}{% for x in range(9) %}x{% endfor %}{# gone #}",
    "<script>alert(1)</script><!-- \" ' & -->",
    '" onclick="x()" \'',
    "]]> --> </style></title>",
    "\u202eolleh\u202c \u0000 \x7f",
    "名前 Ñandú 🙂",
]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """A template that shows what was typed everywhere: subject, title, attribute, comment, text."""
    page = FILES["_layout/base.html.j2"].replace(
        "{% block content %}", "<!-- {{ customer.name }} -->{% block content %}"
    )
    files = FILES | {
        "_layout/base.html.j2": page,
        "welcome/subject.txt.j2": "For {{ customer.name }}",
        "welcome/body.html.j2": """{% extends "_layout/base.html.j2" %}
{% block heading %}{{ customer.name }}{% endblock %}
{% block content %}<p title="{{ customer.name }}">{{ customer.name }}</p>{% endblock %}""",
        "welcome/body.txt.j2": "{{ customer.name }}",
    }  # fmt: skip
    return Templates(write_files(tmp_path_factory.mktemp("hostile"), files))


def rendered(templates: Templates, name: str) -> Rendered:
    values: dict[str, Any] = {"customer": {"name": name}, "links": {"preferences": "https://a.example/u"}}
    return templates.render("welcome", sample_context(values, templates.brand))


def held(templates: Templates, name: str) -> None:
    words = rendered(templates, name)
    plain = rendered(templates, "x")

    assert not set(words.subject) & set(BREAKS + "\x00\x7f")
    assert words.html.count("<") == plain.html.count("<"), "no tag of its own"
    assert words.html.count("<!--") == plain.html.count("<!--")
    assert words.html.count('"') == plain.html.count('"'), "no attribute of its own"
    assert html.unescape(words.html).count(name) >= 3 * (name != "")
    assert words.text == name.strip() + "\n"
    # A message refuses what could be a header of its own: nothing that was rendered is refused.
    Message(
        "key", Address("a@b.example"), (Address("c@d.example", name),), words.subject, words.html, words.text
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_what_was_typed_is_shown_and_does_nothing(templates: Templates, name: str) -> None:
    held(templates, name)
    assert "49" not in rendered(templates, name).text


@settings(deadline=None, max_examples=150)
@given(name=st.text(st.characters(codec="utf-8") | st.sampled_from(BREAKS + "{}%#<>&\"'-"), max_size=60))
def test_nothing_that_can_be_typed_does_anything(templates: Templates, name: str) -> None:
    held(templates, name)


def test_a_subject_is_never_longer_than_an_inbox_shows(templates: Templates) -> None:
    subject = rendered(templates, "many words " * 500).subject

    assert len(subject) <= LONGEST_SUBJECT
    assert subject.startswith("For many words many")
    assert subject.endswith("…")
    assert len(rendered(templates, "y" * 5000).subject) <= LONGEST_SUBJECT


@pytest.mark.parametrize("size", [250_000, 5_000_000])
def test_a_value_that_is_too_large_fails_the_message_and_is_not_shown(
    templates: Templates, size: int
) -> None:
    with pytest.raises(TemplateError, match="it became longer than 200000 characters") as caught:
        rendered(templates, "y" * size)
    assert "yyy" not in str(caught.value)


def test_a_name_that_was_typed_into_a_link_stays_in_its_attribute(tmp_path: Path) -> None:
    body = FILES["welcome/body.html.j2"].replace(
        "<p>", '<p><a href="https://a.example/?q={{ customer.name|urlencode }}">{{ customer.name }}</a>'
    )
    made = Templates(write_files(tmp_path, FILES | {"welcome/body.html.j2": body}))
    values = {
        "customer": {"name": '"><a href="https://evil.example">&'},
        "links": {"preferences": "https://a.example/u"},
    }
    page = Page(made.render("welcome", sample_context(values, made.brand)).html)

    assert [link.address for link in page.links] == [
        "https://a.example/?q=%22%3E%3Ca%20href%3D%22https%3A//evil.example%22%3E%26",
        "https://a.example/u",
    ]
