"""A backlog that outlasts the window: what was to go out by five is not sent at three in the morning, but once,
in the next window.

The engine decides when, and the messages are really sent: the loop here is as simple as a shell can be. Its
queue is served late, as when all workers are away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firstmile.contracts import Clock, EffectOutcome, EffectRequest, Records
from firstmile.journey import commands
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import Command, Effect, Outcome, Subject
from firstmile.journey.instants import from_datetime, to_datetime
from firstmile.store.suppressions import MessageClass
from tests.journey.building import calendar, route
from tests.mail.building import SetClock
from tests.mail.crashing import Office, Walk
from tests.mail.provider import ANSWERS, Answer, Provider

MONDAY = datetime(2026, 3, 9, 16, 30, tzinfo=UTC)
THREE_AT_NIGHT = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
NEXT_WINDOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CLOSES = timedelta(hours=17)
CUSTOMERS = 5
CAPPED = """
defaults: {cap: {messages: 1, per: 1 day}}
steps:
  - id: welcome
    email: {template: welcome}
  - id: tips
    email: {template: welcome}
  - id: goal
    milestone: {all: [welcome, tips]}
"""
JOURNEY = """
defaults: {{window: {{days: mon-fri, from: "09:00", to: "17:00"}}, cap: {{messages: 1, per: 1 day}}}}
steps:
  - id: welcome
    email: {{template: welcome, class: {message_class}}}
  - id: goal
    milestone: {{all: [welcome]}}
"""


@dataclass
class Backlog:
    """Customers by their engines, and the effects that wait for a worker."""

    office: Office
    clock: SetClock
    provider: Provider
    engines: dict[str, Engine] = field(default_factory=dict)
    queue: list[tuple[str, Effect]] = field(default_factory=list)
    outcomes: list[EffectOutcome] = field(default_factory=list)

    async def enrol(self, journey: str) -> Engine:
        """One more customer."""
        subject = await self.office.customer(self.clock())
        self.engines[subject] = enrol(
            route(journey), calendar(near="2026-03-09"), Subject(subject), from_datetime(self.clock())
        )
        return self.engines[subject]

    def wake(self) -> None:
        """Tell every engine the time; what it wants done waits in the queue."""
        for subject, engine in self.engines.items():
            engine.advance(from_datetime(self.clock()))
            self.queue += [(subject, effect) for effect in engine.effects]
            engine.effects.clear()

    async def serve(self) -> None:
        """A worker comes, and takes what waits. What it comes to is told to the engines."""
        waiting, self.queue = self.queue, []
        post = self.office.post(self.clock)
        for subject, effect in waiting:
            request = self._request(subject, effect)
            outcome = await self.office.to_the_end(self.provider, request, post, self.clock, Walk())
            self.outcomes.append(outcome)
            told = Outcome(effect.id, outcome.outcome, outcome.at, outcome.reason, outcome.until)
            self.engines[subject].outcome(told, from_datetime(self.clock()))

    def next_wake(self) -> datetime:
        """When the first engine wants to be woken."""
        wakes = [wake for engine in self.engines.values() if (wake := engine.wake()) is not None]
        return to_datetime(min(wakes))

    def _request(self, subject: str, effect: Effect) -> EffectRequest:
        engine = self.engines[subject]
        return EffectRequest(
            subject=subject,
            enrolment=1,
            segment="test",
            version=1,
            step=effect.step,
            kind=effect.kind,
            purpose=effect.purpose,
            occurrence=effect.occurrence,
            attempt=effect.attempt,
            params=effect.params,
            facts=engine.facts(effect.at),
            timezone="UTC",
            locale=None,
            clock=Clock(engine.state.enrolled_at),
            at=effect.at,
            not_after=effect.not_after,
            records=Records(subject, 1, "test", 1, []),
        )


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    opened = await Office.open(tmp_path)
    yield opened
    await opened.close()


def _backlog(office: Office, *answers: Answer) -> Backlog:
    clock = SetClock(MONDAY)
    return Backlog(office, clock, Provider(clock, iter(answers)))


@pytest.mark.parametrize("message_class", ["lifecycle", "marketing"])
async def test_a_backlog_that_outlasts_the_window_goes_out_once_in_the_next(
    office: Office, message_class: MessageClass
) -> None:
    backlog = _backlog(office)
    for _ in range(CUSTOMERS):
        await backlog.enrol(JOURNEY.format(message_class=message_class))
    backlog.wake()
    assert len(backlog.queue) == CUSTOMERS, "they are due before five"

    backlog.clock.moment = THREE_AT_NIGHT
    await backlog.serve()

    assert {(one.outcome, one.reason) for one in backlog.outcomes} == {("deferred", "its window has closed")}
    assert backlog.provider.calls == []

    backlog.wake()
    assert backlog.queue == [], "not at night"
    assert backlog.next_wake() == NEXT_WINDOW
    while not all(engine.finished for engine in backlog.engines.values()):
        backlog.clock.moment = backlog.next_wake()
        backlog.wake()
        await backlog.serve()
        backlog.wake()

    at = [call.at for call in backlog.provider.calls]
    assert len(at) == len({call.key for call in backlog.provider.calls}) == CUSTOMERS, "each once"
    assert all(NEXT_WINDOW <= one < NEXT_WINDOW.replace(hour=0) + CLOSES for one in at)


async def test_what_a_customer_waits_for_goes_out_at_night_too(office: Office) -> None:
    backlog = _backlog(office)
    await backlog.enrol(JOURNEY.format(message_class="transactional"))
    backlog.wake()
    backlog.clock.moment = THREE_AT_NIGHT

    await backlog.serve()

    assert [
        (one.outcome, call.at) for one, call in zip(backlog.outcomes, backlog.provider.calls, strict=True)
    ] == [("done", THREE_AT_NIGHT)]


async def test_what_is_to_be_sent_again_waits_for_the_next_window_too(office: Office) -> None:
    backlog = _backlog(office, Answer(None, "nobody knows"))
    backlog.clock.moment = MONDAY.replace(minute=59, second=58)
    await backlog.enrol(JOURNEY.format(message_class="lifecycle"))
    backlog.wake()

    # Called at two seconds to five, unanswered, and proven absent when the window has closed.
    await backlog.serve()

    assert [one.outcome for one in backlog.outcomes] == ["deferred"]
    assert "it was to be sent again" in (backlog.outcomes[0].reason or "")
    backlog.wake()
    backlog.clock.moment = backlog.next_wake()
    assert backlog.clock.moment == NEXT_WINDOW
    backlog.wake()
    await backlog.serve()
    (engine,) = backlog.engines.values()
    (key,) = {call.key for call in backlog.provider.calls}
    assert backlog.provider.mailbox(key) == 1
    assert engine.state.steps["welcome"].phase == "done"


async def test_a_message_that_failed_gives_its_place_under_the_cap_to_the_next_and_its_retry_waits(
    office: Office,
) -> None:
    backlog = _backlog(office, ANSWERS["refuses"])
    engine = await backlog.enrol(CAPPED)
    backlog.wake()
    assert [effect.step for _, effect in backlog.queue] == ["welcome"], "one a day"
    await backlog.serve()
    backlog.wake()
    assert [effect.step for _, effect in backlog.queue] == ["tips"], "the place was given back"
    await backlog.serve()
    commands.apply(engine, Command("retry", "ann", step="welcome"), from_datetime(backlog.clock()))
    backlog.wake()
    assert backlog.queue == [], "the retry is under the cap"

    backlog.clock.moment = backlog.next_wake()
    backlog.wake()
    await backlog.serve()
    backlog.wake()

    assert [one.outcome for one in backlog.outcomes] == ["failed", "done", "done"]
    refused, tips, retried = backlog.provider.calls
    assert retried.at - tips.at == timedelta(days=1)
    assert len({refused.key, tips.key, retried.key}) == 3, (
        "a retry is another message, by a person's decision"
    )
    assert [backlog.provider.mailbox(call.key) for call in backlog.provider.calls] == [0, 1, 1]
