"""Publishing: journeys become what new customers are started on (DESIGN §2).

All of a folder or nothing: journeys and templates are checked together, since a journey is only as good as
the messages it names. A version never changes once it is published; customers on their way stay on theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from firstmile.connection import store_errors
from firstmile.contracts import BULK_WORKFLOW
from firstmile.errors import PublishRefused
from firstmile.journey.checks import unavailable
from firstmile.journey.loader import load_checked
from firstmile.journey.model import Journey
from firstmile.journey.route import Route, route_of
from firstmile.mail.checks import check_templates
from firstmile.mail.templates import template_names
from firstmile.store import published
from firstmile.store.database import Database, Reading

MAX_JOURNEY_BYTES = 1_000_000
"""A customer's workflow carries its journey, and Temporal refuses 2 MB."""


@dataclass(frozen=True, slots=True)
class Release:
    """What became of one journey. `customers start on` it from now on."""

    segment: str
    version: int
    hash: str
    outcome: Literal["new", "unchanged"]


@dataclass(frozen=True, slots=True)
class Publishing:
    """What was published, and what is doubtful about it."""

    releases: list[Release]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Checked:
    journeys: dict[str, Journey]
    warnings: list[str]


async def publish(database: Database, journeys: Path, templates: Path, now: datetime) -> Publishing:
    """Check every journey of a folder and store what is new. Raises `PublishRefused` with every problem."""
    checked = check(journeys, templates)
    releases, refused = [], []
    with store_errors():
        async with database.writing() as tx:
            for segment, journey in checked.journeys.items():
                found = await published.publish(tx, segment, journey.version, journey.canonical_json(), now)
                if found.outcome == "refused":
                    refused.append(found.reason or f"{segment} was refused")
                else:
                    current = found.current
                    releases.append(Release(segment, current.version, current.hash, found.outcome))
            if refused:
                raise PublishRefused(refused)
    return Publishing(releases, checked.warnings)


def check(journeys: Path, templates: Path) -> _Checked:
    """Everything that must be right before anything is published. Raises `PublishRefused`."""
    files = sorted(path for path in journeys.iterdir() if path.suffix in (".yaml", ".yml"))
    problems: list[str] = [] if files else [f"there is no journey (*.yaml) in {journeys}"]
    names = template_names(templates)
    found: dict[str, Journey] = {}
    named: dict[str, Journey] = {}
    warnings: list[str] = []
    for file in files:
        loaded = load_checked(file.read_text(encoding="utf-8"), file.name, templates=names)
        problems += map(str, loaded.errors)
        warnings += [str(problem) for problem in loaded.problems if problem not in loaded.errors]
        journey = loaded.journey
        if journey is None:
            continue
        problems += map(str, unavailable(journey, document=loaded.document))
        if journey.journey == BULK_WORKFLOW:
            problems.append(
                f"{file.name}: a journey cannot be called '{BULK_WORKFLOW}': that is a workflow of ours"
            )
        if journey.journey in found:
            problems.append(f"{file.name}: journey '{journey.journey}' is in another file too: keep one")
        if len(journey.canonical_json()) > MAX_JOURNEY_BYTES:
            problems.append(f"{file.name}: the journey is larger than {MAX_JOURNEY_BYTES // 1000} kB")
        found[journey.journey] = journey
        named[file.name] = journey
    problems += map(str, check_templates(templates, named))
    if problems:
        raise PublishRefused(problems)
    return _Checked(found, warnings)


class Shelf:
    """The published journeys, ready for use. A version never changes, so each is read from the store once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], str] = {}

    async def current(self, db: Reading) -> dict[str, published.Published]:
        """The current version of every segment."""
        found = {one.segment: one for one in await published.segments(db)}
        for one in found.values():
            self.keep(one)
        return found

    def keep(self, version: published.Published) -> None:
        """Remember a version that was read."""
        self._known[version.segment, version.version] = version.journey

    def known(self, segment: str, version: int) -> str | None:
        """A version as canonical JSON, if it was read before."""
        return self._known.get((segment, version))

    async def canonical(self, db: Reading, segment: str, version: int) -> str | None:
        """A version as canonical JSON; None if it was never published."""
        known = self._known.get((segment, version))
        if known is None:
            found = await published.get(db, segment, version)
            if found is None:
                return None
            known = self._known[segment, version] = found.journey
        return known

    async def route(self, db: Reading, segment: str, version: int) -> Route | None:
        """A version's route; None if it was never published."""
        canonical = await self.canonical(db, segment, version)
        return None if canonical is None else route_of(canonical)


def routes(current: Mapping[str, published.Published]) -> dict[str, Route]:
    """The routes of published journeys, by segment."""
    return {segment: route_of(one.journey) for segment, one in current.items()}
