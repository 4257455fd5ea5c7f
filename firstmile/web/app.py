"""The HTTP service as one application: API, customers' pages, webhooks, operations.

While it runs it sweeps: what a sign-up or an event left half done is finished (DESIGN §2.1).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import httpx
from fastapi import FastAPI

from firstmile.errors import FirstmileError
from firstmile.links import Links
from firstmile.service import Service
from firstmile.web import api, keys, operations, pages, problems, schemas, webhooks
from firstmile.web.guard import Door
from firstmile.web.limits import Limited
from firstmile.web.rendering import Pages
from firstmile.web.requests import Numbered

SWEEP_EVERY = timedelta(seconds=30)
_logger = logging.getLogger(__name__)


def create_app(
    service: Service, *, sweep_every: timedelta | None = SWEEP_EVERY, client: httpx.AsyncClient | None = None
) -> FastAPI:
    """The application. `sweep_every` None: it does not sweep. `client` fetches a worker's metrics."""
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
        sweeping = None if sweep_every is None else asyncio.create_task(_sweep(service, sweep_every))
        yield
        if sweeping is not None:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
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
    app.include_router(operations.router(service, outgoing, door))
    app.include_router(webhooks.router(service))
    links = Links(settings.public_url, settings.link_keys())
    app.include_router(pages.router(service, links, Pages(settings.templates_folder())))
    schemas.install(app)
    return app


async def _sweep(service: Service, every: timedelta) -> None:
    while True:
        try:
            swept = await service.sweep()
            if swept.started or swept.removed or swept.delivered or swept.expired:
                _logger.info("swept: %s", swept)
        except FirstmileError as error:
            _logger.warning("the sweep could not be done: %s", error)
        except Exception:
            _logger.exception("the sweep failed")
        await asyncio.sleep(every.total_seconds())
