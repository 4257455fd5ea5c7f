"""The sample customers' stories come out as they are told, whatever day the demo is started on."""

from __future__ import annotations

from datetime import date
from random import Random
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from email_validator import validate_email

from firstmile import paths
from firstmile.demo.cast import CAST
from firstmile.demo.customers import COLLEAGUES, FASTEST, SPEEDS, Customer
from firstmile.demo.story import (
    After,
    Day,
    InDays,
    Note,
    Orders,
    Scene,
    Seen,
    Story,
    Uses,
    Work,
    dated,
)
from firstmile.journey.durations import DAY
from firstmile.journey.instants import parse_instant
from firstmile.journey.slices import check_place
from tests.demo.rehearsal import Rehearsal, route

FIRST = parse_instant("2026-01-01T00:00:00Z")
BEFORE_THE_HOLIDAYS = parse_instant("2026-12-23T16:20:00Z")


def ids(customer: Customer) -> str:
    return customer.id


@pytest.mark.parametrize("customer", CAST, ids=ids)
def test_a_story_ends_as_told_whenever_it_begins(customer: Customer) -> None:
    chance = Random(customer.id)
    starts = [BEFORE_THE_HOLIDAYS, *(FIRST + int(chance.uniform(0, 730) * DAY) for _ in range(8))]

    for start in starts:
        played = Rehearsal(customer, start, chance).play()

        assert played.engine.state.life == customer.ending.status, start
        assert (played.engine.state.onboarded_at is not None) == customer.ending.onboarded, start
        steps = {step: played.outcome(step) for step in customer.ending.steps}
        assert steps == customer.ending.steps, start
        assert played.rejected == [], start
        assert played.days < 105


def test_the_cast_takes_every_shipped_segment_through_every_kind_of_step() -> None:
    done: dict[str, set[str]] = {}
    for customer in CAST:
        played = Rehearsal(customer, FIRST, Random(1)).play()
        for entry in played.entries:
            if entry.change in ("done", "undone") and entry.kind is not None:
                done.setdefault(customer.segment, set()).add(entry.kind)

    shipped = {file.stem for file in paths.journeys().glob("*.yaml")}
    assert done.keys() == shipped == SPEEDS.keys()
    for segment in shipped:
        assert done[segment] == {stop.kind for stop in route(segment).stops}


def test_the_cast_shows_what_can_go_wrong() -> None:
    endings = {customer.ending.status for customer in CAST}
    ordered = {
        scene.act.command for customer in CAST for scene in customer.scenes if isinstance(scene.act, Orders)
    }

    assert endings == {"completed", "stopped"}
    assert ordered == {"pause", "resume", "cancel", "traits"}
    assert any(customer.outage for customer in CAST)
    assert any(customer.silence for customer in CAST)
    assert {customer.ending.onboarded for customer in CAST} == {True, False}


def test_nobody_in_the_cast_can_be_reached() -> None:
    for email in [*(customer.email for customer in CAST), *(colleague.email for colleague in COLLEAGUES)]:
        assert email.endswith(".example")
        validate_email(email.replace(".example", ".net"), check_deliverability=False)


@pytest.mark.parametrize("customer", CAST, ids=ids)
def test_a_customer_lives_somewhere_and_no_faster_than_is_allowed(customer: Customer) -> None:
    check_place(customer.timezone, customer.country, None)
    ZoneInfo(customer.timezone)
    Locale.parse(customer.locale, sep="-")
    assert SPEEDS[customer.segment] <= FASTEST
    assert "@" not in customer.id


def test_ids_and_addresses_are_each_customers_own() -> None:
    assert len({customer.id for customer in CAST}) == len({customer.email for customer in CAST}) == len(CAST)
    assert len({customer.timezone for customer in CAST}) >= 7


# ---- the vocabulary --------------------------------------------------------------------------------------

LOGIN = Uses("login")


def story(*scenes: Scene, work: dict[str, Work] | None = None) -> Story:
    return Story(scenes, work or {})


def test_a_scene_on_a_day_is_due_from_that_day_on_and_once() -> None:
    told = story(Scene(Day(2), LOGIN))

    assert told.due(Seen(), 1.9) == []
    (due,) = told.due(Seen(), 2.5)
    assert told.due(Seen(), 3) == [due]
    told.done(due)
    assert told.due(Seen(), 4) == []


def test_a_scene_after_a_message_waits_for_it() -> None:
    told = story(Scene(After("nps", 1, "remind"), LOGIN))
    seen = Seen(messages={Note("nps"): 3.0})

    assert told.due(seen, 30) == []
    seen.messages[Note("nps", "remind")] = 8.0
    assert told.due(seen, 8.9) == []
    assert [due.act for due in told.due(seen, 9)] == [LOGIN]


def test_an_operator_does_every_task_and_enters_traits_before() -> None:
    told = story(work={"plan": Work(2, {"go_live": InDays(30)})})
    seen = Seen(tasks={"plan": 4.0, "call": 4.0})

    assert [due.act.step for due in told.due(seen, 5) if isinstance(due.act, Orders)] == ["call"]
    commands = [due.act.command for due in told.due(seen, 6.1) if isinstance(due.act, Orders)]
    assert commands == ["traits", "complete", "complete"]


def test_an_operator_retries_every_failure_anew() -> None:
    told = story()
    (first,) = told.due(Seen(failed={"workspace": 1.0}), 2)
    told.done(first)

    (second,) = told.due(Seen(failed={"workspace": 7.0}), 8)

    assert first.act == second.act
    assert isinstance(first.act, Orders)
    assert (first.act.command, first.act.step) == ("retry", "workspace")
    assert first.id != second.id


def test_only_tasks_are_due_once_the_journey_is_over() -> None:
    seen = Seen(over=True, failed={"workspace": 0.0}, tasks={"check_in/help": 1.0})

    assert [due.id for due in story(Scene(Day(0), LOGIN)).due(seen, 9)] == ["complete-check_in/help-1.000000"]


def test_traits_that_are_dates_count_from_enrolment() -> None:
    enrolled = date(2026, 12, 20)

    assert dated({"plan": "trial", "trial_ends": InDays(14)}, enrolled) == {
        "plan": "trial",
        "trial_ends": "2027-01-03",
    }
