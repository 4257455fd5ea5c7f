"""The numbers as Prometheus reads them: the names and labels that dashboards are written against."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firstmile.store.metrics import Sample, Snapshot
from firstmile.store.tallies import COUNTS
from firstmile.web.exposition import exposition

LABELS = {
    "firstmile_onboardings_started_total": {"segment"},
    "firstmile_onboardings_finished_total": {"segment", "outcome"},
    "firstmile_steps_total": {"segment", "kind", "outcome"},
    "firstmile_messages_total": {"class", "outcome"},
    "firstmile_message_events_total": {"event"},
    "firstmile_survey_responses_total": {"kind", "bucket"},
    "firstmile_provisioning_total": {"system", "outcome"},
    "firstmile_commands_total": {"command", "outcome"},
    "firstmile_events_total": {"outcome"},
    "firstmile_suppressed_total": {"reason"},
    "firstmile_webhook_requests_total": {"provider", "outcome"},
    "firstmile_customers": {"segment", "status"},
    "firstmile_hold": {"scope"},
}


def _sample(name: str, value: float, **labels: str) -> Sample:
    names = COUNTS.get(name, ("scope",))
    return Sample(tuple((one, labels.get(one, "x")) for one in names), value)


def _shown(snapshot: Snapshot) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(exposition(snapshot)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize("name", LABELS)
def test_a_metric_has_the_labels_that_were_promised(name: str) -> None:
    short = name.removeprefix("firstmile_")
    samples = {short: [_sample(short, 1)]}
    counted = short.endswith("_total")
    snapshot = Snapshot(samples if counted else {}, {} if counted else samples, {})

    assert [set(labels) for labels, _ in _shown(snapshot)[name]] == [LABELS[name]]


def test_customers_of_one_status_are_one_number_whatever_their_stage() -> None:
    samples = [
        _sample("customers", 2, segment="team", status="active", stage="sign-up"),
        _sample("customers", 3, segment="team", status="active", stage="mastery"),
        _sample("customers", 1, segment="team", status="stuck", stage="sign-up"),
    ]

    shown = _shown(Snapshot(counters={}, gauges={"customers": samples}, histograms={}))

    assert shown["firstmile_customers"] == [
        ({"segment": "team", "status": "active"}, 5.0),
        ({"segment": "team", "status": "stuck"}, 1.0),
    ]
