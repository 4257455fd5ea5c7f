"""The yardstick: the workflow that a good engineer would write by hand for the benchmark's journey.

Straight down the page, with Temporal's own means, on the same activities and the same ledger; no journal, no
view, no commands, no windows, and another deployment for every change of the journey.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

from activities import signatures
from firstmile import search_attributes
from firstmile.contracts import Clock, EffectOutcome, EffectRequest, Records
from firstmile.journey.scope import Facts


@dataclass(frozen=True)
class HandStart:
    """Whom it is about, and how many times faster than the clock it runs."""

    subject: str
    enrolled_at: int
    speed: float


@workflow.defn(name="by-hand")
class ByHand:
    """Seven messages, a milestone, a survey."""

    @workflow.init
    def __init__(self, start: HandStart) -> None:
        self._start = start
        self._reached = False
        self._answered = False

    @workflow.signal(name="value.reached")
    def on_value(self) -> None:
        """The customer reached first value."""
        self._reached = True

    @workflow.signal(name="survey.responded")
    def on_answer(self) -> None:
        """The customer answered the survey."""
        self._answered = True

    @workflow.run
    async def run(self, start: HandStart) -> bool:
        """Onboard one customer."""
        await self._send("welcome", "email", "transactional")
        if not await self._reached_within(2):
            await self._send("nudge")
        await self._sleep(2)
        await self._send("tips")
        if await self._reached_within(6):
            workflow.upsert_search_attributes([search_attributes.STAGE.value_set("mastery")])
            await self._send("celebrate")
        else:
            await self._send("rescue")
        await self._sleep(3)
        await self._send("nps", "survey")
        if not await self._answered_within(2):
            await self._send("nps", "survey", occurrence=1)
            await self._answered_within(4)
        await self._sleep(2)
        await self._send("case")
        await self._sleep(1)
        await self._send("bye")
        return self._reached

    async def _send(
        self, step: str, kind: str = "email", message_class: str = "lifecycle", occurrence: int = 0
    ) -> None:
        start = self._start
        request = EffectRequest(
            subject=start.subject,
            enrolment=1,
            segment="bench",
            version=1,
            step=step,
            kind=kind,
            purpose="remind" if occurrence else "run",
            occurrence=max(occurrence, 1),
            attempt=0,
            params={"template": step, "class": message_class},
            facts=Facts(day=0),
            timezone="UTC",
            locale=None,
            clock=Clock(start.enrolled_at, start.speed),
            at=0,
            not_after=None,
            records=Records(start.subject, 1, "bench", 1, []),
        )
        await workflow.execute_activity(
            signatures.EFFECTS[kind],
            request,
            task_queue=signatures.queue_of(kind, workflow.info().task_queue),
            priority=signatures.priority_of(request.params),
            result_type=EffectOutcome,
            start_to_close_timeout=signatures.START_TO_CLOSE,
            retry_policy=signatures.RETRY,
            summary=f"{kind} {step}",
        )

    async def _sleep(self, days: float) -> None:
        await workflow.sleep(self._real(days))

    async def _reached_within(self, days: float) -> bool:
        try:
            await workflow.wait_condition(lambda: self._reached, timeout=self._real(days))
        except TimeoutError:
            return False
        return True

    async def _answered_within(self, days: float) -> bool:
        try:
            await workflow.wait_condition(lambda: self._answered, timeout=self._real(days))
        except TimeoutError:
            return False
        return True

    def _real(self, days: float) -> timedelta:
        return timedelta(days=days) / self._start.speed
