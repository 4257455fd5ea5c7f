"""How journeys end, stages, and what *onboarded* is (JOURNEYS §3, §5, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journey.building import command, effect, event, run

# ---- completed -------------------------------------------------------------------------------------------


def test_a_journey_is_completed_when_every_step_is_settled() -> None:
    done = run(
        "- {id: a, email: {template: t}}\n- {id: b, task: {title: T}}\n- {id: c, within: 2 days, task: {title: T}}",
        ("+5 days", command("complete", "b")),
    )

    assert done.lines(None)[-1] == "2026-03-11 10:00 completed (all steps settled)"
    assert done.journal[-1].change == "completed"
    assert done.status == "completed"


def test_at_ends_what_is_open_is_missed_and_everything_else_skipped() -> None:
    done = run(
        """
        ends: 10 days
        steps:
          - {id: open, task: {title: T}}
          - {id: waiting, after: [open], email: {template: t}}
          - {id: scheduled, wait: 20 days, email: {template: t}}
          - {id: failed, email: {template: t}}
          - {id: missed, within: 1 day, task: {title: T}}
          - {id: late, after: [done missed], email: {template: t}}
          - {id: rescue, after: [missed open], email: {template: t}}
        """,
        ("+0 days", effect("failed", "failed")),
    )

    assert [
        done.lines(s)[-1] for s in ("open", "waiting", "scheduled", "failed", "missed", "late", "rescue")
    ] == [
        "2026-03-16 10:00 missed (journey ended)",
        "2026-03-16 10:00 skipped (journey ended)",
        "2026-03-16 10:00 skipped (journey ended)",
        "2026-03-16 10:00 skipped (journey ended)",
        "2026-03-07 10:00 missed (the deadline passed)",
        "2026-03-16 10:00 skipped (journey ended)",
        "2026-03-16 10:00 skipped (journey ended)",
    ]
    assert done.lines(None)[-1] == "2026-03-16 10:00 completed (ended)"
    assert done.journal[-1].change == "completed"


def test_at_ends_no_new_effect_starts_and_running_ones_finish() -> None:
    done = run(
        """
        ends: 10 days
        steps:
          - {id: email, wait: 9 days, email: {template: t}}
          - {id: survey, wait: 9 days, survey: {kind: nps, template: t, remind: 3 days}}
          - {id: next, after: [email], email: {template: t}}
          - {id: due, wait: 10 days, email: {template: t}}
        """,
        ("+9 days", effect("email", "pending")),
        ("+9 days", effect("survey", "pending")),
        ("+12 days", effect("email", "done")),
        ("+13 days", event("survey.responded", step="survey", score=3)),
        ("+15 days", effect("survey", "done")),
    )

    assert done.lines("email")[-1] == "2026-03-18 10:00 done"
    assert done.lines("survey")[-2:] == ["2026-03-21 10:00 open", "2026-03-21 10:00 missed (journey ended)"]
    assert done.lines("next") == ["2026-03-21 10:00 skipped (journey ended)"]
    assert done.changes("due") == ["scheduled", "skipped"]
    assert done.lines(None)[-1] == "2026-03-21 10:00 completed (ended)"


def test_ends_is_counted_from_enrolment_by_the_calendar() -> None:
    done = run("{ends: 30 days, steps: [{id: a, task: {title: T}}]}")

    assert done.when(None, "completed") == "2026-04-05 10:00"


def test_an_event_at_the_very_end_still_counts() -> None:
    done = run("{ends: 10 days, steps: [{id: a, milestone: {event: e}}]}", ("+10 days", event("e")))

    assert done.lines("a")[-1] == "2026-03-16 10:00 done"


def test_nothing_counts_after_the_end() -> None:
    done = run("{ends: 10 days, steps: [{id: a, milestone: {event: e}}]}", ("+11 days", event("e")))

    assert done.last("a") == "missed (journey ended)"


def test_a_journey_without_ends_completes_when_nothing_can_come_about_any_more() -> None:
    done = run(
        """
        ends:
        steps:
          - {id: a, within: 5 days, milestone: {event: e}}
          - {id: b, after: [reached a], email: {template: t}}
          - {id: c, after: [missed a], within: 2 days, task: {title: T}}
        """
    )

    assert done.last("a") == "missed (the deadline passed)"
    assert done.lines("b") == ["2026-03-13 10:00 skipped (journey ended)"]
    assert done.lines(None)[-1] == "2026-03-13 10:00 completed (ended)"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ([("+0 days", effect("a", "failed"))], "stuck"),
        ([("+0 days", effect("a", "pending"))], "active"),
        ([("+0 days", command("pause"))], "paused"),
    ],
)
def test_a_journey_without_ends_that_waits_for_somebody_does_not_complete(
    script: list[Any], status: str
) -> None:
    assert run("{ends: , steps: [{id: a, email: {template: t}}]}", *script).status == status


# ---- stopped ---------------------------------------------------------------------------------------------

UNDO = """
stop_when: [{event: cancelled, undo: true}, {event: moved, where: properties.far}]
steps:
  - {id: a, provision: {system: s, undo: true}}
  - {id: b, after: [a], wait: 1 day, provision: {system: s, undo: true}}
  - {id: c, provision: {system: s}}
  - {id: d, provision: {system: s, undo: true}}
  - {id: e, task: {title: T}}
  - {id: f, wait: 9 days, email: {template: t}}
"""


def test_stop_when_stops_and_undoes_in_reverse_order_of_completion() -> None:
    done = run(
        UNDO,
        ("+0 days", effect("a", "pending")),
        ("+2 days", effect("a", "done")),
        ("+5 days", event("cancelled")),
    )

    assert [(e.step, e.change) for e in done.journal[-4:]] == [
        ("b", "undone"),
        ("a", "undone"),
        ("d", "undone"),
        (None, "stopped"),
    ]
    assert done.lines(None)[-1] == "2026-03-11 10:00 stopped (cancelled happened)"
    assert [e.step for e in done.effects if e.purpose == "undo"] == ["b", "a", "d"]
    assert done.status == "stopped"
    # Open and waiting steps get no entries.
    assert done.changes("e")[-1] == "open"
    assert done.changes("f") == ["scheduled"]


def test_with_undo_it_waits_for_provisions_in_flight() -> None:
    done = run(
        UNDO,
        ("+0 days", effect("a", "pending")),
        ("+2 days", event("cancelled")),
        ("+3 days", effect("a", "done")),
    )

    assert [(e.step, e.change) for e in done.journal if e.at >= done.journal[-1].at] == [
        ("a", "done"),
        ("a", "undone"),
        ("d", "undone"),
        (None, "stopped"),
    ]
    assert done.when(None, "stopped") == "2026-03-09 10:00"
    assert done.changes("b") == []


def test_other_effects_in_flight_do_not_hold_up_the_compensation_but_come_before_the_last_entry() -> None:
    done = run(
        """
        - {id: a, provision: {system: s, undo: true}}
        - {id: b, email: {template: t}}
        """,
        ("+0 days", effect("b", "pending")),
        ("+1 day", command("cancel", undo=True)),
        ("+2 days", effect("b", "done")),
    )

    assert done.when("a", "undone") == "2026-03-07 10:00"
    assert [(e.step, e.change) for e in done.journal[-2:]] == [("b", "done"), (None, "stopped")]


def test_a_provision_that_fails_in_flight_is_not_undone() -> None:
    done = run(
        UNDO,
        ("+0 days", effect("a", "pending")),
        ("+2 days", event("cancelled")),
        ("+3 days", effect("a", "failed", "down")),
    )

    assert [(e.step, e.change) for e in done.journal[-3:]] == [
        ("a", "failed"),
        ("d", "undone"),
        (None, "stopped"),
    ]


def test_a_compensation_that_fails_is_journaled_and_the_others_go_on() -> None:
    done = run(UNDO, ("+2 days", effect("b", "failed", "HTTP 500")), ("+3 days", event("cancelled")))

    assert [(e.step, e.change, e.reason) for e in done.journal[-4:]] == [
        ("b", "failed", "HTTP 500"),
        ("d", "undone", None),
        ("a", "undone", None),
        (None, "stopped", "cancelled happened"),
    ]


def test_a_compensation_may_take_its_time() -> None:
    done = run(
        UNDO,
        ("+2 days", effect("b", "pending")),
        ("+3 days", event("cancelled")),
        ("+4 days", effect("b", "done")),
    )

    assert done.when("b", "undone") == "2026-03-10 10:00"
    assert done.when("a", "undone") == "2026-03-10 10:00"


@pytest.mark.parametrize(
    ("undo", "undone"), [({}, []), ({"undo": False}, []), ({"undo": True}, ["b", "d", "a"])]
)
def test_an_operator_cancels_with_or_without_undo(undo: dict[str, Any], undone: list[str]) -> None:
    done = run(UNDO, ("+3 days", command("cancel", reason="by phone", **undo)))

    assert [e.step for e in done.journal if e.change == "undone"] == undone
    assert done.lines(None)[-1] == "2026-03-09 10:00 stopped (by phone)"
    assert done.journal[-1].actor == "ann"


def test_cancelling_during_a_pause() -> None:
    done = run(UNDO, ("+2 days", command("pause")), ("+3 days", command("cancel", undo=True)))

    assert [e.step for e in done.journal if e.change == "undone"] == ["b", "d", "a"]
    assert done.when(None, "stopped") == "2026-03-09 10:00"


def test_what_was_skipped_while_it_ran_is_undone_too_if_it_was_done() -> None:
    done = run(
        UNDO,
        ("+0 days", effect("d", "pending")),
        ("+1 day", command("skip", "d")),
        ("+4 days", effect("d", "done")),
        ("+5 days", event("cancelled")),
    )

    assert [e.step for e in done.journal if e.change == "undone"] == ["d", "b", "a"]


@pytest.mark.parametrize(
    ("properties", "stops"), [({"far": True}, True), ({"far": False}, False), ({}, False)]
)
def test_stop_when_with_where(properties: dict[str, Any], stops: bool) -> None:
    done = run(UNDO, ("+3 days", event("moved", **properties)), until="+5 days")

    assert (done.status == "stopped") is stops
    if not properties:
        assert "did not count" in (done.reasons(None, "occurred")[0] or "")


def test_stopped_is_the_last_entry_and_nothing_happens_after_it() -> None:
    done = run(
        UNDO, ("+3 days", event("cancelled")), ("+4 days", command("complete", "e")), ("+5 days", event("x"))
    )

    assert done.journal[-1].change == "stopped"
    assert done.rejected == []  # the simulation is over by then


def test_an_event_that_reaches_a_milestone_and_stops_does_both() -> None:
    done = run(
        """
        stop_when: [{event: e}]
        steps:
          - {id: a, milestone: {event: e}}
          - {id: b, after: [a], email: {template: t}}
        """,
        ("+1 day", event("e")),
    )

    assert done.last("a") == "done"
    assert done.changes("b") == ["scheduled"]
    assert done.status == "stopped"


# ---- stages ----------------------------------------------------------------------------------------------

STAGES = """
onboarded: {milestone: value, within: 14 days}
stages:
  - {stage: sign-up, until: login}
  - {stage: first use, until: value}
  - {stage: learning, until: trained}
  - {stage: mastery}
steps:
  - {id: login, milestone: {event: login}, within: 2 days}
  - {id: gate, task: {title: T}}
  - {id: value, after: [gate], milestone: {event: report}}
  - {id: trained, milestone: {event: trained}}
"""


def stages(*script: Any) -> list[str]:
    done = run(STAGES, *script, until="+30 days")
    return done.lines(None, "stage")


def test_the_first_stage_is_entered_at_enrolment() -> None:
    assert stages() == ["2026-03-06 10:00 stage sign-up"]


def test_a_stage_ends_when_its_milestone_is_reached_late_too() -> None:
    assert stages(("+1 day", event("login")))[1:] == ["2026-03-07 10:00 stage first use"]
    assert stages(("+5 days", event("login")))[1:] == ["2026-03-11 10:00 stage first use"]


def test_several_stages_at_once_write_one_entry_for_the_stage_entered() -> None:
    assert stages(("+1 day", event("trained")), ("+2 days", event("report")), ("+3 days", event("login")))[
        1:
    ] == ["2026-03-09 10:00 stage mastery"]


def test_a_milestone_that_is_not_yet_open_ends_its_stage_all_the_same() -> None:
    assert stages(("+1 day", event("login")), ("+2 days", event("report")))[1:] == [
        "2026-03-07 10:00 stage first use",
        "2026-03-08 10:00 stage learning",
    ]


def test_the_last_stage_may_end_too() -> None:
    done = run(
        "{stages: [{stage: one, until: m}], steps: [{id: m, milestone: {event: m}}, {id: x, task: {title: T}}]}",
        ("+1 day", event("m")),
    )

    assert done.lines(None, "stage") == ["2026-03-06 10:00 stage one"]


def test_no_stages_no_entries() -> None:
    assert "stage" not in run("- {id: m, milestone: {event: m}}", ("+1 day", event("m"))).changes(None)


# ---- onboarded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "line", "seconds"),
    [
        (
            [("+1 day", command("complete", "gate")), ("+2 days", event("report"))],
            "2026-03-08 10:00 onboarded",
            2,
        ),
        # Reached before it opened: it is so when the milestone settles; what counts is the event's instant.
        (
            [("+2 days", event("report")), ("+5 days", command("complete", "gate"))],
            "2026-03-11 10:00 onboarded",
            2,
        ),
        ([("+2 days", event("report"))], None, None),
    ],
)
def test_onboarded_when_the_milestone_settles_as_reached(
    script: list[Any], line: str | None, seconds: int | None
) -> None:
    done = run(STAGES, *script, until="+30 days")

    found = [e for e in done.journal if e.change == "onboarded"]
    assert done.lines(None, "onboarded") == ([] if line is None else [line])
    assert [e.seconds for e in found] == ([] if seconds is None else [seconds * 86_400])


def test_onboarded_late_is_onboarded() -> None:
    done = run(
        """
        onboarded: {milestone: m}
        steps:
          - {id: m, within: 2 days, milestone: {event: m}}
          - {id: x, task: {title: T}}
        """,
        ("+5 days", event("m")),
    )

    assert done.lines(None, "onboarded") == ["2026-03-11 10:00 onboarded"]
    assert [
        (e.step, e.change) for e in done.journal if e.at == done.journal[-1].at or e.change == "onboarded"
    ][:1] == [(None, "onboarded")]


def test_onboarded_by_a_milestone_that_joins_steps() -> None:
    done = run(
        """
        onboarded: {milestone: all}
        steps:
          - {id: a, task: {title: T}}
          - {id: b, milestone: {event: b}}
          - {id: all, milestone: {all: [a, b]}}
        """,
        ("+2 days", event("b")),
        ("+3 days", command("complete", "a")),
    )

    assert [e.seconds for e in done.journal if e.change == "onboarded"] == [3 * 86_400]


def test_seconds_are_elapsed_time() -> None:
    done = run(
        "{onboarded: {milestone: m}, steps: [{id: m, milestone: {event: m}}]}", ("+30 days", event("m"))
    )

    assert [e.seconds for e in done.journal if e.change == "onboarded"] == [30 * 86_400 - 3600]


# ---- status ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ([], "active"),
        ([("+0 days", effect("a", "failed"))], "stuck"),
        ([("+0 days", effect("a", "failed")), ("+1 day", command("pause"))], "paused"),
        ([("+0 days", effect("a", "failed")), ("+1 day", command("skip", "a"))], "active"),
        ([("+0 days", effect("a", "failed")), ("+1 day", command("cancel"))], "stopped"),
        (
            [
                ("+0 days", effect("a", "failed")),
                ("+1 day", command("pause")),
                ("+2 days", command("cancel")),
            ],
            "stopped",
        ),
        ([("+1 day", command("complete", "b"))], "completed"),
    ],
)
def test_the_status_is_the_first_that_applies(script: list[Any], status: str) -> None:
    done = run("- {id: a, email: {template: t}}\n- {id: b, task: {title: T}}", *script, until="+9 days")

    assert done.status == status


# ---- the simulation --------------------------------------------------------------------------------------


def test_a_simulation_ends_at_until_inclusive() -> None:
    steps = "- {id: a, wait: 5 days, email: {template: t}}\n- {id: b, wait: 6 days, email: {template: t}}"

    done = run(steps, until="+5 days")

    assert done.changes("a")[-1] == "done"
    assert done.changes("b") == ["scheduled"]


def test_inputs_happen_at_their_time_whatever_the_order_of_the_lines() -> None:
    steps = "- {id: a, milestone: {event: a}}\n- {id: b, milestone: {event: b}}"

    there = run(steps, ("+1 day", event("a")), ("+2 days", event("b")))
    back = run(steps, ("+2 days", event("b")), ("+1 day", event("a")))

    assert there.journal == back.journal


def test_at_one_instant_inputs_come_first_in_the_order_received_then_steps_in_the_order_of_the_file() -> None:
    done = run(
        """
        - {id: a, wait: 2 days, when: reached('m'), email: {template: t}}
        - {id: m, milestone: {event: m}}
        - {id: u, wait: 2 days, until: m, email: {template: t}}
        """,
        ("+2 days", event("m")),
    )

    assert done.last("a") == "done"
    assert done.last("u") == "skipped (m was reached)"


def test_an_event_at_enrolment_comes_before_the_first_step() -> None:
    done = run(
        "- {id: u, until: m, email: {template: t}}\n- {id: m, milestone: {event: m}}",
        ("+0 days", event("m")),
    )

    assert done.changes("u") == ["scheduled", "skipped"]


def test_an_event_delivered_twice_counts_once() -> None:
    steps = "- {id: m, milestone: {event: m, times: 2}}"

    assert (
        run(steps, ("+1 day", event("m", "1")), ("+2 days", event("m", "1")), until="+9 days").changes("m")[
            -1
        ]
        == "open"
    )
    assert run(steps, ("+1 day", event("m", "1")), ("+2 days", event("m", "2"))).changes("m")[-1] == "done"
