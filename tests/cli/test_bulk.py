"""`firstmile bulk`: whom and what first, then the work; what is said, and with which status it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firstmile.cli import app
from firstmile.service import Service
from tests.doorway import SIGN_UP, town, until

Firstmile = Callable[..., Awaitable[Result]]


@pytest.fixture
def firstmile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Service], Firstmile]:
    """`firstmile` on a service's store and Temporal."""
    for name in list(os.environ):
        if name.startswith(("FIRSTMILE_", "TEMPORAL_", "SENDGRID_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def of(service: Service) -> Firstmile:
        monkeypatch.setenv("FIRSTMILE_STATE_DIR", str(service.settings.state_dir))
        monkeypatch.setenv("FIRSTMILE_TASK_QUEUE", service.settings.task_queue)
        address = service._premises.client.service_client.config.target_host
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(CliRunner().invoke, app, arguments)

        return run

    return of


async def three(service: Service) -> None:
    for id in ("c-1", "c-2", "c-3"):
        await service.enrol({**SIGN_UP, "id": id})
    await until(service.counts, lambda counts: sum(one.customers for one in counts) == 3)


async def test_a_command_to_many_from_the_look_to_the_results(
    tmp_path: Path, firstmile: Callable[[Service], Firstmile]
) -> None:
    async with town(tmp_path) as service:
        await three(service)
        run = firstmile(service)

        looked = await run("bulk", "pause", "--segment", "small", "--reason", "holidays", "--dry-run")
        unasked = await run("bulk", "pause", "--segment", "small", "--reason", "holidays")
        done = await run(
            "bulk",
            "pause",
            "--segment",
            "small",
            "--reason",
            "holidays",
            "--yes",
            "--rate",
            "50",
            "--actor",
            "ann",
        )
        again = await run("bulk", "pause", "--everybody", "--reason", "x", "--yes", "--rate", "50", "--json")
        id = json.loads(again.stdout)["id"]
        why = await run("bulk-status", id, "--results", "rejected")
        listed = await run("bulk-status")
        stopped = await run("bulk-stop", id)

        assert looked.exit_code == 0, looked.output
        assert looked.stdout.startswith("pause: 3 customers at 10 a second, about 0 seconds\n  c-")
        assert (unasked.exit_code, "say --yes" in unasked.stderr) == (2, True)
        assert done.exit_code == 0, done.output
        assert "is done: 3 done, 0 rejected, 0 failed, of 3 customers" in done.stdout
        assert again.exit_code == 1, "nobody could be paused twice"
        assert json.loads(again.stdout)["rejected"] == 3
        assert why.stdout.count("rejected  the journey is paused already") == 3
        assert listed.stdout.count("pause") == 2
        assert "ann" in listed.stdout
        assert (stopped.exit_code, "done already" in stopped.stderr) == (1, True)


async def test_a_file_of_ids_and_nobody_waits(
    tmp_path: Path, firstmile: Callable[[Service], Firstmile]
) -> None:
    async with town(tmp_path) as service:
        await three(service)
        file = tmp_path / "ids.txt"
        file.write_text("c-3\n\nc-1\n")

        given = await firstmile(service)(
            "bulk", "pause", "--ids", str(file), "--reason", "x", "--yes", "--no-wait"
        )

        assert given.exit_code == 0, given.output
        (job,) = (await service.bulk.jobs()).jobs
        assert f"job {job.id}: 2 customers" in given.stdout
        job = await until(lambda: service.bulk.get(job.id), lambda one: one.ended_at is not None)
        assert job.done == 2


async def test_ctrl_c_ends_the_watching_and_says_how_to_stop_the_work(
    tmp_path: Path, firstmile: Callable[[Service], Firstmile]
) -> None:
    async with town(tmp_path) as service:
        await three(service)
        firstmile(service)  # the environment
        command = [sys.executable, "-c", "from firstmile.cli import main; main()"]
        command += ["bulk", "pause", "--everybody", "--reason", "x", "--yes", "--rate", "0.2"]
        watching = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        job = await until(service.bulk.jobs, lambda page: bool(page.jobs and page.jobs[0].state == "running"))
        id = job.jobs[0].id

        watching.send_signal(signal.SIGINT)
        _, said = await watching.communicate()

        assert watching.returncode == 130
        told = said.decode()
        # It may still be waiting to hear that the work has begun.
        assert f"`firstmile bulk-stop {id}` stops it" in told or "`firstmile bulk-status` lists" in told
        assert (await service.bulk.get(id)).state == "running"
        await service.bulk.stop(id, actor="ann")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "--reason", "x"), "say whom"),
        (("pause", "--reason", "x", "--everybody", "--segment", "small"), "say whom"),
        (("pause", "--reason", "x", "--ids", "nowhere.txt"), "cannot be read"),
        (("paus", "--reason", "x", "--everybody", "--dry-run"), "did you mean 'pause'?"),
        (("skip", "--reason", "x", "--everybody", "--dry-run"), "needs a step"),
        (("pause", "--reason", "x", "--everybody", "--rate", "1000", "--yes"), "at most 50"),
        (("pause", "--reason", "x", "--everybody", "--yes"), "it finds nobody who is on the way"),
    ],
)
async def test_what_makes_no_sense_is_said_and_ends_with_2(
    tmp_path: Path, firstmile: Callable[[Service], Firstmile], words: tuple[str, ...], said: str
) -> None:
    async with town(tmp_path, works=False) as service:
        refused = await firstmile(service)("bulk", *words)

        assert refused.exit_code == 2, refused.output
        assert said in refused.output
