"""What the tests of activities are built from: a customer, the request of an effect, one attempt at it as a
worker makes it, and a store that is looked at as a whole, or fails where it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from firstmile.contracts import Clock, EffectOutcome, EffectRequest, Records
from firstmile.journey.instants import Instant, from_datetime
from firstmile.journey.journal import Entry, View
from firstmile.journey.scope import Facts
from firstmile.standins.serving import App, Receive, Scope, Send
from firstmile.store import journal, views
from firstmile.store.database import Database
from firstmile.store.profiles import Contact, Profile
from firstmile.store.tables import metadata
from tests.mail.building import FILES, SetClock
from workflows.outbox import Carrier, Outbox

ANNELISE = Profile(
    "c-1",
    "Annelise Quandt",
    "annelise@quandt.example",
    "Quandt Maschinenbau",
    contacts=(Contact("sponsor", "Borwin Boss", "borwin@quandt.example"),),
    locale="de",
    timezone="Europe/Berlin",
)
PERSONAL = ("annelise", "quandt", "maschinenbau", "borwin")
"""What of the customer no log, no error and no start may hold: each in small letters."""

_PAGE = """{{% extends "_layout/base.html.j2" %}}
{{% block heading %}}{0}{{% endblock %}}
{{% block content %}}<p>{1}</p>{{% endblock %}}
"""
_LINKS = {name: f"https://x.example/{name}" for name in ("preferences", "survey", "app")} | {
    "checkin_good": "https://x.example/c?answer=good",
    "checkin_help": "https://x.example/c?answer=help",
}
_SAMPLE = json.dumps({"customer": {"name": "Ann", "email": "ann@example.com"}, "links": _LINKS})
TEMPLATES = FILES | {
    "nps/subject.txt.j2": "How are we doing?",
    "nps/body.html.j2": _PAGE.format("How are we doing?", "{{ links.survey }}"),
    "nps/body.txt.j2": "Answer {{ links.survey }}\nOpen {{ links.app }}\nStop {{ links.preferences }}\n"
    "Reminder {{ step.reminder }}\n{{ brand.address }}\n",
    "nps/sample.json": _SAMPLE,
    "check_in/subject.txt.j2": "All good?",
    "check_in/body.html.j2": _PAGE.format("All good?", "{{ links.checkin_good }}"),
    "check_in/body.txt.j2": "Good {{ links.checkin_good }}\nHelp {{ links.checkin_help }}\n"
    "Stop {{ links.preferences }}\n{{ brand.address }}\n",
    "check_in/sample.json": _SAMPLE,
}

OPENS = frozenset({"training", "survey", "checkin", "task"})
"""Kinds whose success is that their step is open."""
VIEW, SUCCESS = 11, 12
"""The numbers of the views that a request carries: as it is, and as it will be."""

Given = TypeVar("Given")
Returned = TypeVar("Returned")


@dataclass
class Ask:
    """Makes the requests of a customer's effects, as the workflow would."""

    now: SetClock
    enrolled: Instant = field(init=False)

    def __post_init__(self) -> None:
        self.enrolled = from_datetime(self.now())

    def __call__(
        self,
        kind: str,
        step: str | None = None,
        *,
        purpose: str = "run",
        params: dict[str, Any] | None = None,
        owners: dict[str, str] | None = None,
        foretold: dict[str, str] | None = None,
        subject: str = "c-1",
        **other: Any,
    ) -> EffectRequest:
        """The request of an effect. `owners` are known by role, `foretold` those of the view that its success
        brings."""
        name = step or kind
        at = other.get("at", self.enrolled)
        running = {name: ("running", at)}
        change: Any = "occurred" if purpose != "run" else "open" if kind in OPENS else "done"
        known = dict(owners or {})
        values: dict[str, Any] = {
            "subject": subject,
            "enrolment": 1,
            "segment": "team",
            "version": 1,
            "step": name,
            "kind": kind,
            "purpose": purpose,
            "occurrence": 1,
            "attempt": 1,
            "params": params or {},
            "facts": Facts(day=0, owners=known),
            "timezone": "Europe/Berlin",
            "locale": "de",
            "clock": Clock(self.enrolled),
            "at": at,
            "not_after": None,
            "records": Records(
                subject,
                1,
                "team",
                1,
                [Entry(1, at, "running", name, kind)],
                View(VIEW, "active", None, None, None, running, known),
                Entry(2, 0, change, name, kind),
                View(SUCCESS, "active", None, None, None, {name: (change, at)}, known | (foretold or {})),
            ),
        }
        return EffectRequest(**(values | other))


def across(value: Returned) -> Returned:
    """What the other side of Temporal's border sees of a value."""
    converter = pydantic_data_converter.payload_converter
    found = converter.from_payloads(converter.to_payloads([value]), [type(value)])[0]
    return cast(Returned, found)


async def attempt(activity: Callable[[Given], Awaitable[Returned]], given: Given) -> Returned:
    """One attempt, as a worker makes it: in an activity's context, with what came across the border."""
    return across(await ActivityEnvironment().run(activity, across(given)))


def told(error: BaseException) -> str:
    """Everything that Temporal keeps of an attempt that failed."""
    converter, failure = pydantic_data_converter, Failure()
    converter.failure_converter.to_failure(error, converter.payload_converter, failure)
    return str(failure)


class Switch:
    """Serves the application that is put in: one server for the systems of all tests."""

    def __init__(self) -> None:
        self.app: App | None = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


def is_discreet(words: str) -> bool:
    """Whether nothing of the customer's stands in it."""
    return not any(word in words.lower() for word in PERSONAL)


# ---- the store -------------------------------------------------------------------------------------------


async def contents(db: Database) -> dict[str, list[str]]:
    """Every row of every table: what is written twice, or too early, shows."""
    async with db.reading() as tx:
        return {
            table.name: [str(row) for row in await tx.all(select(table))] for table in metadata.sorted_tables
        }


async def journal_of(db: Database, subject: str = "c-1") -> list[Entry]:
    async with db.reading() as tx:
        return await journal.read(tx, subject, 1)


async def view_of(db: Database, subject: str = "c-1") -> View | None:
    async with db.reading() as tx:
        found = await views.get(tx, subject, 1)
    return None if found is None else found.view


async def rode(db: Database, request: EffectRequest, outcome: EffectOutcome) -> bool:
    """Whether the store has what rode on an effect, and its success if, and only if, it was done."""
    carried, done = request.records, outcome.outcome == "done"
    expected = [entry.number for entry in carried.entries]
    entries = await journal_of(db, request.subject)
    view = await view_of(db, request.subject)
    if not done:
        return [entry.number for entry in entries] == expected and view == carried.view
    (last,) = [entry for entry in entries if entry.number not in expected]
    assert carried.success is not None
    return (last.number, last.change, last.at) == (
        carried.success.number,
        carried.success.change,
        outcome.at,
    ) and (view is not None and view.number == SUCCESS)


def believed(request: EffectRequest, outcome: EffectOutcome) -> View | None:
    """The view that the workflow takes for written when an effect came back."""
    outbox = Outbox()
    outbox.delivered(Carrier(request.records, request.step), outcome)
    return outbox.acknowledged


@asynccontextmanager
async def broken(db: Database, table: str = "views") -> AsyncIterator[None]:
    """A store that cannot write into one table meanwhile. Views are written last, so that everything else of
    their transaction has been written by then: it is as if the process were killed before the commit."""
    for what in ("INSERT", "UPDATE"):
        await _execute(
            db,
            f"CREATE TRIGGER broken_{what} BEFORE {what} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        )
    yield
    for what in ("INSERT", "UPDATE"):
        await _execute(db, f"DROP TRIGGER broken_{what}")


async def dies(db: Database, activity: Callable[[Given], Awaitable[Returned]], given: Given) -> None:
    """An attempt that does its work and never comes to write it down; what Temporal hears is discreet."""
    async with broken(db):
        with pytest.raises(IntegrityError) as died:
            await attempt(activity, given)
    words = told(died.value)
    assert "the disk is full" in words
    assert is_discreet(words)


async def _execute(db: Database, statement: str) -> None:
    async with db.writing() as tx:
        await tx.execute(text(statement))
