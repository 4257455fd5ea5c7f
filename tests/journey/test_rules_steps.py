"""What makes a step happen or keeps it from it: `after`, `wait`, `until`, `when`, `within` (JOURNEYS §2, §3)."""

from __future__ import annotations

import pytest

from tests.journey.building import Input, command, effect, event, run

NOTIFY = "notify: {to: team, message: hello}"
LOGIN = "- {id: login, milestone: {event: login}, within: 7 days}"


# ---- the life of a step ----------------------------------------------------------------------------------


def test_a_step_is_scheduled_then_runs_then_is_settled() -> None:
    done = run("- {id: a, email: {template: t}}")

    assert done.lines("a") == [
        "2026-03-06 10:00 scheduled for 2026-03-06 10:00",
        "2026-03-06 10:00 running",
        "2026-03-06 10:00 done",
    ]
    assert done.lines(None) == ["2026-03-06 10:00 enrolled", "2026-03-06 10:00 completed (all steps settled)"]


@pytest.mark.parametrize(
    ("kind", "stays_open"),
    [
        ("email: {template: t}", False),
        ("training: {session: s, template: t}", True),
        ("survey: {kind: nps, template: t}", True),
        ("checkin: {template: t, every: 30 days, times: 1}", True),
        ("checkin: {by: call, every: 30 days}", True),
        ("milestone: {event: e}", True),
        ("provision: {system: s}", False),
        ("provision: {function: f}", False),
        ("assign: {team: t}", False),
        ("task: {title: T}", True),
        ("request: {form: f, template: t}", True),
        ("notify: {to: team, message: m}", False),
        ("webhook: {system: s}", False),
    ],
)
def test_only_kinds_that_stay_open_open(kind: str, stays_open: bool) -> None:
    done = run(f"- {{id: a, {kind}}}", until="+1 day")

    assert [c for c in done.changes("a") if c != "occurred"] == [
        "scheduled",
        "running",
        "open" if stays_open else "done",
    ]


def test_an_entry_names_the_kind_of_its_step() -> None:
    done = run("- {id: a, email: {template: t}}")

    assert {entry.kind for entry in done.journal if entry.step == "a"} == {"email"}
    assert {entry.kind for entry in done.journal if entry.step is None} == {None}


def test_steps_that_start_at_one_instant_start_in_the_order_of_the_file() -> None:
    done = run("""
      - {id: z, notify: {to: team, message: m}}
      - {id: m, after: [a], notify: {to: team, message: m}}
      - {id: a, notify: {to: team, message: m}}
    """)

    assert [entry.step for entry in done.journal if entry.change == "running"] == ["z", "a", "m"]


# ---- after -----------------------------------------------------------------------------------------------

AFTER = f"""
- {{id: login, milestone: {{event: login}}, within: 7 days, when: traits.login}}
- {{id: a, after: [CONDITION], {NOTIFY}}}
"""


@pytest.mark.parametrize(
    ("condition", "outcome", "expected"),
    [
        # Reached on day 2, missed on day 7, reached late on day 9, skipped at once.
        ("login", "reached", "2026-03-08 10:00 done"),
        ("login", "missed", "2026-03-13 10:00 done"),
        ("login", "late", "2026-03-13 10:00 done"),
        ("login", "skipped", "2026-03-06 10:00 done"),
        ("reached login", "reached", "2026-03-08 10:00 done"),
        ("reached login", "missed", "2026-07-04 10:00 skipped (journey ended)"),
        ("reached login", "late", "2026-03-15 10:00 done"),
        ("reached login", "skipped", "2026-03-06 10:00 skipped ('reached login' can no longer come about)"),
        ("done login", "reached", "2026-03-08 10:00 done"),
        ("done login", "late", "2026-03-15 10:00 done"),
        ("done login", "skipped", "2026-03-06 10:00 skipped ('done login' can no longer come about)"),
        ("missed login", "reached", "2026-03-08 10:00 skipped ('missed login' can no longer come about)"),
        ("missed login", "missed", "2026-03-13 10:00 done"),
        ("missed login", "late", "2026-03-13 10:00 done"),
        ("missed login", "skipped", "2026-03-06 10:00 skipped ('missed login' can no longer come about)"),
        ("skipped login", "reached", "2026-03-08 10:00 skipped ('skipped login' can no longer come about)"),
        # `skipped ID` after a miss can no longer come (§7.6).
        ("skipped login", "missed", "2026-03-13 10:00 skipped ('skipped login' can no longer come about)"),
        ("skipped login", "skipped", "2026-03-06 10:00 done"),
    ],
)
def test_what_after_waits_for(condition: str, outcome: str, expected: str) -> None:
    inputs = {"reached": ["+2 days"], "late": ["+9 days"]}.get(outcome, [])

    done = run(
        AFTER.replace("CONDITION", condition),
        *[(at, event("login")) for at in inputs],
        traits={"login": outcome != "skipped"},
    )

    assert done.lines("a")[-1] == expected


def test_all_of_after_must_have_happened_and_the_wait_counts_from_the_last() -> None:
    done = run(
        """
        - {id: one, milestone: {event: one}}
        - {id: two, milestone: {event: two}}
        - {id: a, after: [one, two], wait: 1 day, notify: {to: team, message: m}}
        """,
        ("+3 days", event("two")),
        ("+5 days", event("one")),
    )

    assert done.lines("a")[0] == "2026-03-11 10:00 scheduled for 2026-03-12 10:00"
    assert done.when("a") == "2026-03-12 10:00"


def test_one_condition_that_can_no_longer_come_is_enough() -> None:
    done = run(
        """
        - {id: one, milestone: {event: one}}
        - {id: two, milestone: {event: two}}
        - {id: a, after: [one, missed two], notify: {to: team, message: m}}
        """,
        ("+3 days", event("two")),
    )

    assert done.lines("a") == ["2026-03-09 10:00 skipped ('missed two' can no longer come about)"]


def test_skipping_goes_on_down_the_chain() -> None:
    done = run("""
      - {id: a, when: "false", notify: {to: team, message: m}}
      - {id: b, after: [done a], notify: {to: team, message: m}}
      - {id: c, after: [done b], notify: {to: team, message: m}}
      - {id: d, after: [c], notify: {to: team, message: m}}
    """)

    assert [done.last(step).split()[0] for step in "abcd"] == ["skipped", "skipped", "skipped", "done"]


def test_after_an_id_a_skipped_or_missed_step_counts_as_settled() -> None:
    done = run("""
      - {id: a, when: "false", notify: {to: team, message: m}}
      - {id: b, task: {title: T}, within: 2 days}
      - {id: c, after: [a, b], notify: {to: team, message: m}}
    """)

    assert done.when("c") == "2026-03-08 10:00"


def test_a_failed_step_is_not_settled_and_only_what_comes_after_it_waits() -> None:
    done = run(
        """
        - {id: a, notify: {to: team, message: m}}
        - {id: b, after: [a], notify: {to: team, message: m}}
        - {id: c, notify: {to: team, message: m}}
        """,
        ("+0 days", effect("a", "failed", "HTTP 500")),
        until="+30 days",
    )

    assert done.last("a") == "failed (HTTP 500)"
    assert done.changes("b") == []
    assert done.last("c") == "done"
    assert done.status == "stuck"


# ---- until -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("after: [task], email: {template: t}", []),
        ("wait: 5 days, email: {template: t}", ["scheduled"]),
        ("survey: {kind: nps, template: t, remind: 1 day}", ["scheduled", "running", "open", "occurred"]),
        ("task: {title: T}", ["scheduled", "running", "open"]),
    ],
)
def test_until_skips_a_step_in_whatever_state_it_is(step: str, before: list[str]) -> None:
    done = run(
        f"""
        - {{id: login, milestone: {{event: login}}}}
        - {{id: task, task: {{title: T}}}}
        - {{id: a, until: login, {step}}}
        """,
        ("+36 hours", event("login")),
    )

    assert done.changes("a") == [*before, "skipped"]
    assert done.lines("a")[-1] == "2026-03-07 22:00 skipped (login was reached)"


def test_until_skips_what_runs_and_journals_its_outcome_only() -> None:
    done = run(
        """
        - {id: login, milestone: {event: login}}
        - {id: a, until: login, email: {template: t}}
        """,
        ("+0 days", effect("a", "pending")),
        ("+1 day", event("login")),
        ("+2 days", effect("a", "done")),
    )

    # What had been started did happen: its entry says so, the step stays skipped.
    assert done.changes("a") == ["scheduled", "running", "skipped", "done"]
    assert done.simulation.engine.state.steps["a"].phase == "skipped"


def test_until_skips_what_failed() -> None:
    done = run(
        """
        - {id: login, milestone: {event: login}}
        - {id: a, until: login, email: {template: t}}
        """,
        ("+0 days", effect("a", "failed")),
        ("+1 day", event("login")),
    )

    assert done.last("a") == "skipped (login was reached)"
    assert done.status == "completed"


def test_until_counts_for_a_milestone_that_is_not_yet_open() -> None:
    done = run(
        """
        - {id: task, task: {title: T}}
        - {id: login, after: [task], milestone: {event: login}}
        - {id: a, wait: 5 days, until: login, email: {template: t}}
        """,
        ("+1 day", event("login")),
        until="+10 days",
    )

    assert done.lines("a")[-1] == "2026-03-07 10:00 skipped (login was reached)"
    assert done.changes("login") == []


def test_until_one_of_several() -> None:
    done = run(
        """
        - {id: one, milestone: {event: one}}
        - {id: two, milestone: {event: two}}
        - {id: a, wait: 5 days, until: [one, two], email: {template: t}}
        """,
        ("+1 day", event("two")),
        until="+10 days",
    )

    assert done.last("a") == "skipped (two was reached)"


def test_until_a_milestone_reached_before_the_step_could_start() -> None:
    done = run(
        """
        - {id: one, milestone: {event: one}}
        - {id: a, after: [one], until: one, email: {template: t}}
        """,
        ("+1 day", event("one")),
    )

    assert done.lines("a") == ["2026-03-07 10:00 skipped (one was reached)"]


def test_until_leaves_alone_what_is_settled() -> None:
    done = run(
        """
        - {id: one, milestone: {event: one}}
        - {id: a, until: one, email: {template: t}}
        - {id: b, until: one, task: {title: T}, within: 1 day}
        """,
        ("+2 days", event("one")),
    )

    assert done.last("a") == "done"
    assert done.last("b").startswith("missed")


def test_until_a_late_reach_closes_the_task() -> None:
    done = run(
        """
        - {id: value, milestone: {event: report}, within: 14 days}
        - {id: rescue, after: [missed value], until: value, task: {title: Call}}
        - {id: celebrate, after: [reached value], email: {template: t}}
        """,
        ("+20 days", event("report")),
    )

    assert done.last("value") == "done late"
    assert done.lines("rescue")[-1] == "2026-03-26 10:00 skipped (value was reached)"
    assert done.when("celebrate") == "2026-03-26 10:00"


# ---- when ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "last"),
    [
        ("traits.seats > 5", "done"),
        ("traits.seats > 50", "skipped (when: traits.seats > 50)"),
        ("traits.plan == 'pro'", "done"),
        ("day == 3", "done"),
        ("reached('login')", "done"),
        ("missed('login')", "skipped (when: missed('login'))"),
        ("done('hello') and not skipped('hello')", "done"),
        ("count('login') == 2", "done"),
        ("result('login').event == 'login'", "done"),
        ("owner.specialist == 'onboarding'", "done"),
        ("variant('tone') == 'friendly'", "done"),
        ("nothing", "failed"),
        ("traits.nothing > 1", "failed"),
        ("result('hello').url", "failed"),
    ],
)
def test_when_is_looked_at_when_the_step_is_due(expression: str, last: str) -> None:
    done = run(
        f"""
        experiments: {{tone: {{friendly: 1, formal: 0}}}}
        steps:
          - {{id: hello, notify: {{to: team, message: m}}}}
          - {{id: specialist, assign: {{team: onboarding}}}}
          - {{id: login, milestone: {{event: login}}}}
          - {{id: a, wait: 3 days, when: "{expression}", email: {{template: t}}}}
        """,
        ("+1 day", event("login", "1")),
        ("+2 days", event("login", "2")),
        traits={"seats": 12, "plan": "pro"},
        until="+10 days",
    )

    assert done.last("a").startswith(last)
    assert done.times("a", last.split()[0]) == ["2026-03-09 10:00"]


def test_a_when_that_fails_names_what_is_missing_and_stops_nothing_else() -> None:
    done = run(
        """
        - {id: a, when: traits.seats > 5, email: {template: t}}
        - {id: b, wait: 1 day, email: {template: t}}
        """,
        until="+10 days",
    )

    assert done.changes("a") == ["scheduled", "failed"]
    assert "seats" in (done.reasons("a", "failed")[0] or "")
    assert done.last("b") == "done"


def test_when_is_looked_at_at_the_final_due_time() -> None:
    # Due on Saturday, when it was true; sent on Monday, when it is not.
    done = run(
        """
        - {id: login, milestone: {event: login}}
        - id: a
          wait: 1 day
          window: {days: mon-fri, from: "09:00", to: "17:00"}
          when: not reached('login')
          email: {template: t}
        """,
        ("+2 days", event("login")),
    )

    assert done.lines("a")[-1] == "2026-03-09 09:00 skipped (when: not reached('login'))"


def test_a_skip_by_when_needs_no_running() -> None:
    assert run('- {id: a, when: "false", email: {template: t}}').changes("a") == ["scheduled", "skipped"]


@pytest.mark.parametrize(
    ("expression", "result"), [("traits.seats > 5", "skipped"), ("traits.seats < 5", "skipped")]
)
def test_an_absent_optional_trait_makes_every_comparison_false(expression: str, result: str) -> None:
    done = run(f"""
      traits: {{seats: number?}}
      steps:
        - {{id: a, when: {expression}, email: {{template: t}}}}
    """)

    assert done.last("a").startswith(result)


def test_an_undeclared_trait_of_a_customer_is_accepted_and_cannot_be_read() -> None:
    done = run(
        """
        traits: {plan: text}
        steps:
          - {id: a, when: traits.extra == 1, email: {template: t}}
        """,
        traits={"plan": "pro", "extra": 1},
        until="+1 day",
    )

    assert done.last("a").startswith("failed")


def test_traits_items_undeclared_and_absent_fails() -> None:
    done = run("- {id: a, when: traits.items, email: {template: t}}", until="+1 day")

    assert done.last("a").startswith("failed")


def test_a_parameter_that_cannot_be_filled_in_fails_the_step() -> None:
    done = run(
        """
        - {id: a, provision: {system: s, with: {plan: "{{ traits.plan }}"}}}
        - {id: b, provision: {system: s, with: {n: "{{ traits.seats }}"}}}
        """,
        traits={"seats": 3},
        until="+1 day",
    )

    assert done.changes("a") == ["scheduled", "failed"]
    assert "plan" in done.last("a")
    assert done.effects[0].params["with"] == {"n": 3}


# ---- within ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("training: {session: s, template: t}", event("training.completed", session="s")),
        ("survey: {kind: nps, template: t}", event("survey.responded", step="a", score=3)),
        ("checkin: {template: t, every: 30 days, times: 1}", event("checkin.answered", step="a", answer="good")),
        ("milestone: {event: e}", event("e")),
        ("task: {title: T}", command("complete", "a")),
        ("request: {form: f, template: t}", event("request.submitted", step="a")),
    ],
)  # fmt: skip
def test_within_makes_an_open_step_missed_and_what_comes_later_makes_it_done_late(
    kind: str, answer: Input
) -> None:
    steps = f"""
      - {{id: a, wait: 1 day, within: 7 days, {kind}}}
      - {{id: missed, after: [missed a], notify: {{to: team, message: m}}}}
      - {{id: done, after: [done a], notify: {{to: team, message: m}}}}
      - {{id: both, after: [done a], when: done('a') and missed('a'), notify: {{to: team, message: m}}}}
    """

    in_time = run(steps, ("+8 days", answer))
    late = run(steps, ("+9 days", answer))

    assert in_time.lines("a")[-1] == "2026-03-14 10:00 done"
    assert [in_time.last(s).split()[0] for s in ("missed", "done", "both")] == ["skipped", "done", "skipped"]
    assert late.lines("a")[-2:] == [
        "2026-03-14 10:00 missed (the deadline passed)",
        "2026-03-15 10:00 done late",
    ]
    assert [late.last(s) for s in ("missed", "done", "both")] == ["done", "done", "done"]


def test_the_deadline_counts_from_the_opening_not_from_the_start() -> None:
    done = run(
        "- {id: a, within: 7 days, survey: {kind: nps, template: t}}",
        ("+0 days", effect("a", "pending")),
        ("+2 days", effect("a", "done")),
    )

    assert done.lines("a", "open", "missed") == [
        "2026-03-08 10:00 open",
        "2026-03-15 10:00 missed (the deadline passed)",
    ]


def test_a_deadline_keeps_the_wall_clock() -> None:
    done = run("- {id: a, within: 30 days, task: {title: T}}")

    assert done.when("a", "missed") == "2026-04-05 10:00"


def test_an_event_at_the_very_deadline_is_in_time() -> None:
    done = run("- {id: a, within: 7 days, milestone: {event: e}}", ("+7 days", event("e")))

    assert done.last("a") == "done"


def test_what_already_ran_is_not_undone_by_a_late_outcome() -> None:
    done = run(
        """
        - {id: value, milestone: {event: report}, within: 1 day}
        - {id: sorry, after: [missed value], email: {template: t}}
        """,
        ("+2 days", event("report")),
    )

    assert done.changes("sorry") == ["scheduled", "running", "done"]


# ---- milestones ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milestone", "reached"),
    [
        ("event: e", "2026-03-07 10:00"),
        ("event: [x, e]", "2026-03-07 10:00"),
        ("event: [x, f]", "2026-03-08 10:00"),
        ("event: e, times: 2", "2026-03-09 10:00"),
        ("event: [e, f], times: 2", "2026-03-08 10:00"),
        ("event: e, times: 4", "never"),
        ("event: e, where: properties.n > 1", "2026-03-09 10:00"),
        ("event: e, where: properties.n > 1, times: 2", "2026-03-10 10:00"),
        ("event: e, where: properties.n > traits.least", "2026-03-10 10:00"),
    ],
)
def test_a_milestone_waits_for_events(milestone: str, reached: str) -> None:
    done = run(
        f"- {{id: a, milestone: {{{milestone}}}}}",
        ("+1 day", event("e", "1", n=1)),
        ("+2 days", event("f", "2", n=1)),
        ("+3 days", event("e", "3", n=2)),
        ("+4 days", event("e", "4", n=3)),
        traits={"least": 2},
    )

    assert done.when("a", "done") == reached


def test_a_where_that_fails_does_not_count_and_is_journaled() -> None:
    done = run(
        "- {id: a, milestone: {event: e, where: properties.rows > 0}}",
        ("+1 day", event("e", "1")),
        ("+2 days", event("e", "2", rows=5)),
    )

    assert done.changes("a") == ["scheduled", "running", "open", "occurred", "done"]
    assert "rows" in (done.reasons("a", "occurred")[0] or "")
    assert done.status == "completed"


def test_a_milestone_reached_before_it_opened_settles_when_it_opens() -> None:
    done = run(
        """
        - {id: task, task: {title: T}}
        - {id: a, after: [task], milestone: {event: e}, within: 1 day}
        - {id: b, wait: 2 days, when: reached('a'), notify: {to: team, message: m}}
        - {id: c, after: [reached a], notify: {to: team, message: m}}
        """,
        ("+1 day", event("e")),
        ("+5 days", command("complete", "task")),
    )

    assert done.lines("a") == [
        "2026-03-11 10:00 scheduled for 2026-03-11 10:00",
        "2026-03-11 10:00 running",
        "2026-03-11 10:00 open",
        "2026-03-11 10:00 done",
    ]
    assert done.last("b") == "done"  # until it opens, reached(id) is already true
    assert done.when("c") == "2026-03-11 10:00"


@pytest.mark.parametrize(
    ("since", "reached"), [("enrolment", "2026-03-08 10:00"), ("open", "2026-03-10 10:00")]
)
def test_events_count_from_enrolment_or_since_the_opening(since: str, reached: str) -> None:
    done = run(
        f"- {{id: a, wait: 2 days, milestone: {{event: e, since: {since}}}}}",
        ("+1 day", event("e", "1")),
        ("+4 days", event("e", "2")),
    )

    assert done.when("a", "done") == reached


def test_one_event_does_not_reach_two_milestones_of_a_chain_that_count_since_their_opening() -> None:
    done = run(
        """
        - {id: a, milestone: {event: e}}
        - {id: b, after: [a], milestone: {event: e, since: open}}
        """,
        ("+1 day", event("e", "1")),
        ("+2 days", event("e", "2")),
    )

    assert [done.when("a", "done"), done.when("b", "done")] == ["2026-03-07 10:00", "2026-03-08 10:00"]


def test_an_event_may_reach_several_milestones() -> None:
    done = run(
        """
        - {id: a, milestone: {event: e}}
        - {id: b, milestone: {event: e, times: 2}}
        """,
        ("+1 day", event("e", "1")),
        ("+2 days", event("e", "2")),
    )

    assert [done.when("a", "done"), done.when("b", "done")] == ["2026-03-07 10:00", "2026-03-08 10:00"]


def test_the_result_of_a_milestone_names_the_event() -> None:
    done = run(
        """
        - {id: a, milestone: {event: [e, f]}}
        - {id: b, after: [a], when: result('a').event == 'f', notify: {to: team, message: m}}
        """,
        ("+1 day", event("f")),
    )

    assert done.last("b") == "done"


ALL = """
- {id: x, task: {title: X}, within: 5 days}
- {id: y, after: [gate], when: traits.y, task: {title: Y}}
- {id: gate, milestone: {event: gate}}
- {id: all, milestone: {all: [x, y]}}
- {id: then, after: [reached all], notify: {to: team, message: m}}
"""


@pytest.mark.parametrize(
    ("y", "script", "expected"),
    [
        (True, [("+1 day", "gate"), ("+2 days", "x"), ("+3 days", "y")], "2026-03-09 10:00 done"),
        # Skipped members do not hold it up; one done is enough.
        (False, [("+1 day", "gate"), ("+2 days", "x")], "2026-03-08 10:00 done"),
        (False, [("+2 days", "x"), ("+3 days", "gate")], "2026-03-09 10:00 done"),
        # A missed member holds it up until it is done late.
        (False, [("+1 day", "gate")], "2026-07-04 10:00 missed (journey ended)"),
        (False, [("+1 day", "gate"), ("+9 days", "x")], "2026-03-15 10:00 done"),
    ],
)
def test_all_joins_steps(y: bool, script: list[tuple[str, str]], expected: str) -> None:
    inputs = [(at, event(what) if what == "gate" else command("complete", what)) for at, what in script]

    done = run(ALL, *inputs, traits={"y": y})

    assert done.lines("all")[-1] == expected
    assert done.last("then").split()[0] == ("done" if "done" in expected else "skipped")


def test_all_with_every_member_skipped_can_never_come() -> None:
    done = run(
        ALL,
        ("+1 day", command("skip", "x")),
        ("+2 days", event("gate")),
        traits={"y": False},
    )

    assert done.lines("all")[-1].startswith("2026-03-08 10:00 skipped")
    assert done.lines("then") == ["2026-03-08 10:00 skipped ('reached all' can no longer come about)"]


def test_all_reached_before_it_opened_settles_when_it_opens() -> None:
    done = run(
        """
        - {id: x, notify: {to: team, message: m}}
        - {id: all, wait: 2 days, milestone: {all: [x]}}
        - {id: a, wait: 1 day, until: all, email: {template: t}}
        """,
    )

    assert done.when("all", "done") == "2026-03-08 10:00"
    assert done.last("a") == "skipped (all was reached)"


# ---- sign-up ---------------------------------------------------------------------------------------------


def test_steps_done_before_sign_up_are_skipped_at_enrolment() -> None:
    done = run(
        """
        - {id: a, email: {template: t}}
        - {id: b, after: [a], email: {template: t}}
        """,
        skip=["a"],
    )

    assert done.lines("a") == ["2026-03-06 10:00 skipped (already done at sign-up)"]
    assert done.last("b") == "done"


def test_a_journey_of_which_nothing_is_left_at_sign_up_completes_at_once() -> None:
    done = run("- {id: a, email: {template: t}}", skip=["a"])

    assert done.lines(None)[-1] == "2026-03-06 10:00 completed (all steps settled)"
