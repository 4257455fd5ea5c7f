"""The service: sign-ups are seen once, events are not lost, commands say what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from firstmile.contracts import CommandRequest
from firstmile.errors import (
    CommandMalformed,
    CommandRejected,
    EventRefused,
    JourneyOver,
    LinkRefused,
    NotConfirmed,
    SignUpDiffers,
    SignUpRefused,
    TemporalAway,
    UnknownCustomer,
)
from firstmile.journey.instants import from_datetime
from firstmile.links import Target
from firstmile.service import Asked, Service, commanding, enrolling, standing
from firstmile.service import events as reading
from firstmile.service.standing import as_json
from firstmile.store import delivery_events, enrolments, ledger, parked, profiles, responses
from firstmile.store.delivery_events import DeliveryEvent
from tests.doorway import JOURNEY, SIGN_UP, Clock, Nowhere, database_of, folders, opened, town, until
from tests.events import key_of, sent


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def temporal() -> Nowhere:
    return Nowhere(away=False)


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere, clock: Clock) -> AsyncIterator[Service]:
    async with opened(tmp_path, temporal, clock) as opened_service:
        yield opened_service


def event(
    name: str = "report.published", id: str = "e1", subject: str = "c-1", **rest: Any
) -> reading.ProductEvent:
    return reading.read({"subject": subject, "event": name, "id": id, **rest})


# ---- signing up ------------------------------------------------------------------------------------------


async def test_a_sign_up_starts_a_workflow_of_its_segment(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    enrolled = await service.enrol(SIGN_UP)

    assert enrolled.outcome == "started"
    assert enrolled.response["status_url"] == "/v1/onboardings/c-1"
    (started,) = temporal.starts
    assert (started["workflow"], started["id"]) == ("small", "onboarding/c-1")
    start = started["start"]
    assert start.subject.traits == {"plan": "pro", "seats": 12}
    assert start.enrolled_at == from_datetime(clock())
    assert start.calendar.timezone == "Europe/Berlin"
    attributes = {pair.key.name: pair.value for pair in started["search_attributes"].search_attributes}
    assert attributes == {"FirstmileSegment": "small", "FirstmileVersion": 1, "FirstmileStage": "sign-up"}


async def test_nothing_personal_reaches_temporal(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)

    assert not [word for word in ("jonas", "weber", "Jonas", "Weber") if word in str(temporal.starts)]


async def test_the_same_sign_up_again_changes_nothing_and_gets_the_same_answer(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    first = await service.enrol(SIGN_UP)
    clock.forward(timedelta(days=400))

    again = await service.enrol(dict(reversed(SIGN_UP.items())))

    assert (again.outcome, again.response) == ("same", first.response)
    assert len(temporal.starts) == 1


async def test_the_same_sign_up_is_the_same_even_if_the_journey_now_wants_more(
    service: Service, tmp_path: Path
) -> None:
    first = await service.enrol(SIGN_UP)
    folders(
        tmp_path,
        JOURNEY.replace("version: 1", "version: 2").replace("plan: text", "plan: text, region: text"),
    )
    await service.publish()

    assert (await service.enrol(SIGN_UP)).response == first.response
    with pytest.raises(SignUpRefused, match="region"):
        await service.enrol(SIGN_UP | {"id": "c-2"})


async def test_another_body_under_the_same_id_is_refused(service: Service) -> None:
    await service.enrol(SIGN_UP)

    with pytest.raises(SignUpDiffers):
        await service.enrol(SIGN_UP | {"name": "Somebody Else"})


async def test_a_cloud_event_may_carry_the_sign_up(service: Service) -> None:
    carried = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "signed_up", "data": SIGN_UP}

    assert (await service.enrol(carried)).outcome == "started"
    assert (await service.enrol(SIGN_UP)).outcome == "same"


async def test_many_at_once_under_one_id_start_it_once(service: Service, temporal: Nowhere) -> None:
    found = await asyncio.gather(*(service.enrol(SIGN_UP) for _ in range(8)))

    assert sorted(one.outcome for one in found)[-1] == "started"
    assert len({str(one.response) for one in found}) == 1
    assert {start["start"].enrolled_at for start in temporal.starts} == {
        temporal.starts[0]["start"].enrolled_at
    }


async def test_while_temporal_is_away_the_caller_is_told_to_try_again_and_may(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    temporal.away = True
    with pytest.raises(TemporalAway) as away:
        await service.enrol(SIGN_UP)
    assert away.value.retryable

    temporal.away = False
    enrolled_at = from_datetime(clock())
    clock.forward(timedelta(seconds=30))
    assert (await service.enrol(SIGN_UP)).outcome == "same"

    assert temporal.starts[0]["start"].enrolled_at == enrolled_at


async def test_a_sweep_removes_what_nobody_repeated_and_the_profile_with_it(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    temporal.away = True
    with pytest.raises(TemporalAway):
        await service.enrol(SIGN_UP)
    temporal.away = False
    assert (await service.sweep()).removed == 0  # too early to tell

    clock.forward(enrolling.STALE + timedelta(seconds=1))
    swept = await service.sweep()

    assert swept.removed == 1
    async with database_of(service).reading() as db:
        assert await enrolments.latest(db, "c-1") is None
        assert await profiles.get(db, "c-1") is None


async def test_a_sweep_finishes_what_was_started_though_nobody_noted_it(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    await service.enrol(SIGN_UP)
    async with database_of(service).writing() as tx:
        row = await enrolments.latest(tx, "c-1")
        assert row is not None
        new = enrolments.NewEnrolment("c-2", "small", 1, "hash", {"id": "c-2"}, clock())
        await enrolments.register(tx, new, profiles.Profile("c-2"), clock())
    temporal.starts.append({"id": "onboarding/c-2"})
    await service.event(event(subject="c-2"))
    clock.forward(enrolling.STALE + timedelta(seconds=1))

    swept = await service.sweep()

    assert (swept.started, swept.delivered) == (1, 1)
    async with database_of(service).reading() as db:
        row = await enrolments.latest(db, "c-2")
    assert row is not None
    assert row.state == "started"


# ---- events ----------------------------------------------------------------------------------------------


async def test_an_event_goes_to_its_customer(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)

    assert await service.event(event(at="2026-03-06T08:00:00Z", properties={"n": 1})) == "accepted"

    ((workflow, signal),) = temporal.signals
    assert workflow == "onboarding/c-1"
    assert (signal.event, signal.id, signal.properties) == ("report.published", "e1", {"n": 1})


async def test_an_event_that_no_journey_listens_to_is_dropped_at_the_edge_and_counted(
    service: Service, temporal: Nowhere
) -> None:
    await service.enrol(SIGN_UP)

    assert await service.event(event("page.viewed")) == "ignored"

    assert not temporal.signals
    counted = (await service.metrics()).counters["events_total"]
    assert [(sample.labels, sample.value) for sample in counted] == [((("outcome", "ignored"),), 1)]


async def test_an_event_for_a_customer_yet_to_come_is_kept_and_handed_over(
    service: Service, temporal: Nowhere, clock: Clock
) -> None:
    assert await service.event(event()) == "parked"
    assert await service.event(event("page.viewed", "e2")) == "parked"
    assert await service.event(event()) == "parked"
    arrived = from_datetime(clock())
    clock.forward(timedelta(days=2))

    await service.enrol(SIGN_UP)

    ((_, signal),) = temporal.signals
    assert (signal.id, signal.at) == ("e1", arrived)
    async with database_of(service).reading() as db:
        assert await parked.of(db, "c-1") == []


async def test_a_kept_event_is_kept_for_seven_days(service: Service, clock: Clock) -> None:
    await service.event(event())
    clock.forward(parked.KEEP + timedelta(seconds=1))

    assert (await service.sweep()).expired == 1


async def test_a_sweep_forgets_what_messages_said_and_what_was_told_of_them(
    service: Service, clock: Clock
) -> None:
    database, key = database_of(service), key_of("m-1")
    await sent(service, "m-1")
    await sent(service, "m-2", state="unknown")
    told = DeliveryEvent("e-1", key, "opened", clock(), clock(), {})
    async with database.writing() as tx:
        await delivery_events.keep(tx, [told])

    async def kept() -> tuple[bool, bool, bool]:
        await service.sweep()
        async with database.reading() as db:
            of_both = [await ledger.frozen_body(db, key_of(name)) for name in ("m-1", "m-2")]
            return of_both[0] is not None, of_both[1] is not None, bool(await delivery_events.of(db, key))

    assert await kept() == (True, True, True)
    clock.forward(timedelta(days=31))
    assert await kept() == (False, True, True), "what may yet be sent again is kept"
    clock.forward(timedelta(days=150))
    assert await kept() == (False, True, False)


async def test_an_event_after_the_end_is_said_to_be_that(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)
    temporal.finished.add("onboarding/c-1")

    assert await service.event(event()) == "ended"


async def test_an_event_while_temporal_is_away_is_to_be_sent_again(
    service: Service, temporal: Nowhere
) -> None:
    await service.enrol(SIGN_UP)
    temporal.away = True

    with pytest.raises(TemporalAway):
        await service.event(event())


async def test_what_people_wrote_stays_in_the_store(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)
    answer = {"step": "nps", "score": 3, "comment": "call me, Jonas"}

    for _ in range(2):
        await service.event(event("survey.responded", "a1", properties=answer))

    assert "Jonas" not in str(temporal.signals)
    async with database_of(service).reading() as db:
        (kept,) = await responses.of(db, "c-1", 1)
    assert (kept.kind, kept.score, kept.comment) == ("nps", 3, "call me, Jonas")


async def test_a_cloud_event_is_an_event(service: Service) -> None:
    read = reading.read(
        {
            "specversion": "1.0",
            "id": "7",
            "source": "/product",
            "type": "report.published",
            "subject": "c-1",
            "time": "2026-03-06T08:00:00Z",
            "data": {"pages": 3},
        }
    )

    assert (read.subject, read.event, read.id, read.properties) == (
        "c-1", "report.published", "/product#7", {"pages": 3},
    )  # fmt: skip


# ---- answers ---------------------------------------------------------------------------------------------

NPS = Target("c-1", 1, "nps", 1)


async def test_an_answer_from_a_page_is_kept_and_passed_on(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)
    question = await service.question(NPS)
    assert (question.kind, question.scale, question.locale) == ("nps", (0, 10), "de")

    await service.answers.answer(question, score=9, comment=" Fine, Jonas ", nonce="n")
    await service.answers.answer(question, score=9, comment=" Fine, Jonas ", nonce="n")

    ((_, signal),) = temporal.signals
    assert signal.properties == {"step": "nps", "occurrence": 1, "score": 9}
    answered = (await service.question(NPS)).answered
    assert answered is not None
    assert (answered.score, answered.comment) == (9, "Fine, Jonas")


async def test_the_last_answer_stands(service: Service) -> None:
    await service.enrol(SIGN_UP)
    question = await service.question(NPS)

    for score in (9, 2, 9):
        await service.answers.answer(question, score=score, nonce=str(score))
        await service.answers.answer(question, score=score + 1, nonce=str(score))

    answered = (await service.question(NPS)).answered
    assert answered is not None
    assert answered.score == 3  # 9 and 10 were said before, from the same pages


async def test_an_answer_is_not_lost_while_temporal_is_away(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)
    question = await service.question(NPS)
    temporal.away = True
    await service.answers.answer(question, score=4, comment="slow")
    assert not temporal.signals
    temporal.away = False

    assert (await service.sweep()).delivered == 1

    assert temporal.signals[0][1].properties["score"] == 4
    async with database_of(service).reading() as db:
        assert len(await responses.of(db, "c-1", 1)) == 1


async def test_a_suspicious_answer_is_kept_and_goes_nowhere(service: Service, temporal: Nowhere) -> None:
    await service.enrol(SIGN_UP)

    await service.answers.answer(await service.question(NPS), score=0, suspicious=True)

    assert not temporal.signals
    assert (await service.question(NPS)).answered is None
    async with database_of(service).reading() as db:
        assert len(await responses.of(db, "c-1", 1)) == 1


@pytest.mark.parametrize(
    "target",
    [
        Target("c-9", 1, "nps", 1),
        Target("c-1", 2, "nps", 1),
        Target("c-1", 1, "gone", 1),
        Target("c-1", 1, "welcome", 1),
    ],
)
async def test_a_link_about_nothing_is_refused(service: Service, target: Target) -> None:
    await service.enrol(SIGN_UP)

    with pytest.raises(LinkRefused):
        await service.question(target)


# ---- commands --------------------------------------------------------------------------------------------


async def test_a_command_for_nobody_or_with_an_unknown_name_is_told_so(service: Service) -> None:
    with pytest.raises(UnknownCustomer):
        await service.command("c-9", "pause", CommandRequest())
    with pytest.raises(CommandMalformed, match="did you mean 'pause'"):
        await service.command("c-9", "pausse", CommandRequest())


async def test_a_command_while_temporal_is_away_may_be_tried_again(
    service: Service, temporal: Nowhere
) -> None:
    await service.enrol(SIGN_UP)
    temporal.away = True

    with pytest.raises(TemporalAway):
        await service.command("c-1", "pause", CommandRequest(reason="holiday"))


async def test_a_hold_works_while_temporal_is_away(service: Service, temporal: Nowhere) -> None:
    temporal.away = True

    await service.hold("everything", None, reason="wrong price in a template", actor="ann")

    assert [one.scope for one in await service.holds()] == ["everything"]
    assert await service.release("everything", None, actor="ann") == 1
    assert await service.holds() == []
    with pytest.raises(CommandMalformed, match="reason"):
        await service.hold("everything", None, reason=" ", actor="ann")
    with pytest.raises(CommandMalformed, match="which segment"):
        await service.hold("segment", None, reason="r", actor="ann")


# ---- with customers that run -----------------------------------------------------------------------------


async def test_a_customer_runs_is_seen_commanded_and_stopped(tmp_path: Path) -> None:
    async with town(tmp_path) as running:
        await running.enrol(SIGN_UP)
        seen = await until(
            lambda: running.status("c-1"),
            lambda one: any(row.step == "tips" and row.phase == "scheduled" for row in one.rows),
        )
        assert (seen.status, seen.owners["specialist"].name) == ("active", "Ann Becker")
        shown = as_json(seen)
        assert [step["step"] for step in shown["steps"] if step["group"] == "past"] == [
            "specialist",
            "welcome",
        ]
        assert shown["timezone"] == "Europe/Berlin"

        done = await running.command("c-1", "pause", CommandRequest("ann", "on holiday"), key="k1")
        again = await running.command("c-1", "pause", CommandRequest("ann", "on holiday"), key="k1")
        assert done.result is not None
        assert again.result is not None
        assert (done.result.view.status, again.result.view.status) == ("paused", "paused")
        with pytest.raises(CommandRejected, match="paused already"):
            await running.command("c-1", "pause", CommandRequest("ann", "on holiday"))
        assert (await running.live("c-1")).status == "paused"
        await running.command("c-1", "resume", CommandRequest("ann"))

        with pytest.raises(CommandRejected, match="nobody is known as 'zoe'"):
            await running.command("c-1", "assign", CommandRequest("ann", step="specialist", owner="zoe"))
        await running.command("c-1", "assign", CommandRequest("ann", step="specialist", owner="bo"))
        assert (await running.status("c-1")).owners["specialist"].id == "bo"

        for number in (1, 2):
            await running.event(event(id=f"r{number}"))
        await until(lambda: running.status("c-1"), lambda one: as_json(one)["onboarded"])
        page = await running.find(Asked(stage="mastery"))
        assert [one.customer.subject for one in page.customers] == ["c-1"]

        await running.command("c-1", "cancel", CommandRequest("ann", "left"))
        await until(lambda: running.status("c-1"), lambda one: one.status == "stopped")
        with pytest.raises(JourneyOver, match=r"has ended \(stopped on 20\d\d-\d\d-\d\d\)"):
            await running.command("c-1", "pause", CommandRequest("ann"))
        with pytest.raises(LinkRefused, match="closed"):
            await running.question(replace(NPS))
        counted = {
            sample.labels: sample.value for sample in (await running.metrics()).counters["commands_total"]
        }
        assert counted[("command", "pause"), ("outcome", "rejected")] == 2


async def test_when_no_worker_answers_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commanding, "ANSWERED_WITHIN", timedelta(seconds=0.5))
    monkeypatch.setattr(standing, "PATIENCE", timedelta(seconds=0.5))
    async with town(tmp_path, works=False) as asleep:
        await asleep.enrol(SIGN_UP)

        with pytest.raises(NotConfirmed, match=r"no worker answered within 0\.5 seconds"):
            await asleep.command("c-1", "pause", CommandRequest("ann", "r"))
        with pytest.raises(NotConfirmed, match="no worker answered"):
            await asleep.live("c-1")


# ---- what is refused -------------------------------------------------------------------------------------


def test_an_event_says_everything_that_is_wrong_with_it() -> None:
    with pytest.raises(EventRefused) as refused:
        reading.read(
            {"event": "user logged in", "id": 7, "at": "yesterday", "proprties": {}, "properties": []}
        )

    assert {flaw.field for flaw in refused.value.flaws} == {
        "subject",
        "event",
        "id",
        "at",
        "proprties",
        "properties",
    }
