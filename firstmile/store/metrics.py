"""The numbers of the business, as they stand.

Read from `tallies`: that costs the same for a million customers as for one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from firstmile.store import delivery_events, holds
from firstmile.store.database import Reading
from firstmile.store.tables import tallies
from firstmile.store.tallies import COUNTS, HISTOGRAMS

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True, frozen=True)
class Sample:
    """One number. `labels` in the order of its metric's declaration."""

    labels: Labels
    value: float


@dataclass(slots=True, frozen=True)
class Observed:
    """One histogram: upper bounds in seconds, rising, the last infinite, each with how many are not above."""

    labels: Labels
    buckets: tuple[tuple[float, float], ...]
    sum: float


@dataclass(slots=True, frozen=True)
class Snapshot:
    """Every number by the name of its metric (without prefix); a metric with no sample yet has an empty list.

    `counters` only rise, `gauges` rise and fall.
    """

    counters: Mapping[str, list[Sample]]
    gauges: Mapping[str, list[Sample]]
    histograms: Mapping[str, list[Observed]]


async def snapshot(db: Reading, now: datetime) -> Snapshot:
    """The numbers at `now`: three statements."""
    summed = func.sum(tallies.c.value)
    grouped = select(tallies.c.metric, tallies.c.labels, summed).group_by(tallies.c.metric, tallies.c.labels)
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for metric, labels, value in await db.all(grouped.order_by(tallies.c.metric, tallies.c.labels)):
        found[metric].append((json.loads(labels), value))
    counters, gauges = (
        {
            metric: [
                Sample(tuple((name, one[name]) for name in names), value) for one, value in found[metric]
            ]
            for metric, names in COUNTS.items()
            if metric.endswith("_total") is rising
        }
        for rising in (True, False)
    )
    gauges["hold"] = [
        Sample((("scope", scope),), number) for scope, number in (await holds.counts(db, now)).items()
    ]
    told = await delivery_events.last_received(db)
    gauges["webhook_last_event_timestamp_seconds"] = (
        [] if told is None else [Sample((("provider", "sendgrid"),), told.timestamp())]
    )
    return Snapshot(counters, gauges, {metric: _histogram(metric, found) for metric in HISTOGRAMS})


def _histogram(metric: str, found: Mapping[str, list[tuple[dict[str, str], float]]]) -> list[Observed]:
    names = HISTOGRAMS[metric].labels
    counted: dict[Labels, dict[float, float]] = {}
    for one, number in found.get(f"{metric}_bucket", []):
        labels = tuple((name, one[name]) for name in names)
        bounds = dict.fromkeys((*HISTOGRAMS[metric].bounds, float("inf")), 0.0)
        counted.setdefault(labels, bounds)[float(one["le"])] = number
    sums = {
        tuple((name, one[name]) for name in names): total for one, total in found.get(f"{metric}_sum", [])
    }
    return [Observed(labels, _rising(buckets), sums.get(labels, 0.0)) for labels, buckets in counted.items()]


def _rising(buckets: Mapping[float, float]) -> tuple[tuple[float, float], ...]:
    total = 0.0
    rising = []
    for bound in sorted(buckets):
        total += buckets[bound]
        rising.append((bound, total))
    return tuple(rising)
