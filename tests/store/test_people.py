"""People's part: owners, tasks, answers; and effects and parked events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from firstmile.contracts import EffectOutcome
from firstmile.store import effects, enrolments, metrics, owners, parked, responses, tasks
from firstmile.store.database import Database
from firstmile.store.enrolments import NewEnrolment
from firstmile.store.metrics import Sample
from firstmile.store.owners import Assignment, Person, Unassigned
from firstmile.store.parked import ParkedEvent
from firstmile.store.profiles import Profile
from firstmile.store.responses import Kind, Response
from firstmile.store.tasks import NewTask

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANSWER = Response("e-1", "c-1", 1, "team", "nps", 1, "nps", NOW, score=9)


# ---- owners ----------------------------------------------------------------------------------------------


async def loads(db: Database) -> dict[str, int]:
    async with db.reading() as reading:
        return {member.person.id: member.load for member in await owners.members(reading)}


async def test_the_least_loaded_active_member_owns_the_next_customer(db: Database) -> None:
    async with db.writing() as tx:
        for person in (Person("b", "B", "team"), Person("a", "A", "team"), Person("x", "X", "other")):
            await owners.put(tx, person)
        await owners.put(tx, Person("c", "C", "team", active=False))

    async def assign(number: int) -> Assignment | Unassigned:
        async with db.writing() as tx:
            return await owners.assign(tx, "team", f"c-{number}", 1, "specialist", NOW)

    first, second = await assign(1), await assign(2)
    await asyncio.gather(*map(assign, range(3, 11)))

    assert isinstance(first, Assignment)
    assert isinstance(second, Assignment)
    assert (first.person, second.person) == ("a", "b")
    assert await loads(db) == {"a": 5, "b": 5, "c": 0, "x": 0}
    assert await assign(1) == first
    assert await loads(db) == {"a": 5, "b": 5, "c": 0, "x": 0}


async def test_of_many_assignments_of_one_role_at_once_one_counts(db: Database) -> None:
    async with db.writing() as tx:
        for name in "abc":
            await owners.put(tx, Person(name, name, "team"))

    async def assign() -> Assignment | Unassigned:
        async with db.writing() as tx:
            return await owners.assign(tx, "team", "c-1", 1, "specialist", NOW)

    assigned = await asyncio.gather(*(assign() for _ in range(10)))

    assert len(set(assigned)) == 1
    assert await loads(db) == {"a": 1, "b": 0, "c": 0}


async def test_a_team_without_anybody_is_an_answer(db: Database) -> None:
    async with db.writing() as tx:
        await owners.put(tx, Person("a", "A", "team", active=False))
        nobody = await owners.assign(tx, "team", "c-1", 1, "specialist", NOW)
        unknown = await owners.assign(tx, "other", "c-1", 1, "specialist", NOW)

    assert nobody == Unassigned("nobody in team 'team' is active")
    assert unknown == Unassigned("there is no team 'other': nobody is known in it")


async def test_a_role_is_given_to_somebody_else(db: Database) -> None:
    async with db.writing() as tx:
        for name in "ab":
            await owners.put(tx, Person(name, name, "team", email=f"{name}@example.com"))
        await owners.assign(tx, "team", "c-1", 1, "specialist", NOW)
        for _ in range(2):
            await owners.reassign(tx, "c-1", 1, "specialist", "b", LATER)
        await owners.reassign(tx, "c-1", 1, "trainer", "b", LATER)
        unknown = await owners.reassign(tx, "c-1", 1, "specialist", "z", LATER)
        of = await owners.of(tx, "c-1", 1)
        assert await owners.person(tx, "b") == of["trainer"]

    assert unknown == Unassigned("nobody is known as 'z'")
    assert {role: person.id for role, person in of.items()} == {"specialist": "b", "trainer": "b"}
    assert await loads(db) == {"a": 0, "b": 2}
    async with db.writing() as tx:
        for _ in range(2):
            await owners.release(tx, "c-1", 1, LATER)
    assert await loads(db) == {"a": 0, "b": 0}


async def test_owners_change_hands_in_every_direction_at_once(db: Database) -> None:
    async with db.writing() as tx:
        for name in "ab":
            await owners.put(tx, Person(name, name, "team"))
        for number in range(6):
            await owners.assign(tx, "team", f"c-{number}", 1, "specialist", NOW)

    async def swap(number: int) -> None:
        async with db.writing() as tx:
            await owners.reassign(tx, f"c-{number % 6}", 1, "specialist", "ab"[number // 6 % 2], LATER)

    async def finish(number: int) -> None:
        async with db.writing() as tx:
            await owners.release(tx, f"c-{number}", 1, LATER)

    await asyncio.gather(*map(swap, range(24)), *map(finish, range(3)))

    assert sum((await loads(db)).values()) == 3


# ---- tasks -----------------------------------------------------------------------------------------------

TASK = NewTask("k", "c-1", 1, "call", "Call them", owner="ann", team="onboarding", due=5, checklist=("a",))


async def test_a_task_is_opened_once_and_done_once(db: Database) -> None:
    async with db.writing() as tx:
        opened = await tasks.open_task(tx, TASK, NOW)
        assert await tasks.open_task(tx, replace(TASK, title="Other"), LATER) == opened
        done = await tasks.complete(tx, "k", actor="ann", now=LATER)
        assert await tasks.complete(tx, "k", actor="bob", now=LATER) is None
        assert await tasks.close(tx, "k", reason="reached", now=LATER) is None
        assert await tasks.of(tx, "c-1", 1, "call") == [done]
        assert await tasks.of(tx, "c-1", 1, "other") == []

    assert done == replace(opened, state="done", ended_at=LATER, ended_by="ann")
    assert (opened.checklist, opened.due, opened.state) == (("a",), 5, "open")


async def test_a_task_that_is_not_needed_closes_and_opens_again(db: Database) -> None:
    async with db.writing() as tx:
        opened = await tasks.open_task(tx, TASK, NOW)
        closed = await tasks.close(tx, "k", reason="reached late", now=LATER)
        assert await tasks.escalate(tx, "k", "boss") is None
        assert await tasks.reopen(tx, "k") == opened
        assert await tasks.reopen(tx, "k") is None

    assert closed is not None
    assert (closed.state, closed.reason) == ("closed", "reached late")


async def test_a_reminder_is_noted_once(db: Database) -> None:
    async with db.writing() as tx:
        await tasks.open_task(tx, TASK, NOW)
        noted = [await tasks.remind(tx, "k", number) for number in (1, 1, 2, 1)]
        await tasks.escalate(tx, "k", "boss")
        task = await tasks.hand_over(tx, "k", "bob")

    assert [one.reminded if one else None for one in noted] == [1, None, 2, None]
    assert task is not None
    assert (task.owner, task.escalated_to, task.reminded) == ("bob", "boss", 2)


async def test_tasks_are_listed_by_what_is_due_first(db: Database) -> None:
    async with db.writing() as tx:
        for key, due, owner in (("1", None, "ann"), ("2", 9, "bob"), ("3", 4, "ann")):
            await tasks.open_task(tx, replace(TASK, key=key, due=due, owner=owner), NOW)

        assert [task.key for task in await tasks.find(tx, team="onboarding")] == ["3", "2", "1"]
        assert [task.key for task in await tasks.find(tx, owner="ann", limit=1)] == ["3"]
        assert await tasks.find(tx, state="done") == []


# ---- answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "score", "bucket"),
    [
        ("nps", 0, "detractor"),
        ("nps", 6, "detractor"),
        ("nps", 7, "passive"),
        ("nps", 9, "promoter"),
        ("nps", 11, "other"),
        ("csat", 0, "other"),
        ("csat", 2, "dissatisfied"),
        ("csat", 3, "neutral"),
        ("csat", 5, "satisfied"),
        ("ces", 3, "difficult"),
        ("ces", 4, "neutral"),
        ("ces", 7, "easy"),
        ("ces", None, "other"),
    ],
)
def test_what_a_score_comes_to(kind: Kind, score: int | None, bucket: str) -> None:
    assert replace(ANSWER, kind=kind, score=score).bucket == bucket


async def test_the_last_answer_stands_and_all_are_kept(db: Database) -> None:
    second = replace(ANSWER, id="e-2", score=3, comment="Hm", at=LATER)
    machine = replace(ANSWER, id="e-3", score=10, suspicious=True, at=LATER)
    async with db.writing() as tx:
        assert [await responses.record(tx, one) for one in (ANSWER, second, ANSWER, machine)] == [
            True,
            True,
            False,
            True,
        ]
        assert await responses.latest(tx, "c-1", 1, "nps", 1) == second
        assert await responses.latest(tx, "c-1", 1, "nps", 2) is None
        assert await responses.of(tx, "c-1", 1) == [ANSWER, second, machine]

    async with db.reading() as reading:
        found = await metrics.snapshot(reading, NOW)
    nps = ("kind", "nps")
    assert found.counters["survey_responses_total"] == [
        Sample((nps, ("bucket", "detractor")), 1),
        Sample((nps, ("bucket", "promoter")), 1),
    ]
    standing = {sample.labels[-1][1]: sample.value for sample in found.gauges["answers"] if sample.value}
    assert standing == {"detractor": 1}


async def test_of_many_answers_at_once_one_stands(db: Database) -> None:
    async def answer(number: int) -> bool:
        async with db.writing() as tx:
            return await responses.record(tx, replace(ANSWER, id=f"e-{number // 2}", score=number // 2))

    recorded = await asyncio.gather(*map(answer, range(22)))

    assert sum(recorded) == 11
    async with db.reading() as reading:
        stands = await responses.latest(reading, "c-1", 1, "nps", 1)
        found = await metrics.snapshot(reading, NOW)
    assert stands is not None
    assert {sample.labels[-1][1]: sample.value for sample in found.gauges["answers"] if sample.value} == {
        stands.bucket: 1
    }


async def test_a_check_in_is_answered_by_a_word(db: Database) -> None:
    answer = replace(ANSWER, kind="checkin", score=None, answer="help")
    async with db.writing() as tx:
        await responses.record(tx, answer)
        assert await responses.latest(tx, "c-1", 1, "nps", 1) == answer

    assert (answer.bucket, replace(answer, answer="x").bucket) == ("help", "other")


# ---- effects ---------------------------------------------------------------------------------------------


async def test_the_first_outcome_of_an_effect_counts(db: Database) -> None:
    first = EffectOutcome("open", 5, result={"id": "w-1"})
    async with db.writing() as tx:
        assert await effects.recorded(tx, "k") is None
        assert await effects.record(tx, "k", first, NOW, system="workspace") == first
        assert await effects.record(tx, "k", EffectOutcome("failed", 6), NOW, system="workspace") == first
        assert await effects.recorded(tx, "k") == first
        assert await effects.finish(tx, "k", EffectOutcome("done", 7), LATER)
        assert not await effects.finish(tx, "k", EffectOutcome("failed", 8), LATER)
        assert not await effects.finish(tx, "other", EffectOutcome("done", 8), LATER)
        assert await effects.recorded(tx, "k") == EffectOutcome("done", 7)
        await effects.record(tx, "task", EffectOutcome("done", 7, reason="why"), NOW)

    async with db.reading() as reading:
        found = (await metrics.snapshot(reading, NOW)).counters["provisioning_total"]
    system = ("system", "workspace")
    assert found == [Sample((system, ("outcome", "done")), 1), Sample((system, ("outcome", "open")), 1)]


async def test_what_was_put_off_is_yet_to_be_done(db: Database) -> None:
    async with db.writing() as tx:
        with pytest.raises(ValueError, match="put off"):
            await effects.record(tx, "k", EffectOutcome("deferred", 5, until=9), NOW)


# ---- parked events ---------------------------------------------------------------------------------------


async def test_events_wait_for_their_subject(db: Database) -> None:
    event = ParkedEvent("e-2", "c-1", "user.logged_in", 7, {"a": [1], "b": "\x00\ud800"}, NOW)
    later = replace(event, id="e-1", at=None, parked_at=LATER)
    async with db.writing() as tx:
        assert [await parked.park(tx, one) for one in (later, event, event)] == [True, True, False]
        assert await parked.park(tx, replace(event, subject="c-2"))
        assert await parked.of(tx, "c-1") == [event, later]
        assert await parked.deliverable(tx) == []
        new = NewEnrolment("c-1", "team", 1, "h", {}, NOW)
        await enrolments.register(tx, new, Profile("c-1"), NOW)
        await enrolments.mark_started(tx, "c-1", 1)
        assert await parked.deliverable(tx) == ["c-1"]
        assert await parked.delivered(tx, "c-1", ["e-2", "e-9"]) == 1
        assert await parked.take(tx, "c-1") == [later]
        assert await parked.take(tx, "c-1") == []
        assert await parked.deliverable(tx) == []


async def test_events_wait_for_seven_days(db: Database) -> None:
    event = ParkedEvent("e-1", "c-1", "user.logged_in", None, {}, NOW)
    async with db.writing() as tx:
        await parked.park(tx, event)
        await parked.park(tx, replace(event, id="e-2", parked_at=LATER))
        assert await parked.expire(tx, NOW + parked.KEEP) == 0
        assert await parked.expire(tx, LATER + parked.KEEP) == 1
        assert [one.id for one in await parked.of(tx, "c-1")] == ["e-2"]
