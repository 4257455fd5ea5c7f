"""Experiments: the variant is a pure function of experiment and subject, in proportion to the weights."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.experiments import draw, fraction
from tests.journey.building import run


def test_the_same_subject_always_sees_the_same_variant() -> None:
    # Written down: a change here would change what customers see while they are on their way.
    assert [draw("tone", {"friendly": 50, "formal": 50}, f"c-{n}") for n in range(8)] == [
        "formal", "formal", "formal", "formal", "formal", "formal", "formal", "friendly",
    ]  # fmt: skip


def test_the_draw_is_sha_256() -> None:
    digest = hashlib.sha256(b"experiment\x1ftone\x1fc-1").digest()

    assert fraction("experiment", "tone", "c-1") == int.from_bytes(digest[:8], "big")


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"a": 50, "b": 50}, {"a": 0.5, "b": 0.5}),
        ({"a": 1, "b": 3}, {"a": 0.25, "b": 0.75}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"a": 0, "b": 5}, {"b": 1.0}),
        ({"a": 100}, {"a": 1.0}),
    ],
)
def test_variants_come_in_proportion_to_their_weights(
    weights: dict[str, int], shares: dict[str, float]
) -> None:
    drawn = Counter(draw("tone", weights, f"c-{n}") for n in range(20_000))

    assert {variant: pytest.approx(count / 20_000, abs=0.012) for variant, count in drawn.items()} == shares


def test_experiments_are_independent_of_each_other() -> None:
    both = Counter(
        (draw("one", {"a": 1, "b": 1}, f"c-{n}"), draw("two", {"a": 1, "b": 1}, f"c-{n}"))
        for n in range(8_000)
    )

    assert all(1_850 < count < 2_150 for count in both.values())
    assert len(both) == 4


@given(st.text(), st.dictionaries(st.text(min_size=1), st.integers(0, 1000), min_size=1), st.text())
def test_a_variant_without_weight_is_never_drawn(name: str, weights: dict[str, int], subject: str) -> None:
    if any(weights.values()):
        assert weights[draw(name, weights, subject)] > 0
    else:
        with pytest.raises(ValueError, match="no variant"):
            draw(name, weights, subject)


def test_the_variant_is_drawn_at_enrolment_and_decides() -> None:
    steps = """
      experiments: {tone: {friendly: 50, formal: 50}}
      steps:
        - {id: a, wait: 2 days, when: variant('tone') == 'friendly', email: {template: t}}
        - {id: b, wait: 2 days, when: variant('tone') == 'formal', email: {template: t}}
    """

    for number in range(20):
        done = run(steps, id=f"c-{number}")
        drawn = draw("tone", {"friendly": 50, "formal": 50}, f"c-{number}")
        assert done.simulation.engine.state.variants == {"tone": drawn}
        assert [done.last(s).split()[0] for s in "ab"] == (
            ["done", "skipped"] if drawn == "friendly" else ["skipped", "done"]
        )
