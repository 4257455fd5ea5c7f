"""Attempts that meet, stop, die and wake up again, in any order, while the world around them changes.

First the interleavings that are known to be dangerous, each by itself. Then any: each example is a customer's
message; attempts at it go on as Hypothesis chooses, and in between the clock moves, delivery events come,
people unsubscribe, move and are put on hold. In the end everything that is left goes to its end, and the
mailbox is held against the ledger, the outcome and the journal.

`FIRSTMILE_TEST_EXAMPLES=5000` tries more than the few hundred that every run tries.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from firstmile.contracts import EffectOutcome
from firstmile.journey.inputs import Purpose
from firstmile.journey.instants import from_datetime
from firstmile.mail.outcomes import MAY_HAVE_BEEN_DELIVERED, RESENT_ABSENT, RESENT_UNKNOWN
from firstmile.store import ledger
from tests.mail.crash_table import CLASSES
from tests.mail.crashing import LEASE, RECONCILE_FOR, Attempt, Office, Walk, same
from tests.mail.provider import ANSWERS, Log
from tests.mail.scene import Scene

EXAMPLES = int(os.environ.get("FIRSTMILE_TEST_EXAMPLES", "300"))
PATIENCE = timedelta(seconds=60)
"""After which nothing is under way any more."""

MOVES = (1, 5, 12, 16, 31, 31, 120)
STRIDES = ("go_on", "go_on", "go_on_to_a_change", "go_on_to_a_change", "go_on_to_the_end")
FATES: tuple[ledger.Fate, ...] = ("processed", "deferred", "delivered", "bounced")
LOGS: tuple[Log, ...] = ("tells", "is late", "never tells", "never tells", "breaks")

many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    # Shrinking takes minutes, and is worth them only to a person who looks for the fault.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if EXAMPLES > 300 else [])],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all: a store belongs to one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def office(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One store for all: each example has a customer of its own."""
    place: Path = tmp_path_factory.mktemp("office")
    opened = loop.run(Office.open(place))
    yield opened
    loop.run(opened.close())


# ---- the dangerous ones, by themselves -------------------------------------------------------------------


def test_an_attempt_frozen_before_it_writes_finds_what_a_second_reconciled(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        frozen = await scene.begin()
        while not scene.copies:
            await frozen.go_on()
        scene.clock.moment += LEASE

        second = await scene.decided()
        await frozen.go_on_to_the_end()

        assert (second.outcome, second.reason) == ("done", "not sent again: the provider's log has it")
        assert frozen.task.result() == second
        assert (scene.copies, await scene.journal()) == (1, [second.reason])

    loop.run(play())


def test_an_attempt_frozen_before_its_call_makes_none_once_its_lease_is_over(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        frozen = await scene.begin()
        await frozen.go_on_to_a_change()
        scene.clock.moment += LEASE

        second = await scene.decided()
        await frozen.go_on_to_the_end()

        assert (second.outcome, second.reason) == ("done", RESENT_ABSENT)
        assert (scene.copies, len(scene.provider.calls)) == (1, 1)
        assert same(await scene.decided(), second)

    loop.run(play())


def test_what_the_first_call_came_to_counts_though_another_was_decided_on(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, message_class="transactional", log="never tells")
        frozen = await scene.begin()
        while not scene.copies:
            await frozen.go_on()
        scene.clock.moment += LEASE + RECONCILE_FOR
        second = await scene.begin()
        await second.go_on_to_a_change()
        await second.kill()

        await frozen.go_on_to_the_end()

        outcome = await scene.decided()
        assert frozen.task.result() == outcome
        assert scene.copies == 1, "it was to be sent again, and the proof came first"
        assert outcome.reason is not None
        assert outcome.reason.startswith(f"it was to be {RESENT_UNKNOWN}")

    loop.run(play())


def test_a_message_that_was_given_up_is_done_once_its_call_comes_back(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, log="never tells")
        frozen = await scene.begin()
        while not scene.copies:
            await frozen.go_on()
        scene.clock.moment += LEASE + RECONCILE_FOR
        given_up = await scene.decided()

        await frozen.go_on_to_the_end()

        assert (given_up.outcome, given_up.reason) == ("failed", MAY_HAVE_BEEN_DELIVERED)
        assert (await scene.decided()).outcome == "done"
        assert scene.copies == 1

    loop.run(play())


def test_a_delivery_event_may_come_before_the_answer_is_written(loop: asyncio.Runner, office: Office) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        first = await scene.begin()
        while not scene.copies:
            await first.go_on()
        await scene.delivery_event("delivered")
        await first.go_on_to_the_end()

        outcome = await scene.decided()
        assert (outcome.outcome, outcome.reason, scene.copies) == ("done", None, 1)
        assert first.task.result() == outcome

    loop.run(play())


def test_a_delivery_event_stops_what_was_to_be_sent_again(loop: asyncio.Runner, office: Office) -> None:
    async def play() -> None:
        lost = "accepts, and its answer is lost"
        scene = await Scene.set(office, lost, message_class="transactional", log="never tells")
        await (await scene.begin()).go_on_to_the_end()
        scene.clock.moment += RECONCILE_FOR
        deciding = await scene.begin()
        await deciding.go_on_to_a_change()
        await scene.delivery_event("delivered")
        await deciding.go_on_to_the_end()

        outcome = await scene.decided()
        assert (outcome.outcome, outcome.reason) == ("done", f"it was to be {RESENT_UNKNOWN}")
        assert (scene.copies, await scene.journal()) == (1, [outcome.reason])

    loop.run(play())


def test_who_unsubscribes_between_gate_and_send_gets_this_one_and_no_second(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, "takes nothing, and does not answer")
        first = await scene.begin()
        await first.go_on_to_a_change()
        await scene.unsubscription()
        await first.go_on_to_the_end()
        assert len(scene.provider.calls) == 1, "the gate was read when it turned to `sending`"

        outcome = await scene.decided()
        assert outcome.outcome == "skipped"
        assert outcome.reason is not None
        assert outcome.reason.startswith("suppressed: unsubscribed")
        assert RESENT_ABSENT in outcome.reason, "the decision is told, and that it was not carried out"
        assert (scene.copies, await scene.broken()) == (0, [])

    loop.run(play())


@pytest.mark.parametrize("what", ["hold", "window"])
def test_what_is_put_off_between_gate_and_send_goes_out_once_and_is_not_sent_again_then(
    loop: asyncio.Runner, office: Office, what: str
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, "takes nothing, and does not answer", window=1)
        first = await scene.begin()
        await first.go_on_to_a_change()
        if what == "hold":
            await scene.hold()
        else:
            scene.clock.move(seconds=2)
        await first.go_on_to_the_end()
        assert len(scene.provider.calls) == 1, "the gate was read when it turned to `sending`"

        put_off = await scene.decided()
        assert put_off.outcome == "deferred"
        assert "it was to be sent again" in (put_off.reason or "")
        assert len(scene.provider.calls) == 1
        await scene.release()
        assert (await _undeferred(scene)).outcome == "done"
        assert (scene.copies, await scene.broken()) == (1, [])

    loop.run(play())


def test_an_address_changed_while_on_hold_is_the_one_that_is_written_to(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        await scene.hold()
        assert (await scene.decided()).outcome == "deferred"
        await scene.move()
        await scene.release()

        assert (await scene.decided()).outcome == "done"
        assert scene.received_by == [f"new.{scene.request.subject}@customer.example"]

    loop.run(play())


def test_an_address_changed_once_it_was_sent_is_not_written_to_again(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, "accepts, and its answer is lost", message_class="transactional")
        scene.provider.log = "never tells"
        first = await scene.begin()
        await first.go_on_to_the_end()
        await scene.move()

        outcome = await scene.decided()
        assert (outcome.reason, scene.copies) == (RESENT_UNKNOWN, 2)
        assert len(set(scene.received_by)) == 1, "what was frozen is what is sent"

    loop.run(play())


@pytest.mark.parametrize("purposes", [("remind", "occur"), ("run", "remind"), ("run", "occur")])
def test_effects_with_the_same_number_are_different_messages(
    loop: asyncio.Runner, office: Office, purposes: tuple[Purpose, Purpose]
) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        both = [replace(scene.request, kind="survey", purpose=purpose, occurrence=1) for purpose in purposes]
        attempts = [
            await office.begin(scene.provider, request, scene.post) for request in both for _ in range(2)
        ]
        while alive := [attempt for attempt in attempts if not attempt.is_over]:
            for attempt in alive:
                await attempt.go_on()

        assert [scene.provider.mailbox(request.key) for request in both] == [1, 1]

    loop.run(play())


def test_an_operators_retry_is_another_message_and_the_first_may_still_arrive(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, "accepts, after nobody waits any more", log="never tells")
        failed = await scene.decided()
        assert (failed.outcome, failed.reason) == ("failed", MAY_HAVE_BEEN_DELIVERED)

        again = replace(scene.request, attempt=2)
        outcome = await office.to_the_end(scene.provider, again, scene.post, scene.clock, Walk())
        assert (outcome.outcome, outcome.reason) == ("done", None)
        assert (scene.copies, scene.provider.mailbox(again.key)) == (1, 1)
        assert same(await scene.decided(), failed), "the first is what it was"

    loop.run(play())


def test_a_resend_is_another_message_and_the_first_stays_what_it_was(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office)
        first = await scene.decided()
        resent = replace(scene.request, attempt=2)
        attempts = [await office.begin(scene.provider, resent, scene.post) for _ in range(2)]
        while alive := [attempt for attempt in attempts if not attempt.is_over]:
            for attempt in alive:
                await attempt.go_on()

        assert (scene.copies, scene.provider.mailbox(resent.key)) == (1, 1)
        assert await scene.decided() == first

    loop.run(play())


def test_a_copy_for_each_recipient_though_attempts_die_between_them(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, cc=("sponsor",))
        first = await scene.begin()
        while len(scene.provider.calls) < 2:
            await first.go_on()
        await first.kill()
        scene.clock.moment += LEASE

        outcome = await scene.decided()
        rows = await office.messages(scene.request)
        assert (outcome.outcome, len(rows)) == ("done", 2)
        assert [scene.provider.mailbox(row.key) for row in rows] == [1, 1]
        assert len(set(scene.received_by)) == 2

    loop.run(play())


def test_a_recipient_who_is_replaced_while_an_attempt_is_on_its_way_to_them_is_left_out(
    loop: asyncio.Runner, office: Office
) -> None:
    async def play() -> None:
        scene = await Scene.set(office, window=1, cc=("sponsor",))
        scene.clock.move(seconds=2)
        first = await scene.begin()
        await first.go_on_to_a_change()
        await scene.move()
        await (await scene.begin()).go_on_to_the_end()
        await first.go_on_to_the_end()

        assert (await _undeferred(scene)).outcome == "done"
        subject = scene.request.subject
        assert scene.received_by == [f"new.{subject}@customer.example", f"bo.{subject}@customer.example"]

    loop.run(play())


# ---- any -------------------------------------------------------------------------------------------------


async def play_any(office: Office, data: st.DataObject) -> None:
    scene = await Scene.set(
        office,
        *data.draw(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=4)),
        message_class=data.draw(st.sampled_from(CLASSES)),
        log=data.draw(st.sampled_from(LOGS)),
        window=data.draw(st.none() | st.integers(1, 100)),
        cc=data.draw(st.sampled_from([(), (), (), ("sponsor",)])),
        idempotent=data.draw(st.sampled_from([False] * 5 + [True])),
    )
    try:
        await act(scene, data)
        await end(scene, data)
    finally:
        # Hypothesis leaves a play when it has seen enough of it.
        await scene.clear()


async def act(scene: Scene, data: st.DataObject) -> None:
    """Whatever may happen."""
    await scene.begin()
    on_hold = False
    for _ in range(data.draw(st.integers(4, 20))):
        alive = scene.alive()
        received = [key for key in {call.key for call in scene.provider.calls} if scene.provider.mailbox(key)]
        may = ["begin"] * (len(alive) < 3) + ["go on"] * 5 * bool(alive) + ["die"] * bool(alive)
        may += ["time passes"] * 2 + ["an event"] * bool(received)
        may += ["release" if on_hold else "hold", "move", "unsubscription"]
        match data.draw(st.sampled_from(may)):
            case "begin":
                await scene.begin()
            case "go on":
                await getattr(_one(alive, data), data.draw(st.sampled_from(STRIDES)))()
            case "die":
                await _one(alive, data).kill()
            case "time passes":
                scene.clock.move(seconds=data.draw(st.sampled_from(MOVES)))
            case "an event":
                await scene.delivery_event(data.draw(st.sampled_from(FATES)), sorted(received)[-1])
            case "hold":
                await scene.hold()
                on_hold = True
            case "release":
                await scene.release()
                on_hold = False
            case "move":
                await scene.move()
            case _:
                await scene.unsubscription()


async def end(scene: Scene, data: st.DataObject) -> None:
    """Everybody is dead, goes to the end, or wakes up when all is decided; then it is looked at."""
    asleep = []
    for attempt in scene.alive():
        match data.draw(st.sampled_from(["dies", "goes on", "sleeps"])):
            case "dies":
                await attempt.kill()
            case "goes on":
                await attempt.go_on_to_the_end()
            case _:
                asleep.append(attempt)
    await scene.release()
    if scene.provider.log == "breaks":
        # One that broke for ever would hold the message up until somebody sees it: that is no ending.
        scene.provider.log = data.draw(st.sampled_from(["tells", "never tells"]))
    first = await _undeferred(scene)
    for attempt in asleep:
        await attempt.go_on_to_the_end()
    outcome = await _undeferred(scene)
    scene.clock.moment += PATIENCE

    rows = await scene.office.messages(scene.request)
    broken = await scene.broken()
    copies = [scene.provider.mailbox(row.key) for row in rows]
    assert not broken, (broken, outcome.outcome, outcome.reason, copies, [row.decisions for row in rows])
    assert same(outcome, first) or first.outcome == "failed", "only a proof may change what was told"
    assert same(await scene.decided(), outcome), "asked again, it says something else"
    assert await scene.journal() == ([outcome.reason] if outcome.outcome == "done" else [])
    for row in rows:
        to = {call.recipient for call in scene.provider.calls if call.key == row.key}
        assert len(to) <= 1, "what was frozen is what is sent"
    if outcome.outcome == "failed":
        again = replace(scene.request, attempt=2)
        await scene.office.to_the_end(scene.provider, again, scene.post, scene.clock, Walk())
        assert same(await scene.decided(), outcome), "an operator's retry changes what the first was"
    event(f"{outcome.outcome}, {max(copies, default=0)} copies")


async def _undeferred(scene: Scene) -> EffectOutcome:
    """What it comes to when the engine has done it again in its next window, if it was put off."""
    for _ in range(5):
        if (outcome := await scene.decided()).outcome != "deferred":
            return outcome
        scene.clock.move(hours=12)
        later = from_datetime(scene.clock() + timedelta(hours=1))
        scene.request = replace(scene.request, not_after=later)
    raise AssertionError("it is put off for ever")


def _one(alive: list[Attempt], data: st.DataObject) -> Attempt:
    return alive[data.draw(st.integers(0, len(alive) - 1))]


@given(data=st.data())
@many
def test_whatever_happens_no_copy_is_made_or_lost_without_a_recorded_decision(
    loop: asyncio.Runner, office: Office, data: st.DataObject
) -> None:
    loop.run(play_any(office, data))
