"""Bookings: the sequence rises with what a calendar shows, and a stale change is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstmile.store import bookings
from firstmile.store.bookings import Booking, State
from firstmile.store.database import Database

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TUESDAY, NEXT = datetime(2026, 3, 10, 14, tzinfo=UTC), datetime(2026, 3, 17, 14, tzinfo=UTC)
OFFERED = Booking("c-1", 1, "training", "team-101", TUESDAY, "offered", NOW)


@pytest.mark.parametrize(
    ("state", "starts", "sequence"),
    [
        ("offered", TUESDAY, 0),
        # To say yes to the date is no new date.
        ("booked", TUESDAY, 0),
        ("booked", NEXT, 1),
        ("offered", NEXT, 1),
        ("cancelled", TUESDAY, 1),
    ],
)
def test_the_sequence_rises_with_what_a_calendar_shows(state: State, starts: datetime, sequence: int) -> None:
    assert OFFERED.becomes(state, LATER, starts=starts).sequence == sequence


def test_to_be_invited_again_is_a_change_and_to_cancel_twice_is_none() -> None:
    cancelled = OFFERED.becomes("cancelled", LATER)

    assert cancelled.becomes("cancelled", LATER + timedelta(days=1)) is cancelled
    assert cancelled.becomes("offered", LATER).sequence == 2
    assert OFFERED.becomes("offered", LATER, session="other").sequence == 1


def test_the_same_instant_in_another_zone_is_no_change() -> None:
    berlin = datetime.fromisoformat("2026-03-10T15:00:00+01:00")

    assert OFFERED.becomes("offered", LATER, starts=berlin) is OFFERED


changes = st.tuples(
    st.sampled_from(["offered", "booked", "cancelled"]), st.sampled_from([TUESDAY, NEXT, LATER])
)


@given(st.lists(changes, max_size=30))
def test_whatever_is_changed_the_sequence_rises_with_every_change_and_never_otherwise(
    steps: list[tuple[State, datetime]],
) -> None:
    booking, given_out = OFFERED, {OFFERED.sequence: (OFFERED.starts, False)}

    for minute, (state, starts) in enumerate(steps, 1):
        before, booking = booking, booking.becomes(state, NOW + timedelta(minutes=minute), starts=starts)
        shown = (booking.starts, booking.state == "cancelled")
        differs = shown != (before.starts, before.state == "cancelled")
        assert booking.sequence == before.sequence + differs
        # A number stands for one thing for ever.
        assert given_out.setdefault(booking.sequence, shown) == shown


async def test_a_booking_is_kept_and_found(db: Database) -> None:
    async with db.writing() as tx:
        assert await bookings.keep(tx, None, OFFERED)

    async with db.reading() as reading:
        assert await bookings.get(reading, "c-1", 1, "training") == OFFERED
        assert await bookings.get(reading, "c-1", 2, "training") is None


async def test_a_change_is_written_only_over_what_was_looked_at(db: Database) -> None:
    booked = OFFERED.becomes("booked", LATER)
    async with db.writing() as tx:
        await bookings.keep(tx, None, OFFERED)
        assert await bookings.keep(tx, OFFERED, booked)

        assert not await bookings.keep(tx, OFFERED, OFFERED.becomes("cancelled", LATER))
        assert not await bookings.keep(tx, None, OFFERED)
        assert await bookings.get(tx, "c-1", 1, "training") == booked


async def test_no_change_holds_only_while_nobody_else_changed_it(db: Database) -> None:
    async with db.writing() as tx:
        await bookings.keep(tx, None, OFFERED)
        assert await bookings.keep(tx, OFFERED, OFFERED)
        await bookings.keep(tx, OFFERED, OFFERED.becomes("cancelled", LATER))
        assert not await bookings.keep(tx, OFFERED, OFFERED)
