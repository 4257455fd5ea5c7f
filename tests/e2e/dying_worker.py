"""A worker that is killed with SIGKILL at a chosen point of a sending, once, and then begun again.

`python dying_worker.py FOLDER`: the folder has `plan.json`, {key of a message: point}, read when a message
comes by; a file named after its key marks that it has been the death of a worker. Apart from that, and from
times that are short, it is `firstmile worker`.

Workers are forked from a process that has loaded everything and started nothing: the next one is there at
once.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from activities import signatures
from firstmile import settings as reading
from firstmile.cli.worker import serve
from firstmile.mail import post, sending
from firstmile.mail.message import Message
from firstmile.mail.post import Post
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.transport import Receipt, Sighting, Trace
from firstmile.store import ledger
from firstmile.store.database import Database, Writing

LIMIT: Final = timedelta(seconds=3.2)
START_TO_CLOSE: Final = timedelta(seconds=4)
LEASE: Final = timedelta(seconds=5)
PEEK: Final = 0.02
"""Seconds between two looks at whether the stand-in has taken a message."""

_passing: ContextVar[list[tuple[str, str]] | None] = ContextVar("_passing", default=None)


class Plan:
    """Which message is the death of its worker, and where."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def dies_at(self, key: str) -> str | None:
        """Where; None if nowhere, or not any more."""
        if (self._folder / key).exists():
            return None
        plan: dict[str, str] = json.loads((self._folder / "plan.json").read_text())
        return plan.get(key)

    def reach(self, point: str, key: str) -> None:
        """A message is at a point: no word of farewell, if it is this one."""
        if self.dies_at(key) == point:
            (self._folder / key).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def watch_the_ledger(plan: Plan) -> None:
    """Die around the commits that the promise is about."""
    for name, change in {
        "begin_sending": "sending",
        "accept": "accepted",
        "prove_accepted": "what was found",
        "decide_resend": "what was found",
    }.items():
        setattr(ledger, name, _noting(getattr(ledger, name), change))
    writing = Database.writing

    @asynccontextmanager
    async def dying(database: Database) -> AsyncIterator[Writing]:
        passing: list[tuple[str, str]] = []
        token = _passing.set(passing)
        try:
            async with writing(database) as tx:
                yield tx
                for change, key in passing:
                    plan.reach(f"before {change} is committed", key)
            for change, key in passing:
                plan.reach(f"after {change} is committed", key)
        finally:
            _passing.reset(token)

    setattr(Database, "writing", dying)  # noqa: B010  # assigned to, it would not pass mypy


def _noting(change: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(change)
    async def noting(tx: Writing, key: str, *given: Any, **named: Any) -> Any:
        found = await change(tx, key, *given, **named)
        passing = _passing.get()
        if found is not None and getattr(found, "outcome", name) in (name, "sending") and passing is not None:
            passing.append((name, key))
        return found

    return noting


def watch_the_provider(plan: Plan, inbox: str) -> None:
    """Die around a call, during it when the provider has taken the message, and while its log is read."""
    send, find = SendGrid.send, SendGrid.find

    def dying_send(transport: SendGrid, message: Message) -> Receipt:
        plan.reach("before the call", message.key)
        if plan.dies_at(message.key) == "during the call":
            threading.Thread(target=_die_when_taken, args=(plan, inbox, message.key), daemon=True).start()
        return send(transport, message)

    def dying_find(transport: SendGrid, trace: Trace) -> Sighting:
        sighting = find(transport, trace)
        plan.reach("while it is looked for", trace.key)
        return sighting

    setattr(SendGrid, "send", dying_send)  # noqa: B010  # likewise
    setattr(SendGrid, "find", dying_find)  # noqa: B010  # likewise


def _die_when_taken(plan: Plan, inbox: str, key: str) -> None:
    while True:
        with urllib.request.urlopen(f"{inbox}/_standin/messages?key={key}", timeout=5) as answer:
            if json.load(answer)["count"]:
                plan.reach("during the call", key)
        time.sleep(PEEK)


def hurry() -> None:
    """Times that a test can wait for, in the order in which they must be."""
    signatures.START_TO_CLOSE = START_TO_CLOSE
    shorter: dict[str, Any] = {"limit": LIMIT, "start_to_close": START_TO_CLOSE, "lease": LEASE}
    for module in (post, sending):
        setattr(module, "Post", functools.partial(Post, **shorter))  # noqa: B010  # likewise


def main() -> None:
    """Work until SIGTERM, however often it is killed by itself."""
    settings = reading.load(sends=True)
    plan = Plan(Path(sys.argv[1]))
    hurry()
    watch_the_ledger(plan)
    watch_the_provider(plan, settings.sendgrid_host)
    gc.freeze()
    child = 0

    def pass_on(number: int, _frame: object) -> None:
        os.kill(child, number)

    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            asyncio.run(serve(settings))
            os._exit(0)
        signal.signal(signal.SIGTERM, pass_on)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
