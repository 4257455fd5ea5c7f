"""Records: those that no effect carries are written together or not at all, and once; those that ride on an
effect are in the store whenever it comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from activities import signatures
from activities.assign import AssignOwner
from activities.messages import SendMessages
from activities.provision import Provision
from activities.recording import WriteRecords
from activities.tasks import OpenTask
from activities.tools import Tools
from firstmile.contracts import EffectOutcome, EffectRequest, Records
from firstmile.journey.journal import Entry, View
from firstmile.provisioning import Webhooks
from firstmile.standins.provisioning import provisioning_standin
from firstmile.store import views
from firstmile.store.database import Database
from tests.activities.building import Ask, Switch, attempt, contents, dies, journal_of, view_of
from tests.activities.conftest import SECRET

Carry = Callable[[EffectRequest], Awaitable[EffectOutcome]]

EFFECTS: dict[str, dict[str, Any]] = {
    "email": {"template": "welcome"},
    "training": {"template": "intro", "session": "intro"},
    "survey": {"kind": "nps", "template": "nps"},
    "checkin": {"by": "call"},
    "provision": {"system": "workspace"},
    "assign": {"team": "onboarding"},
    "task": {"title": "Call"},
}
"""An effect of each kind."""


@pytest.fixture
def recording(tools: Tools) -> WriteRecords:
    return WriteRecords(tools)


@pytest.fixture
def flushed(ask: Ask) -> Records:
    at = ask.enrolled
    entries = [Entry(1, at, "enrolled"), Entry(2, at, "stage", stage="sign-up"), Entry(5, at + 9, "paused")]
    return Records(
        "c-1", 1, "team", 1, entries, View(3, "paused", "sign-up", None, None, paused_until=at + 99)
    )


async def test_entries_and_view_are_written(db: Database, recording: WriteRecords, flushed: Records) -> None:
    await attempt(recording.write_records, flushed)

    assert await journal_of(db) == flushed.entries
    assert await view_of(db) == flushed.view


async def test_the_view_knows_when_the_customer_enrolled(
    db: Database, recording: WriteRecords, flushed: Records
) -> None:
    await attempt(recording.write_records, flushed)

    async with db.reading() as tx:
        found = await views.get(tx, "c-1", 1)
    assert found is not None
    assert (found.segment, found.version, found.enrolled_at) == ("team", 1, flushed.entries[0].at)


async def test_written_again_it_comes_to_the_same(
    db: Database, recording: WriteRecords, flushed: Records
) -> None:
    await attempt(recording.write_records, flushed)
    written = await contents(db)

    await attempt(recording.write_records, flushed)

    assert await contents(db) == written


async def test_an_attempt_that_died_has_written_nothing(
    db: Database, recording: WriteRecords, flushed: Records
) -> None:
    before = await contents(db)

    await dies(db, recording.write_records, flushed)

    assert await contents(db) == before
    await attempt(recording.write_records, flushed)
    assert await journal_of(db) == flushed.entries


async def test_a_view_that_comes_late_changes_nothing(
    db: Database, recording: WriteRecords, flushed: Records
) -> None:
    await attempt(recording.write_records, flushed)
    assert flushed.view is not None
    late = replace(flushed, entries=[], view=replace(flushed.view, number=2, status="active"))

    await attempt(recording.write_records, late)

    assert await view_of(db) == flushed.view


@pytest.fixture
def carriers(tools: Tools, messages: SendMessages, system: Switch, webhooks: Webhooks) -> dict[str, Carry]:
    """The activity of every kind."""
    system.app = provisioning_standin(SECRET)
    return {
        "email": messages.send_email,
        "training": messages.invite_to_training,
        "survey": messages.send_survey,
        "checkin": messages.send_checkin,
        "provision": Provision(tools, webhooks).provision,
        "assign": AssignOwner(tools).assign_owner,
        "task": OpenTask(tools).open_task,
    }


@pytest.mark.parametrize("kind", EFFECTS)
async def test_what_an_effect_carries_is_written_also_if_it_was_carried_out_before(
    db: Database, carriers: dict[str, Carry], ask: Ask, kind: str
) -> None:
    """A workflow that was reset asks again for what was done, and has other things to tell beside it."""
    request = ask(kind, params=EFFECTS[kind])
    first = await attempt(carriers[kind], request)
    remark = Entry(9, ask.enrolled, "occurred", reason="it was reset")

    again = replace(request, records=replace(request.records, entries=[remark]))

    assert await attempt(carriers[kind], again) == first
    assert remark in await journal_of(db)


def test_there_is_an_effect_of_every_kind(carriers: dict[str, Carry]) -> None:
    assert EFFECTS.keys() == carriers.keys() == signatures.EFFECTS.keys()
