"""Running a command of ours as people do, with a caller's environment full of things that it must not use."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"
)
FIRSTMILE = Path(sys.executable).with_name("firstmile")
PATIENCE = 90.0
SECRETS = {
    "SENDGRID_API_KEY": "SG.a-real-one",
    "TEMPORAL_ADDRESS": "production.example:7233",
    "TEMPORAL_API_KEY": "a-real-one",
    "FIRSTMILE_DATABASE_URL": "postgresql://production.example/firstmile",
    "FIRSTMILE_MAIL_TRANSPORT": "sendgrid",
    "HTTPS_PROXY": "http://proxy.example:3128",
}


class Running:
    """A command of ours, its output collected, and everything it started, found by its state folder."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.place = place
        self._output = place / "output"
        self._mark = str(place / "temporary")
        (place / "temporary").mkdir()
        (place / "home").mkdir()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(place / "home"),
            "TMPDIR": self._mark,
            **SECRETS,
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [FIRSTMILE, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environ, cwd=place, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._output.read_text()

    def until(self, holds: Callable[[], object], patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not holds():
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def until_said(self, pattern: str) -> None:
        def holds() -> object:
            assert self.process.poll() is None or re.search(pattern, self.said), self.said
            return re.search(pattern, self.said)

        self.until(holds)

    def children(self) -> dict[int, str]:
        """Process ids and environments of everything that was started, but not of the command itself."""
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (os.getpid(), self.process.pid):
                try:
                    environ = (entry / "environ").read_text()
                except OSError:
                    continue
                if self._mark in environ:
                    found[int(entry.name)] = environ
        return found

    def end(self) -> None:
        for pid in [self.process.pid, *self.children()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    @property
    def left_behind(self) -> list[str]:
        return [path.name for path in (self.place / "temporary").iterdir()]
