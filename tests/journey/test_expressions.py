"""The expression language: what may be said, what it means, and that nothing else gets through."""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from firstmile.journey.expressions import (
    ABSENT,
    FILTERS,
    FUNCTIONS,
    TESTS,
    ExpressionError,
    compile_expression,
    compile_text,
    render_values,
    values_references,
)

SCOPE: dict[str, Any] = {
    "traits": {
        "plan": "pro",
        "seats": 12,
        "trial": True,
        "tags": ["a", "b"],
        "company": ABSENT,
        "nothing": None,
    },
    "owner": {"specialist": "ann"},
    "day": 4,
    "reached": lambda step: step == "first_login",
    "missed": lambda step: step == "training",
    "done": lambda step: True,
    "skipped": lambda step: False,
    "result": lambda step: {"answered": True, "low": True, "score": 3},
    "count": lambda event: 2,
    "variant": lambda experiment: "formal",
}


def value(text: str, **more: object) -> object:
    return compile_expression(text).evaluate({**SCOPE, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("traits.plan == 'pro'", True),
        ("traits['plan'] != 'pro'", False),
        ("traits.seats >= 12 and traits.trial", True),
        ("1 < traits.seats <= 12", True),
        ("1 < traits.seats < 12", False),
        ("day > 3 or traits.nope", True),
        ("'b' in traits.tags", True),
        ("'c' not in traits.tags", True),
        ("'r' in traits.plan", True),
        ("'plan' in traits", True),
        ("'company' in traits", False),
        ("owner.specialist", "ann"),
        ("reached('first_login') and not reached('first_value')", True),
        ("missed('training') and done('x') and not skipped('y')", True),
        ("result('nps').low and result('nps').score < 7", True),
        ("count('report.published') * 2 + 1", 5),
        ("7 // 2 + 7 % 2 - 1 / 2", 3.5),
        ("-traits.seats + +2", -10),
        ("'a' + 'b' ~ 1 ~ true ~ none", "ab1true"),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("{'a': [1, (2, 3)]}", {"a": [1, [2, 3]]}),
        ("'big' if traits.seats > 10 else 'small'", "big"),
        ("traits.tags[0] ~ traits.tags[-1] ~ traits.tags.1", "abb"),
        ("traits.plan[:2]", "pr"),
        ("traits.nothing is none and traits.plan is not none", True),
        ("true and 1.5 > 1", True),
    ],
)
def test_an_expression_has_the_value_that_jinja_gives_it(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-3 | abs", 3),
        ("'ann' | capitalize", "Ann"),
        ("[1, 2] | count", 2),
        ("traits.nope | d('x')", "x"),
        ("'' | default('x', true)", "x"),
        ("'' | default('x')", ""),
        ("traits.tags | first", "a"),
        ("'1.5' | float", 1.5),
        ("'x' | float(2.0)", 2.0),
        ("' 12 ' | int", 12),
        ("'x' | int(7)", 7),
        ("traits.tags | join(', ')", "a, b"),
        ("traits.tags | last", "b"),
        ("'abc' | length", 3),
        ("'ABC' | lower", "abc"),
        ("[3, 9, 4] | max", 9),
        ("[3, 9, 4] | min", 3),
        ("'a-b-c' | replace('-', '')", "abc"),
        ("2.567 | round(1)", 2.6),
        ("2.51 | round(method='floor')", 2.0),
        ("2.41 | round(1, 'ceil')", 2.5),
        ("5 | string", "5"),
        ("[1, 2.5] | sum", 3.5),
        ("'an example' | title", "An Example"),
        ("'  x ' | trim", "x"),
        ("'abc' | upper", "ABC"),
    ],
)
def test_a_filter_does_what_its_name_says(text: str, expected: object) -> None:
    assert value(text) == expected


def test_every_filter_and_test_agrees_with_jinja() -> None:
    jinja = Environment()
    scope = {"t": "a Bc", "n": 7, "l": [3, 1, 2], "m": {"a": 1}, "b": False}
    texts = [f"l | {name}" for name in ("count", "first", "last", "length", "max", "min", "sum", "join")]
    texts += [f"t | {name}" for name in ("capitalize", "lower", "upper", "title", "trim", "length")]
    texts += [f"n | {name}" for name in ("abs", "int", "float", "round", "string", "default(1)")]
    texts += [
        f"{name} is {test}{' 7' if test == 'divisibleby' else ''}"
        for name in scope
        for test in TESTS
        if test not in ("divisibleby", "even", "odd") or name == "n"
    ]
    used = {text.split("| ")[1].split("(")[0] for text in texts if "|" in text}
    assert set(FILTERS) - used <= {"d", "replace"}
    for text in texts:
        assert value(text, **scope) == jinja.compile_expression(text)(**scope), text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("traits.nope", "traits.nope is missing"),
        ("not traits.nope", "traits.nope is missing"),
        ("traits.nope == 1", "traits.nope is missing"),
        ("traits.items", "traits.items is missing"),
        ("traits.__class__", "traits.__class__ is missing"),
        ("plan == 'pro'", "plan is missing"),
        ("owner.boss == 'x'", "owner.boss is missing"),
        ("result('nps').scores > 1", "result('nps').scores is missing"),
        ("traits.tags[7]", "traits.tags[7] is missing"),
        ("[] | first", "the first item of an empty list is missing"),
        ("'x' if day > 100", "the value of an 'if' without 'else' is missing"),
        ("traits.plan < 3", "traits.plan < 3: text cannot be compared with a number"),
        ("traits.nothing < 3", "traits.nothing < 3: nothing cannot be compared with a number"),
        ("3 in traits.plan", "3 in traits.plan: only text can be in text, not a number"),
        ("'x' in day", "'x' in day: nothing can be in a number: a list, text or mapping was expected"),
        ("traits.plan + 1", "'+' cannot be applied to text and a number: join text with '~'"),
        ("'x' * 3", "'*' cannot be applied to text and a number"),
        ("[1] * 3", "'*' cannot be applied to a list and a number"),
        ("'%s' % 3", "'%' cannot be applied to text and a number"),
        ("day / 0", "day / 0: division by zero"),
        ("-traits.plan", "traits.plan is text, not a number"),
        (
            "traits.company + 1",
            "traits.company is absent: '+' cannot be applied to it (give it a value with default)",
        ),
        ("day | lower", "the filter 'lower' takes text, not a number"),
        ("[1, 'x'] | max", "the filter 'max' takes a list of numbers or a list of texts, not a mixture"),
        ("day is divisibleby 0", "the test 'divisibleby' takes whole numbers, and not 0"),
        ("properties.x", "properties is missing"),
    ],
)
def test_what_cannot_be_evaluated_is_named(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9**9**9", "the power operator '**' is not among the allowed constructs"),
        ("traits.items()", "the method call 'traits.items()' is not among the allowed constructs: "),
        ("''.join(['a'])", "the method call '''.join(['a'])' is not among the allowed constructs: "),
        ("traits.plan | random", "the filter 'random' is not among the allowed filters: there are abs, "),
        ("traits.plan | uper", "the filter 'uper' is not among the allowed filters: did you mean 'upper'?"),
        ("traits.plan | attr('x')", "the filter 'attr' is not among the allowed filters"),
        ("traits.plan is foo", "the test 'is foo' is not among the allowed tests: there are boolean, "),
        ("now() > 3", "unknown function 'now': there are reached, missed, "),
        ("range(1000000000)", "unknown function 'range'"),
        ("reach('x')", "unknown function 'reach': did you mean 'reached'?"),
        ("lipsum()", "unknown function 'lipsum'"),
        ("reached", "'reached' is a function: write reached('…')"),
        ("reached(traits.plan)", "reached takes exactly one text written out in quotes: reached('…')"),
        ("count('a', 'b')", "count takes exactly one text written out in quotes: count('…')"),
        ("traits[traits.plan]", "'traits[…]' needs a name written out in quotes"),
        ("traits.plan | lower(*day)", "'*' and '**' are not among the allowed constructs"),
        ("traits.plan | lower(1)", "the filter 'lower' does not take these arguments"),
        ("day = 3", "unexpected '=': write '==' to compare"),
        ("day > 3 && true", "unexpected char '&' at 8: write 'and'"),
        ("day >", "it ends too early"),
        (" ", "the expression is empty"),
        ("{{ day > 3 }}", "an expression is written without '{{ }}'"),
        ("1e999", "the number became too large"),
        ("day" + " + day" * 400, "the expression is longer than 2000 characters"),
        ("(" * 900 + "1" + ")" * 900, "the expression is nested too deeply"),
        ("-" * 1500 + "1", "the expression is nested too deeply"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name_before_anything_runs(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert str(caught.value).startswith(message)


def test_all_that_is_wrong_with_an_expression_is_said_at_once() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("day ** 2 > now() and traits.x | shuffle")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
@pytest.mark.parametrize("other", ["'x'", "5", "none", "['x']", "traits.company", "traits.nothing"])
def test_every_comparison_with_an_absent_trait_is_false(operator: str, other: str) -> None:
    assert value(f"traits.company {operator} {other}") is False
    assert value(f"{other} {operator} traits.company") is False
    assert value(f"{other} {operator} [traits.company]") is False
    assert value(f"1 < 2 < traits.company {operator} {other}") is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not traits.company", True),
        ("traits.company or 'none'", "none"),
        ("traits.company is defined", False),
        ("traits.company is undefined", True),
        ("traits.company is none", True),
        ("traits.company is string", False),
        ("traits.company | default('x')", "x"),
        ("traits.company | lower == 'acme'", False),
        ("traits.company | length < 3", False),
        ("traits.company[:3] != 'abc'", False),
        ("'b' in [traits.company, 'b']", True),
        ("'[' ~ traits.company ~ ']'", "[]"),
        ("(traits.company | default(0)) + 1", 1),
    ],
)
def test_an_absent_trait_is_false_and_empty(text: str, expected: object) -> None:
    assert value(text) == expected


def test_an_absent_trait_behaves_the_same_in_a_template_that_jinja_renders() -> None:
    text = (
        "[{{ x }}][{{ x is defined }}][{{ x | default('y') }}][{{ x == 1 or x != 1 or x < 1 or x in [1] }}]"
    )
    assert Environment(autoescape=True).from_string(text).render(x=ABSENT) == "[][False][y][False]"


def test_absent_is_one_value_however_it_is_copied() -> None:
    assert copy.deepcopy({"x": ABSENT})["x"] is ABSENT
    assert copy.copy(ABSENT) is ABSENT
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT


def test_is_true_coerces_and_fails_on_a_bare_missing_name() -> None:
    assert compile_expression("traits.plan").is_true(SCOPE)
    assert not compile_expression("traits.company").is_true(SCOPE)
    assert not compile_expression("[]").is_true(SCOPE)
    with pytest.raises(ExpressionError, match=r"^traits\.nope is missing$"):
        compile_expression("traits.nope").is_true(SCOPE)


def test_where_reads_properties() -> None:
    expression = compile_expression("properties.amount > 100 and properties.lines[0].sku == 'x'")
    properties = {"amount": 120, "lines": [{"sku": "x"}]}
    assert expression.is_true({"properties": properties})
    with pytest.raises(ExpressionError, match=r"^properties\.amount is missing$"):
        expression.is_true({"properties": {}})


def test_an_error_in_a_function_is_an_expression_error() -> None:
    def broken(step: str) -> bool:
        raise KeyError(step)

    with pytest.raises(ExpressionError, match="it cannot be evaluated: 'x'"):
        value("reached('x')", reached=broken)


@pytest.mark.parametrize(
    "text",
    [
        "a * a * a * a * a * a * a * a",
        "big + big",
        "big ~ big",
        "big | replace('a', big)",
        "many | join(big)",
        "many + many",
        "a * 1.0e308 * 10",
        "99999999999999999999",
    ],
)
def test_nothing_can_be_made_to_grow_without_bound(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"became (too large|longer than)"):
        value(text, a=10**6, big="a" * 60_000, many=["x"] * 6_000)
    assert time.perf_counter() - started < 0.5


def test_a_value_is_a_copy_that_leaves_its_scope_alone() -> None:
    found = value("traits.tags")
    assert isinstance(found, list)
    found.append("c")
    assert SCOPE["traits"]["tags"] == ["a", "b"]


def test_references_tell_what_an_expression_reads() -> None:
    references = compile_expression(
        "traits.plan == 'x' and owner['boss'] and reached('a') and count('e.x') > day and nope"
        " and result('nps').low and reached('a') and traits['seats'] > 1"
    ).references
    assert references.names == {"traits", "owner", "day", "nope"}
    assert references.traits == {"plan", "seats"}
    assert references.owners == {"boss"}
    assert references.functions == (("reached", "a"), ("count", "e.x"), ("result", "nps"))
    assert references.results == {("nps", "low")}
    assert references.called("reached", "count") == ["a", "e.x"]


@pytest.mark.parametrize(
    "text",
    [
        "variant('tone') == 'friendlyy'",
        "'friendlyy' != variant('tone')",
        "variant('tone') in ['friendlyy', traits.plan]",
        "day > 1 and (variant('tone') == 'friendlyy' or day > 2)",
    ],
)
def test_references_tell_what_variants_are_compared_with(text: str) -> None:
    references = compile_expression(text).references
    assert references.variants == {("tone", "friendlyy")}
    assert references.called("variant") == ["tone"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ traits.seats }}", 12),
        ("{{ traits.trial }}", True),
        ("{{ traits.company }}", None),
        ("{{ traits.tags }}", ["a", "b"]),
        ("{{ traits }}", {**SCOPE["traits"], "company": None}),
        ("{{ traits.seats }} seats", "12 seats"),
        ("{{ traits.company }}.{{ traits.plan }}\n", ".pro\n"),
        ("{{ '}}' }} a }} b", "}} a }} b"),
        ("", ""),
    ],
)
def test_text_is_filled_in_and_one_expression_alone_keeps_its_type(text: str, expected: object) -> None:
    assert compile_text(text).render(SCOPE) == expected


def test_render_text_is_always_text() -> None:
    assert compile_text("{{ traits.seats }}").render_text(SCOPE) == "12"


@pytest.mark.parametrize("text", ["{% if day %}x{% endif %}", "{# note #}x", "{% raw %}{{ x }}{% endraw %}"])
def test_text_has_expressions_only(text: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape("only '{{ … }}' may stand in this text")):
        compile_text(text)


@pytest.mark.parametrize("text", ["{{ traits.plan", "{{ }}", "{{ 2 ** 3 }}", "x {{ now() }}"])
def test_text_with_a_wrong_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_text(text)


def test_values_are_filled_in_through_mappings_and_lists() -> None:
    values = {"plan": "{{ traits.plan }}", "n": 1, "deep": [{"x": "{{ traits.seats }}"}, True, None]}
    assert render_values(values, SCOPE) == {"plan": "pro", "n": 1, "deep": [{"x": 12}, True, None]}
    assert values_references(values).traits == {"plan", "seats"}
    assert values_references({"a": ["{{ reached('x') }}"]}).called(*FUNCTIONS) == ["x"]


_SIGNS = [*list("""()[]{}.,:'\"~|+-*/%<"""), "**", "//", "==", "!=", "<="]
_PLAIN_WORDS = ["and", "or", "not", "in", "is", "if", "else", "for", "1", "2.5", "none", "true", "_", "self"]
_WORDS = st.sampled_from(
    [*_SIGNS, *_PLAIN_WORDS, *SCOPE, *FILTERS, *TESTS, "plan", "company", "__class__", "items", "range"]
)


@given(st.lists(_WORDS, max_size=14).map(" ".join) | st.text(max_size=30))
def test_whatever_is_written_nothing_but_an_expression_error_comes_out(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        compile_expression(text).evaluate(SCOPE)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just(ABSENT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_OPERATORS = st.sampled_from(
    ["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "//", "%", "~", "and", "or"]
)


@given(_VALUES, _OPERATORS, _VALUES)
def test_whatever_the_values_are_nothing_but_an_expression_error_comes_out(
    left: object, operator: str, right: object
) -> None:
    with contextlib.suppress(ExpressionError):
        compile_expression(f"a {operator} b").evaluate({"a": left, "b": right})
