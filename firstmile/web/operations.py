"""What operations asks for: metrics, whether the process lives, whether it can work."""

from __future__ import annotations

import logging

import httpx
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from firstmile.errors import StoreAway
from firstmile.service import Service
from firstmile.store.metrics import Snapshot
from firstmile.web import problems, schemas
from firstmile.web.exposition import PREFIX, exposition
from firstmile.web.guard import Door

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_logger = logging.getLogger(__name__)


def router(service: Service, client: httpx.AsyncClient, door: Door) -> APIRouter:
    """The routes `/metrics`, `/healthz` and `/readyz`. `client` fetches a worker's own metrics."""
    found = APIRouter(tags=["operations"])
    core = service.settings.core_metrics_url

    @found.get(
        "/metrics",
        dependencies=[Depends(door.inside_or("read"))],
        response_class=PlainTextResponse,
        responses=schemas.REFUSED,
    )
    async def metrics() -> Response:
        """The numbers of the business and, where a worker is named, those of Temporal's SDK."""
        snapshot: Snapshot | None = None
        try:
            snapshot = await service.metrics()
        except StoreAway as error:
            _logger.error("no numbers: %s", error)
        text = exposition(snapshot)
        if core is not None:
            text += await _core(client, core)
        return PlainTextResponse(text, media_type=MEDIA_TYPE)

    @found.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @found.get("/readyz", responses={503: schemas.problem("The store does not answer")})
    async def ready() -> Response:
        """The store answers. Temporal may be away: pages, status and holds work without it."""
        try:
            await service.ready()
        except StoreAway as error:
            return problems.response(503, "store-away", "The store does not answer", str(error))
        return JSONResponse({"status": "ok"})

    return found


async def _core(client: httpx.AsyncClient, url: str) -> str:
    name = f"{PREFIX}core_up"
    up = f"# HELP {name} Whether the worker's metrics could be fetched.\n# TYPE {name} gauge\n{name}"
    try:
        found = (await client.get(url)).raise_for_status().text
    except httpx.HTTPError as error:
        _logger.warning("a worker's metrics could not be fetched: %s", type(error).__name__)
        return f"{up} 0\n"
    lines = [line for line in found.splitlines() if line and line != "# EOF"]
    return f"{up} 1\n" + "".join(f"{line}\n" for line in lines)
