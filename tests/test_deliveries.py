"""What became of messages: what follows from it for ledger, address, people and journey, in any order."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from temporalio.client import Client

from firstmile.contracts import CommandRequest
from firstmile.errors import CommandRejected
from firstmile.journey.instants import from_datetime
from firstmile.service import Service
from firstmile.store import choices, enrolments, ledger, owners, parked, profiles, tasks
from firstmile.store.choices import Choice
from firstmile.store.database import Database
from firstmile.store.profiles import Consent, address_key
from firstmile.store.tables import messages
from firstmile.web.app import create_app
from tests.doorway import JOURNEY, SIGN_UP, Clock, Nowhere, database_of, folders, opened
from tests.events import ADDRESS, KEY, NOW, counted, event, key_of, post, sent, suppressed
from tests.web.conftest import calling

LISTENING = JOURNEY.replace(
    "  - id: tips\n",
    """\
  - id: read
    milestone: {event: message.clicked, where: "properties.step == 'tips'"}
  - id: arrived
    milestone: {event: message.delivered}
  - id: tips
""",
).replace("version: 1", "version: 2")


@pytest.fixture
def temporal() -> Nowhere:
    return Nowhere(away=False)


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere) -> AsyncIterator[Service]:
    async with opened(tmp_path, temporal, Clock(), sendgrid_webhook_keys=(KEY.public,)) as found:
        await found.enrol(SIGN_UP)
        yield found


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(create_app(service, sweep_every=None)) as found:
        yield found


async def message(service: Service, name: str = "m-1") -> ledger.Message:
    async with database_of(service).reading() as db:
        found = await ledger.get(db, key_of(name))
    assert found is not None
    return found


# ---- the address -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "fate", "reasons"),
    [
        (event("processed"), "processed", []),
        (event("deferred", response="450 later"), "deferred", []),
        (event("delivered"), "delivered", []),
        (event("bounce", type="bounce", reason="550 no such user"), "bounced", ["bounced"]),
        (event("bounce", reason="550 no such user"), "bounced", ["bounced"]),
        (event("bounce", type="blocked", reason="550 spam"), "bounced", []),
        (event("blocked", reason="550 spam"), "bounced", []),
        (event("dropped", reason="Bounced Address"), "dropped", ["bounced"]),
        (event("dropped", reason="Invalid"), "dropped", ["invalid"]),
        (event("dropped", reason="Spam Reporting Address"), "dropped", ["complained"]),
        (event("dropped", reason="Unsubscribed Address"), "dropped", ["unsubscribed"]),
        (event("dropped", reason="Invalid SMTPAPI header"), "dropped", []),
        (event("spamreport"), "complained", ["complained"]),
        (event("unsubscribe"), None, ["unsubscribed"]),
        (event("group_unsubscribe", asm_group_id=7), None, ["unsubscribed"]),
        (event("open"), None, []),
        (event("click", url="https://app.example/"), None, []),
    ],
    ids=lambda value: f"{value['event']}-{value.get('reason', '')}" if isinstance(value, dict) else None,
)
async def test_what_an_event_means(
    client: httpx.AsyncClient, service: Service, told: dict[str, Any], fate: str | None, reasons: list[str]
) -> None:
    await sent(service, "m-1")

    await post(client, [told])

    assert (await message(service)).fate == fate
    async with database_of(service).reading() as db:
        assert await suppressed(db) == [(ADDRESS, reason) for reason in reasons]


async def test_the_address_is_the_ledgers_and_never_the_events(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1")

    await post(client, [event("bounce", email="else@victim.example")])

    async with database_of(service).reading() as db:
        assert await suppressed(db) == [(ADDRESS, "bounced")]


@pytest.mark.parametrize("name", [None, "of another system"])
async def test_an_event_of_no_message_of_ours_is_kept_and_changes_nothing(
    client: httpx.AsyncClient, service: Service, name: str | None
) -> None:
    answer = await post(client, [event("bounce", name), event("spamreport", name)])

    assert answer.json() == {"events": 2, "new": 2}
    async with database_of(service).reading() as db:
        assert await suppressed(db) == []
        assert await counted(db, "message_events_total") == {"unknown": 2}


async def test_where_everything_is_redirected_no_customer_is_suppressed(
    tmp_path: Path, temporal: Nowhere
) -> None:
    redirected = {"sendgrid_webhook_keys": (KEY.public,), "mail_redirect_to": "staging@acme.example"}
    async with opened(tmp_path, temporal, Clock(), **redirected) as service:
        await sent(service, "m-1")
        async with calling(create_app(service, sweep_every=None)) as client:
            await post(client, [event("bounce", email="staging@acme.example")])

        assert (await message(service)).fate == "bounced"
        async with database_of(service).reading() as db:
            assert await suppressed(db) == []


async def consent(service: Service) -> Consent:
    async with database_of(service).reading() as db:
        profile = await profiles.get(db, "c-1")
    assert profile is not None
    return profile.consent


async def agreed(service: Service) -> None:
    async with database_of(service).writing() as tx:
        await profiles.agree(tx, "c-1", Consent(lifecycle=True, marketing=True), NOW)


async def test_who_unsubscribes_at_the_provider_gets_no_offers_either(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1")
    await agreed(service)

    await post(client, [event("unsubscribe")])

    assert await consent(service) == Consent(lifecycle=True, marketing=False)
    async with database_of(service).reading() as db:
        (choice,) = await choices.of(db, address_key(ADDRESS))
    assert (choice.said, choice.by, choice.at, choice.subject) == ("stop", choices.PROVIDER, NOW, "c-1")


async def test_a_colleague_who_unsubscribes_chooses_for_nobody_else(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1", recipient="eva@weber.example")
    await agreed(service)

    await post(client, [event("unsubscribe", email="eva@weber.example")])

    assert await consent(service) == Consent(lifecycle=True, marketing=True)
    async with database_of(service).reading() as db:
        assert await suppressed(db) == [("eva@weber.example", "unsubscribed")]


@pytest.mark.parametrize(
    ("told", "stopped"),
    [
        ([("group_unsubscribe", 1), ("group_resubscribe", 2)], False),
        ([("group_resubscribe", 2), ("group_unsubscribe", 1)], False),
        ([("group_unsubscribe", 3), ("group_resubscribe", 2)], True),
        ([("group_resubscribe", 2), ("group_unsubscribe", 2)], True),
    ],
)
async def test_whatever_a_recipient_chose_last_holds(
    client: httpx.AsyncClient, service: Service, told: list[tuple[str, int]], stopped: bool
) -> None:
    await sent(service, "m-1")

    for said, after in told:
        await post(client, [event(said, after=after)])

    async with database_of(service).reading() as db:
        assert await suppressed(db) == ([(ADDRESS, "unsubscribed")] if stopped else [])


async def test_an_unsubscription_that_is_told_late_does_not_undo_a_later_choice_on_the_page(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1")
    async with database_of(service).writing() as tx:
        page = Choice("start", choices.PAGE, NOW + timedelta(seconds=10), "c-1")
        await choices.record(tx, address_key(ADDRESS), page)

    await post(client, [event("unsubscribe", after=5)])

    async with database_of(service).reading() as db:
        assert await suppressed(db) == []


# ---- people ----------------------------------------------------------------------------------------------


async def open_tasks(service: Service) -> list[tasks.Task]:
    async with database_of(service).reading() as db:
        return await tasks.of(db, "c-1", 1)


@pytest.mark.parametrize("told", [event("bounce"), event("bounce", type="blocked"), event("dropped")])
async def test_a_necessary_message_that_did_not_arrive_is_somebodys_task_once(
    client: httpx.AsyncClient, service: Service, told: dict[str, Any]
) -> None:
    async with database_of(service).writing() as tx:
        await owners.assign(tx, "onboarding", "c-1", 1, "specialist", NOW)
    await sent(service, "m-1", step="welcome", message_class="transactional")
    await sent(service, "m-2")

    await post(client, [told, event("bounce", "m-2")])
    await post(client, [{**told, "sg_event_id": "another"}])

    (task,) = await open_tasks(service)
    assert (task.step, task.owner, task.state) == ("welcome/undelivered", "ann", "open")
    assert task.title == "A necessary message could not be delivered: welcome"


async def test_such_a_task_is_nobodys_without_an_owner_and_a_person_completes_it(
    client: httpx.AsyncClient, service: Service
) -> None:
    await sent(service, "m-1", step="welcome", message_class="transactional")
    await post(client, [event("bounce")])
    done = CommandRequest(actor="bo", step="welcome/undelivered")

    await service.command("c-1", "complete", done)

    (task,) = await open_tasks(service)
    assert (task.owner, task.state, task.ended_by) == (None, "done", "bo")
    with pytest.raises(CommandRejected, match="no task"):
        await service.command("c-1", "complete", done)


async def test_such_a_task_outlives_the_journey(client: httpx.AsyncClient, service: Service) -> None:
    await sent(service, "m-1", step="welcome", message_class="transactional")
    await post(client, [event("bounce")])

    async with database_of(service).writing() as tx:
        await tasks.end_of_journey(tx, "c-1", 1, now=NOW)

    assert [task.state for task in await open_tasks(service)] == ["open"]


# ---- the journey -----------------------------------------------------------------------------------------


@pytest.fixture
async def listening(tmp_path: Path, temporal: Nowhere) -> AsyncIterator[Service]:
    """A service whose customer is on a journey that listens to what became of messages."""
    place = tmp_path / "listening"
    async with opened(place, temporal, Clock(), sendgrid_webhook_keys=(KEY.public,)) as found:
        folders(place, LISTENING)
        await found.publish()
        await found.enrol(SIGN_UP)
        yield found


async def waiting(service: Service) -> list[str]:
    async with database_of(service).reading() as db:
        return [one.event for one in await parked.of(db, "c-1")]


async def test_a_journey_hears_what_it_listens_to(listening: Service, temporal: Nowhere) -> None:
    await sent(listening, "m-1")
    clicked = event("click", after=-5, url="https://app.example/reports/new?token=secret")

    async with calling(create_app(listening, sweep_every=None)) as client:
        await post(client, [event("open"), clicked, event("bounce")])

    ((workflow, signal),) = temporal.signals
    assert (workflow, signal.event) == ("onboarding/c-1", "message.clicked")
    assert signal.at == from_datetime(NOW - timedelta(seconds=5))
    assert signal.properties == {
        "step": "tips",
        "template": "tips",
        "class": "lifecycle",
        "purpose": "run",
        "enrolment": 1,
        "link": "reports/new",
    }
    assert await waiting(listening) == []


async def test_a_journey_that_does_not_listen_hears_nothing(
    client: httpx.AsyncClient, service: Service, temporal: Nowhere
) -> None:
    await sent(service, "m-1")

    await post(client, [event("open"), event("click"), event("delivered"), event("bounce")])

    assert temporal.signals == []
    assert await waiting(service) == []


async def test_one_of_our_own_links_is_no_link_that_a_journey_hears_of(
    listening: Service, temporal: Nowhere
) -> None:
    await sent(listening, "m-1")

    async with calling(create_app(listening, sweep_every=None)) as client:
        await post(client, [event("click", url="http://test/s/WyJjLTEiXQ.signature?score=9")])

    assert "link" not in temporal.signals[0][1].properties


async def test_the_same_click_under_another_id_is_one_event_for_the_journey(
    listening: Service, temporal: Nowhere
) -> None:
    await sent(listening, "m-1")
    clicked = event("click", url="https://app.example/x")

    async with calling(create_app(listening, sweep_every=None)) as client:
        await post(client, [clicked])
        await post(client, [{**clicked, "sg_event_id": "changed"}])
        await post(client, [event("click", after=1, url="https://app.example/x")])

    ids = [signal.id for _, signal in temporal.signals]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


async def test_while_temporal_is_away_nothing_is_lost(listening: Service, temporal: Nowhere) -> None:
    await sent(listening, "m-1")
    temporal.away = True
    async with calling(create_app(listening, sweep_every=None)) as client:
        assert (await post(client, [event("click"), event("delivered")])).status_code == 200
    assert sorted(await waiting(listening)) == ["message.clicked", "message.delivered"]

    temporal.away = False
    await listening.sweep()

    assert sorted(signal.event for _, signal in temporal.signals) == ["message.clicked", "message.delivered"]
    assert await waiting(listening) == []


@pytest.mark.parametrize("again", ["before the event", "before the sweep"])
async def test_a_later_enrolment_hears_nothing_of_an_earlier_ones_messages(
    listening: Service, temporal: Nowhere, again: str
) -> None:
    await sent(listening, "m-1")
    temporal.away = True
    if again == "before the event":
        await onboarded_again(listening)
    async with calling(create_app(listening, sweep_every=None)) as client:
        await post(client, [event("click")])
    if again == "before the sweep":
        await onboarded_again(listening)

    temporal.away = False
    await listening.sweep()

    assert temporal.signals == []
    assert await waiting(listening) == []


async def onboarded_again(service: Service) -> None:
    async with database_of(service).writing() as tx:
        first = await enrolments.get(tx, "c-1", 1)
        profile = await profiles.get(tx, "c-1")
        assert first is not None
        assert profile is not None
        second = enrolments.NewEnrolment(
            subject="c-1",
            number=2,
            segment=first.segment,
            version=first.version,
            request_hash="other",
            response=first.response,
            enrolled_at=NOW,
        )
        await enrolments.register(tx, second, profile, NOW)
        await enrolments.mark_started(tx, "c-1", 2)


# ---- any order, any number of times ----------------------------------------------------------------------

TOLD = st.sampled_from(
    [
        ("processed", {}),
        ("deferred", {"response": "450 later"}),
        ("deferred", {"response": "451 busy"}),
        ("delivered", {"response": "250 OK"}),
        ("bounce", {"type": "bounce", "reason": "550 gone"}),
        ("bounce", {"type": "blocked", "reason": "554 no"}),
        ("dropped", {"reason": "Unsubscribed Address"}),
        ("dropped", {"reason": "Spam Content"}),
        ("spamreport", {}),
        ("group_unsubscribe", {}),
        ("group_resubscribe", {}),
        ("open", {}),
        ("click", {"url": "https://app.example/x"}),
        ("new_kind", {}),
    ]
)
NAMES = ("m-1", "m-2", "m-3", "stranger")
EVENTS = st.lists(
    st.builds(
        lambda told, name, after: event(told[0], name, after=after, **told[1]),
        TOLD, st.sampled_from(NAMES), st.integers(0, 3),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


async def prepared(place: Path, temporal: Nowhere) -> Path:
    """A store with a customer who was sent a necessary message, one that may have come, and one to a
    colleague that is under way."""
    async with opened(place, temporal, Clock()) as service:
        folders(place, LISTENING)
        await service.publish()
        await service.enrol(SIGN_UP | {"consent": {"lifecycle": True, "marketing": True}})
        await sent(service, "m-1", step="welcome", message_class="transactional")
        await sent(service, "m-2", state="unknown")
        await sent(service, "m-3", state="sending", recipient="eva@weber.example")
    return place / "firstmile.db"


async def outcome(
    store: Path, temporal: Nowhere, arriving: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """What a copy of the store says after these batches."""
    place = store.with_name("copy")
    place.mkdir(exist_ok=True)
    shutil.copy(store, place / "firstmile.db")
    chosen = folders(place, LISTENING).model_copy(update={"sendgrid_webhook_keys": (KEY.public,)})
    database = Database(chosen.database_url)
    temporal.signals.clear()
    service = Service(cast(Client, temporal), database, chosen, Clock())
    async with calling(create_app(service, sweep_every=None)) as client:
        for batch in arriving:
            assert (await post(client, batch)).status_code == 200
    async with database.reading() as db:
        rows = await db.all(select(messages).order_by(messages.c.key))
        found = {
            "ledger": [
                (row.key, row.state, row.fate, row.fate_at, row.reason, row.provider_id) for row in rows
            ],
            "suppressed": await suppressed(db),
            "consent": await consent(service),
            "tasks": [(one.key, one.step, one.state) for one in await tasks.of(db, "c-1", 1)],
            "events": await counted(db, "message_events_total"),
            "messages": await counted(db, "messages_total"),
            "heard": {(signal.event, signal.id, signal.at) for _, signal in temporal.signals},
        }
    await database.close()
    return found


async def test_any_order_and_any_repetition_of_events_comes_to_the_same(tmp_path: Path) -> None:
    cases: list[tuple[list[dict[str, Any]], int]] = []

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(events=EVENTS, seed=st.integers())
    def collect(events: list[dict[str, Any]], seed: int) -> None:
        cases.append((events, seed))

    collect()
    temporal = Nowhere(away=False)
    store = await prepared(tmp_path, temporal)
    for events, seed in cases:
        chance = random.Random(seed)
        plain = await outcome(store, temporal, [events])
        mixed = [*events, *(one for one in events if chance.random() < 0.5)]
        chance.shuffle(mixed)
        cut = chance.randrange(len(mixed))
        other = await outcome(store, temporal, [mixed[:cut], mixed[cut:], events[:1]])

        assert other == plain, (events, mixed, cut)
