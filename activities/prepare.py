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
from firstmile.journey.route import route_of
from firstmile.journey.slices import PlaceError
from firstmile.starting import start_of
from firstmile.store import profiles, published


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
        route = route_of(current.journey)
        subject = start.subject
        if profile is not None:
            subject = replace(
                subject,
                timezone=profile.timezone or route.journey.defaults.timezone or subject.timezone,
                country=profile.country or subject.country,
                subdivision=profile.subdivision or subject.subdivision,
                locale=profile.locale or subject.locale,
            )
        problems = trait_problems(route, subject.traits)
        if problems:
            raise _refused("; ".join(problems))
        try:
            return await asyncio.to_thread(start_of, current.journey, subject, start.enrolled_at, start.speed)
        except PlaceError as error:
            raise _refused(str(error)) from None


def _refused(reason: str) -> ApplicationError:
    return ApplicationError(reason, type="BadStart", non_retryable=True)
