"""Windows, spread and cap as steps meet them (JOURNEYS §4, rules 3 to 6)."""

from __future__ import annotations

from typing import Any

import pytest

from firstmile.journey.durations import MINUTE, SECOND
from tests.journey.building import Run, command, effect, event, instant, run

WINDOW = '{days: mon-fri, from: "09:00", to: "17:00"}'
OFFICE = f"{{window: {WINDOW}}}"


def one(wait: str, defaults: str = OFFICE, kind: str = "email: {template: t}", more: str = "") -> str:
    return f"""
      defaults: {defaults}
      steps:
        - {{id: a, wait: {wait}, {more} {kind}}}
    """


# ---- windows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "wait", "expected"),
    [
        ("2026-03-06 10:00", "0 days", "2026-03-06 10:00"),
        ("2026-03-06 10:00", "2 hours", "2026-03-06 12:00"),
        ("2026-03-06 16:59", "0 days", "2026-03-06 16:59"),
        ("2026-03-06 17:00", "0 days", "2026-03-09 09:00"),
        ("2026-03-06 10:00", "1 day", "2026-03-09 09:00"),
        ("2026-03-06 10:00", "3 days", "2026-03-09 10:00"),
        ("2026-03-05 03:00", "1 day", "2026-03-06 09:00"),
        # Business days whose own day has an opening: that one, even if it is earlier in the day.
        ("2026-03-05 18:30", "1 business day", "2026-03-06 09:00"),
        ("2026-03-06 18:30", "1 business day", "2026-03-09 09:00"),
        ("2026-03-06 10:00", "1 business day", "2026-03-09 10:00"),
        ("2026-03-07 12:00", "1 business day", "2026-03-09 12:00"),
        ("2026-03-06 03:00", "1 business day", "2026-03-09 09:00"),
        # Compounds that contain business days do not get that (§7.4).
        ("2026-03-05 18:30", "1 business day 1 hour", "2026-03-09 09:00"),
        ("2026-03-05 18:30", "1 day 1 business day", "2026-03-10 09:00"),
        ("2026-03-05 18:30", "1 day", "2026-03-09 09:00"),
    ],
)
def test_a_due_time_outside_the_window_moves_to_an_opening(at: str, wait: str, expected: str) -> None:
    done = run(one(wait), at=at)

    assert done.due("a") == [expected]
    assert done.when("a") == expected


def test_business_days_whose_own_day_has_no_opening_move_to_the_next() -> None:
    done = run(
        one("1 business day", '{window: {days: [tue, thu], from: "09:00", to: "17:00"}}'),
        at="2026-03-05 10:00",
    )

    assert done.when("a") == "2026-03-10 09:00"


def test_a_holiday_that_the_window_skips_is_no_own_day() -> None:
    window = '{window: {days: mon-sat, from: "09:00", to: "12:00", holidays: skip}}'

    assert run(one("1 day", window), at="2026-04-02 10:00", country="DE").when("a") == "2026-04-04 09:00"


@pytest.mark.parametrize(
    ("kind", "windowed"),
    [
        ("email: {template: t}", True),
        ("email: {template: t, class: marketing}", True),
        ("email: {template: t, class: transactional}", False),
        ("training: {session: s, template: t}", True),
        ("survey: {kind: nps, template: t}", True),
        ("checkin: {template: t}", True),
        ("checkin: {by: call}", True),
        ("request: {form: f, template: t}", True),
        ("webhook: {system: s, class: lifecycle}", True),
        ("webhook: {system: s, class: transactional}", False),
        ("webhook: {system: s}", False),
        ("milestone: {event: e}", False),
        ("provision: {system: s}", False),
        ("assign: {team: t}", False),
        ("task: {title: T}", False),
        ("notify: {to: team, message: m}", False),
    ],
)
def test_customer_facing_kinds_default_to_the_default_window(kind: str, windowed: bool) -> None:
    done = run(one("1 day", kind=kind), until="+10 days")

    assert done.when("a") == ("2026-03-09 09:00" if windowed else "2026-03-07 10:00")


@pytest.mark.parametrize(
    ("window", "kind", "expected"),
    [
        ("anytime", "email: {template: t}", "2026-03-07 10:00"),
        ('{days: daily, from: "12:00", to: "13:00"}', "email: {template: t}", "2026-03-07 12:00"),
        (WINDOW, "email: {template: t, class: transactional}", "2026-03-09 09:00"),
        (WINDOW, "task: {title: T}", "2026-03-09 09:00"),
        (WINDOW, "milestone: {event: e}", "2026-03-09 09:00"),
    ],
)
def test_a_window_of_the_step_replaces_the_default_whole(window: str, kind: str, expected: str) -> None:
    done = run(one("1 day", kind=kind, more=f"window: {window},"), until="+10 days")

    assert done.when("a") == expected


def test_a_holiday_rule_of_the_default_does_not_leak_into_the_steps_own_window() -> None:
    defaults = '{window: {days: mon-fri, from: "09:00", to: "17:00", holidays: skip}}'

    own = run(one("1 day", defaults, more=f"window: {WINDOW},"), at="2026-04-02 10:00", country="DE")

    assert own.when("a") == "2026-04-03 10:00"
    assert run(one("1 day", defaults), at="2026-04-02 10:00", country="DE").when("a") == "2026-04-07 09:00"


def test_a_message_that_may_not_go_out_now_says_until_when_it_may() -> None:
    done = run(one("0 days"))

    assert done.effects[0].not_after == instant("2026-03-06 17:00", done.calendar)


# ---- spread ----------------------------------------------------------------------------------------------


def spread_of(done: Run, opening: str, step: str = "a") -> int:
    found = [entry.due for entry in done.journal if entry.step == step and entry.change == "scheduled"]
    assert found[-1] is not None
    return found[-1] - instant(opening, done.calendar)


def test_a_due_time_moved_onto_an_opening_is_spread_within_bounds() -> None:
    defaults = f"{{window: {WINDOW}, spread: 30 minutes}}"

    delays = [spread_of(run(one("1 day", defaults), id=f"c-{n}"), "2026-03-09 09:00") for n in range(200)]

    assert min(delays) >= 0
    assert max(delays) < 30 * MINUTE
    assert len(set(delays)) > 150
    assert sum(d < 15 * MINUTE for d in delays) in range(70, 130)


def test_spread_is_a_pure_function_of_subject_step_and_occurrence() -> None:
    defaults = f"{{window: {WINDOW}, spread: 30 minutes}}"
    two = f"""
      defaults: {defaults}
      steps:
        - {{id: a, wait: 1 day, email: {{template: t}}}}
        - {{id: b, wait: 1 day, email: {{template: t}}}}
    """

    assert run(one("1 day", defaults)).due("a") == run(one("1 day", defaults)).due("a")
    assert run(two).due("a") == run(one("1 day", defaults)).due("a")
    assert run(two).due("a") != run(two).due("b")
    # Whoever signs up a week later waits as long after the opening.
    later = run(one("1 day", defaults), at="2026-03-13 10:00")
    assert spread_of(later, "2026-03-16 09:00") == spread_of(run(one("1 day", defaults)), "2026-03-09 09:00")


@pytest.mark.parametrize("wait", ["0 days", "2 hours", "3 days", "1 business day"])
def test_a_due_time_inside_the_window_is_not_spread(wait: str) -> None:
    done = run(one(wait, f"{{window: {WINDOW}, spread: 3 hours}}"))

    assert done.when("a").endswith(("10:00", "12:00"))


def test_a_due_time_that_is_the_opening_is_not_spread() -> None:
    done = run(one("3 days", f"{{window: {WINDOW}, spread: 3 hours}}"), at="2026-03-06 09:00")

    assert done.when("a") == "2026-03-09 09:00"


def test_spread_is_cut_so_that_it_stays_inside_the_window() -> None:
    defaults = '{window: {days: mon-fri, from: "09:00", to: "09:10"}, spread: 5 hours}'

    delays = [spread_of(run(one("1 day", defaults), id=f"c-{n}"), "2026-03-09 09:00") for n in range(60)]

    assert max(delays) < 10 * MINUTE
    assert len(set(delays)) > 40


def test_reminders_and_occurrences_are_spread_each_in_its_own_way() -> None:
    done = run(
        f"""
        defaults: {{window: {WINDOW}, spread: 3 hours}}
        steps:
          - {{id: a, wait: 1 day, checkin: {{template: t, every: 7 days, times: 3}}}}
        """
    )

    times = done.times("a", "occurred")
    assert [time[:10] for time in times] == ["2026-03-09", "2026-03-16", "2026-03-23"]
    assert len({time[11:] for time in times}) == 3


# ---- cap -------------------------------------------------------------------------------------------------


def capped(
    steps: str, messages: int = 1, per: str = "1 day", window: str = "anytime", spread: str = "0 minutes"
) -> str:
    return f"""
defaults: {{window: {window}, spread: {spread}, cap: {{messages: {messages}, per: {per}}}}}
steps:
{steps}
"""


def emails(*waits: str) -> str:
    return "\n".join(
        f"  - {{id: {chr(97 + n)}, wait: {wait}, email: {{template: t}}}}" for n, wait in enumerate(waits)
    )


def starts(done: Run) -> dict[str, str]:
    return {step: done.when(step) for step in dict.fromkeys(e.step for e in done.journal if e.step)}


@pytest.mark.parametrize(
    ("messages", "per", "waits", "expected"),
    [
        (1, "1 day", ["0 days", "2 hours"], ["03-06 10:00", "03-07 10:00"]),
        (1, "1 day", ["0 days", "0 days", "0 days"], ["03-06 10:00", "03-07 10:00", "03-08 10:00"]),
        (2, "1 day", ["0 days", "0 days", "0 days"], ["03-06 10:00", "03-06 10:00", "03-07 10:00"]),
        (2, "1 day", ["0 days", "4 hours", "5 hours"], ["03-06 10:00", "03-06 14:00", "03-07 10:00"]),
        # A message exactly `per` ago no longer counts.
        (1, "1 day", ["0 days", "1 day"], ["03-06 10:00", "03-07 10:00"]),
        (1, "2 hours", ["0 days", "1 hour", "90 minutes"], ["03-06 10:00", "03-06 12:00", "03-06 14:00"]),
        # `per` is added by rule 1: a day is a calendar day, also when the clocks change.
        (1, "1 day", ["22 days", "22 days"], ["03-28 10:00", "03-29 10:00"]),
        (1, "24 hours", ["22 days", "22 days"], ["03-28 10:00", "03-29 11:00"]),
        (1, "1 business day", ["0 days", "1 hour"], ["03-06 10:00", "03-09 10:00"]),
        # Rolling, not by the calendar's day.
        (1, "1 day", ["12 hours", "16 hours"], ["03-06 22:00", "03-07 22:00"]),
    ],
)
def test_the_cap_is_rolling(messages: int, per: str, waits: list[str], expected: list[str]) -> None:
    done = run(capped(emails(*waits), messages, per))

    assert list(starts(done).values()) == [f"2026-{time}" for time in expected]


def test_a_message_that_the_cap_moves_is_scheduled_again() -> None:
    done = run(capped(emails("0 days", "2 hours")))

    assert done.lines("b") == [
        "2026-03-06 10:00 scheduled for 2026-03-06 12:00",
        "2026-03-06 12:00 scheduled for 2026-03-07 10:00",
        "2026-03-07 10:00 running",
        "2026-03-07 10:00 done",
    ]


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        ("email: {template: t}", True),
        ("email: {template: t, class: marketing}", True),
        ("email: {template: t, class: transactional}", False),
        ("survey: {kind: nps, template: t}", True),
        ("checkin: {template: t}", True),
        ("checkin: {by: call}", False),
        ("request: {form: f, template: t}", True),
        ("training: {session: s, template: t}", True),
        ("webhook: {system: s, class: lifecycle}", True),
        ("webhook: {system: s, class: transactional}", False),
        ("webhook: {system: s}", False),
        ("notify: {to: team, message: m}", False),
        ("task: {title: T}", False),
    ],
)
def test_what_waits_and_counts_under_the_cap(kind: str, waits: bool) -> None:
    after = run(capped(f"  - {{id: a, email: {{template: t}}}}\n  - {{id: b, {kind}}}"), until="+9 days")
    before = run(capped(f"  - {{id: b, {kind}}}\n  - {{id: a, email: {{template: t}}}}"), until="+9 days")

    assert after.when("b") == ("2026-03-07 10:00" if waits else "2026-03-06 10:00")
    assert before.when("a") == ("2026-03-07 10:00" if waits else "2026-03-06 10:00")


def test_a_capped_message_moves_into_its_window_and_is_spread_there() -> None:
    defaults: Any = {"window": WINDOW, "spread": "30 minutes"}
    inside = run(capped(emails("0 days", "1 hour"), **defaults), at="2026-03-05 10:00")
    outside = run(capped(emails("0 days", "1 hour"), **defaults))

    assert inside.when("b") == "2026-03-06 10:00"
    assert inside.due("b") == ["2026-03-05 11:00", "2026-03-06 10:00"]
    assert "2026-03-09 09:00" <= outside.when("b") < "2026-03-09 09:30"
    assert spread_of(outside, "2026-03-09 09:00", "b") % SECOND == 0


def test_among_several_that_wait_the_due_time_decides_then_the_place_in_the_file() -> None:
    done = run(capped(emails("0 days", "3 hours", "2 hours", "2 hours", "1 hour")))

    assert starts(done) == {
        "a": "2026-03-06 10:00",
        "e": "2026-03-07 10:00",
        "c": "2026-03-08 10:00",
        "d": "2026-03-09 10:00",
        "b": "2026-03-10 10:00",
    }


def test_one_that_waited_goes_before_one_that_becomes_due_at_that_instant() -> None:
    done = run(capped(emails("1 day", "0 days", "1 hour")))

    assert starts(done) == {
        "b": "2026-03-06 10:00",
        "c": "2026-03-07 10:00",
        "a": "2026-03-08 10:00",
    }


@pytest.mark.parametrize("outcome", ["failed", "skipped", "deferred"])
def test_a_message_that_came_to_nothing_gives_back_its_place(outcome: str) -> None:
    fields: dict[str, Any] = {"until": 1773100800000000} if outcome == "deferred" else {}  # 2026-03-10T00:00Z
    done = run(
        capped(emails("0 days", "1 hour")),
        ("+0 days", effect("a", "pending")),
        ("+5 hours", effect("a", outcome, "why", **fields)),
        until="+30 days",
    )

    assert done.due("b") == ["2026-03-06 11:00", "2026-03-07 10:00", "2026-03-06 15:00"]
    assert done.when("b") == "2026-03-06 15:00"


def test_a_place_given_back_goes_to_the_one_that_has_waited_longest() -> None:
    done = run(
        capped(emails("0 days", "2 hours", "1 hour")),
        ("+0 days", effect("a", "pending")),
        ("+5 hours", effect("a", "failed", "why")),
        until="+30 days",
    )

    assert done.when("c") == "2026-03-06 15:00"
    assert done.when("b") == "2026-03-07 15:00"


def test_a_message_in_flight_counts() -> None:
    done = run(capped(emails("0 days", "1 hour")), ("+0 days", effect("a", "pending")), until="+5 days")

    assert done.when("b") == "2026-03-07 10:00"


def test_a_message_skipped_in_flight_counts_unless_it_came_to_nothing() -> None:
    sent = run(
        capped(emails("0 days", "1 hour")),
        ("+0 days", effect("a", "pending")),
        ("+30 minutes", command("skip", "a")),
        ("+2 hours", effect("a", "done")),
    )

    assert sent.when("b") == "2026-03-07 10:00"


def test_reminders_wait_and_count() -> None:
    done = run(
        capped("""
  - {id: a, survey: {kind: nps, template: t, remind: 2 days}, within: 6 days}
  - {id: b, wait: 2 days 1 hour, email: {template: t}}
  - {id: c, wait: 3 days 20 hours, email: {template: t}}
"""),
    )

    # Reminders are due on the 8th and the 10th at 10:00; the second waits behind `c`, which was due before it.
    assert done.when("b") == "2026-03-09 10:00"
    assert done.when("c") == "2026-03-10 10:00"
    assert done.times("a", "occurred") == ["2026-03-08 10:00", "2026-03-11 10:00"]


def test_a_reminder_that_the_cap_would_move_past_the_deadline_does_not_go_out() -> None:
    done = run(
        capped(
            """
  - {id: b, wait: 20 hours, email: {template: t}}
  - {id: a, survey: {kind: nps, template: t, remind: 1 day}, within: 30 hours}
""",
            messages=1,
            per="20 hours",
        )
    )

    assert done.changes("a") == ["scheduled", "running", "open", "missed"]


def test_run_now_is_not_held_back_by_the_cap_but_counts() -> None:
    done = run(
        capped(emails("0 days", "5 hours", "6 hours")),
        ("+1 hour", command("run_now", "b")),
    )

    assert done.when("b") == "2026-03-06 11:00"
    # At 10:00 the next day one message is left in the last day, of which there may be none.
    assert done.when("c") == "2026-03-07 11:00"


def test_a_capped_step_whose_reason_goes_away_does_not_go_out() -> None:
    done = run(
        capped("""
  - {id: a, email: {template: t}}
  - {id: m, milestone: {event: m}}
  - {id: b, until: m, email: {template: t}}
"""),
        ("+5 hours", event("m")),
    )

    assert done.changes("b") == ["scheduled", "scheduled", "skipped"]


def test_no_cap_no_waiting() -> None:
    done = run(emails("0 days", "0 days", "0 days").replace("  -", "-"))

    assert set(starts(done).values()) == {"2026-03-06 10:00"}
