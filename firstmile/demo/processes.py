"""Processes of the demo: each in a group of its own, with a log file, watched, and stopped by its own id.

Ctrl-C reaches the demo alone, which then stops its processes in order. If it cannot (killed outright), the
watchdog does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from firstmile.demo import watchdog

LOOPBACK: Final = "127.0.0.1"
GRACE: Final = 15.0
"""Seconds that a process is given to end by itself."""

ORPHANS_GRACE: Final = 5.0
"""The same, when the demo was killed and nothing is left to be saved."""

TAIL: Final = 15
"""How many lines of a dead process's log are shown."""

_LOOK: Final = 0.1
"""Seconds between two looks at a process."""

# Below the range from which systems take ports for outgoing connections, so that none of those takes a port
# between its being chosen here and being listened on.
_PORTS: Final = range(15_000, 32_000)


class ProcessDied(Exception):
    """A process ended that should have gone on."""

    def __init__(self, name: str, status: int, tail: Sequence[str], log: Path) -> None:
        super().__init__(f"{name} ended unexpectedly, with status {status}; its log is {log}")
        self.name, self.status, self.tail, self.log = name, status, list(tail), log


class NotReady(Exception):
    """A process did not answer in time."""


def free_port(preferred: int | None = None, taken: Collection[int] = ()) -> int:
    """A loopback port that nobody listens on: the preferred one if it is free, else any."""
    chance = random.SystemRandom()
    wanted = [] if preferred is None else [preferred]
    for port in (*wanted, *(chance.choice(_PORTS) for _ in range(500))):
        if port not in taken and _is_free(port):
            return port
    raise NotReady("no free port was found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: a port whose last connections are only fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class Watchdog:
    """The one process that outlives the demo, for as long as it takes to end the others."""

    def __init__(self, grace: float = ORPHANS_GRACE) -> None:
        file = str(Path(watchdog.__file__).resolve())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", file, str(grace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def watch(self, pid: int) -> None:
        """End this process group if the demo goes."""
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        """This one has ended."""
        self._tell(f"-{pid}")

    def close(self) -> None:
        """Let it end; what it still knows, it ends first."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


class Process:
    """A running process, started in `directory`, with this environment and no other, its output in a log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environ: Mapping[str, str],
        directory: Path,
        watched: Watchdog,
    ) -> None:
        self.name, self.log = name, directory / f"{name}.log"
        self.is_stopping = False
        self._command, self._environ, self._directory = command, dict(environ), directory
        self._watchdog = watched
        # Not asyncio's: between its forking and its returning there is room for a Ctrl-C, and a lost process.
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=self._environ,
                start_new_session=True,
            )
        watched.watch(self.pid)

    def again(self) -> Process:
        """The same, started anew."""
        return Process(
            self.name,
            self._command,
            environ=self._environ,
            directory=self._directory,
            watched=self._watchdog,
        )

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    async def ended(self) -> ProcessDied:
        """Wait until it ends; the error that this is, if nobody stopped it."""
        while self.is_running:  # noqa: ASYNC110  # the system has no event to wait for
            await asyncio.sleep(_LOOK)
        return ProcessDied(self.name, self._process.returncode, tail(self.log), self.log)

    async def ready(self, probe: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until `probe` says so. Raises `ProcessDied`, or `NotReady` after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.is_running:
                    if await probe():
                        return
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            last = "\n".join(tail(self.log))
            raise NotReady(f"{self.name} was not ready after {seconds:.0f} seconds:\n{last}") from None
        raise await self.ended()

    async def stop(self, grace: float = GRACE) -> bool:
        """Ask it to end, and kill its group after so many seconds. False if it had to be killed."""
        self.is_stopping = True
        self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), grace)
        graceful = not self.is_running
        # What it may have started itself is in its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.ended()
        self._watchdog.forget(self.pid)
        return graceful


def tail(log: Path, lines: int = TAIL) -> list[str]:
    """The last lines of a log."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64_000))
        return file.read().decode(errors="replace").splitlines()[-lines:]
