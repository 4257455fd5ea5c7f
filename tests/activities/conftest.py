"""A real store, SendGrid's real client, stand-ins for SendGrid and for systems that provision; and for every
test: nothing of the customer's in any log."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.messages import Mailroom, SendMessages
from activities.tools import Tools
from firstmile.links import Links
from firstmile.mail.composing import Letterhead
from firstmile.mail.message import Address
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Post
from firstmile.mail.templates import Templates
from firstmile.provisioning import System, Webhooks
from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.serving import serve_in_thread
from firstmile.store import owners, profiles, schema
from firstmile.store.database import Database
from firstmile.store.owners import Person
from firstmile.store.profiles import Profile
from tests.activities.building import ANNELISE, TEMPLATES, Ask, Switch, is_discreet
from tests.mail.building import SetClock, Standin, write_files

THEN = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 6
"""The secret of every system."""
LINKS = Links("https://acme.example", ["a secret of links"])


@pytest.fixture(autouse=True)
def _logs_are_discreet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    formatter = logging.Formatter("%(name)s: %(message)s")
    for record in caplog.get_records("call"):
        line = formatter.format(record)
        assert is_discreet(line), line


@pytest.fixture
def now() -> SetClock:
    return SetClock()


@pytest.fixture
def ask(now: SetClock) -> Ask:
    return Ask(now)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "template.db"
    asyncio.run(_fill(f"sqlite:///{file}"))
    return file


async def _fill(url: str) -> None:
    """A store that knows a customer, one without an address, and the people of two teams."""
    await schema.upgrade(url)
    database = Database(url)
    async with database.writing() as tx:
        await profiles.write(tx, ANNELISE, THEN)
        await profiles.write(tx, Profile("c-2", "Nobody"), THEN)
        for id, team in (("amy", "onboarding"), ("ben", "onboarding"), ("cem", "sales")):
            await owners.put(tx, Person(id, id.title(), team, f"{id}@acme.example"))
    await database.close()


@pytest.fixture
async def db(_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    mine = tmp_path / "firstmile.db"
    shutil.copy(_template, mine)
    database = Database(f"sqlite:///{mine}")
    yield database
    await database.close()


@pytest.fixture
def tools(db: Database) -> Tools:
    return Tools(db)


@pytest.fixture(scope="session")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("templates"), TEMPLATES)


@pytest.fixture(scope="session")
def _sendgrid() -> Iterator[Standin]:
    app = sendgrid_standin()
    with serve_in_thread(app) as place:
        yield Standin(place.url, app)


@pytest.fixture
def sendgrid(_sendgrid: Standin) -> Standin:
    """The stand-in, empty and without faults."""
    _sendgrid.mailbox.clear()
    _sendgrid.app.state.faults.clear()
    return _sendgrid


@pytest.fixture(scope="session")
def system() -> Iterator[Switch]:
    """Where the system of a test is served: whichever it puts in."""
    switch = Switch()
    with serve_in_thread(switch) as place:
        switch.url = place.url
        yield switch


@pytest.fixture
def mailroom(template_folder: Path, sendgrid: Standin, now: SetClock) -> Mailroom:
    """SendGrid's client, and a log that can be believed at once."""
    transport = SendGrid("SG.test", host=sendgrid.url, timeout=4.0, settles_after=timedelta(0), now=now)
    post = Post(Letterhead(Templates(template_folder), Address("hello@acme.example", "Acme")), now=now)
    return Mailroom(transport, post, LINKS, "https://app.acme.example")


@pytest.fixture
async def webhooks(system: Switch) -> AsyncIterator[Webhooks]:
    """One system can be asked."""
    async with Webhooks(systems(system), allow_private=True) as found:
        yield found


def systems(system: Switch) -> dict[str, System]:
    return {"workspace": System(system.url + "/webhooks", (SECRET,))}


@pytest.fixture
def messages(tools: Tools, mailroom: Mailroom) -> SendMessages:
    return SendMessages(tools, mailroom)
