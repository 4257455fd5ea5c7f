"""Records ride: the outbox of journal entries that the store has not acknowledged (DESIGN §2.4).

Every effect carries the whole outbox and the view of the customer, as it is and as it will be if the effect
succeeds. Entries leave the outbox only when a carrier returns; a carrier that fails leaves everything as it
was, and the next one carries it again. Writing is idempotent by number, so twice is once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firstmile.contracts import Clock, EffectOutcome, Records
from firstmile.journey.durations import MINUTE
from firstmile.journey.engine import Engine
from firstmile.journey.inputs import Effect, Outcome
from firstmile.journey.instants import Instant
from firstmile.journey.journal import Entry, View

_SAME = MINUTE
"""Views whose instants differ by less (in real time) say the same: an outcome takes a moment to come back."""


@dataclass(slots=True, frozen=True)
class Carrier:
    """What one effect, or a flush, carries to the store. `step` is the effect's."""

    records: Records
    step: str | None = None


class Outbox:
    """Entries not yet acknowledged, and the newest view that the store is known to have."""

    def __init__(
        self, entries: list[Entry] | None = None, acknowledged: View | None = None, view_number: int = 0
    ) -> None:
        self.entries: list[Entry] = list(entries or [])
        self.acknowledged = acknowledged
        self.view_number = view_number
        self._written: dict[int, Entry] = {}
        self._forgotten = 0

    @property
    def is_empty(self) -> bool:
        """Whether the store has every entry."""
        return not self.entries

    def add(self, entries: list[Entry]) -> None:
        """New entries of the engine, less those that the activity wrote with its effect."""
        for entry in entries:
            written = self._written.pop(entry.number, None)
            if written != entry:
                self.entries.append(entry)

    def load(self, engine: Engine, effect: Effect, view: View) -> Carrier:
        """What `effect` carries: called for each effect of a turn, after the turn's entries were added."""
        success, success_view = _foretell(engine, effect)
        self.view_number += 2
        return Carrier(
            replace(
                self._records(engine, replace(view, number=self.view_number - 1)),
                success=success,
                success_view=replace(success_view, number=self.view_number),
            ),
            effect.step,
        )

    def load_alone(self, engine: Engine, view: View) -> Carrier:
        """What a flush carries."""
        self.view_number += 1
        return Carrier(self._records(engine, replace(view, number=self.view_number)))

    def delivered(self, carrier: Carrier, outcome: EffectOutcome | None) -> None:
        """A carrier returned: what it carried is in the store."""
        records = carrier.records
        carried = {entry.number for entry in records.entries}
        self.entries = [entry for entry in self.entries if entry.number not in carried]
        view = records.view
        if outcome is not None and outcome.outcome == "done" and records.success is not None:
            written = replace(records.success, at=outcome.at)
            self._written[written.number] = written
            view = records.success_view
            owner = (outcome.result or {}).get("owner") if written.kind == "assign" else None
            if view is not None and owner is not None and carrier.step:
                view = replace(view, owners={**view.owners, carrier.step: str(owner)})
        known = self._forgotten if self.acknowledged is None else self.acknowledged.number
        if view is not None and view.number > known:
            self.acknowledged = view

    def forget(self, newest: int) -> None:
        """The store does not say what it was told, or has a view of number `newest` from who knows where: tell
        it again, under a higher number. What is on its way there already does not count."""
        self.view_number = self._forgotten = max(self.view_number, newest)
        self.acknowledged = None

    def refused(self, carrier: Carrier) -> None:
        """The store will never take what a flush carried: the view counts as told, the entries stay."""
        if self.acknowledged is None or carrier.records.view is not None:
            self.acknowledged = carrier.records.view

    def is_stale(self, view: View, clock: Clock) -> bool:
        """Whether the store's view says something else than `view`."""
        known = self.acknowledged
        if known is None:
            return True
        slack = int(_SAME * max(clock.speed, 1.0))
        return not (
            known.status == view.status
            and known.stage == view.stage
            and known.owners == view.owners
            and _near(known.next, view.next, slack)
            and _near(known.ends, view.ends, slack)
            and _near(known.paused_until, view.paused_until, slack)
            and _near(known.onboarded_at, view.onboarded_at, slack)
            and known.steps.keys() == view.steps.keys()
            and all(
                known.steps[step][0] == phase and _near(known.steps[step][1], at, slack)
                for step, (phase, at) in view.steps.items()
            )
        )

    def _records(self, engine: Engine, view: View) -> Records:
        journey, state = engine.route.journey, engine.state
        return Records(
            subject=state.subject,
            enrolment=state.enrolment,
            segment=journey.journey,
            version=journey.version,
            entries=list(self.entries),
            view=view,
        )


def _foretell(engine: Engine, effect: Effect) -> tuple[Entry, View]:
    """The entry and the view that the success of `effect` will bring, if nothing else happens before it."""
    ahead = Engine(engine.route, engine.calendar, engine.state.copy())
    ahead.outcome(Outcome(effect.id, "done", effect.at), effect.at)
    success = next(entry for entry in ahead.entries if entry.number == effect.number)
    return success, ahead.view()


def _near(one: Instant | None, other: Instant | None, slack: int) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= slack
