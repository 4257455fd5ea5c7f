"""The language of a message: chosen once for all its parts, followed by its dates and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firstmile import paths
from firstmile.mail.checks import check_templates
from firstmile.mail.context import sample_context
from firstmile.mail.locales import folders, formatting_locale
from firstmile.mail.templates import Rendered, Templates
from tests.mail.building import FILES, write_files

GERMAN = {
    "_layout/de/base.html.j2": '{% extends "_layout/base.html.j2" %}',
    "welcome/de/subject.txt.j2": "Willkommen",
    "welcome/de/body.html.j2": '{% extends "_layout/de/base.html.j2" %}'
    "{% block heading %}Willkommen{% endblock %}{% block content %}<p>Guten Tag</p>{% endblock %}",
    "welcome/de/body.txt.j2": "Guten Tag, {{ traits.when|date }}",
}


def rendered(folder: Path, files: dict[str, str], locale: str | None, **sample: Any) -> Rendered:
    templates = Templates(write_files(folder, FILES | files))
    customer = {"name": "Ann Lee", "locale": locale, "timezone": "Europe/Vienna"}
    links = {"preferences": "https://acme.example/u"}
    values = {"customer": customer, "links": links, "traits": {"when": "2026-01-05"}} | sample
    return templates.render("welcome", sample_context(values, templates.brand))


@pytest.mark.parametrize(
    ("locale", "names"),
    [
        ("de", ("de",)),
        ("de_AT", ("de_AT", "de")),
        ("de-AT", ("de_AT", "de")),
        ("pt-BR", ("pt_BR", "pt")),
        ("zh-TW", ("zh_Hant_TW", "zh_TW", "zh_Hant", "zh")),
        ("de-XX", ("de",)),
        ("nonsense", ()),
        ("../de", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_a_customer_finds_their_language_in_the_nearest_folder(
    locale: str | None, names: tuple[str, ...]
) -> None:
    assert folders(locale) == names


@pytest.mark.parametrize(
    ("customer", "language", "followed"),
    [
        ("de-CH", "de", "de_CH"),
        ("de", "en", "en"),
        ("en-GB", "en", "en_GB"),
        (None, "de", "de"),
        ("xx", "en", "en"),
        ("ja", None, "en"),
    ],
)
def test_dates_and_numbers_follow_the_words_around_them(
    customer: str | None, language: str | None, followed: str
) -> None:
    assert str(formatting_locale(customer, language)) == followed


@pytest.mark.parametrize(
    ("locale", "subject", "language", "date"),
    [
        ("de", "Willkommen", "de", "5. Januar 2026"),
        ("de_AT", "Willkommen", "de", "5. Jänner 2026"),
        ("fr", "Welcome", "en", "January 5, 2026"),
        (None, "Welcome", "en", "January 5, 2026"),
    ],
)
def test_a_message_is_in_the_customers_language_where_it_is_there_in_it(
    tmp_path: Path, locale: str | None, subject: str, language: str, date: str
) -> None:
    files = GERMAN | {"welcome/body.txt.j2": "Hello, {{ traits.when|date }}"}
    words = rendered(tmp_path, files, locale)

    assert (words.subject, words.language) == (subject, language)
    assert f'<html lang="{language}">' in words.html
    assert words.text.strip().endswith(date)


def test_a_place_says_only_what_it_says_otherwise(tmp_path: Path) -> None:
    words = rendered(tmp_path, GERMAN | {"welcome/de_AT/subject.txt.j2": "Servus"}, "de-AT")

    assert (words.subject, words.language) == ("Servus", "de-AT")
    assert words.text.startswith("Guten Tag")


@pytest.mark.parametrize("missing", ["subject.txt.j2", "body.html.j2", "body.txt.j2"])
def test_a_message_is_never_of_two_languages(tmp_path: Path, missing: str) -> None:
    files = {name: text for name, text in GERMAN.items() if name != f"welcome/de/{missing}"}
    words = rendered(tmp_path, files, "de")

    assert words.language == "en"
    assert "Guten Tag" not in words.html + words.text
    assert words.subject == "Welcome"
    problems = "\n".join(map(str, check_templates(tmp_path)))
    assert f"templates/welcome/de: lacks {missing}: a message is written in one language, whole" in problems


def test_a_folder_of_the_templates_own_language_may_say_a_part_of_it(tmp_path: Path) -> None:
    words = rendered(tmp_path, {"welcome/en_GB/subject.txt.j2": "Welcome aboard"}, "en-GB")

    assert (words.subject, words.language) == ("Welcome aboard", "en-GB")
    assert words.text.startswith("Hello Ann")


def test_a_folder_that_is_no_language_is_an_error(tmp_path: Path) -> None:
    files = {"welcome/deu/subject.txt.j2": "x", "welcome/de-AT/subject.txt.j2": "x"}
    problems = [str(one) for one in check_templates(write_files(tmp_path, FILES | files))]

    assert any("welcome/deu: 'deu' is not a language" in one for one in problems)
    assert any("welcome/de-AT: 'de-AT' is not a language" in one for one in problems)


def test_the_templates_own_language_is_the_brands(tmp_path: Path) -> None:
    brand = json.loads(FILES["_layout/brand.json"]) | {"language": "de"}
    words = rendered(
        tmp_path,
        {"_layout/brand.json": json.dumps(brand), "welcome/body.txt.j2": "{{ traits.when|date }}"},
        "fr",
    )

    assert words.language == "de"
    assert words.text == "5. Januar 2026\n"


def test_brand_and_session_may_have_words_of_a_language(tmp_path: Path) -> None:
    brand = json.loads(FILES["_layout/brand.json"]) | {
        "help_url": "https://help.example/en",
        "locales": {"de": {"help_url": "https://help.example/de"}},
    }
    sessions = {"tour": {"title": {"en": "Tour", "de": "Rundgang"}, "url": "https://a.example"}}
    files = GERMAN | {
        "_layout/brand.json": json.dumps(brand),
        "_layout/sessions.json": json.dumps(sessions),
        "welcome/de/body.txt.j2": "{{ brand.name }} {{ brand.help_url }} {{ session.title }}",
        "welcome/body.txt.j2": "{{ brand.name }} {{ brand.help_url }} {{ session.title }}",
    }
    session = {"id": "tour", "title": "Tour"}

    assert (
        rendered(tmp_path, files, "de-AT", session=session).text == "Acme https://help.example/de Rundgang\n"
    )
    assert rendered(tmp_path, files, "fr", session=session).text == "Acme https://help.example/en Tour\n"


@pytest.mark.parametrize(
    ("written", "english", "german"),
    [
        ("{{ 12345.678|number }}", "12,345.678", "12.345,678"),
        ("{{ traits.seats|number }}", "1,200", "1.200"),
        ("{{ 0.256|percent }}", "26%", "26\xa0%"),
        ("{{ 0.256|percent(1) }}", "25.6%", "25,6\xa0%"),
        ("{{ 1250|currency('EUR') }}", "€1,250.00", "1.250,00\xa0€"),
        ("{{ 1250|currency('EUR', 0) }}", "€1,250", "1.250\xa0€"),
        ("{{ 1250|currency('JPY') }}", "¥1,250", "1.250\xa0¥"),
        ("{{ 2|number(2) }}", "2.00", "2,00"),
        ("{{ '2026-03-10T14:00:00Z'|time }}", "3:00\u202fPM", "15:00"),
        ("{{ '2026-03-10T14:00:00Z'|datetime('short') }}", "3/10/26, 3:00\u202fPM", "10.03.26, 15:00"),
        ("{{ '2026-03-10'|date('full') }}", "Tuesday, March 10, 2026", "Dienstag, 10. März 2026"),
        ("[{{ traits.gone|number }}{{ traits.gone|currency('EUR') }}{{ traits.gone|time }}]", "[]", "[]"),
    ],
)
def test_numbers_money_and_times_read_as_the_language_writes_them(
    tmp_path: Path, written: str, english: str, german: str
) -> None:
    files = GERMAN | {"welcome/body.txt.j2": written, "welcome/de/body.txt.j2": written}
    found = [
        rendered(tmp_path, files, locale, traits={"seats": 1200}, absent=["gone"]).text.strip()
        for locale in ("en", "de")
    ]

    assert found == [english, german]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{{ traits.plan|number }}", "not a number"),
        ("{{ 1|currency('EURO') }}", "currency needs a code of ISO 4217"),
        ("{{ '2026-03-10'|date('huge') }}", "a date is one of short, medium, long, full"),
        ("{{ '2026-03-10'|time }}", "a plain date has no time of day"),
        ("{{ traits.plan|date }}", "neither a date nor an instant"),
        ("{{ customer.seats|number }}", "customer.seats is missing"),
    ],
)
def test_a_value_that_is_not_what_a_filter_takes_fails_without_showing_it(
    tmp_path: Path, written: str, words: str
) -> None:
    with pytest.raises(Exception, match=words) as caught:
        rendered(tmp_path, {"welcome/body.txt.j2": written}, "en", traits={"plan": "private"})
    assert "welcome/body.txt.j2:1" in str(caught.value)
    assert "private" not in str(caught.value)


def test_what_ships_has_a_german_layout_that_greets_signs_and_ends_in_german(tmp_path: Path) -> None:
    layout = paths.templates() / "_layout"
    shipped = {f"_layout/{file.relative_to(layout)}": file.read_text() for file in layout.rglob("*.j2")}
    shipped["_layout/brand.json"] = (layout / "brand.json").read_text()
    files = shipped | {
        "welcome/de/subject.txt.j2": "Willkommen",
        "welcome/de/body.html.j2": '{% extends "_layout/de/base.html.j2" %}{% block preheader %}Los{% endblock %}'
        "{% block heading %}Willkommen{% endblock %}{% block content %}<p>Text</p>{% endblock %}",
        "welcome/de/body.txt.j2": '{% extends "_layout/de/base.txt.j2" %}{% block content %}Text{% endblock %}',
    }
    words = rendered(tmp_path, files, "de")

    for part in (words.html, words.text):
        assert "Guten Tag Ann Lee," in part
        assert "Ihr Team von Acme Cloud" in part
        assert "Sie erhalten diese Nachricht, weil Sie ein Konto bei Acme Cloud haben." in part
        assert "Auswählen, was wir Ihnen senden, oder abbestellen" in part
        assert not {"Hello", "You get", "unsubscribe", "team"} & set(part.replace(",", " ").split())
