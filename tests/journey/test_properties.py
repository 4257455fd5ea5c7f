"""The invariants of JOURNEYS §5, over journeys and inputs that are made up.

What must never happen is checked by `driving` at every step of every run here; these tests say in which ways
the engine is driven, and what must come out the same.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstmile.journey.durations import HOUR, MINUTE, SECOND, Duration
from firstmile.journey.inputs import Event
from firstmile.journey.instants import Instant
from firstmile.journey.simulator import ScriptLine, simulate
from firstmile.journey.state import dump, load
from tests.journey import generated
from tests.journey.driving import HORIZON, Drive
from tests.journey.generated import Case

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("FIRSTMILE_EXAMPLES", "120"))
"""How many journeys each property is tried on; a long run by hand sets more."""
DELAYS = (0, 0, SECOND, 20 * MINUTE, 3 * HOUR, 40 * HOUR, 300 * HOUR)

many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
cases = st.randoms(use_true_random=False, note_method_calls=False).map(generated.case)
calm = st.randoms(use_true_random=False, note_method_calls=False).map(
    lambda chance: generated.case(chance, stops=False, pauses=False)
)


def same(one: Drive, other: Drive) -> None:
    assert other.entries == one.entries
    assert other.effects == one.effects
    assert other.rejected == one.rejected
    assert dump(other.engine.state) == dump(one.engine.state)


# ---- what must never happen ------------------------------------------------------------------------------


@many
@given(cases)
def test_what_must_never_happen_does_not(case: Case) -> None:
    Drive(case).run()


@many
@given(cases, st.lists(st.sampled_from(DELAYS), min_size=1, max_size=12))
def test_what_must_never_happen_does_not_when_wake_ups_come_late(case: Case, delays: list[int]) -> None:
    times = iter(delays * 1_000)

    Drive(case, late=lambda: next(times)).run()


# ---- what must be the same -------------------------------------------------------------------------------


@many
@given(cases)
def test_superfluous_wake_ups_change_nothing(case: Case) -> None:
    same(Drive(case).run(), Drive(case, superfluous=True).run())


@many
@given(cases)
def test_serialising_and_restoring_the_state_anywhere_changes_nothing(case: Case) -> None:
    same(Drive(case).run(), Drive(case, forgetful=True).run())


@many
@given(cases)
def test_an_input_delivered_twice_changes_nothing_the_second_time(case: Case) -> None:
    same(Drive(case).run(), Drive(case, twice=True).run())


@many
@given(cases, st.data())
def test_an_event_delivered_again_much_later_changes_nothing(case: Case, data: st.DataObject) -> None:
    events = [line for line in case.script if isinstance(line.input, Event)]
    again = [
        replace(line, at=line.at + data.draw(st.integers(0, 30 * 24)) * HOUR)
        for line in events
        if data.draw(st.booleans())
    ]
    plain, repeated = Drive(case).run(), Drive(replace(case, script=case.script + again)).run()

    known = [
        entry for entry in repeated.entries if not (entry.reason or "").startswith("an answer came after")
    ]
    assert [e for e in plain.entries if not (e.reason or "").startswith("an answer came after")] == known


@many
@given(cases)
def test_the_simulator_and_another_shell_write_the_same_journal(case: Case) -> None:
    simulated = simulate(
        case.route(), case.calendar(), case.customer(), case.at, case.script, until=case.at + HORIZON
    )
    driven = Drive(case).run()

    assert simulated.entries == driven.journal
    assert simulated.effects == driven.effects
    assert [reason for _, reason in simulated.rejected] == driven.rejected


@many
@given(cases)
def test_a_copy_goes_on_like_what_it_was_taken_from(case: Case) -> None:
    driven = Drive(case).run()
    state = driven.engine.state

    assert state.copy() == state
    assert load(dump(state)) == state


# ---- time ------------------------------------------------------------------------------------------------


@many
@given(calm, st.lists(st.sampled_from(DELAYS), min_size=1, max_size=12))
def test_deadlines_and_ends_take_their_nominal_instants_however_late_the_wake_up(
    case: Case, delays: list[int]
) -> None:
    times = iter(delays * 1_000)
    driven = Drive(case, late=lambda: next(times)).run()

    opened: dict[str, Instant] = {}
    for entry in driven.journal:
        if entry.change == "open" and entry.step is not None:
            opened[entry.step] = entry.at
        if entry.reason == "the deadline passed":
            assert entry.step is not None
            within = driven.route.journey.by_id[entry.step].within
            if isinstance(within, Duration):
                assert entry.at == driven.calendar.add(opened[entry.step], within)
        if entry.change == "completed" and entry.reason == "ended" and driven.route.journey.ends is not None:
            # Nothing is in flight for long where every effect succeeds at once.
            pending = any(getattr(line.input, "outcome", None) == "pending" for line in case.script)
            assert pending or entry.at == driven.engine.state.ends


@many
@given(cases)
def test_the_journal_is_written_in_time(case: Case) -> None:
    driven = Drive(case).run()

    assert driven.journal == sorted(driven.journal, key=lambda entry: entry.at)
    assert all(entry.at >= case.at for entry in driven.entries)
    assert all(entry.due is None or entry.due >= case.at for entry in driven.entries)
    # A due time is never told when it is past, except that of what was asked to run at once.
    for entry in driven.entries:
        if entry.change == "scheduled":
            assert entry.due is not None
            assert entry.due >= entry.at


# ---- events in any order ---------------------------------------------------------------------------------


def reached(driven: Drive) -> dict[str, bool]:
    """The milestones of events that were not skipped, and whether they are reached."""
    return {
        stop.id: driven.engine.state.steps[stop.id].reached_at is not None
        for stop in driven.route.stops
        if stop.milestone is not None
        and stop.milestone.event is not None
        and driven.engine.state.steps[stop.id].phase != "skipped"
    }


@many
@given(calm, st.permutations(range(6)), st.integers(1, 10 * 24))
def test_events_that_arrive_at_one_instant_may_do_so_in_any_order(
    case: Case, order: list[int], hours: int
) -> None:
    for step in case.journey["steps"]:
        step.pop("until", None)
    # A journey whose last step an event settles is over for the next: here it goes on.
    case.journey["steps"].append({"id": "still-open", "task": {"title": "T"}})
    at = case.at + hours * HOUR
    events = [
        Event(name, f"at once {number}", at - number * HOUR, {"n": number})
        for number, name in enumerate(["e", "f", "g", "e", "f", "e"])
    ]

    def arriving(places: Any) -> Drive:
        script = [ScriptLine(at, 100 + n, events[place]) for n, place in enumerate(places)]
        others = [line for line in case.script if not isinstance(line.input, Event)]
        return Drive(replace(case, script=others + script)).run()

    there, elsewhere = reached(arriving(range(6))), reached(arriving(order))
    assert {m: there[m] for m in there.keys() & elsewhere.keys()} == {
        m: elsewhere[m] for m in there.keys() & elsewhere.keys()
    }


# ---- nothing of the machine ------------------------------------------------------------------------------


ELSEWHERE = """
import pickle, sys, zoneinfo
from hashlib import sha256
from firstmile.journey.calendar import Calendar
from firstmile.journey.route import route_of
from firstmile.journey.simulator import simulate
from firstmile.journey.state import dump
for name in ("tzdata", "holidays", "firstmile.journey.slices"):
    assert name not in sys.modules, name
    sys.modules[name] = None  # whoever imports it fails
zoneinfo.ZoneInfo = None
for canonical, piece, subject, at, script, until in pickle.load(sys.stdin.buffer):
    done = simulate(route_of(canonical), Calendar(piece), subject, at, script, until)
    print(sha256(repr((done.entries, done.effects, dump(done.engine.state))).encode()).hexdigest())
"""
"""Simulates what it is given on a machine that has no zone and no holiday data."""


def test_nothing_depends_on_the_hash_seed_nor_on_the_zone_and_holiday_data_of_the_machine() -> None:
    made = [generated.case(Random(seed)) for seed in range(40)]
    given = [
        (m.route().journey.canonical_json(), m.calendar().slice, m.customer(), m.at, m.script, m.at + HORIZON)
        for m in made
    ]
    here = []
    for m in made:
        done = simulate(m.route(), m.calendar(), m.customer(), m.at, m.script, m.at + HORIZON)
        told = repr((done.entries, done.effects, dump(done.engine.state)))
        here.append(hashlib.sha256(told.encode()).hexdigest())

    for seed in ("0", "1", "12345"):
        there = subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            input=pickle.dumps(given),
            capture_output=True,
            check=False,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"},
        )
        assert there.stderr.decode() == ""
        assert there.stdout.decode().split() == here
