"""The times of a step as functions: dates of traits, which message of a step is which, spread, and the cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.durations import DAY, MINUTE, SECOND, parse_duration, parse_span
from firstmile.journey.engine import enrol
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import parse_instant
from firstmile.journey.timing import DateTrait, Timing, nth
from tests.journey.building import calendar, instant, local, route, window

ON = calendar("Europe/Berlin")
AT = instant("2026-03-06 10:00", ON)


def timing(journey: str, subject: str = "c-1", **traits: str) -> Timing:
    return enrol(route(journey), ON, Subject(subject, traits=traits), AT).timing


# ---- dates of traits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "is_day"),
    [
        ("2026-03-17", True),
        ("2026-03-17T09:00:00Z", False),
        ("2026-03-17T09:00:00+01:00", False),
        ("2026-03-17T09:00Z", False),
        ("2026-03-17T09:00:00.5Z", False),
    ],
)
def test_a_date_is_a_day_or_an_instant(value: str, is_day: bool) -> None:
    found = DateTrait.of(value)

    assert found is not None
    assert found.is_day is is_day


@pytest.mark.parametrize(
    "value", ["", "soon", "2026-02-30", "2026-03-17T09:00:00", "17.03.2026", "2026-3-17", 20260317, True, None, ["2026-03-17"]]
)  # fmt: skip
def test_what_is_no_date(value: object) -> None:
    assert DateTrait.of(value) is None


@pytest.mark.parametrize(
    ("moment", "begins", "over"),
    [
        ("0 days after d", "2026-03-29 00:00", "2026-03-30 00:00"),
        ("1 day before d", "2026-03-28 00:00", "2026-03-29 00:00"),
        ("1 business day before d", "2026-03-27 00:00", "2026-03-28 00:00"),
        ("6 hours after d", "2026-03-29 07:00", "2026-03-29 07:00"),
        ("0 days after i", "2026-03-29 13:00", "2026-03-29 13:00"),
        ("0 days after absent", "never", "never"),
    ],
)
def test_when_a_moment_begins_and_when_it_is_over(moment: str, begins: str, over: str) -> None:
    given = timing("- {id: a, task: {title: T}}", d="2026-03-29", i="2026-03-29T11:00:00Z")

    found = given.moment(parse_span(moment))  # type: ignore[arg-type]  # these are moments

    assert [local(each, ON) for each in (found or (None, None))] == [begins, over]


# ---- spread ----------------------------------------------------------------------------------------------


@given(st.text(), st.integers(1, 40), st.integers(1, 12 * 60))
def test_a_spread_is_within_its_bounds_and_inside_the_window(
    subject: str, occurrence: int, minutes: int
) -> None:
    given = timing(
        f"{{defaults: {{spread: {minutes} minutes}}, steps: [{{id: a, email: {{template: t}}}}]}}", subject
    )
    stop, open_for = given.route.stops[0], window("daily", "09:00", "11:00")
    opening = instant("2026-03-09 09:00", ON)

    due = given.spread(stop, open_for, opening, occurrence)

    assert opening <= due < opening + min(minutes, 120) * MINUTE
    assert due % SECOND == 0
    assert due == given.spread(stop, open_for, opening, occurrence)
    # The same customer waits as long on another day.
    assert given.spread(stop, open_for, opening + DAY, occurrence) - opening - DAY == due - opening


def test_without_spread_nobody_waits() -> None:
    given = timing("- {id: a, email: {template: t}}")

    assert given.spread(given.route.stops[0], window(), instant("2026-03-09 09:00", ON), 1) == instant(
        "2026-03-09 09:00", ON
    )


@pytest.mark.parametrize(
    ("step", "number", "expected"),
    [
        ("checkin: {template: t, every: 1 day, times: 3}", 2, 2),
        ("survey: {kind: nps, template: t, remind: 1 day}", 1, 2),
    ],
)
def test_the_first_message_of_a_step_goes_out_when_it_runs(step: str, number: int, expected: int) -> None:
    assert nth(route(f"- {{id: a, {step}}}").stops[0], number) == expected


# ---- cap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "messages", "expected"),
    [
        ([], 1, "2026-03-08 10:00"),
        (["2026-03-07 10:00"], 1, "2026-03-08 10:00"),
        (["2026-03-07 10:01"], 1, "2026-03-08 10:01"),
        (["2026-03-07 12:00", "2026-03-07 15:00"], 2, "2026-03-08 12:00"),
        (["2026-03-07 12:00", "2026-03-07 15:00"], 1, "2026-03-08 15:00"),
        (["2026-03-07 12:00", "2026-03-07 15:00"], 3, "2026-03-08 10:00"),
    ],
)
def test_the_first_instant_that_respects_the_cap(sent: list[str], messages: int, expected: str) -> None:
    given = timing(
        f"{{defaults: {{cap: {{messages: {messages}, per: 1 day}}}}, steps: [{{id: a, task: {{title: T}}}}]}}"
    )
    given.state.sent = [(instant(at, ON), at) for at in sent]

    assert local(given.free_from(instant("2026-03-08 10:00", ON)), ON) == expected


# ---- deadlines -------------------------------------------------------------------------------------------


def test_a_deadline_that_is_over_is_now() -> None:
    given = timing("- {id: a, task: {title: T}}", d="2026-03-01")

    assert given.deadline(parse_span("0 days after d"), AT, AT) == AT
    assert given.deadline(parse_span("0 days after absent"), AT, AT) is None
    assert given.deadline(parse_duration("2 days"), AT, AT) == parse_instant("2026-03-08T09:00:00Z")
    assert given.deadline(None, AT, AT) is None
