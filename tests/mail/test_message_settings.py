"""Who a message is from, and who gets the answers: `message.json`, and the customer's owner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firstmile.journey.scope import Facts
from firstmile.mail.checks import check_templates
from firstmile.mail.composing import Letterhead
from firstmile.mail.errors import TemplateError
from firstmile.mail.message import Address, Message
from firstmile.mail.message_settings import MessageSettings, read_message_settings
from firstmile.mail.sending import Post, send_once
from firstmile.mail.templates import Templates
from firstmile.store import owners
from firstmile.store.database import Database
from firstmile.store.owners import Person
from tests.mail.building import FILES, LINKS, Ask, SetClock, write_files
from tests.mail.told import Told, is_outcome

SENDER = Address("hello@acme.example", "Acme")
OF = {"from": '{"from": "specialist"}', "reply to": '{"reply_to": "specialist"}'}


def test_a_template_says_who_its_messages_are_from(tmp_path: Path) -> None:
    write_files(tmp_path, {"welcome/message.json": '{"from": "specialist", "reply_to": "success"}'})
    assert read_message_settings(tmp_path, "welcome") == MessageSettings("specialist", "success")
    assert read_message_settings(tmp_path, "other") == MessageSettings()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            '{"from": "specialist",\n "reply-to": "x"}',
            None,
            "unknown key 'reply-to': did you mean 'reply_to'?",
        ),
        ('{"form": "specialist"}', None, "unknown key 'form': did you mean 'from'?"),
        ('{"cc": "specialist"}', None, "unknown key 'cc': there are from, reply_to"),
        ('{"from": 1}', None, "'from': a role was expected, the id of a step that assigns an owner"),
        ('{"from": " "}', None, "'from': a role was expected, the id of a step that assigns an owner"),
        ('["specialist"]', None, 'an object was expected, like {"from": "specialist"}'),
        ('{"from":\n', 2, "Expecting value"),
    ],
)
def test_what_is_wrong_with_it_is_said_and_its_template_is_not_used(
    tmp_path: Path, text: str, line: int | None, problem: str
) -> None:
    write_files(tmp_path, FILES | {"welcome/message.json": text})
    with pytest.raises(TemplateError) as raised:
        read_message_settings(tmp_path, "welcome")
    assert (raised.value.file, raised.value.line, raised.value.problem) == (
        "welcome/message.json",
        line,
        problem,
    )
    found = [one for one in check_templates(tmp_path) if one.file == "templates/welcome/message.json"]
    assert [(one.line, one.message) for one in found] == [(line, problem)]
    with pytest.raises(TemplateError, match=r"message\.json"):
        Templates(tmp_path).variant("welcome", None)


async def sent(
    db: Database,
    ask: Ask,
    now: SetClock,
    tmp_path: Path,
    settings: str,
    specialist: Person | None = None,
    sender: Address = SENDER,
) -> Message:
    """The message to a customer who has this specialist."""
    write_files(tmp_path, FILES | {"welcome/message.json": settings})
    facts = Facts(day=0)
    if specialist is not None:
        async with db.writing() as tx:
            await owners.put(tx, specialist)
            await owners.reassign(tx, "c-1", 1, "specialist", specialist.id, now())
        facts = Facts(day=0, owners={"specialist": specialist.id})
    post, transport = Post(Letterhead(Templates(tmp_path), sender), now=now), Told()
    is_outcome(await send_once(db, transport, ask(facts=facts), post, links=LINKS), "done")
    return transport.sent[0]


def shown(address: Address | None) -> tuple[str, str | None] | None:
    return None if address is None else (address.email, address.name)


BRAND = ("hello@acme.example", "Acme")
BEN = ("ben@acme.example", "Ben Ode")
ELSE = ("ben@ode.example", "Ben Ode")


@pytest.mark.parametrize(
    ("settings", "email", "sender", "reply_to"),
    [
        ("from", "ben@acme.example", BEN, BEN),
        ("from", "Ben@ACME.example", ("Ben@acme.example", "Ben Ode"), ("Ben@acme.example", "Ben Ode")),
        # What receivers check (DMARC) is the domain that signs: another one must not stand there.
        ("from", "ben@ode.example", ("hello@acme.example", "Ben Ode, Acme"), ELSE),
        (
            "from",
            "ben@mail.acme.example",
            ("hello@acme.example", "Ben Ode, Acme"),
            ("ben@mail.acme.example", "Ben Ode"),
        ),
        ("from", None, ("hello@acme.example", "Ben Ode, Acme"), BRAND),
        ("from", "not an address", ("hello@acme.example", "Ben Ode, Acme"), BRAND),
        ("reply to", "ben@ode.example", BRAND, ELSE),
        ("reply to", None, BRAND, BRAND),
    ],
)
async def test_a_message_may_be_from_the_customers_owner(
    db: Database,
    ask: Ask,
    now: SetClock,
    tmp_path: Path,
    settings: str,
    email: str | None,
    sender: tuple[str, str],
    reply_to: tuple[str, str],
) -> None:
    ben = Person("ben", "Ben Ode", "onboarding", email)
    message = await sent(db, ask, now, tmp_path, OF[settings], ben)
    assert (shown(message.sender), shown(message.reply_to)) == (sender, reply_to)


@pytest.mark.parametrize("settings", OF)
async def test_where_nobody_has_the_role_it_is_from_the_brand(
    db: Database, ask: Ask, now: SetClock, tmp_path: Path, settings: str
) -> None:
    message = await sent(db, ask, now, tmp_path, OF[settings])
    assert (shown(message.sender), shown(message.reply_to)) == (BRAND, BRAND)


@pytest.mark.parametrize(
    ("settings", "reply_to"),
    [
        ('{"from": "specialist", "reply_to": "success"}', BEN),
        ('{"from": "specialist", "reply_to": "specialist"}', BEN),
    ],
)
async def test_answers_go_to_who_wrote_unless_somebody_else_is_named_who_is_there(
    db: Database, ask: Ask, now: SetClock, tmp_path: Path, settings: str, reply_to: Any
) -> None:
    ben = Person("ben", "Ben Ode", "onboarding", "ben@acme.example")
    message = await sent(db, ask, now, tmp_path, settings, ben)
    assert (shown(message.sender), shown(message.reply_to)) == (BEN, reply_to)


async def test_a_sender_without_a_name_is_named_after_the_owner(
    db: Database, ask: Ask, now: SetClock, tmp_path: Path
) -> None:
    ben = Person("ben", "Ben Ode", "onboarding", "ben@ode.example")
    nameless = Address("hello@acme.example")
    message = await sent(db, ask, now, tmp_path, OF["from"], ben, sender=nameless)
    assert shown(message.sender) == ("hello@acme.example", "Ben Ode")
