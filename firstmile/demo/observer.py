"""What can be seen of the sample customers on their way: read from the store, changing nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from firstmile.contracts import Clock
from firstmile.demo.customers import Customer
from firstmile.demo.words import told
from firstmile.journey.durations import DAY
from firstmile.journey.instants import Instant
from firstmile.journey.journal import FINISHED, Entry, View
from firstmile.store import finding, journal, ledger, responses, views
from firstmile.store.database import Database, Reading


@dataclass(frozen=True, slots=True)
class Sight:
    """One customer at a glance. `day` counts journey time since enrolment; `news` is new since the last look.

    `view` is None until they are enrolled. `now` is journey time.
    """

    customer: Customer
    day: float = 0.0
    now: Instant = 0
    view: View | None = None
    last: str = ""
    news: Sequence[tuple[float, str]] = ()
    messages: int = 0
    answers: int = 0
    first_value: float | None = None

    @property
    def over(self) -> bool:
        """Whether the journey has ended."""
        return self.view is not None and self.view.status in FINISHED


@dataclass(slots=True)
class _Memory:
    """What was seen of a customer before."""

    number: int = -1
    told: set[int] = field(default_factory=set)
    last: str = ""
    messages: int = 0
    answers: int = 0
    first_value: float | None = None


class Observer:
    """Looks at the store every now and then, and more closely at those who have moved."""

    def __init__(self, database: Database, cast: Sequence[Customer], speeds: dict[str, float]) -> None:
        self._database, self._cast, self._speeds = database, cast, speeds
        self._memory = {customer.id: _Memory() for customer in cast}

    async def look(self) -> list[Sight]:
        """Everybody, in the order of the cast."""
        real = time.time_ns() // 1000
        async with self._database.reading() as db:
            page = await finding.find(db, limit=500)
            found = {one.subject: one for one in page.customers}
            return [await self._sight(db, customer, found.get(customer.id), real) for customer in self._cast]

    async def _sight(
        self, db: Reading, customer: Customer, found: views.Customer | None, real: Instant
    ) -> Sight:
        if found is None:
            return Sight(customer)
        clock = Clock(found.enrolled_at, self._speeds[customer.segment])
        memory, view = self._memory[customer.id], found.view
        news: list[tuple[float, str]] = []
        if view.number != memory.number:
            news = await self._news(db, found, memory)
        now = clock.journey(real)
        if view.status in FINISHED and view.steps:
            now = min(now, max((at for _, at in view.steps.values() if at is not None), default=now))
        return Sight(
            customer=customer,
            day=(now - found.enrolled_at) / DAY,
            now=now,
            view=view,
            last=memory.last,
            news=news,
            messages=memory.messages,
            answers=memory.answers,
            first_value=memory.first_value,
        )

    async def _news(self, db: Reading, found: views.Customer, memory: _Memory) -> list[tuple[float, str]]:
        subject, enrolment = found.subject, found.enrolment
        entries = await journal.read(db, subject, enrolment)
        sent = await ledger.of(db, subject, enrolment)
        memory.number = found.view.number
        memory.messages = sum(message.state == "accepted" for message in sent)
        memory.answers = len(await responses.of(db, subject, enrolment))
        news = [entry for entry in entries if entry.number not in memory.told]
        memory.told |= {entry.number for entry in news}
        for entry in news:
            if entry.change == "onboarded" and entry.seconds is not None:
                memory.first_value = entry.seconds / (DAY / 1_000_000)
        said = [(entry, words) for entry in news if (words := told(entry)) is not None]
        if said:
            memory.last = said[-1][1]
        return [(_day(entry, found), words) for entry, words in said]


def _day(entry: Entry, found: views.Customer) -> float:
    return (entry.at - found.enrolled_at) / DAY
