"""`firstmile worker`: carries customers through their journeys and sends their messages, until it is told to
stop.

On SIGTERM (or Ctrl-C) it takes no more work, lets what runs come to its end for a while, and leaves. Workers
are stateless: start as many as there is work for.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from temporalio.runtime import Runtime

    from firstmile.settings import Settings

app = typer.Typer()
Found = TypeVar("Found")

GRACE = timedelta(seconds=20)
"""How long a stopping worker waits for running activities: longer than one attempt may take."""

CACHED = 1000
"""How many sleeping customers a worker keeps in memory; others are replayed when they wake."""

AT_ONCE = 8
"""How many customers' workflow tasks a worker has in hand at a time."""


class Role(StrEnum):
    """What a worker may be for alone."""

    JOURNEYS = "journeys"
    MESSAGES = "messages"


_logger = logging.getLogger(__name__)


@app.command()
def worker(
    cached: Annotated[
        int, typer.Option(min=0, help="How many sleeping customers to keep in memory.")
    ] = CACHED,
    only: Annotated[
        Role | None, typer.Option(help="Only carry on journeys, or only send messages. By default both.")
    ] = None,
) -> None:
    """Run a worker, with settings from the environment."""
    from firstmile import settings as reading
    from firstmile.errors import FirstmileError, SettingsError

    try:
        settings = reading.load(sends=only is not Role.JOURNEYS)
        logging.basicConfig(
            level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        for chatty in ("alembic", "httpx", "temporalio.worker"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        asyncio.run(serve(settings, cached=cached, only=only))
    except FirstmileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from None


async def serve(settings: Settings, *, cached: int = CACHED, only: Role | None = None) -> None:
    """Work until SIGTERM or SIGINT.

    Raises `TemporalAway` or `StoreAway` if it cannot begin, `SettingsError` if it may not send.
    """
    from firstmile import connection
    from firstmile.cli.equipment import journey_activities, message_activities, sending_threads, webhooks_of
    from firstmile.cli.workers import Sending, working
    from firstmile.mail.transports import check_transport
    from firstmile.service import Service

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if only is not Role.JOURNEYS:
        await asyncio.to_thread(check_transport, settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(connection.store(settings))
        webhooks = await stack.enter_async_context(webhooks_of(settings))
        threads = stack.enter_context(sending_threads(settings))
        looking = connection.temporal(runtime=runtime_of(settings), patience=timedelta(seconds=60))
        client = await unless(stop, looking)
        if client is None:
            return
        await connection.ensure_search_attributes(client)
        journeys = messages = None
        if only is not Role.MESSAGES:
            service = Service(client, database, settings)
            journeys = journey_activities(database, webhooks, service)
        if only is not Role.JOURNEYS:
            messages = message_activities(settings, database, threads)
        # Customers who are put to sleep leave circles behind. What is loaded by now stays, and is left out, so
        # that collecting them is quick and can be done often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(500, 5, 2)
        async with working(
            client,
            settings.task_queue,
            journeys=journeys,
            messages=messages,
            sending=Sending(settings.send_rate, settings.send_concurrency),
            grace=GRACE,
            max_cached_workflows=cached,
            # More would only wait for the interpreter's lock, and each keeps memory of its own.
            max_concurrent_workflow_tasks=AT_ONCE,
        ) as found:
            _logger.info("working on task queues %s", ", ".join(one.task_queue for one in found))
            await stop.wait()
            _logger.info("stopping: what runs has %d seconds", GRACE.total_seconds())


async def unless(stop: asyncio.Event, what: Awaitable[Found]) -> Found | None:
    """What it comes to, or None if there was a `stop` before. Raises what it raises."""
    doing, stopped = asyncio.ensure_future(what), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, stopped), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        stopped.cancel()


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
