"""The store's numbers as Prometheus reads them: names, types, labels (DESIGN §4, Metrics)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from firstmile.store.metrics import Snapshot
from firstmile.store.tallies import COUNTS, HISTOGRAMS

PREFIX = "firstmile_"
_HELP = {
    "onboardings_started_total": "Customers that were started.",
    "onboardings_finished_total": "Customers whose journey ended.",
    "steps_total": "Steps that were settled, failed or undone.",
    "messages_total": "Messages by what we did with them.",
    "message_events_total": "What became of messages, as the provider tells.",
    "survey_responses_total": "Answers of customers.",
    "provisioning_total": "What systems answered when asked to set something up.",
    "commands_total": "Operators' commands.",
    "events_total": "Product events.",
    "webhook_requests_total": "Requests of mail providers' webhooks.",
    "webhook_last_event_timestamp_seconds": "When the newest event of a mail provider arrived.",
    "suppressed_total": "Messages stopped for good before they were sent, by reason.",
    "reconciler_drift_total": "Differences between store and Temporal that were found, repaired or left.",
    "customers": "Customers by where they stand.",
    "answers": "The answers that stand.",
    "hold": "Holds in force.",
    "time_to_first_value_seconds": "From enrolment to being onboarded, in journey time.",
    "step_lag_seconds": "How late steps started, in journey time.",
}


_GAUGE_LABELS = {
    "customers": ("segment", "status"),
    "hold": ("scope",),
    "webhook_last_event_timestamp_seconds": ("provider",),
}
"""Gauges whose labels are not those that the store counts by: the stage is for pages, not for Prometheus."""


def exposition(snapshot: Snapshot | None) -> str:
    """The text of `/metrics`. Without a snapshot, only that the store is away."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(snapshot))
    return generate_latest(registry).decode()


class _Numbers(Collector):
    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(f"{PREFIX}store_up", "Whether the store answers.")
        up.add_metric([], 0 if self._snapshot is None else 1)
        yield up
        if self._snapshot is None:
            return
        for name, samples in self._snapshot.counters.items():
            counter = CounterMetricFamily(PREFIX + name, _HELP[name], labels=COUNTS[name])
            for sample in samples:
                counter.add_metric([value for _, value in sample.labels], sample.value)
            yield counter
        for name, samples in self._snapshot.gauges.items():
            labels = _GAUGE_LABELS.get(name) or COUNTS[name]
            sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
            for sample in samples:
                known = dict(sample.labels)
                sums[tuple(known[label] for label in labels)] += sample.value
            gauge = GaugeMetricFamily(PREFIX + name, _HELP[name], labels=labels)
            for values, value in sums.items():
                gauge.add_metric(values, value)
            yield gauge
        for name, observed in self._snapshot.histograms.items():
            histogram = HistogramMetricFamily(PREFIX + name, _HELP[name], labels=HISTOGRAMS[name].labels)
            for one in observed:
                buckets = [(_bound(bound), total) for bound, total in one.buckets]
                histogram.add_metric([value for _, value in one.labels], buckets, one.sum)
            yield histogram


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:g}" if bound < 1 else f"{bound:.1f}"
