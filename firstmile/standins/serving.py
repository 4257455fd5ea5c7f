"""Run an application on a free loopback port: in a thread, beside other tasks, or as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = "127.0.0.1"
DROP = "firstmile.drop"
"""In the scope of a request: a function that resets its connection."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where an application is being served."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{self.host}:{self.port}"


class Droppable:
    """Lets a request of the application inside reset its connection, as a network would."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's `send` is a method of the object that holds the connection.
        transport = getattr(getattr(send, "__self__", None), "transport", None)

        def drop() -> None:
            if transport is None:
                raise RuntimeError("only a connection served by uvicorn can be dropped")
            # Lingering for no time makes the kernel send RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()

        await self._app({**scope, DROP: drop}, receive, send)


def _server(app: App) -> uvicorn.Server:
    config = uvicorn.Config(
        Droppable(app),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return uvicorn.Server(config)


def _listen(host: str, port: int) -> tuple[socket.socket, Serving]:
    listening = socket.create_server((host, port), backlog=256)
    return listening, Serving(host, listening.getsockname()[1])


@contextlib.contextmanager
def serve_in_thread(app: App, *, host: str = LOOPBACK, port: int = 0) -> Iterator[Serving]:
    """Serve in a thread until the end of the `with`. Port 0 means any that is free."""
    listening, place = _listen(host, port)
    server = _server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield place
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()


@contextlib.asynccontextmanager
async def serving(app: App, *, host: str = LOOPBACK, port: int = 0) -> AsyncIterator[Serving]:
    """Serve in this event loop until the end of the `async with`."""
    listening, place = _listen(host, port)
    server = _server(app)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if task.done():
                await task
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.005)
        yield place
    finally:
        server.should_exit = True
        await task
        listening.close()


def serve(app: App, *, host: str = LOOPBACK, port: int = 0, name: str = "stand-in") -> None:
    """Serve until interrupted; the address is printed first, for whoever started the process."""
    listening, place = _listen(host, port)
    print(f"{name}: {place.url}", flush=True)
    _server(app).run(sockets=[listening])
