"""Assigning an owner: the least loaded of a team, once per customer and role."""

from __future__ import annotations

from temporalio import activity

from activities import signatures
from activities.tools import Tools, conclude, earlier, journey_time, now
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.store import owners


class AssignOwner:
    """The activity of `assign` steps; the step's id is the role."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @activity.defn(name=signatures.EFFECTS["assign"])
    async def assign_owner(self, request: EffectRequest) -> EffectOutcome:
        """Give the customer an owner. A team without anybody in it fails the step: that is ours to mend."""
        real = now()
        async with self._tools.database.writing() as tx:
            known = await earlier(tx, request, real)
            if known is not None:
                return known
            team = str(request.params["team"])
            found = await owners.assign(tx, team, request.subject, request.enrolment, request.step, real)
            at = journey_time(request, real)
            if isinstance(found, owners.Unassigned):
                outcome = EffectOutcome("failed", at, found.reason)
            else:
                outcome = EffectOutcome("done", at, result={"owner": found.person})
            return await conclude(tx, request, outcome, real)
