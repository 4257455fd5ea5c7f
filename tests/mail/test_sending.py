"""Sending once: the walk through the ledger, under every fault (DESIGN §3)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from firstmile.contracts import EffectOutcome
from firstmile.journey.instants import from_datetime
from firstmile.mail.calendar_file import uid_of
from firstmile.mail.composing import Letterhead
from firstmile.mail.errors import OutcomeUnknown, TryLater
from firstmile.mail.message import Address
from firstmile.mail.recipients import Safety
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Pending, Post, send_once
from firstmile.mail.transport import Absent
from firstmile.store import holds, journal, ledger, profiles, suppressions, views
from firstmile.store.database import Database
from firstmile.store.profiles import Consent, Profile
from firstmile.store.tables import messages
from tests.mail.building import LINKS, Ask, SetClock, Standin
from tests.mail.told import Told, decided, is_outcome, is_pending, row, statements

# ---- the straight way ----


async def test_a_message_is_sent_once_and_its_records_are_written(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    request = ask()
    first = is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    now.move(hours=1)
    again = is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert first == again, "the outcome's instant too"
    assert sendgrid.sent(request.key) == 1
    async with db.reading() as tx:
        entries = await journal.read(tx, "c-1", 1)
        seen = await views.get(tx, "c-1", 1)
    assert [(entry.number, entry.change, entry.at) for entry in entries][1] == (2, "done", first.at)
    assert seen is not None
    assert seen.view.number == 2
    kept = await row(db, request.key)
    assert (kept.state, kept.sends, kept.recipient) == ("accepted", 1, "ann@customer.example")


async def test_the_message_carries_headers_categories_and_our_key(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    request = ask()
    await send_once(db, transport, request, post, links=LINKS)
    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    assert opened.body["headers"] == {
        "List-Unsubscribe": "<https://acme.example/u/token>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert opened.body["categories"] == ["lifecycle", "segment-team", "template-welcome"]
    assert opened.body["reply_to"]["email"] == "hello@acme.example"
    assert opened.body["subject"] == "Welcome, Lee & Co"
    assert opened.personalization["custom_args"]["fm_key"] == request.key
    assert "Hello Ann" in (opened.part("text/html") or "")


async def test_a_transactional_message_offers_no_unsubscription(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    request = ask(params={"template": "welcome", "class": "transactional"})
    await send_once(db, transport, request, post, links=LINKS)
    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    assert "headers" not in opened.body


async def test_a_training_with_a_date_brings_its_calendar_file(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    request = ask(
        kind="training", step="t", params={"template": "intro", "session": "intro", "cc": ["sponsor"]}
    )
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    file = opened.attachment(0)
    assert file is not None
    assert file[1] == "text/calendar"
    unfolded = file[2].replace(b"\r\n ", b"")
    assert b"METHOD:REQUEST" in unfolded
    assert f"UID:{uid_of('c-1', 1, 't')}".encode() in unfolded
    assert b"bo@customer.example" in unfolded


async def test_click_tracking_is_on_only_where_no_link_of_ours_is(db: Database, post: Post, ask: Ask) -> None:
    tracking = replace(post, letterhead=replace(post.letterhead, track_clicks=True))
    transport = Told()
    await send_once(db, transport, ask(), tracking, links=LINKS)
    assert transport.sent[0].track_clicks is False
    other = {"preferences": "https://elsewhere.example/u"}
    page = transport.sent[0].html
    assert other["preferences"] not in page


# ---- what cannot be sent ----


async def test_a_template_that_fails_fails_the_step(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    found = await send_once(db, transport, ask(), post, links={})
    reason = "template welcome: _layout/base.html.j2:9: links.preferences is missing"
    is_outcome(found, "failed", reason)
    unknown = await send_once(db, transport, ask(params={"template": "nope"}), post, links=LINKS)
    is_outcome(unknown, "failed", "template nope: there is no such template")
    params = {"template": "intro", "session": "nope"}
    session = await send_once(db, transport, ask(kind="training", params=params), post, links=LINKS)
    is_outcome(
        session,
        "failed",
        "template intro: _layout/sessions.json: unknown session 'nope': there is only intro",
    )
    assert sendgrid.mailbox.count() == 0


async def test_what_the_provider_refuses_fails_the_step(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    sendgrid.fail(kind="status", status=403)
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "failed", "SendGrid answered 403")
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "failed", "SendGrid answered 403")
    assert (await row(db, ask().key)).state == "rejected"
    assert sendgrid.sent(ask().key) == 0
    is_outcome(await send_once(db, transport, ask(attempt=2), post, links=LINKS), "done")


@pytest.mark.parametrize(
    ("profile", "params", "reason"),
    [
        (Profile("c-1", "Ann"), {}, "no address"),
        (Profile("c-1", "Ann", "not an address"), {}, "invalid address"),
        (Profile("c-1", "Ann", "ann@x.example"), {"class": "marketing"}, "no consent to marketing messages"),
        (
            Profile("c-1", "Ann", "ann@x.example", consent=Consent(lifecycle=False)),
            {},
            "no consent to lifecycle messages",
        ),
        (Profile("c-1", "Ann", "bounced@x.example"), {"class": "transactional"}, "suppressed: bounced"),
        (Profile("c-1", "Ann", "left@x.example"), {}, "suppressed: unsubscribed"),
    ],
)
async def test_what_cannot_be_received_is_skipped_with_the_reason(
    db: Database,
    transport: SendGrid,
    sendgrid: Standin,
    post: Post,
    ask: Ask,
    now: SetClock,
    profile: Profile,
    params: dict[str, str],
    reason: str,
) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, profile, now())
        await suppressions.add(tx, "bounced@x.example", "bounced", now())
        await suppressions.add(tx, "left@x.example", "unsubscribed", now())
    request = ask(params={"template": "welcome"} | params)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "skipped", reason)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "skipped", reason)
    assert sendgrid.mailbox.count() == 0
    async with db.reading() as tx:
        assert await journal.read(tx, "c-1", 1), "the records are written whatever becomes of it"


async def test_somebody_unknown_has_no_address(
    db: Database, transport: SendGrid, post: Post, ask: Ask
) -> None:
    request = ask(subject="c-9", params={"template": "welcome", "class": "transactional"})
    is_outcome(await send_once(db, transport, request, post, links=LINKS), "skipped", "no address")


# ---- put off ----


async def test_a_message_on_hold_is_deferred_and_goes_out_when_released(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    async with db.writing() as tx:
        await holds.place(tx, "template", "welcome", reason="typo", actor="ann", now=now())
    found = is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "deferred", "on hold: typo")
    assert found.until == from_datetime(now() + timedelta(minutes=5))
    assert (await row(db, ask().key)).state == "prepared"
    async with db.writing() as tx:
        await holds.release(tx, "template", "welcome", actor="ann", now=now())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert sendgrid.sent(ask().key) == 1


async def test_a_hold_with_an_end_says_until_when_in_journey_time(
    db: Database, transport: SendGrid, post: Post, ask: Ask, now: SetClock
) -> None:
    async with db.writing() as tx:
        until = now() + timedelta(seconds=10)
        await holds.place(tx, "everything", None, reason="freeze", actor="ann", now=now(), until=until)
    found = is_outcome(
        await send_once(db, transport, ask(speed=60.0), post, links=LINKS), "deferred", "on hold: freeze"
    )
    assert found.until == from_datetime(now() + timedelta(minutes=10))


async def test_later_than_its_window_it_is_deferred_before_sending(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    request = ask(not_after=now() + timedelta(minutes=1))
    now.move(minutes=2)
    found = is_outcome(
        await send_once(db, transport, request, post, links=LINKS), "deferred", "its window has closed"
    )
    assert found.until == found.at
    assert sendgrid.mailbox.count() == 0
    assert (await row(db, request.key)).sends == 0


async def test_a_rate_limit_is_waited_for_and_nothing_is_lost(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    sendgrid.fail(kind="status", status=429, reset_in=90)
    pending = is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert timedelta(seconds=80) < pending.retry_in <= timedelta(seconds=91)
    assert (await row(db, ask().key)).state == "prepared"
    now.move(seconds=pending.retry_in.total_seconds())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert sendgrid.sent(ask().key) == 1


async def test_a_provider_that_is_busy_is_left_alone_until_then_whoever_asks(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    # Temporal asks sooner where the wait does not fit into the time that an activity has in all, and where
    # a worker dies before it can tell how long to wait.
    transport = Told(error=TryLater("SendGrid answered 429", now() + timedelta(minutes=10)))
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    transport.error = None
    now.move(seconds=1)
    pending = is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert (pending.reason, pending.retry_in) == ("SendGrid answered 429", timedelta(seconds=599))
    assert transport.sent == []
    assert (await row(db, ask().key)).sends == 1
    now.move(seconds=599)
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert len(transport.sent) == 1


# ---- unknown outcomes ----

UNKNOWN = [
    {"kind": "hang"},
    {"kind": "reset"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
]


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_taken_but_not_answered_is_found_and_not_sent_again(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, fault: dict[str, Any]
) -> None:
    sendgrid.fail(when="after", **fault)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert (await row(db, ask().key)).state == "unknown"
    reason = "not sent again: the provider's log has it"
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", reason)
    assert sendgrid.sent(ask().key) == 1
    assert await decided(db, ask().key) == [reason]


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_not_taken_and_not_answered_is_sent_again_once_it_is_proven_absent(
    db: Database,
    transport: SendGrid,
    sendgrid: Standin,
    post: Post,
    ask: Ask,
    now: SetClock,
    fault: dict[str, Any],
) -> None:
    sendgrid.fail(when="before", **fault)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    pending = is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert pending.reason == "its outcome is unknown: SendGrid's log may not have it yet"
    assert sendgrid.sent(ask().key) == 0
    now.move(seconds=31)
    reason = "sent again: the provider's log does not have it"
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", reason)
    assert sendgrid.sent(ask().key) == 1
    assert await decided(db, ask().key) == [reason]


async def test_what_is_sent_again_is_what_was_frozen(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    sendgrid.fail(kind="reset")
    await send_once(db, transport, ask(), post, links=LINKS)
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", "Other", "other@customer.example"), now())
    now.move(seconds=31)
    await send_once(db, transport, ask(), post, links=LINKS)
    letter = sendgrid.mailbox.letters()[0]
    assert (letter.recipient, letter.name) == ("ann@customer.example", "Ann Lee")


async def test_the_gate_is_asked_again_before_it_is_sent_again(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    sendgrid.fail(kind="reset")
    await send_once(db, transport, ask(), post, links=LINKS)
    async with db.writing() as tx:
        await suppressions.add(tx, "ann@customer.example", "unsubscribed", now())
    now.move(seconds=31)
    found = await send_once(db, transport, ask(), post, links=LINKS)
    before = "(before that: it was to be sent again: the provider's log does not have it)"
    is_outcome(found, "skipped", f"suppressed: unsubscribed {before}")
    assert sendgrid.mailbox.count() == 0


@pytest.mark.parametrize(
    ("message_class", "outcome", "reason", "sends"),
    [
        (
            "transactional",
            "done",
            "sent again: transactional, and nobody could tell whether it was delivered",
            1,
        ),
        (
            "lifecycle",
            "failed",
            "may have been delivered: the provider did not answer, and nobody could tell in time",
            0,
        ),
    ],
)
async def test_when_nobody_can_tell_in_time_the_class_decides(
    db: Database,
    post: Post,
    ask: Ask,
    now: SetClock,
    message_class: str,
    outcome: str,
    reason: str,
    sends: int,
) -> None:
    request = ask(params={"template": "welcome", "class": message_class})
    transport = Told(error=OutcomeUnknown("told so"))
    waits = [is_pending(await send_once(db, transport, request, post, links=LINKS)).retry_in]
    transport.error = None
    while now() < (await row(db, request.key)).updated_at + post.reconcile_for:
        waits.append(is_pending(await send_once(db, transport, request, post, links=LINKS)).retry_in)
        now.move(seconds=waits[-1].total_seconds())
    assert sum(waits[1:], timedelta()) == post.reconcile_for
    assert len(waits) < 25, "it is patient: the provider's log has limits of its own"
    is_outcome(await send_once(db, transport, request, post, links=LINKS), outcome, reason)
    is_outcome(await send_once(db, transport, request, post, links=LINKS), outcome, reason)
    assert len(transport.sent) == sends
    assert await decided(db, request.key) == [reason]


async def test_nobody_gets_the_same_message_every_half_hour_for_ever(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class TakesAndSaysNothing(Told):
        def send(self, message: Any) -> Any:
            self.sent.append(message)
            raise OutcomeUnknown("no answer in time")

    transport, request = TakesAndSaysNothing(), ask(params={"template": "welcome", "class": "transactional"})
    found = await send_once(db, transport, request, post, links=LINKS)
    for _ in range(1000):
        if isinstance(found, EffectOutcome):
            break
        now.move(seconds=found.retry_in.total_seconds())
        found = await send_once(db, transport, request, post, links=LINKS)
    again = "sent again: transactional, and nobody could tell whether it was delivered"
    given_up = "may have been delivered: the provider did not answer, and nobody could tell in time"
    is_outcome(found, "failed", f"{given_up} (before that: {again})")
    assert len(transport.sent) == 4
    assert await decided(db, request.key) == [again] * 3 + [given_up]


async def test_a_delivery_event_settles_what_was_unknown(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=OutcomeUnknown("told so"))
    await send_once(db, transport, ask(), post, links=LINKS)
    async with db.writing() as tx:
        await ledger.record_fate(tx, ask().key, "delivered", at=now(), now=now())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    async with db.reading() as tx:
        assert [entry.change for entry in await journal.read(tx, "c-1", 1)] == ["running", "done"]


async def test_an_absence_is_not_believed_while_the_call_may_still_be_under_way(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=OutcomeUnknown("told so"), sighting=Absent(), timeout=20)
    await send_once(db, transport, ask(), post, links=LINKS)
    now.move(seconds=19)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    now.move(seconds=2)
    transport.error = None
    reason = "sent again: the provider's log does not have it"
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", reason)


# ---- attempts that meet, and attempts that die ----


async def test_two_activities_for_one_key_at_once_send_once(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask
) -> None:
    found = await asyncio.gather(*(send_once(db, transport, ask(), post, links=LINKS) for _ in range(8)))
    assert any(isinstance(one, EffectOutcome) for one in found)
    assert all(one.outcome == "done" for one in found if isinstance(one, EffectOutcome))
    assert sendgrid.sent(ask().key) == 1


async def test_while_another_attempt_has_the_lease_one_is_told_to_come_back(
    db: Database, post: Post, ask: Ask
) -> None:
    transport = Told(wait=threading.Event())
    assert transport.wait is not None
    first = asyncio.create_task(send_once(db, transport, ask(), post, links=LINKS))
    await asyncio.to_thread(transport.begun.wait, 10)
    pending = is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert pending == Pending("another attempt is sending it", post.lease)
    transport.wait.set()
    is_outcome(await first, "done")
    assert len(transport.sent) == 1


async def test_an_attempt_that_died_is_reconciled_when_its_lease_is_over(
    db: Database, transport: SendGrid, sendgrid: Standin, post: Post, ask: Ask, now: SetClock
) -> None:
    await send_once(db, transport, ask(), post, links=LINKS)
    # As if the worker had been killed after the provider said yes and before that was written down.
    async with db.writing() as tx:
        died = {"state": "sending", "lease_until": now() + post.lease, "provider_id": None}
        await tx.execute(update(messages).values(**died))
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    now.move(seconds=31)
    is_outcome(
        await send_once(db, transport, ask(), post, links=LINKS),
        "done",
        "not sent again: the provider's log has it",
    )
    assert sendgrid.sent(ask().key) == 1


async def test_a_call_that_takes_too_long_is_unknown_though_it_goes_on(
    db: Database, post: Post, ask: Ask
) -> None:
    transport = Told(wait=threading.Event())
    assert transport.wait is not None
    short = replace(post, limit=timedelta(milliseconds=50))
    pending = is_pending(await send_once(db, transport, ask(), short, links=LINKS))
    assert pending.reason == "its outcome is unknown: the provider did not answer in time"
    transport.wait.set()
    assert (await row(db, ask().key)).state == "unknown"


async def test_the_lease_is_looked_at_just_before_the_bytes_go_out(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class Crowded(ThreadPoolExecutor):
        def submit(self, *call: Any, **named: Any) -> Any:
            now.move(seconds=25)
            return super().submit(*call, **named)

    transport = Told()
    with Crowded(1) as executor:
        crowded = replace(post, executor=executor)
        pending = is_pending(await send_once(db, transport, ask(), crowded, links=LINKS))
    assert pending.reason == "it waited too long for its turn"
    assert transport.sent == []
    assert (await row(db, ask().key)).state == "prepared"


async def test_a_transport_that_breaks_its_word_leaves_the_outcome_unknown(
    db: Database, post: Post, ask: Ask
) -> None:
    is_pending(await send_once(db, Told(error=RuntimeError("bug")), ask(), post, links=LINKS))
    kept = await row(db, ask().key)
    assert (kept.state, kept.reason) == ("unknown", "RuntimeError")


# ---- nothing leaves a machine by accident ----

REDIRECT = Address("qa@acme.example")


@pytest.mark.parametrize(
    ("safety", "speed", "reaches", "recipients"),
    [
        (Safety(), 1.0, True, ["ann@customer.example"]),
        (Safety(), 60.0, True, "recipient not allowed: the enrolment runs at speed 60"),
        (Safety(), 60.0, False, ["ann@customer.example"]),
        (Safety(REDIRECT), 1.0, True, ["qa@acme.example"]),
        (Safety(REDIRECT), 60.0, True, ["qa@acme.example"]),
        (Safety(REDIRECT), 1.0, False, ["qa@acme.example"]),
        (Safety(allow=frozenset({"ann@customer.example"})), 60.0, True, ["ann@customer.example"]),
        (Safety(allow=frozenset({"@Customer.example"})), 1.0, True, ["ann@customer.example"]),
        (Safety(REDIRECT, frozenset({"@customer.example"})), 1.0, True, ["ann@customer.example"]),
        (Safety(allow=frozenset({"@acme.example"})), 1.0, True, "recipient not on the allow-list"),
        (Safety(allow=frozenset()), 1.0, True, "recipient not on the allow-list"),
    ],
)
async def test_whom_a_message_may_reach(
    db: Database,
    post: Post,
    ask: Ask,
    safety: Safety,
    speed: float,
    reaches: bool,
    recipients: list[str] | str,
) -> None:
    transport = Told(reaches_people=reaches)
    request = ask(speed=speed)
    found = await send_once(db, transport, request, replace(post, safety=safety), links=LINKS)
    if isinstance(recipients, str):
        is_outcome(found, "skipped", recipients)
        assert transport.sent == []
        kept = await row(db, request.key)
        assert (kept.verdict, kept.reason, kept.sends) == ("skipped", recipients, 0)
    else:
        is_outcome(found, "done")
        assert [address.email for address in transport.sent[0].recipients] == recipients


async def test_what_was_frozen_under_other_rules_does_not_go_out(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=OutcomeUnknown("told so"), sighting=Absent())
    await send_once(db, transport, ask(), post, links=LINKS)
    transport.error = None
    now.move(seconds=31)
    guarded = replace(post, safety=Safety(REDIRECT))
    is_outcome(
        await send_once(db, transport, ask(), guarded, links=LINKS),
        "failed",
        "the rules for recipients have changed since it was first sent "
        "(before that: it was to be sent again: the provider's log does not have it)",
    )
    assert transport.sent == []


def test_the_lease_must_outlast_a_call(post: Post) -> None:
    with pytest.raises(ValueError, match="longer than a call"):
        Post(Letterhead(post.letterhead.templates, REDIRECT), lease=timedelta(seconds=5))


@pytest.mark.parametrize(("limit", "start_to_close", "lease"), [(15, 15, 30), (12, 30, 30), (20, 15, 30)])
def test_a_call_an_attempt_and_its_lease_follow_one_another(
    post: Post, limit: int, start_to_close: int, lease: int
) -> None:
    with pytest.raises(ValueError, match=r"each must be longer than the one before"):
        replace(
            post,
            limit=timedelta(seconds=limit),
            start_to_close=timedelta(seconds=start_to_close),
            lease=timedelta(seconds=lease),
        )


def test_a_transport_may_not_outlast_an_attempt(post: Post) -> None:
    post.check(Told(timeout=14.9))
    with pytest.raises(ValueError, match="a call to told may take 15 s, and an attempt has 15 s"):
        post.check(Told(timeout=15))


# ---- what it costs ----


async def test_a_message_to_one_person_costs_no_more_than_these_statements(
    db: Database, post: Post, ask: Ask
) -> None:
    with statements(db) as seen:
        is_outcome(await send_once(db, Told(), ask(), post, links=LINKS), "done")
    assert seen == [
        "BEGIN",
        "SELECT messages",
        "SELECT profiles",
        "BEGIN IMMEDIATE",
        "INSERT messages",
        "SELECT holds",  # the gate
        "UPDATE messages",
        "INSERT bodies",
        "BEGIN IMMEDIATE",
        "UPDATE messages",
        # The records that ride: those of a first step, whose view is new.
        "INSERT journal",
        "UPDATE views",
        "SELECT journal",
        "INSERT views",
        "INSERT tallies",
    ]


async def test_a_further_recipient_costs_only_what_is_their_own(db: Database, post: Post, ask: Ask) -> None:
    request = ask(params={"template": "welcome", "cc": ["sponsor"]})
    with statements(db) as seen:
        is_outcome(await send_once(db, Told(), request, post, links=LINKS), "done")
    assert len([one for one in seen if not one.startswith("BEGIN")]) == 12 + 7, seen
    assert seen.count("INSERT journal") == seen.count("INSERT views") == 1
