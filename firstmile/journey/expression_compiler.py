"""From Jinja2's syntax tree to plain functions of the scope: the allowed constructs of journey expressions.

One rule for each kind of node, in a table; a kind without a rule is refused by name. While compiling, what
the expression refers to is noted (`References`) as far as it is written out: functions take a text in quotes,
`traits` and `owner` are read by a name. So `check` can look every reference up before a journey runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jinja2 import nodes

from firstmile.journey.expression_filters import FILTERS, TESTS
from firstmile.journey.expression_values import (
    ABSENT,
    ExpressionError,
    Missing,
    as_text,
    bounded,
    calculate,
    compare,
    fail,
    item_of,
    joined,
    negate,
    part_of,
    present,
    truth,
)

FUNCTIONS = ("reached", "missed", "done", "skipped", "result", "count", "variant")
"""The functions that an expression may call, each with one text written out in quotes."""

Scope = Mapping[str, object]
Evaluate = Callable[[Scope], object]

# What an author would call constructs that are left out.
_REFUSED: dict[type[nodes.Node], str] = {nodes.Pow: "the power operator '**'"}
_SIGNS: dict[type[nodes.Node], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}


@dataclass(frozen=True, slots=True)
class References:
    """What an expression refers to, as far as it is written out: `check` looks it up, the engine hears it."""

    names: frozenset[str] = frozenset()
    """All free names, functions apart."""
    traits: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    functions: tuple[tuple[str, str], ...] = ()
    """The calls, as (function, argument), in the order written, each once."""
    results: frozenset[tuple[str, str]] = frozenset()
    """What is read of results, as (step, attribute): `result('nps').low`."""
    variants: frozenset[tuple[str, str]] = frozenset()
    """What variants are compared with, as (experiment, variant): `variant('tone') == 'friendly'`."""

    def called(self, *functions: str) -> list[str]:
        """The arguments with which any of these functions is called."""
        return [argument for name, argument in self.functions if name in functions]

    def __or__(self, other: References) -> References:
        return References(
            self.names | other.names,
            self.traits | other.traits,
            self.owners | other.owners,
            tuple(dict.fromkeys(self.functions + other.functions)),
            self.results | other.results,
            self.variants | other.variants,
        )


def _nearest(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, words, n=1)
    return f": did you mean '{close[0]}'?" if close else ""


def _written(node: nodes.Node) -> str:
    """The expression in short, for messages."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Const():
            value = node.value
            return f"'{value}'" if isinstance(value, str) else as_text(value) or "none"
        case nodes.Getattr():
            return f"{_written(node.node)}.{node.attr}"
        case nodes.Getitem():
            return f"{_written(node.node)}[{_written(node.arg)}]"
        case nodes.Call():
            return f"{_written(node.node)}({', '.join(map(_written, node.args))})"
        case nodes.Filter() if node.node is not None:
            return f"{_written(node.node)}|{node.name}"
        case nodes.List() | nodes.Tuple():
            return f"[{', '.join(map(_written, node.items))}]"
        case nodes.BinExpr() if type(node) in _SIGNS:
            return f"({_written(node.left)} {_SIGNS[type(node)]} {_written(node.right)})"
    return "(…)"


def _literal(node: nodes.Node | None) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _read(node: nodes.Node) -> tuple[nodes.Node, str] | None:
    """For `thing.key` and `thing['key']`: the thing and the key."""
    if isinstance(node, nodes.Getattr):
        return node.node, node.attr
    if isinstance(node, nodes.Getitem) and (key := _literal(node.arg)) is not None:
        return node.node, key
    return None


class Compiler:
    """Turns Jinja2's syntax tree into functions of the scope, noting what it refers to and what is wrong."""

    def __init__(self) -> None:
        self.references = References()
        self.problems: list[str] = []
        self._depth = 0

    def compile(self, node: nodes.Node) -> Evaluate:
        """The function for a node and all below it. What is wrong goes to `problems`."""
        rule = _RULES.get(type(node))
        if rule is None:
            name = _REFUSED.get(type(node), f"'{type(node).__name__}'")
            return self._refuse(f"{name} is not among the allowed constructs")
        self._depth += 1
        deep = self._depth > 100
        compiled = self._refuse("the expression is nested too deeply") if deep else rule(self, node)
        self._depth -= 1
        return compiled

    def _refuse(self, problem: str) -> Evaluate:
        self.problems.append(problem)
        return lambda scope: None

    def _note(self, references: References) -> None:
        self.references |= references

    def _const(self, node: nodes.Const) -> Evaluate:
        value = node.value
        try:
            bounded(value)
        except ExpressionError as error:
            return self._refuse(str(error))
        return lambda scope: value

    def _name(self, node: nodes.Name) -> Evaluate:
        name = node.name
        if name in FUNCTIONS:
            return self._refuse(f"'{name}' is a function: write {name}('…')")
        self._note(References(names=frozenset({name})))
        return lambda scope: scope[name] if name in scope else Missing(name)

    def _get(self, node: nodes.Getattr | nodes.Getitem) -> Evaluate:
        of = self.compile(node.node)
        what = _written(node)
        thing = node.node
        read = _read(node)
        if read is not None:
            found = frozenset({read[1]})
            if isinstance(thing, nodes.Name) and thing.name == "traits":
                self._note(References(traits=found))
            elif isinstance(thing, nodes.Name) and thing.name == "owner":
                self._note(References(owners=found))
            elif isinstance(thing, nodes.Call) and _written(thing.node) == "result" and len(thing.args) == 1:
                self._note(References(results=frozenset({(_literal(thing.args[0]) or "", read[1])})))
            name = read[1]
            return lambda scope: item_of(of(scope), name, what)
        assert isinstance(node, nodes.Getitem)
        if isinstance(thing, nodes.Name) and thing.name in ("traits", "owner"):
            return self._refuse(f"'{thing.name}[…]' needs a name written out in quotes")
        if isinstance(node.arg, nodes.Slice):
            bounds = [node.arg.start, node.arg.stop, node.arg.step]
            start, stop, step = (self.compile(bound) if bound else _nothing for bound in bounds)
            return lambda scope: part_of(
                present(of(scope)), present(start(scope)), present(stop(scope)), present(step(scope)), what
            )
        key = self.compile(node.arg)
        return lambda scope: item_of(of(scope), present(key(scope)), what)

    def _call(self, node: nodes.Call) -> Evaluate:
        if not isinstance(node.node, nodes.Name):
            return self._refuse(
                f"the method call '{_written(node)}' is not among the allowed constructs: "
                f"only {', '.join(FUNCTIONS)} may be called"
            )
        name = node.node.name
        if name not in FUNCTIONS:
            hint = _nearest(name, FUNCTIONS) or f": there are {', '.join(FUNCTIONS)}"
            return self._refuse(f"unknown function '{name}'{hint}")
        argument = _literal(node.args[0]) if len(node.args) == 1 else None
        if argument is None or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return self._refuse(f"{name} takes exactly one text written out in quotes: {name}('…')")
        self._note(References(functions=((name, argument),)))

        def call(scope: Scope) -> object:
            function = scope.get(name)
            if not callable(function):
                fail(f"{name}('{argument}') cannot be asked here")
            result: object = function(argument)
            return result

        return call

    def _filter(self, node: nodes.Filter) -> Evaluate:
        name = node.name
        if name not in FILTERS or node.node is None:
            hint = _nearest(name, FILTERS) or f": there are {', '.join(FILTERS)}"
            return self._refuse(f"the filter '{name}' is not among the allowed filters{hint}")
        value, args, kwargs = self._arguments(node, FILTERS[name], f"the filter '{name}'")
        function, lenient = FILTERS[name], name in ("default", "d")

        def apply(scope: Scope) -> object:
            given = value(scope)
            if not lenient and present(given) is ABSENT:
                return ABSENT
            return function(
                given, *[arg(scope) for arg in args], **{key: arg(scope) for key, arg in kwargs.items()}
            )

        return apply

    def _test(self, node: nodes.Test) -> Evaluate:
        name = node.name
        if name not in TESTS:
            hint = _nearest(name, TESTS) or f": there are {', '.join(TESTS)}"
            return self._refuse(f"the test 'is {name}' is not among the allowed tests{hint}")
        value, args, _ = self._arguments(node, TESTS[name], f"the test 'is {name}'")
        function, lenient = TESTS[name], name in ("defined", "undefined")

        def test(scope: Scope) -> object:
            given = value(scope)
            return function(given if lenient else present(given), *[present(arg(scope)) for arg in args])

        return test

    def _arguments(
        self, node: nodes.Filter | nodes.Test, function: Callable[..., object], called: str
    ) -> tuple[Evaluate, list[Evaluate], dict[str, Evaluate]]:
        assert node.node is not None
        value = self.compile(node.node)
        args = [self.compile(arg) for arg in node.args]
        kwargs = {str(pair.key): self.compile(pair.value) for pair in node.kwargs}
        try:
            inspect.signature(function).bind(value, *args, **kwargs)
        except TypeError:
            self._refuse(f"{called} does not take these arguments")
        if node.dyn_args or node.dyn_kwargs:
            self._refuse("'*' and '**' are not among the allowed constructs")
        return value, args, kwargs

    def _compare(self, node: nodes.Compare) -> Evaluate:
        first = self.compile(node.expr)
        rest = [(operand.op, self.compile(operand.expr)) for operand in node.ops]
        texts = [_written(node.expr), *(_written(operand.expr) for operand in node.ops)]
        left = node.expr
        for operand in node.ops:
            for call, other in ((left, operand.expr), (operand.expr, left)):
                if isinstance(call, nodes.Call) and _written(call.node) == "variant" and len(call.args) == 1:
                    options = other.items if isinstance(other, nodes.List | nodes.Tuple) else [other]
                    pairs = ((_literal(call.args[0]), _literal(option)) for option in options)
                    found = frozenset((test, option) for test, option in pairs if test and option)
                    self._note(References(variants=found))
            left = operand.expr

        def chain(scope: Scope) -> bool:
            left = present(first(scope))
            for position, (op, evaluate) in enumerate(rest):
                right = present(evaluate(scope))
                if not compare(op, left, right, *texts[position : position + 2]):
                    return False
                left = right
            return True

        return chain

    def _and(self, node: nodes.And) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda scope: right(scope) if truth(value := left(scope)) else value

    def _or(self, node: nodes.Or) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda scope: value if truth(value := left(scope)) else right(scope)

    def _not(self, node: nodes.Not) -> Evaluate:
        of = self.compile(node.node)
        return lambda scope: not truth(of(scope))

    def _choice(self, node: nodes.CondExpr) -> Evaluate:
        test, yes = self.compile(node.test), self.compile(node.expr1)
        no = self.compile(node.expr2) if node.expr2 else _no_else
        return lambda scope: yes(scope) if truth(test(scope)) else no(scope)

    def _calculation(self, node: nodes.BinExpr) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        symbol, texts = _SIGNS[type(node)], (_written(node.left), _written(node.right))
        return lambda scope: calculate(symbol, left(scope), right(scope), *texts)

    def _sign(self, node: nodes.UnaryExpr) -> Evaluate:
        of, text = self.compile(node.node), _written(node.node)
        sign = -1 if isinstance(node, nodes.Neg) else 1
        return lambda scope: negate(of(scope), sign, text)

    def _list(self, node: nodes.List | nodes.Tuple) -> Evaluate:
        items = [self.compile(item) for item in node.items]
        return lambda scope: [present(item(scope)) for item in items]

    def _dict(self, node: nodes.Dict) -> Evaluate:
        keys = [_literal(pair.key) for pair in node.items]
        if None in keys:
            return self._refuse("the keys of a mapping are texts written out in quotes")
        pairs = [(key, self.compile(pair.value)) for key, pair in zip(keys, node.items, strict=True)]
        return lambda scope: {key: present(value(scope)) for key, value in pairs}

    def _concat(self, node: nodes.Concat) -> Evaluate:
        parts = [self.compile(part) for part in node.nodes]
        return lambda scope: joined(part(scope) for part in parts)


def _nothing(scope: Scope) -> object:
    return None


def _no_else(scope: Scope) -> object:
    return Missing("the value of an 'if' without 'else'")


_RULES: dict[type[nodes.Node], Callable[[Compiler, Any], Evaluate]] = {
    nodes.Const: Compiler._const,
    nodes.Name: Compiler._name,
    nodes.Getattr: Compiler._get,
    nodes.Getitem: Compiler._get,
    nodes.Call: Compiler._call,
    nodes.Filter: Compiler._filter,
    nodes.Test: Compiler._test,
    nodes.Compare: Compiler._compare,
    nodes.And: Compiler._and,
    nodes.Or: Compiler._or,
    nodes.Not: Compiler._not,
    nodes.CondExpr: Compiler._choice,
    nodes.Neg: Compiler._sign,
    nodes.Pos: Compiler._sign,
    nodes.List: Compiler._list,
    nodes.Tuple: Compiler._list,
    nodes.Dict: Compiler._dict,
    nodes.Concat: Compiler._concat,
    **dict.fromkeys(_SIGNS, Compiler._calculation),
}
"""The allowed constructs."""
