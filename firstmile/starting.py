"""What a customer's workflow is started with, from a published journey and what is known of the customer."""

from __future__ import annotations

from firstmile.contracts import Start
from firstmile.journey.inputs import Subject
from firstmile.journey.instants import Instant
from firstmile.journey.route import route_of
from firstmile.journey.script import Script, reach
from firstmile.journey.slices import cut


def start_of(canonical: str, subject: Subject, enrolled_at: Instant, speed: float = 1.0) -> Start:
    """Everything that the engine will read (DESIGN §2.2): the journey, and the calendar that it may need.

    `canonical` is the published journey. Raises `slices.PlaceError` for a zone or country that is not known.
    """
    journey = route_of(canonical).journey
    end = reach(journey, subject, Script(), enrolled_at)
    return Start(
        subject=subject,
        segment=journey.journey,
        journey=canonical,
        calendar=cut(subject.timezone, enrolled_at, end, subject.country, subject.subdivision),
        enrolled_at=enrolled_at,
        speed=speed,
    )
