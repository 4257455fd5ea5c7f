"""Faults that a stand-in is told to have: answer with an error, hang, reset the connection; or tell events
twice, or in another order.

`when` says on which side of taking the request the fault lies: one that hangs *after* it took the request
is what an unknown outcome looks like from outside. A fault wears off after `times` requests that match it.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from firstmile.standins.serving import DROP


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class Fault(BaseModel):
    """One fault. `match` is searched for in what the stand-in says of a request (recipient, subject,
    customer)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["status", "hang", "reset", "duplicate", "shuffle"]
    """`duplicate` and `shuffle` are for events: tell them twice, or one by one in another order."""
    when: Literal["before", "after"] = "before"
    status: Annotated[int, Field(ge=400, le=599)] = 500
    reset_in: float | None = None
    """With status 429: seconds until the limit is reset, told in the headers. With 503: Retry-After."""
    seconds: Annotated[float, Field(ge=0, le=600)] = 60
    """How long to hang if the client has more patience."""
    times: Annotated[int, Field(ge=1)] = 1
    match: Pattern | None = None
    on: str = "send"
    """Which call: `send`, `logs` or `events` (SendGrid), `call` (provisioning)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind in ("duplicate", "shuffle")) != (self.on == "events"):
            raise ValueError("events are duplicated or shuffled, and nothing else is")
        return self


class Faults:
    """The faults still to come."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._left.append((fault, fault.times))

    def clear(self) -> None:
        with self._lock:
            self._left.clear()

    @property
    def left(self) -> list[Fault]:
        """Each fault that has not worn off, with the `times` it has left."""
        with self._lock:
            return [fault.model_copy(update={"times": times}) for fault, times in self._left]

    def take(self, on: str, *texts: str, kind: str | None = None) -> Fault | None:
        """The first fault (of a `kind`, if given) that fits a request, worn off by one."""
        with self._lock:
            for position, (fault, times) in enumerate(self._left):
                fits = fault.match is None or any(re.search(fault.match, text) for text in texts)
                if fault.on == on and fits and kind in (None, fault.kind):
                    self._left[position : position + 1] = [(fault, times - 1)] if times > 1 else []
                    return fault
        return None


async def carry_out(fault: Fault, request: Request) -> Response:
    """What the client gets to see of a fault."""
    if fault.kind == "reset":
        request.scope[DROP]()
        return Response(status_code=500)
    if fault.kind == "hang":
        await _hang(request, fault.seconds)
        return Response(status_code=504)
    headers = {}
    if fault.reset_in is not None:
        headers = {
            "X-RateLimit-Limit": "600",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(time.time() + fault.reset_in)),
            "Retry-After": str(max(0, round(fault.reset_in))),
        }
    error = {"message": f"told to fail with {fault.status}", "field": None, "help": None}
    return JSONResponse({"errors": [error]}, status_code=fault.status, headers=headers)


async def _hang(request: Request, seconds: float) -> None:
    """Until the client has gone away, or so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


def routes(faults: Faults) -> APIRouter:
    """`/_standin/faults`: POST one or a list, GET those left, DELETE all."""
    router = APIRouter()

    @router.post("/_standin/faults", status_code=201)
    def add(told: Fault | list[Fault]) -> list[Fault]:
        for fault in told if isinstance(told, list) else [told]:
            faults.add(fault)
        return faults.left

    @router.get("/_standin/faults")
    def left() -> list[Fault]:
        return faults.left

    @router.delete("/_standin/faults", status_code=204)
    def clear() -> None:
        faults.clear()

    return router
