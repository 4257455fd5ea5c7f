"""What meets on the way of one message, one case at a time; all of them together are in test_interleavings.

Deterministic: an attempt is frozen where a test wants it, and another goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from firstmile.mail.errors import OutcomeUnknown, TryLater
from firstmile.mail.message import Message
from firstmile.mail.outcomes import RESENT_ABSENT, RESENT_IDEMPOTENT
from firstmile.mail.sending import Post, send_once
from firstmile.mail.transport import Absent, Found, Receipt
from firstmile.store import holds, journal, ledger, profiles, suppressions
from firstmile.store.database import Database
from firstmile.store.profiles import Profile
from tests.mail.building import LINKS, Ask, SetClock
from tests.mail.told import Told, decided, is_outcome, is_pending, row

ANN = "ann@customer.example"


class Queue(Executor):
    """Where calls wait until a test lets them go: an attempt is frozen just before its bytes go out."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.there = asyncio.Event()

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            future.set_running_or_notify_cancel()
            try:
                future.set_result(call(*given, **named))
            except BaseException as error:
                future.set_exception(error)

        self.waiting.append(run)
        self.there.set()
        return future


# ---- attempts that overtake one another ----


async def test_an_attempt_frozen_before_its_write_sends_nothing_when_another_has_decided(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport, queue = Told(sighting=Absent()), Queue()
    first = asyncio.create_task(send_once(db, transport, ask(), replace(post, executor=queue), links=LINKS))
    await queue.there.wait()
    now.move(seconds=31)

    second = is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", RESENT_ABSENT)
    queue.waiting[0]()
    is_pending(await first)

    assert transport.reached == [ANN], "the lease is looked at just before the bytes go out"
    assert await send_once(db, transport, ask(), post, links=LINKS) == second
    assert await decided(db, ask().key) == [RESENT_ABSENT]


async def test_an_attempt_whose_answer_comes_late_is_found_out_by_another_and_changes_nothing(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(wait=threading.Event())
    assert transport.wait is not None
    first = asyncio.create_task(send_once(db, transport, ask(), post, links=LINKS))
    await asyncio.to_thread(transport.begun.wait, 10)
    now.move(seconds=31)
    transport.sighting = Found("id-0")

    reason = "not sent again: the provider's log has it"
    second = is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", reason)
    transport.wait.set()

    assert await first == second
    assert transport.reached == [ANN]
    assert (await row(db, ask().key)).provider_id == "id-0"


async def test_an_answer_after_the_lease_counts_if_nobody_has_decided_yet(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(wait=threading.Event())
    assert transport.wait is not None
    first = asyncio.create_task(send_once(db, transport, ask(), post, links=LINKS))
    await asyncio.to_thread(transport.begun.wait, 10)
    now.move(seconds=31)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    transport.wait.set()

    is_outcome(await first, "done")
    assert await decided(db, ask().key) == []


# ---- delivery events ----


@pytest.mark.parametrize("fate", ["processed", "delivered", "bounced"])
async def test_a_delivery_event_before_the_answer_is_recorded_proves_acceptance(
    db: Database, post: Post, ask: Ask, now: SetClock, fate: ledger.Fate
) -> None:
    transport = Told(wait=threading.Event())
    assert transport.wait is not None
    first = asyncio.create_task(send_once(db, transport, ask(), post, links=LINKS))
    await asyncio.to_thread(transport.begun.wait, 10)
    at = now()
    async with db.writing() as tx:
        await ledger.record_fate(tx, ask().key, fate, at=at, now=now())
    now.move(seconds=5)
    transport.wait.set()

    outcome = is_outcome(await first, "done")
    kept = await row(db, ask().key)
    assert (kept.state, kept.fate, kept.accepted_at) == ("accepted", fate, at)
    assert await send_once(db, transport, ask(), post, links=LINKS) == outcome


async def test_an_effect_whose_message_has_a_fate_is_done_without_a_look_in_the_log(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=OutcomeUnknown("told so"))
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    async with db.writing() as tx:
        await ledger.record_fate(tx, ask().key, "delivered", at=now(), now=now())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert transport.looked == 0


async def test_a_delivery_event_between_the_decision_and_the_send_makes_the_send_needless(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=OutcomeUnknown("told so"))
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    async with db.writing() as tx:
        await ledger.decide_resend(tx, ask().key, now=now(), decision=RESENT_ABSENT)
        await ledger.record_fate(tx, ask().key, "delivered", at=now(), now=now())
    transport.error = None
    found = await send_once(db, transport, ask(), post, links=LINKS)
    is_outcome(found, "done", f"it was to be {RESENT_ABSENT}")
    assert transport.sent == []
    async with db.reading() as tx:
        assert [one.reason for one in await journal.read(tx, "c-1", 1)][1:] == [
            f"it was to be {RESENT_ABSENT}"
        ]


# ---- customers and operators ----


async def test_an_unsubscription_after_the_gate_holds_from_the_next_message_on(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    class Leaving(Told):
        """Whoever is written to unsubscribes while the message is on its way."""

        def send(self, message: Message) -> Receipt:
            asyncio.run_coroutine_threadsafe(leaves(), loop).result(10)
            return super().send(message)

    async def leaves() -> None:
        async with db.writing() as tx:
            await suppressions.add(tx, ANN, "unsubscribed", now())

    loop, transport = asyncio.get_running_loop(), Leaving()
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    following = ask(step="tips")
    found = await send_once(db, transport, following, post, links=LINKS)
    is_outcome(found, "skipped", "suppressed: unsubscribed")
    assert transport.reached == [ANN]


async def test_an_unsubscription_before_the_gate_stops_what_is_put_back_already(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told(error=TryLater("busy", now()))
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    async with db.writing() as tx:
        await suppressions.add(tx, ANN, "unsubscribed", now())
    transport.error = None
    found = await send_once(db, transport, ask(), post, links=LINKS)
    is_outcome(found, "skipped", "suppressed: unsubscribed")
    assert transport.sent == []


async def test_a_message_on_hold_goes_to_the_address_that_its_customer_has_when_it_is_released(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport = Told()
    async with db.writing() as tx:
        await holds.place(tx, "customer", "c-1", reason="moving", actor="ann", now=now())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "deferred", "on hold: moving")
    async with db.writing() as tx:
        await profiles.write(tx, Profile("c-1", "Ann Lee", "new@customer.example"), now())
        await holds.release(tx, "customer", "c-1", actor="ann", now=now())
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done")
    assert transport.reached == ["new@customer.example"]
    assert (await row(db, ask().key)).recipient == "new@customer.example"


async def test_a_reminder_and_an_occurrence_of_the_same_number_are_two_messages(
    db: Database, post: Post, ask: Ask
) -> None:
    transport = Told()
    requests = [
        ask(kind="checkin", purpose=purpose, occurrence=2) for purpose in ("remind", "occur", "resend")
    ]
    for request in requests:
        is_outcome(await send_once(db, transport, request, post, links=LINKS), "done")
    assert [message.key for message in transport.sent] == [request.key for request in requests]
    assert len({request.key for request in requests}) == 3


# ---- a provider that tells duplicates by the key ----


@pytest.mark.parametrize("taken", [True, False])
async def test_what_is_unknown_is_sent_again_at_once_where_the_provider_tells_duplicates(
    db: Database, post: Post, ask: Ask, now: SetClock, taken: bool
) -> None:
    class Losing(Told):
        """Its first answer is lost, whether it took the message or not."""

        lost = False

        def send(self, message: Message) -> Receipt:
            if not self.lost:
                self.lost = True
                if taken:
                    super().send(message)
                raise OutcomeUnknown("told so")
            return super().send(message)

    transport = Losing(idempotent=True)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    now.move(seconds=5)
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", RESENT_IDEMPOTENT)
    assert transport.reached == [ANN]
    assert transport.looked == 0
    assert await decided(db, ask().key) == [RESENT_IDEMPOTENT]


async def test_it_is_sent_again_more_and_more_slowly_and_not_for_ever(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport, waits = Told(idempotent=True, error=OutcomeUnknown("told so")), []
    while transport.looked == 0:
        waits.append(is_pending(await send_once(db, transport, ask(), post, links=LINKS)).retry_in)
        now.move(seconds=waits[-1].total_seconds())
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (5, 10, 20, 40)]
    assert max(waits) == timedelta(minutes=2)
    assert post.reconcile_for <= sum(waits, timedelta()) < post.reconcile_for + timedelta(minutes=10)
    assert len(await decided(db, ask().key)) < 25


async def test_a_dead_attempt_is_sent_again_only_when_its_lease_is_over(
    db: Database, post: Post, ask: Ask, now: SetClock
) -> None:
    transport, queue = Told(idempotent=True), Queue()
    first = asyncio.create_task(send_once(db, transport, ask(), replace(post, executor=queue), links=LINKS))
    await queue.there.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    is_pending(await send_once(db, transport, ask(), post, links=LINKS))
    assert transport.sent == []
    now.move(seconds=31)
    is_outcome(await send_once(db, transport, ask(), post, links=LINKS), "done", RESENT_IDEMPOTENT)
    assert transport.reached == [ANN]
