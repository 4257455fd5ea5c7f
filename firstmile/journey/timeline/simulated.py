"""A finished simulation with what it was about, and the messages that reached the customer in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import Engine
from firstmile.journey.inputs import Effect, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry
from firstmile.journey.model import Journey, Step
from firstmile.journey.simulator import Simulation


@dataclass(frozen=True, slots=True)
class Message:
    """One message that reached the customer."""

    at: Instant
    step: Step
    reminder: bool


@dataclass(frozen=True)
class Simulated:
    """What was simulated, and what came of it; `until` is where it was to stop."""

    journey: Journey
    subject: Subject
    calendar: Calendar
    simulation: Simulation
    until: Instant | None = None

    @property
    def engine(self) -> Engine:
        """The engine as it stands at the end."""
        return self.simulation.engine

    @property
    def entries(self) -> list[Entry]:
        """The journal in the order people see it."""
        return self.simulation.entries

    @property
    def enrolled_at(self) -> Instant:
        """The enrolment."""
        return self.engine.state.enrolled_at

    @cached_property
    def effects(self) -> dict[int, Effect]:
        """The effects, by the number of the entry that says what became of them."""
        return {effect.number: effect for effect in self.simulation.effects}

    @cached_property
    def messages(self) -> list[Message]:
        """What reached the customer, in order."""
        return list(self._messages())

    def _messages(self) -> Iterator[Message]:
        for entry in self.entries:
            effect = self.effects.get(entry.number)
            if effect is not None and self.is_message(entry):
                yield Message(effect.at, self.journey.by_id[effect.step], effect.purpose == "remind")

    def is_message(self, entry: Entry) -> bool:
        """Whether an entry says that the customer received something."""
        effect = self.effects.get(entry.number)
        if effect is None or effect.purpose not in ("run", "remind", "occur"):
            return False
        if self.journey.by_id[effect.step].message_class is None:
            return False
        # A reminder or a later check-in that was not sent is noted with the reason.
        return entry.change in ("done", "open") or (entry.change == "occurred" and entry.reason is None)

    def day(self, at: Instant) -> int:
        """Local days since enrolment."""
        return self.calendar.day(at) - self.calendar.day(self.enrolled_at)


__all__ = ["Message", "Simulated"]
