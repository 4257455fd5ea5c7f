"""Publishing what is being worked on: each change is a version of its own, whatever number the file has.

Outside of development a version never changes once it is published, and so it is here: customers on their way
keep the journey they started on, and the next one gets what was saved last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from firstmile.journey.model import Journey
from firstmile.publishing import check
from firstmile.store import published
from firstmile.store.database import Database, Writing


@dataclass(frozen=True, slots=True)
class Released:
    """A journey as new customers start on it. `changed`: it is new, or another than before."""

    segment: str
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Release:
    """What was released, and what is doubtful about it."""

    journeys: list[Released]
    warnings: list[str]


async def release(database: Database, journeys: Path, templates: Path, now: datetime) -> Release:
    """Check everything and publish what changed. Raises `PublishRefused` with every problem."""
    checked = check(journeys, templates)
    async with database.writing() as tx:
        released = [await _release(tx, journey, now) for journey in checked.journeys.values()]
    return Release(released, checked.warnings)


async def _release(tx: Writing, journey: Journey, now: datetime) -> Released:
    current = await published.current(tx, journey.journey)
    if current is None:
        version = journey.version
    elif _content(current.journey) == _content(journey.canonical_json()):
        return Released(journey.journey, current.version, changed=False)
    else:
        version = max(journey.version, current.version + 1)
    numbered = journey.model_copy(update={"version": version})
    await published.publish(tx, journey.journey, version, numbered.canonical_json(), now)
    return Released(journey.journey, version, changed=True)


def _content(canonical: str) -> object:
    """A journey without its number."""
    return {name: value for name, value in json.loads(canonical).items() if name != "version"}
