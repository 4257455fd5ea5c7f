"""What is said of settings that cannot be read: names that there are not, and values of the wrong kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from pydantic_core import ErrorDetails

from firstmile.errors import Flaw
from firstmile.journey.problems import nearest

PREFIX = "FIRSTMILE_"

SECRET = frozenset(
    {
        *("api_key", "sendgrid_api_key", "smtp_username", "smtp_password", "link_secrets", "systems"),
        "database_url",
    }
)
"""What is said of a wrong value of these quotes nothing of it."""

# What Kubernetes puts into every container's environment for a Service called `firstmile…`.
_KUBERNETES = re.compile(r"FIRSTMILE_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")

_ADVICE = {
    "int_parsing": "a whole number was expected",
    "float_parsing": "a number was expected",
    "bool_parsing": "write true or false",
    "extra_forbidden": "there is no such key: a system has `url` and `secret`",
    "missing": "it is missing",
}


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def unknown(names: Iterable[str], settings: Collection[str]) -> Iterable[Flaw]:
    """The variables that look like settings and are none."""
    known = {variable(name) for name in settings}
    for name in sorted(names):
        if not name.upper().startswith(PREFIX) or name in known:
            continue
        if name.startswith(f"{PREFIX}TEST_") or _KUBERNETES.fullmatch(name):
            continue
        upper = name.upper()
        word = upper if upper in known else nearest(upper.removeprefix(PREFIX), settings)
        advice = (
            f"did you mean {variable(word.removeprefix(PREFIX))}?"
            if word
            else "`firstmile settings` lists those that there are"
        )
        yield Flaw(name, f"there is no such setting: {advice}")


def unreadable(details: ErrorDetails) -> Flaw:
    """One value that is not of its setting's kind."""
    name, *inner = (str(part) for part in details["loc"]) if details["loc"] else ("",)
    field = ".".join([variable(name), *inner]) if name else ""
    kind, given = details["type"], details["input"]
    message = _ADVICE.get(kind) or details["msg"].replace("Input should be", "it must be")
    if kind in ("int_parsing", "float_parsing", "bool_parsing", "literal_error") and name not in SECRET:
        message += f", not '{given}'"
    return Flaw(field, message)
