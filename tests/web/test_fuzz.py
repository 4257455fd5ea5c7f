"""Whatever is sent, the API answers: with what `/openapi.json` says, and never that it is our fault.

Calls are made up from the description: as it allows them, and as it does not; as everybody who may come, with a
key of each scope and with none. In a town where customers run.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from firstmile.callers import SCOPES, Caller
from firstmile.service import Service
from firstmile.standins.sendgrid_webhook import SigningKey
from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, town, until
from tests.web.conftest import HERE

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
"""Calls of each kind and sort that everybody makes; more of them find more, and take longer."""
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
"""Not `positive_data_acceptance`: what has the right shape may still name a zone or a step that nobody knows."""
ROLES = ["nobody", *sorted(SCOPES)]
KNOWN = {"id": ["c-1", "c-2", "nobody-there"]}
"""Names of things that there are: made-up ones would never reach the far end of a call."""


class Street:
    """An application in a thread of its own, for tests that are no coroutines."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.portal = portal
        self.tokens: dict[str, str] = {}
        self.app: FastAPI
        self._open = AsyncExitStack()

    async def begin(self, place: Any) -> None:
        keys = (SigningKey.make().public,)
        service = await self._open.enter_async_context(town(place, sendgrid_webhook_keys=keys))
        for number in (1, 2):
            await service.enrol(SIGN_UP | {"id": f"c-{number}"})
        await until(lambda: _seen(service), lambda found: found == 2)
        for scope in SCOPES:
            _, self.tokens[scope] = await service.keys.create(scope, by=Caller("ann"), scopes=[scope])
        self.app = create_app(service, sweep_every=None)
        transport = httpx.ASGITransport(self.app, client=("203.0.113.9", 50_000))
        self._client = await self._open.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=HERE)
        )

    async def end(self) -> None:
        await self._open.aclose()

    def call(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self.portal.call(work)

    def send(self, case: schemathesis.Case[Any], role: str) -> httpx.Response:
        """Send a call as somebody."""
        token = self.tokens.get(role)
        kwargs = case.as_transport_kwargs(base_url=HERE)
        headers = {name: value for name, value in kwargs["headers"].items() if name != "Authorization"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = httpx.Request(
            kwargs["method"],
            kwargs["url"],
            params=kwargs.get("params"),
            headers={name: str(value).encode("latin-1", "replace") for name, value in headers.items()},
            cookies=kwargs.get("cookies"),
            json=kwargs.get("json"),
            content=kwargs.get("data"),
        )
        return self.portal.call(self._client.send, request)


async def _seen(service: Service) -> int:
    return sum(one.customers for one in await service.counts())


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with start_blocking_portal() as portal:
        found = Street(portal)
        portal.call(found.begin, tmp_path_factory.mktemp("fuzz"))
        yield found
        portal.call(found.end)


def operations(street: Street) -> Iterator[tuple[Any, set[str]]]:
    """The calls that are described, each with the scopes of which one is needed."""
    described = copy.deepcopy(street.app.openapi())
    # Who calls is up to the test.
    needed = {
        (path, method): {scope for one in operation.pop("security", []) for scope in one["key"]}
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    for found in schemathesis.openapi.from_dict(described).get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        yield operation, needed[operation.path, operation.method]


@pytest.mark.parametrize("role", ROLES)
def test_whatever_is_sent_is_answered_as_described(street: Street, role: str) -> None:
    wrong = []
    for operation, needed in operations(street):
        may = role == "admin" or not needed or role in needed
        for mode in GenerationMode if may else [GenerationMode.POSITIVE]:
            try:
                _send_many(street, operation, mode, role, may)
            except Unsatisfiable:  # nothing can be wrong with a call that takes nothing
                assert mode is GenerationMode.NEGATIVE
            except Exception as error:
                wrong.append(error)
    if wrong:
        raise ExceptionGroup(f"with the scope of {role}", wrong)


def _send_many(street: Street, operation: Any, mode: GenerationMode, role: str, may: bool) -> None:
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES if may else 2,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(case=strategy, known=st.data())
    def send(case: schemathesis.Case[Any], known: st.DataObject) -> None:
        if mode is GenerationMode.POSITIVE:
            for name in KNOWN.keys() & (case.path_parameters or {}).keys():
                case.path_parameters[name] = quote(known.draw(st.sampled_from(KNOWN[name])))
        answer = street.send(case, role)
        if may:
            case.validate_response(answer, checks=CHECKS)
        else:
            assert answer.status_code in ((401,) if role == "nobody" else (403,)), answer.text

    send()
