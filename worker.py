"""Runs a worker: `python worker.py`. Settings come from the environment; SIGTERM drains it.

The same as `firstmile worker`, for those who look for it here.
"""

from __future__ import annotations

import typer

from firstmile import cli
from firstmile.cli.worker import worker

if __name__ == "__main__":
    cli.run(lambda: typer.run(worker))
