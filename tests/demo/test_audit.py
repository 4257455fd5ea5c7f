"""The audit finds what was lost, doubled or stuck for good, and nothing where all went well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from firstmile.demo.audit import Books, Call, Evidence, Finding, audit, decisions, summarise
from firstmile.demo.cast import CAST
from firstmile.demo.customers import Customer, Ending
from firstmile.journey.journal import Entry, View
from firstmile.store.ledger import Decision, Message

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
CUSTOMER: Customer = replace(CAST[0], ending=Ending(steps={"workspace": "done"}))
AGAIN = Decision(NOW, "sent again: the provider has no trace of it")


def message(key: str = "k1", step: str = "welcome", **changes: Any) -> Message:
    whole = Message(
        key=key,
        subject=CUSTOMER.id,
        enrolment=1,
        segment=CUSTOMER.segment,
        step=step,
        purpose="run",
        template=step,
        message_class="transactional",
        recipient="somebody@there.example",
        state="accepted",
        fate=None,
        fate_at=None,
        verdict="open",
        token=None,
        lease_until=None,
        provider_id="p",
        reason=None,
        decisions=(),
        sends=1,
        given_up_at=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(whole, **changes)


def view(status: str = "completed", onboarded: int | None = 1, **phases: str) -> View:
    steps: Mapping[str, tuple[str, int | None]] = {step: (phase, 1) for step, phase in phases.items()}
    return View(9, status, None, onboarded, None, dict(steps))  # type: ignore[arg-type]  # a status's name


def entry(number: int, step: str | None, kind: str | None, change: str, **more: Any) -> Entry:
    return Entry(number, number, change, step, kind, **more)  # type: ignore[arg-type]  # a change's name


GOOD = Evidence(
    customer=CUSTOMER,
    view=view(workspace="done", welcome="done", ease="done"),
    journal=[
        entry(1, "workspace", "provision", "done"),
        entry(2, "welcome", "email", "done"),
        entry(3, "ease", "survey", "open"),
        entry(4, "ease", "survey", "done"),
        entry(5, None, None, "onboarded", seconds=2 * 86_400.0),
    ],
    messages=[message(), message("k2", "ease")],
    answered=["ease"],
    recorded=["ease"],
    resources={"workspace": "r1"},
)
BOOKS = Books(letters={"k1": 1, "k2": 1}, calls=[Call("c1", "provision", "r1", 1)])


def kinds(evidence: Evidence, books: Books = BOOKS) -> list[str]:
    return [finding.kind for finding in audit([evidence], books)]


def test_nothing_is_found_where_all_went_well() -> None:
    assert audit([GOOD], BOOKS) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"view": None}, "lost"),
        ({"view": replace(GOOD.view or view(), status="active")}, "stuck"),
        ({"view": replace(GOOD.view or view(), status="stuck")}, "stuck"),
        ({"view": replace(GOOD.view or view(), status="stopped")}, "unexpected"),
        ({"view": replace(GOOD.view or view(), onboarded_at=None)}, "unexpected"),
        ({"view": view(workspace="skipped", welcome="done", ease="done")}, "unexpected"),
        ({"messages": [message(), message("k2", "ease", state="rejected")]}, "lost"),
        ({"messages": [message(), message("k2", "ease", state="sending")]}, "lost"),
        ({"messages": [message(), message("k2", "ease", state="prepared", verdict=None)]}, "lost"),
        ({"messages": [message(), message("k2", "ease", state="unknown")]}, "lost"),
        ({"recorded": []}, "lost"),
        ({"recorded": ["ease", "ease"]}, "doubled"),
        ({"open_tasks": ["call"]}, "unexpected"),
    ],
)
def test_what_is_wrong_with_a_customer_is_found(changes: dict[str, Any], kind: str) -> None:
    assert kind in kinds(replace(GOOD, **changes))


def test_a_message_that_came_twice_is_doubled_unless_that_was_decided() -> None:
    twice = replace(BOOKS, letters={"k1": 2, "k2": 1})

    assert audit([GOOD], twice) == [
        Finding(
            "doubled",
            CUSTOMER.segment,
            CUSTOMER.id,
            "a message came 2 times (welcome, run), and 1 is what was decided",
        )
    ]
    decided = replace(GOOD, messages=[message(decisions=(AGAIN,), sends=2), message("k2", "ease")])
    assert kinds(decided, twice) == []
    assert kinds(decided, replace(BOOKS, letters={"k1": 3, "k2": 1})) == ["doubled"]
    decided_not_to = replace(GOOD, messages=[message(decisions=(AGAIN,), sends=1), message("k2", "ease")])
    assert kinds(decided_not_to, twice) == ["doubled"]
    sent_after_a_refusal = replace(GOOD, messages=[message(sends=2), message("k2", "ease")])
    assert kinds(sent_after_a_refusal, twice) == ["doubled"]
    assert kinds(sent_after_a_refusal) == []
    assert decisions([decided, GOOD]) == {AGAIN.text: 1}


def test_a_message_that_was_accepted_and_never_came_is_lost() -> None:
    assert kinds(GOOD, replace(BOOKS, letters={"k1": 1})) == ["lost"]


def test_a_message_that_no_ledger_knows_is_unexpected() -> None:
    (found,) = audit([GOOD], replace(BOOKS, letters={"k1": 1, "k2": 1, "k9": 1}))

    assert found == Finding("unexpected", "", "", "the inbox has a message that no ledger knows: k9")


def test_a_step_that_was_done_without_a_message_is_lost() -> None:
    assert kinds(replace(GOOD, messages=[message()]), replace(BOOKS, letters={"k1": 1})) == ["lost"]


@pytest.mark.parametrize(
    "skipped",
    [
        message("k3", "rescue", state="prepared", verdict="skipped", sends=0),
        message("k3", "rescue", state="prepared", verdict="deferred", sends=0),
        message("k3", "rescue", state="unknown", given_up_at=NOW, decisions=(AGAIN,)),
    ],
)
def test_what_was_decided_is_not_lost(skipped: Message) -> None:
    assert kinds(replace(GOOD, messages=[*GOOD.messages, skipped])) == []


@pytest.mark.parametrize(
    ("calls", "kind"),
    [
        ([], "lost"),
        ([Call("c1", "provision", "r1", 1), Call("c2", "provision", "r1", 1)], "doubled"),
    ],
)
def test_what_was_set_up_is_held_against_the_systems_own_record(calls: list[Call], kind: str) -> None:
    assert kinds(GOOD, replace(BOOKS, calls=calls)) == [kind]


def test_the_same_call_repeated_is_no_second_one() -> None:
    assert kinds(GOOD, replace(BOOKS, calls=[Call("c1", "provision", "r1", 3)])) == []


def test_what_is_undone_was_told_to_the_system() -> None:
    gone = replace(
        GOOD,
        customer=replace(CUSTOMER, ending=Ending(steps={"workspace": "undone"})),
        journal=[*GOOD.journal, entry(6, "workspace", "provision", "undone")],
    )

    assert kinds(gone) == ["lost"]
    assert kinds(gone, replace(BOOKS, calls=[*BOOKS.calls, Call("c2", "undo", "r1", 1)])) == []


def test_the_summary_counts_by_segment() -> None:
    team = replace(CUSTOMER, id="other", segment="team")
    second = replace(
        GOOD,
        customer=replace(CUSTOMER, id="third"),
        journal=[entry(1, None, None, "onboarded", seconds=4 * 86_400.0)],
        messages=[],
    )
    lost = Evidence(team, None)
    everybody = [GOOD, second, lost]

    found = summarise(everybody, BOOKS, audit(everybody, BOOKS))

    assert [one.segment for one in found] == ["self_serve", "team"]
    first, other = found
    assert (first.started, first.onboarded, first.finished, first.first_value) == (2, 2, 2, 3.0)
    assert (first.messages, first.answers, first.stuck, first.lost, first.doubled) == (2, 2, 0, 0, 0)
    assert (other.started, other.onboarded, other.first_value, other.lost) == (0, 0, None, 1)
