"""What a customer receives when something dies: every case there is, run, and the table of what comes of it.

`python -m tests.mail.crash_table` runs them all and writes the table in docs/how-it-works.md anew.

A case is a class of message, how the first call to the provider goes, and who can tell afterwards what became
of it. Each is run once to its end, which finds the points that it passes, and then once for every point, with
a crash there.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from firstmile.contracts import EffectOutcome
from firstmile.mail.outcomes import FOUND, MAY_HAVE_BEEN_DELIVERED, RESENT_ABSENT, RESENT_UNKNOWN
from firstmile.store import ledger
from firstmile.store.suppressions import MessageClass
from tests.mail.building import SetClock, asking
from tests.mail.crashing import Line, Office, Walk, watch
from tests.mail.provider import ANSWERS, Log, Provider

Witness = Literal["the log", "the log, late", "a delivery event", "nobody"]

AT_ONCE = 8
"""How many runs go on at a time."""

CLASSES: tuple[MessageClass, ...] = ("transactional", "lifecycle", "marketing")
WITNESSES: dict[Witness, Log] = {
    "the log": "tells",
    "the log, late": "is late",
    "a delivery event": "never tells",
    "nobody": "never tells",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `answer` is a name in `provider.ANSWERS`."""

    message_class: MessageClass
    answer: str
    witness: Witness


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of one run. `died` is how far the ledger had come when it crashed; None: nothing did."""

    case: Case
    died: str | None
    point: str | None
    points: int
    copies: int
    calls: int
    outcome: EffectOutcome
    asked_again: EffectOutcome
    row: ledger.Message
    journal: list[str | None] = field(default_factory=list)


def cases(answer: str) -> Iterator[Case]:
    """Every case that begins with this answer. What was not taken has no delivery event."""
    for message_class, witness in itertools.product(CLASSES, WITNESSES):
        if witness != "a delivery event" or ANSWERS[answer].takes is not None:
            yield Case(message_class, answer, witness)


async def endings(office: Office, answer: str) -> list[Ending]:
    """Every run of every case that begins with this answer."""
    found = []
    for case in cases(answer):
        unharmed = await run(office, case, None)
        found.append(unharmed)
        # Runs know nothing of one another; some at a time, for most of a run is waiting for the store.
        points = range(1, unharmed.points + 1)
        for some in (points[start : start + AT_ONCE] for start in range(0, len(points), AT_ONCE)):
            found += await asyncio.gather(*(run(office, case, point) for point in some))
    return found


async def run(office: Office, case: Case, crash_at: int | None) -> Ending:
    """Run a case to its end, with a crash at one point."""
    clock = SetClock()
    subject = await office.customer(clock())
    request = asking(clock)(subject=subject, params={"template": "welcome", "class": case.message_class})
    answers = iter((ANSWERS[case.answer],))
    provider = Provider(clock, answers, WITNESSES[case.witness], watch)
    walk = Walk(crash_at)

    async def events() -> None:
        if case.witness == "a delivery event" and provider.mailbox(request.key):
            await office.told(request.key, "delivered", clock())

    died: list[str] = []

    async def after_a_crash() -> None:
        rows = await office.messages(request)
        died.append(_stage(rows[0] if rows else None, provider.calls_of(request.key)))

    post = office.post(clock, Line(events))
    outcome = await office.to_the_end(provider, request, post, clock, walk, after_a_crash)
    again = await office.to_the_end(provider, request, post, clock, Walk())
    (row,) = await office.messages(request)
    return Ending(
        case=case,
        died=died[0] if died else None,
        point=walk.passed[crash_at - 1] if died and crash_at else None,
        points=len(walk.passed),
        copies=provider.mailbox(request.key),
        calls=provider.blind_calls(request.key),
        outcome=outcome,
        asked_again=again,
        row=row,
        journal=[entry.reason for entry in await office.journal(request) if entry.change == "done"],
    )


def _stage(row: ledger.Message | None, calls: int) -> str:
    """How far a message had come when the attempt died."""
    if row is None or (row.state == "prepared" and row.sends == 0):
        return "before `sending` is written"
    if row.state == "prepared":
        return "between two calls"
    if row.state == "sending":
        return "before the call" if calls < row.sends else "before its answer is written"
    if row.state == "unknown" and row.given_up_at is None:
        return "while it is looked for"
    return "after what became of it is written"


# ---- the table -------------------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-it-works.md"
SECTION = "## What a customer receives when something dies"
HEAD = (
    "the provider",
    "the attempt dies",
    "somebody can tell",
    "nobody can: transactional",
    "nobody can: any other",
)
STAGES = (
    "before `sending` is written",
    "before the call",
    "before its answer is written",
    "while it is looked for",
    "between two calls",
    "after what became of it is written",
)
# Journal's words -> the table's, which a legend explains.
_WORDS = {
    FOUND: "found",
    MAY_HAVE_BEEN_DELIVERED: "may have been delivered",
    RESENT_ABSENT: "sent again, absent",
    RESENT_UNKNOWN: "sent again, unknown",
}


def table_of(ends: Iterable[Ending]) -> list[list[str]]:
    """The rows of one answer's runs: one for all the points at which dying comes to the same."""
    cells: dict[str, list[set[str]]] = {}
    for end in ends:
        stage = end.died or "nowhere"
        row = cells.setdefault(stage, [set(), set(), set()])
        row[_column(end)].add(_cell(end))
    joined: dict[tuple[str, ...], list[str]] = {}
    for stage in ("nowhere", *STAGES):
        if stage in cells:
            told = tuple(" or ".join(sorted(cell)) or "–" for cell in cells[stage])
            joined.setdefault(told, []).append(stage)
    return [["; ".join(stages), *told] for told, stages in joined.items()]


def _column(end: Ending) -> int:
    """Whether somebody can tell what became of it. An event can tell only of what was taken."""
    called = end.died != "before the call"
    if end.case.witness in ("the log", "the log, late") or (
        end.case.witness == "a delivery event" and called
    ):
        return 0
    return 1 if end.case.message_class == "transactional" else 2


def _cell(end: Ending) -> str:
    """How many copies, what the effect came to, and what the journal says of it."""
    reason = end.outcome.reason or ""
    for long, short in _WORDS.items():
        reason = reason.replace(long, short)
    return f"{end.copies}, {end.outcome.outcome}" + (f": {reason}" if reason else "")


def written(tables: Mapping[str, list[list[str]]]) -> str:
    """All of them as Markdown has it, those that are the same under one name."""
    alike: dict[str, list[str]] = {}
    for answer, table in tables.items():
        rows = "".join(f"| {' | '.join(row)} |\n" for row in table)
        alike.setdefault(rows, []).append(answer)
    lines = [f"| {' | '.join(HEAD)} |\n", f"|{'---|' * len(HEAD)}\n"]
    for rows, answers in alike.items():
        lines += [f"| {'; '.join(answers)} {row}\n" for row in rows.splitlines()]
    return "".join(lines)


def shown(page: str) -> str:
    """The table that a page has."""
    found = re.search(rf"^{re.escape(SECTION)}\n.*?^((?:\|[^\n]*\n)+)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has no table under '{SECTION}'")
    return found.group(1)


async def _run_all() -> dict[str, list[list[str]]]:
    with tempfile.TemporaryDirectory() as place:
        office = await Office.open(Path(place))
        try:
            return {answer: table_of(await endings(office, answer)) for answer in ANSWERS}
        finally:
            await office.close()


def main() -> None:
    """Run every case, and write the table anew."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(shown(page), written(asyncio.run(_run_all()))), encoding="utf-8")


if __name__ == "__main__":
    main()
