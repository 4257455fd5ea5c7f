"""The expression language of journeys: what `when`, `where` and `{{ … }}` may say, and what it means.

Jinja2's own parser reads the text. What it finds is checked against a list of allowed constructs and turned
into plain functions (`expression_compiler`); Jinja2 never generates or runs code for it. So nothing random,
nothing that tells the time and no attribute or method of a Python object can be reached: mappings are read by
item, only a few functions may be called, and all growth is bounded (`expression_values`).

A name that is missing fails (`ExpressionError` names it), except under `is defined` and `default`. An
optional trait that the customer does not have is `ABSENT`: false, empty, and every comparison with it false.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from firstmile.journey.expression_compiler import FUNCTIONS, Compiler, Evaluate, References, Scope
from firstmile.journey.expression_filters import FILTERS, TESTS
from firstmile.journey.expression_values import ABSENT, ExpressionError, joined, plain, present, truth

NAMES = ("traits", "owner", "day", "properties")
"""The names that an expression may read; `properties` only in `where`."""
MAX_LENGTH = 2000

_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Raises `ExpressionError` when it cannot be evaluated, and nothing else."""

    text: str
    references: References
    _evaluate: Evaluate = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> object:
        """The value, made of what JSON knows; `ABSENT` if it is an absent trait."""
        value = present(_guarded(self._evaluate, scope))
        return value if value is ABSENT else plain(value)

    def is_true(self, scope: Scope) -> bool:
        """The value taken as true or false."""
        return truth(_guarded(self._evaluate, scope))


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """Text with `{{ … }}` in it."""

    text: str
    references: References
    _parts: tuple[str | Evaluate, ...] = field(repr=False, compare=False)

    def render(self, scope: Scope) -> object:
        """The text filled in. One `{{ … }}` and nothing else keeps the type of its value; absent is None."""
        if len(self._parts) == 1 and not isinstance(self._parts[0], str):
            return plain(_guarded(self._parts[0], scope))
        return self.render_text(scope)

    def render_text(self, scope: Scope) -> str:
        """The text filled in, as text whatever it holds."""
        return joined(part if isinstance(part, str) else _guarded(part, scope) for part in self._parts)


def _guarded(evaluate: Evaluate, scope: Scope) -> object:
    try:
        return evaluate(scope)
    except ExpressionError:
        raise
    except Exception as error:
        # A `when` that fails must fail its step with a reason and nothing else, whatever the cause.
        raise ExpressionError(f"it cannot be evaluated: {error}") from error


@dataclass(frozen=True, slots=True)
class Examined:
    """What a text says: what it refers to, everything that is wrong with it, and what it is made of."""

    references: References
    problems: tuple[str, ...]
    parts: tuple[str | Evaluate, ...] = field(repr=False, compare=False)


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Expression:
    """Read and check an expression. Raises `ExpressionError` with every construct that is not allowed."""
    examined = examine_expression(text)
    if examined.problems:
        raise ExpressionError(*examined.problems)
    (evaluate,) = examined.parts
    assert not isinstance(evaluate, str)
    return Expression(text, examined.references, evaluate)


@lru_cache(maxsize=4096)
def compile_text(text: str) -> TextTemplate:
    """Read and check text with `{{ … }}` in it. Raises `ExpressionError` likewise."""
    examined = examine_text(text)
    if examined.problems:
        raise ExpressionError(*examined.problems)
    return TextTemplate(text, examined.references, examined.parts)


def examine_expression(text: str) -> Examined:
    """Read an expression and say all that is wrong with it, and what it refers to all the same."""
    if len(text) > MAX_LENGTH:
        return _wrong(f"the expression is longer than {MAX_LENGTH} characters")
    if text.strip().startswith(("{{", "{%")):
        return _wrong("an expression is written without '{{ }}'")
    try:
        parser = Parser(_ENVIRONMENT, text, state="variable")
        node = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail(f"unexpected '{parser.stream.current.value}'", parser.stream.current.lineno)
    except (TemplateSyntaxError, RecursionError) as error:
        return _wrong(_syntax(text, error))
    return _compiled([node])


def examine_text(text: str) -> Examined:
    """Read text with `{{ … }}` in it: all that is wrong with it, and what it refers to all the same."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return Examined(References(), (), (text,))
    try:
        for _, token, _ in _ENVIRONMENT.lex(text):
            if token.startswith(("block_", "raw_", "comment")):
                return _wrong("only '{{ … }}' may stand in this text, not '{% … %}' or '{# … #}'")
        outputs = [output for output in _ENVIRONMENT.parse(text).body if isinstance(output, nodes.Output)]
    except (TemplateSyntaxError, RecursionError) as error:
        return _wrong(_syntax(text, error))
    return _compiled([node for output in outputs for node in output.nodes])


def _wrong(problem: str) -> Examined:
    return Examined(References(), (problem,), ())


def _compiled(found: list[nodes.Expr]) -> Examined:
    compiler = Compiler()
    parts = [part.data if isinstance(part, nodes.TemplateData) else compiler.compile(part) for part in found]
    return Examined(compiler.references, tuple(dict.fromkeys(compiler.problems)), tuple(parts))


def render_values(value: object, scope: Scope) -> object:
    """A copy of a structure of mappings and lists with every text in it filled in."""
    if isinstance(value, str):
        return compile_text(value).render(scope)
    if isinstance(value, Mapping):
        return {key: render_values(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render_values(item, scope) for item in value]
    return value


def values_references(value: object) -> References:
    """What the texts in a structure of mappings and lists refer to. Raises `ExpressionError`."""
    if isinstance(value, str):
        return compile_text(value).references
    items: Iterable[object] = ()
    if isinstance(value, Mapping):
        items = value.values()
    elif isinstance(value, list | tuple):
        items = value
    references = References()
    for item in items:
        references |= values_references(item)
    return references


def _syntax(text: str, error: TemplateSyntaxError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "the expression is nested too deeply"
    hints = {"&&": "'and'", "||": "'or'", "!": "'not'", "=": "'==' to compare"}
    bare = text.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "")
    hint = next((f": write {hints[mark]}" for mark in hints if mark in bare), "")
    reason = (error.message or "it cannot be read").replace("end of print statement", "the end")
    if not text.strip():
        reason = "the expression is empty"
    elif "end of template" in reason:
        reason = "it ends too early"
    return f"{reason.removesuffix('.')}{hint}"


__all__ = [
    "ABSENT",
    "FILTERS",
    "FUNCTIONS",
    "NAMES",
    "TESTS",
    "Examined",
    "Expression",
    "ExpressionError",
    "References",
    "TextTemplate",
    "compile_expression",
    "compile_text",
    "examine_expression",
    "examine_text",
    "render_values",
    "values_references",
]
