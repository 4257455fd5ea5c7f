"""Histories of every release must replay: today's code decides as the code decided that wrote them.

They were written under several Pythons, and nothing of a machine's zone or holiday data may be read.
"""

from __future__ import annotations

import base64
import gzip
import json
import zoneinfo
from pathlib import Path
from typing import Any, NoReturn

import holidays
import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from firstmile.journey import slices
from firstmile.journey.route import route_of
from tests.replay.record import HISTORIES
from workflows.bulk import BulkCommand
from workflows.onboarding import Onboarding

FILES = sorted(HISTORIES.glob("*.json.gz"))


def _history(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return found


async def _replay(history: dict[str, Any]) -> None:
    replayer = Replayer(
        workflows=[Onboarding, BulkCommand],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(WorkflowHistory.from_json("onboarding/c-1", history))


def _named(file: Path) -> str:
    return file.name.removesuffix(".json.gz")


@pytest.mark.parametrize("file", FILES, ids=_named)
async def test_a_recorded_history_replays(file: Path) -> None:
    await _replay(_history(file))


def test_histories_of_several_pythons_are_there() -> None:
    pythons = {file.name.split("-")[1] for file in FILES}

    assert len(pythons) >= 2


@pytest.mark.parametrize("file", FILES[:6], ids=_named)
async def test_a_replay_reads_no_zone_and_no_holidays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a replay read the machine's zone or holiday data")

    for where, name in (
        (zoneinfo, "ZoneInfo"),
        (slices, "ZoneInfo"),
        (slices, "cut"),
        (holidays, "country_holidays"),
    ):
        monkeypatch.setattr(where, name, refuse)
    route_of.cache_clear()

    await _replay(_history(file))


async def test_a_replay_would_notice_other_decisions() -> None:
    """The test of the test: under another working week, two steps that were due together part."""
    history = _history(next(file for file in FILES if "team-paused" in file.name))
    started = history["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"][0]
    start = json.loads(base64.b64decode(started["data"]))
    start["calendar"]["weekdays"] = [5]
    start["calendar"]["offsets"] = [[0, -36_000]]
    started["data"] = base64.b64encode(json.dumps(start).encode()).decode()

    with pytest.raises(NondeterminismError):
        await _replay(history)
