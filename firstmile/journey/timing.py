"""When a step is due: waits, moments, windows, spread, cap, deadlines and reminders of one customer.

The calendar knows what a working day or an opening is; this module knows which of its rules a step asks for.
It reads the state and changes nothing.
"""

from __future__ import annotations

import re
from datetime import date

from firstmile.journey.calendar import Calendar
from firstmile.journey.durations import SECOND, Duration, Moment, Span
from firstmile.journey.experiments import fraction
from firstmile.journey.instants import Instant, parse_instant
from firstmile.journey.model import Window
from firstmile.journey.route import Route, Stop
from firstmile.journey.state import State, StepState

_PLAIN_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_DAY = date(1970, 1, 1)


class DateTrait:
    """The value of a `date` trait: an instant, or a plain date, which is that local day."""

    __slots__ = ("is_day", "value")

    def __init__(self, value: int, is_day: bool) -> None:
        self.value = value
        self.is_day = is_day

    @classmethod
    def of(cls, value: object) -> DateTrait | None:
        """Read `2026-03-17` or `2026-03-17T09:00:00Z`; None for anything else."""
        if not isinstance(value, str):
            return None
        try:
            if _PLAIN_DATE.fullmatch(value):
                return cls((date.fromisoformat(value) - _FIRST_DAY).days, is_day=True)
            return cls(parse_instant(value), is_day=False)
        except ValueError:
            return None


def nth(stop: Stop, number: int) -> int:
    """Which of a step's messages an occurrence or a reminder is; the first goes out when the step runs."""
    return number if stop.checkin is not None else number + 1


class Timing:
    """The times of one customer's steps."""

    __slots__ = ("calendar", "route", "state")

    def __init__(self, route: Route, calendar: Calendar, state: State) -> None:
        self.route = route
        self.calendar = calendar
        self.state = state

    # Moments

    def moment(self, moment: Moment) -> tuple[Instant, Instant] | None:
        """(when it begins, when it is over) of a moment; None while its trait is absent.

        An instant is over when it comes. A plain date moved by whole days is a local day (JOURNEYS §7.2).
        """
        trait = DateTrait.of(self.state.traits.get(moment.trait))
        if trait is None:
            return None
        calendar, duration = self.calendar, moment.duration
        if trait.is_day and duration.only_whole_days:
            day = calendar.add_days(trait.value, duration, back=moment.before)
            return calendar.start_of_day(day), calendar.start_of_day(day + 1)
        anchor = calendar.start_of_day(trait.value) if trait.is_day else trait.value
        instant = calendar.add(anchor, duration, back=moment.before)
        return instant, instant

    def deadline(self, span: Span | None, since: Instant, now: Instant | None = None) -> Instant | None:
        """When a span counted from `since` has passed, or a moment is over: if it is over already, `now`."""
        if span is None:
            return None
        if isinstance(span, Moment):
            found = self.moment(span)
            return None if found is None else found[1] if now is None else max(found[1], now)
        return self.calendar.add(since, span)

    # Due times

    def base(self, stop: Stop, ready: Instant, now: Instant) -> tuple[Instant | None, bool]:
        """(due time before windowing, whether it is too late); the time is None while a trait is absent."""
        wait = stop.wait
        if wait is None:
            return ready, False
        if isinstance(wait, Duration):
            return self.calendar.add(ready, wait), False
        found = self.moment(wait)
        if found is None:
            return None, False
        begins, over = found
        past = over < now or (over == now and begins < over)
        if past and stop.step.customer_facing:
            return begins, True
        return max(begins, now), False

    def place(self, stop: Stop, base: Instant, now: Instant) -> Instant | None:
        """A due time moved into the step's window (rule 4), spread (rule 5); None when it is too late."""
        window, calendar = stop.window, self.calendar
        if window is None or calendar.is_open(window, base):
            return base
        wait = stop.wait
        if isinstance(wait, Moment) and wait.before:
            return self._place_before(stop, window, wait, base, now)
        duration = wait.duration if isinstance(wait, Moment) else wait
        opening = None
        if duration is not None and duration.only_business_days:
            opening = calendar.opening_on(window, calendar.day(base))
            if opening is not None and opening < now:
                return self.reopen(stop, now, 1)
        if opening is None:
            opening = calendar.next_opening(window, base)
        return None if opening is None else self.spread(stop, window, opening, 1)

    def _place_before(
        self, stop: Stop, window: Window, wait: Moment, base: Instant, now: Instant
    ) -> Instant | None:
        """`before` moves to the previous opening that is not past (JOURNEYS §2, §7.1)."""
        calendar = self.calendar
        opening = calendar.previous_opening(window, base, since=now)
        if opening is not None:
            return self.spread(stop, window, opening, 1)
        if calendar.is_open(window, now):
            return now
        found = self.moment(wait)
        opening = calendar.next_opening(window, now)
        if opening is None or found is None or opening >= found[1]:
            return None
        due = self.spread(stop, window, opening, 1)
        return due if due < found[1] else opening

    def spread(self, stop: Stop, window: Window, opening: Instant, occurrence: int) -> Instant:
        """An opening delayed by a pure function of subject, step and occurrence, inside the window (rule 5)."""
        if stop.spread <= SECOND:
            return opening
        room = min(stop.spread, self.calendar.closing(window, opening) - opening) // SECOND
        share = fraction("spread", self.state.subject, stop.id, occurrence)
        return opening + (share * room >> 64) * SECOND

    def reopen(self, stop: Stop, instant: Instant, occurrence: int) -> Instant | None:
        """The first instant at or after `instant` inside the step's window, spread if it is an opening."""
        window = stop.window
        if window is None or self.calendar.is_open(window, instant):
            return instant
        opening = self.calendar.next_opening(window, instant)
        return None if opening is None else self.spread(stop, window, opening, occurrence)

    # Cap (rule 6)

    def under_cap(self, stop: Stop, now: Instant, occurrence: int) -> Instant | None:
        """The first instant from `now` on that respects the cap and the step's window."""
        return self.reopen(stop, self.free_from(now), occurrence)

    def free_from(self, now: Instant) -> Instant:
        """The first instant at or after `now` at which one more message respects the cap."""
        cap = self.route.journey.defaults.cap
        if cap is None:
            return now
        expiries = sorted(self.calendar.add(started, cap.per) for started, _ in self.counting(now))
        surplus = len(expiries) - cap.messages
        return now if surplus < 0 else expiries[surplus]

    def counting(self, now: Instant) -> list[tuple[Instant, str]]:
        """The messages that count under the cap at `now`: one exactly `per` ago no longer does."""
        cap = self.route.journey.defaults.cap
        if cap is None:
            return []
        return [sent for sent in self.state.sent if self.calendar.add(sent[0], cap.per) > now]

    # While open

    def occurrence_base(self, stop: Stop, record: StepState, number: int) -> Instant:
        """The time, before windowing, of occurrence `number` of a check-in, or of reminder `number`."""
        if stop.checkin is not None:
            every = stop.checkin.every
            first = record.first if record.first is not None else record.base or 0
            if every is None or number <= 1:
                return first
            return self.calendar.add(first, every.times(number - 1)) + record.shift
        remind, opened = stop.remind, record.opened
        if remind is None or opened is None:
            raise ValueError(f"step '{stop.id}' has no reminders")
        return self.calendar.add(opened, remind.times(number)) + record.shift

    def next_after(
        self, stop: Stop, record: StepState, number: int, now: Instant
    ) -> tuple[int, Instant] | None:
        """The next reminder or occurrence from `number` on, (number, due); None when there is no more.

        A check-in happens `times` times, however late. A reminder whose time passed while the one before it
        was still waiting is not made up for: nobody is reminded twice in a row because of a weekend.
        """
        if stop.checkin is not None:
            if number > stop.checkin.times:
                return None
        elif stop.remind is None:
            return None
        else:
            while self.occurrence_base(stop, record, number) < now:
                number += 1
        due = self.placed(stop, record, max(self.occurrence_base(stop, record, number), now), number)
        return None if due is None else (number, due)

    def placed(self, stop: Stop, record: StepState, base: Instant, number: int) -> Instant | None:
        """A reminder or occurrence moved into the window; None when that is not before the deadline."""
        due = self.reopen(stop, base, nth(stop, number))
        if due is None or (record.deadline is not None and due >= record.deadline):
            return None
        return due
