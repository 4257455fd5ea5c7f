"""Reading YAML: what values a file holds, where they stand, and what is refused with which words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.problems import Problem, field_name, in_order, nearest, unknown
from firstmile.journey.source import Position, read

ALIAS = "aliases are not part of the format: write out what"
COLON = (
    "a ':' where none is expected: quote text that contains ': ', "
    "and let the keys of one mapping start in the same column"
)
BRACKETS = "text with ',', ':' or brackets goes in quotes"


def tree(text: str) -> object:
    document = read(text, "f.yaml")
    assert document.problems == ()
    assert document.complete
    return document.tree


def told(text: str) -> list[str]:
    return [str(problem) for problem in read(text, "f.yaml").problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("off", "off"),
        ("17:00", "17:00"),
        ("09:00", "09:00"),
        ("2026-03-06", "2026-03-06"),
        ("2026-03-06T03:00:00Z", "2026-03-06T03:00:00Z"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1 day", "1 day"),
        ("date?", "date?"),
        ("3.", 3.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5", 5),
        ("+5", 5),
        ("-05", -5),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ('"5"', "5"),
        ("'true'", "true"),
        ('""', ""),
        ("|\n  5\n", "5\n"),
        (">-\n  a\n  b\n", "a b"),
        ("[a, 1, [true]]", ["a", 1, [True]]),
        ("{a: date?, b: {c: ~}}", {"a": "date?", "b": {"c": None}}),
    ],
)
def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    read_value = tree(f"x: {written}")
    assert read_value == {"x": value}
    assert isinstance(read_value, dict)
    assert type(read_value["x"]) is type(value)


def test_every_key_and_value_has_its_place() -> None:
    document = read("a: 1\nb:\n  - c: x\n    d: [y,\n      z]\n", "f.yaml")
    assert document.keys[("b", 0, "d")] == Position(4, 5)
    assert document.values[("a",)] == Position(1, 4)
    assert document.values[("b", 0, "d", 1)] == Position(5, 7)
    assert document.line(("b", 0, "d")) == 4
    assert document.line(("b",)) == 2
    assert document.line(("b", 0, "nothing", "here")) == 3
    assert document.written == {("a",): "1"}


def test_a_byte_order_mark_and_other_line_endings_do_not_matter() -> None:
    assert tree("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["f.yaml:1: the file is empty"]),
        ("# only this\n", ["f.yaml:1: the file is empty"]),
        ("a: 1\nb: 2\na: 3\n", ["f.yaml:3: a: duplicate key 'a': it was first written in line 1"]),
        (
            "steps:\n  - id: x\n    email: {t: 1, t: [2, {u: 3}]}\n",
            ["f.yaml:3: steps.x.email.t: duplicate key 't': it was first written in line 3"],
        ),
        (
            "a: &x 1\nb: *x\n",
            [f'f.yaml:2: b: {ALIAS} *x stands for, or quote this: "*x"'],
        ),
        ("a: 1\n*x : 2\n", [f"f.yaml:2: {ALIAS} *x stands for"]),
        ("a: &co Partners\n", ['f.yaml:1: a: YAML takes &co for an anchor: quote this: "&co …"']),
        (
            "a: 1\n<<: {b: 1}\n",
            ["f.yaml:2: merge keys are not part of the format: write out what '<<' stands for"],
        ),
        (
            "a: !!str 5\n",
            ["f.yaml:1: a: tags are not part of the format: remove !!str (text goes in quotes)"],
        ),
        ("a: 1\n---\nb: 1\n", ["f.yaml:2: a second document starts here: a file holds one journey"]),
        (
            "%YAML 1.1\n---\na: yes\n",
            ["f.yaml:1: directives (%YAML, %TAG) are not part of the format: remove them"],
        ),
        ("5: x\n", ['f.yaml:1: a key must be text, and this is a number: quote this: "5"']),
        ("true: x\n", ['f.yaml:1: a key must be text, and this is true or false: quote this: "true"']),
        ("? [a]\n: 1\n", ["f.yaml:1: a key must be text, not a list: text with brackets goes in quotes"]),
        ("a: {{ b }}\n", ["f.yaml:1: a: YAML takes '{{ … }}' for a mapping: put the whole text in quotes"]),
        (
            "a: {{ b }} c\n",
            ["f.yaml:1: a: YAML takes '{{ … }}' for a mapping: put the whole text in quotes"],
        ),
        ("a: .inf\n", ['f.yaml:1: a: .inf is no number that can be used here: quote this: ".inf"']),
        (
            "a: 99999999999999999999\n",
            ['f.yaml:1: a: this number is too large: quote this: "99999999999999999999"'],
        ),
        ("x: " + "[" * 60 + "]" * 60, ["f.yaml:1: x: nested more than 50 levels deep"]),
        ("x: " + "{a: " * 60, ["f.yaml:1: x" + ".a" * 49 + ": nested more than 50 levels deep"]),
        ("a: " + "x" * 1_000_001, ["f.yaml: the file is larger than 1 MB"]),
        ("a: 1\nb: \x07\n", ["f.yaml:2: the character U+0007 may not stand in a YAML file: remove it"]),
    ],
)
def test_what_the_format_leaves_out_of_yaml_is_refused_with_its_line(text: str, problems: list[str]) -> None:
    assert told(text) == problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c\n", f"1: {COLON}"),
        ("a: 1\n  b: 2\n", f"2: {COLON}"),
        ("a: [1, 2\nb: 3\n", f"2: a ',' or the ']' of the list was expected here: {BRACKETS}"),
        ("b: 1\na: {x: 1\n", "2: the '{' that opens here is never closed"),
        ("b: 1\na: 'x\nc: 3\n", "2: the quote that opens here is never closed"),
        ("a: 1\n\tb: 2\n", "2: a tab stands here: indent with spaces"),
        ("a: @x\n", "1: text that begins with @ goes in quotes"),
        ("a: `x`\n", "1: text that begins with ` goes in quotes"),
        ("a: %x\n", "1: text that begins with % goes in quotes"),
        ("a: }\n", "1: text that begins with } goes in quotes"),
        ("a: * x\n", "1: text that begins with * or & goes in quotes"),
        ('a: "\\q"\n', "1: \\q means nothing in double quotes: write \\\\q, or use single quotes"),
        ("a: x\nb\nc: 2\n", "2: a key and a ':' were expected in this line"),
        ("a: 'it's'\n", "1: text where none is expected: quote the whole text, or check the indentation"),
        ("- a\nb: 1\n", "2: a key where none is expected: check the indentation"),
        ("a: [x]]\n", "1: a ']' where none is expected: check the indentation, and quote text with brackets"),
        ("a: - b\n", "1: a '- ' where none is expected: a list starts on a line of its own"),
    ],
)
def test_a_syntax_error_is_told_in_plain_words(text: str, problem: str) -> None:
    document = read(text, "f.yaml")
    assert not document.complete
    assert [str(found) for found in document.problems] == [f"f.yaml:{problem}"]


def test_problems_found_before_a_syntax_error_are_kept() -> None:
    assert [line.split(": ")[1:3] for line in told("steps:\n- id: x\n  a: 1\n  a: 2\nb: 'x\n")] == [
        ["steps.x.a", "duplicate key 'a'"],
        ["the quote that opens here is never closed"],
    ]


def test_a_hostile_file_is_refused_quickly() -> None:
    started = time.perf_counter()
    for text in ("[" * 900_000, "{? " * 300_000, "a: " + "9" * 900_000, "- " * 400_000):
        read(text, "f.yaml")
    assert time.perf_counter() - started < 5


@given(st.text(alphabet=st.sampled_from("ab:-[]{},'\"?&*!|>%@`#\n\t 1.~<\x00\x85\ufeff"), max_size=40))
def test_whatever_the_text_is_reading_it_never_raises(text: str) -> None:
    document = read(text, "f.yaml")
    assert document.complete or document.problems


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem("journeys/team.yaml", 31, "steps.welcome.after", "unknown step 'provison' in after")
    assert str(problem) == "journeys/team.yaml:31: steps.welcome.after: unknown step 'provison' in after"
    warning = Problem("journeys/team.yaml", None, "", "doubtful", "warning")
    assert str(warning) == "journeys/team.yaml: warning: doubtful"


def test_problems_come_by_line_and_each_once() -> None:
    problems = [Problem("f", 3, "", "b"), Problem("f", None, "", "c"), Problem("f", 1, "", "a")]
    assert [problem.message for problem in in_order(problems + problems)] == ["c", "a", "b"]


def test_the_name_that_was_probably_meant() -> None:
    assert nearest("provison", ["provision", "welcome"]) == "provision"
    assert nearest("Welcome", ["provision", "welcome"]) == "welcome"
    assert nearest("xyz", ["provision"]) is None
    assert unknown("step", "provison", ["provision"]) == "unknown step 'provison': did you mean 'provision'?"
    assert unknown("step", "xyz", ["a", "b"]) == "unknown step 'xyz': there are a, b"
    assert unknown("template", "xyz", ["a"], "make one") == "unknown template 'xyz': make one"


def test_a_field_is_named_by_the_ids_of_steps() -> None:
    found = {"steps": [{"id": "a", "after": ["x"]}, {"id": 5}], "stages": [{"stage": "s"}]}
    assert field_name(("steps", 0, "after", 0), found) == "steps.a.after"
    assert field_name(("steps", 1, "email"), found) == "steps[1].email"
    assert field_name(("stages", 0, "until"), found) == "stages[0].until"
    assert field_name((), found) == ""
