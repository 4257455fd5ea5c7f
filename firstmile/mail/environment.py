"""Jinja2 as templates get it: a sandbox, strict about what is missing, mappings read by item only.

The sandbox keeps templates from the program's objects; it is no wall against a template that means harm
(FACTS.md), so templates are trusted, and output is capped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import BaseLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from firstmile.journey.expressions import ABSENT
from firstmile.journey.problems import nearest
from firstmile.mail.context import Names
from firstmile.mail.formatting import FILTERS


class Environment(ImmutableSandboxedEnvironment):
    """Mappings are read by item only: `traits.items` is a trait, never a method of Python's."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, attribute)
        return ABSENT if obj is ABSENT else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, argument)
        return ABSENT if obj is ABSENT else super().getitem(obj, argument)

    def _item(self, mapping: Mapping[Any, Any], key: Any) -> Any:
        if key in mapping:
            return mapping[key]
        if not isinstance(mapping, Names):
            return self.undefined(hint=f"a mapping.{key} is missing", name=str(key))
        if mapping.forgiving:
            return ABSENT
        meant = nearest(str(key), map(str, mapping))
        hint = f": did you mean '{meant}'?" if meant else ""
        return self.undefined(hint=f"{mapping.label}.{key} is missing{hint}", name=str(key))


def _nothing_is_empty(value: object) -> object:
    return "" if value is None else value


def environment(loader: BaseLoader | None, *, autoescape: bool) -> Environment:
    """The environment of HTML parts (`autoescape`), or of the others."""
    made = Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=autoescape,
        finalize=_nothing_is_empty,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=-1,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    return made
