"""The judges as processes: found or installed, started on a free loopback port, stopped by their pid.

They come from the npm registry, with the versions and hashes of `package-lock.json`; node itself is the one
that the locked Playwright brings. What is missing makes a test skip on a machine of one's own, and fail in
CI.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from playwright._impl._driver import compute_driver_executable

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"
INSTALLED_WITHIN = 300
STARTED_WITHIN = 90


@dataclass(frozen=True)
class Judge:
    """A server that others wrote: where it answers, and what it says of what it was asked."""

    url: str
    port: int
    log: Path

    def said(self) -> str:
        """The end of its log, for the message of a test that fails."""
        return self.log.read_text(errors="replace")[-2000:]


def missing(what: str) -> NoReturn:
    """A judge cannot be had: that is a failure in CI, where .ci/run sees to it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: .ci/run installs what the judges need")
    pytest.skip(f"{what} is missing: without it this judge cannot be asked")


@cache
def node() -> str:
    """The node that runs judges: Playwright's, since Prism wants a newer one than distributions have."""
    found = Path(compute_driver_executable()[0])
    return str(found) if found.is_file() else shutil.which("node") or missing("node")


def java() -> str:
    """The java that runs WireMock: 17 or newer."""
    return shutil.which("java") or missing("java (default-jre-headless)")


def installed() -> Path:
    """`node_modules`, as the lock has it; installed by whichever process of a run comes first."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".stamp"
    with (HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            npm = shutil.which("npm") or missing("npm")
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=HERE, capture_output=True, text=True, timeout=INSTALLED_WITHIN, check=False,
            )  # fmt: skip
            if done.returncode:
                missing(f"what `npm ci` should have installed ({done.stderr.strip()[-500:]})")
            stamp.write_text(wanted)
    return MODULES


@contextmanager
def running(command: list[str], port: int, probe: str, log: Path) -> Iterator[Judge]:
    """A judge that answers at `probe`; ended at the end."""
    judge = Judge(f"http://127.0.0.1:{port}", port, log)
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd=log.parent, env=_environ(log.parent),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + STARTED_WITHIN
        while not _answers(judge.url + probe):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[1]} did not start: {judge.said()}")
            time.sleep(0.05)
        yield judge
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environ(folder: Path) -> Mapping[str, str]:
    """What a judge needs to run, and no more: no proxy and no key of ours is any of its business."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "JAVA_HOME") if name in os.environ}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder)}


def _answers(url: str) -> bool:
    try:
        with httpx.Client(trust_env=False, timeout=1) as client:
            client.get(url)
    except httpx.TransportError:
        return False
    return True
