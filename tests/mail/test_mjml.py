"""MJML: compiled once, with what Jinja says still where it was said; and refused where MJML would be silent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from firstmile import paths
from firstmile.mail.context import sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.templates import Templates
from tests.mail.building import FILES, write_files

HEAD = """{%- set ink = brand.colours.ink -%}
<mjml lang="{{ language }}">
<mj-head><mj-title>{{ customer.name }}</mj-title><mj-preview>{{ customer.company }}</mj-preview>
<mj-attributes><mj-all font-family="Arial" /><mj-text color="{{ ink }}" /></mj-attributes>
<mj-style>.loud div { letter-spacing: 3px; } @media (prefers-color-scheme: dark) { .loud div { color: {{ ink }} !important; } }</mj-style></mj-head>
<mj-body>
"""
TAIL = "\n</mj-body></mjml>\n"


def column(inside: str) -> str:
    return f"{HEAD}<mj-section><mj-column>\n{inside}\n</mj-column></mj-section>{TAIL}"


def made(folder: Path, mjml: str, **files: str) -> Templates:
    kept = {name: text for name, text in FILES.items() if name != "welcome/body.html.j2"}
    return Templates(write_files(folder, kept | {"welcome/body.mjml.j2": mjml} | files))


def page(templates: Templates, **sample: Any) -> str:
    customer = {"name": "Ann", "company": 'Lee "& Co"', "locale": "en"}
    links = {"preferences": "https://acme.example/u", "app": "https://app.example/"}
    values = {"customer": customer, "links": links} | sample
    assert templates.problems == []
    return templates.render("welcome", sample_context(values, templates.brand)).html


def words(html: str) -> list[str]:
    body = re.sub(r"<!--.*?-->|<(style|title)\b.*?</\1>", "", html[html.index("<body") :], flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", body).split()


def test_values_come_wherever_mjml_writes_them(tmp_path: Path) -> None:
    html = page(
        made(
            tmp_path,
            column('<mj-button href="{{ links.app }}?a=1&b=2" background-color="{{ ink }}">Go</mj-button>'),
        )
    )

    assert '<html lang="en"' in html
    assert "<title>Ann</title>" in html
    assert 'href="https://app.example/?a=1&amp;b=2"' in html
    assert "Lee &#34;&amp; Co&#34;" in html
    assert html.count("#123456") >= 3, "attribute and style of the button, and the rule for the dark"


def test_styles_are_inlined_and_media_rules_stay(tmp_path: Path) -> None:
    html = page(made(tmp_path, column('<mj-text css-class="loud">x</mj-text>')))

    assert re.search(r'<div style="[^"]*letter-spacing: 3px[^"]*color: #123456', html)
    assert "@media (prefers-color-scheme: dark) { .loud div { color: #123456 !important; } }" in html


@pytest.mark.parametrize(
    ("inside", "seen"),
    [
        ("{% if day %}<mj-button href='https://a.example'>Go</mj-button>{% endif %}<mj-text>end</mj-text>", (["end"], ["Go", "end"])),
        ("{% if day %}<mj-text>late</mj-text>{% else %}<mj-text>soon</mj-text>{% endif %}", (["soon"], ["late"])),
        ("{% for n in range(day) %}<mj-text>n{{ n }}</mj-text>{% else %}<mj-text>no</mj-text>{% endfor %}", (["no"], ["n0", "n1"])),
        ("<mj-text>a {% if day %}<b>b</b> {% endif %}c</mj-text>", (["a", "c"], ["a", "b", "c"])),
        ("<mj-table>{% for n in range(day + 1) %}<tr><td>r{{ n }}</td></tr>{% endfor %}</mj-table>", (["r0"], ["r0", "r1", "r2"])),
        ("<mj-button href='https://a.example'>{% if day %}Late{% else %}Soon{% endif %}</mj-button>", (["Soon"], ["Late"])),
        ("{% if day %}{% for n in range(day) %}<mj-divider />{% if n %}<mj-text>{{ n }}</mj-text>{% endif %}{% endfor %}{% endif %}<mj-raw>{{ day }}</mj-raw>", (["0"], ["1", "2"])),
    ],
)  # fmt: skip
def test_tags_of_jinja_between_elements_and_in_text_do_what_they_say(
    tmp_path: Path, inside: str, seen: tuple[list[str], list[str]]
) -> None:
    templates = made(tmp_path, column(inside))

    assert [words(page(templates, day=day))[3:] for day in (0, 2)] == list(map(list, seen))


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("{% if day %}<mj-section><mj-column><mj-text>one</mj-text></mj-column></mj-section>{% endif %}<mj-section><mj-column><mj-text>two</mj-text></mj-column></mj-section>", (["two"], ["one", "two"])),
        ("{% for n in range(day) %}<mj-section>{% if n %}<mj-column><mj-text>l</mj-text></mj-column>{% endif %}<mj-column><mj-text>r</mj-text></mj-column></mj-section>{% endfor %}", ([], ["r", "l", "r"])),
        ("{% if day %}<mj-wrapper><mj-section><mj-column><mj-text>in</mj-text></mj-column></mj-section></mj-wrapper>{% endif %}", ([], ["in"])),
        ("<mj-section>{% for n in range(day) %}<mj-column><mj-text>{{ n }}</mj-text></mj-column>{% endfor %}</mj-section>", ([], ["0", "1"])),
    ],
)  # fmt: skip
def test_sections_and_columns_can_depend_on_the_customer(
    tmp_path: Path, body: str, seen: tuple[list[str], list[str]]
) -> None:
    templates = made(tmp_path, HEAD + body + TAIL)

    for day, expected in zip((0, 2), seen, strict=True):
        html = page(templates, day=day)
        assert words(html)[3:] == expected
        assert html.count("<!--[if mso | IE]>") == html.count("<![endif]-->") - html.count(
            "<!--[if !mso]>"
        ) - (html.count("<!--[if mso]>") + html.count("<!--[if lte mso 11]>")), (
            "what Outlook reads is opened and closed alike"
        )
        assert html.count("<table") == html.count("</table>")


@pytest.mark.parametrize(
    ("mjml", "problem"),
    [
        (column("<mj-txet>x</mj-txet>"), "8: unknown tag of MJML 'mj-txet': did you mean 'mj-text'?"),
        (column('<mj-text\n colour="red">x</mj-text>'), "9: unknown attribute 'colour' of mj-text: did you mean 'color'?"),
        (column("<mj-text>x</mj-text>\nstray"), "9: text in mj-column is dropped: put it into mj-text"),
        (column("{{ customer.name }}"), "8: a value stands between elements: put it into mj-text"),
        (column("<p>x</p>"), "8: unknown tag of MJML 'p': HTML goes into mj-text, mj-table or mj-raw"),
        (column("<mj-section></mj-section>"), "8: mj-section cannot stand in mj-column"),
        (column("<mj-text><mj-button href='x'>y</mj-button></mj-text>"), "8: mj-button cannot stand in mj-text"),
        (column("<mj-text>x"), "8: <mj-text> is not closed"),
        (column("</mj-group>"), "8: </mj-group> closes what is not open"),
        (column("<mj-text>a<p>b</mj-text>"), "MJML cannot be read"),
        (column('<mj-text css-class="a{% if day %}b{% endif %}">x</mj-text>'), "8: a css-class that depends on a value"),
        (column('<mj-text {% if day %}color="red"{% endif %}>x</mj-text>'), "8: in a tag of MJML"),
        (column('<mj-image src="https://a.example/x.png" alt="" width="{{ day }}px" />'), "8: MJML drops '{{ day }}'"),
        (column('<mj-include path="x" />'), "8: mj-include is not read"),
        (HEAD.replace("<mj-title>", '<mj-font name="x" href="https://x" /><mj-title>') + TAIL, "3: mj-font loads a stylesheet from elsewhere"),
        (HEAD.replace("<mj-style>", "<mj-style>{% if day %}") + TAIL, "5: 'if' cannot stand in <mj-style>"),
        (HEAD.replace("<mj-title>", "{% if day %}<mj-title>") + TAIL, "3: MJML moves or drops '{% if day %}'"),
        (f"{HEAD}<mj-wrapper>{{% if day %}}<mj-section></mj-section>{{% endif %}}</mj-wrapper>{TAIL}", "7: '{% if day %}' cannot stand between the sections of mj-wrapper"),
        ("<p>x</p>", "there is no <mjml>"),
        ("x\n<mjml><mj-body></mj-body></mjml>", "there is text before <mjml>"),
    ],
)  # fmt: skip
def test_what_mjml_would_swallow_is_an_error_with_its_place(tmp_path: Path, mjml: str, problem: str) -> None:
    if "{% if day %}<mj-title" in mjml:
        mjml = mjml.replace("</mj-title>", "</mj-title>{% endif %}")
    if "<mj-style>{% if day %}" in mjml:
        mjml = mjml.replace("</mj-style>", "{% endif %}</mj-style>")
    found = "\n".join(map(str, made(tmp_path, mjml).problems))

    assert problem in found
    assert "template welcome: welcome/body.mjml.j2" in found


def test_a_table_is_for_the_layout_unless_it_has_heads(tmp_path: Path) -> None:
    rows = "<tr><td>{% if day %}x{% endif %}</td></tr>"
    html = page(
        made(tmp_path, column(f"<mj-table>{rows}</mj-table><mj-table><tr><th>h</th></tr>{rows}</mj-table>"))
    )

    assert [
        one.startswith('<table role="presentation"')
        for one in re.findall(r"<table [^>]*table-layout[^>]*>", html)
    ] == [
        True,
        False,
    ]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    templates = made(tmp_path, column("<mj-txet>x</mj-txet>\n<mj-text colour='red'>x</mj-text>"))

    assert [problem.line for problem in templates.problems] == [8, 9]


def test_a_missing_name_is_placed_in_the_file_as_it_is_written(tmp_path: Path) -> None:
    templates = made(tmp_path, column("<mj-text>\n{{ customer.nmae }}</mj-text>"))

    with pytest.raises(TemplateError, match=r"welcome/body.mjml.j2:9: customer.nmae is missing"):
        page(templates)


def test_a_template_has_one_html_part_only(tmp_path: Path) -> None:
    files = FILES | {"welcome/body.mjml.j2": column("<mj-text>x</mj-text>")}
    (problem,) = Templates(write_files(tmp_path, files)).problems

    assert str(problem) == "template welcome: welcome: there are both body.html.j2 and body.mjml.j2: keep one"


@pytest.mark.parametrize(("locale", "greeting"), [("en-GB", "Hi Ann,"), ("de", "Guten Tag Ann,")])
def test_the_layout_that_ships_greets_signs_and_lets_choose(
    tmp_path: Path, locale: str, greeting: str
) -> None:
    layout = paths.templates() / "_layout"
    files = {f"_layout/{file.relative_to(layout)}": file.read_text() for file in layout.rglob("*.mjml.j2")}
    brand = json.loads((layout / "brand.json").read_text())
    brand["logo"] = {"url": "https://a.example/logo.png", "alt": "Acme", "width": 120}
    files["_layout/brand.json"] = json.dumps(brand)
    blocks = """{% block preheader %}Ready{% endblock %}{% block heading %}Say "hi" & go{% endblock %}
{% block content %}<mj-text><p>Text</p></mj-text><mj-button href="{{ links.app }}">Go</mj-button>{% endblock %}
{% block sections %}<mj-section><mj-column><mj-text>more</mj-text></mj-column></mj-section>{% endblock %}"""
    base = '{% extends "_layout/base.mjml.j2" %}' + blocks
    german = {
        "welcome/de/subject.txt.j2": "Los",
        "welcome/de/body.mjml.j2": '{% extends "_layout/de/base.mjml.j2" %}' + blocks,
        "welcome/de/body.txt.j2": "x",
    }
    customer = {"name": "Ann", "locale": locale}
    html = page(made(tmp_path, base, **files, **german), customer=customer)

    assert greeting in html
    assert f'<html lang="{locale}"' in html
    assert 'aria-label="Say &#34;hi&#34; &amp; go' in html
    assert brand["address"] in html
    assert "https://acme.example/u" in html
    assert 'alt="Acme"' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "fonts.googleapis" not in html
    assert re.search(r'<a href="https://app.example/"[^>]*background:#2f4bd8[^>]*color:#ffffff', html)
