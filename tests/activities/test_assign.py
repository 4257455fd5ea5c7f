"""Assigning: the least loaded of the team, once, whatever happens to the attempt."""

from __future__ import annotations

import asyncio

import pytest

from activities.assign import AssignOwner
from activities.tools import Tools
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.store import owners
from firstmile.store.database import Database
from firstmile.store.owners import Person
from tests.activities.building import (
    SUCCESS,
    Ask,
    attempt,
    believed,
    contents,
    dies,
    journal_of,
    rode,
    view_of,
)
from tests.activities.conftest import THEN


@pytest.fixture
def assign(tools: Tools) -> AssignOwner:
    return AssignOwner(tools)


def specialist(ask: Ask, team: str = "onboarding", attempt: int = 1) -> EffectRequest:
    """Until it is known who it is, the engine foretells the team's name."""
    return ask("assign", "specialist", params={"team": team}, foretold={"specialist": team}, attempt=attempt)


async def loads(db: Database) -> dict[str, int]:
    async with db.reading() as tx:
        return {member.person.id: member.load for member in await owners.members(tx, "onboarding")}


async def test_the_least_loaded_gets_the_customer(db: Database, assign: AssignOwner, ask: Ask) -> None:
    async with db.writing() as tx:
        await owners.assign(tx, "onboarding", "c-7", 1, "specialist", THEN)
    assert await loads(db) == {"amy": 1, "ben": 0}

    outcome = await attempt(assign.assign_owner, specialist(ask))

    assert (outcome.outcome, outcome.result) == ("done", {"owner": "ben"})
    assert await loads(db) == {"amy": 1, "ben": 1}


async def test_the_view_that_is_written_names_who_it_is(db: Database, assign: AssignOwner, ask: Ask) -> None:
    request = specialist(ask)

    outcome = await attempt(assign.assign_owner, request)

    assert await rode(db, request, outcome)
    view = await view_of(db)
    assert view is not None
    assert (view.number, view.owners) == (SUCCESS, {"specialist": "amy"})
    assert believed(request, outcome) == view
    assert [(entry.change, entry.at) for entry in await journal_of(db)][1] == ("done", outcome.at)


async def test_asked_again_it_is_who_it_was_and_nothing_is_written(
    db: Database, assign: AssignOwner, ask: Ask
) -> None:
    first = await attempt(assign.assign_owner, specialist(ask))
    written = await contents(db)

    assert await attempt(assign.assign_owner, specialist(ask)) == first
    assert await contents(db) == written


async def test_two_attempts_at_once_choose_one_person(db: Database, assign: AssignOwner, ask: Ask) -> None:
    one, other = await asyncio.gather(
        attempt(assign.assign_owner, specialist(ask)), attempt(assign.assign_owner, specialist(ask))
    )

    assert one == other
    assert sum((await loads(db)).values()) == 1


async def test_an_attempt_that_died_assigned_nobody(db: Database, assign: AssignOwner, ask: Ask) -> None:
    before = await contents(db)

    await dies(db, assign.assign_owner, specialist(ask))

    assert await contents(db) == before
    outcome = await attempt(assign.assign_owner, specialist(ask))
    assert await rode(db, specialist(ask), outcome)
    assert await loads(db) == {"amy": 1, "ben": 0}


async def test_a_team_without_anybody_fails_the_step(db: Database, assign: AssignOwner, ask: Ask) -> None:
    request = specialist(ask, team="night")

    outcome = await attempt(assign.assign_owner, request)

    assert (outcome.outcome, outcome.reason) == (
        "failed",
        "there is no team 'night': nobody is known in it",
    )
    assert await rode(db, request, outcome)


async def test_what_failed_stays_failed_until_an_operator_retries(
    db: Database, assign: AssignOwner, ask: Ask
) -> None:
    failed = await attempt(assign.assign_owner, specialist(ask, team="night"))
    async with db.writing() as tx:
        await owners.put(tx, Person("dot", "Dot", "night"))
    written = await contents(db)

    assert await attempt(assign.assign_owner, specialist(ask, team="night")) == failed
    assert await contents(db) == written
    retried = await attempt(assign.assign_owner, specialist(ask, team="night", attempt=2))
    assert (retried.outcome, retried.result) == ("done", {"owner": "dot"})


async def test_who_an_operator_chose_meanwhile_stays(db: Database, assign: AssignOwner, ask: Ask) -> None:
    async with db.writing() as tx:
        await owners.reassign(tx, "c-1", 1, "specialist", "cem", THEN)

    outcome = await attempt(assign.assign_owner, specialist(ask))

    assert outcome.result == {"owner": "cem"}


async def test_nothing_settles_before_it_was_started(assign: AssignOwner, ask: Ask) -> None:
    """Temporal's clock, which says when that was, may be ahead of this machine's."""
    later = ask.enrolled + 3_600_000_000
    request = ask("assign", "specialist", params={"team": "onboarding"}, at=later)

    assert await attempt(assign.assign_owner, request) == EffectOutcome(
        "done", later, result={"owner": "amy"}
    )
