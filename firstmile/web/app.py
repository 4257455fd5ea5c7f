"""The HTTP service as one application: API, customers' pages, webhooks, operations.

While it runs it sweeps: what a sign-up or an event left half done is finished (DESIGN §2.1). And it reconciles:
part by part, it compares the store with Temporal.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

import httpx
from fastapi import FastAPI

from firstmile.errors import FirstmileError
from firstmile.links import Links
from firstmile.service import Service
from firstmile.web import api, bulk_commands, keys, operations, pages, problems, schemas, webhooks
from firstmile.web.guard import Door
from firstmile.web.limits import Limited
from firstmile.web.rendering import Pages
from firstmile.web.requests import Numbered

SWEEP_EVERY = timedelta(seconds=30)
RECONCILE_EVERY = timedelta(minutes=1)
_logger = logging.getLogger(__name__)


def create_app(
    service: Service,
    *,
    sweep_every: timedelta | None = SWEEP_EVERY,
    reconcile_every: timedelta | None = RECONCILE_EVERY,
    client: httpx.AsyncClient | None = None,
) -> FastAPI:
    """The application. `sweep_every` None: it neither sweeps nor reconciles. `client` fetches worker metrics."""
    settings = service.settings
    outgoing = client or httpx.AsyncClient(timeout=2.0)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with suppress(FirstmileError):
            if settings.api_key is None and not await service.keys.exist():
                _logger.warning("there is no API key (`firstmile key create`): only this machine is answered")
        if settings.mail_transport == "sendgrid" and not settings.sendgrid_webhook_keys:
            _logger.warning(
                "no key of SendGrid's Event Webhook is configured (FIRSTMILE_SENDGRID_WEBHOOK_KEYS): "
                "nobody hears what becomes of messages, and bounces suppress no address"
            )
        recurring = []
        if sweep_every is not None:
            recurring.append(asyncio.create_task(_every(sweep_every, "sweep", partial(_sweep, service))))
            if reconcile_every is not None:
                work = partial(_reconcile, service)
                recurring.append(asyncio.create_task(_every(reconcile_every, "reconciler", work)))
        yield
        for task in recurring:
            task.cancel()
        await asyncio.gather(*recurring, return_exceptions=True)
        with suppress(FirstmileError):
            await service.close()
        await outgoing.aclose()

    app = FastAPI(
        title="Firstmile",
        summary="From sign-up to onboarded.",
        version=importlib.metadata.version("firstmile"),
        # The usual pages load scripts from elsewhere; /openapi.json is enough.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    problems.install(app)
    app.add_middleware(
        Limited, at_once=settings.http_calls_at_once, per_second=settings.http_calls_per_second
    )
    app.add_middleware(Numbered)
    door = Door(service)
    app.include_router(api.router(service, door))
    app.include_router(keys.router(service, door))
    app.include_router(bulk_commands.router(service, door))
    app.include_router(operations.router(service, outgoing, door))
    app.include_router(webhooks.router(service))
    links = Links(settings.public_url, settings.link_keys())
    app.include_router(pages.router(service, links, Pages(settings.templates_folder())))
    schemas.install(app, door.scope_of)
    return app


async def _every(length: timedelta, name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except FirstmileError as error:
            _logger.warning("the %s could not do its round: %s", name, error)
        except Exception:
            _logger.exception("the %s failed", name)
        await asyncio.sleep(length.total_seconds())


async def _sweep(service: Service) -> None:
    swept = await service.sweep()
    if swept.started or swept.removed or swept.delivered or swept.expired:
        _logger.info("swept: %s", swept)


async def _reconcile(service: Service) -> None:
    for drift in (await service.reconcile_a_part()).drifts:
        level = logging.INFO if drift.outcome == "repaired" else logging.WARNING
        _logger.log(level, "%s: %s: %s, %s", drift.outcome, drift.subject, drift.kind, drift.detail)
