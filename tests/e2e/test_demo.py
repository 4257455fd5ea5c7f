"""The demo as people run it: it plays to the end, uses nothing of the caller's, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import FIRSTMILE, PATIENCE, SECRETS, Running, needs_proc

pytestmark = needs_proc
QUICK = ("ss-holger", "ss-priyanka", "ss-otis", "en-callum")
"""One who stops, one whose provisioning fails and is retried, one who succeeds, one who is undone."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*arguments: str) -> Running:
        running = Running(tmp_path, *arguments)
        started.append(running)
        return running

    yield begin
    for one in started:
        one.end()


def test_the_demo_plays_to_the_end_and_nothing_is_lost_or_doubled(start: Callable[..., Running]) -> None:
    chosen = [part for id in QUICK for part in ("--customer", id)]
    demo = start("demo", "--once", "--speed", "36000", *chosen)

    demo.until_said("Everything runs after")
    children = demo.children()
    # Temporal, the inbox, the systems, the web service and a worker.
    assert len(children) == 5
    for environ in children.values():
        assert not [secret for secret in SECRETS.values() if secret in environ]
    demo.until(lambda: demo.process.poll() is not None, 150)

    assert demo.process.returncode == 0, demo.said
    assert re.search(r"self serve +3 +2 +\d\.\d d +\d+ +\d+ +0 +0 +0", demo.said)
    assert re.search(r"enterprise +1 +0 +– +\d+ +0 +0 +0 +0", demo.said)
    assert "Nothing was lost, nothing was doubled, nobody is stuck." in demo.said
    for line in (
        r"Priyanka Nair +workspace failed: ",
        r"Priyanka Nair +workspace set up",
        r"Priyanka Nair +check in: done",
        r"Holger Brandt +workspace undone",
        r"Holger Brandt +stopped: subscription.cancelled happened",
        r"Otis Fairweather +tour: took part",
        r"Callum Reid +contract: task done",
        r"Callum Reid +stopped: bought by another company",
    ):
        assert re.search(line, demo.said), line
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", demo.said) is None
    assert demo.children() == {}
    assert demo.left_behind == []


@pytest.mark.parametrize(
    "endings",
    # The last is Ctrl-C in a terminal that then closes.
    [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGHUP)],
    ids=lambda endings: "+".join(one.name for one in endings),
)
def test_a_signal_ends_the_demo_in_order(
    start: Callable[..., Running], endings: tuple[signal.Signals, ...]
) -> None:
    demo = start("demo", "--customer", "ss-camila")
    demo.until_said("welcome sent")

    for ending in endings:
        demo.process.send_signal(ending)
        time.sleep(0.2)  # two key presses are not one

    assert demo.process.wait(PATIENCE) == 0, demo.said
    assert demo.children() == {}
    assert demo.left_behind == []


def test_everything_ends_when_the_demo_is_killed(start: Callable[..., Running]) -> None:
    demo = start("demo", "--customer", "ss-camila")
    demo.until_said("Everything runs after")

    demo.process.kill()
    demo.process.wait()

    demo.until(lambda: demo.children() == {})


def test_a_process_that_dies_ends_the_demo_with_its_last_words(start: Callable[..., Running]) -> None:
    demo = start("demo", "--once", "--customer", "ss-camila")
    demo.until_said("welcome sent")
    worker = next(
        pid for pid in demo.children() if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    )

    os.kill(worker, signal.SIGKILL)

    assert demo.process.wait(PATIENCE) == 1, demo.said
    assert "worker-1 ended unexpectedly, with status -9" in demo.said
    assert "working on task queue" in demo.said
    assert demo.children() == {}
    (kept,) = demo.left_behind
    assert re.search(rf"Logs and databases are in \S+/{kept}$", demo.said, re.MULTILINE)


def test_an_unknown_customer_is_refused() -> None:
    refused = subprocess.run(
        [FIRSTMILE, "demo", "--customer", "nobody"], capture_output=True, text=True, check=False
    )

    assert refused.returncode == 2
    assert "there is no sample customer 'nobody'" in " ".join(refused.stderr.replace("│", " ").split())
