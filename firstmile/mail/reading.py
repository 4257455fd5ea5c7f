"""Which names a template reads, without rendering it: also those in branches that no sample takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError

Kind = TypeVar("Kind", bound=nodes.Node)

_FUNCTIONS = frozenset({"reached", "missed", "done", "skipped", "result", "variant", "count"})
_MAPPINGS = frozenset({"traits", "links", "owner", "session"})
_FORGIVING = frozenset({"default", "d"})


@dataclass(frozen=True, slots=True)
class Read:
    """A name that is read: `of` is a mapping (`traits`) or a function (`reached`), `name` what of it."""

    of: str
    name: str
    line: int


def reads(environment: Environment, source: str) -> list[Read]:
    """What a file reads of a customer. What it asks for first (`is defined`, `default`) is left out."""
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError:
        return []
    asked = set(_asked(tree))
    return [read for read in _reads(tree) if (read.of, read.name) not in asked]


def _asked(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    for test in tree.find_all(nodes.Test):
        if test.name in ("defined", "undefined"):
            yield from ((read.of, read.name) for read in _reads(test.node))
    for one in tree.find_all(nodes.Filter):
        if one.name in _FORGIVING and one.node is not None:
            yield from ((read.of, read.name) for read in _reads(one.node))


def _reads(tree: nodes.Node) -> Iterator[Read]:
    for call in _within(tree, nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in _FUNCTIONS and len(call.args) == 1:
            argument = call.args[0]
            if isinstance(argument, nodes.Const) and isinstance(argument.value, str):
                yield Read(call.node.name, argument.value, call.lineno)
    for attribute in _within(tree, nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name in _MAPPINGS:
            yield Read(attribute.node.name, attribute.attr, attribute.lineno)
    for item in _within(tree, nodes.Getitem):
        if (
            isinstance(item.node, nodes.Name)
            and item.node.name in _MAPPINGS
            and isinstance(item.arg, nodes.Const)
        ):
            yield Read(item.node.name, str(item.arg.value), item.lineno)


def _within(tree: nodes.Node, kind: type[Kind]) -> Iterator[Kind]:
    if isinstance(tree, kind):
        yield tree
    yield from tree.find_all(kind)
