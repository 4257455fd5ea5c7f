"""How many journeys of the enterprise kind the simulator carries out in a second, on one core.

python -m benchmarks.simulator [--seconds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from firstmile import paths
from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import DAY
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import parse_instant
from firstmile.journey.loader import load
from firstmile.journey.route import route_of
from firstmile.journey.simulator import ScriptLine, Simulation, simulate
from firstmile.journey.slices import cut

AT = parse_instant("2026-03-06T08:12:00Z")
TRAITS = {"plan": "enterprise", "seats": 400, "region": "eu", "sso": True, "go_live": "2026-04-20"}


def _script() -> list[ScriptLine]:
    """An enterprise customer with whom everything happens that the journey knows."""
    inputs: list[tuple[float, Event | Command]] = [
        (1.02, Event("user.logged_in", "e1")),
        (2.05, Command("complete", step="contract", actor="ann")),
        (4.06, Command("complete", step="billing", actor="ann")),
        (5.01, Event("kickoff.held", "e2")),
        (8.02, Event("data.imported", "e3", properties={"rows": 1200})),
        (9.01, Command("complete", step="success_plan", actor="ann")),
        (12.0, Command("pause", actor="ann")),
        (15.0, Command("resume", actor="ann")),
        (16.0, Event("training.completed", "e4", properties={"session": "enterprise-admin"})),
        *((30.0 + n / 3, Event("report.published", f"r{n}")) for n in range(5)),
    ]
    return [ScriptLine(AT + int(days * DAY), 0, given) for days, given in inputs]


def _customers() -> Iterator[Simulation]:
    file = paths.journeys() / "enterprise.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    route = route_of(journey.canonical_json())
    calendar = Calendar(cut("Europe/Berlin", AT, AT + 140 * DAY, "DE"))
    script = _script()
    number = 0
    while True:
        number += 1
        yield simulate(
            route, calendar, Subject(f"c-{number}", "Europe/Berlin", "DE", traits=TRAITS), AT, script
        )


def main(seconds: float) -> None:
    """Measure, and print the figure."""
    customers = _customers()
    entries = len(next(customers).entries)
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        next(customers)
        count += 1
    rate = count / (time.perf_counter() - begin)
    print(f"{rate:.0f} enterprise journeys a second, {entries} journal entries each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    main(parser.parse_args().seconds)
