"""Provisioning: asking another system to set something up, and to undo it."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities import signatures
from activities.tools import Tools, conclude, journey_time, now
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.provisioning import Webhooks
from firstmile.store import effects


class Provision:
    """The activity of `provision` steps, and of their compensation.

    The system is asked outside any transaction, because it may take long; asking twice does no harm, since it
    knows the key. What it answered is recorded once, with the records that ride on the effect.
    """

    def __init__(self, tools: Tools, webhooks: Webhooks) -> None:
        self._tools = tools
        self._webhooks = webhooks

    @activity.defn(name=signatures.EFFECTS["provision"])
    async def provision(self, request: EffectRequest) -> EffectOutcome:
        """Ask the system. What it refuses fails the step; while it is in trouble, it is asked again."""
        database = self._tools.database
        async with database.reading() as db:
            outcome = await effects.recorded(db, request.key)
        if outcome is None:
            outcome = await self._asked(request)
        async with database.writing() as tx:
            return await conclude(tx, request, outcome, now(), system=str(request.params.get("system")))

    async def _asked(self, request: EffectRequest) -> EffectOutcome:
        answer = await self._webhooks.call(request)
        if answer.answer == "retry":
            raise ApplicationError(
                answer.reason or "the system is in trouble",
                type="SystemAway",
                next_retry_delay=answer.retry_in or timedelta(seconds=5),
                category=ApplicationErrorCategory.BENIGN,
            )
        return EffectOutcome(answer.answer, journey_time(request, now()), answer.reason, result=answer.result)
