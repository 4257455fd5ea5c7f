"""Was anything lost, doubled, or stuck for good? What came out, held against what was done. Pure.

Three books are compared that nobody keeps together: what the stand-ins say they were sent, what the ledger
says was sent, and what the journal says became of each step. What the demo meant to do is not evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from firstmile.demo.customers import Customer
from firstmile.journey.journal import FINISHED, Entry, View
from firstmile.store.ledger import Message

Kind = Literal["lost", "doubled", "stuck", "unexpected"]

WRITTEN: Final = frozenset({"email", "training", "survey"})
"""Kinds of step of which a message is left behind when they are done or open."""

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be. `customer` is an id, or empty where nobody knows whose it is."""

    kind: Kind
    segment: str
    customer: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a system carried out, and how often its key came."""

    key: str
    type: str
    resource: str
    times: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is about one customer when all is over. `view` is None if they were never enrolled.

    `answered`: steps whose question was answered on a page that said thanks, one for each answer; `recorded`:
    likewise, as stored. `open_tasks`: steps whose task is still open. `resources`: ids of what was asked for.
    """

    customer: Customer
    view: View | None
    journal: Sequence[Entry] = ()
    messages: Sequence[Message] = ()
    answered: Sequence[str] = ()
    recorded: Sequence[str] = ()
    open_tasks: Sequence[str] = ()
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Books:
    """What the stand-ins kept: how often each message came, by its key, and every call by its key."""

    letters: Mapping[str, int]
    calls: Sequence[Call] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """One segment at the end. `first_value` is the median time to it, in days of journey time."""

    segment: str
    started: int
    onboarded: int
    first_value: float | None
    messages: int
    answers: int
    finished: int
    stuck: int
    lost: int
    doubled: int


def audit(evidence: Iterable[Evidence], books: Books) -> list[Finding]:
    """Everything that is wrong, customer by customer."""
    found: list[Finding] = []
    known: set[str] = set()
    for one in evidence:
        known |= {message.key for message in one.messages}
        for kind, text in _problems(one, books):
            found.append(Finding(kind, one.customer.segment, one.customer.id, text))
    for key in sorted(books.letters.keys() - known):
        found.append(Finding("unexpected", "", "", f"the inbox has a message that no ledger knows: {key}"))
    return found


def summarise(evidence: Sequence[Evidence], books: Books, findings: Sequence[Finding]) -> list[Summary]:
    """The segments, in the order of the evidence."""
    segments = list(dict.fromkeys(one.customer.segment for one in evidence))
    return [
        _summary(segment, [one for one in evidence if one.customer.segment == segment], books, findings)
        for segment in segments
    ]


def decisions(evidence: Iterable[Evidence]) -> Counter[str]:
    """What was decided about messages of which nobody knew whether they had been sent, and how often."""
    return Counter(
        decision.text for one in evidence for message in one.messages for decision in message.decisions
    )


def outcome(evidence: Evidence, step: str) -> str:
    """How a step ended: its phase, or `undone`."""
    if any(entry.step == step and entry.change == "undone" for entry in evidence.journal):
        return "undone"
    phase = evidence.view.steps.get(step) if evidence.view is not None else None
    return "unknown" if phase is None else phase[0]


def _problems(one: Evidence, books: Books) -> Iterator[tuple[Kind, str]]:
    if one.view is None:
        yield "lost", "signed up, and was never enrolled"
        return
    yield from _ending(one, one.view)
    for message in one.messages:
        yield from _message(message, books.letters.get(message.key, 0))
    yield from _unwritten(one)
    yield from _answers(one)
    for step in one.open_tasks:
        if one.view.status in FINISHED:
            yield "unexpected", f"the task of {step} is still open, and the journey is over"
    yield from _provisions(one, books)


def _ending(one: Evidence, view: View) -> Iterator[tuple[Kind, str]]:
    if view.status not in FINISHED:
        failed = [step for step, (phase, _) in view.steps.items() if phase == "failed"]
        reasons = {entry.step: entry.reason for entry in one.journal if entry.change == "failed"}
        why = "; ".join(f"{step} failed: {reasons.get(step)}" for step in failed)
        yield "stuck", f"is still {view.status}" + (f" ({why})" if why else "")
        return
    ending = one.customer.ending
    if view.status != ending.status:
        yield "unexpected", f"was to be {ending.status}, and is {view.status}"
    if (view.onboarded_at is not None) != ending.onboarded:
        yield "unexpected", "was onboarded" if view.onboarded_at is not None else "was never onboarded"
    for step, wanted in ending.steps.items():
        if (came := outcome(one, step)) != wanted:
            yield "unexpected", f"{step} was to be {wanted}, and is {came}"


def _message(message: Message, copies: int) -> Iterator[tuple[Kind, str]]:
    what = f"{message.step}, {message.purpose}"
    # Setting out again is only right after a decision, and a decision may also have been not to.
    allowed = max(1, min(message.sends, 1 + len(message.decisions)))
    if copies > allowed:
        yield "doubled", f"a message came {copies} times ({what}), and {allowed} is what was decided"
    match message.state:
        case "accepted" if copies == 0:
            yield "lost", f"a message was accepted and never came ({what})"
        case "rejected":
            yield "lost", f"a message was refused: {message.reason} ({what})"
        case "prepared" if message.verdict not in ("skipped", "deferred"):
            yield "lost", f"a message was prepared and nothing was decided ({what})"
        case "sending":
            yield "lost", f"a message is being sent for ever ({what})"
        case "unknown" if message.given_up_at is None:
            yield "lost", f"nobody knows, or decided, what became of a message ({what})"


def _unwritten(one: Evidence) -> Iterator[tuple[Kind, str]]:
    """Steps that the journal says were done, and of which no message was sent."""
    sent = {message.step for message in one.messages if message.state in ("accepted", "unknown")}
    ran = {
        entry.step: None
        for entry in one.journal
        if entry.kind in WRITTEN and entry.change in ("open", "done") and entry.step is not None
    }
    for step in ran:
        if step not in sent:
            yield "lost", f"{step} is {outcome(one, step)}, and the ledger has no message of it"


def _answers(one: Evidence) -> Iterator[tuple[Kind, str]]:
    given, kept = Counter(one.answered), Counter(one.recorded)
    for step in given:
        if kept[step] < given[step]:
            yield "lost", f"{given[step]} answers to {step} were given, {kept[step]} are recorded"
        elif kept[step] > given[step]:
            yield "doubled", f"{given[step]} answers to {step} were given, {kept[step]} are recorded"


def _provisions(one: Evidence, books: Books) -> Iterator[tuple[Kind, str]]:
    for step, resource in one.resources.items():
        calls = [call for call in books.calls if call.resource == resource]
        made = [call for call in calls if call.type != "undo"]
        ended = outcome(one, step)
        if ended in ("done", "undone") and not made:
            yield "lost", f"{step} is {ended}, and its system was never asked"
        if len(made) > 1:
            yield "doubled", f"{step} was set up {len(made)} times"
        if ended == "undone" and len(made) == len(calls):
            yield "lost", f"{step} is undone, and its system was never told"


def _summary(
    segment: str, customers: Sequence[Evidence], books: Books, findings: Sequence[Finding]
) -> Summary:
    counts: dict[Kind, int] = {
        kind: sum(found.kind == kind and found.segment == segment for found in findings)
        for kind in ("lost", "doubled", "stuck")
    }
    days = [
        entry.seconds / _DAY
        for one in customers
        for entry in one.journal
        if entry.change == "onboarded" and entry.seconds is not None
    ]
    return Summary(
        segment=segment,
        started=sum(one.view is not None for one in customers),
        onboarded=sum(one.view is not None and one.view.onboarded_at is not None for one in customers),
        first_value=median(days) if days else None,
        messages=sum(books.letters.get(message.key, 0) for one in customers for message in one.messages),
        answers=sum(len(one.recorded) for one in customers),
        finished=sum(one.view is not None and one.view.status in FINISHED for one in customers),
        **counts,
    )
