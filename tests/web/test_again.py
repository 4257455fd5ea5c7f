"""Onboarding somebody again, and changing an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from firstmile.service import Service
from firstmile.store import opt_outs, profiles, suppressions
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, database_of, town, until
from tests.web.conftest import calling
from tests.web.test_api import problem


async def test_a_finished_customer_is_onboarded_again_under_the_next_number(tmp_path: Path) -> None:
    async with town(tmp_path) as service, calling(create_app(service, sweep_every=None)) as client:
        signed_up = await client.post("/v1/onboardings", json=SIGN_UP)

        async def standing() -> dict[str, Any]:
            found: dict[str, Any] = (await client.get("/v1/onboardings/c-1")).json()
            return found

        await until(standing, lambda found: found["status"] == "active")
        early = await client.post("/v1/onboardings/c-1/again", json={"traits": {"plan": "team"}})
        assert "still being onboarded" in problem(early, 409, "command-rejected")["detail"]

        await client.post("/v1/onboardings/c-1/cancel", json={"reason": "they left"})
        await until(standing, lambda found: found["status"] == "stopped")
        wrong = await client.post("/v1/onboardings/c-1/again", json={"traits": {}})
        assert problem(wrong, 422, "sign-up-refused")["errors"][0]["field"] == "traits.plan"
        unknown = await client.post("/v1/onboardings/c-1/again", json={"email": "a@b.example"})
        assert problem(unknown, 422, "command-malformed")["errors"][0]["field"] == "email"

        asked = {"traits": {"plan": "team"}, "reason": "they came back", "actor": "ann"}
        foreseen = await client.post("/v1/onboardings/c-1/again?dry_run=true", json=asked)
        assert foreseen.json()["changes"] == ["'c-1' is onboarded again: enrolment 2 in 'small', version 1"]
        started = await client.post("/v1/onboardings/c-1/again", json=asked)
        assert (started.status_code, started.json()["enrolment"]) == (202, 2)
        second = await until(standing, lambda found: found["status"] == "active")
        assert (second["enrolment"], second["name"]) == (2, "Jonas Weber")

        repeated = await client.post("/v1/onboardings/c-1/again", json=asked)
        assert (repeated.status_code, repeated.json()) == (200, started.json())
        # The sign-up that began it all is still answered as it was.
        old = await client.post("/v1/onboardings", json=SIGN_UP)
        assert (old.status_code, old.json()) == (200, signed_up.json())
        (deed,) = (await client.get("/v1/audit?action=again")).json()["deeds"]
        assert (deed["actor"], deed["enrolment"], deed["reason"]) == ("ann", 2, "they came back")
        problem(await client.post("/v1/onboardings/nobody/again"), 404, "unknown-customer")


async def test_what_somebody_chose_goes_with_them_to_a_new_address(
    client: httpx.AsyncClient, service: Service
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    now, former, new = service.now(), SIGN_UP["email"], "jonas@new.example"
    async with database_of(service).writing() as tx:
        for reason in ("bounced", "complained"):
            await suppressions.add(tx, former, reason, now)
        await opt_outs.leave(tx, profiles.address_key(former), ["feedback"], now)

    foreseen = await client.post("/v1/onboardings/c-1/address?dry_run=true", json={"email": new})
    async with database_of(service).reading() as db:
        assert await suppressions.of(db, new) == []
    await client.post("/v1/onboardings/c-1/address", json={"email": new})

    (change,) = foreseen.json()["changes"]
    assert change == "messages to 'c-1' go to the new address from now on; it is suppressed: complained"
    async with database_of(service).reading() as db:
        assert [one.reason for one in await suppressions.of(db, new)] == ["complained"]
        assert list(await opt_outs.of(db, profiles.address_key(new))) == ["feedback"]


async def test_an_address_is_changed_in_the_store_and_in_no_audit(
    client: httpx.AsyncClient, service: Service
) -> None:
    await client.post("/v1/onboardings", json=SIGN_UP)
    body = {"email": "jonas@new.example", "reason": "they moved"}

    changed = await client.post("/v1/onboardings/c-1/address", json=body)
    again = await client.post("/v1/onboardings/c-1/address", json=body)

    assert (changed.json()["changed"], again.json()["changed"]) == (True, False)
    async with database_of(service).reading() as db:
        (found,) = await profiles.with_address(db, "JONAS@new.example")
    assert found.subject == "c-1"
    audit = await client.get("/v1/audit")
    assert [one["action"] for one in audit.json()["deeds"]] == ["address"]
    assert "example" not in audit.text
    wrong = await client.post("/v1/onboardings/c-1/address", json={"email": "jonas"})
    assert problem(wrong, 422, "command-malformed")["errors"][0]["field"] == "email"
    problem(await client.post("/v1/onboardings/c-7/address", json=body), 404, "unknown-customer")
