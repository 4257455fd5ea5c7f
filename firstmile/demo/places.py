"""The addresses worth opening."""

from __future__ import annotations

from typing import TypeAlias

import httpx

from firstmile.demo.surroundings import Surroundings

Places: TypeAlias = tuple[tuple[str, str], ...]
"""Names and addresses, in the order in which they are shown."""


async def places(place: Surroundings, client: httpx.AsyncClient) -> Places:
    """What answers. Where there is no console there is still the description of the API."""
    console = ("Console", f"{place.web}/console")
    answers = (await client.get(console[1], follow_redirects=True)).is_success
    return (
        console if answers else ("API", f"{place.web}/openapi.json"),
        ("Inbox", f"{place.inbox}/"),
        ("Temporal", f"{place.temporal_ui}/"),
        ("Metrics", f"{place.web}/metrics"),
    )
