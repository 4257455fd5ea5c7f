"""Ends the demo's processes when the demo itself is gone, however it went.

Run as a file of its own, with nothing but the standard library: `python -I -S watchdog.py GRACE`. It reads
`+PID` and `-PID` from its standard input, one a line. The end of input means that the demo has ended, by a
`kill -9` perhaps: every process group still known is asked to end, and killed after so many seconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

STEP = 0.05
"""Seconds between two looks at whether a group has ended."""


def known(lines: Iterable[str]) -> set[int]:
    """The process groups that are left when the input ends."""
    groups: set[int] = set()
    for line in lines:
        sign, pid = line[:1], line[1:].strip()
        if pid.isdigit():
            (groups.add if sign == "+" else groups.discard)(int(pid))
    return groups


def end(groups: set[int], grace: float) -> None:
    """Ask every group to end, wait so many seconds, and kill what is left."""
    deadline = time.monotonic() + grace
    left = {group for group in groups if send(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(STEP)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False if there is none any more."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    # Whatever ends the demo must not end its watchdog first.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    end(known(sys.stdin), float(sys.argv[1]))
