"""A transport that does what a test tells it, and what tests of sending look at afterwards."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from firstmile.contracts import EffectOutcome
from firstmile.mail.message import Message
from firstmile.mail.sending import Pending
from firstmile.mail.transport import Receipt, Sighting, Trace, Unknown
from firstmile.store import ledger
from firstmile.store.database import Database


@dataclass
class Told:
    """What the stand-in cannot do: it says it reaches people, knows duplicates by their key, or waits."""

    name: str = "told"
    reaches_people: bool = True
    idempotent: bool = False
    timeout: float = 1.0
    sent: list[Message] = field(default_factory=list)
    error: Exception | None = None
    errors: dict[str, Exception] = field(default_factory=dict)
    """What goes wrong with a message to an address, once."""
    sighting: Sighting = field(default_factory=lambda: Unknown("told so"))
    wait: threading.Event | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    looked: int = 0

    def send(self, message: Message) -> Receipt:
        self.begun.set()
        if self.wait is not None:
            self.wait.wait(10)
        error = self.errors.pop(message.to[0].email, self.error)
        if error is not None:
            raise error
        if not (self.idempotent and message.key in {one.key for one in self.sent}):
            self.sent.append(message)
        return Receipt("id-1")

    def find(self, trace: Trace) -> Sighting:
        self.looked += 1
        return self.sighting

    def check(self) -> None:
        return None

    @property
    def reached(self) -> list[str]:
        """The addresses that got something, in order."""
        return [address.email for message in self.sent for address in message.recipients]


async def row(db: Database, key: str) -> ledger.Message:
    """The ledger's row of a message."""
    async with db.reading() as tx:
        found = await ledger.get(tx, key)
    assert found is not None
    return found


async def rows(db: Database, effect: str) -> list[ledger.Message]:
    """The ledger's rows of an effect, by place."""
    async with db.reading() as tx:
        return await ledger.of_effect(tx, effect)


async def decided(db: Database, key: str) -> list[str]:
    """What was decided about a message."""
    return [decision.text for decision in (await row(db, key)).decisions]


def is_outcome(found: EffectOutcome | Pending, outcome: str, reason: str | None = None) -> EffectOutcome:
    assert isinstance(found, EffectOutcome), found
    assert (found.outcome, found.reason) == (outcome, reason)
    return found


def is_pending(found: EffectOutcome | Pending) -> Pending:
    assert isinstance(found, Pending), found
    return found


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """The statements that the store runs meanwhile: what each does, and to which table first."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        if statement.startswith("BEGIN"):
            seen.append(statement)
        else:
            table = re.search(r"(?:FROM|INTO|UPDATE) (\w+)", statement)
            seen.append(f"{statement.split()[0]} {table[1] if table else '?'}")

    engine = db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
