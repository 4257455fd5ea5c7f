"""Pause and resume: what starts, what counts, and where due times, deadlines and ends go (JOURNEYS §4, rule 7).

The length of a pause is elapsed time: what it shifts past the 29th of March is an hour later on the clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.journey.building import Input, Run, command, effect, event, instant, run

WINDOW = '{days: mon-fri, from: "09:00", to: "17:00"}'
MODES = ["shift", "run", "skip"]


def paused(
    journey: str,
    overdue: str,
    *script: tuple[str, Input],
    since: str = "+2 days",
    to: str = "+10 days",
    **customer: Any,
) -> Run:
    """A journey paused from the 8th to the 16th, at 10:00."""
    return run(
        journey, *script, (since, command("pause")), (to, command("resume", overdue=overdue)), **customer
    )


def test_the_journal_of_a_pause() -> None:
    done = paused("- {id: a, task: {title: T}}", "shift")

    assert done.lines(None)[:3] == [
        "2026-03-06 10:00 enrolled",
        "2026-03-08 10:00 paused",
        "2026-03-16 10:00 resumed",
    ]
    assert [e.actor for e in done.journal if e.change in ("paused", "resumed")] == ["ann", "ann"]


# ---- scheduled steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overdue", "wait", "expected"),
    [
        ("shift", "1 day", "2026-03-07 10:00"),
        ("shift", "5 days", "2026-03-19 10:00"),
        ("shift", "20 days", "2026-04-03 11:00"),
        ("run", "5 days", "2026-03-16 10:00"),
        ("run", "20 days", "2026-03-26 10:00"),
        ("skip", "5 days", "never"),
        ("skip", "20 days", "2026-03-26 10:00"),
    ],
)
def test_due_times(overdue: str, wait: str, expected: str) -> None:
    done = paused(f"- {{id: a, wait: {wait}, email: {{template: t}}}}", overdue)

    assert done.when("a") == expected
    if expected == "never":
        assert done.lines("a")[-1].startswith("2026-03-16 10:00 skipped (overdue")


def test_a_shifted_due_time_is_scheduled_again() -> None:
    done = paused("- {id: a, wait: 20 days, email: {template: t}}", "shift")

    assert done.lines("a", "scheduled") == [
        "2026-03-06 10:00 scheduled for 2026-03-26 10:00",
        "2026-03-16 10:00 scheduled for 2026-04-03 11:00",
    ]


def test_shift_is_the_default() -> None:
    done = run(
        "- {id: a, wait: 5 days, email: {template: t}}",
        ("+2 days", command("pause")),
        ("+10 days", command("resume")),
    )

    assert done.when("a") == "2026-03-19 10:00"


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [("shift", "2026-03-16 10:00"), ("run", "2026-03-16 10:00"), ("skip", "2026-03-16 10:00")],
)
def test_what_was_due_at_the_instant_of_the_pause_waits_for_the_resume(overdue: str, expected: str) -> None:
    done = paused("- {id: a, wait: 2 days, email: {template: t}}", overdue)

    assert (done.lines("a", "running") or done.lines("a", "skipped"))[0][:16] == expected


@pytest.mark.parametrize(("overdue"), MODES)
def test_what_is_due_at_the_instant_of_the_resume_is_not_overdue(overdue: str) -> None:
    done = paused("- {id: a, wait: 10 days, email: {template: t}}", overdue)

    assert done.when("a") == ("2026-03-24 10:00" if overdue == "shift" else "2026-03-16 10:00")


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [
        # What a window had moved is shifted from its unwindowed instant: Saturday + 2 days = Monday.
        ("shift", "2026-03-09 10:00"),
        ("run", "2026-03-09 09:00"),
        ("skip", "2026-03-09 09:00"),
    ],
)
def test_windowed_due_times_are_shifted_from_their_unwindowed_instant(overdue: str, expected: str) -> None:
    done = paused(
        f"{{defaults: {{window: {WINDOW}}}, steps: [{{id: a, wait: 1 day, email: {{template: t}}}}]}}",
        overdue,
        since="+2 hours",
        to="+2 days 2 hours",
    )

    assert done.when("a") == expected


@pytest.mark.parametrize("overdue", MODES)
def test_after_the_resume_windows_hold(overdue: str) -> None:
    # Due on Tuesday; resumed on Saturday.
    journey = f"""
      defaults: {{window: {WINDOW}, spread: 30 minutes}}
      steps: [{{id: a, wait: 4 days, email: {{template: t}}}}]
    """
    done = paused(journey, overdue, to="+8 days")

    if overdue == "skip":
        assert done.last("a").startswith("skipped")
    elif overdue == "run":
        assert "2026-03-16 09:00" < done.when("a") < "2026-03-16 09:30"
    else:
        assert done.when("a") == "2026-03-16 10:00"


def test_a_shifted_business_day_may_move_to_its_own_days_opening_but_not_before_the_resume() -> None:
    # Due on Friday at 18:30, so on Friday at 9:00. Shifted by three days and six hours: Tuesday, so at 9:00.
    journey = f"""
      defaults: {{window: {WINDOW}}}
      steps: [{{id: a, wait: 1 business day, email: {{template: t}}}}]
    """
    shifted = paused(journey, "shift", at="2026-03-05 18:30", since="+1 hour", to="+3 days 7 hours")
    # From Friday at 8:30 to Monday at noon: Monday at 22:00, so at 9:00, which is past; and the window is open.
    noon = paused(journey, "shift", at="2026-03-05 18:30", since="+14 hours", to="2026-03-09 12:00")

    assert shifted.when("a") == "2026-03-10 09:00"
    assert noon.due("a") == ["2026-03-06 09:00", "2026-03-09 12:00"]


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [("shift", "2026-03-17 10:00"), ("run", "2026-03-16 10:00"), ("skip", "never")],
)
def test_a_due_time_set_during_the_pause_moves_by_what_came_after(overdue: str, expected: str) -> None:
    # The event of the 10th makes it due on the 11th; of the pause, six days came after that.
    done = paused(
        """
        - {id: m, milestone: {event: m}}
        - {id: a, after: [m], wait: 1 day, email: {template: t}}
        """,
        overdue,
        ("+4 days", event("m")),
    )

    assert done.when("m", "done") == "2026-03-10 10:00"
    assert done.due("a")[0] == "2026-03-11 10:00"
    assert done.when("a") == expected


def test_two_pauses_add_up() -> None:
    done = run(
        "- {id: a, wait: 5 days, email: {template: t}}",
        ("+1 day", command("pause")),
        ("+2 days", command("resume")),
        ("+3 days", command("pause")),
        ("+6 days", command("resume")),
    )

    assert done.when("a") == "2026-03-15 10:00"


def test_a_pause_may_say_how_long_it_lasts_and_ends_with_shift() -> None:
    until = instant("2026-03-12T09:00:00Z", run("- {id: a, task: {title: T}}").calendar)

    done = run("- {id: a, wait: 5 days, email: {template: t}}", ("+2 days", command("pause", until=until)))

    assert done.lines(None)[2] == "2026-03-12 10:00 resumed (the pause was over)"
    assert done.when("a") == "2026-03-15 10:00"


def test_a_pause_with_an_end_may_be_resumed_before() -> None:
    until = instant("2026-03-12T09:00:00Z", run("- {id: a, task: {title: T}}").calendar)

    done = run(
        "- {id: a, wait: 5 days, email: {template: t}}",
        ("+2 days", command("pause", until=until)),
        ("+3 days", command("resume")),
    )

    assert done.times(None, "resumed") == ["2026-03-09 10:00"]
    assert done.when("a") == "2026-03-12 10:00"


def test_pause_and_resume_at_one_instant_change_nothing() -> None:
    done = paused("- {id: a, wait: 2 days, email: {template: t}}", "shift", since="+2 days", to="+2 days")

    assert done.when("a") == "2026-03-08 10:00"


# ---- what runs and what counts ---------------------------------------------------------------------------


@pytest.mark.parametrize("overdue", MODES)
def test_what_runs_finishes_and_events_are_counted(overdue: str) -> None:
    done = paused(
        """
        - {id: a, provision: {system: s}}
        - {id: m, milestone: {event: m}}
        - {id: s, survey: {kind: nps, template: t}}
        """,
        overdue,
        ("+0 days", effect("a", "pending")),
        ("+3 days", effect("a", "done")),
        ("+4 days", event("m")),
        ("+5 days", event("survey.responded", step="s", score=9)),
    )

    assert [done.when(step, "done") for step in "ams"] == [
        "2026-03-09 10:00",
        "2026-03-10 10:00",
        "2026-03-11 10:00",
    ]


@pytest.mark.parametrize(("overdue", "opened"), [("shift", "2026-03-16 10:00"), ("run", "2026-03-16 10:00")])
def test_a_milestone_reached_during_a_pause_before_it_opened_settles_at_the_resume(
    overdue: str, opened: str
) -> None:
    done = paused(
        """
        - {id: x, milestone: {event: x}}
        - {id: m, after: [x], milestone: {event: m}}
        - {id: u, wait: 5 days, until: m, email: {template: t}}
        """,
        overdue,
        ("+4 days", event("x")),
        ("+5 days", event("m")),
    )

    assert done.when("m", "done") == opened
    assert done.lines("u")[-1] == "2026-03-11 10:00 skipped (m was reached)"


def test_resuming_with_skip_opens_milestones_all_the_same() -> None:
    # A milestone does nothing that could be overdue: skipped, all that follows would be lost.
    done = paused(
        """
        - {id: x, milestone: {event: x}}
        - {id: m, after: [x], milestone: {event: m}}
        """,
        "skip",
        ("+4 days", event("x")),
        ("+20 days", event("m")),
    )

    assert done.when("m", "open") == "2026-03-16 10:00"
    assert done.last("m") == "done"


def test_nothing_starts_during_a_pause() -> None:
    done = run(
        """
        - {id: a, wait: 3 days, email: {template: t}}
        - {id: b, wait: 1 day, task: {title: T, remind: 1 day, due: 2 days, escalate_to: boss}}
        - {id: c, checkin: {template: t, every: 1 day, times: 9}}
        """,
        ("+1 day 1 hour", command("pause")),
        ("+2 days", event("checkin.answered", step="c", answer="help")),
        until="+60 days",
    )

    last = max(effect.at for effect in done.effects)
    assert last <= instant("2026-03-07 11:00", done.calendar)
    assert done.status == "paused"


def test_help_that_was_asked_for_during_a_pause_comes_with_the_resume() -> None:
    done = paused(
        "- {id: c, checkin: {template: t, every: 30 days, times: 1}}",
        "shift",
        ("+4 days", event("checkin.answered", step="c", answer="help")),
    )

    assert done.purposes("c") == ["run", "help"]
    assert done.times("c", "occurred")[-1] == "2026-03-16 10:00"


def test_run_now_during_a_pause_runs_at_the_resume() -> None:
    for overdue in MODES:
        done = paused(
            "- {id: a, wait: 60 days, email: {template: t}}", overdue, ("+4 days", command("run_now", "a"))
        )

        assert done.rejected == []
        assert done.when("a") == "2026-03-16 10:00"


def test_skip_and_complete_work_during_a_pause() -> None:
    done = paused(
        """
        - {id: a, wait: 60 days, email: {template: t}}
        - {id: b, task: {title: T}}
        """,
        "shift",
        ("+4 days", command("skip", "a")),
        ("+5 days", command("complete", "b")),
    )

    assert done.lines("a")[-1].startswith("2026-03-10 10:00 skipped")
    assert done.lines("b")[-1] == "2026-03-11 10:00 done"


# ---- deadlines, reminders, ends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overdue", "within", "expected"),
    [
        ("shift", "5 days", "2026-03-19 10:00"),
        ("shift", "20 days", "2026-04-03 11:00"),
        ("run", "5 days", "2026-03-16 10:00"),
        ("run", "20 days", "2026-03-26 10:00"),
        ("skip", "5 days", "2026-03-16 10:00"),
        ("skip", "20 days", "2026-03-26 10:00"),
    ],
)
def test_deadlines(overdue: str, within: str, expected: str) -> None:
    done = paused(f"- {{id: a, within: {within}, task: {{title: T}}}}", overdue)

    assert done.when("a", "missed") == expected


def test_a_deadline_set_during_the_pause_moves_by_what_came_after() -> None:
    done = paused(
        "- {id: a, within: 5 days, survey: {kind: nps, template: t}}",
        "shift",
        ("+0 days", effect("a", "pending")),
        ("+4 days", effect("a", "done")),
    )

    # Opened on the 10th for five days, of which the pause took six: they begin at the resume.
    assert done.when("a", "missed") == "2026-03-21 10:00"


@pytest.mark.parametrize("overdue", MODES)
def test_nothing_is_missed_during_a_pause(overdue: str) -> None:
    done = paused("- {id: a, within: 5 days, milestone: {event: m}}", overdue, ("+8 days", event("m")))

    assert done.lines("a")[-1] == "2026-03-14 10:00 done"


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [
        ("shift", ["2026-03-17 10:00", "2026-03-20 10:00", "2026-03-23 10:00"]),
        ("run", ["2026-03-16 10:00", "2026-03-18 10:00", "2026-03-21 10:00", "2026-03-24 10:00"]),
        ("skip", ["2026-03-18 10:00", "2026-03-21 10:00", "2026-03-24 10:00"]),
    ],
)
def test_reminders(overdue: str, expected: list[str]) -> None:
    done = paused("- {id: a, task: {title: T, remind: 3 days}}", overdue, until="+19 days")

    assert done.times("a", "occurred") == expected


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [
        ("shift", ["2026-03-06 10:00", "2026-03-19 10:00", "2026-03-24 10:00"]),
        ("run", ["2026-03-06 10:00", "2026-03-16 10:00", "2026-03-16 10:00"]),
        ("skip", ["2026-03-06 10:00", "2026-03-16 10:00"]),
    ],
)
def test_check_ins(overdue: str, expected: list[str]) -> None:
    done = paused("- {id: a, checkin: {template: t, every: 5 days, times: 3}}", overdue)

    assert done.times("a", "occurred") == expected


@pytest.mark.parametrize(
    ("overdue", "first", "expected"),
    [
        ("shift", "2026-03-19 10:00", ["2026-03-19 10:00", "2026-03-24 10:00"]),
        ("run", "2026-03-16 10:00", ["2026-03-16 10:00", "2026-03-16 10:00"]),
    ],
)
def test_a_check_in_that_had_not_begun_keeps_its_rhythm(
    overdue: str, first: str, expected: list[str]
) -> None:
    done = paused("- {id: a, wait: 5 days, checkin: {template: t, every: 5 days, times: 2}}", overdue)

    assert done.when("a") == first
    assert done.times("a", "occurred") == expected


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [("shift", "2026-03-21 10:00"), ("run", "2026-03-16 10:00"), ("skip", "2026-03-16 10:00")],
)
def test_escalation(overdue: str, expected: str) -> None:
    done = paused("- {id: a, task: {title: T, due: 7 days, escalate_to: boss}}", overdue)

    assert done.times("a", "occurred") == [expected]


@pytest.mark.parametrize(
    ("overdue", "ends", "expected"),
    [
        ("shift", "20 days", "2026-04-03 11:00"),
        ("run", "20 days", "2026-03-26 10:00"),
        ("skip", "20 days", "2026-03-26 10:00"),
        ("shift", "5 days", "2026-03-19 10:00"),
        ("run", "5 days", "2026-03-16 10:00"),
        ("skip", "5 days", "2026-03-16 10:00"),
    ],
)
def test_ends(overdue: str, ends: str, expected: str) -> None:
    done = paused(f"{{ends: {ends}, steps: [{{id: a, task: {{title: T}}}}]}}", overdue)

    assert done.lines(None)[-1] == f"{expected} completed (ended)"


def test_an_end_that_passed_during_the_pause_lets_nothing_start_at_the_resume() -> None:
    done = paused("{ends: 5 days, steps: [{id: a, wait: 4 days, email: {template: t}}]}", "run")

    assert done.changes("a") == ["scheduled", "skipped"]
    assert done.reasons("a", "skipped") == ["journey ended"]


def test_a_paused_journey_does_not_end() -> None:
    done = run("{ends: 5 days, steps: [{id: a, task: {title: T}}]}", ("+2 days", command("pause")))

    assert done.status == "paused"
    assert done.changes(None) == ["enrolled", "paused"]


# ---- cap and failures ------------------------------------------------------------------------------------


def test_what_is_overdue_runs_within_the_cap() -> None:
    done = paused(
        """
        defaults: {cap: {messages: 1, per: 1 day}}
        steps:
          - {id: a, wait: 5 days, email: {template: t}}
          - {id: b, wait: 4 days, email: {template: t}}
        """,
        "run",
    )

    assert [done.when("b"), done.when("a")] == ["2026-03-16 10:00", "2026-03-17 10:00"]


def test_what_the_cap_had_moved_into_the_pause() -> None:
    journey = """
      defaults: {cap: {messages: 1, per: 3 days}}
      steps:
        - {id: a, wait: 1 day, email: {template: t}}
        - {id: b, wait: 1 day, email: {template: t}}
    """

    assert paused(journey, "run").when("b") == "2026-03-16 10:00"
    # Shifted from the 7th, where it was due before the cap.
    assert paused(journey, "shift").when("b") == "2026-03-16 10:00"
    assert paused(journey, "skip").last("b").startswith("skipped (overdue")


def test_a_retry_during_a_pause_runs_at_the_resume() -> None:
    done = paused(
        "- {id: a, email: {template: t}}",
        "run",
        ("+0 days", effect("a", "failed")),
        ("+4 days", command("retry", "a")),
    )

    assert done.times("a", "running") == ["2026-03-06 10:00", "2026-03-16 10:00"]


@pytest.mark.parametrize(
    ("overdue", "expected"), [("shift", "2026-03-10 01:00"), ("run", "2026-03-10 01:00")]
)
def test_what_was_deferred_stays_deferred(overdue: str, expected: str) -> None:
    done = paused(
        "- {id: a, email: {template: t}}",
        overdue,
        ("+0 days", effect("a", "deferred", "hold", until=1773100800000000)),  # 2026-03-10T00:00Z
        since="+1 day",
        to="+1 day",
    )

    assert done.times("a", "running") == ["2026-03-06 10:00", expected]


# ---- what is rejected ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([("+1 day", command("resume"))], "the journey is not paused"),
        ([("+1 day", command("pause")), ("+2 days", command("pause"))], "the journey is paused already"),
        ([("+1 day", command("pause", until=1))], "'until' lies in the past"),
        (
            [("+1 day", command("pause")), ("+2 days", command("resume", overdue="never"))],
            "unknown overdue 'never': one of shift, run, skip",
        ),
    ],
)
def test_what_is_rejected(script: list[Any], reason: str) -> None:
    assert run("- {id: a, task: {title: T}}", *script).rejected == [reason]
