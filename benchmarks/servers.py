"""A Temporal development server and a worker for one benchmark, as processes whose CPU can be read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firstmile import search_attributes

HERE = Path(__file__).resolve().parent
_KINDS = {"FirstmileVersion": "Int"}


@dataclass(frozen=True)
class Running:
    """A process and, for a server, where it listens."""

    process: subprocess.Popen[str]
    address: str = ""

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes of resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


@contextmanager
def temporal(folder: Path) -> Iterator[Running]:
    """A development server on a file, on a free loopback port."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("temporal")),
        *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)),
        *("--db-filename", str(folder / "temporal.db"), "--log-level", "error"),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
    ]
    for key in search_attributes.ALL:
        command += ["--search-attribute", f"{key.name}={_KINDS.get(key.name, 'Keyword')}"]
    with started(command, folder / "temporal.log") as process:
        deadline = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "temporal.log").read_text())
            time.sleep(0.05)
        yield Running(process, f"127.0.0.1:{port}")


@contextmanager
def worker(
    address: str, folder: Path, database_url: str, *, cached: int = 1000, reacting: bool = True
) -> Iterator[Running]:
    """The benchmark's worker, ready."""
    command = [sys.executable, "-m", "benchmarks.bench_worker", address, database_url, str(cached)]
    command.append("reacting" if reacting else "quiet")
    log = folder / "worker.log"
    with started(command, log) as process:
        deadline = time.monotonic() + 60
        while "ready" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        yield Running(process)


@contextmanager
def started(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process with its output in a log; asked to end at the end. Its environment is ours unless given."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, text=True, cwd=HERE.parent, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
