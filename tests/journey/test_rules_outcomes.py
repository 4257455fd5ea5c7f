"""Outcomes of effects, answers early and late, reminders, check-ins, reviews, callbacks (JOURNEYS §2, §3, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import Event, Outcome, Subject
from tests.journey.building import Run, calendar, command, effect, event, instant, local, route, run

MIDNIGHT = 1773100800000000
"""2026-03-10T00:00:00Z."""


# ---- outcomes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        (effect("a", "done"), ["scheduled", "running", "done"]),
        (effect("a", "failed", "down"), ["scheduled", "running", "failed"]),
        (effect("a", "skipped", "unsubscribed"), ["scheduled", "running", "skipped"]),
        (effect("a", "pending"), ["scheduled", "running"]),
        (
            effect("a", "deferred", "on hold", until=MIDNIGHT),
            ["scheduled", "running", "scheduled", "running", "done"],
        ),
    ],
)
def test_what_an_outcome_makes_of_a_step(outcome: Any, changes: list[str]) -> None:
    done = run("- {id: a, email: {template: t}}", ("+0 days", outcome), until="+30 days")

    assert done.changes("a") == changes
    if outcome.reason:
        assert outcome.reason in done.lines("a")[2]


def test_an_outcome_line_is_for_the_next_effect_and_for_that_only() -> None:
    done = run(
        "- {id: a, checkin: {template: t, every: 5 days, times: 4}}",
        ("+1 day", effect("a", "skipped", "unsubscribed")),
    )

    assert done.reasons("a", "occurred") == [None, "not sent: unsubscribed", None, None]
    assert done.last("a") == "done"


def test_what_is_pending_comes_back_at_its_later_line() -> None:
    done = run(
        "- {id: a, provision: {system: s}}\n- {id: b, after: [a], wait: 1 day, email: {template: t}}",
        ("+0 days", effect("a", "pending")),
        ("+2 days", effect("a", "done", result={"url": "x"})),
    )

    assert done.lines("a")[-1] == "2026-03-08 10:00 done"
    assert done.when("b") == "2026-03-09 10:00"


def test_a_result_can_be_read_by_later_steps() -> None:
    done = run(
        """
        - {id: a, provision: {system: s}}
        - {id: b, after: [a], webhook: {system: crm, with: {url: "{{ result('a').url }}"}}}
        - {id: c, after: [a], when: result('a').seats > 3, email: {template: t}}
        """,
        ("+0 days", effect("a", "done", result={"url": "x", "seats": 5})),
    )

    assert done.effects[1].params["with"] == {"url": "x"}
    assert done.last("c") == "done"


def test_the_owner_is_what_the_assignment_came_back_with() -> None:
    steps = (
        "- {id: s, assign: {team: t}}\n- {id: a, after: [s], when: owner.s == 'eve', email: {template: t}}"
    )

    assert run(steps, ("+0 days", effect("s", "done", result={"owner": "eve"}))).last("a") == "done"
    assert run(steps).last("a").startswith("skipped")


def test_what_is_deferred_is_tried_again_within_window_and_cap() -> None:
    # Until Tuesday at 1:00; the window opens at 9:00; another message went out on Monday at noon.
    done = run(
        """
        defaults: {window: {days: mon-fri, from: "09:00", to: "17:00"}, cap: {messages: 1, per: 1 day}}
        steps:
          - {id: a, email: {template: t}}
          - {id: b, wait: 3 days 2 hours, email: {template: t}}
        """,
        ("+0 days", effect("a", "deferred", "on hold", until=MIDNIGHT)),
    )

    assert done.lines("a", "scheduled") == [
        "2026-03-06 10:00 scheduled for 2026-03-06 10:00",
        "2026-03-06 10:00 scheduled for 2026-03-10 09:00 (on hold)",
        "2026-03-10 09:00 scheduled for 2026-03-10 12:00",
    ]
    assert [e.attempt for e in done.effects if e.step == "a"] == [0, 0]


def test_what_is_deferred_without_a_time_is_tried_again_at_once() -> None:
    done = run("- {id: a, email: {template: t}}", ("+0 days", effect("a", "deferred")))

    assert done.purposes("a") == ["run", "run"]
    assert done.last("a") == "done"


def test_a_deferred_check_in_keeps_its_rhythm() -> None:
    done = run(
        "- {id: a, checkin: {template: t, every: 5 days, times: 3}}",
        ("+0 days", effect("a", "deferred", until=MIDNIGHT)),
    )

    assert done.times("a", "occurred") == ["2026-03-10 01:00", "2026-03-11 10:00", "2026-03-16 10:00"]


def test_a_deferred_last_occurrence_closes_after_its_actual_start() -> None:
    done = run(
        "- {id: a, checkin: {template: t, every: 3 days, times: 2}}",
        ("+1 day", effect("a", "deferred", until=MIDNIGHT)),
    )

    assert done.lines("a")[-2:] == ["2026-03-10 01:00 occurred", "2026-03-13 01:00 done"]


def test_a_deferred_reminder_does_not_go_out_after_the_deadline() -> None:
    done = run(
        "- {id: a, within: 3 days, survey: {kind: nps, template: t, remind: 2 days}}",
        ("+1 day", effect("a", "deferred", "on hold", until=MIDNIGHT)),
    )

    assert done.purposes("a") == ["run", "remind"]
    assert done.reasons("a", "occurred") == ["not sent: on hold"]
    assert done.last("a").startswith("missed")


def test_an_outcome_that_comes_twice_changes_nothing_the_second_time() -> None:
    on = calendar("Europe/Berlin")
    at = instant("2026-03-06 10:00", on)
    engine = enrol(
        route("- {id: a, email: {template: t}}\n- {id: b, task: {title: T}}"), on, Subject("c"), at
    )
    engine.advance(at)
    outcome = Outcome(engine.effects[0].id, "done", at)
    engine.outcome(outcome, at)
    before = (list(engine.entries), engine.state.copy())

    engine.outcome(outcome, at + 1)
    engine.outcome(Outcome("nobody/run/1/0", "done", at), at + 1)

    assert (engine.entries, engine.state) == before


# ---- answers ---------------------------------------------------------------------------------------------

SURVEY = """
- {id: gate, task: {title: G}}
- {id: nps, after: [gate], survey: {kind: nps, template: t, low: 6}, within: 5 days}
- {id: low, after: [nps], when: result('nps').low, notify: {to: team, message: m}}
- {id: answered, after: [nps], when: result('nps').answered, notify: {to: team, message: m}}
- id: nine
  after: [nps]
  when: result('nps').answered and result('nps').score == 9
  notify: {to: team, message: m}
"""


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"score": 9}, ["answered", "nine"]),
        ({"score": 6}, ["low", "answered"]),  # inclusive
        ({"score": 7}, ["answered"]),
        ({"score": 0}, ["low", "answered"]),
        ({"comment": "no score"}, ["answered"]),
        (None, []),
    ],
)
def test_the_result_of_a_survey(properties: dict[str, Any] | None, expected: list[str]) -> None:
    script = [] if properties is None else [("+3 days", event("survey.responded", step="nps", **properties))]

    done = run(SURVEY, ("+1 day", command("complete", "gate")), *script, until="+30 days")

    done_steps = [s for s in ("low", "answered", "nine") if done.last(s) == "done"]
    failed = [s for s in ("low", "answered", "nine") if done.last(s).startswith("failed")]
    assert done_steps == expected
    assert failed == (["nine"] if properties == {"comment": "no score"} else [])


def test_without_low_nothing_is_low() -> None:
    done = run(
        """
        - {id: nps, survey: {kind: nps, template: t}}
        - {id: low, after: [nps], when: result('nps').low, notify: {to: team, message: m}}
        """,
        ("+1 day", event("survey.responded", step="nps", score=0)),
    )

    assert done.last("low").startswith("skipped")


def test_the_effect_of_a_survey_is_not_its_answer() -> None:
    done = run(
        """
        - {id: nps, survey: {kind: nps, template: t}, within: 2 days}
        - {id: a, after: [nps], when: result('nps').answered, notify: {to: team, message: m}}
        """,
        ("+0 days", effect("nps", "done", result={"message": "m-1"})),
    )

    assert done.last("a").startswith("skipped")


def test_an_answer_before_the_step_is_open_settles_it_when_it_opens() -> None:
    done = run(
        SURVEY,
        ("+1 day", event("survey.responded", step="nps", score=3)),
        ("+3 days", command("complete", "gate")),
    )

    assert done.lines("nps")[-2:] == ["2026-03-09 10:00 open", "2026-03-09 10:00 done"]
    assert done.last("low") == "done"


def test_an_answer_while_the_message_is_on_its_way_settles_the_step_when_it_opens() -> None:
    done = run(
        "- {id: s, survey: {kind: nps, template: t}}",
        ("+0 days", effect("s", "pending")),
        ("+1 day", event("survey.responded", step="s", score=3)),
        ("+2 days", effect("s", "done")),
    )

    assert done.lines("s")[-2:] == ["2026-03-08 10:00 open", "2026-03-08 10:00 done"]


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("survey: {kind: nps, template: t}", event("survey.responded", step="other", score=3)),
        ("survey: {kind: nps, template: t}", event("survey.responded", score=3)),
        ("survey: {kind: nps, template: t}", event("checkin.answered", step="a", answer="good")),
        ("training: {session: s, template: t}", event("training.completed", session="x")),
        ("training: {session: s, template: t}", event("training.completed", step="a")),
        ("training: {session: s, template: t}", event("training.completed", session="s", step="b")),
        ("request: {form: f, template: t}", event("request.submitted", step="b")),
    ],
)
def test_what_is_no_answer_to_a_step(step: str, answer: Event) -> None:
    assert run(f"- {{id: a, {step}}}", ("+1 day", answer), until="+2 days").changes("a")[-1] == "open"


def test_a_training_is_completed_by_its_session_with_or_without_the_step() -> None:
    steps = "- {id: a, training: {session: s, template: t}}\n- {id: b, training: {session: s, template: t}}"

    both = run(steps, ("+1 day", event("training.completed", session="s")), until="+2 days")
    one = run(steps, ("+1 day", event("training.completed", session="s", step="b")), until="+2 days")

    assert [both.changes(s)[-1] for s in "ab"] == ["done", "done"]
    assert [one.changes(s)[-1] for s in "ab"] == ["open", "done"]


def test_an_answer_to_a_skipped_step_is_journaled_only() -> None:
    done = run(
        "- {id: a, survey: {kind: nps, template: t}}\n- {id: x, task: {title: T}}",
        ("+1 day", command("skip", "a")),
        ("+2 days", event("survey.responded", step="a", score=3)),
    )

    assert done.changes("a") == ["scheduled", "running", "open", "skipped", "occurred"]
    assert done.simulation.engine.state.steps["a"].result is None


def test_a_second_answer_changes_nothing() -> None:
    done = run(
        "- {id: a, survey: {kind: nps, template: t}}\n- {id: x, task: {title: T}}",
        ("+1 day", event("survey.responded", step="a", score=3)),
        ("+2 days", event("survey.responded", step="a", score=9)),
    )

    assert done.changes("a") == ["scheduled", "running", "open", "done"]
    assert done.simulation.engine.state.steps["a"].result == {"score": 3}


def test_nothing_personal_of_an_answer_is_kept() -> None:
    done = run(
        "- {id: a, survey: {kind: nps, template: t}}\n- {id: x, task: {title: T}}",
        ("+1 day", event("survey.responded", step="a", score=3, comment="I am Joe")),
    )

    assert done.simulation.engine.state.steps["a"].result == {"score": 3}


# ---- an event's own time ---------------------------------------------------------------------------------


def driven(steps: str) -> tuple[Engine, Any]:
    on = calendar("Europe/Berlin")
    engine = enrol(route(steps), on, Subject("c"), instant("2026-03-06 10:00", on))
    engine.advance(engine.at)
    return engine, on


@pytest.mark.parametrize(
    ("own", "arrived", "onboarded"),
    [
        ("2026-03-07 10:00", "2026-03-08 10:00", "2026-03-07 10:00"),
        ("2026-03-01 10:00", "2026-03-08 10:00", "2026-03-06 10:00"),  # not before enrolment
        ("2026-03-09 10:00", "2026-03-08 10:00", "2026-03-08 10:00"),  # not after its arrival
        (None, "2026-03-08 10:00", "2026-03-08 10:00"),
    ],
)
def test_an_event_counts_at_its_own_time(own: str | None, arrived: str, onboarded: str) -> None:
    engine, on = driven("{onboarded: {milestone: m}, steps: [{id: m, milestone: {event: e}}]}")
    at = instant(arrived, on)

    engine.event(Event("e", "1", None if own is None else instant(own, on)), at)

    assert local(engine.state.onboarded_at, on) == onboarded
    assert {local(e.at, on) for e in engine.entries if e.change in ("done", "onboarded")} == {arrived}


def test_an_event_whose_own_time_was_within_the_deadline_but_arrives_after_it_is_late() -> None:
    engine, on = driven("""
      onboarded: {milestone: m}
      steps:
        - {id: m, milestone: {event: e}, within: 2 days}
        - {id: x, milestone: {event: x}}
    """)

    engine.event(Event("e", "1", instant("2026-03-07 10:00", on)), instant("2026-03-09 10:00", on))

    last = [e for e in engine.entries if e.step == "m"][-1]
    assert (last.change, last.late) == ("done", True)
    assert local(engine.state.onboarded_at, on) == "2026-03-07 10:00"


def test_an_event_from_before_the_opening_does_not_count_since_the_opening() -> None:
    engine, on = driven("[{id: m, wait: 2 days, milestone: {event: e, since: open}}]")
    engine.advance(instant("2026-03-08 10:00", on))

    engine.event(Event("e", "1", instant("2026-03-07 10:00", on)), instant("2026-03-09 10:00", on))
    assert engine.view().steps["m"][0] == "open"
    engine.event(Event("e", "2", instant("2026-03-08 12:00", on)), instant("2026-03-09 10:00", on))
    assert engine.view().steps["m"][0] == "done"


def test_an_outcome_settles_at_its_own_time() -> None:
    engine, on = driven(
        "- {id: a, email: {template: t}}\n- {id: b, after: [a], wait: 1 day, email: {template: t}}"
    )
    late = instant("2026-03-06 10:05", on)

    engine.outcome(Outcome(engine.effects[0].id, "done", instant("2026-03-06 10:01", on)), late)

    assert [local(e.at, on) for e in engine.entries if e.change == "done"] == ["2026-03-06 10:01"]
    assert local(engine.state.steps["b"].due, on) == "2026-03-07 10:01"


# ---- reminders -------------------------------------------------------------------------------------------

WINDOWED = '{defaults: {window: {days: mon-fri, from: "09:00", to: "17:00"}}, steps: [STEP]}'


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            "within: 10 days, survey: {kind: nps, template: t, remind: 3 days}",
            ["2026-03-09 10:00", "2026-03-12 10:00", "2026-03-16 09:00"],
        ),
        # Work for a person is reminded of at any time …
        (
            "within: 10 days, task: {title: T, remind: 3 days}",
            ["2026-03-09 10:00", "2026-03-12 10:00", "2026-03-15 10:00"],
        ),
        # … or in its own window.
        (
            'within: 10 days, window: {days: sat, from: "12:00", to: "13:00"}, task: {title: T, remind: 3 days}',
            ["2026-03-14 12:00"],
        ),
        # One that would come at the deadline or after it does not go out.
        (
            "within: 9 days, survey: {kind: nps, template: t, remind: 3 days}",
            ["2026-03-09 10:00", "2026-03-12 10:00"],
        ),
        ("within: 2 days, survey: {kind: nps, template: t, remind: 2 days}", []),
        (
            "within: 71 hours, survey: {kind: nps, template: t, remind: 2 days}",
            [],
        ),  # Sunday, so Monday at 9:00
        # What passed while one waited for the window is not made up for.
        (
            "within: 4 days, survey: {kind: nps, template: t, remind: 1 day}",
            ["2026-03-09 09:00", "2026-03-09 10:00"],
        ),
    ],
)
def test_reminders_go_out_once_per_remind_since_the_opening(step: str, expected: list[str]) -> None:
    done = run(WINDOWED.replace("STEP", f"{{id: a, {step}}}"), until="+20 days")

    assert done.times("a", "occurred") == [e for e in expected if e >= done.when("a", "open")]
    assert done.purposes("a") == ["run"] + ["remind"] * len(done.times("a", "occurred"))


def test_no_reminder_after_the_answer() -> None:
    done = run(
        "- {id: a, survey: {kind: nps, template: t, remind: 2 days}}\n- {id: x, task: {title: T}}",
        ("+5 days", event("survey.responded", step="a", score=3)),
    )

    assert done.times("a", "occurred") == ["2026-03-08 10:00", "2026-03-10 10:00"]


def test_a_reminder_says_until_when_it_makes_sense() -> None:
    done = run("- {id: a, within: 3 days, survey: {kind: nps, template: t, remind: 2 days}}")

    assert local(done.effects[1].not_after, done.calendar) == "2026-03-09 10:00"


def test_a_request_reminds_until_it_is_submitted() -> None:
    done = run(
        "- {id: a, request: {form: f, template: t, remind: 2 days}}",
        ("+5 days", event("request.submitted", step="a", answers={"x": 1})),
    )

    assert done.times("a", "occurred") == ["2026-03-08 10:00", "2026-03-10 10:00"]
    assert done.lines("a")[-1] == "2026-03-11 10:00 done"


# ---- check-ins -------------------------------------------------------------------------------------------

CHECKIN = "- {id: a, wait: 1 day, checkin: {template: t, every: 7 days, times: 3}}"


def answers(*given: tuple[str, str]) -> list[tuple[str, Any]]:
    return [(at, event("checkin.answered", at, step="a", answer=answer)) for at, answer in given]


def test_a_check_in_that_nobody_answers() -> None:
    done = run(CHECKIN)

    assert done.lines("a") == [
        "2026-03-06 10:00 scheduled for 2026-03-07 10:00",
        "2026-03-07 10:00 running",
        "2026-03-07 10:00 open",
        "2026-03-07 10:00 occurred",
        "2026-03-14 10:00 occurred",
        "2026-03-21 10:00 occurred",
        "2026-03-28 10:00 done",
    ]
    assert [e.occurrence for e in done.journal if e.change == "occurred"] == [1, 2, 3]
    assert done.purposes("a") == ["run", "occur", "occur"]


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        # An answer to one that is not the last does not settle the step …
        ([("+2 days", "good"), ("+10 days", "good")], "2026-03-28 10:00"),
        # … to the last one it does.
        ([("+16 days", "good")], "2026-03-22 10:00"),
        ([("+2 days", "good"), ("+10 days", "good"), ("+16 days", "help")], "2026-03-22 10:00"),
    ],
)
def test_a_check_in_settles_with_its_last_answer(given: list[tuple[str, str]], settled: str) -> None:
    done = run(CHECKIN, *answers(*given))

    assert done.when("a", "done") == settled
    assert done.simulation.engine.state.steps["a"].result == {"answer": given[-1][1]}


def test_occurrences_count_from_the_first_due_time_before_windowing() -> None:
    done = run(
        WINDOWED.replace("STEP", "{id: a, wait: 1 day, checkin: {template: t, every: 4 days, times: 3}}")
    )

    # Due on Saturday, Wednesday and Sunday.
    assert done.times("a", "occurred") == ["2026-03-09 09:00", "2026-03-11 10:00", "2026-03-16 09:00"]
    assert done.when("a", "done") == "2026-03-20 09:00"


def test_every_occurrence_comes_however_late() -> None:
    done = run(
        WINDOWED.replace("STEP", "{id: a, wait: 1 day, checkin: {template: t, every: 1 day, times: 3}}")
    )

    # Due on Saturday, Sunday and Monday.
    assert done.times("a", "occurred") == ["2026-03-09 09:00", "2026-03-09 09:00", "2026-03-09 10:00"]
    assert len({e.id for e in done.effects}) == 3


def test_a_single_check_in() -> None:
    steps = "- {id: a, checkin: {template: t, every: 7 days}}"

    assert run(steps).when("a", "done") == "2026-03-13 10:00"
    assert run(steps, *answers(("+2 days", "good"))).when("a", "done") == "2026-03-08 10:00"


def test_a_check_in_without_every_is_open_until_it_is_answered() -> None:
    steps = "{ends: 90 days, steps: [{id: a, checkin: {template: t}}]}"

    assert run(steps, *answers(("+50 days", "good"))).lines("a")[-1] == "2026-04-25 10:00 done"
    assert run(steps).last("a") == "missed (journey ended)"


def test_help_opens_a_task_once_per_occurrence() -> None:
    done = run(CHECKIN, *answers(("+2 days", "help"), ("+3 days", "help"), ("+10 days", "help")))

    assert [(e.purpose, e.occurrence) for e in done.effects] == [
        ("run", 1),
        ("help", 1),
        ("occur", 2),
        ("help", 2),
        ("occur", 3),
    ]


def test_help_with_the_last_answer_opens_a_task_before_the_journey_completes() -> None:
    done = run("- {id: a, checkin: {template: t, every: 7 days}}", *answers(("+2 days", "help")))

    assert done.purposes("a") == ["run", "help"]
    assert [(e.change, e.step) for e in done.journal[-2:]] == [("occurred", "a"), ("completed", None)]


def test_help_after_the_deadline_opens_a_task_too() -> None:
    done = run(
        "- {id: x, task: {title: X}}\n- {id: a, within: 1 day, checkin: {template: t, every: 7 days}}",
        *answers(("+2 days", "help")),
    )

    assert done.last("a") == "done late"
    assert done.purposes("a") == ["run", "help"]


def test_help_that_could_not_be_given_makes_the_customer_stuck_until_it_is_retried_or_skipped() -> None:
    steps = """
      - {id: a, checkin: {template: t, every: 7 days}}
      - {id: b, after: [done a], notify: {to: team, message: m}}
    """
    script: list[Any] = [*answers(("+2 days", "help")), ("+1 day", effect("a", "failed", "down"))]

    stuck = run(steps, *script, until="+9 days")
    retried = run(steps, *script, ("+4 days", command("retry", "a")))
    skipped = run(steps, *script, ("+4 days", command("skip", "a")))
    ended = run(steps, *script)

    assert stuck.status == "stuck"
    assert stuck.last("b") == "done"
    assert retried.purposes("a") == ["run", "help", "help"]
    assert retried.when(None, "completed") == "2026-03-10 10:00"
    assert skipped.when(None, "completed") == "2026-03-10 10:00"
    assert "skipped" not in skipped.changes("a")
    assert ended.lines(None)[-1] == "2026-07-04 10:00 completed (ended)"
    assert ended.changes("a")[-1] == "failed"


def test_a_check_in_by_call_is_a_task_for_the_owner() -> None:
    done = run(
        "- {id: a, checkin: {by: call, every: 7 days, times: 2}}",
        ("+1 day", command("complete", "a")),
        ("+9 days", command("complete", "a", answer="help")),
    )

    assert done.times("a", "occurred") == ["2026-03-06 10:00", "2026-03-13 10:00"]
    assert done.lines("a")[-1] == "2026-03-15 10:00 done"
    assert done.simulation.engine.state.steps["a"].result == {"answer": "help"}
    assert done.purposes("a") == ["run", "occur"]


def test_an_occurrence_that_failed_is_retried() -> None:
    done = run(
        CHECKIN,
        ("+2 days", effect("a", "failed", "down")),
        ("+10 days", command("retry", "a")),
    )

    assert done.times("a", "failed") == ["2026-03-14 10:00"]
    assert done.times("a", "occurred") == ["2026-03-07 10:00", "2026-03-16 10:00", "2026-03-21 10:00"]


# ---- requests, escalation, callbacks ---------------------------------------------------------------------


def test_a_request_under_review_is_accepted_by_a_person() -> None:
    done = run(
        "- {id: a, request: {form: f, template: t, remind: 2 days, review: true}}",
        ("+3 days", event("request.submitted", step="a")),
        ("+9 days", command("complete", "a")),
    )

    assert done.lines("a")[3:] == [
        "2026-03-08 10:00 occurred",
        "2026-03-09 10:00 occurred (submitted: to be reviewed)",
        "2026-03-09 10:00 occurred (a task was opened: the answers are to be reviewed)",
        "2026-03-15 10:00 done",
    ]
    assert done.purposes("a") == ["run", "remind", "review"]


def test_a_request_that_is_returned_is_asked_again() -> None:
    done = run(
        "- {id: a, request: {form: f, template: t, review: true}}",
        ("+3 days", event("request.submitted", "1", step="a")),
        ("+4 days", command("complete", "a", answer="returned", reason="page 2 is missing")),
        ("+5 days", event("request.submitted", "2", step="a")),
        ("+6 days", command("complete", "a")),
    )

    assert [(e.purpose, e.occurrence) for e in done.effects] == [
        ("run", 1),
        ("review", 1),
        ("remind", 1),
        ("review", 2),
    ]
    assert done.lines("a")[-1] == "2026-03-12 10:00 done"


def test_what_was_submitted_before_the_request_is_open_is_reviewed_when_it_opens() -> None:
    done = run(
        "- {id: a, wait: 5 days, request: {form: f, template: t, review: true}}",
        ("+3 days", event("request.submitted", step="a")),
        ("+9 days", command("complete", "a")),
    )

    assert done.purposes("a") == ["run", "review"]
    assert done.last("a") == "done"


def test_a_task_is_escalated_when_it_is_not_completed_by_its_due_date() -> None:
    steps = "- {id: a, task: {title: T, due: 1 business day, escalate_to: boss}}\n- {id: x, task: {title: X}}"

    late = run(steps, until="+30 days")
    in_time = run(steps, ("+1 day", command("complete", "a")))

    assert late.times("a", "occurred") == ["2026-03-09 10:00"]
    assert late.purposes("a") == ["run", "escalate"]
    assert in_time.purposes("a") == ["run"]
    assert local(late.effects[0].due, late.calendar) == "2026-03-09 10:00"


PROVISION = """
- {id: a, provision: {system: s, undo: true}, within: 5 days}
- {id: b, after: [done a], when: result('a').url == 'x', notify: {to: team, message: m}}
- {id: m, after: [missed a], notify: {to: team, message: m}}
"""


def called_back(*outcomes: tuple[str, str]) -> Run:
    """A provision that answers `open`, and what its system says later."""
    engine, on = driven(PROVISION)
    first = engine.effects[0].id
    for at, name in (("2026-03-06 10:00", "open"), *outcomes):
        now = instant(at, on)
        engine.advance(now)
        engine.outcome(Outcome(first, name, now, result={"url": "x"} if name == "done" else None), now)  # type: ignore[arg-type]  # names of outcomes, from the table
        engine.advance(now)
    run_of = run(PROVISION)
    run_of.simulation.engine = engine
    run_of.simulation.entries = sorted(engine.entries, key=lambda entry: (entry.at, entry.number))
    return run_of


def test_a_provision_that_waits_for_its_callback_is_open_until_it_comes() -> None:
    done = called_back(("2026-03-08 10:00", "done"))

    assert done.lines("a")[1:] == [
        "2026-03-06 10:00 running",
        "2026-03-06 10:00 open",
        "2026-03-08 10:00 done",
    ]
    assert done.changes("b")[0] == "scheduled"


def test_a_callback_after_the_deadline_is_late() -> None:
    done = called_back(("2026-03-12 10:00", "done"), ("2026-03-13 10:00", "done"))

    assert done.lines("a")[-2:] == [
        "2026-03-11 10:00 missed (the deadline passed)",
        "2026-03-12 10:00 done late",
    ]


def test_a_callback_may_say_that_it_failed() -> None:
    assert called_back(("2026-03-08 10:00", "failed")).last("a") == "failed (the system failed)"


def test_a_callback_that_overtakes_its_answer_settles_the_step() -> None:
    engine, _ = driven(PROVISION)
    first, at = engine.effects[0].id, engine.at
    engine.outcome(Outcome(first, "done", at, result={"url": "x"}), at)
    engine.outcome(Outcome(first, "open", at), at)

    assert [e.change for e in engine.entries if e.step == "a"] == ["scheduled", "running", "done"]


def test_pending_leaves_a_provision_running() -> None:
    done = run(PROVISION, ("+0 days", effect("a", "pending")), until="+10 days")

    assert done.changes("a") == ["scheduled", "running"]
