"""The crash test: an attempt dies at every point between "about to send" and "recorded".

Every way in which the first call to the provider may go, for every class, with everybody who may be able to
tell afterwards: never two copies without a recorded decision, never none without one. What the customer
receives and what the journal says is the table in docs/how-it-works.md (`crash_table` writes it).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from firstmile.mail.outcomes import settled
from tests.mail.crash_table import CLASSES, PAGE, STAGES, endings, shown, table_of, written
from tests.mail.crashing import Office, broken_promises
from tests.mail.provider import ANSWERS

FEWEST_POINTS = 9
"""What the straight way passes: fewer would mean that points are not found any more."""


@pytest.mark.parametrize("answer", ANSWERS)
async def test_wherever_an_attempt_dies_nothing_is_doubled_or_lost_without_a_decision(
    answer: str, tmp_path: Path
) -> None:
    office = await Office.open(tmp_path)
    try:
        ends = await endings(office, answer)
    finally:
        await office.close()

    for end in ends:
        part = settled(end.row)
        assert part is not None, end
        assert not broken_promises(end.row, part, copies=end.copies, blind_calls=end.calls), end
        assert (end.outcome.outcome, end.outcome.reason) == (part.outcome, part.reason), end
        assert end.asked_again == end.outcome or end.outcome.outcome != "done", "asked again, it is the same"
        assert end.journal == ([end.outcome.reason] if end.outcome.outcome == "done" else []), end
    unharmed = [end for end in ends if end.died is None]
    assert min(end.points for end in unharmed) >= FEWEST_POINTS
    assert len(ends) == sum(1 + end.points for end in unharmed), "there is a run for every point"
    assert {end.case.message_class for end in ends} == set(CLASSES)
    assert {end.died for end in ends if end.died} <= set(STAGES)
    told = shown(PAGE.read_text(encoding="utf-8"))
    mine = [line.split(" | ", 1)[1] for line in told.splitlines() if _is_of(line, answer)]
    theirs = [line.split(" | ", 1)[1] for line in written({answer: table_of(ends)}).splitlines()[2:]]
    assert mine == theirs, "the table is not what happens: python -m tests.mail.crash_table"


def test_the_table_has_every_answer_once() -> None:
    told = shown(PAGE.read_text(encoding="utf-8"))
    cells = {line.removeprefix("| ").split(" | ", 1)[0] for line in told.splitlines()[2:]}
    named = Counter(answer for cell in cells for answer in cell.split("; "))
    assert named == Counter(list(ANSWERS)), "python -m tests.mail.crash_table writes it anew"


def _is_of(line: str, answer: str) -> bool:
    return answer in line.removeprefix("| ").split(" | ", 1)[0].split("; ")
