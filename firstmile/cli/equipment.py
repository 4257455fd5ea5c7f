"""What a worker's activities work with, built from the settings: the transport, letterhead, links, systems."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from activities.messages import Mailroom
    from firstmile.cli.workers import Activities
    from firstmile.provisioning import Webhooks
    from firstmile.service import Service
    from firstmile.settings import Settings
    from firstmile.store.database import Database


def webhooks_of(settings: Settings) -> Webhooks:
    """The systems that provision, with the connections to them: to be closed at the end.

    Raises `SettingsError` for a secret that nothing can be signed with.
    """
    from firstmile.errors import Flaw, SettingsError
    from firstmile.provisioning import System, Webhooks

    systems, flaws = {}, []
    for name, one in settings.systems.items():
        try:
            systems[name] = System(one.url, (one.secret.get_secret_value(),))
        except ValueError as error:
            flaws.append(Flaw(f"FIRSTMILE_SYSTEMS.{name}", str(error)))
    if flaws:
        raise SettingsError(flaws)
    return Webhooks(systems, allow_private=settings.allow_private_addresses)


def journey_activities(database: Database, webhooks: Webhooks, service: Service) -> Activities:
    """Every activity that writes to no customer, with what it works with."""
    from activities.assign import AssignOwner
    from activities.bulk import GiveCommands
    from activities.prepare import PrepareStart
    from activities.provision import Provision
    from activities.recording import WriteRecords
    from activities.tasks import OpenTask
    from activities.tools import Tools

    tools = Tools(database)
    return [
        Provision(tools, webhooks).provision,
        AssignOwner(tools).assign_owner,
        OpenTask(tools).open_task,
        WriteRecords(tools).write_records,
        PrepareStart(tools).prepare_start,
        GiveCommands(service).give_commands,
    ]


def message_activities(
    settings: Settings, database: Database, executor: Executor | None = None
) -> Activities:
    """Every activity that writes to customers. The transport's calls block in `executor`'s threads."""
    from activities.messages import SendMessages
    from activities.tools import Tools

    messages = SendMessages(Tools(database), mailroom_of(settings, executor))
    return [
        messages.send_email,
        messages.invite_to_training,
        messages.send_survey,
        messages.send_checkin,
    ]


def mailroom_of(settings: Settings, executor: Executor | None = None) -> Mailroom:
    """What sending takes. Raises `SettingsError` for a transport that cannot work."""
    from activities.messages import Mailroom
    from firstmile.links import Links
    from firstmile.mail.composing import Letterhead
    from firstmile.mail.message import Address
    from firstmile.mail.sending import Post
    from firstmile.mail.templates import Templates
    from firstmile.mail.transports import safety_from, transport_from

    post = Post(
        letterhead=Letterhead(
            Templates(settings.templates_folder()), Address(settings.mail_sender, settings.mail_sender_name)
        ),
        safety=safety_from(settings),
        reconcile_for=settings.reconcile_for,
        executor=executor,
    )
    links = Links(settings.public_url, settings.link_keys())
    return Mailroom(transport_from(settings), post, links, settings.app_url)


@contextmanager
def sending_threads(settings: Settings) -> Iterator[Executor]:
    """A thread for each message in hand: a call that blocks keeps no other waiting, and nothing else.

    At the end they are not waited for: a transport's call comes back by itself.
    """
    threads = ThreadPoolExecutor(settings.send_concurrency, thread_name_prefix="send")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
