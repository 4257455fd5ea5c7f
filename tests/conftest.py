"""What all tests share: one source of time zones, and ports that are free.

Fixtures of one part of the house live in that part's own conftest.
"""

from __future__ import annotations

import os
import random
import socket
import zoneinfo
from collections.abc import Callable

import hypothesis
import pytest

# The same zone data on every machine: the tzdata package, never the system's. The variable is for processes
# that tests start.
os.environ["PYTHONTZPATH"] = ""
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

# A busy machine is no failure. In CI, Hypothesis has its own profile, without deadline and without chance.
if "CI" not in os.environ:
    hypothesis.settings.register_profile("firstmile", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("firstmile")

# Below the range from which the system takes ports for outgoing connections (32768 on Linux), so that none of
# those takes a port between its being chosen here and being listened on.
PORTS = range(15_000, 32_000)


@pytest.fixture(scope="session")
def free_port(worker_id: str) -> Callable[[], int]:
    """A function that gives a loopback port nobody listens on, never the same one twice."""
    given: set[int] = set()
    # Worker processes of one run choose from disjoint sets; separate runs are kept apart by chance.
    worker = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    mine = PORTS[worker % 16 :: 16]
    chance = random.SystemRandom()

    def choose() -> int:
        for _ in range(200):
            port = chance.choice(mine)
            if port in given:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            given.add(port)
            return port
        raise RuntimeError(f"no free port found in {PORTS}")

    return choose
