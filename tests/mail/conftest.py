"""A real store, SendGrid's real client, and a stand-in for SendGrid; templates made here; a clock that is
set."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firstmile.mail.composing import Letterhead
from firstmile.mail.message import Address
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.sending import Post
from firstmile.mail.templates import Templates
from firstmile.standins.faults import Faults
from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.serving import serve_in_thread
from firstmile.store import profiles, schema
from firstmile.store.database import Database
from firstmile.store.profiles import Contact, Profile
from tests.mail.building import FILES, Ask, SetClock, Standin, asking, write_files


@pytest.fixture(scope="session")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two templates and their layout."""
    return write_files(tmp_path_factory.mktemp("templates"), FILES)


@pytest.fixture(scope="session")
def templates(template_folder: Path) -> Templates:
    return Templates(template_folder)


@pytest.fixture
def now() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def _sendgrid() -> Iterator[Standin]:
    app = sendgrid_standin()
    with serve_in_thread(app) as place:
        yield Standin(place.url, app)


@pytest.fixture
def sendgrid(_sendgrid: Standin) -> Standin:
    """The stand-in, empty and without faults."""
    _sendgrid.mailbox.clear()
    faults: Faults = _sendgrid.app.state.faults
    faults.clear()
    return _sendgrid


@pytest.fixture
def transport(sendgrid: Standin, now: SetClock) -> SendGrid:
    """SendGrid's client, with little patience."""
    return SendGrid("SG.test", host=sendgrid.url, timeout=0.3, settles_after=timedelta(seconds=30), now=now)


@pytest.fixture
def post(templates: Templates, now: SetClock) -> Post:
    letterhead = Letterhead(templates, Address("hello@acme.example", "Acme"))
    return Post(letterhead, now=now)


_migrated: dict[str, Path] = {}


@pytest.fixture
async def db(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """A store that knows two customers."""
    if "sqlite" not in _migrated:
        _migrated["sqlite"] = tmp_path_factory.mktemp("store") / "template.db"
        await schema.upgrade(f"sqlite:///{_migrated['sqlite']}")
    mine = tmp_path / "firstmile.db"
    shutil.copy(_migrated["sqlite"], mine)
    database = Database(f"sqlite:///{mine}")
    boss = Contact("sponsor", "Bo Boss", "bo@customer.example")
    async with database.writing() as tx:
        then = datetime(2026, 3, 1, tzinfo=UTC)
        ann = Profile("c-1", "Ann Lee", "ann@customer.example", "Lee & Co", contacts=(boss,), locale="en")
        await profiles.write(tx, ann, then)
        await profiles.write(tx, Profile("c-2", "Nobody"), then)
    yield database
    await database.close()


@pytest.fixture
def ask(now: SetClock) -> Ask:
    """A function that makes the request of an effect."""
    return asking(now)
