"""What operators may do to a journey, and when it is rejected (JOURNEYS §3, §6, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from firstmile.journey import commands
from firstmile.journey.engine import enrol
from firstmile.journey.inputs import Command, CommandRejected, Outcome, Subject
from tests.journey.building import calendar, command, effect, event, instant, route, run

WINDOW = '{days: mon-fri, from: "09:00", to: "17:00"}'


# ---- skip ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "script", "before"),
    [
        ("after: [x], email: {template: t}", [], []),
        ("wait: 9 days, email: {template: t}", [], ["scheduled"]),
        ("email: {template: t}", [("+0 days", effect("a", "pending"))], ["scheduled", "running"]),
        ("task: {title: T}", [], ["scheduled", "running", "open"]),
        ("milestone: {event: e}", [], ["scheduled", "running", "open"]),
        ("email: {template: t}", [("+0 days", effect("a", "failed"))], ["scheduled", "running", "failed"]),
    ],
)
def test_skip_settles_a_step_in_any_state(step: str, script: list[Any], before: list[str]) -> None:
    done = run(
        f"""
        - {{id: x, task: {{title: X}}}}
        - {{id: a, {step}}}
        - {{id: b, after: [a], notify: {{to: team, message: m}}}}
        """,
        *script,
        ("+2 days", command("skip", "a", reason="not needed")),
    )

    assert done.changes("a") == [*before, "skipped"]
    assert done.lines("a")[-1] == "2026-03-08 10:00 skipped (not needed)"
    assert done.when("b") == "2026-03-08 10:00"
    assert [e.actor for e in done.journal if e.change == "skipped"] == ["ann"]


@pytest.mark.parametrize("outcome", ["done", "failed", "skipped"])
def test_the_outcome_of_what_was_skipped_while_it_ran_is_journaled_and_not_applied(outcome: str) -> None:
    done = run(
        """
        - {id: a, assign: {team: t}}
        - {id: b, after: [done a], notify: {to: team, message: m}}
        """,
        ("+0 days", effect("a", "pending")),
        ("+1 day", command("skip", "a")),
        ("+2 days", effect("a", outcome, result={"owner": "ben"})),
    )

    assert done.lines("a")[-1].startswith(f"2026-03-08 10:00 {outcome}")
    assert done.simulation.engine.state.steps["a"].phase == "skipped"
    assert done.simulation.engine.state.owners == {}
    assert done.last("b").startswith("skipped")
    # The journey waits for what is in flight before it is completed.
    assert done.lines(None)[-1] == "2026-03-08 10:00 completed (all steps settled)"


def test_a_deferred_outcome_of_what_was_skipped_is_not_tried_again() -> None:
    done = run(
        "- {id: a, email: {template: t}}",
        ("+0 days", effect("a", "pending")),
        ("+1 day", command("skip", "a")),
        ("+2 days", effect("a", "deferred", "hold", until=1773100800000000)),
    )

    assert done.purposes("a") == ["run"]
    assert done.changes("a") == ["scheduled", "running", "skipped", "occurred"]


# ---- run_now ---------------------------------------------------------------------------------------------


def test_run_now_takes_away_due_time_and_window() -> None:
    done = run(
        f"- {{id: a, wait: 20 days, window: {WINDOW}, email: {{template: t}}}}",
        ("2026-03-07 22:00", command("run_now", "a")),
    )

    assert done.lines("a") == [
        "2026-03-06 10:00 scheduled for 2026-03-26 10:00",
        "2026-03-07 22:00 scheduled for 2026-03-07 22:00",
        "2026-03-07 22:00 running",
        "2026-03-07 22:00 done",
    ]


def test_run_now_does_not_take_away_when() -> None:
    done = run(
        '- {id: a, wait: 20 days, when: "false", email: {template: t}}', ("+1 day", command("run_now", "a"))
    )

    assert done.lines("a")[-1] == "2026-03-07 10:00 skipped (when: false)"


def test_run_now_does_not_take_away_order() -> None:
    done = run(
        """
        - {id: x, task: {title: X}}
        - {id: y, task: {title: Y}}
        - {id: a, after: [x, done y], email: {template: t}}
        """,
        ("+1 day", command("run_now", "a")),
        ("+2 days", command("complete", "x")),
        ("+3 days", command("run_now", "a")),
    )

    assert done.rejected == [
        "step 'a' waits for x, done y: run_now does not skip that",
        "step 'a' waits for done y: run_now does not skip that",
    ]


def test_run_now_takes_away_a_moment_that_is_not_known_yet() -> None:
    done = run("- {id: a, wait: 3 days before d, email: {template: t}}", ("+1 day", command("run_now", "a")))

    assert done.when("a") == "2026-03-07 10:00"


def test_run_now_opens_a_milestone() -> None:
    done = run("- {id: a, wait: 20 days, milestone: {event: e}}", ("+1 day", command("run_now", "a")))

    assert done.when("a", "open") == "2026-03-07 10:00"


def test_run_now_is_the_first_due_time_of_a_check_in() -> None:
    done = run(
        "- {id: a, wait: 20 days, checkin: {template: t, every: 7 days, times: 2}}",
        ("+1 day", command("run_now", "a")),
    )

    assert done.times("a", "occurred") == ["2026-03-07 10:00", "2026-03-14 10:00"]


@pytest.mark.parametrize(
    ("step", "script", "reason"),
    [
        ("email: {template: t}", [], "step 'a' is done already"),
        ("task: {title: T}", [], "step 'a' is open already"),
        ("email: {template: t}", [("+0 days", effect("a", "pending"))], "step 'a' is running already"),
        (
            "email: {template: t}",
            [("+0 days", effect("a", "failed"))],
            "step 'a' has failed: retry it, or skip it",
        ),
        ('when: "false", email: {template: t}', [], "step 'a' is skipped already"),
    ],
)
def test_run_now_is_for_what_has_not_started(step: str, script: list[Any], reason: str) -> None:
    done = run(
        f"- {{id: x, task: {{title: T}}}}\n- {{id: a, {step}}}", *script, ("+1 day", command("run_now", "a"))
    )

    assert done.rejected == [reason]


# ---- retry -----------------------------------------------------------------------------------------------


def test_retry_makes_a_failed_step_due_at_once_as_a_new_attempt() -> None:
    done = run(
        """
        - {id: a, provision: {system: s}}
        - {id: b, after: [a], notify: {to: team, message: m}}
        """,
        ("+0 days", effect("a", "failed", "HTTP 500")),
        ("+2 days", command("retry", "a")),
    )

    assert done.lines("a") == [
        "2026-03-06 10:00 scheduled for 2026-03-06 10:00",
        "2026-03-06 10:00 running",
        "2026-03-06 10:00 failed (HTTP 500)",
        "2026-03-08 10:00 scheduled for 2026-03-08 10:00",
        "2026-03-08 10:00 running",
        "2026-03-08 10:00 done",
    ]
    assert [(e.purpose, e.occurrence, e.attempt) for e in done.effects if e.step == "a"] == [
        ("run", 1, 0),
        ("run", 1, 1),
    ]
    assert len({e.id for e in done.effects}) == 3
    assert done.when("b") == "2026-03-08 10:00"


def test_retry_respects_window_and_cap() -> None:
    done = run(
        f"""
        defaults: {{window: {WINDOW}, cap: {{messages: 1, per: 1 day}}}}
        steps:
          - {{id: a, email: {{template: t}}}}
          - {{id: b, wait: 2 hours, email: {{template: t}}}}
        """,
        ("+0 days", effect("a", "failed")),
        ("2026-03-06 13:00", command("retry", "a")),
    )
    weekend = run(
        f"- {{id: a, window: {WINDOW}, email: {{template: t}}}}",
        ("+0 days", effect("a", "failed")),
        ("+1 day", command("retry", "a")),
    )

    assert done.when("b") == "2026-03-06 12:00"
    assert done.times("a", "running")[1] == "2026-03-09 09:00"
    assert weekend.times("a", "running")[1] == "2026-03-09 09:00"


def test_retry_of_what_was_forced_is_within_window_and_cap_again() -> None:
    done = run(
        f"- {{id: a, wait: 20 days, window: {WINDOW}, email: {{template: t}}}}",
        ("2026-03-07 10:00", effect("a", "failed")),
        ("2026-03-07 10:00", command("run_now", "a")),
        ("2026-03-07 12:00", command("retry", "a")),
    )

    assert done.times("a", "running") == ["2026-03-07 10:00", "2026-03-09 09:00"]


def test_retry_looks_at_when_again() -> None:
    done = run(
        "- {id: a, when: traits.seats > 1, email: {template: t}}",
        ("+1 day", command("traits", traits={"seats": 3})),
        ("+2 days", command("retry", "a")),
    )

    assert done.last("a") == "done"


def test_retry_of_a_reminder_sends_that_reminder_again() -> None:
    done = run(
        "- {id: a, survey: {kind: nps, template: t, remind: 3 days}, within: 10 days}",
        ("+1 day", effect("a", "failed", "down")),
        ("+4 days", command("retry", "a")),
    )

    assert [(e.purpose, e.occurrence, e.attempt) for e in done.effects] == [
        ("run", 1, 0),
        ("remind", 1, 0),
        ("remind", 1, 1),
        ("remind", 2, 1),
        ("remind", 3, 1),
    ]
    assert done.times("a", "occurred") == ["2026-03-10 10:00", "2026-03-12 10:00", "2026-03-15 10:00"]


@pytest.mark.parametrize("answered", [True, False])
def test_an_open_step_whose_reminder_failed_still_takes_its_answer_and_its_deadline(answered: bool) -> None:
    script = [("+5 days", event("survey.responded", step="a", score=3))] if answered else []

    done = run(
        "- {id: a, survey: {kind: nps, template: t, remind: 3 days}, within: 10 days}",
        ("+1 day", effect("a", "failed", "down")),
        *script,
    )

    assert done.lines("a")[-1].startswith("2026-03-11 10:00 done" if answered else "2026-03-16 10:00 missed")


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("email: {template: t}", "done"),
        ("task: {title: T}", "open"),
        ("wait: 9 days, task: {title: T}", "scheduled"),
    ],
)
def test_retry_is_for_what_failed(step: str, phase: str) -> None:
    done = run(f"- {{id: x, task: {{title: T}}}}\n- {{id: a, {step}}}", ("+1 day", command("retry", "a")))

    assert done.rejected == [f"step 'a' has not failed: it is {phase}"]


# ---- complete --------------------------------------------------------------------------------------------


def test_complete_settles_a_task() -> None:
    done = run("- {id: a, task: {title: T}}", ("+1 day", command("complete", "a", reason="spoke to them")))

    assert done.lines("a")[-1] == "2026-03-07 10:00 done (spoke to them)"
    assert done.journal[-2].actor == "ann"


def test_a_completion_before_the_task_is_open_settles_it_when_it_opens() -> None:
    done = run("- {id: a, wait: 5 days, task: {title: T}}", ("+1 day", command("complete", "a")))

    assert done.lines("a")[-3:] == [
        "2026-03-11 10:00 running",
        "2026-03-11 10:00 open",
        "2026-03-11 10:00 done",
    ]


def test_complete_after_the_deadline_is_late() -> None:
    done = run(
        "- {id: x, task: {title: T}}\n- {id: a, within: 1 day, task: {title: T}}",
        ("+2 days", command("complete", "a")),
    )

    assert done.last("a") == "done late"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("email: {template: t}", "step 'a' is not a task: it is a email"),
        ("survey: {kind: nps, template: t}", "step 'a' is not a task: it is a survey"),
        ("milestone: {event: e}", "step 'a' is not a task: it is a milestone"),
        ('when: "false", task: {title: T}', "step 'a' is skipped already"),
    ],
)
def test_complete_is_for_tasks_that_are_not_closed(step: str, reason: str) -> None:
    done = run(f"- {{id: x, task: {{title: T}}}}\n- {{id: a, {step}}}", ("+1 day", command("complete", "a")))

    assert done.rejected == [reason]


def test_complete_twice_is_rejected() -> None:
    done = run(
        "- {id: x, task: {title: T}}\n- {id: a, task: {title: T}}",
        ("+1 day", command("complete", "a")),
        ("+2 days", command("complete", "a")),
    )

    assert done.rejected == ["step 'a' is done already"]


# ---- resend and reopen -----------------------------------------------------------------------------------


def test_resend_sends_a_message_again_as_a_new_attempt_and_settles_nothing() -> None:
    done = run(
        """
        - {id: a, email: {template: t}}
        - {id: s, survey: {kind: nps, template: t}, within: 9 days}
        - {id: b, after: [s], notify: {to: team, message: m}}
        """,
        ("+1 day", command("resend", "a")),
        ("+2 days", command("resend", "s")),
        ("+3 days", event("survey.responded", step="s", score=3)),
    )

    assert [(e.purpose, e.attempt) for e in done.effects if e.step == "a"] == [("run", 0), ("run", 1)]
    assert done.lines("a")[-2:] == [
        "2026-03-07 10:00 occurred (to be sent again)",
        "2026-03-07 10:00 occurred (sent again)",
    ]
    assert done.changes("s") == ["scheduled", "running", "open", "occurred", "occurred", "done"]
    assert done.when("b") == "2026-03-09 10:00"


@pytest.mark.parametrize("outcome", ["failed", "skipped", "deferred"])
def test_a_resend_that_comes_to_nothing_fails_nothing(outcome: str) -> None:
    done = run(
        "- {id: a, email: {template: t}}\n- {id: x, task: {title: T}}",
        ("+1 day", effect("a", outcome, "down")),
        ("+1 day", command("resend", "a")),
    )

    assert done.lines("a")[-1] == "2026-03-07 10:00 occurred (not sent again: down)"
    assert done.simulation.engine.state.steps["a"].phase == "done"


def test_a_resend_counts_under_the_cap() -> None:
    done = run(
        """
        defaults: {cap: {messages: 1, per: 1 day}}
        steps:
          - {id: a, email: {template: t}}
          - {id: b, wait: 2 days, email: {template: t}}
        """,
        ("+36 hours", command("resend", "a")),
    )

    assert done.when("b") == "2026-03-08 22:00"


def test_a_resend_waits_for_the_end_of_a_pause() -> None:
    done = run(
        "- {id: a, email: {template: t}}\n- {id: x, task: {title: T}}",
        ("+1 day", command("pause")),
        ("+2 days", command("resend", "a")),
        ("+3 days", command("resume")),
    )

    assert done.times("a", "occurred") == ["2026-03-08 10:00", "2026-03-09 10:00"]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("task: {title: T}", "step 'a' sends the customer no message"),
        (
            "wait: 9 days, email: {template: t}",
            "step 'a' is scheduled: nothing was sent that could be sent again",
        ),
        (
            'when: "false", email: {template: t}',
            "step 'a' is skipped: nothing was sent that could be sent again",
        ),
        ("when: traits.x, email: {template: t}", "step 'a' has failed: retry it, or skip it"),
    ],
)
def test_what_cannot_be_sent_again(step: str, reason: str) -> None:
    done = run(f"- {{id: x, task: {{title: T}}}}\n- {{id: a, {step}}}", ("+1 day", command("resend", "a")))

    assert done.rejected == [reason]


def test_reopen_opens_a_task_again_and_what_followed_stands() -> None:
    done = run(
        """
        - {id: x, task: {title: X}}
        - {id: a, when: count('e') == 0, task: {title: T}, within: 5 days}
        - {id: b, after: [done a], notify: {to: team, message: m}}
        - {id: m, milestone: {event: e}}
        """,
        ("+1 day", command("complete", "a")),
        ("+2 days", event("e")),
        ("+3 days", command("reopen", "a")),
        ("+4 days", command("complete", "a")),
    )

    assert done.changes("a") == [
        "scheduled",
        "running",
        "open",
        "done",
        "scheduled",
        "running",
        "open",
        "done",
    ]
    assert done.times("a", "done") == ["2026-03-07 10:00", "2026-03-10 10:00"]
    assert [e.late for e in done.journal if e.step == "a" and e.change == "done"] == [False, False]
    assert done.times("b", "running") == ["2026-03-07 10:00"]
    assert [e.attempt for e in done.effects if e.step == "a"] == [0, 1]


def test_a_reopened_task_has_its_deadline_anew() -> None:
    done = run(
        "- {id: x, task: {title: X}}\n- {id: a, task: {title: T}, within: 5 days}",
        ("+6 days", command("reopen", "a")),
    )

    assert done.times("a", "missed") == ["2026-03-11 10:00", "2026-03-17 10:00"]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("email: {template: t}", "step 'a' is not a task: it is a email"),
        ("task: {title: T}", "step 'a' is open: only a task that was closed can be reopened"),
        (
            'when: "false", task: {title: T}',
            "step 'a' is skipped: only a task that was closed can be reopened",
        ),
    ],
)
def test_what_cannot_be_reopened(step: str, reason: str) -> None:
    done = run(f"- {{id: x, task: {{title: T}}}}\n- {{id: a, {step}}}", ("+1 day", command("reopen", "a")))

    assert done.rejected == [reason]


# ---- traits and assign -----------------------------------------------------------------------------------


def test_traits_are_merged_into_the_customers() -> None:
    done = run(
        "- {id: a, wait: 2 days, when: traits.plan == 'pro' and traits.seats == 3, email: {template: t}}",
        ("+1 day", command("traits", traits={"plan": "pro"})),
        traits={"plan": "free", "seats": 3},
    )

    assert done.last("a") == "done"


DECLARED = "{traits: {plan: text, seats: number?, on: flag?, d: date?}, steps: [{id: a, task: {title: T}}]}"


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"seats": "three"}, "trait 'seats' must be a number, not 'three'"),
        ({"seats": True}, "trait 'seats' must be a number, not True"),
        ({"on": 1}, "trait 'on' must be a flag (true or false), not 1"),
        ({"d": "soon"}, "trait 'd' must be a date (2026-03-17, or an instant with its offset), not 'soon'"),
        (
            {"d": "2026-02-30"},
            "trait 'd' must be a date (2026-03-17, or an instant with its offset), not '2026-02-30'",
        ),
        ({"plan": None}, "trait 'plan' is missing: the journey needs a text"),
        ({}, "'traits' needs traits: the names and values to change"),
        ({"seats": 4, "d": "2026-03-17T10:00:00+01:00", "on": False, "plan": "x", "other": 1}, None),
        ({"seats": None}, None),
    ],
)
def test_traits_of_a_wrong_type_are_rejected(traits: dict[str, Any], reason: str | None) -> None:
    done = run(
        DECLARED, ("+1 day", command("traits", traits=traits)), traits={"plan": "pro"}, until="+2 days"
    )

    assert done.rejected == ([] if reason is None else [reason])


def test_a_trait_that_a_moment_counts_from_is_a_date_declared_or_not() -> None:
    done = run(
        "- {id: a, wait: 1 day before d, email: {template: t}}",
        ("+1 day", command("traits", traits={"d": 3})),
    )

    assert done.rejected[0].startswith("trait 'd' must be a date")


def test_assign_changes_the_owner() -> None:
    done = run(
        """
        - {id: specialist, assign: {team: onboarding}}
        - {id: a, wait: 2 days, when: owner.specialist == 'eve', email: {template: t}}
        """,
        ("+1 day", command("assign", "specialist", owner="eve")),
    )

    assert done.last("a") == "done"
    assert done.reasons("specialist", "occurred") == ["assigned to eve"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (command("assign", "x", owner="eve"), "step 'x' assigns nobody: it is a task"),
        (command("assign", "s"), "'assign' needs an owner"),
    ],
)
def test_assign_needs_a_role_and_an_owner(given: Command, reason: str) -> None:
    steps = "- {id: s, assign: {team: t}}\n- {id: x, task: {title: T}}"

    assert run(steps, ("+1 day", given)).rejected == [reason]


# ---- commands in general ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (command("skip"), "'skip' needs a step"),
        (command("skip", "welcom"), "unknown step 'welcom': did you mean 'welcome'?"),
        (command("dance"), "unknown command 'dance'"),
    ],
)
def test_a_command_that_makes_no_sense_is_rejected(given: Command, reason: str) -> None:
    done = run("- {id: welcome, task: {title: T}}", ("+1 day", given))

    assert done.rejected == [reason]
    assert done.status == "completed"


def test_a_rejected_command_changes_nothing() -> None:
    steps = "- {id: a, wait: 5 days, task: {title: T}}"

    assert run(steps, ("+1 day", command("retry", "a"))).journal == run(steps).journal


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (command("cancel"), "the journey is stopped: it takes no more commands"),
        (command("complete", "a"), "the journey is completed: it takes no more commands"),
    ],
)
def test_a_finished_journey_takes_no_commands(given: Command, reason: str) -> None:
    on = calendar("Europe/Berlin")
    at = instant("2026-03-06 10:00", on)
    engine = enrol(route("- {id: a, task: {title: T}}"), on, Subject("c"), at)
    engine.advance(at)
    engine.outcome(Outcome(engine.effects[0].id, "done", at), at)
    commands.apply(engine, given, at)

    with pytest.raises(CommandRejected, match=reason):
        commands.check(engine, command("pause"), at)


def test_a_journey_that_is_ending_takes_no_commands() -> None:
    done = run(
        "{ends: 2 days, steps: [{id: a, email: {template: t}}]}",
        ("+0 days", effect("a", "pending")),
        ("+3 days", command("pause")),
        ("+4 days", effect("a", "done")),
    )

    assert done.rejected == ["the journey is ending: what runs is being waited for"]
    assert done.lines(None)[-1] == "2026-03-10 10:00 completed (ended)"


# ---- extend ----------------------------------------------------------------------------------------------


def test_extend_puts_the_end_off() -> None:
    steps = "ends: 10 days\nsteps:\n- {id: a, wait: 20 days, notify: {to: team, message: m}}\n- {id: x, task: {title: X}}"
    later = instant("2026-03-31T09:00:00Z", calendar())

    done = run(steps, ("+3 days", command("extend", until=later, reason="they asked")))

    assert done.last("a").startswith("done")
    assert "the journey ends on 2026-03-31 instead: they asked" in done.lines(None, "occurred")[0]
    assert done.lines(None, "completed")[0].startswith("2026-03-31")


@pytest.mark.parametrize(
    ("ends", "until", "reason"),
    [
        ("10 days", "2026-03-10T00:00:00Z", "the journey ends on 2026-03-16 already: 'until' must be later"),
        ("10 days", "2199-01-01T00:00:00Z", "'until' must lie before"),
        ("10 days", None, "'extend' needs 'until'"),
        ("null", "2026-05-01T00:00:00Z", "the journey has no end that could be put off"),
    ],
)
def test_extend_is_rejected_for_an_end_that_is_none(ends: str, until: str | None, reason: str) -> None:
    at = None if until is None else instant(until, calendar())

    done = run(
        f"ends: {ends}\nsteps:\n- {{id: x, within: 30 days, task: {{title: X}}}}",
        ("+1 day", command("extend", until=at)),
    )

    assert done.rejected[0].startswith(reason)
