"""What a start by a bare Temporal client left out: looked up where a sign-up would have put it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import signatures
from activities.tools import Tools
from firstmile.contracts import Start
from firstmile.journey.commands import trait_problems
from firstmile.journey.inputs import Subject
from firstmile.journey.route import Route, route_of
from firstmile.journey.slices import PlaceError
from firstmile.signup import FASTEST
from firstmile.starting import start_of
from firstmile.store import profiles, published
from firstmile.store.profiles import Profile


class PrepareStart:
    """The activity behind a start that carries a subject's id, perhaps traits, and no more."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @activity.defn(name=signatures.PREPARE)
    async def prepare_start(self, start: Start) -> Start:
        """Complete a start: the published journey, what the profile knows, and the calendar slice.

        What no try can mend (nothing is published, a trait is missing) ends the workflow with its reason.
        """
        async with self._tools.database.reading() as tx:
            current = await published.current(tx, start.segment)
            profile = await profiles.get(tx, start.subject.id)
        if current is None:
            raise _refused(f"no journey '{start.segment}' is published")
        if not 0 < start.speed <= FASTEST:
            raise _refused(f"the speed must be more than 0 and at most {FASTEST:g}")
        route = route_of(current.journey)
        subject = _known_as(start.subject, profile, route)
        problems = trait_problems(route, subject.traits)
        if problems:
            raise _refused("; ".join(problems))
        try:
            return await asyncio.to_thread(start_of, current.journey, subject, start.enrolled_at, start.speed)
        except PlaceError as error:
            raise _refused(str(error)) from None


def _known_as(subject: Subject, profile: Profile | None, route: Route) -> Subject:
    """The subject as a sign-up would have put it: what the profile knows comes first, defaults last.

    A start that names no zone says UTC, which is then the journey's to replace. A subdivision means something
    in its own country only.
    """
    named = subject.timezone if subject.timezone != "UTC" else None
    known = profile or Profile(subject.id)
    place = known if known.country else subject
    return replace(
        subject,
        timezone=known.timezone or named or route.journey.defaults.timezone or "UTC",
        country=place.country,
        subdivision=place.subdivision,
        locale=known.locale or subject.locale,
        traits={name: value for name, value in subject.traits.items() if value is not None},
    )


def _refused(reason: str) -> ApplicationError:
    return ApplicationError(reason, type="BadStart", non_retryable=True)
