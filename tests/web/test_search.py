"""Finding customers over HTTP: what is asked, what is answered, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from firstmile.errors import SearchRefused
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import Entry, Status, View
from firstmile.service import Asked, Service
from firstmile.store import journal, owners, views
from tests.doorway import SIGN_UP, Clock, database_of
from tests.web.test_api import problem

PEOPLE: list[tuple[str, str, str, Status]] = [
    ("c-1", "Jonas Weber", "Weber & Partner", "active"),
    ("c-2", "Müge Weberknecht", "Acme", "stuck"),
    ("c-3", "Ann Becker", "Acme", "completed"),
]


@pytest.fixture
async def settled(service: Service, clock: Clock) -> Service:
    """Three customers, of whom a worker has told where they stand."""
    for id, name, company, status in PEOPLE:
        await service.enrol(
            SIGN_UP | {"id": id, "name": name, "company": company, "email": f"{id}@a.example"}
        )
        at = from_datetime(clock())
        view = View(9, status, "sign-up", None, at, {"welcome": ("failed", at)} if status == "stuck" else {})
        async with database_of(service).writing() as tx:
            await views.write(tx, id, 1, "small", 1, view, clock(), at)
            if status == "stuck":
                entry = Entry(8, at, "failed", "welcome", "email", "template: 'plan' is missing")
                await journal.write(tx, id, 1, "small", [entry])
                await owners.reassign(tx, id, 1, "specialist", "ann", clock())
        clock.forward(timedelta(hours=1))
    return service


async def found(client: httpx.AsyncClient, **asked: Any) -> list[str]:
    answer = await client.get("/v1/onboardings", params=asked)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["onboardings"]]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, ["c-3", "c-2", "c-1"]),
        ({"q": "WEBER"}, ["c-2", "c-1"]),
        ({"q": "muge weber"}, ["c-2"]),
        ({"q": "weber partner"}, ["c-1"]),
        ({"q": "c-3@a.ex"}, ["c-3"]),
        ({"q": "c-1"}, ["c-1"]),
        ({"q": "acme", "status": "stuck"}, ["c-2"]),
        ({"q": "eber"}, []),
        ({"segment": "nowhere"}, []),
        ({"owner": "ann"}, ["c-2"]),
        ({"owner": "nobody"}, []),
        ({"overdue": "true"}, ["c-1"]),
        ({"stuck": "welcome"}, ["c-2"]),
        ({"stuck": "tips"}, []),
        ({"reason": "IS MISSING"}, ["c-2"]),
        ({"version": 1, "status": "completed"}, ["c-3"]),
        ({"version": 2}, []),
        ({"since": "2026-03-06T10:00:00Z"}, ["c-3", "c-2"]),
        ({"since": "2026-03-06T12:00:01+01:00"}, []),
    ],
    ids=str,
)
async def test_customers_are_found_by_what_is_asked(
    client: httpx.AsyncClient, asked: dict[str, Any], ids: list[str]
) -> None:
    assert await found(client, **asked) == ids
    answer = (await client.get("/v1/onboardings", params={**asked, "count": True, "limit": 1})).json()
    assert (answer["count"], answer["or_more"]) == (len(ids), False)
    assert (answer["next"] is not None) == (len(ids) > 1)


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"q": "ann be"}, "q", "3 letters or more: word 2 has fewer"),
        ({"q": ""}, "q", "a word of 3 letters"),
        ({"q": "x" * 201}, "q", "200 characters"),
        ({"q": "abc " * 11}, "q", "at most 10 words"),
        ({"since": "soon"}, "since", "is not an instant"),
        ({"since": "2026-03-06T09:00:00"}, "since", "is not an instant"),
        ({"cursor": "1.1."}, "cursor", "is no cursor"),
        ({"cursor": "1.99999999999.c-1"}, "cursor", "is no cursor"),
        ({"version": 0}, "version", "greater than or equal to 1"),
        ({"version": 2**40}, "version", "less than"),
        ({"overdue": "perhaps"}, "overdue", "boolean"),
        ({"segment": "\x00"}, "segment", "no text has"),
        ({"owner": "a\x00"}, "owner", "no text has"),
    ],
    ids=str,
)
async def test_a_question_that_is_none_is_refused_by_field(
    client: httpx.AsyncClient, asked: dict[str, Any], field: str, says: str
) -> None:
    refused = problem(await client.get("/v1/onboardings", params=asked), 422, "bad-parameter")

    assert [one["field"] for one in refused["errors"]] == [field]
    assert says in refused["detail"]


async def test_a_refusal_does_not_repeat_whose_name_was_looked_for(service: Service) -> None:
    with pytest.raises(SearchRefused) as refused:
        await service.count(Asked(q="Becker Jo"))

    assert "Jo" not in str(refused.value)
    assert "Becker" not in str(refused.value)


async def test_a_customer_is_found_by_the_new_address(client: httpx.AsyncClient, settled: Service) -> None:
    await settled.address("c-3", {"email": "becker@new.example"}, actor="ann", reason="moved")

    assert await found(client, q="new.example") == ["c-3"]
    assert await found(client, q="c-3@a") == []
