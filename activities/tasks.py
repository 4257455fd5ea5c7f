"""Tasks for people: opening them, reminding of them, handing them up."""

from __future__ import annotations

from temporalio import activity

from activities import signatures
from activities.tools import Tools, conclude, journey_time, now, ride
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.store import effects, tasks
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
            known = await effects.recorded(tx, request.key)
            if known is not None:
                await ride(tx, request, known, real)
                return known
            if request.purpose == "remind":
                for task in await _open(tx, request):
                    await tasks.remind(tx, task.key, request.occurrence)
            elif request.purpose == "escalate":
                for task in await _open(tx, request):
                    await tasks.escalate(tx, task.key, str(request.params["escalate_to"]))
            else:
                title = str(request.params["title"])
                owner = request.params.get("owner")
                await open_for(tx, request, title, None if owner is None else str(owner))
            return await conclude(tx, request, EffectOutcome("done", journey_time(request, real)), real)


async def open_for(
    tx: Writing, request: EffectRequest, title: str, owner: str | None, *, step: str | None = None
) -> None:
    """Open a task under the request's key. `owner` is a role of the journey, else the name of a team."""
    person = None if owner is None else request.facts.owners.get(owner)
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


async def _open(tx: Writing, request: EffectRequest) -> list[tasks.Task]:
    found = await tasks.of(tx, request.subject, request.enrolment, request.step)
    return [task for task in found if task.state == "open"]
