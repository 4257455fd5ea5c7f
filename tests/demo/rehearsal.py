"""A sample customer's story played through the engine alone: no Temporal, no clock, any start date."""

from __future__ import annotations

from functools import cache
from random import Random

from firstmile import paths
from firstmile.demo.customers import Customer
from firstmile.demo.story import Due, Note, OptsOut, Orders, Rates, Replies, Seen, Story, Uses, dated
from firstmile.journey import commands
from firstmile.journey.calendar import Calendar, CalendarSlice
from firstmile.journey.durations import DAY
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.inputs import Command, CommandRejected, Effect, Event, Outcome, Subject
from firstmile.journey.instants import Instant, to_datetime
from firstmile.journey.journal import Entry
from firstmile.journey.loader import load
from firstmile.journey.route import Route, route_of
from firstmile.journey.slices import cut
from firstmile.store.tasks import HELP

FACING = ("email", "training", "survey", "checkin")


@cache
def route(segment: str) -> Route:
    """The shipped journey of a segment."""
    file = paths.journeys() / f"{segment}.yaml"
    journey = load(file.read_text(encoding="utf-8"), file.name).journey
    assert journey is not None
    return route_of(journey.canonical_json())


@cache
def _slice(timezone: str, country: str, year: int) -> CalendarSlice:
    # One slice for all the starts of a year: cutting one takes longer than playing a story.
    start = (year - 1970) * 365 * DAY
    return cut(timezone, start, start + 2 * 365 * DAY, country)


class Rehearsal:
    """One story, from one start. Whoever looks, looks every now and then, as the demo's actors do."""

    def __init__(self, customer: Customer, at: Instant, chance: Random) -> None:
        self.customer, self.at, self.chance = customer, at, chance
        calendar = Calendar(_slice(customer.timezone, customer.country, to_datetime(at).year))
        traits = dated(customer.traits, to_datetime(at).date())
        subject = Subject(customer.id, customer.timezone, customer.country, traits=traits)
        self.engine: Engine = enrol(route(customer.segment), calendar, subject, at)
        self.story = Story(customer.scenes, customer.work)
        self.seen = Seen()
        self.sent: list[Note] = []
        self.rejected: list[str] = []
        self._helped: set[str] = set()
        self._outage, self._opted_out, self._events = customer.outage, False, 0

    def play(self, until: Instant | None = None) -> Rehearsal:
        """To the end of the journey, or to an instant."""
        now = self.at
        self._settle(now)
        while not self.engine.finished and (until is None or now < until):
            now += int(self.chance.uniform(0.05, 0.3) * DAY)
            self._until(now)
            self._look(now)
            for due in self.story.due(self.seen, (now - self.at) / DAY):
                self._do(due, now)
                self.story.done(due)
                self._settle(now)
        return self

    @property
    def entries(self) -> list[Entry]:
        """The journal."""
        return self.engine.entries

    def outcome(self, step: str) -> str:
        """How a step ended: `undone` where it was undone."""
        undone = any(entry.step == step and entry.change == "undone" for entry in self.entries)
        return "undone" if undone else self.engine.state.steps[step].phase

    @property
    def days(self) -> float:
        """How long the journey took."""
        return (self.entries[-1].at - self.at) / DAY

    def _until(self, now: Instant) -> None:
        while (wake := self.engine.wake()) is not None and wake <= now:
            self._settle(wake)

    def _settle(self, now: Instant) -> None:
        self.engine.advance(now)
        while self.engine.effects:
            effects, self.engine.effects = self.engine.effects, []
            for effect in effects:
                self.engine.outcome(self._carry_out(effect, now), now)
            self.engine.advance(now)

    def _carry_out(self, effect: Effect, now: Instant) -> Outcome:
        facing = effect.kind in FACING and effect.purpose in ("run", "remind", "occur")
        by_call = effect.params.get("by") == "call"
        if facing and not by_call:
            if self._opted_out and effect.params.get("class") != "transactional":
                return Outcome(effect.id, "skipped", now, "unsubscribed")
            note = Note(effect.step, effect.purpose, effect.occurrence)
            self.sent.append(note)
            self.seen.messages[note] = (now - self.at) / DAY
        if effect.purpose == "help":
            self._helped.add(f"{effect.step}{HELP}")
        if effect.kind == "provision" and effect.purpose == "run" and self._outage:
            self._outage -= 1
            return Outcome(effect.id, "failed", now, "HTTP 422")
        result = {"owner": "ann"} if effect.kind == "assign" else None
        return Outcome(effect.id, "done", now, result=result)

    def _look(self, now: Instant) -> None:
        day = (now - self.at) / DAY
        steps = self.engine.view().steps
        by_hand = {
            stop.id
            for stop in self.engine.route.stops
            if stop.kind == "task" or (stop.checkin is not None and stop.checkin.by == "call")
        }
        for kept, wanted in (
            (self.seen.tasks, self._helped | {step for step in by_hand if steps[step][0] == "open"}),
            (self.seen.failed, {step for step, (phase, _) in steps.items() if phase == "failed"}),
        ):
            for step in kept.keys() - wanted:
                del kept[step]
            for step in wanted - kept.keys():
                kept[step] = day
        self.seen.over = self.engine.finished

    def _do(self, due: Due, now: Instant) -> None:
        match due.act:
            case Uses(event, times, properties):
                for _ in range(times):
                    self._event(event, dict(properties), now)
            case Rates(step, score):
                self._event("survey.responded", {"step": step, "score": score}, now)
            case Replies(step, answer):
                self._event("checkin.answered", {"step": step, "answer": answer}, now)
            case OptsOut():
                self._opted_out = True
            case Orders() as order:
                self._order(order, now)

    def _event(self, name: str, properties: dict[str, object], now: Instant) -> None:
        self._events += 1
        self.engine.event(Event(name, f"e{self._events}", None, properties), now)

    def _order(self, order: Orders, now: Instant) -> None:
        if order.command == "complete" and (order.step or "") in self._helped:
            self._helped.discard(order.step or "")
            return
        traits = dated(order.traits, to_datetime(self.at).date()) or None
        try:
            command = Command(
                order.command,  # type: ignore[arg-type]  # `apply` refuses an unknown one
                actor="ann", reason=order.reason, step=order.step, traits=traits, **order.options,
            )  # fmt: skip
            commands.apply(self.engine, command, now)
        except CommandRejected as rejected:
            self.rejected.append(f"{order.command} {order.step}: {rejected}")
