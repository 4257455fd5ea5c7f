"""What comes next, when, and why, told from the view alone."""

from __future__ import annotations

import pytest

from firstmile.journey.durations import DAY
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import parse_instant
from firstmile.journey.outlook import Row, outlook
from firstmile.journey.simulator import ScriptedOutcome, ScriptLine, simulate
from tests.journey.building import calendar, route

JOURNEY = """
traits: {plan: text?, trial_ends: date?}
ends: 60 days
defaults: {window: {days: mon-fri, from: "09:00", to: "17:00"}}
onboarded: {milestone: goal}
steps:
  - {id: workspace, provision: {system: workspace}}
  - {id: welcome, after: [workspace], email: {template: welcome, class: transactional}}
  - {id: login, milestone: {event: user.logged_in}, within: 7 days}
  - {id: nudge, after: [welcome], wait: 2 days, until: login, email: {template: nudge}}
  - {id: goal, milestone: {event: report.published, times: 3}, within: 14 days}
  - {id: rescue, after: [missed goal], until: goal, task: {title: Call}}
  - {id: tips, after: [login], wait: 1 day, when: "traits.plan == 'pro'", email: {template: tips}}
  - {id: ending, wait: 3 days before trial_ends, email: {template: ending}}
  - {id: nps, after: [goal], wait: 7 days, survey: {kind: nps, template: nps}, within: 14 days}
  - {id: thanks, after: [nps], email: {template: thanks}}
"""
ENROLLED = parse_instant("2026-03-06T03:00:00Z")  # a Friday, 04:00 in Berlin

Input = Event | Command | ScriptedOutcome


def told(days: float, *inputs: tuple[float, Input]) -> dict[str, Row]:
    """The rows after some days, by step, in the order shown."""
    at = ENROLLED + int(days * DAY)
    berlin = calendar("Europe/Berlin")
    lines = [
        ScriptLine(ENROLLED + int(day * DAY), number, given) for number, (day, given) in enumerate(inputs)
    ]
    simulation = simulate(route(JOURNEY), berlin, Subject("c-1", "Europe/Berlin"), ENROLLED, lines, at)
    rows = outlook(route(JOURNEY).journey, simulation.engine.view(), berlin, at, simulation.entries)
    return {row.step: row for row in rows}


LOGIN = (0.5, Event("user.logged_in", "e1"))


def test_every_step_is_told_once_what_is_past_first() -> None:
    rows = told(1)

    assert list(rows) == [
        "workspace", "welcome", "login", "goal", "nudge", "tips", "nps", "thanks", "rescue", "ending",
    ]  # fmt: skip
    groups = [row.group for row in rows.values()]
    assert groups == sorted(groups, key=("past", "now", "next", "later").index)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("welcome", "done Fri 6 Mar 04:00"),
        ("login", "waits for user.logged_in, until Fri 13 Mar 04:00"),
        ("goal", "waits for report.published, 3 times, until Fri 20 Mar 04:00"),
        ("nudge", "due Mon 9 Mar 09:00"),
        ("tips", "waits for login, until Fri 13 Mar 04:00; 1 day later; when traits.plan == 'pro'"),
        ("rescue", "only if goal is missed (Fri 20 Mar 04:00); not needed once goal is reached"),
        ("ending", "waits for 3 days before trial_ends (not known yet)"),
        ("nps", "waits for goal, until Fri 20 Mar 04:00; 7 days later"),
        ("thanks", "waits for nps"),
    ],
)
def test_each_step_says_why(step: str, why: str) -> None:
    assert told(1)[step].why == why


def test_what_waits_has_the_earliest_time_at_which_it_could_be_due() -> None:
    rows = told(1)

    # A day after Saturday is Sunday: the window opens on Monday at 09:00 in Berlin.
    assert rows["tips"].at == parse_instant("2026-03-09T08:00:00Z")
    assert rows["tips"].earliest
    assert rows["rescue"].at == parse_instant("2026-03-20T03:00:00Z")
    assert rows["ending"].at is None
    assert not rows["nudge"].earliest


def test_what_is_past_says_what_became_of_it() -> None:
    rows = told(21, LOGIN, (18, Event("report.published", "r1")))

    assert rows["login"].why == "reached Fri 6 Mar 16:00"
    assert rows["nudge"].why == "skipped Fri 6 Mar 16:00: login was reached"
    assert rows["goal"].why == "missed Fri 20 Mar 04:00: the deadline passed"
    assert rows["rescue"].why == "waits for somebody to complete it, until the journey ends (Tue 5 May 04:00)"


def test_what_comes_late_says_so() -> None:
    late = [(20 + number / 10, Event("report.published", f"r{number}")) for number in range(3)]

    assert told(21, *late)["goal"].why == "reached Thu 26 Mar 08:48, late"


def test_a_failed_step_says_what_to_do_and_holds_up_what_comes_after_it() -> None:
    rows = told(1, (0, ScriptedOutcome("workspace", "failed", reason="HTTP 500")))

    assert rows["workspace"].why == "failed Fri 6 Mar 04:00: HTTP 500 (retry it, or skip it)"
    assert rows["welcome"].why == "waits for workspace, which has failed"
    assert rows["welcome"].at is None


def test_while_paused_nothing_is_due() -> None:
    rows = told(1, (0.5, Command("pause", until=ENROLLED + 5 * DAY)))

    assert rows["nudge"].why == "paused until Wed 11 Mar 04:00; was due Mon 9 Mar 09:00"


def test_when_the_journey_has_ended_nothing_comes_any_more() -> None:
    rows = told(2, (1, Command("cancel")))

    assert rows["tips"].why == "the journey has ended"
    assert rows["tips"].at is None
