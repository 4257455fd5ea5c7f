"""Loading a journey file: every error at once, each with its line, its field and what to write instead."""

from __future__ import annotations

import itertools
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.journey.loader import load, load_checked
from firstmile.journey.model import Journey
from firstmile.journey.problems import errors
from firstmile.journey.shape import PATTERNS
from firstmile.journey.show import diagram, mermaid

TESTS = Path(__file__).resolve().parents[1]
BAD = sorted((TESTS / "bad" / "journeys").glob("*.yaml"))
SHIPPED = sorted((TESTS.parent / "journeys").glob("*.yaml"))
EXAMPLE = (TESTS / "journey" / "example.yaml").read_text(encoding="utf-8")
TEMPLATES = ["welcome", "nps"]
FORMS = ["company"]
SIGNS = [":", "-", "{}", "[]", "'", '"', "&", "*", "!", "5", "null", "true", ",", "#"]

SMALL = """\
journey: small
version: 1
onboarded: {milestone: value}
ends: 60 days
steps:
  - id: value
    milestone: {event: report.published}
"""


def test_there_are_wrong_journeys_of_every_sort() -> None:
    assert len(BAD) >= 40
    assert {file.stem.split("_")[0] for file in BAD} >= {"yaml", "shape", "steps", "doubt", "expressions"}


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_wrong_journey_gets_exactly_these_messages(file: Path) -> None:
    loaded = load_checked(file.read_text(encoding="utf-8"), file.name, templates=TEMPLATES, forms=FORMS)

    assert [str(problem) for problem in loaded.problems] == (
        file.with_suffix(".expected").read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_messages_are_short_and_end_without_a_full_stop(file: Path) -> None:
    for problem in load_checked(file.read_text(encoding="utf-8"), file.name).problems:
        assert problem.line is not None
        assert len(problem.message) < 300
        assert not problem.message.endswith(".")
        assert "Input should" not in problem.message


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_journey_has_nothing_wrong_and_nothing_doubtful(file: Path) -> None:
    templates = [folder.name for folder in (TESTS.parent / "templates").iterdir()]
    loaded = load_checked(file.read_text(encoding="utf-8"), file.name, templates=templates)

    assert loaded.problems == []
    assert loaded.journey is not None
    assert Journey.model_validate_json(loaded.journey.canonical_json()) == loaded.journey


def test_a_small_journey_is_read() -> None:
    loaded = load(SMALL, "small.yaml")

    assert loaded.problems == []
    assert loaded.journey is not None
    assert loaded.journey.by_id["value"].kind == "milestone"
    assert loaded.document.line(("steps", 0, "milestone")) == 7


def test_the_example_of_the_documentation_loads_and_is_doubted_once() -> None:
    loaded = load_checked(EXAMPLE, "journeys/team.yaml")

    assert errors(loaded.problems) == []
    (doubt,) = loaded.problems
    assert str(doubt).startswith(
        "journeys/team.yaml:57: warning: steps.nps.after: 'first_value' may be missed, and then"
    )


def test_the_message_names_file_line_field_and_what_was_meant() -> None:
    text = EXAMPLE.replace("after: [workspace]", "after: [workspce]")

    assert [str(problem) for problem in load_checked(text, "team.yaml").errors] == [
        "team.yaml:24: steps.welcome.after: unknown step 'workspce' in after: did you mean 'workspace'?"
    ]


def test_load_alone_says_only_what_keeps_the_text_from_being_a_journey() -> None:
    loaded = load(EXAMPLE.replace("after: [workspace]", "after: [workspce]"), "team.yaml")

    assert loaded.journey is not None
    assert loaded.problems == []


def test_a_file_with_a_wrong_shape_is_no_journey() -> None:
    loaded = load(SMALL.replace("version: 1", "version: one"), "small.yaml")

    assert loaded.journey is None
    assert len(loaded.errors) == 1


def test_a_wrong_field_does_not_hide_what_is_wrong_elsewhere_nor_cause_more() -> None:
    text = SMALL.replace("ends: 60 days", "ends: 60") + "  - {id: a, after: [b], emial: {template: x}}\n"
    text += "  - {id: b, after: [a], task: {title: B, owner: 5}}\n  - {id: c, after: [value, a], task: 5}\n"

    assert [problem.field for problem in load_checked(text, "small.yaml").problems] == [
        "ends",
        "steps.a.emial",
        "steps.b.task.owner",
        "steps.c.task",
    ]


def test_every_pattern_of_the_format_is_put_in_words() -> None:
    schema = str(Journey.model_json_schema()).replace("\\\\", "\\")
    patterns = set(re.findall(r"(?:'pattern': '|')(\^[^']+\$)'", schema))
    assert patterns == set(PATTERNS)


def test_many_steps_are_loaded_and_checked_in_a_moment() -> None:
    ids = ["value", *(f"s{n}" for n in range(400))]
    steps = "".join(
        f"  - {{id: {after}, after: [{before}], task: {{title: T}}}}\n"
        for before, after in itertools.pairwise(ids)
    )
    started = time.perf_counter()
    loaded = load_checked(SMALL + steps, "large.yaml")
    assert loaded.problems == []
    assert loaded.journey is not None
    assert max(map(len, diagram(loaded.journey).splitlines())) <= 100
    assert time.perf_counter() - started < 5


@given(st.integers(0, 2**32))
def test_whatever_happens_to_a_journey_file_it_is_told_and_never_raised(seed: int) -> None:
    chance = random.Random(seed)
    lines = SHIPPED[seed % len(SHIPPED)].read_text(encoding="utf-8").splitlines()
    start = chance.randrange(max(len(lines) - 60, 1))
    lines = lines[:20] + lines[start : start + 60]
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(lines))
        line = lines[place]
        at = chance.randrange(len(line) + 1)
        lines[place] = chance.choice(
            [
                "",
                line[:at] + chance.choice(SIGNS) + line[at:],
                line[:at] + line[at + 1 :],
                line.split(":")[0] + ": " + chance.choice(["5", "[1]", "{a: b}", "", "x y", "true", "1.5"]),
                chance.choice(lines),
            ]
        )
    loaded = load_checked("\n".join(lines), "f.yaml", templates=TEMPLATES)
    assert loaded.journey is not None or loaded.errors
    if loaded.journey is not None:
        assert max(map(len, diagram(loaded.journey).splitlines())) <= 100
        assert mermaid(loaded.journey).startswith("flowchart TD\n")
