"""The pace of a bulk job: at its rate over the whole, and never in a burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.pace import BURST_SECONDS, CATCHING_UP, LARGEST, Pace, Turn


def worked(rate: float, customers: int, overheads: list[float]) -> tuple[list[float], list[Turn]]:
    """When each customer has their turn, if every stretch costs this much time beyond its own pace."""
    pace, now, at, turns = Pace(rate, due=0.0), 0.0, list[float](), list[Turn]()
    while len(at) < customers:
        now = max(now, pace.due)
        turn = pace.turn(customers - len(at), now)
        turns.append(turn)
        for place in range(turn.size):
            at.append(max(now, now - turn.late + place * turn.spacing))
        now = at[-1] + overheads[len(turns) % len(overheads)]
    return at, turns


@given(st.floats(0.05, 50), st.integers(1, 600), st.lists(st.floats(0, 300), min_size=1, max_size=5))
def test_no_stretch_of_time_sees_more_than_the_rate_and_one_burst(
    rate: float, customers: int, overheads: list[float]
) -> None:
    at, _ = worked(rate, customers, overheads)
    burst = max(1.0, BURST_SECONDS * rate)

    for first in range(0, customers, max(1, customers // 20)):
        for last in range(first + 1, customers, max(1, customers // 20)):
            allowed = (at[last] - at[first]) * rate * CATCHING_UP + 2 * burst + 1
            assert last - first <= allowed + 1e-6


@given(st.floats(1, 50), st.floats(0, 0.5))
def test_what_a_stretch_costs_beside_its_pace_does_not_slow_the_job(rate: float, overhead: float) -> None:
    customers = round(rate * 100) + 1

    at, _ = worked(rate, customers, [overhead])

    assert (customers - 1) / at[-1] == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize("lost", [15.0, 60.0])
def test_the_time_that_a_killed_worker_cost_is_caught_up_slowly(lost: float) -> None:
    rate, overheads = 10.0, [0.1] * 50 + [lost] + [0.1] * 349
    at, turns = worked(rate, 20_000, overheads)

    assert len(at) / at[-1] == pytest.approx(rate, rel=0.05)
    assert max(turn.late for turn in turns) <= 2.0
    assert min(turn.spacing for turn in turns) == pytest.approx(1 / rate / CATCHING_UP)


def test_a_stretch_is_about_five_seconds_and_never_empty() -> None:
    assert [Pace(rate, 0.0).turn(1_000, 0.0).size for rate in (0.1, 1, 10, 25, 50)] == [1, 5, 50, 50, LARGEST]
    assert Pace(10, 0.0).turn(3, 0.0).size == 3
