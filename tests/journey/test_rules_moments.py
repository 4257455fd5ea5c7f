"""Moments: durations before or after a date trait, which may be absent, change or be past (JOURNEYS §2, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journey.building import command, effect, event, run

WINDOW = '{days: mon-fri, from: "09:00", to: "17:00"}'


def one(
    wait: str, kind: str = "email: {template: t}", window: str = "anytime", spread: str = "0 minutes"
) -> str:
    return f"""
      defaults: {{spread: {spread}}}
      steps:
        - {{id: a, wait: {wait}, window: {window}, {kind}}}
    """


def traits(at: str, **changed: Any) -> tuple[str, Any]:
    return at, command("traits", traits=changed)


# ---- when a moment is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "trait", "expected"),
    [
        # An instant.
        ("3 days before d", "2026-03-20T15:00:00Z", "2026-03-17 16:00"),
        ("0 days after d", "2026-03-20T15:00:00Z", "2026-03-20 16:00"),
        ("90 minutes after d", "2026-03-20T15:00:00Z", "2026-03-20 17:30"),
        ("1 day 4 hours before d", "2026-03-30T10:00:00+02:00", "2026-03-29 06:00"),
        ("15 business days before d", "2026-04-10T10:00:00Z", "2026-03-20 12:00"),
        # A plain date is that local day, counted from its start.
        ("3 days before d", "2026-03-20", "2026-03-17 00:00"),
        ("0 days after d", "2026-03-20", "2026-03-20 00:00"),
        ("1 week after d", "2026-03-20", "2026-03-27 00:00"),
        ("1 business day after d", "2026-03-20", "2026-03-23 00:00"),
        ("1 business day before d", "2026-03-23", "2026-03-20 00:00"),
        ("2 days 4 hours before d", "2026-03-20", "2026-03-17 20:00"),
        ("9 hours after d", "2026-03-29", "2026-03-29 10:00"),
    ],
)
def test_a_moment_is_a_duration_before_or_after_a_trait(wait: str, trait: str, expected: str) -> None:
    assert run(one(wait), traits={"d": trait}).when("a") == expected


@pytest.mark.parametrize(
    ("zone", "at", "trait", "expected"),
    [
        ("America/Sao_Paulo", "2018-10-20 10:00", "2018-11-04", "2018-11-04 01:00"),
        ("Pacific/Apia", "2011-12-20 10:00", "2011-12-31", "2011-12-31 00:00"),
        # The date that was left out has no length: it comes when the next one begins.
        ("Pacific/Apia", "2011-12-20 10:00", "2011-12-30", "2011-12-31 00:00"),
    ],
)
def test_a_plain_date_begins_at_its_first_instant(zone: str, at: str, trait: str, expected: str) -> None:
    assert run(one("0 days after d"), traits={"d": trait}, timezone=zone, at=at).when("a") == expected


def test_a_moment_does_not_wait_for_less_than_its_after() -> None:
    done = run(
        """
        - {id: e, milestone: {event: e}}
        - {id: a, after: [e], wait: 3 days before d, notify: {to: team, message: m}}
        - {id: b, after: [e], wait: 3 days before d, email: {template: t}}
        - {id: c, after: [e], wait: 30 days before d, email: {template: t}}
        """,
        ("+10 days", event("e")),
        traits={"d": "2026-03-20"},
    )

    assert done.when("a") == "2026-03-17 00:00"
    assert done.when("b") == "2026-03-17 00:00"
    assert done.lines("c") == ["2026-03-16 10:00 skipped (too late)"]


# ---- absent, arriving, changing --------------------------------------------------------------------------


def test_while_the_trait_is_absent_the_step_stays_waiting_and_when_it_arrives_it_is_scheduled() -> None:
    done = run(one("3 days before d"), traits("+5 days", d="2026-03-20"))

    assert done.lines("a")[0] == "2026-03-11 10:00 scheduled for 2026-03-17 00:00"


def test_a_trait_that_never_arrives_keeps_the_step_waiting_to_the_end() -> None:
    assert run(one("3 days before d")).lines("a") == ["2026-07-04 10:00 skipped (journey ended)"]


def test_when_the_trait_changes_what_has_not_started_moves() -> None:
    done = run(
        """
        - {id: a, wait: 10 days before d, email: {template: t}}
        - {id: b, wait: 3 days before d, email: {template: t}}
        """,
        traits("+5 days", d="2026-03-30"),
        traits={"d": "2026-03-20"},
    )

    assert done.due("a") == ["2026-03-10 00:00"]
    assert done.due("b") == ["2026-03-17 00:00", "2026-03-27 00:00"]
    assert [done.when("a"), done.when("b")] == ["2026-03-10 00:00", "2026-03-27 00:00"]


def test_a_trait_removed_after_scheduling_is_absent_again() -> None:
    done = run(
        one("3 days before d"),
        traits("+5 days", d=None),
        traits("+20 days", d="2026-04-10"),
        traits={"d": "2026-03-20"},
    )

    assert done.due("a") == ["2026-03-17 00:00", "2026-04-07 00:00"]
    assert done.when("a") == "2026-04-07 00:00"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("email: {template: t}", ["2026-03-11 10:00 skipped (too late)"]),
        ("survey: {kind: nps, template: t}", ["2026-03-11 10:00 skipped (too late)"]),
        ("webhook: {system: sms, class: transactional}", ["2026-03-11 10:00 skipped (too late)"]),
        ("webhook: {system: crm}", ["2026-03-11 10:00 scheduled for 2026-03-11 10:00"]),
        ("task: {title: T}", ["2026-03-11 10:00 scheduled for 2026-03-11 10:00"]),
        ("milestone: {event: e}", ["2026-03-11 10:00 scheduled for 2026-03-11 10:00"]),
    ],
)
def test_a_moment_past_when_the_trait_arrives(kind: str, expected: list[str]) -> None:
    done = run(one("3 days before d", kind), traits("+5 days", d="2026-03-13"))

    assert done.lines("a")[:1] == expected


@pytest.mark.parametrize(
    ("wait", "trait", "skipped"),
    [
        ("3 days before d", "2026-03-08", True),
        ("3 days before d", "2026-03-09", False),  # today: that day is not over
        ("3 days before d", "2026-03-10", False),
        ("3 days before d", "2026-03-09T09:00:00+01:00", True),
        ("3 days before d", "2026-03-09T10:00:00+01:00", False),  # at this instant
        ("0 days after d", "2026-03-05", True),
        ("0 days after d", "2026-03-06", False),
        ("1 hour before d", "2026-03-06", True),  # with hours, a plain date is an instant
    ],
)
def test_already_past_when_the_step_becomes_scheduled(wait: str, trait: str, skipped: bool) -> None:
    assert (run(one(wait), traits={"d": trait}).last("a") == "skipped (too late)") is skipped


def test_a_day_that_has_begun_runs_at_once() -> None:
    assert run(one("3 days before d"), traits={"d": "2026-03-09"}).when("a") == "2026-03-06 10:00"


def test_a_trait_moved_into_the_past_after_scheduling_is_as_if_it_arrived() -> None:
    done = run(
        """
        - {id: a, wait: 3 days before d, email: {template: t}}
        - {id: b, wait: 3 days before d, notify: {to: team, message: m}}
        """,
        traits("+5 days", d="2026-03-10"),
        traits={"d": "2026-03-20"},
    )

    assert done.lines("a")[-1] == "2026-03-11 10:00 skipped (too late)"
    assert done.when("b") == "2026-03-11 10:00"


def test_what_ran_already_does_not_run_again_when_the_trait_changes() -> None:
    done = run(one("3 days before d"), traits("+15 days", d="2026-04-20"), traits={"d": "2026-03-20"})

    assert done.times("a", "running") == ["2026-03-17 00:00"]


def test_a_step_that_run_now_forced_is_not_moved_back() -> None:
    done = run(
        one("3 days before d"),
        ("+1 day", command("pause")),
        ("+2 days", command("run_now", "a")),
        traits("+3 days", d="2026-04-20"),
        ("+4 days", command("resume")),
        traits={"d": "2026-03-20"},
    )

    assert done.times("a", "running") == ["2026-03-10 10:00"]


# ---- with a window ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "trait", "at", "expected"),
    [
        # `before` moves to the previous opening …
        ("3 days before d", "2026-03-17", "2026-03-06 10:00", "2026-03-13 09:00"),
        ("3 days before d", "2026-03-18", "2026-03-06 10:00", "2026-03-13 09:00"),
        ("3 days before d", "2026-03-17T20:00:00Z", "2026-03-06 10:00", "2026-03-13 09:00"),
        # … stays where the window is open …
        ("3 days before d", "2026-03-20T11:00:00Z", "2026-03-06 10:00", "2026-03-17 12:00"),
        # … and `after` moves to the next.
        ("3 days after d", "2026-03-11", "2026-03-06 10:00", "2026-03-16 09:00"),
        ("3 days after d", "2026-03-10T18:00:00Z", "2026-03-06 10:00", "2026-03-16 09:00"),
        # For business days `before`, the previous opening wins over the same day's opening (§7.1).
        ("1 business day before d", "2026-03-16", "2026-03-06 10:00", "2026-03-12 09:00"),
        ("1 business day before d", "2026-03-16T19:00:00Z", "2026-03-06 10:00", "2026-03-13 09:00"),
        # Counted from a plain date, business days `after` have an opening on their own day.
        ("1 business day after d", "2026-03-13", "2026-03-06 10:00", "2026-03-16 09:00"),
        ("1 business day after d", "2026-03-12T19:00:00Z", "2026-03-06 10:00", "2026-03-13 09:00"),
        # An opening on its own day that is past is not waited for.
        ("1 business day after d", "2026-03-05", "2026-03-06 10:00", "2026-03-06 10:00"),
        ("1 business day after d", "2026-03-05", "2026-03-06 18:00", "2026-03-09 09:00"),
        # Every earlier opening is past: now, if the window is open …
        ("1 day before d", "2026-03-08", "2026-03-06 10:00", "2026-03-06 10:00"),
        ("0 days after d", "2026-03-06", "2026-03-06 10:00", "2026-03-06 10:00"),
        # … else at the next opening before the moment …
        ("1 day before d", "2026-03-10T08:30:00Z", "2026-03-06 18:00", "2026-03-09 09:30"),
        ("1 day before d", "2026-03-10", "2026-03-06 18:00", "2026-03-09 09:00"),
        ("1 day before d", "2026-03-10", "2026-03-09 08:00", "2026-03-09 09:00"),
        # … else it is too late.
        ("1 day before d", "2026-03-08", "2026-03-06 18:00", "never"),
        ("1 day before d", "2026-03-10", "2026-03-09 18:00", "never"),
        ("1 day before d", "2026-03-10T06:00:00Z", "2026-03-06 18:00", "never"),
        # `after` moves on, even past its day.
        ("0 days after d", "2026-03-06", "2026-03-06 18:00", "2026-03-09 09:00"),
    ],
)
def test_moments_and_windows(wait: str, trait: str, at: str, expected: str) -> None:
    done = run(one(wait, window=WINDOW), traits={"d": trait}, at=at)

    assert done.when("a") == expected
    if expected == "never":
        assert done.lines("a") == [f"{at} skipped (too late)"]


def test_too_late_for_every_opening_holds_for_every_kind() -> None:
    done = run(
        one("1 day before d", "task: {title: T}", WINDOW), traits={"d": "2026-03-08"}, at="2026-03-06 18:00"
    )

    assert done.last("a") == "skipped (too late)"


def test_a_spread_never_moves_a_message_past_its_moment() -> None:
    for number in range(40):
        done = run(
            one("1 day before d", window=WINDOW, spread="8 hours"),
            traits={"d": "2026-03-10T08:30:00Z"},
            at="2026-03-06 18:00",
            id=f"c-{number}",
        )
        assert done.when("a") <= "2026-03-09 09:30:00"


# ---- deadlines and ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("within", "trait", "expected"),
    [
        # A plain date takes effect when that day is over (§7.2).
        ("0 days after d", "2026-03-20", "2026-03-21 00:00"),
        ("2 days before d", "2026-03-20", "2026-03-19 00:00"),
        ("5 business days before d", "2026-03-20", "2026-03-14 00:00"),
        ("0 days after d", "2026-03-28", "2026-03-29 00:00"),
        # With hours it is an instant, and so is an instant.
        ("10 hours after d", "2026-03-20", "2026-03-20 10:00"),
        ("0 days after d", "2026-03-20T15:00:00Z", "2026-03-20 16:00"),
    ],
)
def test_a_moment_as_deadline_and_as_end(within: str, trait: str, expected: str) -> None:
    deadline = run(f"- {{id: a, within: {within}, task: {{title: T}}}}", traits={"d": trait})
    ends = run(f"{{ends: {within}, steps: [{{id: a, task: {{title: T}}}}]}}", traits={"d": trait})

    assert deadline.when("a", "missed") == expected
    assert ends.when(None, "completed") == expected


def test_an_open_step_gets_the_new_deadline_when_the_trait_changes() -> None:
    steps = "- {id: a, within: 0 days after d, task: {title: T}}"

    assert run(steps, traits("+5 days", d="2026-04-20"), traits={"d": "2026-03-20"}).times("a", "missed") == [
        "2026-04-21 00:00"
    ]
    assert run(steps, traits("+5 days", d="2026-03-20")).times("a", "missed") == ["2026-03-21 00:00"]
    assert run(steps, traits("+5 days", d=None), traits={"d": "2026-03-20"}).times("a", "missed") == [
        "2026-07-04 10:00"
    ]


def test_a_deadline_moved_into_the_past_takes_effect_at_once() -> None:
    done = run(
        "- {id: a, within: 0 days after d, task: {title: T}}",
        traits("+5 days", d="2026-03-01"),
        traits={"d": "2026-03-20"},
    )

    assert done.when("a", "missed") == "2026-03-11 10:00"


def test_a_deadline_that_is_past_when_the_step_opens_takes_effect_then() -> None:
    done = run("- {id: a, within: 0 days after d, task: {title: T}}", traits={"d": "2026-03-01"})

    assert done.when("a", "missed") == "2026-03-06 10:00"


def test_ends_moves_with_its_trait_and_never_into_the_past() -> None:
    journey = "{ends: 30 days after d, steps: [{id: a, task: {title: T}}]}"

    later = run(journey, traits("+5 days", d="2026-03-30"), traits={"d": "2026-03-20"})
    past = run(journey, traits("+5 days", d="2026-01-01"), traits={"d": "2026-03-20"})
    never = run(journey, traits("+5 days", d=None), traits={"d": "2026-03-20"})

    assert later.when(None, "completed") == "2026-04-30 00:00"
    assert past.lines(None)[-1] == "2026-03-11 10:00 completed (ended)"
    assert never.status == "active"


def test_reminders_go_on_when_the_deadline_moves_away() -> None:
    done = run(
        "- {id: a, within: 0 days after d, task: {title: T, remind: 4 days}}",
        traits("+5 days", d="2026-03-20"),
        traits={"d": "2026-03-12"},
    )

    assert done.times("a", "occurred") == ["2026-03-10 10:00", "2026-03-14 10:00", "2026-03-18 10:00"]


def test_a_due_date_of_a_task_may_be_a_moment() -> None:
    done = run(
        "- {id: a, task: {title: T, due: 2 days before d, escalate_to: boss}}",
        traits("+5 days", d="2026-03-20"),
    )

    assert done.purposes("a") == ["run", "escalate"]
    assert done.times("a", "occurred") == ["2026-03-19 00:00"]


# ---- pause -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overdue", ["shift", "run", "skip"])
@pytest.mark.parametrize(
    ("wait", "window", "trait", "expected"),
    [
        # A pause does not shift moments.
        ("3 days before d", "anytime", "2026-03-30", "2026-03-27 00:00 done"),
        # One that passes during a pause is judged at the resume.
        ("3 days before d", "anytime", "2026-03-14", "2026-03-16 10:00 skipped (too late)"),
        ("3 days before d", "anytime", "2026-03-19", "2026-03-16 10:00 done"),
        # Its opening passed, the moment did not: at the resume, if the window is open.
        ("1 day before d", WINDOW, "2026-03-17T06:00:00Z", "2026-03-16 10:00 skipped (too late)"),
        ("1 day before d", WINDOW, "2026-03-18T06:00:00Z", "2026-03-16 10:00 done"),
    ],
)
def test_moments_and_a_pause(wait: str, window: str, trait: str, expected: str, overdue: str) -> None:
    if overdue == "skip" and "done" in expected and "03-16" in expected:
        expected = "2026-03-16 10:00 skipped (overdue when the journey was resumed)"

    done = run(
        one(wait, window=window),
        ("+2 days", command("pause")),
        ("+10 days", command("resume", overdue=overdue)),
        traits={"d": trait},
    )

    assert done.lines("a")[-1] == expected


@pytest.mark.parametrize(("overdue", "last"), [("shift", "done"), ("run", "done"), ("skip", "skipped")])
def test_a_moment_that_passes_during_a_pause_runs_others_at_once(overdue: str, last: str) -> None:
    done = run(
        one("3 days before d", "notify: {to: team, message: m}"),
        ("+2 days", command("pause")),
        ("+10 days", command("resume", overdue=overdue)),
        traits={"d": "2026-03-14"},
    )

    assert done.lines("a")[-1].startswith(f"2026-03-16 10:00 {last}")


def test_a_moment_that_had_passed_before_the_pause_is_not_judged_again() -> None:
    # Due on Saturday, which a window moved to Monday: a pause on Sunday changes nothing.
    done = run(
        one("0 days after d", window=WINDOW),
        ("2026-03-08 10:00", command("pause")),
        ("2026-03-08 12:00", command("resume")),
        traits={"d": "2026-03-07"},
    )

    assert done.when("a") == "2026-03-09 09:00"


def test_a_moment_whose_message_was_deferred_is_not_judged_again() -> None:
    done = run(
        one("0 days after d"),
        ("+0 days", effect("a", "deferred", "on hold", until=1773100800000000)),  # 2026-03-10T00:00Z
        ("2026-03-08 10:00", command("pause")),
        ("2026-03-08 12:00", command("resume")),
        traits={"d": "2026-03-07"},
    )

    assert done.times("a", "running") == ["2026-03-07 00:00", "2026-03-10 01:00"]
    assert done.last("a") == "done"


@pytest.mark.parametrize("overdue", ["shift", "run", "skip"])
def test_ends_as_a_moment_is_not_shifted(overdue: str) -> None:
    journey = "{ends: 30 days after d, steps: [{id: a, task: {title: T}}]}"
    pause = [("+2 days", command("pause")), ("+10 days", command("resume", overdue=overdue))]
    over = [("+2 days", command("pause")), ("+100 days", command("resume", overdue=overdue))]

    assert run(journey, *pause, traits={"d": "2026-03-20"}).when(None, "completed") == "2026-04-20 00:00"
    assert run(journey, *over, traits={"d": "2026-03-20"}).when(None, "completed") == "2026-06-14 10:00"
