"""Attempts that die, and attempts that are stopped on their way: what the crash tests are built from.

An attempt passes *points*: before every transaction, before and after every commit, before and after every
call to the provider. They are found, not listed: the store and the provider of a run report them. At a point
an attempt may crash, as a process does that is killed there: what it did not commit is gone, what it asked
the provider for is not. And at those outside a transaction it may be stopped until it is told to go on: so
every interleaving of attempts is one that can be chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.journal import Entry
from firstmile.mail.composing import Letterhead
from firstmile.mail.message import Address
from firstmile.mail.outcomes import RESENT_ABSENT, Pending, Settled
from firstmile.mail.post import Post
from firstmile.mail.sending import send_once
from firstmile.mail.templates import Templates
from firstmile.mail.transport import Transport
from firstmile.store import journal, ledger, profiles, schema
from firstmile.store.database import Database, Reading, Writing
from firstmile.store.profiles import Consent, Contact, Profile
from tests.mail.building import FILES, LINKS, SetClock, write_files

LIMIT = timedelta(seconds=12)
LEASE = timedelta(seconds=30)
RECONCILE_FOR = timedelta(seconds=60)
START_TO_CLOSE = timedelta(seconds=15)
"""After which Temporal takes an attempt for dead, and makes another."""

Found = EffectOutcome | Pending


class Crash(BaseException):
    """The process is gone. Nothing of ours may catch it."""


@dataclass
class Walk:
    """The way of one attempt or of several: the points passed, and at which of them it ends."""

    crash_at: int | None = None
    passed: list[str] = field(default_factory=list)
    stops: bool = False
    """Whether it waits at every point outside a transaction until it is told to go on."""

    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)
    _killed: bool = False

    def reach(self, point: str) -> None:
        """It is at a point: it ends there, or passes."""
        self.passed.append(point)
        if len(self.passed) == self.crash_at:
            raise Crash(point)

    async def stop(self) -> None:
        """A place where it stops, if it is one that stops, until it is told to go on."""
        if self.stops:
            self._stopped.set()
            await self._go.wait()
            self._go.clear()
            if self._killed:
                raise Crash


_walk: ContextVar[Walk | None] = ContextVar("_walk", default=None)


class Watched(Database):
    """The store of a run: its transactions are points of whoever's walk they belong to."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A transaction that reads. After it is as before whatever comes next."""
        await _stop("before a look")
        async with super().reading() as tx:
            yield tx

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that writes."""
        await _stop("before a change")
        async with super().writing() as tx:
            yield tx
            watch("before a commit")
        await _stop("after a commit")


class Line(Executor):
    """Where the provider is called: in turn with everything else, with a point before each call and after.

    `afterwards` is what comes of a call whoever made it is dead by then: a delivery event.
    """

    def __init__(self, afterwards: Callable[[], Awaitable[None]] | None = None) -> None:
        self._afterwards = afterwards
        self._calls: set[asyncio.Task[None]] = set()

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Run it in a task of the loop, in the walk of who asked."""
        future: Future[Any] = Future()
        task = asyncio.get_running_loop().create_task(self._run(future, lambda: call(*given, **named)))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return future

    async def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            await _stop()
            try:
                result = call()
            finally:
                if self._afterwards is not None:
                    await self._afterwards()
            await _stop()
        except BaseException as error:  # a crash, too, must reach who waits for the call
            future.set_exception(error)
        else:
            future.set_result(result)


def watch(point: str) -> None:
    """Whoever walks here is at a point, where nobody can be made to wait."""
    if (walk := _walk.get()) is not None:
        walk.reach(point)


@asynccontextmanager
async def nobodys_walk() -> AsyncIterator[None]:
    """What is done here is no step of an attempt, though it may happen in one's stead."""
    token = _walk.set(None)
    try:
        yield
    finally:
        _walk.reset(token)


async def _stop(point: str | None = None) -> None:
    """Whoever walks here can be made to wait, and is at a point if it has a name."""
    if (walk := _walk.get()) is not None:
        if point is not None:
            walk.reach(point)
        await walk.stop()


@dataclass
class Attempt:
    """One attempt of several at once, that goes on by a step when it is told to."""

    walk: Walk
    task: asyncio.Task[Found]

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.task.done()

    async def go_on(self) -> None:
        """To the next point, or to the end."""
        self.walk._go.set()
        await self.halt()

    async def halt(self) -> None:
        """Wait until it stands at a point, or has ended."""
        stopped = asyncio.ensure_future(self.walk._stopped.wait())
        await asyncio.wait({self.task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self.walk._stopped.clear()
        if self.is_over:
            self._ended()

    async def go_on_to_a_change(self) -> None:
        """To just after the next commit, or to the end."""
        await self.go_on()
        while not self.is_over and self.walk.passed[-1] != "after a commit":
            await self.go_on()

    async def go_on_to_the_end(self) -> None:
        """All the way."""
        while not self.is_over:
            await self.go_on()

    async def kill(self) -> None:
        """It dies where it stands."""
        self.walk._killed = True
        self.walk._go.set()
        await asyncio.wait({self.task})
        self._ended()

    def _ended(self) -> None:
        """It may have died, and it may have met a log that breaks."""
        error = self.task.exception()
        if error is not None and not isinstance(error, Crash | RuntimeError):
            raise error


@dataclass
class Office:
    """Where messages of many runs are sent from: one store, one set of templates. A run has a customer of its
    own."""

    db: Watched
    templates: Templates
    customers: int = 0

    @classmethod
    async def open(cls, folder: Path) -> Office:
        """A new store in a folder."""
        url = f"sqlite:///{folder / 'firstmile.db'}"
        await schema.upgrade(url)
        return cls(Watched(url), Templates(write_files(folder / "templates", FILES)))

    async def close(self) -> None:
        """Close the store."""
        await self.db.close()

    def post(self, now: Callable[[], datetime], line: Line | None = None) -> Post:
        """How messages are sent here."""
        return Post(
            Letterhead(self.templates, Address("hello@acme.example", "Acme")),
            limit=LIMIT,
            lease=LEASE,
            reconcile_for=RECONCILE_FOR,
            executor=line or Line(),
            now=now,
        )

    async def customer(self, now: datetime) -> str:
        """Somebody new, who agreed to everything and has a boss."""
        self.customers += 1
        subject = f"c-{self.customers}"
        boss = Contact("sponsor", "Bo Boss", f"bo.{self.customers}@customer.example")
        address = f"ann.{self.customers}@customer.example"
        async with self.db.writing() as tx:
            consent = Consent(lifecycle=True, marketing=True)
            profile = Profile(subject, "Ann Lee", address, contacts=(boss,), consent=consent)
            await profiles.write(tx, profile, now)
        return subject

    async def attempt(self, transport: Transport, request: EffectRequest, post: Post, walk: Walk) -> Found:
        """One attempt, on a walk."""
        _walk.set(walk)
        return await send_once(self.db, transport, request, post, links=LINKS)

    async def begin(self, transport: Transport, request: EffectRequest, post: Post) -> Attempt:
        """An attempt that stands at its first point."""
        walk = Walk(stops=True)
        attempt = Attempt(walk, asyncio.create_task(self.attempt(transport, request, post, walk)))
        await attempt.halt()
        return attempt

    async def to_the_end(
        self,
        transport: Transport,
        request: EffectRequest,
        post: Post,
        clock: SetClock,
        walk: Walk,
        after_a_crash: Callable[[], Awaitable[None]] | None = None,
    ) -> EffectOutcome:
        """Attempts as Temporal makes them: an attempt that died is followed by another when it is taken for
        dead, and what is pending is asked for again when it says. Ends with the outcome."""
        for _ in range(100):
            task = asyncio.create_task(self.attempt(transport, request, post, walk))
            await asyncio.wait({task})
            error = task.exception()
            if isinstance(error, Crash):
                if after_a_crash is not None:
                    await after_a_crash()
                clock.moment += START_TO_CLOSE
            elif isinstance(error, RuntimeError):
                clock.moment += timedelta(seconds=1)
            elif error is not None:
                raise error
            elif isinstance(found := task.result(), Pending):
                assert found.retry_in > timedelta(), "asking at once would never end"
                clock.moment += found.retry_in
            else:
                return found
        raise AssertionError("it never comes to an end")

    async def messages(self, request: EffectRequest) -> list[ledger.Message]:
        """The rows of an effect, its recipients in order."""
        async with self.db.reading() as tx:
            return await ledger.of_effect(tx, request.key)

    async def journal(self, request: EffectRequest) -> list[Entry]:
        """What the journal says of the customer."""
        async with self.db.reading() as tx:
            return await journal.read(tx, request.subject, request.enrolment)

    async def told(self, key: str, fate: ledger.Fate, now: datetime) -> None:
        """A delivery event has arrived."""
        async with nobodys_walk(), self.db.writing() as tx:
            await ledger.record_fate(tx, key, fate, at=now, now=now)


def broken_promises(row: ledger.Message, part: Settled, *, copies: int, blind_calls: int) -> list[str]:
    """What a message's end has that was promised not to be; nothing, if the promise was kept.

    `part` is what the journal is told of it, `blind_calls` how many calls may have ended in a copy as far as
    we could know, `copies` how many did.
    """
    again = [decision.text for decision in row.decisions if decision.text.startswith("sent again")]
    ended, told = part.outcome, part.reason or ""
    in_doubt = any(words in told for words in ("may have been delivered", "nobody could tell"))
    rules = {
        "a copy that nobody decided on": copies <= 1 + len(again),
        "a call that may have made a copy that nobody decided on": blind_calls <= 1 + len(again),
        "lost, and nobody says why": copies > 0 or (ended in ("failed", "skipped") and told != ""),
        "done, and nobody received it": ended != "done" or copies > 0,
        "done, and the ledger does not know": ended != "done" or row.state == "accepted",
        "received, and nobody says that it may have been": ended == "done" or copies == 0 or in_doubt,
        "sent again, and the journal does not say so": copies < 2 or "sent again" in told,
        "not sent again, and the journal says that it was": not told.startswith("sent again")
        or row.sends > 1,
        "sent again as not taken, though it was": copies < 2 or RESENT_ABSENT not in again,
    }
    return [rule for rule, holds in rules.items() if not holds]


def same(one: EffectOutcome, other: EffectOutcome) -> bool:
    """Whether an outcome is the one that was told before. What was not done is so when it is asked."""
    return one == (other if other.outcome == "done" else replace(other, at=one.at))
