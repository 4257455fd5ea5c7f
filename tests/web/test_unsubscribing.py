"""From a message that arrived to the message that does not: what the recipient clicks, and what the gate says.

The shipped templates, SendGrid's client, the pages and the store are the real ones; SendGrid is a stand-in.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.journey.scope import Facts
from firstmile.links import Links, Target
from firstmile.mail.composing import Letterhead
from firstmile.mail.message import Address
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Post, send_once
from firstmile.mail.templates import Templates
from firstmile.service import Service
from firstmile.standins.mailbox import OpenLetter
from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.serving import serve_in_thread
from firstmile.store.profiles import address_key
from tests.activities.building import Ask
from tests.doorway import SIGN_UP, Clock, database_of
from tests.mail.building import SetClock, Standin
from tests.web.elements import path

JONAS, ADA = "jonas@weber.example", "ada@weber.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
KINDS = {
    "tips": ("email", {"template": "tips"}),
    "feedback": ("survey", {"template": "nps", "kind": "nps"}),
    "offers": ("email", {"template": "tips", "class": "marketing"}),
    "necessary": ("email", {"template": "welcome", "class": "transactional"}),
}
Send = Callable[[EffectRequest], Awaitable[EffectOutcome]]


@pytest.fixture(scope="module")
def _sendgrid() -> Iterator[Standin]:
    app = sendgrid_standin()
    with serve_in_thread(app) as place:
        yield Standin(place.url, app)


@pytest.fixture
def sendgrid(_sendgrid: Standin) -> Standin:
    _sendgrid.mailbox.clear()
    return _sendgrid


@pytest.fixture
async def send(service: Service, sendgrid: Standin, links: Links, clock: Clock) -> Send:
    """Send the messages of an effect as a worker does."""
    await service.enrol(SIGN_UP | {"contacts": [{"role": "admin", "name": "Ada", "email": ADA}]})
    post = Post(Letterhead(Templates(service.settings.templates_folder()), Address("a@b.example")), now=clock)
    transport = SendGrid("SG.test", host=sendgrid.url, timeout=4.0, settles_after=timedelta(0), now=clock)

    async def once(request: EffectRequest) -> EffectOutcome:
        def of(address: str | None) -> Mapping[str, str]:
            found = links.of_step(request.subject, 1, request.kind, request.step, 1, address)
            return found | {"app": "https://app.acme.example"}

        outcome = await send_once(database_of(service), transport, request, post, links=of)
        assert isinstance(outcome, EffectOutcome)
        return outcome

    return once


@pytest.fixture
def ask(clock: Clock) -> Callable[[str, str], EffectRequest]:
    """The request of a step that writes to both; `what` is the topic of its message."""
    make = Ask(SetClock(clock()))

    def request(what: str, step: str) -> EffectRequest:
        kind, params = KINDS[what]
        facts = Facts(day=0, traits={"plan": "pro", "seats": 12, "trial_ends": None})
        return make(kind, step, params={**params, "cc": ["admin"]}, facts=facts)

    return request


def arrived(sendgrid: Standin) -> dict[str, OpenLetter]:
    """What arrived, by recipient."""
    opened = [sendgrid.mailbox.open(one.number) for one in sendgrid.mailbox.letters(limit=100)]
    return {one.letter.recipient: one for one in opened if one is not None}


def headers_of(letter: OpenLetter) -> dict[str, str]:
    found: dict[str, Any] = letter.body.get("headers", {}) | letter.personalization.get("headers", {})
    return found


def preferences_in(text: str) -> set[str]:
    return set(re.findall(r"http://localhost/u/[\w.-]+", unescape(text)))


@pytest.mark.parametrize("what", ["tips", "feedback"])
async def test_footer_header_and_page_are_one_link_each_recipients_own(
    send: Send, ask: Any, sendgrid: Standin, links: Links, what: str
) -> None:
    await send(ask(what, "a"))

    letters = arrived(sendgrid)
    assert set(letters) == {JONAS, ADA}
    targets = {JONAS: Target("c-1", 1), ADA: Target("c-1", 1, address=address_key(ADA))}
    for recipient, letter in letters.items():
        (link,) = preferences_in(letter.part("text/html") or "")
        assert preferences_in(letter.part("text/plain") or "") == {link}
        assert headers_of(letter)["List-Unsubscribe"] == f"<{link}>"
        assert headers_of(letter)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert links.read(link.rsplit("/", 1)[1], "preferences") == targets[recipient]


async def test_who_unsubscribes_gets_no_message_that_is_due_already(
    send: Send, ask: Any, sendgrid: Standin, client: httpx.AsyncClient
) -> None:
    await send(ask("tips", "a"))
    due = ask("feedback", "b")
    (link,) = preferences_in(arrived(sendgrid)[ADA].part("text/plain") or "")
    sendgrid.mailbox.clear()

    assert (await client.post(path(link), data=ONE_CLICK)).status_code == 200
    outcome = await send(due)

    assert set(arrived(sendgrid)) == {JONAS}
    assert outcome.outcome == "done"


async def test_a_message_that_nobody_wants_is_skipped_with_the_reason(
    send: Send, ask: Any, sendgrid: Standin, client: httpx.AsyncClient, links: Links, service: Service
) -> None:
    due, other, necessary = ask("tips", "a"), ask("feedback", "b"), ask("necessary", "c")
    pages = [path(links.preferences_url("c-1", 1, key)) for key in (None, address_key(ADA))]
    for page in pages:
        await client.post(page, data={"choice": "save", "topic": ["training", "feedback"]})

    skipped = await send(due)
    assert (skipped.outcome, skipped.reason) == ("skipped", "unsubscribed from tips")
    assert arrived(sendgrid) == {}
    assert (await send(other)).outcome == "done"
    assert set(arrived(sendgrid)) == {JONAS, ADA}

    for page in pages:
        await client.post(page, data=ONE_CLICK)
    stopped = await send(ask("feedback", "d"))
    assert (stopped.outcome, stopped.reason) == ("skipped", "suppressed: unsubscribed")
    sendgrid.mailbox.clear()
    assert (await send(necessary)).outcome == "done"
    assert set(arrived(sendgrid)) == {JONAS, ADA}
    counted = (await service.metrics()).counters["suppressed_total"]
    assert {dict(one.labels)["reason"]: one.value for one in counted} == {"topic": 2, "unsubscribed": 2}

    # What was skipped stays so, and is counted once.
    for page in pages:
        await client.post(page, data={"choice": "save", "topic": ["tips"]})
    assert (await send(due)).reason == "unsubscribed from tips"
    assert (await service.metrics()).counters["suppressed_total"] == counted


async def test_offers_come_to_who_asked_for_them(
    send: Send, ask: Any, sendgrid: Standin, client: httpx.AsyncClient, links: Links
) -> None:
    before = await send(ask("offers", "a"))
    assert (before.outcome, before.reason) == ("skipped", "no consent to marketing messages")

    await client.post(path(links.preferences_url("c-1", 1)), data={"choice": "save", "topic": ["offers"]})

    assert (await send(ask("offers", "b"))).outcome == "done"
    assert JONAS in arrived(sendgrid)
