"""Tasks for people: opening them, reminding of them, handing them up.

The records that ride on an effect are written before its task is touched: among them may be the end of a
task that the same step had before, and a later view may say by now that nobody needs the new one.
"""

from __future__ import annotations

from temporalio import activity

from activities import signatures
from activities.tools import Tools, conclude, earlier, journey_time, now
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.store import owners, tasks, views
from firstmile.store.database import Writing


class OpenTask:
    """The activity of `task` steps."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @activity.defn(name=signatures.EFFECTS["task"])
    async def open_task(self, request: EffectRequest) -> EffectOutcome:
        """Open the task of a step, remind its owner of it, or hand it to somebody else."""
        real = now()
        async with self._tools.database.writing() as tx:
            known = await earlier(tx, request, real)
            if known is not None:
                return known
            done = await conclude(tx, request, EffectOutcome("done", journey_time(request, real)), real)
            if request.purpose in ("remind", "escalate"):
                await _insist(tx, request)
            else:
                title, owner = str(request.params["title"]), request.params.get("owner")
                await open_next(tx, request, title, owner)
            return done


async def open_for(
    tx: Writing, request: EffectRequest, title: str, owner: str | None, *, step: str | None = None
) -> None:
    """Open a task under the request's key. `owner` is a role of the journey, else the name of a team."""
    person = None if owner is None else await _person(tx, request, owner)
    await tasks.open_task(
        tx,
        tasks.NewTask(
            key=request.key,
            subject=request.subject,
            enrolment=request.enrolment,
            step=step or request.step,
            title=title,
            owner=person,
            team=owner if person is None else None,
            due=request.due,
            checklist=tuple(request.params.get("checklist", ())),
        ),
        now(),
    )


async def open_next(tx: Writing, request: EffectRequest, title: str, owner: str | None) -> None:
    """Open the task of a step, if it is still needed; one that the step had before no longer is."""
    for task in await tasks.of(tx, request.subject, request.enrolment, request.step):
        if task.key != request.key:
            await tasks.close(tx, task.key, reason="the next one is due", now=now())
    seen = await views.get(tx, request.subject, request.enrolment)
    phase, _ = ("", None) if seen is None else seen.view.steps.get(request.step, ("", None))
    # Skipped on the way here, say: a view newer than the effect's own tells.
    if phase not in ("done", "skipped"):
        await open_for(tx, request, title, owner)


async def _insist(tx: Writing, request: EffectRequest) -> None:
    """Remind of what is open for a step, or hand it to a role or a team besides its owner."""
    for task in await tasks.of(tx, request.subject, request.enrolment, request.step):
        if request.purpose == "remind":
            await tasks.remind(tx, task.key, request.occurrence)
        else:
            to = str(request.params["escalate_to"])
            await tasks.escalate(tx, task.key, await _person(tx, request, to) or to)


async def _person(tx: Writing, request: EffectRequest, role: str) -> str | None:
    """Who has a role: an operator may have given it to somebody else since the effect was started."""
    found = (await owners.of(tx, request.subject, request.enrolment)).get(role)
    return request.facts.owners.get(role) if found is None else found.id
