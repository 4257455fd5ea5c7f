"""The worker of the orchestration benchmark: both workflows, the real activities, a transport that takes all.

Customers react to what they get: the message `tips` brings them to first value, the survey is answered.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.messages import Mailroom, SendMessages
from activities.recording import WriteRecords
from activities.tools import Tools
from benchmarks.by_hand import ByHand
from firstmile.cli.workers import working
from firstmile.contracts import EventSignal
from firstmile.links import Links
from firstmile.mail.composing import Letterhead
from firstmile.mail.message import Address, Message
from firstmile.mail.sending import Post
from firstmile.mail.templates import Templates
from firstmile.mail.transport import Absent, Receipt, Sighting, Trace
from firstmile.store import schema
from firstmile.store.database import Database

REACTIONS = {"template-tips": "value.reached", "template-nps": "survey.responded"}


@dataclass
class Accepting:
    """A transport that takes everything, and customers who react to it."""

    client: Client
    loop: asyncio.AbstractEventLoop
    reacting: bool
    name: str = "accepting"
    reaches_people: bool = False
    idempotent: bool = False
    timeout: float = 1.0

    def send(self, message: Message) -> Receipt:
        """Take a message; the customer reacts to some."""
        for category in message.categories:
            if self.reacting and category in REACTIONS:
                subject = dict(message.notes)["fm_subject"]
                reaction = react(self.client, subject, REACTIONS[category])
                asyncio.run_coroutine_threadsafe(reaction, self.loop)
        return Receipt(message.key)

    def find(self, trace: Trace) -> Sighting:
        """Nothing is ever unknown here."""
        return Absent()

    def check(self) -> None:
        """Everybody may send here."""


async def react(client: Client, subject: str, event: str) -> None:
    """A customer does what a message asked for."""
    handle = client.get_workflow_handle(f"bench/{subject}")
    if subject.startswith("hand"):
        await handle.signal(event)
    else:
        properties = {"step": "nps", "score": 9} if event == "survey.responded" else {}
        await handle.signal("event", EventSignal(event, f"{subject}-{event}", None, properties))


async def main(address: str, database_url: str, cached: int, reacting: bool) -> None:
    """Work until SIGTERM."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await schema.upgrade(database_url)
    database = Database(database_url)
    tools = Tools(database)
    loop = asyncio.get_running_loop()
    templates = Templates(Path(__file__).parent / "templates")
    post = Post(Letterhead(templates, Address("onboarding@firstmile.example", "Onboarding")))
    links = Links("http://localhost", ["a secret for benchmarks only"])
    messages = SendMessages(
        tools, Mailroom(Accepting(client, loop, reacting), post, links, "http://localhost")
    )
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with working(
        client,
        "bench",
        journeys=[WriteRecords(tools).write_records],
        messages=[messages.send_email, messages.send_survey],
        workflows=[ByHand],
        max_cached_workflows=cached,
    ):
        print("ready", flush=True)
        await stop.wait()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "reacting"))
