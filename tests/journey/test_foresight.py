"""What a command would do: told before, exactly what then happens, and nothing is changed by asking."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstmile.journey import commands
from firstmile.journey.durations import DAY, HOUR
from firstmile.journey.engine import enrol
from firstmile.journey.foresight import foresee, words
from firstmile.journey.inputs import COMMANDS, NEED_STEP, Command, CommandRejected
from firstmile.journey.state import dump
from tests.journey.generated import seeded


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5_000), st.sampled_from(COMMANDS), st.data())
def test_what_is_foreseen_is_what_happens(seed: int, name: str, data: st.DataObject) -> None:
    case = seeded(seed)
    engine = enrol(case.route(), case.calendar(), case.customer(), case.at)
    now = case.at + data.draw(st.integers(0, 3)) * DAY + HOUR
    engine.advance(now)
    engine.entries, engine.effects = [], []
    step = data.draw(st.sampled_from(sorted(engine.route.index))) if name in NEED_STEP else None
    command = Command(name, step=step, owner="ann", traits={})  # type: ignore[arg-type]  # drawn from the list of them
    before = dump(engine.state)

    found = foresee(engine, command, now)

    assert dump(engine.state) == before
    assert not engine.entries
    if found.rejected is not None:
        with pytest.raises(CommandRejected) as rejected:
            commands.apply(engine, command, now)
        assert found.rejected == str(rejected.value)
        return
    commands.apply(engine, command, now)
    engine.advance(now)
    assert found.entries == engine.entries
    assert [one.step for one in found.starts] == [effect.step for effect in engine.effects]
    assert found.after == engine.view()
    assert words(found, case.calendar(), now)
