"""Gathering what the audit looks at: from the store, and from the stand-ins' own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from firstmile.contracts import resource_of
from firstmile.demo.audit import Books, Call, Evidence
from firstmile.demo.customers import Customer
from firstmile.demo.surroundings import Surroundings
from firstmile.store import journal, ledger, responses, tasks, views
from firstmile.store.database import Database, Reading


async def gather(
    database: Database, cast: Sequence[Customer], answered: Mapping[str, Sequence[str]]
) -> list[Evidence]:
    """What the store has of everybody, in the order of the cast."""
    async with database.reading() as db:
        return [await _of(db, customer, answered.get(customer.id, ())) for customer in cast]


async def books(client: httpx.AsyncClient, place: Surroundings) -> Books:
    """What the stand-ins were sent."""
    letters: dict[str, Any] = (await client.get(f"{place.inbox}/_standin/messages")).json()
    calls: dict[str, Any] = (await client.get(f"{place.systems}/_standin/calls")).json()
    return Books(
        letters=letters["sent"],
        calls=[Call(one["key"], one["type"], one["resource"], one["times"]) for one in calls["calls"]],
    )


async def _of(db: Reading, customer: Customer, answered: Sequence[str]) -> Evidence:
    found = await views.get(db, customer.id)
    if found is None:
        return Evidence(customer, None)
    entries = await journal.read(db, customer.id, found.enrolment)
    provisions = {entry.step for entry in entries if entry.kind == "provision" and entry.step is not None}
    return Evidence(
        customer=customer,
        view=found.view,
        journal=entries,
        messages=await ledger.of(db, customer.id, found.enrolment),
        answered=answered,
        recorded=[one.step for one in await responses.of(db, customer.id, found.enrolment)],
        open_tasks=[
            task.step for task in await tasks.of(db, customer.id, found.enrolment) if task.state == "open"
        ],
        resources={step: resource_of(customer.id, found.enrolment, step) for step in sorted(provisions)},
    )
