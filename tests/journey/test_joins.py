"""A milestone that joins steps and was missed is done, late, once the last of them is (JOURNEYS §3)."""

from __future__ import annotations

from tests.journey.building import command, run

LATE = """
- {id: x, task: {title: X}}
- {id: y, task: {title: Y}}
- {id: all, milestone: {all: [x, y]}, within: 5 days}
- {id: then, after: [reached all], notify: {to: team, message: m}}
- {id: rescue, after: [missed all], until: all, task: {title: R}}
"""


def test_a_missed_join_is_done_late_with_the_last_of_its_steps() -> None:
    done = run(LATE, ("+1 day", command("complete", "x")), ("+9 days", command("complete", "y")))

    assert done.lines("all")[-2:] == [
        "2026-03-11 10:00 missed (the deadline passed)",
        "2026-03-15 10:00 done late",
    ]
    assert done.last("then") == "done"
    assert done.last("rescue") == "skipped (all was reached)"


def test_a_missed_join_stays_missed_when_all_of_its_steps_are_skipped() -> None:
    done = run(LATE, ("+8 days", command("skip", "x")), ("+9 days", command("skip", "y")))

    assert done.last("all") == "missed (the deadline passed)"
    assert done.last("then").startswith("skipped")
