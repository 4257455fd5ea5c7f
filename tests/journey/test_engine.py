"""How the engine is driven: wake-ups on time, late and superfluous, inputs twice, views, and its state."""

from __future__ import annotations

from typing import Any

import pytest

from firstmile.journey import commands
from firstmile.journey.durations import DAY, HOUR, MINUTE, SECOND
from firstmile.journey.engine import PUNCTUAL, SEEN_EVENTS, Engine, enrol
from firstmile.journey.inputs import Command, CommandRejected, Event, Outcome, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.state import dump, load
from tests.journey.building import calendar, instant, local, route

START = "2026-03-06 10:00"
ON = calendar("Europe/Berlin")
AT = instant(START, ON)
WINDOW = '{days: mon-fri, from: "09:00", to: "17:00"}'


def enrolled(steps: str, **traits: Any) -> Engine:
    engine = enrol(route(steps), ON, Subject("c-1", traits=traits), AT)
    woken(engine, AT)
    return engine


def woken(engine: Engine, at: str | Instant) -> Engine:
    """Time comes to `at`, and every effect succeeds there and then."""
    now = at if isinstance(at, int) else instant(at, ON)
    engine.advance(now)
    while engine.effects:
        effects, engine.effects = engine.effects, []
        for effect in effects:
            engine.outcome(Outcome(effect.id, "done", now), now)
        engine.advance(now)
    return engine


def lines(engine: Engine, step: str | None) -> list[str]:
    return [
        f"{local(e.at, ON)} {e.change}"
        for e in sorted(engine.entries, key=lambda e: (e.at, e.number))
        if e.step == step
    ]


# ---- enrolment -------------------------------------------------------------------------------------------


def test_enrolment_opens_the_journal_and_starts_nothing() -> None:
    engine = enrol(route("- {id: a, email: {template: t}}"), ON, Subject("c-1"), AT)

    assert [entry.change for entry in engine.entries] == ["enrolled", "scheduled"]
    assert engine.effects == []
    assert engine.wake() == AT


# ---- late wake-ups ---------------------------------------------------------------------------------------


def test_after_a_late_wake_up_deadlines_take_their_nominal_instants() -> None:
    engine = enrolled("""
      - {id: a, within: 2 days, milestone: {event: e}}
      - {id: b, after: [missed a], milestone: {event: f}, within: 1 day}
      - {id: c, after: [missed b], email: {template: t}}
    """)

    woken(engine, "2026-03-20 12:00")

    assert lines(engine, "a")[-1] == "2026-03-08 10:00 missed"
    assert lines(engine, "b") == [
        "2026-03-08 10:00 scheduled",
        "2026-03-08 10:00 running",
        "2026-03-08 10:00 open",
        "2026-03-09 10:00 missed",
    ]
    assert lines(engine, "c")[-1] == "2026-03-20 12:00 done"


def test_after_a_late_wake_up_ends_takes_its_nominal_instant() -> None:
    engine = enrolled(
        "{ends: 5 days, steps: [{id: a, wait: 1 day, email: {template: t}}, {id: b, task: {title: T}}]}"
    )

    woken(engine, "2026-03-20 12:00")

    assert lines(engine, "a")[-1] == "2026-03-11 10:00 skipped"
    assert lines(engine, "b")[-1] == "2026-03-11 10:00 missed"
    assert lines(engine, None)[-1] == "2026-03-11 10:00 completed"


def test_after_a_late_wake_up_a_pause_ends_when_it_should_have() -> None:
    engine = enrolled("- {id: a, wait: 2 days, within: 3 days, milestone: {event: e}}")
    commands.apply(engine, Command("pause", until=AT + 4 * DAY), AT + DAY)

    woken(engine, AT + 30 * DAY)

    assert lines(engine, None)[-2:] == ["2026-03-10 10:00 resumed", "2026-03-14 10:00 completed"]
    assert lines(engine, "a")[-2:] == ["2026-03-11 10:00 open", "2026-03-14 10:00 missed"]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ("2026-03-09 13:00", "2026-03-09 13:00 done"),
        ("2026-03-09 17:00", "2026-03-10 09:00 done"),
        ("2026-03-13 20:00", "2026-03-16 09:00 done"),
    ],
)
def test_after_a_late_wake_up_effects_are_checked_against_the_window_then(late: str, expected: str) -> None:
    engine = enrolled(f"- {{id: a, wait: 3 days, window: {WINDOW}, email: {{template: t}}}}")

    woken(engine, late)
    while (wake := engine.wake()) is not None and not engine.finished:
        woken(engine, wake)

    assert lines(engine, "a")[-1] == expected


def test_after_a_late_wake_up_the_cap_holds() -> None:
    engine = enrolled("""
      defaults: {cap: {messages: 1, per: 1 day}}
      steps:
        - {id: a, wait: 2 days, email: {template: t}}
        - {id: b, wait: 1 day, email: {template: t}}
    """)

    woken(engine, "2026-03-20 12:00")
    woken(engine, "2026-03-21 12:00")

    assert [lines(engine, s)[-1] for s in "ba"] == ["2026-03-20 12:00 done", "2026-03-21 12:00 done"]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        # The opening before the moment passed, the moment did not: now, if the window is open …
        ("2026-03-13 16:00", "2026-03-13 16:00 done"),
        # … else at the next opening before the moment, else it is too late.
        ("2026-03-13 18:00", "2026-03-13 18:00 skipped"),
        ("2026-03-12 18:00", "2026-03-13 09:00 done"),
    ],
)
def test_after_a_late_wake_up_a_moment_before_is_not_missed_by_waiting(late: str, expected: str) -> None:
    engine = enrolled(
        f"- {{id: a, wait: 1 day before d, window: {WINDOW}, email: {{template: t}}}}", d="2026-03-15"
    )
    assert local(engine.wake(), ON) == "2026-03-13 09:00"

    if late < "2026-03-13":
        woken(engine, late)
    woken(engine, late if late > "2026-03-13" else "2026-03-13 09:00")

    assert lines(engine, "a")[-1] == expected


def test_a_moment_inside_the_window_that_is_woken_too_late_is_too_late() -> None:
    engine = enrolled(
        f"- {{id: a, wait: 1 day before d, window: {WINDOW}, email: {{template: t}}}}",
        d="2026-03-13T11:00:00Z",
    )

    woken(engine, "2026-03-12 18:00")

    assert lines(engine, "a")[-1] == "2026-03-12 18:00 skipped"


@pytest.mark.parametrize(
    ("late", "at"), [(0, "10:00"), (SECOND, "10:00"), (PUNCTUAL, "10:00"), (PUNCTUAL + SECOND, "10:00:06")]
)
def test_a_wake_up_that_is_hardly_late_is_on_time(late: int, at: str) -> None:
    engine = enrolled("- {id: a, wait: 1 day, email: {template: t}}")

    engine.advance(AT + DAY + late)

    assert lines(engine, "a")[-1] == f"2026-03-07 {at} running"


def test_nothing_starts_before_what_was_taken_into_account() -> None:
    # The event came two seconds after the due time, before the timer: it counts, so the start comes after it.
    engine = enrolled(
        "- {id: a, wait: 1 day, when: reached('m'), email: {template: t}}\n- {id: m, milestone: {event: e}}"
    )

    engine.event(Event("e", "1"), AT + DAY + 2 * SECOND)
    engine.advance(AT + DAY + 3 * SECOND)

    assert lines(engine, "a")[-1] == "2026-03-07 10:00:02 running"


def test_an_input_finds_deadlines_that_were_not_woken_for() -> None:
    engine = enrolled("- {id: a, within: 2 days, milestone: {event: e}}\n- {id: x, milestone: {event: x}}")

    engine.event(Event("e", "1"), AT + 3 * DAY)

    assert lines(engine, "a")[-2:] == ["2026-03-08 10:00 missed", "2026-03-09 10:00 done"]
    assert engine.entries[-1].late


def test_an_input_after_an_end_that_was_not_woken_for_changes_nothing() -> None:
    engine = enrolled("{ends: 2 days, steps: [{id: a, milestone: {event: e}}]}")

    assert not engine.event(Event("e", "1"), AT + 3 * DAY)

    assert lines(engine, None)[-1] == "2026-03-08 10:00 completed"


def test_a_command_that_an_unseen_deadline_makes_senseless_is_rejected() -> None:
    engine = enrolled("{ends: 2 days, steps: [{id: a, milestone: {event: e}}]}")

    with pytest.raises(CommandRejected, match="completed"):
        commands.apply(engine, Command("skip", step="a"), AT + 3 * DAY)


def test_superfluous_wake_ups_change_nothing() -> None:
    engine = enrolled(
        "- {id: a, wait: 2 days, email: {template: t}}\n- {id: b, within: 9 days, task: {title: T}}"
    )
    before = (engine.state.copy(), list(engine.entries))

    for minute in range(0, 48 * 60, 61):
        engine.advance(AT + minute * MINUTE)

    assert (engine.state, engine.entries) == before


# ---- events ----------------------------------------------------------------------------------------------


def test_events_that_nobody_listens_to_leave_no_trace() -> None:
    engine = enrolled("- {id: a, milestone: {event: e}}")
    before = engine.state.copy()

    assert not engine.event(Event("other", "1"), AT + DAY)
    assert engine.state == before


def test_events_are_listened_to_that_are_only_counted() -> None:
    engine = enrolled("- {id: a, wait: 9 days, when: count('e') > 1, email: {template: t}}")

    assert engine.event(Event("e", "1"), AT + DAY)
    assert engine.event(Event("e", "2"), AT + DAY)
    assert not engine.event(Event("e", "2"), AT + DAY)
    assert engine.state.counts == {"e": 2}


def test_ids_of_events_are_remembered_up_to_a_bound() -> None:
    engine = enrolled("- {id: a, wait: 9 days, when: count('e') > 1, email: {template: t}}")
    engine.state.seen = [f"{number:016}" for number in range(SEEN_EVENTS)]

    engine.event(Event("e", "new"), AT + DAY)

    assert len(engine.state.seen) == SEEN_EVENTS
    assert engine.state.seen[0] == f"{1:016}"
    assert not engine.event(Event("e", "new"), AT + DAY)


def test_a_remark_is_written_down_and_changes_nothing() -> None:
    engine = enrolled("- {id: a, task: {title: T}}")

    engine.remark("a malformed signal was ignored", AT + HOUR)

    assert lines(engine, None)[-1] == "2026-03-06 11:00 occurred"


# ---- views, facts and state ------------------------------------------------------------------------------


def test_a_view_says_where_the_customer_stands() -> None:
    engine = enrolled("""
      ends: 90 days
      onboarded: {milestone: m}
      stages: [{stage: new, until: m}, {stage: grown}]
      steps:
        - {id: done, email: {template: t}}
        - {id: scheduled, wait: 2 days, email: {template: t}}
        - {id: open, within: 9 days, task: {title: T}}
        - {id: waiting, after: [open], email: {template: t}}
        - {id: owner, assign: {team: team}}
        - {id: m, milestone: {event: m}}
    """)

    view = engine.view()

    assert view.status == "active"
    assert view.stage == "new"
    assert view.owners == {"owner": "team"}
    assert view.number == engine.state.number
    assert {step: (phase, at and local(at, ON)) for step, (phase, at) in view.steps.items()} == {
        "done": ("done", START),
        "scheduled": ("scheduled", "2026-03-08 10:00"),
        "open": ("open", "2026-03-15 10:00"),
        "waiting": ("waiting", None),
        "owner": ("done", START),
        "m": ("open", None),
    }
    assert local(view.next, ON) == "2026-03-08 10:00"
    assert local(view.ends, ON) == "2026-06-04 10:00"
    assert view.onboarded_at is None


def test_facts_are_those_of_the_instant_that_is_asked_for() -> None:
    engine = enrolled("- {id: a, task: {title: T}}", plan="pro")

    assert engine.facts(AT).day == 0
    assert engine.facts(instant("2026-03-07 00:00", ON)).day == 1
    assert engine.facts(instant("2026-03-06 23:59", ON)).day == 0
    assert engine.facts(AT).traits == {"plan": "pro"}


def test_the_numbers_of_outcomes_are_reserved_when_their_effects_start() -> None:
    engine = enrol(
        route("- {id: a, email: {template: t}}\n- {id: b, email: {template: t}}"), ON, Subject("c"), AT
    )
    engine.advance(AT)
    first, second = engine.effects

    engine.outcome(Outcome(second.id, "done", AT + SECOND), AT + SECOND)
    engine.outcome(Outcome(first.id, "failed", AT + 2 * SECOND), AT + 2 * SECOND)

    numbers = {entry.number: entry.change for entry in engine.entries if entry.change in ("done", "failed")}
    assert numbers == {second.number: "done", first.number: "failed"}
    assert len({entry.number for entry in engine.entries}) == len(engine.entries)


def test_a_fresh_state_is_small_and_comes_back_as_it_was() -> None:
    engine = enrol(route("- {id: a, wait: 2 days, email: {template: t}}"), ON, Subject("c-1"), AT)
    dumped = dump(engine.state)

    assert dumped["steps"]["a"] == {
        "phase": "scheduled",
        "ready": AT,
        "base": AT + 2 * DAY,
        "asked": AT + 2 * DAY,
        "due": AT + 2 * DAY,
        "set_at": AT,
        "first": AT + 2 * DAY,
    }
    assert load(dumped) == engine.state


def test_a_copy_shares_nothing_that_changes() -> None:
    steps = """
      stop_when: [{event: gone, undo: true}]
      steps:
        - {id: a, provision: {system: s, undo: true}}
        - {id: m, milestone: {event: e, times: 3}}
        - {id: s, survey: {kind: nps, template: t, remind: 1 day}}
        - {id: c, checkin: {template: t, every: 3 days, times: 3}}
        - {id: o, assign: {team: t}}
    """
    engine = enrolled(steps)
    engine.event(Event("e", "1"), AT + HOUR)
    before = dump(engine.state)

    ahead = Engine(engine.route, ON, engine.state.copy())
    ahead.event(Event("e", "2"), AT + 2 * HOUR)
    ahead.event(Event("survey.responded", "3", properties={"step": "s", "score": 3}), AT + 2 * HOUR)
    ahead.event(Event("checkin.answered", "4", properties={"step": "c", "answer": "help"}), AT + 2 * HOUR)
    commands.apply(ahead, Command("traits", traits={"x": 1}), AT + 3 * HOUR)
    commands.apply(ahead, Command("assign", step="o", owner="eve"), AT + 3 * HOUR)
    woken(ahead, AT + 9 * DAY)
    ahead.event(Event("gone", "5"), AT + 9 * DAY)
    woken(ahead, AT + 9 * DAY)

    assert dump(engine.state) == before
    assert ahead.finished
