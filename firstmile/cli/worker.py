"""`firstmile worker`: carries customers through their journeys, until it is told to stop.

On SIGTERM (or Ctrl-C) it takes no more work, lets what runs come to its end for a while, and leaves. Workers
are stateless: start as many as there is work for.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from temporalio.runtime import Runtime

    from firstmile.provisioning import Webhooks
    from firstmile.service import Service
    from firstmile.settings import Settings
    from firstmile.store.database import Database

app = typer.Typer()

GRACE = timedelta(seconds=20)
"""How long a stopping worker waits for running activities: longer than one attempt may take."""

CACHED = 1000
"""How many sleeping customers a worker keeps in memory; others are replayed when they wake."""

AT_ONCE = 8
"""How many customers' workflow tasks a worker has in hand at a time."""

_logger = logging.getLogger(__name__)


@app.command()
def worker(
    cached: Annotated[
        int, typer.Option(min=0, help="How many sleeping customers to keep in memory.")
    ] = CACHED,
) -> None:
    """Run a worker, with settings from the environment."""
    from firstmile import settings as reading
    from firstmile.errors import FirstmileError, SettingsError

    try:
        settings = reading.load(sends=True)
        logging.basicConfig(
            level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        for chatty in ("alembic", "httpx", "temporalio.worker"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        asyncio.run(serve(settings, cached=cached))
    except FirstmileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from None


async def serve(settings: Settings, *, cached: int = CACHED) -> None:
    """Work until SIGTERM or SIGINT. Raises `TemporalAway` or `StoreAway` if it cannot begin."""
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    from firstmile import connection
    from firstmile.service import Service
    from workflows.bulk import BulkCommand
    from workflows.onboarding import Onboarding

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with connection.store(settings) as database, webhooks_of(settings) as webhooks:
        client = await connection.temporal(runtime=runtime_of(settings), patience=timedelta(seconds=60))
        await connection.ensure_search_attributes(client)
        service = Service(client, database, settings)
        # Outside the sandbox: re-importing workflows in it costs each customer several milliseconds and a
        # hundred kilobytes. That they are deterministic is kept by the import contracts and the replay tests.
        running = Worker(
            client,
            task_queue=settings.task_queue,
            # The dynamic definition takes every type that none has by name: the segments.
            workflows=[Onboarding, BulkCommand],
            activities=activities_of(settings, database, webhooks, service),
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=cached,
            # More would only wait for the interpreter's lock, and each keeps memory of its own.
            max_concurrent_workflow_tasks=AT_ONCE,
            graceful_shutdown_timeout=GRACE,
        )
        # Customers who are put to sleep leave circles behind. What is loaded by now stays, and is left out, so
        # that collecting them is quick and can be done often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(500, 5, 2)
        async with running:
            _logger.info("working on task queue %s", settings.task_queue)
            await stop.wait()
            _logger.info("stopping: what runs has %d seconds", GRACE.total_seconds())


def runtime_of(settings: Settings) -> Runtime:
    """Temporal's runtime, with Core's metrics on a loopback port where one is set."""
    from temporalio.runtime import LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig, TelemetryFilter

    port = settings.worker_metrics_port
    metrics = (
        None
        if port is None
        else PrometheusConfig(
            bind_address=f"127.0.0.1:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
    )
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"))
    return Runtime(telemetry=TelemetryConfig(metrics=metrics, logging=quiet))


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


def activities_of(
    settings: Settings, database: Database, webhooks: Webhooks, service: Service
) -> Sequence[Callable[..., Any]]:
    """Every activity, with what it works with."""
    from activities.assign import AssignOwner
    from activities.bulk import GiveCommands
    from activities.messages import Mailroom, SendMessages
    from activities.prepare import PrepareStart
    from activities.provision import Provision
    from activities.recording import WriteRecords
    from activities.tasks import OpenTask
    from activities.tools import Tools
    from firstmile.links import Links
    from firstmile.mail.composing import Letterhead
    from firstmile.mail.message import Address
    from firstmile.mail.recipients import Safety
    from firstmile.mail.sendgrid_transport import SendGrid
    from firstmile.mail.sending import Post
    from firstmile.mail.templates import Templates

    key = settings.sendgrid_api_key
    standin = settings.mail_transport == "standin"
    transport = SendGrid(
        key.get_secret_value() if key is not None else "standin",
        host=settings.sendgrid_host,
        timeout=settings.sendgrid_timeout.total_seconds(),
        settles_after=timedelta(seconds=0) if standin else timedelta(minutes=5),
        reaches_people=False if standin else None,
    )
    redirect = settings.mail_redirect_to
    allowed = frozenset(one if "@" in one else f"@{one}" for one in settings.mail_allow)
    post = Post(
        letterhead=Letterhead(
            Templates(settings.templates_folder()), Address(settings.mail_sender, settings.mail_sender_name)
        ),
        safety=Safety(None if redirect is None else Address(redirect), allowed or None),
        reconcile_for=settings.reconcile_for,
    )
    tools = Tools(database)
    links = Links(settings.public_url, settings.link_keys())
    messages = SendMessages(tools, Mailroom(transport, post, links, settings.app_url))
    return [
        messages.send_email,
        messages.invite_to_training,
        messages.send_survey,
        messages.send_checkin,
        Provision(tools, webhooks).provision,
        AssignOwner(tools).assign_owner,
        OpenTask(tools).open_task,
        WriteRecords(tools).write_records,
        PrepareStart(tools).prepare_start,
        GiveCommands(service).give_commands,
    ]
