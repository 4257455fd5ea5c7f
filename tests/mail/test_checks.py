"""What `check` says of templates: everything that is wrong, with file and line, before a customer finds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firstmile import paths
from firstmile.journey.loader import load
from firstmile.journey.model import Journey
from firstmile.mail.brand import read_brand
from firstmile.mail.checks import check_templates
from firstmile.mail.contrast import colour, ratio
from tests.mail.building import FILES, write_files

JOURNEY = """\
journey: small
version: 1
traits: {plan: text, seats: number?}
onboarded: {milestone: value}
ends: 60 days
steps:
  - id: value
    milestone: {event: report.published}
  - id: specialist
    assign: {team: help}
  - id: step
    after: [value]
"""
GOOD = FILES["_layout/base.html.j2"]
SENDS = "    email: {template: welcome}\n"


def journey(sends: str = SENDS) -> Journey:
    loaded = load(JOURNEY + sends, "small.yaml")
    assert loaded.journey is not None, loaded.problems
    return loaded.journey


def found(folder: Path, sends: str | None = None, **files: str) -> list[str]:
    names = {
        "html": "body.html.j2",
        "text": "body.txt.j2",
        "subject": "subject.txt.j2",
        "sample": "sample.json",
    }
    kept = {name: text for name, text in FILES.items() if not name.startswith("intro/")}
    written = {f"welcome/{names[name]}" if name in names else name: text for name, text in files.items()}
    journeys = None if sends is None else {"journeys/small.yaml": journey(sends)}
    return list(map(str, check_templates(write_files(folder, kept | written), journeys)))


def page(content: str = "<p>Hello</p>", layout: str = GOOD) -> dict[str, str]:
    block = '{% extends "_layout/base.html.j2" %}\n{% block heading %}Hi{% endblock %}\n{% block content %}'
    return {"_layout/base.html.j2": layout, "html": block + content + "{% endblock %}"}


def test_what_ships_is_right_in_every_language_and_for_every_step_that_sends_it() -> None:
    journeys = {
        file.name: load(file.read_text(), file.name).journey for file in paths.journeys().glob("*.yaml")
    }
    assert all(journeys.values())

    assert check_templates(paths.templates(), {name: one for name, one in journeys.items() if one}) == []


def test_every_template_that_is_wrong_is_named(tmp_path: Path) -> None:
    problems = found(
        tmp_path,
        sample='{"customer": {"name": "Ann"}}',
        **{"intro/subject.txt.j2": "x", "second/sample.json": "{", "second/subject.txt.j2": "{{ x"},
    )
    assert "templates/_layout/base.html.j2:9: links.preferences is missing (its sample)" in problems
    assert (
        "templates/intro/body.html.j2: the file is missing, and there is no body.mjml.j2 either" in problems
    )
    assert "templates/intro/body.txt.j2: the file is missing" in problems
    assert any(one.startswith("templates/second/subject.txt.j2:1: ") for one in problems)


TEXT_LAYOUT = {
    "_layout/base.txt.j2": "{% block content %}{% endblock %} {{ links.preferences }} {{ brand.address }}"
}


@pytest.mark.parametrize("file", ["body.html.j2", "body.txt.j2", "subject.txt.j2"])
@pytest.mark.parametrize("word", ["extends", "include"])
def test_a_layout_that_is_not_there_is_said_where_it_is_asked_for(
    tmp_path: Path, file: str, word: str
) -> None:
    problems = found(tmp_path, **{f"welcome/{file}": f"\n{{% {word} '_layout/bse.j2' %}}"})

    assert f"templates/welcome/{file}:2: {word} '_layout/bse.j2': the file is missing" in problems


@pytest.mark.parametrize(
    ("part", "layout"), [("html", "_layout/base.html.j2"), ("text", "_layout/base.txt.j2")]
)
def test_a_block_that_no_layout_has_and_words_outside_blocks_are_errors(
    tmp_path: Path, part: str, layout: str
) -> None:
    written = (
        f"{{% extends '{layout}' %}}\n\n{{% block contents %}}Hello{{% endblock %}}\n"
        "{% block content %}{% block own %}x{% endblock %}{% endblock %}\n\nPS: one more thing"
    )
    problems = found(tmp_path, **TEXT_LAYOUT, **{part: written})

    file = f"templates/welcome/body.{part.replace('text', 'txt')}.j2"
    lost = [one for one in problems if "left out" in one]
    assert [one.split(": ")[0] for one in lost] == [f"{file}:3", f"{file}:6"]
    assert lost[0].endswith("unknown block 'contents', which would be left out: did you mean 'content'?")
    assert "stands outside the blocks" in lost[1]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (page(layout=GOOD.replace(' lang="{{ language }}"', "")), "html: <html> has no lang"),
        (page(layout=GOOD.replace("{{ self.heading() }}", "")), "html: there is no <title>"),
        (page(layout=GOOD.replace('name="color-scheme"', 'name="x"')), 'html: there is no <meta name="color-scheme">'),
        (page(layout=GOOD.replace("What comes next", " &zwnj;&nbsp;&#847;")), "html: there is no preheader"),
        (page(layout=GOOD.replace("What comes next", "welcome, to us")) | {"subject": "Welcome, to us"}, "html: the preheader repeats the subject"),
        (page(layout=GOOD.replace("<h1>", "<h2>").replace("</h1>", "</h2>")), "html: the first heading is <h2>, not <h1>"),
        (page("<h3>x</h3>"), "html: <h3> follows <h1>: a level is left out"),
        (page('<img src="https://a.example/x.png">'), "html: an <img> has no alt text"),
        (page('<img src="http://a.example/x.png" alt="">'), "html: a picture does not begin with https://"),
        (page("<table><tr><td>x</td></tr></table>"), "html: a <table> has no role"),
        (page('<a href="http://a.example">a</a>') | {"text": "http://a.example {{ links.preferences }} {{ brand.address }}"}, "html: a link does not begin with https://: 'http://a.example'"),
        (page('<a href="javascript:x()">a</a>'), "html: a link does not begin with https://"),
        (page('<a href="https://a.example/x"></a>'), "html: a link has no words"),
        (page('<a href="https://a.example/x">a</a>'), "txt: a link of the HTML is not in the text: 'https://a.example/x'"),
        (page('<a href="mailto:a@b.example">a</a>'), "txt: a link of the HTML is not in the text: 'mailto:a@b.example'"),
        (page('<script>1</script>'), "html: <script> does not work in mail"),
        (page('<form action="https://a.example"></form>'), "html: <form> does not work in mail"),
        (page('<p onclick="x()">x</p>'), "html: onclick does not work in mail"),
        (page(layout=GOOD.replace("<style>", '<link rel="stylesheet" href="https://a.example"><style>')), "html: <link rel='stylesheet'> does not work in mail"),
        (page(layout=GOOD.replace("<style>", "<style>@import url(https://a.example);")), "html: @import does not work in mail"),
        (page('<p style="color: #888888">grey</p>'), "html: 'grey' is hard to read: a contrast of 3.5, where 4.5 is needed"),
        (page('<p style="background: #ffcc00"><a style="color: #ffffff" href="{{ links.preferences }}">Go</a></p>'), "html: 'Go' is hard to read: a contrast of 1.5"),
        (page(layout=GOOD.replace("{{ brand.address }}", "")), "html: there is no postal address"),
        (page(layout=GOOD.replace('<a href="{{ links.preferences }}">Preferences</a>', "")), "html: there is no link to the preferences"),
        (page() | {"text": "{{ brand.address }}"}, "txt: there is no link to the preferences"),
        (page() | {"text": "{{ links.preferences }}"}, "txt: there is no postal address"),
        (page() | {"text": "{# nothing #}"}, "txt: the text part is empty"),
        (page() | {"subject": "one\ntwo"}, "subject.txt: the subject has more than one line"),
        (page() | {"subject": "  "}, "subject.txt: the subject is empty"),
        (page("<p>" + "words and more of them " * 5000 + "</p>"), "html: the HTML is over 102 KB"),
        (page('<table role="presentation"><tr><td>one</td></tr>two</table>'), "html: inlining changes its words"),
        (page() | {"_layout/brand.json": '{"name": "Acme", "colours": {}}', "_layout/base.html.j2": GOOD.replace("{{ light.ink }}", "#000").replace("{{ brand.address }}", ""), "_layout/base.txt.j2": "{{ links.preferences }}"}, "_layout/brand.json: address: it is missing"),
    ],
)  # fmt: skip
def test_a_page_that_cannot_go_out_is_an_error(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    problems = found(tmp_path, **files)
    part = problem.replace("html: ", "welcome/body.html.j2: ").replace("txt: ", "welcome/body.txt.j2: ", 1)
    part = problem.replace("subject.txt: ", "welcome/subject.txt.j2: ") if "subject.txt" in problem else part

    assert any(one.startswith(f"templates/{part}") for one in problems), problems


def test_a_message_that_is_always_transactional_needs_no_choice_and_no_address(tmp_path: Path) -> None:
    bare = page(
        layout=GOOD.replace('<a href="{{ links.preferences }}">Preferences</a> {{ brand.address }}', "")
    )
    files = bare | {"text": "Hello"}
    transactional = SENDS.replace("welcome}", "welcome, class: transactional}")

    assert len(found(tmp_path, SENDS, **files)) == 4
    assert found(tmp_path, transactional, **files) == []
    assert len(found(tmp_path, transactional + "  - id: again\n    after: [value]\n" + SENDS, **files)) == 4


@pytest.mark.parametrize(
    ("sends", "text", "problem"),
    [
        (SENDS, "{{ traits.seats|number }}", None),
        (SENDS, "{{ traits.sets }}", "1: unknown trait 'sets': did you mean 'seats'? (journeys/small.yaml, step step)"),
        (SENDS, "{% if not traits.plan %}{{ traits.gone }}{% endif %}", "1: unknown trait 'gone'"),
        (SENDS, "{{ traits['gone'] }}", "1: unknown trait 'gone'"),
        (SENDS, "{% if traits.gone is defined %}{{ traits.gone }}{% endif %}", None),
        (SENDS, "{{ traits.gone|default('x') }}", None),
        (SENDS, "a\n\n{{ reached('vlaue') }}", "3: unknown step 'vlaue': did you mean 'value'?"),
        (SENDS, "{% if result('nps').low %}x{% endif %}", "1: unknown step 'nps'"),
        (SENDS, "{{ variant('tone') }}", "1: unknown experiment 'tone'"),
        (SENDS, "{{ owner.specialst.name }}", "1: unknown owner 'specialst': did you mean 'specialist'?"),
        (SENDS, "{{ owner.somebody.name }}", None),
        (SENDS, "{{ links.survey }}", "1: unknown link 'survey': there are app, preferences"),
        ("    survey: {kind: nps, template: welcome, low: 6}\n", "{{ links.survey }}", None),
        ("    survey: {kind: nps, template: welcome, remind: 2 days}\n", "{% if step.reminder %}{{ 1 / 0 }}{% endif %}", "1: ZeroDivisionError (journeys/small.yaml, step step, a reminder)"),
        ("    survey: {kind: nps, template: welcome}\n", "{% if step.reminder %}{{ 1 / 0 }}{% endif %}", None),
        ("    checkin: {template: welcome, every: 3 days, times: 2}\n", "{% if step.occurrence > 1 %}{{ 1 / 0 }}{% endif %}", "1: ZeroDivisionError (journeys/small.yaml, step step, a second check-in)"),
        ("    training: {template: welcome, session: intro}\n", "{{ session.starts|time }}", None),
        ("    training: {template: welcome, session: intro}\n", "{{ session.starts.year }}", "1: 'None' has no attribute 'year'"),
        (SENDS, "{% if owner.specialist %}{{ 1 / 0 }}{% endif %}", "1: ZeroDivisionError (journeys/small.yaml, step step, when all is there)"),
        (SENDS, "{% if not owner.specialist %}{{ 1 / 0 }}{% endif %}", "1: ZeroDivisionError (its sample)"),
        (SENDS, "{{ customer.name.split()[0] }}", "1: 'None' has no attribute 'split' (somebody of whom little is known)"),
        (SENDS, "{{ traits.seats * 2 }}", "1: 'an absent trait' is undefined (journeys/small.yaml, step step, when what is optional is absent)"),
    ],
)  # fmt: skip
def test_a_template_is_tried_in_every_situation_a_step_can_put_it_into(
    tmp_path: Path, sends: str, text: str, problem: str | None
) -> None:
    links = {"preferences": "https://x.example/u", "survey": "https://x.example/s"}
    sample: dict[str, Any] = {"customer": {"name": "Ann Lee"}, "links": links, "absent": ["gone"]}
    sample["traits"] = {"plan": "pro", "seats": 5, "sets": 1}
    sample["session"] = {"starts": "2026-03-10T15:00:00Z"}
    if ".year" in text or "|time" in text or "traits.seats" in text:
        sample["session"]["starts"] = None
        sample["traits"].pop("seats") if "*" not in text else None
        sample["absent"] = ["seats"] if "*" not in text else []
    footer = "\n{{ links.preferences }} {{ brand.address }}"
    problems = [
        one
        for one in found(tmp_path, sends, text=text + footer, sample=json.dumps(sample))
        if one.startswith("templates/welcome/body.txt.j2")
    ]

    if problem is None:
        assert problems == []
    else:
        assert any(one.startswith(f"templates/welcome/body.txt.j2:{problem}") for one in problems), problems


def test_a_session_that_is_not_there_is_an_error_of_the_journey(tmp_path: Path) -> None:
    problems = found(tmp_path, "    training: {template: welcome, session: intor}\n")

    assert problems == [
        "journeys/small.yaml: steps.step.training.session: unknown session 'intor': did you mean 'intro'?"
    ]


def test_a_message_in_a_language_stands_in_the_layout_of_that_language(tmp_path: Path) -> None:
    files = {
        "_layout/de/base.html.j2": '{% extends "_layout/base.html.j2" %}',
        "welcome/de/subject.txt.j2": "Willkommen",
        "welcome/de/body.html.j2": FILES["welcome/body.html.j2"],
        "welcome/de/body.txt.j2": FILES["welcome/body.txt.j2"],
    }
    right = files | {
        "welcome/de/body.html.j2": files["welcome/de/body.html.j2"].replace("_layout/", "_layout/de/")
    }

    assert found(tmp_path, **right) == []
    assert found(tmp_path, **files) == [
        (
            "templates/welcome/de/body.html.j2: its layout is in another language: "
            "extend or include _layout/de/base.html.j2"
        )
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('{"from": "specialist", "reply_to": "specialist"}', None),
        ('{"from": "specialst"}', "from: unknown owner 'specialst': did you mean 'specialist'?"),
        ('{"from": "partner"}', None),
        ('{"form": "specialist"}', "unknown key 'form': did you mean 'from'?"),
    ],
)  # fmt: skip
def test_a_role_that_a_message_comes_from_and_no_journey_assigns_is_probably_misspelt(
    tmp_path: Path, written: str, problem: str | None
) -> None:
    problems = found(tmp_path, SENDS, **{"welcome/message.json": written})

    assert problems == ([] if problem is None else [f"templates/welcome/message.json: {problem}"])


# ---- the brand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brand", "problem"),
    [
        ({"name": "A", "adress": "x"}, "3: adress: did you mean 'address'?"),
        ({"name": ""}, "2: name: string should have at least 1 character"),
        ({"nmae": "A"}, "name: field required"),
        ({"name": "A", "language": "klingon"}, "3: language: a language was expected"),
        ({"name": "A", "website": "http://a.example"}, "3: website: an address that begins with https:// was expected"),
        ({"name": "A", "status_url": "a.example"}, "3: status_url: an address that begins with https://"),
        ({"name": "A", "reply_to": "nobody"}, "3: reply_to: an address of the form name@host was expected"),
        ({"name": "A", "colours": {"light": {"ink": "red"}}}, "5: colours.light.ink: a colour of six digits"),
        ({"name": "A", "colours": {"light": {"imk": "#000000"}}}, "5: colours.light.imk: did you mean 'ink'?"),
        ({"name": "A", "logo": {"url": "https://a.example/l.png", "width": 900}}, "logo.alt: field required"),
        ({"name": "A", "logo": {"url": "https://a.example/l.png", "alt": "A", "width": 900}}, "6: logo.width: input should be less than or equal to 600"),
        ({"name": "A", "locales": {"deu": {}}}, "locales.deu: a language was expected"),
        ({"name": "A", "locales": {"de": {"helpurl": "https://a.example"}}}, "5: locales.de.helpurl: did you mean 'help_url'?"),
    ],
)  # fmt: skip
def test_a_flaw_of_the_brand_has_its_line_and_its_field(
    tmp_path: Path, brand: dict[str, Any], problem: str
) -> None:
    write_files(tmp_path, {"brand.json": json.dumps(brand, indent=1)})
    problems = [str(one) for one in read_brand(tmp_path / "brand.json", "brand.json").problems]

    assert any(one.startswith(f"brand.json:{problem}") or problem in one for one in problems), problems


def test_all_flaws_of_a_brand_are_said_at_once_and_keys_of_its_own_are_fine(tmp_path: Path) -> None:
    text = json.dumps(
        {"name": "A", "address": 1, "reply_to": "x", "community": "any", "next_plan": {"a": "b"}}
    )
    problems = read_brand(write_files(tmp_path, {"b.json": text}) / "b.json", "b.json").problems

    assert [one.field for one in problems] == ["reply_to", "address"]


def test_colours_that_are_hard_to_read_are_an_error_of_the_brand(tmp_path: Path) -> None:
    dark = {"surface": "#101010", "ink": "#303030", "primary": "#2f4bd8", "on_primary": "#ffffff"}
    brand = json.loads(FILES["_layout/brand.json"]) | {"colours": {"ink": "#123456", "dark": dark}}
    problems = found(tmp_path, **{"_layout/brand.json": json.dumps(brand)})

    assert problems == [
        (
            "templates/_layout/brand.json: colours.dark.ink: on 'surface' it is hard to read: "
            "a contrast of 1.4, where 4.5 is needed"
        ),
        (
            "templates/_layout/brand.json: colours.dark.primary: on 'surface' it is hard to read: "
            "a contrast of 2.8, where 4.5 is needed"
        ),
    ]


@pytest.mark.parametrize(
    ("one", "other", "contrast"),
    # WCAG's own extremes, and pairs from its understanding documents.
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#767676", "#ffffff", 4.54), ("#ffffff", "#ffffff", 1.0)],
)  # fmt: skip
def test_contrast_is_reckoned_as_wcag_does(one: str, other: str, contrast: float) -> None:
    assert ratio(one, other) == pytest.approx(contrast, abs=0.01)
    assert ratio(one, other) == ratio(other, one)


@pytest.mark.parametrize(
    ("text", "read"),
    [("#ABC", "#aabbcc"), ("#123456 url(x)", "#123456"), ("white", "#ffffff"), ("rgb(1,2,3)", None), (None, None)],
)  # fmt: skip
def test_a_colour_is_read_from_css(text: str | None, read: str | None) -> None:
    assert colour(text) == read
