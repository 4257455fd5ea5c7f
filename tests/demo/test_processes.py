"""The demo's processes: they have the environment they are given, and none outlives the demo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firstmile.demo import watchdog
from firstmile.demo.processes import NotReady, Process, ProcessDied, Watchdog, free_port, tail

PATIENCE = 20.0
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
WITH_A_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def watched() -> Iterator[Watchdog]:
    dog = Watchdog(grace=0.3)
    yield dog
    dog.close()


@pytest.fixture
def start(watched: Watchdog, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(program: str, **environ: str) -> Process:
        name = f"p{len(started)}"
        command = [sys.executable, "-c", program]
        process = Process(name, command, environ=environ, directory=tmp_path, watched=watched)
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process._process.wait()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended, and that nobody has taken note of, does not."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_stopped_process_is_gone_with_what_it_started(start: Callable[..., Process]) -> None:
    process = start(WITH_A_CHILD)
    until(lambda: tail(process.log) != [])
    child = int(tail(process.log)[0])

    assert await process.stop()

    until(lambda: not is_alive(process.pid) and not is_alive(child))


async def test_one_that_does_not_end_is_killed_after_the_grace(start: Callable[..., Process]) -> None:
    process = start(STUBBORN)
    until(lambda: tail(process.log) == ["up"])

    assert not await process.stop(grace=0.2)

    assert not is_alive(process.pid)


async def test_stopping_what_has_ended_is_no_error(start: Callable[..., Process]) -> None:
    process = start("raise SystemExit(3)")
    await process.ended()

    assert await process.stop()


async def test_a_death_tells_the_status_and_the_last_lines(start: Callable[..., Process]) -> None:
    process = start("for n in range(100): print(n)\nraise SystemExit(7)")

    died = await process.ended()

    assert died.status == 7
    assert died.tail[-1] == "99"
    assert len(died.tail) == 15


async def test_waiting_for_one_that_dies_ends_with_its_death(start: Callable[..., Process]) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ProcessDied):
        await start("pass").ready(never, PATIENCE)
    with pytest.raises(NotReady, match="not ready after 0 seconds"):
        await start(SLEEPER).ready(never, 0.1)


async def test_a_process_has_the_environment_it_is_given_and_no_other(
    start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "a real one")

    process = start("import os; print(dict(os.environ))", GIVEN="yes", LC_CTYPE="C.UTF-8")
    await process.ended()

    assert tail(process.log) == ["{'GIVEN': 'yes', 'LC_CTYPE': 'C.UTF-8'}"]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_their_parent_however_it_went(tmp_path: Path, ending: signal.Signals) -> None:
    parent = f"""
import pathlib, sys, time
from firstmile.demo.processes import Process, Watchdog
dog = Watchdog(grace=0.5)
directory = pathlib.Path({str(tmp_path)!r})
pids = [dog.pid]
for name, program in (("child", {SLEEPER!r}), ("stubborn", {STUBBORN!r})):
    process = Process(name, [sys.executable, "-c", program], environ={{}}, directory=directory, watched=dog)
    pids.append(process.pid)
while not all((directory / f"{{name}}.log").read_text() for name in ("child", "stubborn")):
    time.sleep(0.01)
print(*pids, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        process.send_signal(ending)

    until(lambda: not any(map(is_alive, pids)))


def test_the_watchdog_knows_what_was_not_taken_back() -> None:
    assert watchdog.known(["+12\n", "+13\n", "-12\n", "+\n", "nonsense\n", "+14"]) == {13, 14}


def test_a_free_port_is_the_preferred_one_unless_somebody_has_it() -> None:
    port = free_port()

    assert free_port(port) == port
    assert free_port(port, taken=[port]) != port
