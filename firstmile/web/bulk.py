"""Many sign-ups in one call: JSON Lines in, JSON Lines out, line by line.

A line is a sign-up; its answer says its number, and what a call of its own would have said. Answers come in
the order of the lines, while further lines are still being read: a caller may send a million lines and never
hold more than a few. Nothing about one line keeps another from being taken; what could not be taken now
(`retry`) is to be sent again, and sending all of it again changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from firstmile import bodies, signup
from firstmile.bodies import NotJson
from firstmile.errors import FirstmileError
from firstmile.service import Service
from firstmile.web import problems

JSON_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/json-lines"})
MEDIA_TYPE = "application/x-ndjson"
AT_ONCE = 16
"""Sign-ups of one call that are carried out at the same time."""
AHEAD = 1_000
"""Answers that wait for a caller who does not read them: then no more is read of what it sends."""
SILENCE = 60.0
"""Seconds after which a caller who sends nothing more has gone."""

_LOST = object()


class Answering(Response):
    """An answer that is written while the body is still being read.

    Starlette's own streaming listens for the caller's leaving meanwhile, and would swallow what it sends.
    """

    media_type = MEDIA_TYPE

    def __init__(self, lines: AsyncIterator[bytes], status: int = 202) -> None:
        super().__init__(None, status)
        del self.headers["content-length"]
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answers(service: Service, request: Request) -> AsyncIterator[bytes]:
    """The answer to each line, as it becomes known, in the order of the lines."""
    queue: asyncio.Queue[asyncio.Task[dict[str, Any]] | None] = asyncio.Queue(AHEAD)
    slots = asyncio.Semaphore(AT_ONCE)

    async def read() -> None:
        try:
            async for number, line in _lines(request):
                await slots.acquire()
                task = asyncio.create_task(_answer(service, number, line))
                task.add_done_callback(lambda _: slots.release())
                await queue.put(task)
        finally:
            await queue.put(None)

    reading = asyncio.create_task(read())
    counts = {"started": 0, "same": 0, "refused": 0, "retry": 0}
    try:
        while (task := await queue.get()) is not None:
            said = await task
            counts[said["outcome"]] += 1
            yield _line(said)
        # A caller who sees no such line knows that the answer broke off.
        complete = reading.done() and reading.exception() is None
        yield _line({"lines": sum(counts.values()), **counts, "complete": complete})
    finally:
        reading.cancel()
        while not queue.empty():
            left = queue.get_nowait()
            if left is not None:
                # A sign-up that was begun is finished: half of one helps nobody.
                await asyncio.gather(left, return_exceptions=True)


async def _answer(service: Service, number: int, line: bytes | object) -> dict[str, Any]:
    id: str | None = None
    try:
        if not isinstance(line, bytes):
            raise NotJson(f"the line is longer than {signup.MAX_BYTES} bytes")
        body = bodies.parse(line, "the line")
        id = signup.subject_of(signup.unwrapped(body))
        enrolled = await service.enrol(body)
    except (FirstmileError, NotJson) as error:
        kind, more = problems.of(error)
        outcome = "retry" if getattr(error, "retryable", False) else "refused"
        said = problems.document(kind.status, kind.slug, kind.title, **more)
        return {"line": number, "outcome": outcome, "id": id, "problem": said}
    return {
        "line": number,
        "outcome": enrolled.outcome,
        "id": enrolled.subject,
        "onboarding": enrolled.response,
    }


async def _lines(request: Request) -> AsyncIterator[tuple[int, bytes | object]]:
    """The lines of a body with their numbers, blank ones left out; `_LOST` for one that is too long."""
    number, rest, too_long = 0, b"", False
    stream = request.stream().__aiter__()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), SILENCE)
        except StopAsyncIteration:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            if too_long or len(line) > signup.MAX_BYTES:
                too_long = False
                yield number, _LOST
            elif line.strip():
                yield number, line.strip()
        if len(rest) > signup.MAX_BYTES:
            rest, too_long = b"", True
    if too_long:
        yield number + 1, _LOST
    elif rest.strip():
        yield number + 1, rest.strip()


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
