"""Whatever is sent, the API answers: with what it documents, and never that it is our fault."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstmile.web.app import create_app
from tests.doorway import SIGN_UP, Clock, Nowhere, opened
from tests.web.conftest import calling

TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "c-1",
        "small",
        "a@b.example",
        "Europe/Berlin",
        "DE",
        "de",
        "2026-03-06T03:00:00Z",
        "shift",
        "nps",
        "\x00",
        "",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
EVENT: dict[str, Any] = {
    "subject": "c-1",
    "event": "report.published",
    "id": "e1",
    "at": None,
    "properties": {},
}
COMMAND = dict.fromkeys(
    ("actor", "reason", "step", "until", "overdue", "undo", "traits", "owner", "answer"), None
)


def near(valid: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Bodies that are nearly right, and some that are not at all."""
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys([*valid, "more"], VALUES))
    return fields.map(lambda changed: {**valid, **changed}) | fields | VALUES


CALLS = {
    "/v1/onboardings": (near(SIGN_UP), {200, 202, 409, 422}),
    "/v1/events": (near(EVENT) | st.lists(near(EVENT), max_size=3), {202, 422}),
    "/v1/onboardings/c-1/pause": (near(COMMAND), {404, 409, 422}),
}


@pytest.mark.parametrize("path", CALLS)
def test_no_body_is_our_fault(path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    bodies, documented = CALLS[path]
    seen: list[object] = []

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(body=bodies)
    def collect(body: object) -> None:
        seen.append(body)

    collect()

    async def send(place: Path) -> None:
        async with (
            opened(place, Nowhere(away=False), Clock()) as service,
            calling(create_app(service, sweep_every=None)) as client,
        ):
            for body in seen:
                headers = {"Content-Type": "application/json"}
                answer = await client.post(path, content=json.dumps(body), headers=headers)
                assert answer.status_code in documented, (body, answer.text)
                if answer.status_code >= 400 and "events" not in answer.json():
                    assert answer.headers["content-type"] == "application/problem+json"

    asyncio.run(send(tmp_path_factory.mktemp("fuzz")))
