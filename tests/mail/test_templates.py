"""Templates: rendered strictly, inlined at load, safe to fill with what customers typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firstmile.mail.context import first_name, sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.templates import Templates
from tests.mail.building import FILES, write_files


def made(folder: Path, **files: str) -> Templates:
    """The templates with `welcome`'s files replaced: `body_html` for `body.html.j2`."""
    names = {
        "subject": "subject.txt.j2",
        "html": "body.html.j2",
        "text": "body.txt.j2",
        "sample": "sample.json",
    }
    return Templates(
        write_files(folder, FILES | {f"welcome/{names[name]}": text for name, text in files.items()})
    )


def html(content: str) -> str:
    return '{% extends "_layout/base.html.j2" %}\n{% block heading %}H{% endblock %}\n{% block content %}' + (
        content + "{% endblock %}"
    )


def context(**sample: Any) -> dict[str, Any]:
    customer = {"name": "Ann Lee", "email": "ann@example.com", "locale": "en", "timezone": "Europe/Berlin"}
    links = {"preferences": "https://acme.example/u"}
    brand = {"name": "Acme", "address": "1 Acme Street, Acton", "colours": {"ink": "#123456"}}
    return sample_context({"customer": customer, "links": links} | sample, brand)


def test_styles_of_the_layout_are_inlined_into_blocks_and_media_rules_stay(templates: Templates) -> None:
    page = templates.render("welcome", templates.sample("welcome")).html
    assert '<p style="color: #123456;">Hello Ann</p>' in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert "<title>Welcome</title>" in page


def test_jinja_tags_survive_inlining_wherever_they_stand(tmp_path: Path) -> None:
    content = """<table>
{% for row in traits.rows %}<tr {% if row.hot %}title="{{ row.name ~ '<&>' }}"{% endif %}>
<td class="button"><a href="{{ links.app }}?a=1&b={{ row['name'] }}">{{ row.name }}</a></td></tr>
{% else %}<tr><td>none</td></tr>{% endfor %}</table><!-- {{ day }} -->"""
    rows = [{"name": "one", "hot": True}, {"name": "two", "hot": False}]
    links = {"app": "https://a.example/", "preferences": "https://a.example/u"}
    templates = made(tmp_path, html=html(content))
    page = templates.render("welcome", context(traits={"rows": rows}, links=links, day=7)).html
    assert '<tr title="one&lt;&amp;&gt;"' in page
    assert page.count("<tr") == 2
    assert '<a href="https://a.example/?a=1&amp;b=two" style="padding: 3px;">two</a>' in page
    assert "<tbody" not in page
    assert "<!-- 7 -->" in page
    assert "none" in templates.render("welcome", context(traits={"rows": []}, links=links)).html


def test_a_block_may_add_to_the_layouts_own(tmp_path: Path) -> None:
    files = {
        "_layout/base.html.j2": "<html><body>{% block a %}<p>base</p>{% endblock %}</body></html>",
        "welcome/body.html.j2": '{% extends "_layout/base.html.j2" %}'
        "{% block a %}{{ super() }}<p>more</p>{% endblock %}",
    }
    page = Templates(write_files(tmp_path, FILES | files)).render("welcome", context()).html
    assert page.index("base") < page.index("more")


def test_an_include_is_inlined_too(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"_layout/part.html.j2": '<p>{{ customer.name }}</p>{% include "_layout/end.html.j2" %}'}
    )
    write_files(tmp_path, {"_layout/end.html.j2": "<p>end</p>"})
    page = made(tmp_path, html=html('{% include "_layout/part.html.j2" %}')).render("welcome", context()).html
    assert '<p style="color: #123456;">Ann Lee</p><p style="color: #123456;">end</p>' in page


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('<p title="{{ day }}" title="{{ day }}">x</p>', "an HTML parser moves or drops"),
        ('<p class="a {% if day %}b{% endif %}">x</p>', "a class that depends on a value cannot be inlined"),
        ('{% from "_layout/x.html.j2" import y %}', "so use a block or an include"),
        ("{% if day %}", "Encountered unknown tag"),
    ],
)
def test_what_cannot_be_inlined_is_an_error_with_its_place(
    tmp_path: Path, content: str, problem: str
) -> None:
    templates = made(tmp_path, html=html(content))
    (found,) = map(str, templates.problems)
    assert problem in found
    assert "welcome/body.html.j2" in found
    assert templates.names == ["intro"], "the others can still be used"
    with pytest.raises(TemplateError):
        templates.render("welcome", context())


@pytest.mark.parametrize(
    ("files", "place", "words"),
    [
        (
            {"html": html("<p>\n{{ customer.nmae }}</p>")},
            "welcome/body.html.j2:4",
            "customer.nmae is missing: did you mean 'name'?",
        ),
        ({"html": html("{{ traits.plan }}")}, "welcome/body.html.j2:3", "traits.plan is missing"),
        ({"text": "a\n\n{{ nothing }}"}, "welcome/body.txt.j2:3", "'nothing' is undefined"),
        ({"subject": "{{ links.survey }}"}, "welcome/subject.txt.j2:1", "links.survey is missing"),
        ({"text": "{{ session.url }}"}, "welcome/body.txt.j2:1", "'session' is undefined"),
        ({"text": "{{ 1 / day }}"}, "welcome/body.txt.j2:1", "ZeroDivisionError"),
    ],
)
def test_what_is_missing_fails_with_template_file_and_line(
    tmp_path: Path, files: dict[str, str], place: str, words: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        made(tmp_path, **files).render("welcome", context())
    assert str(caught.value) == f"template welcome: {place}: {words}"


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    (problem,) = made(tmp_path, text="fine\n{% if %}").problems
    assert str(problem).startswith("template welcome: welcome/body.txt.j2:2: ")


def test_customers_words_are_escaped_in_html_and_plain_in_text(tmp_path: Path) -> None:
    templates = made(tmp_path, html=html("<p>{{ customer.company }}</p>"), text="{{ customer.company }}")
    words = templates.render("welcome", context(customer={"company": "<b>A & B</b>"}))
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in words.html
    assert words.text == "<b>A & B</b>\n"


def test_a_subject_is_one_line_whatever_was_typed(templates: Templates) -> None:
    words = templates.render(
        "welcome", context(customer={"name": "x", "company": "Evil\r\nBcc: a@b.c\u2028\0x"})
    )
    assert words.subject == "Welcome, Evil Bcc: a@b.c x"


def test_nothing_of_python_can_be_reached(tmp_path: Path) -> None:
    for text in (
        "{{ customer.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ traits.items }}",
        "{{ brand.pop('name') }}",
    ):
        with pytest.raises(TemplateError):
            made(tmp_path, text=text).render("welcome", context())


def test_output_is_capped(tmp_path: Path) -> None:
    templates = made(tmp_path, text="{% for i in range(50000) %}ten letters{% endfor %}")
    with pytest.raises(TemplateError, match="longer than 200000"):
        templates.render("welcome", context())


def test_an_absent_trait_is_empty_and_false_and_so_is_an_owner_that_is_not_there(tmp_path: Path) -> None:
    text = (
        "[{{ traits.seats }}]{% if traits.seats > 5 %}many{% endif %}{% if owner.specialist %}yes{% endif %}"
        "[{{ owner.specialist.name }}][{{ traits.ends|date }}][{{ customer.company }}]"
    )
    words = made(tmp_path, text=text).render("welcome", context(absent=["seats", "ends"]))
    assert words.text == "[][][][]\n"


def test_templates_see_what_expressions_see(tmp_path: Path) -> None:
    text = (
        "{{ reached('a') }} {{ missed('a') }} {{ done('b') }} {{ skipped('c') }} {{ result('nps').score }} "
        "{{ count('x') }} {{ count('y') }} {{ variant('tone') }} {{ day }} {{ step.reminder }}"
    )
    sample = context(
        reached=["a"],
        done=["b"],
        skipped=["c"],
        results={"nps": {"score": 9}},
        counts={"x": 2},
        variants={"tone": "formal"},
        day=3,
        step={"reminder": 1},
    )
    assert (
        made(tmp_path, text=text).render("welcome", sample).text == "True False True True 9 2 0 formal 3 1\n"
    )


@pytest.mark.parametrize(
    ("locale", "zone", "value", "date", "moment"),
    [
        ("en", "Europe/Berlin", "2026-03-10T23:30:00Z", "March 11, 2026", "March 11, 2026, 12:30\u202fAM"),
        ("de-AT", "Europe/Vienna", "2026-03-10T14:00:00Z", "March 10, 2026", "March 10, 2026, 3:00\u202fPM"),
        ("ja", "Asia/Tokyo", "2026-04-01", "April 1, 2026", "April 1, 2026"),
        ("en-GB", "Europe/London", "2026-03-10T14:00:00Z", "10 March 2026", "10 March 2026, 14:00"),
        ("xx", None, "2026-03-10T14:00:00+01:00", "March 10, 2026", "March 10, 2026, 1:00\u202fPM UTC"),
    ],
)
def test_dates_read_in_the_language_of_the_message_and_the_zone_of_the_customer(
    tmp_path: Path, locale: str, zone: str | None, value: str, date: str, moment: str
) -> None:
    templates = made(tmp_path, text="{{ traits.when|date }};{{ traits.when|datetime }}")
    sample = context(customer={"locale": locale, "timezone": zone}, traits={"when": value})
    found = templates.render("welcome", sample).text.strip().split(";")
    assert found[0] == date
    assert found[1] == moment


@pytest.mark.parametrize(
    ("locale", "zone", "value", "called"),
    [
        ("en-GB", "Europe/London", "2026-03-18T13:00:00Z", "GMT"),
        ("en-GB", "Europe/London", "2026-07-18T13:00:00Z", "BST"),
        ("en-GB", "Asia/Tokyo", "2026-03-18T13:00:00Z", "Japan Standard Time"),
        ("en-US", "America/Phoenix", "2026-07-18T13:00:00Z", "MST"),
        ("en", "Asia/Kathmandu", "2026-07-18T13:00:00Z", "GMT+05:45"),
        ("en", None, "2026-07-18T13:00:00Z", ""),
        ("en", "Europe/London", "2026-07-18", ""),
        ("en", "Europe/London", "", ""),
    ],
)
def test_a_zone_is_called_what_its_clocks_are_called_at_that_moment(
    tmp_path: Path, locale: str, zone: str | None, value: str, called: str
) -> None:
    templates = made(tmp_path, text="{{ traits.when|zone }};")
    sample = context(customer={"locale": locale, "timezone": zone}, traits={"when": value})

    assert templates.render("welcome", sample).text == f"{called};\n"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Ann Lee", "Ann"),
        ("Dr. Ann Lee", "Ann"),
        ("Ann", "Ann"),
        (None, None),
        ("ann@example.com", None),
        (" ", None),
    ],
)
def test_the_word_to_greet_with(name: str | None, first: str | None) -> None:
    assert first_name(name) == first
