"""`starter.py`: what becomes of each line of a file is said, and nothing accepted is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import starter
from firstmile.service import Service
from starter import Line, Report, read, start
from tests.doorway import SIGN_UP, Clock, Nowhere, folders, opened

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def temporal() -> Nowhere:
    return Nowhere(away=False)


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere) -> AsyncIterator[Service]:
    async with opened(tmp_path, temporal, Clock()) as found:
        yield found


class Waiting:
    """Time that passes only while somebody waits, and something that happens meanwhile."""

    def __init__(self, temporal: Nowhere, back_after: float = float("inf")) -> None:
        self.temporal, self.back_after, self.passed = temporal, back_after, 0.0

    async def pause(self, seconds: float) -> None:
        self.passed += seconds
        if self.passed >= self.back_after:
            self.temporal.away = False

    def now(self) -> float:
        return self.passed


# ---- reading ---------------------------------------------------------------------------------------------


def bodies(lines: list[Line]) -> list[Any]:
    assert not [line.problem for line in lines if line.problem]
    return [line.body for line in lines]


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "c-1"}\n\n{"id": "c-2"}\n',
        '[{"id": "c-1"}, {"id": "c-2"}]',
        "id\nc-1\nc-2\n",
        "\ufeffid\r\nc-1\r\n\r\nc-2\r\n",
    ],
)
def test_a_file_is_json_lines_an_array_or_csv(text: str) -> None:
    assert bodies(read(text)) == [{"id": "c-1"}, {"id": "c-2"}]


def test_one_object_may_have_several_lines() -> None:
    assert bodies(read(json.dumps(SIGN_UP, indent=2))) == [SIGN_UP]


def test_a_line_that_is_not_json_is_named_and_the_others_are_read() -> None:
    found = read('{"id": "c-1"}\n{"id": "c-2",}\n{"id": "c-3"}', "signups.jsonl")

    assert [line.number for line in found if line.problem is None] == [1, 3]
    assert found[1].number == 2
    assert found[1].problem is not None
    assert "line 1: a ',' stands after the last value" in found[1].problem


def test_a_table_has_a_column_for_each_field_inner_ones_with_a_dot() -> None:
    (line,) = read(
        "id,segment,name,traits.plan,traits.seats,consent.marketing,skip,speed\n"
        'c-1,small,"Weber, Jonas",007,12,yes,welcome; tips,3600\n'
    )

    assert line.cells
    assert line.body == {
        "id": "c-1",
        "segment": "small",
        "name": "Weber, Jonas",
        "traits": {"plan": "007", "seats": "12"},
        "consent": {"marketing": True},
        "skip": ["welcome", "tips"],
        "speed": 3600,
    }


def test_a_table_with_a_row_that_is_too_long_names_it() -> None:
    found = read("id,segment\nc-1,small\nc-2,small,oops\n")

    assert (found[1].number, found[1].problem) == (3, "it has 3 cells, and there are 2 columns")


# ---- starting --------------------------------------------------------------------------------------------


async def test_of_a_thousand_lines_the_wrong_ones_are_named_and_all_others_start(
    service: Service, temporal: Nowhere
) -> None:
    texts = [json.dumps(SIGN_UP | {"id": f"c-{number}"}) for number in range(1, 1001)]
    texts[99] = "not json"
    texts[499] = json.dumps(SIGN_UP | {"id": "c-500", "timezone": "Mars/Base"})
    texts[999] = json.dumps({"id": "c-1000"})
    told: list[Report] = []

    reports = await start(service, read("\n".join(texts), "signups.jsonl"), told.append)

    assert len(told) == 1000
    assert len(temporal.starts) == 997
    refused = {report.line: report.reason or "" for report in reports if report.outcome == "refused"}
    assert sorted(refused) == [100, 500, 1000]
    assert "JSON" in refused[100]
    assert refused[500].startswith("timezone: unknown time zone 'Mars/Base'")
    assert refused[1000].startswith("segment: it is missing")
    assert [report.line for report in reports] == list(range(1, 1001))


async def test_the_same_file_again_starts_nothing(service: Service, temporal: Nowhere) -> None:
    lines = read("\n".join(json.dumps(SIGN_UP | {"id": f"c-{number}"}) for number in range(5)))
    await start(service, lines)

    reports = await start(service, lines)

    assert {report.outcome for report in reports} == {"already there"}
    assert len(temporal.starts) == 5


async def test_a_table_says_what_the_journey_asks_for(service: Service, temporal: Nowhere) -> None:
    table = "id,segment,traits.plan,traits.seats\nc-1,small,007,12\nc-2,small,pro,a dozen\n"

    first, second = await start(service, read(table))

    assert first.outcome == "started"
    assert temporal.starts[0]["start"].subject.traits == {"plan": "007", "seats": 12}
    assert second.reason == "traits.seats: trait 'seats' must be a number, not 'a dozen'"


async def test_while_temporal_is_away_lines_are_tried_again(service: Service, temporal: Nowhere) -> None:
    temporal.away = True
    waiting = Waiting(temporal, back_after=10)
    lines = read("\n".join(json.dumps(SIGN_UP | {"id": f"c-{number}"}) for number in range(40)))

    reports = await start(service, lines, pause=waiting.pause, now=waiting.now)

    assert {report.outcome for report in reports} == {"started"}
    assert len(temporal.starts) == 40


async def test_when_temporal_stays_away_it_is_said_which_lines_were_not_started(
    service: Service, temporal: Nowhere
) -> None:
    temporal.away = True
    waiting = Waiting(temporal)
    lines = read("\n".join(json.dumps(SIGN_UP | {"id": f"c-{number}"}) for number in range(200)))

    reports = await start(service, lines, pause=waiting.pause, now=waiting.now, patience=30)

    assert {report.outcome for report in reports} == {"not started"}
    assert waiting.passed < 30 * (starter.AT_ONCE + 1)  # not 30 seconds for each of them
    assert "Temporal does not answer" in (reports[0].reason or "")

    temporal.away = False
    assert {report.outcome for report in await start(service, lines)} == {"already there"}
    assert len(temporal.starts) == 200


# ---- the program -----------------------------------------------------------------------------------------


def run(place: Path, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    chosen = folders(place)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTMILE_")}
    settings = {
        "FIRSTMILE_STATE_DIR": str(place),
        "FIRSTMILE_JOURNEYS": str(chosen.journeys),
        "FIRSTMILE_TEMPLATES": str(chosen.templates),
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
    }
    return subprocess.run(
        [sys.executable, CHECKOUT / "starter.py", *arguments],
        env={**bare, **settings, **environ},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_the_program_says_what_became_of_each_line(tmp_path: Path) -> None:
    async with opened(tmp_path, Nowhere()):
        pass
    lines = [json.dumps(SIGN_UP), json.dumps({"id": "c-2"})]

    ended = run(tmp_path, "-", "--patience", "0", given="\n".join(lines))

    assert ended.returncode == 1
    first, second = ended.stdout.splitlines()
    assert first.startswith("line 1: c-1 not started: Temporal does not answer")
    assert second.startswith("line 2: c-2 refused: segment: it is missing")
    assert "1 refused, 1 not started" in ended.stderr
    assert "run it again" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["nowhere.jsonl"], "", "nowhere.jsonl cannot be read: No such file or directory"),
        (["-"], "", "there is no sign-up in standard input"),
    ],
)
def test_what_cannot_be_read_at_all_is_said(
    tmp_path: Path, arguments: list[str], given: str, said: str
) -> None:
    ended = run(tmp_path, *arguments, given=given)

    assert ended.returncode == 2
    assert said in ended.stderr
