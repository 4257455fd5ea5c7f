"""Ending in order: by Ctrl-C, by SIGTERM, and by a terminal that is closed."""

from __future__ import annotations

import asyncio
import signal


def cancelled_by_signals() -> None:
    """From now on these signals cancel the current task, which stops what it started and ends."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
