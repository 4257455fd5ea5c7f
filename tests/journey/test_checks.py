"""The checks as functions: what they take, what they leave alone, and where one word makes the difference.

The messages themselves are in tests/bad/journeys.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from firstmile.journey.checks import check, unavailable
from firstmile.journey.loader import load, load_checked
from firstmile.journey.model import Journey

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")

HEAD = "journey: small\nversion: 1\nonboarded: {milestone: value}\n"
ENDS = "ends: 60 days\n"
VALUE = "  - {id: value, milestone: {event: report.published}}\n"


def told(steps: str, *, head: str = HEAD + ENDS, value: str = VALUE, **known: list[str]) -> list[str]:
    loaded = load_checked(f"{head}steps:\n{value}{steps}", "f", **known)
    return [
        f"{'? ' if problem.severity == 'warning' else ''}{problem.field}: {problem.message}"
        for problem in loaded.problems
    ]


def test_a_journey_without_its_file_is_checked_too_without_lines() -> None:
    journey = load(EXAMPLE.replace("[workspace]", "[workspce]"), "f").journey
    assert journey is not None
    published = Journey.model_validate_json(journey.canonical_json())

    problems = check(published)

    assert [str(problem) for problem in problems if problem.severity == "error"] == [
        "team.yaml: steps.welcome.after: unknown step 'workspce' in after: did you mean 'workspace'?"
    ]
    assert str(check(published, file="published team 1")[0]).startswith("published team 1: ")


def test_templates_and_forms_are_looked_up_only_where_they_are_known() -> None:
    steps = "  - {id: a, after: [value], request: {form: company, template: ask}}\n"
    assert told(steps) == []
    assert told(steps, templates=["ask"], forms=["company"]) == []
    assert told(steps, templates=[]) == [
        "steps.a.request.template: unknown template 'ask': there is no folder templates/ask"
    ]
    assert told(steps, forms=[]) == [
        "steps.a.request.form: unknown form 'company': there is no file of it in forms/"
    ]


@pytest.mark.parametrize(
    ("step", "needed"),
    [
        ("{id: a, milestone: {event: x}}", True),
        ("{id: a, milestone: {event: x}, within: 3 days}", False),
        ("{id: a, provision: {system: s}}", True),
        ("{id: a, provision: {system: s}, within: 1 hour}", False),
        ("{id: a, after: [value], task: {title: T}}", True),
        ("{id: a, after: [value], checkin: {template: t}}", True),
        ("{id: a, after: [reached value], email: {template: t}}", False),
        ("{id: a, assign: {team: t}}", False),
        ("{id: a, wait: 3 days after start, email: {template: t}}", True),
        ("{id: a, after: [reached value], task: {title: T, due: 3 days after start}, within: 1 day}", True),
    ],
)
def test_ends_is_required_where_a_step_stays_open_without_within_or_moments_occur(
    step: str, needed: bool
) -> None:
    value = VALUE.replace("}}", "}, within: 14 days}")
    found = told(f"  - {step}\n", head=HEAD, value=value)
    assert any(message.startswith("ends: 'ends' is missing") for message in found) is needed


@pytest.mark.parametrize(
    ("when", "fine"),
    [
        ("traits.anything == 1", True),
        ("reached('value') and done('value') and skipped('a')", True),
        ("count('whatever.happened') > 2", True),
        ("owner.boss == 'x'", False),
        ("result('value').event == 'report.published'", True),
        ("result('value').low", False),
        ("result('a').anything", True),
        ("missed('value')", True),
        ("missed('a')", False),
    ],
)
def test_expressions_may_read_what_there_is(when: str, fine: bool) -> None:
    found = told(f'  - {{id: a, after: [value], when: "{when}", email: {{template: t}}}}\n')
    assert (found == []) is fine


def test_an_undeclared_trait_is_an_error_only_where_traits_are_declared() -> None:
    steps = "  - {id: a, after: [value], when: traits.plan, email: {template: t}}\n"
    assert told(steps) == []
    assert told(steps, head=HEAD + "ends: 60 days\ntraits: {}\n") == [
        "steps.a.when: unknown trait 'plan': declare it in 'traits'"
    ]


@pytest.mark.parametrize(
    ("after", "warned"),
    [
        ("[value]", True),
        ("[reached value]", False),
        ("[missed value]", False),
        ("[done value]", False),
        ("[value, reached value]", False),
    ],
)
def test_a_step_that_also_runs_when_its_milestone_was_missed_is_doubted(after: str, warned: bool) -> None:
    value = VALUE.replace("}}", "}, within: 14 days}")
    found = told(f"  - {{id: a, after: {after}, email: {{template: t}}}}\n", value=value)
    assert any("may be missed" in message for message in found) is warned


@pytest.mark.parametrize(
    ("cap", "steps", "worst"),
    [
        # Two in a week at a fixed distance of five days, against one a week.
        ("1, per: 1 week", "[value]; [a] 5 days", 2),
        # The same at a distance of seven days never falls into one week.
        ("1, per: 1 week", "[value]; [a] 7 days", None),
        # What hangs on different events may come together.
        ("1, per: 1 week", "[value]; [other]", 2),
        ("2, per: 1 week", "[value]; [other]", None),
        # A cap per day lets seven through in a week, one per three days three.
        ("1, per: 1 day", "[value]; " * 6 + "[value]", None),
        ("1, per: 1 day", "[value]; " * 7 + "[value]", 8),
        ("1, per: 3 days", "[value]; [value]; [value]", None),
        ("1, per: 3 days", "[value]; [value]; [value]; [value]", 4),
    ],
)
def test_more_messages_a_week_than_the_cap_in_the_worst_case(cap: str, steps: str, worst: int | None) -> None:
    lines = ["  - {id: other, milestone: {event: other}}"]
    for number, step in enumerate(steps.split("; ")):
        after, _, wait = step.partition(" ")
        more = f", wait: {wait}" if wait else ""
        lines.append(f"  - {{id: {chr(97 + number)}, after: {after}{more}, email: {{template: t}}}}")
    found = told("\n".join(lines), head=HEAD + f"ends: 60 days\ndefaults: {{cap: {{messages: {cap}}}}}\n")
    assert [message.split(" messages")[0].split()[-1] for message in found] == ([str(worst)] if worst else [])


def test_only_one_variant_counts_and_what_the_cap_does_not_hold_does_not() -> None:
    cap = "defaults: {cap: {messages: 1, per: 1 week}}\n"
    head = HEAD + ENDS + "experiments: {tone: {a: 1, b: 1}}\n" + cap
    variants = [
        f"  - {{id: {name}, after: [value], when: variant('tone') == '{name}', email: {{template: t}}}}\n"
        for name in "ab"
    ]
    free = "  - {id: c, after: [value], email: {template: t, class: transactional}}\n"
    assert told("".join(variants) + free, head=head) == []
    assert len(told("".join(variants) + free.replace("transactional", "marketing"), head=head)) == 1


def test_reminders_and_check_ins_count_as_messages() -> None:
    head = HEAD + "ends: 60 days\ndefaults: {cap: {messages: 2, per: 1 week}}\n"
    survey = (
        "  - {id: a, after: [value], within: 14 days, survey: {kind: nps, template: t, remind: REMIND}}\n"
    )
    checkin = "  - {id: a, after: [value], checkin: {template: t, every: EVERY, times: 5}}\n"
    assert told(survey.replace("REMIND", "4 days"), head=head) == []
    assert len(told(survey.replace("REMIND", "3 days"), head=head)) == 1
    assert told(checkin.replace("EVERY", "4 days"), head=head) == []
    assert len(told(checkin.replace("EVERY", "2 days"), head=head)) == 1


def test_what_is_not_yet_available_is_named_for_publishing_and_allowed_in_checking() -> None:
    text = f"""{HEAD}ends: 60 days
subject: user
steps:
{VALUE}  - {{id: a, after: [value], email: {{template: t, to: champion, cc: [boss]}}}}
  - {{id: b, after: [value], training: {{session: s, template: t, to: champion}}}}
  - {{id: c, provision: {{function: f}}}}
  - {{id: d, after: [value], request: {{form: f, template: t}}}}
  - {{id: e, after: [value], notify: {{to: sales, message: Hello}}}}
  - {{id: f, after: [value], webhook: {{system: crm}}}}
"""
    loaded = load_checked(text, "f.yaml")
    assert loaded.problems == []
    assert loaded.journey is not None
    assert [str(problem) for problem in unavailable(loaded.journey, document=loaded.document)] == [
        "f.yaml:5: subject: subject 'user' is not yet available: write customer",
        "f.yaml:8: steps.a.email.to: 'to' is not yet available: messages go to the primary contact",
        "f.yaml:8: steps.a.email.cc: 'cc' is not yet available: messages go to the primary contact",
        "f.yaml:9: steps.b.training.to: 'to' is not yet available: messages go to the primary contact",
        "f.yaml:10: steps.c.provision.function: 'function' is not yet available: write system",
        "f.yaml:11: steps.d.request: the kind 'request' is not yet available",
        "f.yaml:12: steps.e.notify: the kind 'notify' is not yet available",
        "f.yaml:13: steps.f.webhook: the kind 'webhook' is not yet available",
    ]


def test_the_example_is_available() -> None:
    journey = load(EXAMPLE, "f").journey
    assert journey is not None
    assert unavailable(journey) == []
