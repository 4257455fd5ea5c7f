"""Several people, one message each: whom an effect is for, and what becomes of it as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from firstmile.contracts import recipient_key
from firstmile.journey.instants import from_datetime
from firstmile.mail.composing import Letterhead
from firstmile.mail.errors import OutcomeUnknown, Rejected, TryLater
from firstmile.mail.message import Address
from firstmile.mail.outcomes import Settled, together
from firstmile.mail.recipients import Addressee, Safety, addressees_of
from firstmile.mail.sending import Post, send_once
from firstmile.mail.templates import Templates
from firstmile.mail.transport import Found
from firstmile.store import gate, holds, journal, ledger, opt_outs, profiles, suppressions, views
from firstmile.store.database import Database, Reading
from firstmile.store.profiles import Contact, Profile, address_key
from tests.mail.building import FILES, LINKS, Ask, SetClock, write_files
from tests.mail.told import Told, is_outcome, is_pending, row, rows

ANN, BO, CY = "ann@customer.example", "bo@customer.example", "cy@customer.example"
CONTACTS = (Contact("sponsor", "Bo Boss", BO), Contact("admin", "Cy Admin", CY))
PARAMS: dict[str, Any] = {"template": "welcome", "class": "lifecycle", "cc": ["sponsor", "admin"]}


def customer(**changed: Any) -> Profile:
    return replace(Profile("c-1", "Ann Lee", ANN, "Lee & Co", contacts=CONTACTS), **changed)


@pytest.fixture
async def db(db: Database, now: SetClock) -> Database:
    """A customer with two more people."""
    await becomes(db, now, customer())
    return db


async def becomes(db: Database, now: SetClock, profile: Profile) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, profile, now())


# ---- who they are ----


@pytest.mark.parametrize(
    ("to", "cc", "expected"),
    [
        ([], [], [(ANN, None, False)]),
        (["sponsor"], [], [(BO, "sponsor", False)]),
        (["nobody"], [], [(ANN, None, False)]),
        ([], ["sponsor", "nobody"], [(ANN, None, False), (BO, "sponsor", True)]),
        (["sponsor", "nobody"], ["sponsor"], [(BO, "sponsor", False), (ANN, None, False)]),
        (["admin"], ["nobody"], [(CY, "admin", False), (ANN, None, True)]),
    ],
)
def test_roles_are_looked_up_among_the_contacts(
    to: list[str], cc: list[str], expected: list[tuple[str, str | None, bool]]
) -> None:
    found = addressees_of(customer(), to, cc)
    assert [(one.email, one.role, one.copy) for one in found] == expected
    assert [one.key for one in found] == [
        None if email == ANN else address_key(email) for email, _, _ in expected
    ]


def test_a_contact_with_the_primary_contacts_address_is_the_primary_contact() -> None:
    same = customer(contacts=(Contact("sponsor", "A. Lee", " ANN@Customer.example "),))
    assert addressees_of(same, (), ("sponsor",)) == (Addressee(ANN, "Ann Lee"),)
    (alone,) = addressees_of(same, ("sponsor",))
    assert (alone.role, alone.key) == (None, None)


def test_somebody_without_an_address_is_somebody_still() -> None:
    assert addressees_of(None) == (Addressee(),)
    nobody = customer(email=None)
    assert [one.email for one in addressees_of(nobody, ("nobody", "sponsor"))] == [None, BO]


# ---- a message each ----


async def test_each_gets_a_message_of_their_own_under_a_key_of_their_own(
    db: Database, now: SetClock, ask: Ask, tmp_path: Path
) -> None:
    files = FILES | {
        "welcome/body.txt.j2": "Hello {{ recipient.first_name }}"
        "{% if recipient.copy %}, a copy for you as {{ recipient.role }}{% endif %}: {{ links.preferences }}",
    }
    templates = Templates(write_files(tmp_path, files))
    post = Post(Letterhead(templates, Address("hello@acme.example", "Acme")), now=now)

    def links(address: str | None) -> Mapping[str, str]:
        return LINKS | {"preferences": f"https://acme.example/u/{(address or 'customer')[:8]}"}

    transport, request = Told(), ask(params=PARAMS)
    is_outcome(await send_once(db, transport, request, post, links=links), "done")

    of = [(BO, "Bo", "sponsor"), (CY, "Cy", "admin")]
    assert [message.key for message in transport.sent] == [
        request.key,
        *(recipient_key(request.key, address_key(email)) for email, _, _ in of),
    ]
    assert [[to.email for to in message.to] for message in transport.sent] == [[ANN], [BO], [CY]]
    assert all(message.cc == () for message in transport.sent), "nobody sees who else got it"
    assert [message.text.strip() for message in transport.sent] == [
        "Hello Ann: https://acme.example/u/customer",
        *(
            f"Hello {name}, a copy for you as {role}: https://acme.example/u/{address_key(email)[:8]}"
            for email, name, role in of
        ),
    ]
    assert [dict(message.headers)["List-Unsubscribe"] for message in transport.sent] == [
        f"<{links(None if email == ANN else address_key(email))['preferences']}>" for email in (ANN, BO, CY)
    ]
    kept = await rows(db, request.key)
    assert [(one.place, one.recipient, one.topic, one.state) for one in kept] == [
        (place, email, "tips", "accepted") for place, email in enumerate((ANN, BO, CY))
    ]


async def test_the_gate_is_asked_about_each(db: Database, post: Post, ask: Ask, now: SetClock) -> None:
    async with db.writing() as tx:
        await suppressions.add(tx, BO.title(), "bounced", now())
        await opt_outs.leave(tx, address_key(CY), ["tips"], now())
    transport = Told()
    found = await send_once(db, transport, ask(params=PARAMS), post, links=LINKS)
    reason = "1 of 3 recipients: 1 skipped (suppressed: bounced), 1 skipped (unsubscribed from tips)"
    is_outcome(found, "done", reason)
    assert transport.reached == [ANN]


async def test_the_records_are_written_once_with_the_last_one(db: Database, post: Post, ask: Ask) -> None:
    transport, request = Told(errors={CY: Rejected("refused")}), ask(params=PARAMS)
    found = await send_once(db, transport, request, post, links=LINKS)
    reason = "2 of 3 recipients: 1 failed (refused)"
    outcome = is_outcome(found, "done", reason)
    async with db.reading() as tx:
        entries = await journal.read(tx, "c-1", 1)
        seen = await views.get(tx, "c-1", 1)
    assert [(one.change, one.at, one.reason) for one in entries][1:] == [("done", outcome.at, reason)]
    assert seen is not None
    assert seen.view.number == 2
    assert await send_once(db, transport, request, post, links=LINKS) == outcome
    assert transport.reached == [ANN, BO]


async def test_one_that_is_not_decided_keeps_the_effect_open_and_holds_up_nobody(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport, request = Told(errors={ANN: OutcomeUnknown("told so")}), ask(params=PARAMS)
    is_pending(await send_once(db, transport, request, post, links=LINKS))
    assert transport.reached == [BO, CY]
    async with db.reading() as tx:
        assert await journal.read(tx, "c-1", 1) == [], "records ride on what is decided"
    accepted = now()
    now.move(seconds=40)
    transport.sighting = Found()
    reason = "3 of 3 recipients: 1 done (not sent again: the provider's log has it)"
    outcome = is_outcome(await send_once(db, transport, request, post, links=LINKS), "done", reason)
    assert outcome.at == from_datetime(now()) != from_datetime(accepted)
    assert transport.reached == [BO, CY]


async def test_the_soonest_of_those_not_decided_says_when_to_ask_again(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(
        errors={ANN: TryLater("busy", now() + timedelta(hours=1)), BO: OutcomeUnknown("told so")}
    )
    pending = is_pending(await send_once(db, transport, ask(params=PARAMS), post, links=LINKS))
    assert pending.retry_in == timedelta(seconds=5)
    assert transport.reached == [CY]


async def test_those_for_whom_there_is_no_time_left_are_next(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class Slow(Told):
        def send(self, message: Any) -> Any:
            now.move(seconds=4)
            return super().send(message)

    transport, request = Slow(), ask(params=PARAMS)
    for reached in ([ANN], [ANN, BO]):
        pending = is_pending(await send_once(db, transport, request, post, links=LINKS))
        assert (pending.reason, transport.reached) == ("the others are next", reached)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert transport.reached == [ANN, BO, CY]


async def test_a_slow_log_holds_up_nobody_but_whom_it_is_asked_about(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class Slow(Told):
        def find(self, trace: Any) -> Any:
            now.move(seconds=4)
            return super().find(trace)

    transport, request = Slow(), ask(params=PARAMS)
    transport.errors = {ANN: OutcomeUnknown("told so"), BO: OutcomeUnknown("told so")}
    is_pending(await send_once(db, transport, request, post, links=LINKS))
    looked = transport.looked
    pending = is_pending(await send_once(db, transport, request, post, links=LINKS))
    assert transport.looked == looked + 1
    assert pending.retry_in >= timedelta(seconds=5), "the log is not asked every second"


async def test_one_whose_outcome_nobody_knows_holds_up_none_of_the_others(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class Slow(Told):
        def send(self, message: Any) -> Any:
            now.move(seconds=4)
            return super().send(message)

        def find(self, trace: Any) -> Any:
            now.move(seconds=4)
            return super().find(trace)

    transport, request = Slow(errors={ANN: OutcomeUnknown("told so")}), ask(params=PARAMS)
    for reached in ([], [BO], [BO, CY]):
        is_pending(await send_once(db, transport, request, post, links=LINKS))
        assert transport.reached == reached


async def test_one_put_off_puts_off_the_effect_and_those_accepted_stay_so(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    request = ask(params=PARAMS, not_after=now() + timedelta(minutes=1))
    transport = Told(errors={CY: TryLater("busy", now() + timedelta(minutes=2))})
    is_pending(await send_once(db, transport, request, post, links=LINKS))
    now.move(minutes=2)
    reason = "2 of 3 recipients: 1 deferred (its window has closed)"
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "deferred", reason)
    again = replace(request, not_after=None)
    is_outcome(await send_once(db, transport, again, post, links=LINKS), "done")
    assert transport.reached == [ANN, BO, CY]


async def test_a_copy_outside_the_allow_list_is_left_out(db: Database, post: Post, ask: Ask) -> None:
    transport = Told()
    guarded = replace(post, safety=Safety(allow=frozenset({ANN})))
    found = await send_once(db, transport, ask(params=PARAMS), guarded, links=LINKS)
    is_outcome(found, "done", "1 of 3 recipients: 2 skipped (recipient not on the allow-list)")
    assert transport.reached == [ANN]


async def test_a_template_that_fails_for_one_goes_out_to_nobody(
    db: Database, now: SetClock, ask: Ask, tmp_path: Path
) -> None:
    broken = FILES | {"welcome/body.txt.j2": "{% if recipient.copy %}{{ nothing }}{% endif %}hello"}
    post = Post(Letterhead(Templates(write_files(tmp_path, broken)), Address("a@acme.example")), now=now)
    transport, request = Told(), ask(params=PARAMS)
    found = await send_once(db, transport, request, post, links=LINKS)
    is_outcome(found, "failed", "template welcome: welcome/body.txt.j2:1: 'nothing' is undefined")
    assert transport.sent == []
    assert await rows(db, request.key) == []


# ---- what becomes of it as a whole ----

AT = datetime(2026, 3, 6, 3, tzinfo=UTC)
DONE, LATE = Settled("done", accepted_at=AT), Settled("done", "found", accepted_at=AT + timedelta(hours=1))
SKIPPED, FAILED = Settled("skipped", "no address"), Settled("failed", "refused")
PUT_OFF = Settled("deferred", "on hold: typo", until=AT)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([SKIPPED], SKIPPED),
        ([DONE, DONE], DONE),
        ([SKIPPED, SKIPPED], SKIPPED),
        ([DONE, SKIPPED], replace(DONE, reason="1 of 2 recipients: 1 skipped (no address)")),
        ([FAILED, DONE, FAILED], replace(DONE, reason="1 of 3 recipients: 2 failed (refused)")),
        ([DONE, LATE], replace(LATE, reason="2 of 2 recipients: 1 done (found)")),
        (
            [SKIPPED, FAILED],
            Settled("failed", "0 of 2 recipients: 1 skipped (no address), 1 failed (refused)"),
        ),
        ([DONE, PUT_OFF], replace(PUT_OFF, reason="1 of 2 recipients: 1 deferred (on hold: typo)")),
        (
            [PUT_OFF, replace(PUT_OFF, until=AT - timedelta(hours=1))],
            replace(PUT_OFF, until=AT - timedelta(hours=1)),
        ),
        (
            [FAILED, PUT_OFF],
            replace(PUT_OFF, reason="0 of 2 recipients: 1 failed (refused), 1 deferred (on hold: typo)"),
        ),
    ],
)
def test_what_becomes_of_an_effect_by_what_became_of_its_messages(
    parts: list[Settled], whole: Settled
) -> None:
    assert together(parts) == whole


# ---- the profile changes on the way ----


async def held(db: Database, now: SetClock) -> None:
    async with db.writing() as tx:
        await holds.place(tx, "everything", None, reason="typo", actor="ann", now=now())


async def released(db: Database, now: SetClock) -> None:
    async with db.writing() as tx:
        await holds.release(tx, "everything", None, actor="ann", now=now())


async def test_until_it_is_begun_an_effect_is_for_whom_the_profile_says(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport, request = Told(), ask(params=PARAMS)
    await held(db, now)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "deferred", "on hold: typo")
    assert [one.recipient for one in await rows(db, request.key)] == [ANN, BO, CY]
    new = "new@customer.example"
    await becomes(db, now, customer(email=new, contacts=(Contact("sponsor", "Bo Boss", CY),)))
    await released(db, now)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert transport.reached == [new, CY]
    assert [(one.recipient, one.state) for one in await rows(db, request.key)] == [
        (new, "accepted"),
        (CY, "accepted"),
    ], "nothing is left behind of those for whom it no longer is"


NEW = Contact("sponsor", "Bo Boss", "bo@elsewhere.example")


@pytest.mark.parametrize(
    ("after", "reached"),
    [
        # Who has got it gets no second one under a new address, and nobody is added.
        (customer(email="new@customer.example"), [ANN, BO, CY]),
        (customer(contacts=(*CONTACTS, Contact("sponsor", "Di", "di@customer.example"))), [ANN, BO, CY]),
        # Who has not got it yet gets it where they are by then.
        (customer(contacts=(NEW, CONTACTS[1])), [ANN, NEW.email, CY]),
        (customer(email="new@customer.example", contacts=(NEW, CONTACTS[1])), [ANN, NEW.email, CY]),
        # Who has left gets nothing.
        (customer(contacts=CONTACTS[1:]), [ANN, CY]),
    ],
)
async def test_once_it_is_begun_nobody_is_added_and_nobody_lost(
    db: Database,
    post: Post,
    ask: Ask,
    now: SetClock,
    monkeypatch: pytest.MonkeyPatch,
    after: Profile,
    reached: list[str],
) -> None:
    request = ask(params=PARAMS)
    # Only the first has gone out: the attempt died while it asked the gate about the second.
    transport, asked = Told(), gate.ask

    async def dies(*of: Any) -> gate.Verdict:
        if transport.sent:
            raise RuntimeError("killed")
        return await asked(*of)

    with monkeypatch.context() as patch:
        patch.setattr(gate, "ask", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await send_once(db, transport, request, post, links=LINKS)
    assert [(one.recipient, one.begun) for one in await rows(db, request.key)] == [
        (ANN, True),
        (BO, False),
        (CY, False),
    ]
    await becomes(db, now, after)
    await send_once(db, transport, request, post, links=LINKS)
    assert transport.reached == reached


async def test_two_attempts_that_saw_different_profiles_write_to_the_same_people(
    db: Database, post: Post, ask: Ask, now: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, request, read = Told(), ask(params=PARAMS), profiles.get

    async def read_and_overtaken(tx: Reading, subject: str) -> Profile | None:
        found = await read(tx, subject)
        monkeypatch.undo()
        await becomes(db, now, customer(contacts=CONTACTS[:1]))
        is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
        return found

    monkeypatch.setattr(profiles, "get", read_and_overtaken)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert transport.reached == [ANN, BO]
    assert [one.recipient for one in await rows(db, request.key)] == [ANN, BO]


async def test_many_attempts_at_once_send_each_message_once(db: Database, post: Post, ask: Ask) -> None:
    transport, request = Told(), ask(params=PARAMS)
    await asyncio.gather(*(send_once(db, transport, request, post, links=LINKS) for _ in range(6)))
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert sorted(transport.reached) == [ANN, BO, CY]


async def test_what_was_frozen_goes_where_it_was_addressed_and_the_gate_is_asked_about_that(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    request = ask(params=PARAMS)
    transport = Told(errors={BO: TryLater("busy", now())})
    is_pending(await send_once(db, transport, request, post, links=LINKS))
    await becomes(db, now, customer(contacts=(NEW, CONTACTS[1])))
    async with db.writing() as tx:
        await suppressions.add(tx, BO, "complained", now())
    found = await send_once(db, transport, request, post, links=LINKS)
    is_outcome(found, "done", "2 of 3 recipients: 1 skipped (suppressed: complained)")
    assert transport.reached == [ANN, CY]


async def test_a_row_of_a_version_that_had_one_message_for_all_is_what_counts(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    request, transport = ask(params=PARAMS), Told()
    new = ledger.NewMessage(request.key, "c-1", 1, "team", "welcome", "run", "welcome", "lifecycle", ANN)
    async with db.writing() as tx:
        await ledger.prepare(tx, new, now())
        await ledger.record_fate(tx, request.key, "delivered", at=now(), now=now())
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert transport.sent == []
    assert len(await rows(db, request.key)) == 1
    assert (await row(db, request.key)).accepted_at == now()
