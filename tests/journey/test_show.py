"""Journeys as pictures: the tree for the terminal, the flowchart for documents."""

from __future__ import annotations

import re
from pathlib import Path

from firstmile.journey.loader import load
from firstmile.journey.model import Journey
from firstmile.journey.show import WIDTH, diagram, mermaid

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")

HEAD = "journey: small\nversion: 1\nonboarded: {milestone: value}\nends: 60 days\nsteps:\n"
VALUE = "  - {id: value, milestone: {event: report.published}}\n"


def journey(text: str) -> Journey:
    found = load(text, "f").journey
    assert found is not None
    return found


def test_a_journey_is_drawn_as_a_tree() -> None:
    assert diagram(journey(EXAMPLE)) == (Path(__file__).parent / "example.txt").read_text(encoding="utf-8")


def test_every_step_is_drawn_once_and_nothing_is_too_wide() -> None:
    drawn = diagram(journey(EXAMPLE))
    for step in journey(EXAMPLE).steps:
        assert len(re.findall(rf"[─↓] +(?:\[\w+\] )?{step.id} · ", drawn)) == 1
    assert max(map(len, drawn.splitlines())) <= WIDTH


def test_what_follows_alone_goes_straight_on_and_a_branch_names_its_outcome() -> None:
    steps = "  - {id: a, after: [reached value], task: {title: A}}\n"
    steps += "  - {id: b, after: [a], task: {title: B}}\n"
    steps += "  - {id: c, after: [skipped b, value], task: {title: C}}\n"
    drawn = diagram(journey(HEAD + VALUE + steps))
    assert drawn.splitlines()[3:] == [
        "● enrolment",
        "↓  value · milestone: report.published",
        "↓  [reached] a · task for anyone: A",
        "↓  b · task for anyone: B",
        "↓  [skipped] c · task for anyone: C",
        "   with value",
    ]


def test_a_journey_that_goes_in_a_circle_or_after_nothing_is_drawn_all_the_same() -> None:
    text = (
        HEAD
        + VALUE
        + "  - {id: a, after: [b], task: {title: A}}\n  - {id: b, after: [a], task: {title: B}}\n"
    )
    text += "  - {id: c, after: [nothing], task: {title: C}}\n"
    drawn = diagram(journey(text))
    assert all(f" {step} · " in drawn for step in ("value", "a", "b", "c"))
    assert mermaid(journey(text)).count("-->") == 3


def test_deep_branching_goes_on_below_within_the_width() -> None:
    steps = "".join(
        f"  - {{id: s{n}, after: [{f's{n - 1}' if n else 'value'}], task: {{title: T}}}}\n"
        f"  - {{id: t{n}, after: [{f's{n - 1}' if n else 'value'}], task: {{title: {'long ' * 30}}}}}\n"
        for n in range(60)
    )
    drawn = diagram(journey(HEAD + VALUE + steps))
    assert max(map(len, drawn.splitlines())) <= WIDTH
    assert all(len(re.findall(rf" s{n} · ", drawn)) == 1 for n in range(60))
    assert "… goes on below" in drawn


def test_a_flowchart_has_a_node_for_every_step_and_an_arrow_for_every_dependency() -> None:
    lines = mermaid(journey(EXAMPLE)).splitlines()
    assert lines[0] == "flowchart TD"
    node = re.compile(r'  (\w+)(?:\["|\[\["|\("|\{\{"|\[/"|\(\[")[^"]*(?:"\]|"\]\]|"\)|"\}\}|"/\]|"\]\))')
    arrow = re.compile(r'  (\w+) (?:-->|-\.->)(?:\|"\w+"\|)? (\w+)')
    names = {match.group(1) for line in lines if (match := node.fullmatch(line))}
    arrows = [match.groups() for line in lines if (match := arrow.fullmatch(line))]
    assert len(names) == 1 + len(journey(EXAMPLE).steps)
    assert len(names) + len(arrows) == len(lines) - 1
    assert {name for pair in arrows for name in pair} == names
    assert '  s7 -->|"missed"| s9' in lines
    assert '  s7 -.->|"stops"| s9' in lines


def test_a_flowchart_escapes_what_would_break_it() -> None:
    steps = """  - {id: end, after: [value], task: {title: 'Say "hi" & <b>go</b> #1; `x`'}}\n"""
    assert (
        '[/"end<br>task for anyone: Say #quot;hi#quot; #amp; #lt;b#gt;go#lt;/b#gt; #35;1; #96;x#96;"/]'
        in (mermaid(journey(HEAD + VALUE + steps)))
    )
