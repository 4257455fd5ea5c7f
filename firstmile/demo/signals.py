"""Ending in order: by Ctrl-C, by SIGTERM, and by a terminal that is closed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


def cancelled_by_signals() -> None:
    """From now on these signals cancel the current task, which stops what it started and ends."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def terminal_closed() -> None:
        # Whatever is still said has nowhere to go, and must not fail for it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        # A terminal that closes after Ctrl-C is no second Ctrl-C: what is being stopped goes on stopping.
        if not task.cancelling():
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, task.cancel)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, terminal_closed)
