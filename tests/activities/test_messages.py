"""Messages as activities: sent once, with the right links; and what Temporal hears where nothing is decided.

What sending does under every fault is specified in tests/mail; here is what an activity makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities import signatures
from activities.messages import Mailroom, SendMessages
from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.instants import from_datetime
from firstmile.links import Purpose, Target
from firstmile.mail.calendar_file import uid_of
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.store import holds, ledger, profiles, suppressions
from firstmile.store.database import Database
from firstmile.store.profiles import Consent, Contact, address_key
from tests.activities.building import (
    ANNELISE,
    Ask,
    attempt,
    broken,
    contents,
    dies,
    is_discreet,
    journal_of,
    rode,
    told,
)
from tests.activities.conftest import LINKS, THEN
from tests.mail.building import SetClock, Standin

Carry = Callable[[EffectRequest], Awaitable[EffectOutcome]]

PARAMS: dict[str, dict[str, Any]] = {
    "email": {"template": "welcome", "class": "lifecycle"},
    "training": {"template": "intro", "session": "intro"},
    "survey": {"kind": "nps", "template": "nps"},
    "checkin": {"template": "check_in", "every": "30 days", "times": 3},
}
LATER = "its outcome is unknown: SendGrid: the connection broke"


def carrier(messages: SendMessages, kind: str) -> Carry:
    found: Carry = getattr(messages, signatures.EFFECTS[kind])
    return found


def letter(sendgrid: Standin, kind: str = "text/plain") -> str:
    """The last message that was taken."""
    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    return opened.part(kind) or ""


def linked(sendgrid: Standin) -> list[tuple[Purpose, Target, str]]:
    """What the links of the last message are about, and what they add."""
    paths: dict[str, Purpose] = {"s": "survey", "c": "checkin", "u": "preferences"}
    found = re.findall(r"https://acme\.example/([scu])/([^\s?]+)(\S*)", letter(sendgrid))
    return [(paths[path], LINKS.read(token, paths[path]), rest) for path, token, rest in found]


async def put_off(carry: Carry, request: EffectRequest) -> ApplicationError:
    """An attempt that decides nothing: Temporal is to try again, and to make no fuss about it."""
    with pytest.raises(ApplicationError) as raised:
        await attempt(carry, request)
    error = raised.value
    assert (error.type, error.category, error.non_retryable) == (
        "Pending",
        ApplicationErrorCategory.BENIGN,
        False,
    )
    assert is_discreet(told(error))
    return error


async def message_of(db: Database, request: EffectRequest) -> ledger.Message:
    async with db.reading() as tx:
        found = await ledger.get(tx, request.key)
    assert found is not None
    return found


# ---- sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PARAMS)
async def test_a_message_goes_out_once_however_often_it_is_tried(
    db: Database, messages: SendMessages, sendgrid: Standin, now: SetClock, ask: Ask, kind: str
) -> None:
    request, carry = ask(kind, params=PARAMS[kind]), carrier(messages, kind)
    now.move(seconds=1)

    first = await attempt(carry, request)

    assert (first.outcome, first.at) == ("done", from_datetime(now()))
    assert await rode(db, request, first)
    written = await contents(db)
    now.move(hours=1)
    assert await attempt(carry, request) == first
    assert await contents(db) == written
    assert sendgrid.sent(request.key) == 1


@pytest.mark.parametrize("kind", PARAMS)
async def test_an_attempt_that_died_after_the_provider_took_it_is_found_out(
    db: Database, messages: SendMessages, sendgrid: Standin, now: SetClock, ask: Ask, kind: str
) -> None:
    request, carry = ask(kind, params=PARAMS[kind]), carrier(messages, kind)

    await dies(db, carry, request)

    assert sendgrid.sent(request.key) == 1
    assert (await message_of(db, request)).state == "sending", "what it came to was not written either"
    assert await journal_of(db) == []
    waiting = await put_off(carry, request)
    assert waiting.message == "another attempt is sending it"
    assert waiting.next_retry_delay == timedelta(seconds=30)
    now.move(seconds=31)
    outcome = await attempt(carry, request)
    assert outcome.outcome == "done"
    assert await rode(db, request, outcome)
    assert sendgrid.sent(request.key) == 1


async def test_nothing_settles_before_it_was_started(
    db: Database, messages: SendMessages, now: SetClock, ask: Ask
) -> None:
    later = ask.enrolled + 3_600_000_000
    request = ask("email", params=PARAMS["email"], at=later)

    outcome = await attempt(messages.send_email, request)

    assert outcome.at == later
    assert await rode(db, request, outcome)


# ---- links -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("purpose", "occurrence"), [("run", 1), ("remind", 2)])
async def test_a_survey_and_its_reminders_lead_to_the_same_answer(
    messages: SendMessages, sendgrid: Standin, ask: Ask, purpose: str, occurrence: int
) -> None:
    request = ask("survey", "nps", params=PARAMS["survey"], purpose=purpose, occurrence=occurrence)

    await attempt(messages.send_survey, request)

    assert linked(sendgrid) == [
        ("survey", Target("c-1", 1, "nps", 1), ""),
        ("preferences", Target("c-1", 1), ""),
    ]
    assert "Open https://app.acme.example" in letter(sendgrid)
    assert f"Reminder {occurrence if purpose == 'remind' else 0}" in letter(sendgrid)


@pytest.mark.parametrize(("purpose", "occurrence"), [("run", 1), ("occur", 3)])
async def test_each_check_in_is_answered_by_itself(
    messages: SendMessages, sendgrid: Standin, ask: Ask, purpose: str, occurrence: int
) -> None:
    request = ask("checkin", params=PARAMS["checkin"], purpose=purpose, occurrence=occurrence)

    await attempt(messages.send_checkin, request)

    target = Target("c-1", 1, "checkin", occurrence)
    assert linked(sendgrid) == [
        ("checkin", target, "?answer=good"),
        ("checkin", target, "?answer=help"),
        ("preferences", Target("c-1", 1), ""),
    ]


async def test_an_invitation_brings_its_calendar_file(
    messages: SendMessages, sendgrid: Standin, ask: Ask
) -> None:
    request = ask("training", params=PARAMS["training"])

    await attempt(messages.invite_to_training, request)

    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    file = opened.attachment(0)
    assert file is not None
    assert file[:2] == ("invitation.ics", "text/calendar")
    assert f"UID:{uid_of(request.subject, 1, request.step)}".encode() in file[2].replace(b"\r\n ", b"")


async def test_every_message_can_be_unsubscribed_from_by_its_header(
    messages: SendMessages, sendgrid: Standin, ask: Ask
) -> None:
    await attempt(messages.send_email, ask("email", params=PARAMS["email"]))

    opened = sendgrid.mailbox.open(sendgrid.mailbox.newest())
    assert opened is not None
    header = opened.body["headers"]["List-Unsubscribe"]
    assert LINKS.read(header.strip("<>").rpartition("/")[2], "preferences") == Target("c-1", 1)


async def test_who_gets_a_copy_has_preferences_of_their_own(
    db: Database, messages: SendMessages, sendgrid: Standin, ask: Ask
) -> None:
    copied = "lector@quandt.example"
    async with db.writing() as tx:
        contacts = (Contact("lector", "Leo Lector", copied),)
        await profiles.write(tx, replace(ANNELISE, contacts=contacts), THEN)
    request = ask("survey", "nps", params=PARAMS["survey"] | {"cc": ["lector"]})

    outcome = await attempt(messages.send_survey, request)

    assert (outcome.outcome, outcome.reason) == ("done", None)
    mine = Target("c-1", 1), Target("c-1", 1, address=address_key(copied))
    found = []
    for one in sendgrid.mailbox.letters():
        opened = sendgrid.mailbox.open(one.number)
        assert opened is not None
        header = opened.body["headers"]["List-Unsubscribe"]
        found.append((one.recipient, LINKS.read(header.strip("<>").rpartition("/")[2], "preferences")))
        assert LINKS.read(_survey_token(opened.part("text/plain") or ""), "survey") == Target(
            "c-1", 1, "nps", 1
        )
    assert sorted(found) == sorted([(ANNELISE.email, mine[0]), (copied, mine[1])])


def _survey_token(text: str) -> str:
    match = re.search(r"https://acme\.example/s/([^\s?]+)", text)
    assert match is not None
    return match[1]


def test_a_transport_that_may_outlast_an_attempt_is_refused(mailroom: Mailroom) -> None:
    slow = SendGrid("SG.test", host="http://127.0.0.1:9", timeout=5.0)
    with pytest.raises(ValueError, match="a call to sendgrid may take 15 s, and an attempt has 15 s"):
        replace(mailroom, transport=slow)
    longer = replace(mailroom.post, start_to_close=timedelta(seconds=20))
    with pytest.raises(ValueError, match="more time than Temporal gives"):
        replace(mailroom, post=longer)


# ---- not decided yet -------------------------------------------------------------------------------------


async def test_a_provider_that_is_busy_says_when_to_come_again(
    db: Database, messages: SendMessages, sendgrid: Standin, ask: Ask
) -> None:
    request = ask("email", params=PARAMS["email"])
    sendgrid.fail(kind="status", status=429, reset_in=90)

    waiting = await put_off(messages.send_email, request)

    assert waiting.message == "SendGrid answered 429"
    assert waiting.next_retry_delay is not None
    assert timedelta(seconds=80) < waiting.next_retry_delay <= timedelta(seconds=91)
    assert await journal_of(db) == [], "records ride on what is decided"
    again = await put_off(messages.send_email, request)
    assert again.next_retry_delay is not None
    assert again.next_retry_delay > timedelta(seconds=70), "asked too early, the provider is left alone"
    assert sendgrid.sent(request.key) == 0


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("before", "sent again: the provider's log does not have it"),
        ("after", "not sent again: the provider's log has it"),
    ],
)
async def test_a_provider_that_does_not_answer_is_asked_what_became_of_it(
    db: Database, messages: SendMessages, sendgrid: Standin, now: SetClock, ask: Ask, when: str, reason: str
) -> None:
    request = ask("survey", params=PARAMS["survey"])
    sendgrid.fail(kind="reset", when=when)

    waiting = await put_off(messages.send_survey, request)

    assert (waiting.message, waiting.next_retry_delay) == (LATER, timedelta(seconds=5))
    assert await journal_of(db) == []
    now.move(seconds=15)
    outcome = await attempt(messages.send_survey, request)
    assert (outcome.outcome, outcome.reason) == ("done", reason)
    assert await rode(db, request, outcome)
    assert sendgrid.sent(request.key) == 1


async def test_later_than_its_window_a_message_is_deferred(
    db: Database, messages: SendMessages, sendgrid: Standin, now: SetClock, ask: Ask
) -> None:
    request = ask("email", params=PARAMS["email"], not_after=from_datetime(now() + timedelta(minutes=1)))
    now.move(minutes=2)

    outcome = await attempt(messages.send_email, request)

    assert (outcome.outcome, outcome.reason) == ("deferred", "its window has closed")
    assert outcome.until == from_datetime(now())
    assert await rode(db, request, outcome)
    assert sendgrid.mailbox.count() == 0


async def test_a_deferred_message_goes_out_under_the_same_key(
    db: Database, messages: SendMessages, sendgrid: Standin, now: SetClock, ask: Ask
) -> None:
    request = ask("email", params=PARAMS["email"])
    async with db.writing() as tx:
        await holds.place(tx, "segment", "team", reason="freeze", actor="cem", now=now())
    held = await attempt(messages.send_email, request)
    assert (held.outcome, held.reason) == ("deferred", "on hold: freeze")
    async with db.writing() as tx:
        await holds.release(tx, "segment", "team", actor="cem", now=now())

    outcome = await attempt(messages.send_email, request)

    assert outcome.outcome == "done"
    assert await rode(db, request, outcome)
    assert sendgrid.sent(request.key) == 1


# ---- not to be received, and refused ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", PARAMS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("suppressed", "suppressed: unsubscribed"),
        ("no address", "no address"),
        ("no consent", "no consent to lifecycle messages"),
    ],
)
async def test_what_cannot_be_received_is_skipped(
    db: Database,
    messages: SendMessages,
    sendgrid: Standin,
    now: SetClock,
    ask: Ask,
    kind: str,
    case: str,
    reason: str,
) -> None:
    async with db.writing() as tx:
        if case == "suppressed":
            await suppressions.add(tx, "Annelise@Quandt.example", "unsubscribed", THEN)
        elif case == "no consent":
            await profiles.write(tx, replace(ANNELISE, consent=Consent(lifecycle=False)), THEN)
    subject = "c-2" if case == "no address" else "c-1"
    request, carry = ask(kind, params=PARAMS[kind], subject=subject), carrier(messages, kind)

    outcome = await attempt(carry, request)

    assert (outcome.outcome, outcome.reason) == ("skipped", reason)
    assert await rode(db, request, outcome)
    written = await contents(db)
    again = await attempt(carry, request)
    assert (again.outcome, again.reason) == ("skipped", reason)
    assert await contents(db) == written
    assert sendgrid.mailbox.count() == 0


async def test_what_the_provider_refuses_fails_and_stays_failed(
    db: Database, messages: SendMessages, sendgrid: Standin, ask: Ask
) -> None:
    request = ask("email", params=PARAMS["email"])
    sendgrid.fail(kind="status", status=403)

    outcome = await attempt(messages.send_email, request)

    assert (outcome.outcome, outcome.reason) == ("failed", "SendGrid answered 403")
    assert await rode(db, request, outcome)
    again = await attempt(messages.send_email, request)
    assert (again.outcome, again.reason) == ("failed", "SendGrid answered 403")
    assert await rode(db, request, again)
    assert sendgrid.sent(request.key) == 0


async def test_a_template_that_cannot_be_filled_in_fails_without_saying_of_whom(
    db: Database, messages: SendMessages, ask: Ask
) -> None:
    request = ask("training", params={"template": "welcome", "session": "nowhere"})

    outcome = await attempt(messages.invite_to_training, request)

    assert outcome.outcome == "failed"
    told = "template welcome: _layout/sessions.json: unknown session 'nowhere': there is only intro"
    assert outcome.reason == told
    assert await rode(db, request, outcome)


@pytest.mark.parametrize("table", ["messages", "bodies", "journal", "views"])
async def test_a_store_in_trouble_tells_nobody_whom_it_was_about(
    db: Database, messages: SendMessages, ask: Ask, table: str
) -> None:
    """Addresses and whole messages are among the values of the statements that fail."""
    async with broken(db, table):
        with pytest.raises(IntegrityError) as raised:
            await attempt(messages.send_email, ask("email", params=PARAMS["email"]))

    assert "the disk is full" in told(raised.value)
    assert is_discreet(told(raised.value))
