"""Tasks for people: opened once for whoever has the role, for a team, or for all; reminded of, handed up, and
never left behind by a step that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from activities.messages import SendMessages
from activities.tasks import OpenTask
from activities.tools import Tools
from firstmile.contracts import EffectOutcome, EffectRequest, Records
from firstmile.journey.journal import Entry, View
from firstmile.store import owners, records, tasks
from firstmile.store.database import Database
from firstmile.store.tasks import Task
from tests.activities.building import SUCCESS, Ask, attempt, contents, dies, rode
from tests.activities.conftest import THEN

Carry = Callable[[EffectRequest], Awaitable[EffectOutcome]]

CALL = {"title": "Call the customer", "checklist": ["dial", "listen"]}
CHECK_IN = {"by": "call", "times": 3}


@pytest.fixture
def open_task(tools: Tools) -> Carry:
    return OpenTask(tools).open_task


@pytest.fixture
def check_in(messages: SendMessages) -> Carry:
    return messages.send_checkin


async def all_tasks(db: Database) -> list[Task]:
    async with db.reading() as tx:
        return await tasks.of(tx, "c-1", 1)


async def only_task(db: Database) -> Task:
    (found,) = await all_tasks(db)
    return found


async def later(db: Database, ask: Ask, entry: Entry | None = None, **steps: str) -> None:
    """What another carrier, newer than the effect at hand, has written meanwhile."""
    phases: dict[str, Any] = {step: (phase, ask.enrolled) for step, phase in steps.items()}
    view = View(SUCCESS + 1, "active", None, None, None, phases)
    async with db.writing() as tx:
        await records.write(tx, Records("c-1", 1, "team", 1, [entry] if entry else [], view), THEN)


# ---- opening ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "known", "owner", "team"),
    [
        ({"owner": "specialist"}, {"specialist": "amy"}, "amy", None),
        ({"owner": "onboarding"}, {"specialist": "amy"}, None, "onboarding"),
        ({"owner": "specialist"}, {}, None, "specialist"),
        ({}, {"specialist": "amy"}, None, None),
    ],
    ids=["a role that somebody has", "a team", "a role that nobody has yet", "whoever takes it"],
)
async def test_a_task_is_opened_for_the_person_of_a_role_or_for_a_team(
    db: Database,
    open_task: Carry,
    ask: Ask,
    params: dict[str, str],
    known: dict[str, str],
    owner: str,
    team: str,
) -> None:
    request = ask("task", "call", params=CALL | params, owners=known, due=ask.enrolled + 5)

    outcome = await attempt(open_task, request)

    assert outcome.outcome == "done"
    assert await rode(db, request, outcome)
    task = await only_task(db)
    assert (task.owner, task.team, task.state) == (owner, team, "open")
    assert (task.step, task.title, task.due) == ("call", "Call the customer", ask.enrolled + 5)
    assert task.checklist == ("dial", "listen")


async def test_a_role_that_was_given_to_somebody_else_meanwhile_is_theirs(
    db: Database, open_task: Carry, ask: Ask
) -> None:
    async with db.writing() as tx:
        await owners.reassign(tx, "c-1", 1, "specialist", "ben", THEN)

    await attempt(open_task, ask("task", params=CALL | {"owner": "specialist"}, owners={"specialist": "amy"}))

    assert (await only_task(db)).owner == "ben"


@pytest.mark.parametrize("purpose", ["run", "remind", "escalate"])
async def test_an_attempt_repeated_comes_to_the_same(
    db: Database, open_task: Carry, ask: Ask, purpose: str
) -> None:
    params = CALL | {"escalate_to": "cem"}
    if purpose != "run":
        await attempt(open_task, ask("task", params=params))
    request = ask("task", params=params, purpose=purpose)
    first = await attempt(open_task, request)
    written = await contents(db)

    assert await attempt(open_task, request) == first
    assert await contents(db) == written


@pytest.mark.parametrize("purpose", ["run", "remind", "escalate"])
async def test_an_attempt_that_died_has_done_nothing(
    db: Database, open_task: Carry, ask: Ask, purpose: str
) -> None:
    params = CALL | {"escalate_to": "cem"}
    if purpose != "run":
        async with db.writing() as tx:
            await tasks.open_task(tx, tasks.NewTask("k", "c-1", 1, "task", "Call"), THEN)
    request = ask("task", params=params, purpose=purpose)
    before = await contents(db)

    await dies(db, open_task, request)

    assert await contents(db) == before
    assert await rode(db, request, await attempt(open_task, request))
    task = await only_task(db)
    assert (task.reminded, task.escalated_to) == {
        "run": (0, None),
        "remind": (1, None),
        "escalate": (0, "cem"),
    }[purpose]


# ---- what comes after ------------------------------------------------------------------------------------


async def test_a_reminder_is_noted_on_what_is_open(db: Database, open_task: Carry, ask: Ask) -> None:
    await attempt(open_task, ask("task", params=CALL))
    for number in (1, 2):
        await attempt(open_task, ask("task", params=CALL, purpose="remind", occurrence=number))
    assert (await only_task(db)).reminded == 2

    async with db.writing() as tx:
        await tasks.complete(tx, (await only_task(db)).key, actor="amy", now=THEN)
    outcome = await attempt(open_task, ask("task", params=CALL, purpose="remind", occurrence=3))
    assert outcome.outcome == "done", "there is nothing to do, and that is no failure"
    assert (await only_task(db)).reminded == 2


@pytest.mark.parametrize(("to", "person"), [("manager", "cem"), ("sales", "sales")])
async def test_a_task_goes_up_to_a_person_or_to_a_team(
    db: Database, open_task: Carry, ask: Ask, to: str, person: str
) -> None:
    known = {"specialist": "amy", "manager": "cem"}
    params = CALL | {"owner": "specialist", "escalate_to": to}
    await attempt(open_task, ask("task", params=params, owners=known))

    await attempt(open_task, ask("task", params=params, owners=known, purpose="escalate"))

    task = await only_task(db)
    assert (task.escalated_to, task.owner, task.state) == (person, "amy", "open")


async def test_a_task_opened_again_is_not_ended_by_the_end_of_the_one_before(
    db: Database, open_task: Carry, ask: Ask
) -> None:
    """The end may ride on the very effect that opens it again."""
    await attempt(open_task, ask("task", "call", params=CALL))
    again = ask("task", "call", params=CALL, attempt=2)
    ended = Entry(3, ask.enrolled, "done", "call", "task", actor="amy")
    carried = replace(again.records, entries=[*again.records.entries, ended])
    carried = replace(carried, success=Entry(4, 0, "open", "call", "task"))

    await attempt(open_task, replace(again, records=carried))

    assert {task.key: (task.state, task.ended_by) for task in await all_tasks(db)} == {
        ask("task", "call").key: ("done", "amy"),
        again.key: ("open", None),
    }


@pytest.mark.parametrize("phase", ["skipped", "done"])
async def test_a_step_that_was_settled_on_the_way_needs_no_task(
    db: Database, open_task: Carry, ask: Ask, phase: str
) -> None:
    await later(db, ask, task=phase)

    outcome = await attempt(open_task, ask("task", params=CALL))

    assert outcome.outcome == "done"
    assert await all_tasks(db) == []


async def test_a_task_that_was_completed_before_it_was_open_is_not_opened(
    db: Database, open_task: Carry, ask: Ask
) -> None:
    """As the engine foretells: the step is done as soon as it is open."""
    request = ask("task", params=CALL)
    view = View(SUCCESS, "active", None, None, None, {"task": ("done", ask.enrolled)})

    await attempt(open_task, replace(request, records=replace(request.records, success_view=view)))

    assert await all_tasks(db) == []


@pytest.mark.parametrize("purpose", ["run", "occur"])
async def test_a_task_that_another_attempt_opens_at_the_same_time_stays(
    db: Database, check_in: Carry, ask: Ask, purpose: str
) -> None:
    request = ask("checkin", params=CHECK_IN, purpose=purpose)
    async with db.writing() as tx:
        await tasks.open_task(tx, tasks.NewTask(request.key, "c-1", 1, "checkin", "Call"), THEN)

    await attempt(check_in, request)

    assert (await only_task(db)).state == "open"


async def test_what_a_person_has_done_does_not_go_up(db: Database, open_task: Carry, ask: Ask) -> None:
    params = CALL | {"escalate_to": "cem"}
    await attempt(open_task, ask("task", params=params))
    async with db.writing() as tx:
        await tasks.complete(tx, (await only_task(db)).key, actor="amy", now=THEN)

    await attempt(open_task, ask("task", params=params, purpose="escalate"))

    assert (await only_task(db)).escalated_to is None


@pytest.mark.parametrize("phase", ["running", "missed", "failed"])
async def test_a_step_that_goes_on_needs_its_task(
    db: Database, open_task: Carry, ask: Ask, phase: str
) -> None:
    await later(db, ask, task=phase)

    await attempt(open_task, ask("task", params=CALL))

    assert (await only_task(db)).state == "open"


# ---- check-ins -------------------------------------------------------------------------------------------


async def test_a_check_in_by_call_is_a_task_for_the_owner(db: Database, check_in: Carry, ask: Ask) -> None:
    known = {"specialist": "amy", "manager": "cem"}
    request = ask("checkin", params=CHECK_IN, owners=known, title="Half a year on")

    outcome = await attempt(check_in, request)

    assert await rode(db, request, outcome)
    task = await only_task(db)
    assert (task.step, task.title, task.owner, task.team) == ("checkin", "Half a year on", "amy", None)


async def test_a_check_in_by_call_without_an_owner_is_for_whoever_takes_it(
    db: Database, check_in: Carry, ask: Ask
) -> None:
    await attempt(check_in, ask("checkin", params=CHECK_IN))

    task = await only_task(db)
    assert (task.title, task.owner, task.team) == ("Call the customer", None, None)


async def test_the_next_call_takes_the_place_of_the_last(db: Database, check_in: Carry, ask: Ask) -> None:
    await attempt(check_in, ask("checkin", params=CHECK_IN))
    await attempt(check_in, ask("checkin", params=CHECK_IN, purpose="occur", occurrence=2))

    assert {task.key: (task.state, task.reason) for task in await all_tasks(db)} == {
        ask("checkin").key: ("closed", "the next one is due"),
        ask("checkin", purpose="occur", occurrence=2).key: ("open", None),
    }


async def test_a_call_asked_for_again_leaves_the_next_one_alone(
    db: Database, check_in: Carry, ask: Ask
) -> None:
    second = ask("checkin", params=CHECK_IN, purpose="occur", occurrence=2)
    await attempt(check_in, ask("checkin", params=CHECK_IN))
    await attempt(check_in, second)

    await attempt(check_in, ask("checkin", params=CHECK_IN))

    assert [task.key for task in await all_tasks(db) if task.state == "open"] == [second.key]


async def test_help_outlives_the_step_and_the_journey(db: Database, check_in: Carry, ask: Ask) -> None:
    call = ask("checkin", params=CHECK_IN)
    help = ask("checkin", params={"template": "check_in"}, purpose="help", owners={"specialist": "amy"})
    await attempt(check_in, call)
    await attempt(check_in, help)

    await later(db, ask, Entry(8, ask.enrolled, "done", "checkin", "checkin", actor="amy"), checkin="done")
    await later(db, ask, Entry(9, ask.enrolled, "completed"))

    assert {task.key: (task.step, task.state) for task in await all_tasks(db)} == {
        call.key: ("checkin", "done"),
        help.key: ("checkin/help", "open"),
    }


async def test_who_asks_for_help_gets_it_though_the_step_is_settled(
    db: Database, check_in: Carry, ask: Ask
) -> None:
    await later(db, ask, checkin="done")

    await attempt(check_in, ask("checkin", params={"template": "check_in"}, purpose="help"))

    task = await only_task(db)
    assert (task.title, task.state) == ("The customer asks for help", "open")


@pytest.mark.parametrize("purpose", ["run", "occur", "help"])
async def test_a_check_ins_task_is_opened_once(db: Database, check_in: Carry, ask: Ask, purpose: str) -> None:
    request = ask("checkin", params=CHECK_IN, purpose=purpose)
    before = await contents(db)
    await dies(db, check_in, request)
    assert await contents(db) == before

    first = await attempt(check_in, request)
    written = await contents(db)

    assert await attempt(check_in, request) == first
    assert await contents(db) == written
    assert (await only_task(db)).key == request.key
