"""The application on a real store, spoken to as over HTTP; Temporal answers, or is away, as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from firstmile.links import Links
from firstmile.service import Service
from firstmile.web.app import create_app
from tests.doorway import Clock, Nowhere, opened

HERE = "http://localhost"


@pytest.fixture
def temporal() -> Nowhere:
    return Nowhere(away=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, temporal: Nowhere, clock: Clock) -> AsyncIterator[Service]:
    async with opened(tmp_path, temporal, clock) as found:
        yield found


@pytest.fixture
def app(service: Service) -> FastAPI:
    return create_app(service, sweep_every=None)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(app) as found:
        yield found


@pytest.fixture
def links(service: Service) -> Links:
    return Links(HERE, service.settings.link_keys())


@asynccontextmanager
async def calling(app: FastAPI, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; `client` is the caller's address."""
    address = options.pop("client", ("127.0.0.1", 50_000))
    transport = httpx.ASGITransport(app, client=address)
    async with httpx.AsyncClient(transport=transport, base_url=HERE, **options) as found:
        yield found
