"""What recipients choose: whose choice it is, what it stops, and what is kept of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from firstmile.errors import LinkRefused
from firstmile.links import Target
from firstmile.service import Service
from firstmile.service.preferences import masked
from firstmile.store import choices, gate, opt_outs, parked, profiles, suppressions, tables
from firstmile.store.profiles import Consent, address_key
from firstmile.store.suppressions import TOPICS, MessageClass, Topic, topic_of
from tests.doorway import JOURNEY, SIGN_UP, Clock, Nowhere, database_of, folders, opened

JONAS, ADA = "jonas@weber.example", "ada@weber.example"
PRIMARY, CONTACT = Target("c-1", 1), Target("c-1", 1, address=address_key(ADA))
LIFECYCLE: frozenset[Topic] = frozenset({"tips", "training", "feedback"})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def temporal() -> Nowhere:
    return Nowhere(away=False)


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere, clock: Clock) -> AsyncIterator[Service]:
    async with opened(tmp_path, temporal, clock) as found:
        await found.enrol(SIGN_UP | {"contacts": [{"role": "admin", "name": "Ada", "email": ADA}]})
        yield found


async def gets(service: Service, address: str) -> set[str]:
    """The topics that the gate lets through to an address; `necessary` for what the account needs."""
    found: set[str] = set()
    kinds: list[tuple[str, MessageClass]] = [
        ("email", "lifecycle"),
        ("training", "lifecycle"),
        ("survey", "lifecycle"),
        ("email", "marketing"),
        ("email", "transactional"),
    ]
    async with database_of(service).reading() as db:
        for kind, message_class in kinds:
            topic = topic_of(kind, message_class)
            question = gate.Question("c-1", "small", "t", message_class, address, topic=topic)
            if (await gate.ask(db, question, service._premises.now())).outcome == "open":
                found.add(topic or "necessary")
    return found


async def said(service: Service, address: str) -> list[str]:
    async with database_of(service).reading() as db:
        return [f"{one.said}, by {one.by}" for one in await choices.of(db, address_key(address))]


# ---- stopping and starting -------------------------------------------------------------------------------


async def test_what_was_never_chosen_is_as_the_account_agreed(service: Service) -> None:
    found = await service.preferences(PRIMARY)

    assert (found.standing, found.wanted, found.changed_at) == ("going", LIFECYCLE, None)
    assert (found.address, found.role, found.company) == ("j…@w….example", None, "Weber & Partner")
    assert await gets(service, JONAS) == LIFECYCLE | {"necessary"}


@pytest.mark.parametrize(("target", "mine", "other"), [(PRIMARY, JONAS, ADA), (CONTACT, ADA, JONAS)])
async def test_a_stop_is_for_one_address_and_can_be_taken_back(
    service: Service, clock: Clock, target: Target, mine: str, other: str
) -> None:
    await service.preferring.choose(target, ["tips", "training"])
    stopped = await service.preferring.stop(target)

    assert (stopped.standing, stopped.wanted, stopped.changed_at) == ("stopped", frozenset(), clock())
    assert await gets(service, mine) == {"necessary"}
    assert await gets(service, other) == LIFECYCLE | {"necessary"}

    clock.forward(timedelta(days=1))
    started = await service.preferring.start(target)

    assert (started.standing, started.wanted) == ("going", frozenset({"tips", "training"}))
    assert started.changed_at == clock()
    assert await gets(service, mine) == {"tips", "training", "necessary"}
    assert await said(service, mine) == ["leave feedback, by page", "stop, by page", "start, by page"]


@pytest.mark.parametrize("target", [PRIMARY, CONTACT])
async def test_what_is_chosen_twice_is_chosen_once(service: Service, clock: Clock, target: Target) -> None:
    address = JONAS if target == PRIMARY else ADA
    for _ in range(2):
        await service.preferring.choose(target, ["tips"])
        clock.forward(timedelta(days=1))
    for _ in range(2):
        await service.preferring.stop(target, by=choices.ONE_CLICK)
        clock.forward(timedelta(days=1))
    for _ in range(2):
        await service.preferring.start(target)

    assert await said(service, address) == [
        "leave training, by page",
        "leave feedback, by page",
        "stop, by one click",
        "start, by page",
    ]


@pytest.mark.parametrize(
    "wanted", [set(some) for size in range(5) for some in itertools.combinations(TOPICS, size)]
)
@pytest.mark.parametrize("before", ["nothing", "stop", "offers"])
async def test_what_the_primary_contact_ticks_is_what_comes(
    service: Service, wanted: set[Topic], before: str
) -> None:
    if before == "stop":
        await service.preferring.stop(PRIMARY)
    elif before == "offers":
        await service.preferring.choose(PRIMARY, ["offers"])

    found = await service.preferring.choose(PRIMARY, wanted)

    assert found.wanted == wanted
    assert found.stopped == (not wanted)
    assert await gets(service, JONAS) == wanted | {"necessary"}
    assert found == await service.preferences(PRIMARY)


async def test_to_tick_nothing_is_to_stop(service: Service) -> None:
    await service.preferring.choose(PRIMARY, [])

    async with database_of(service).reading() as db:
        assert [one.reason for one in await suppressions.of(db, JONAS)] == ["unsubscribed"]
    assert (await service.preferring.start(PRIMARY)).wanted == LIFECYCLE


async def test_who_had_left_every_topic_and_starts_again_gets_them(service: Service) -> None:
    await service.preferring.choose(CONTACT, ["tips"])
    async with database_of(service).writing() as tx:
        await opt_outs.leave(tx, address_key(ADA), ["tips"], service._premises.now())
    assert (await service.preferences(CONTACT)).standing == "stopped"

    assert (await service.preferring.start(CONTACT)).wanted == LIFECYCLE


# ---- consent ---------------------------------------------------------------------------------------------


async def test_offers_are_agreed_to_by_the_primary_contact_and_that_is_kept(
    service: Service, clock: Clock
) -> None:
    assert "offers" not in (await service.preferences(CONTACT)).offered

    await service.preferring.choose(PRIMARY, TOPICS)

    async with database_of(service).reading() as db:
        profile = await profiles.get(db, "c-1")
        (kept,) = await choices.of(db, address_key(JONAS))
    assert profile is not None
    assert profile.consent == Consent(lifecycle=True, marketing=True)
    assert (kept.said, kept.by, kept.at, kept.subject) == ("join offers", "page", clock(), "c-1")
    assert await gets(service, ADA) == LIFECYCLE | {"offers", "necessary"}

    assert (await service.preferring.choose(CONTACT, ["tips"])).wanted == {"tips"}
    assert await gets(service, JONAS) == LIFECYCLE | {"offers", "necessary"}


async def test_who_agreed_to_offers_withdraws_that_for_the_account(service: Service) -> None:
    await service.preferring.choose(PRIMARY, TOPICS)
    await service.preferring.stop(PRIMARY)

    assert await gets(service, ADA) == LIFECYCLE | {"necessary"}
    assert "offers" not in (await service.preferring.start(PRIMARY)).wanted


async def test_a_contact_cannot_agree_for_the_account(service: Service) -> None:
    async with database_of(service).writing() as tx:
        await profiles.agree(tx, "c-1", Consent(lifecycle=False), service._premises.now())

    found = await service.preferring.choose(CONTACT, TOPICS)
    assert (found.standing, found.offered) == ("account", ())
    assert (await service.preferring.start(CONTACT)).standing == "account"
    assert await gets(service, ADA) == {"necessary"}

    assert (await service.preferences(PRIMARY)).standing == "stopped"
    assert (await service.preferring.start(PRIMARY)).wanted == LIFECYCLE
    assert await gets(service, ADA) == LIFECYCLE | {"necessary"}


@pytest.mark.parametrize("reason", ["complained", "manual"])
async def test_what_an_operator_or_a_complaint_stopped_no_link_starts_again(
    service: Service, reason: suppressions.Reason
) -> None:
    async with database_of(service).writing() as tx:
        await suppressions.add(tx, JONAS, reason, service._premises.now())

    await service.preferring.start(PRIMARY)
    found = await service.preferring.choose(PRIMARY, TOPICS)

    assert found.standing == "held"
    assert await gets(service, JONAS) == {"necessary"}


# ---- whose link it is ------------------------------------------------------------------------------------


async def test_a_link_of_the_primary_contact_is_for_their_present_address(service: Service) -> None:
    async with database_of(service).writing() as tx:
        profile = await profiles.get(tx, "c-1")
        assert profile is not None
        await profiles.write(tx, replace(profile, email="new@weber.example"), service._premises.now())

    assert (await service.preferring.stop(PRIMARY)).address == "n…@w….example"
    assert await gets(service, "new@weber.example") == {"necessary"}


async def test_a_link_for_an_address_that_is_no_longer_the_customers_works_for_it(service: Service) -> None:
    gone = Target("c-1", 1, address=address_key("gone@weber.example"))

    assert (await service.preferences(gone)).role == ""
    assert (await service.preferring.stop(gone)).address is None
    assert await gets(service, "gone@weber.example") == {"necessary"}
    assert await gets(service, JONAS) == LIFECYCLE | {"necessary"}


async def test_of_an_erased_customer_the_address_in_a_link_can_still_be_stopped(service: Service) -> None:
    async with database_of(service).writing() as tx:
        await tx.execute(delete(tables.profiles))
        await tx.execute(delete(tables.enrolments))

    for call in (service.preferring.stop(PRIMARY), service.preferences(PRIMARY)):
        with pytest.raises(LinkRefused):
            await call
    found = await service.preferring.stop(CONTACT)

    assert (found.standing, found.company, found.role) == ("stopped", None, "")
    async with database_of(service).reading() as db:
        assert [one.reason for one in await suppressions.of(db, ADA)] == ["unsubscribed"]


async def test_the_primary_contacts_address_is_theirs_in_whichever_role_it_is_written_to(
    service: Service,
) -> None:
    found = await service.preferences(Target("c-1", 1, address=address_key(JONAS.upper())))

    assert found.role is None


async def test_without_an_address_a_stop_is_kept_as_the_accounts_word(service: Service) -> None:
    async with database_of(service).writing() as tx:
        await tx.execute(tables.profiles.update().values(email=None, address_key=None))

    assert (await service.preferring.stop(PRIMARY)).standing == "stopped"
    assert (await service.preferring.start(PRIMARY)).standing == "going"
    assert (await service.preferring.choose(PRIMARY, ["offers"])).wanted >= {"offers"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("jonas@weber.example", "j…@w….example"),
        (" ada@mail.weber.co.uk ", "a…@m….uk"),
        ("root@localhost", "r…@l…"),
        ("ü@müller.example", "ü…@m….example"),
    ],
)
def test_an_address_is_shown_so_that_only_its_owner_knows_it(address: str, shown: str) -> None:
    assert masked(address) == shown


# ---- what the journey hears ------------------------------------------------------------------------------

LISTENS = JOURNEY.replace(
    "  - id: tips\n",
    "  - id: left\n    milestone: {event: message.unsubscribed}\n    within: 50 days\n  - id: tips\n",
)


async def test_a_journey_that_listens_hears_of_it_once(tmp_path: Path, temporal: Nowhere) -> None:
    async with opened(tmp_path, temporal) as service:
        folders(tmp_path, LISTENS.replace("version: 1", "version: 2"))
        await service.publish()
        await service.enrol(SIGN_UP)
        await service.preferring.choose(PRIMARY, ["tips", "training"])
        for _ in range(2):
            await service.preferring.stop(PRIMARY)
        await service.preferring.start(PRIMARY)
        temporal.away = True
        await service.preferring.choose(PRIMARY, ["tips"])

        async with database_of(service).reading() as db:
            waiting = [one.properties["topic"] for one in await parked.of(db, "c-1")]

    heard = [(one.event, one.properties) for _, one in temporal.signals]
    assert heard == [
        ("message.unsubscribed", {"topic": "feedback", "primary": True, "enrolment": 1}),
        ("message.unsubscribed", {"topic": "all", "primary": True, "enrolment": 1}),
    ]
    assert waiting == ["training"]


async def test_a_journey_that_does_not_listen_hears_nothing(service: Service, temporal: Nowhere) -> None:
    await service.preferring.stop(PRIMARY)

    assert temporal.signals == []
    async with database_of(service).reading() as db:
        assert await parked.of(db, "c-1") == []
