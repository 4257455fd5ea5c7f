"""What workflows call is what a worker has: by name, by type, and with time for every attempt."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities import signatures
from activities.messages import Mailroom
from firstmile import publishing, settings
from firstmile.cli.equipment import journey_activities, message_activities, webhooks_of
from firstmile.cli.worker import GRACE
from firstmile.contracts import BulkBatch, BulkProgress, EffectOutcome, EffectRequest, Records, Start
from firstmile.errors import PublishRefused, SettingsError
from firstmile.journey.checks import NOT_YET
from firstmile.journey.model import KINDS
from firstmile.provisioning import Webhooks
from firstmile.service import Service
from firstmile.standins.provisioning import provisioning_standin
from firstmile.store.database import Database
from tests.activities.building import Ask, Switch, across, rode
from tests.activities.conftest import SECRET
from tests.doorway import Nowhere
from tests.mail.building import Standin

LEAST: dict[str, dict[str, Any]] = {
    "email": {"template": "welcome"},
    "training": {"session": "intro", "template": "intro"},
    "survey": {"kind": "nps", "template": "nps"},
    "checkin": {"template": "check_in"},
    "milestone": {"event": "value"},
    "provision": {"system": "workspace"},
    "assign": {"team": "onboarding"},
    "task": {"title": "Call"},
    "request": {"form": "details", "template": "welcome"},
    "notify": {"to": ["sales"], "message": "Somebody new"},
    "webhook": {"system": "crm"},
}
"""A step of each kind, with what it cannot be without."""


@pytest.fixture
async def registered(
    db: Database,
    sendgrid: Standin,
    system: Switch,
    template_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[dict[str, Callable[..., Any]]]:
    """The activities of a worker, by name, built from an environment as `firstmile worker` builds them."""
    systems = {"workspace": {"url": f"{system.url}/webhooks", "secret": SECRET}}
    environment = {
        "STATE_DIR": str(tmp_path / "state"),
        "TEMPLATES": str(template_folder),
        "PUBLIC_URL": "https://acme.example",
        "MAIL_TRANSPORT": "standin",
        "SENDGRID_HOST": sendgrid.url,
        "SYSTEMS": json.dumps(systems),
        "ALLOW_PRIVATE_ADDRESSES": "true",
    }
    with monkeypatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(f"FIRSTMILE_{name}", value)
        loaded = settings.load(sends=True)
    webhooks = webhooks_of(loaded)
    service = Service(cast(Client, Nowhere()), db, loaded)
    built = [*journey_activities(db, webhooks, service), *message_activities(loaded, db)]
    definitions = [activity._Definition.must_from_callable(one) for one in built]
    names = [definition.name for definition in definitions]
    assert len(names) == len(set(names)), "two activities of one name"
    found = {str(name): one for name, one in zip(names, built, strict=True)}
    yield found
    await webhooks.close()


def test_a_worker_has_every_activity_that_workflows_call_and_no_other(
    registered: dict[str, Callable[..., Any]],
) -> None:
    assert registered.keys() == {
        *signatures.EFFECTS.values(),
        signatures.RECORD,
        signatures.PREPARE,
        signatures.BULK,
    }


def test_what_writes_to_customers_has_a_queue_of_its_own(
    db: Database, sendgrid: Standin, template_folder: Path
) -> None:
    chosen = settings.Settings(
        mail_transport="standin", sendgrid_host=sendgrid.url, templates=template_folder
    )
    sending = {activity._Definition.must_from_callable(one).name for one in message_activities(chosen, db)}

    assert sending == {signatures.EFFECTS[kind] for kind in signatures.SENDING}
    for kind, name in signatures.EFFECTS.items():
        assert signatures.queue_of(kind, "blue") == ("blue-send" if name in sending else "blue")


def test_what_a_customer_waits_for_goes_first() -> None:
    assert signatures.priority_of({"class": "transactional"}).priority_key == 1
    for params in ({}, {"class": "lifecycle"}, {"class": "marketing"}):
        assert signatures.priority_of(params).priority_key is None, "Temporal's own: 3"


def test_activities_take_and_give_what_workflows_say(registered: dict[str, Callable[..., Any]]) -> None:
    expected: dict[str, tuple[list[type], type]] = {
        signatures.RECORD: ([Records], type(None)),
        signatures.PREPARE: ([Start], Start),
        signatures.BULK: ([BulkBatch], BulkProgress),
    }
    for name in signatures.EFFECTS.values():
        expected[name] = ([EffectRequest], EffectOutcome)

    for name, one in registered.items():
        definition = activity._Definition.must_from_callable(one)
        assert (definition.arg_types, definition.ret_type or type(None)) == expected[name], name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_can_be_published_can_be_carried_out(
    registered: dict[str, Callable[..., Any]], template_folder: Path, tmp_path: Path, kind: str
) -> None:
    journeys = tmp_path / "journeys"
    journeys.mkdir()
    steps = [
        {"id": "value", "milestone": {"event": "value"}},
        {"id": "step", "wait": "1 day", kind: LEAST[kind]},
    ]
    journey = {"journey": "team", "version": 1, "onboarded": {"milestone": "value"}, "ends": "40 days"}
    (journeys / "team.yaml").write_text(json.dumps(journey | {"steps": steps}))

    try:
        publishing.check(journeys, template_folder)
    except PublishRefused as refused:
        (problem,) = refused.problems
        assert problem.endswith(f"the kind '{kind}' is not yet available")
        assert kind in NOT_YET
        assert kind not in signatures.EFFECTS
    else:
        # A milestone has no effect: it waits for what others do.
        assert kind == "milestone" or signatures.EFFECTS[kind] in registered


async def test_what_a_worker_is_built_from_reaches_the_systems_it_names(
    registered: dict[str, Callable[..., Any]], db: Database, sendgrid: Standin, system: Switch, ask: Ask
) -> None:
    system.app = provisioning_standin(SECRET)
    email = ask("email", params=LEAST["email"])
    provision = ask("provision", params=LEAST["provision"], subject="c-2")

    for request in (email, provision):
        outcome = await ActivityEnvironment().run(
            registered[signatures.EFFECTS[request.kind]], across(request)
        )
        assert outcome.outcome == "done"
        assert await rode(db, request, outcome)
    assert sendgrid.sent(email.key) == 1


def test_every_attempt_has_the_time_it_takes(mailroom: Mailroom) -> None:
    post, start_to_close = mailroom.post, signatures.START_TO_CLOSE
    webhooks = timedelta(seconds=inspect.signature(Webhooks).parameters["timeout"].default)
    slowest = 3 * _longest("sendgrid_timeout")

    assert post.limit < start_to_close < post.lease, "reconciled only when its attempt is over"
    assert webhooks < start_to_close
    assert slowest < start_to_close, "connecting, writing and reading"
    assert _longest("smtp_timeout") < start_to_close, "a whole conversation"
    assert max(slowest, _longest("smtp_timeout")) <= post.limit, "nobody stops waiting before it is over"
    assert start_to_close < GRACE, "a worker that stops lets an attempt end"
    assert signatures.LOCAL < start_to_close < signatures.PROMPT


def _longest(setting: str) -> timedelta:
    """The most that a setting may be."""
    (limit,) = [
        limit.le
        for limit in settings.Settings.model_fields[setting].metadata
        if getattr(limit, "le", None) is not None
    ]
    assert isinstance(limit, timedelta)
    return limit


def test_each_kind_has_an_example() -> None:
    assert LEAST.keys() == KINDS.keys()
    assert set(signatures.EFFECTS) == set(KINDS) - set(NOT_YET) - {"milestone"}


def test_a_secret_that_nothing_can_be_signed_with_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_MAIL_TRANSPORT", "standin")
    monkeypatch.setenv("FIRSTMILE_SENDGRID_HOST", "http://127.0.0.1:8025")
    systems = {"rooms": {"url": "https://rooms.example", "secret": "too short"}}
    monkeypatch.setenv("FIRSTMILE_SYSTEMS", json.dumps(systems))

    with pytest.raises(SettingsError, match=r"FIRSTMILE_SYSTEMS\.rooms: a webhook secret is 24 to 64 bytes"):
        webhooks_of(settings.load(sends=True))
