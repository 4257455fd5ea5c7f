"""Numbers kept beside the rows they count, so that reading a metric never counts a million rows.

A number changes in the transaction that changes the row, and only if the row changed: a retry, a replay or a
restart never counts twice. A transaction collects its changes and writes them in one statement, sorted, last
thing before it commits: no two transactions ever wait for each other in a circle, and none holds a number for
longer than its own commit. On PostgreSQL each number is spread over `SPREAD` rows: many commit at once.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from firstmile.store import dialect
from firstmile.store.tables import tallies

SPREAD: Final = {"sqlite": 1, "postgresql": 8}
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@dataclass(slots=True, frozen=True)
class Histogram:
    """The labels of a histogram, and the upper bounds of its buckets in seconds, rising."""

    labels: tuple[str, ...]
    bounds: tuple[float, ...]


COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "onboardings_started_total": ("segment",),
    "onboardings_finished_total": ("segment", "outcome"),
    "steps_total": ("segment", "kind", "outcome"),
    "messages_total": ("class", "outcome"),
    "message_events_total": ("event",),
    "survey_responses_total": ("kind", "bucket"),
    "provisioning_total": ("system", "outcome"),
    "commands_total": ("command", "outcome"),
    "events_total": ("outcome",),
    "webhook_requests_total": ("provider", "outcome"),
    "suppressed_total": ("reason",),
    "reconciler_drift_total": ("kind", "outcome"),
    "customers": ("segment", "status", "stage"),
    "answers": ("segment", "kind", "bucket"),
}
"""Each number and its labels. Those without `_total` also fall: they say how many there are now."""

KEPT: Final[dict[str, tuple[str, ...]]] = {"load": ("person",)}
"""Numbers for the store's own use: no metrics, since their labels have no bound."""

HISTOGRAMS: Final[dict[str, Histogram]] = {
    "time_to_first_value_seconds": Histogram(
        ("segment",),
        (HOUR, 6 * HOUR, *(days * DAY for days in (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120))),
    ),
    "step_lag_seconds": Histogram(("kind",), (0.5, 1, 5, 15, 60, 300, 900, HOUR, 4 * HOUR, DAY)),
}

_turn = itertools.count()


@cache
def _add(name: str) -> dialect.Insert:
    new = dialect.insert(name, tallies)
    return new.on_conflict_do_update(
        index_elements=[tallies.c.metric, tallies.c.labels, tallies.c.slot],
        set_={"value": tallies.c.value + new.excluded.value},
    )


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as they are stored."""
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))


class Tallies:
    """The changes of one transaction, not yet written."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], float] = {}

    def count(self, metric: str, labels: Mapping[str, str], by: float = 1) -> None:
        """Change a number of `COUNTS` or `KEPT`. Raises `KeyError` for an unknown one or a missing label."""
        names = COUNTS[metric] if metric in COUNTS else KEPT[metric]
        self._add(metric, {name: labels[name] for name in names}, by)

    def pending(self, metric: str, labels: Mapping[str, str]) -> float:
        """By how much this transaction is going to change a number."""
        return self._changes.get((metric, labels_text(labels)), 0)

    def observe(self, metric: str, labels: Mapping[str, str], seconds: float, by: int = 1) -> None:
        """Add one observation to a histogram of `HISTOGRAMS`, or take one back (`by` is -1)."""
        histogram = HISTOGRAMS[metric]
        chosen = {label: labels[label] for label in histogram.labels}
        place = bisect_left(histogram.bounds, seconds)
        bound = f"{histogram.bounds[place]:g}" if place < len(histogram.bounds) else "+Inf"
        self._add(f"{metric}_bucket", {**chosen, "le": bound}, by)
        self._add(f"{metric}_sum", chosen, seconds * by)

    async def write(self, connection: AsyncConnection) -> None:
        """Write what was collected, in one statement."""
        changes = {key: by for key, by in self._changes.items() if by}
        if not changes:
            return
        name = connection.dialect.name
        slot = next(_turn) % SPREAD[name]
        await connection.execute(
            _add(name),
            [
                {"metric": metric, "labels": labels, "slot": slot, "value": float(by)}
                for (metric, labels), by in sorted(changes.items())
            ],
        )

    def _add(self, metric: str, labels: Mapping[str, str], by: float) -> None:
        key = metric, labels_text(labels)
        self._changes[key] = self._changes.get(key, 0) + by
