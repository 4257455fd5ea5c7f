"""What a start by a bare Temporal client left out is looked up, or refused for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.prepare import PrepareStart
from activities.tools import Tools
from firstmile.contracts import Start
from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import enrol
from firstmile.journey.inputs import Subject
from firstmile.journey.model import Journey
from firstmile.journey.route import route_of
from firstmile.store import profiles, published
from firstmile.store.database import Database
from firstmile.store.profiles import Profile
from tests.activities.building import ANNELISE, attempt, is_discreet, told
from tests.activities.conftest import THEN

ENROLLED = 1_772_000_000_000_000
TRAITS = {"plan": "pro"}


def journey(version: int = 1, **defaults: str) -> Journey:
    return Journey.model_validate(
        {
            "journey": "team",
            "version": version,
            "traits": {"plan": "text", "seats": "number?"},
            "onboarded": {"milestone": "value"},
            "ends": "40 days",
            "defaults": defaults,
            "steps": [{"id": "value", "milestone": {"event": "value"}}],
        }
    )


async def publish(db: Database, found: Journey) -> None:
    async with db.writing() as tx:
        await published.publish(tx, found.journey, found.version, found.canonical_json(), THEN)


@pytest.fixture
async def prepare(db: Database, tools: Tools) -> PrepareStart:
    """With a journey published that has a zone of its own."""
    await publish(db, journey(timezone="Europe/Madrid"))
    return PrepareStart(tools)


def bare(subject: str = "c-1", *, speed: float = 1.0, segment: str = "team", **known: Any) -> Start:
    """What the workflow makes of a start that carries an id and traits: type and time of its own."""
    return Start(Subject(subject, **({"traits": TRAITS} | known)), segment, enrolled_at=ENROLLED, speed=speed)


async def refused(prepare: PrepareStart, start: Start) -> str:
    """Why a start is refused: for good, and so that the workflow ends with the reason."""
    with pytest.raises(ApplicationError) as raised:
        await attempt(prepare.prepare_start, start)
    assert (raised.value.type, raised.value.non_retryable) == ("BadStart", True)
    assert is_discreet(told(raised.value))
    return raised.value.message


async def test_a_start_becomes_all_that_the_engine_reads(prepare: PrepareStart) -> None:
    start = await attempt(prepare.prepare_start, bare(speed=60.0, enrolment=2, skip=["value"]))

    assert start.journey == journey(timezone="Europe/Madrid").canonical_json()
    assert (start.segment, start.enrolled_at, start.speed) == ("team", ENROLLED, 60.0)
    assert (start.subject.enrolment, start.subject.skip) == (2, ["value"])
    assert start.calendar is not None
    engine = enrol(route_of(start.journey), Calendar(start.calendar), start.subject, start.enrolled_at)
    assert engine.state.steps["value"].phase == "skipped"


async def test_what_is_carried_is_no_personal_data(prepare: PrepareStart) -> None:
    assert is_discreet(str(await attempt(prepare.prepare_start, bare())))


async def test_the_newest_version_is_the_one_that_starts(db: Database, prepare: PrepareStart) -> None:
    await publish(db, journey(version=2))

    start = await attempt(prepare.prepare_start, bare())

    assert start.journey == journey(version=2).canonical_json()


async def test_asked_again_it_is_the_same_start(prepare: PrepareStart) -> None:
    assert await attempt(prepare.prepare_start, bare()) == await attempt(prepare.prepare_start, bare())


@pytest.mark.parametrize(
    ("profile", "given", "default", "zone"),
    [
        ("Asia/Tokyo", "America/Lima", "Europe/Madrid", "Asia/Tokyo"),
        (None, "America/Lima", "Europe/Madrid", "America/Lima"),
        (None, None, "Europe/Madrid", "Europe/Madrid"),
        (None, None, None, "UTC"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
async def test_the_zone_is_the_profiles_or_the_starts_or_the_journeys(
    db: Database,
    prepare: PrepareStart,
    profile: str | None,
    given: str | None,
    default: str | None,
    zone: str,
    is_known: bool,
) -> None:
    subject = "c-1" if is_known or profile else "c-9"
    async with db.writing() as tx:
        await profiles.write(tx, replace(ANNELISE, timezone=profile), THEN)
    await publish(db, journey(version=2, **({"timezone": default} if default else {})))

    named: dict[str, Any] = {"timezone": given} if given else {}
    start = await attempt(prepare.prepare_start, bare(subject, **named))

    assert start.subject.timezone == zone
    assert start.calendar is not None
    assert start.calendar.timezone == zone


@pytest.mark.parametrize(
    ("profile", "given", "place"),
    [
        (("DE", "BY"), ("US", "CA"), ("DE", "BY")),
        (("DE", None), ("US", "CA"), ("DE", None)),
        ((None, None), ("US", "CA"), ("US", "CA")),
        ((None, None), (None, None), (None, None)),
    ],
)
async def test_a_country_brings_its_own_subdivision(
    db: Database,
    prepare: PrepareStart,
    profile: tuple[str | None, str | None],
    given: tuple[str | None, str | None],
    place: tuple[str | None, str | None],
) -> None:
    async with db.writing() as tx:
        known = Profile("c-1", country=profile[0], subdivision=profile[1], locale="de")
        await profiles.write(tx, known, THEN)

    start = await attempt(prepare.prepare_start, bare(country=given[0], subdivision=given[1], locale="fr"))

    assert (start.subject.country, start.subject.subdivision, start.subject.locale) == (*place, "de")
    assert start.calendar is not None
    assert (start.calendar.country, start.calendar.subdivision) == place


async def test_a_trait_that_is_null_is_absent(prepare: PrepareStart) -> None:
    start = await attempt(prepare.prepare_start, bare(traits={"plan": "pro", "seats": None}))

    assert start.subject.traits == {"plan": "pro"}


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (bare(segment="nowhere"), "no journey 'nowhere' is published"),
        (bare(traits={}), "trait 'plan' is missing: the journey needs a text"),
        (bare(traits={"plan": None}), "trait 'plan' is missing: the journey needs a text"),
        (bare(traits={"plan": "pro", "seats": "many"}), "trait 'seats' must be a number, not 'many'"),
        (
            bare("c-2", timezone="Europe/Belin"),
            "unknown time zone 'Europe/Belin': did you mean 'Europe/Berlin'?",
        ),
        (bare("c-2", country="XX"), "unknown country 'XX'"),
        (bare(speed=0.0), "the speed must be more than 0 and at most 36000"),
        (bare(speed=-1.0), "the speed must be more than 0 and at most 36000"),
        (bare(speed=36_001.0), "the speed must be more than 0 and at most 36000"),
    ],
)
async def test_what_no_try_can_mend_is_refused_with_the_reason(
    prepare: PrepareStart, start: Start, reason: str
) -> None:
    assert (await refused(prepare, start)).startswith(reason)


async def test_all_that_is_wrong_with_the_traits_is_said_at_once(prepare: PrepareStart) -> None:
    reason = await refused(prepare, bare(traits={"seats": "many"}))

    assert reason == (
        "trait 'plan' is missing: the journey needs a text; trait 'seats' must be a number, not 'many'"
    )
