"""Who is behind what is being done: set where a request comes in, read where something is written down.

A caller has scopes; a role is a name for a bundle of them. The caller of a task is kept in a context
variable, so that what is written at the far end of a call knows it without every function between passing it
on. Nothing decides by it but the door that set it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Scope = Literal["signup", "events", "read", "operate", "admin"]
"""`signup` starts customers, `events` reports about them, `read` sees, `operate` gives commands and holds
messages, `admin` does everything, keys included."""

SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
ROLES: Final[dict[str, frozenset[Scope]]] = {
    "system": frozenset({"signup", "events"}),
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "operate"}),
    "admin": SCOPES,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `actor` is who the records name, `key` the id of the API key, if there is one.

    `request` is the id of this one request, in the answer's headers, the audit and the logs.
    """

    actor: str
    key: str | None = None
    scopes: frozenset[Scope] = SCOPES
    request: str = field(default_factory=lambda: secrets.token_hex(16))

    def may(self, scope: Scope) -> bool:
        """Whether the caller has a scope."""
        return scope in self.scopes or "admin" in self.scopes


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller | None:
    """The caller behind the running task; None where nobody called (a sweep, say)."""
    return _current.get()


def enter(caller: Caller) -> None:
    """The rest of the running task is done for this caller."""
    _current.set(caller)


@contextmanager
def acting(caller: Caller) -> Iterator[None]:
    """What is done inside is done for this caller."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
