"""Operators' commands on a journey: what each asks for, when it is rejected, and what it does (JOURNEYS §3).

`reject` is the whole of the validation, so that a shell can ask before and the engine asks again; `apply`
carries a command out at once. Both take the engine as it stands at the instant of the command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firstmile.journey.durations import Duration, Moment
from firstmile.journey.inputs import NEED_STEP, Command, CommandRejected
from firstmile.journey.instants import Instant
from firstmile.journey.route import Route, Stop
from firstmile.journey.state import SETTLED, StepState
from firstmile.journey.timing import DateTrait

if TYPE_CHECKING:
    from firstmile.journey.engine import Engine


def check(engine: Engine, command: Command, at: Instant) -> None:
    """Raise `CommandRejected`, with the reason, if `command` cannot be carried out at `at`."""
    state = engine.state
    if engine.finished:
        raise CommandRejected(f"the journey is {state.life}: it takes no more commands")
    if state.life != "running":
        raise CommandRejected("the journey is ending: what runs is being waited for")
    if command.command in NEED_STEP:
        if command.step is None:
            raise CommandRejected(f"'{command.command}' needs a step")
        if command.step not in engine.route.index:
            raise CommandRejected(_unknown_step(engine.route, command.step))
    check_one = _CHECKS.get(command.command)
    if check_one is None:
        raise CommandRejected(f"unknown command '{command.command}'")
    check_one(engine, command, at)


def apply(engine: Engine, command: Command, at: Instant) -> None:
    """Carry out a command at `at`. Raises `CommandRejected` and changes nothing if it cannot be."""
    check(engine, command, at)
    engine.begin(at)
    # What was nominally due before may have ended the journey or settled the step.
    check(engine, command, at)
    _APPLY[command.command](engine, command)
    engine.propagate()
    engine.finish()


def _unknown_step(route: Route, step: str) -> str:
    from firstmile.journey.problems import nearest

    hint = nearest(step, list(route.index))
    return f"unknown step '{step}'" + (f": did you mean '{hint}'?" if hint else "")


def _stop(engine: Engine, command: Command) -> tuple[Stop, StepState]:
    stop = engine.route.stops[engine.route.index[command.step or ""]]
    return stop, engine.state.steps[stop.id]


# Pause and resume


def _check_pause(engine: Engine, command: Command, at: Instant) -> None:
    if engine.state.paused_at is not None:
        raise CommandRejected("the journey is paused already")
    if command.until is not None and command.until <= at:
        raise CommandRejected("'until' lies in the past")


def _pause(engine: Engine, command: Command) -> None:
    engine.state.paused_at = engine.at
    engine.state.paused_until = command.until
    engine.note("paused", reason=command.reason, actor=command.actor)


def _check_resume(engine: Engine, command: Command, at: Instant) -> None:
    if engine.state.paused_at is None:
        raise CommandRejected("the journey is not paused")
    if command.overdue not in ("shift", "run", "skip"):
        raise CommandRejected(f"unknown overdue '{command.overdue}': one of shift, run, skip")


def _resume(engine: Engine, command: Command) -> None:
    resume(engine, command.overdue, command.actor, command.reason)


def resume(engine: Engine, overdue: str, actor: str | None, reason: str | None) -> None:
    """End a pause (rule 7). `overdue` decides over due times that lie in it; moments are judged anew."""
    state, at = engine.state, engine.at
    paused = state.paused_at if state.paused_at is not None else at
    state.paused_at = state.paused_until = None
    state.floor = state.clock = at
    engine.note("resumed", reason=reason, actor=actor)
    if overdue == "shift" and state.ends is not None and isinstance(engine.route.journey.ends, Duration):
        state.ends += at - paused
    for stop in engine.route.stops:
        record = state.steps[stop.id]
        if record.phase == "scheduled" and not record.forced:
            _resume_scheduled(engine, stop, record, paused, overdue)
        elif record.opened is not None and record.phase not in SETTLED:
            _resume_open(engine, stop, record, paused, overdue)


def _resume_scheduled(engine: Engine, stop: Stop, record: StepState, paused: Instant, overdue: str) -> None:
    at = engine.at
    if isinstance(stop.wait, Moment) and record.attempt == 0:
        replace_moment(engine, stop, record)
        if overdue != "skip" or record.phase != "scheduled":
            return
    if overdue == "shift" and record.base is not None:
        moved = at - max(paused, record.set_at)
        if moved <= 0:
            return
        record.base += moved
        record.first = record.base if record.first is None else record.first + moved
        record.set_at = at
        due = engine.timing.place(stop, record.base, at)
        if due is not None:
            engine.due(stop, record, due)
    elif overdue == "skip" and record.due is not None and record.due <= at:
        engine.settle(stop, "skipped", "overdue when the journey was resumed")


def _resume_open(engine: Engine, stop: Stop, record: StepState, paused: Instant, overdue: str) -> None:
    at = engine.at
    if overdue == "shift":
        moved = at - max(paused, record.opened or 0)
        if moved <= 0:
            return
        record.shift += moved
        if record.deadline is not None and isinstance(stop.step.within, Duration):
            record.deadline += moved
        if record.closes is not None:
            record.closes += moved
        task_due = stop.step.task.due if stop.step.task else None
        if record.escalates is not None and isinstance(task_due, Duration):
            record.escalates += moved
        if record.next is not None:
            base = engine.timing.occurrence_base(stop, record, record.next_number)
            record.next = record.next_asked = engine.timing.placed(stop, record, base, record.next_number)
    elif overdue == "skip" and record.next is not None and record.next <= at:
        found = engine.timing.next_after(stop, record, record.next_number, at)
        record.next_number, record.next = found if found is not None else (record.next_number, None)
        record.next_asked = record.next
        if found is None and stop.checkin is not None and stop.checkin.every is not None:
            record.closes = engine.calendar.add(at, stop.checkin.every)


# Steps


def _check_skip(engine: Engine, command: Command, at: Instant) -> None:
    _, record = _stop(engine, command)
    if record.phase in SETTLED:
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _skip(engine: Engine, command: Command) -> None:
    stop, _ = _stop(engine, command)
    engine.settle(stop, "skipped", command.reason or "skipped by an operator", actor=command.actor)


def _check_retry(engine: Engine, command: Command, at: Instant) -> None:
    _, record = _stop(engine, command)
    if record.phase != "failed":
        raise CommandRejected(f"step '{command.step}' has not failed: it is {record.phase}")


def _retry(engine: Engine, command: Command) -> None:
    stop, record = _stop(engine, command)
    at, purpose = engine.at, record.failed
    record.attempt += 1
    record.failed = None
    record.set_at = at
    if record.opened is None:
        record.phase = "scheduled"
        record.base = at
        record.due = None
        due = engine.timing.reopen(stop, at, 1)
        engine.due(stop, record, due if due is not None else at)
        return
    record.phase = "open"
    if purpose == "help":
        record.help = engine.occurrence(stop, record)
    elif purpose in ("remind", "occur"):
        record.next_number = record.failed_occurrence
        record.next = record.next_asked = at
    elif purpose == "escalate":
        record.escalates = at


def _check_run_now(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    if record.phase == "waiting" and record.ready is None:
        waits = [str(c) for c in stop.step.after if engine.came_about(c) is None]
        raise CommandRejected(f"step '{command.step}' waits for {', '.join(waits)}: run_now does not skip that")
    if record.phase == "failed":
        raise CommandRejected(f"step '{command.step}' has failed: retry it, or skip it")
    if record.phase not in ("waiting", "scheduled"):
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _run_now(engine: Engine, command: Command) -> None:
    stop, record = _stop(engine, command)
    record.phase = "scheduled"
    record.forced = True
    record.base = record.first = record.set_at = engine.at
    engine.due(stop, record, engine.at)


def _check_complete(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    by_person = stop.step.task or stop.step.request or (stop.checkin is not None and stop.checkin.by == "call")
    if not by_person:
        raise CommandRejected(f"step '{command.step}' is not a task: it is a {stop.kind}")
    if record.phase in ("done", "skipped"):
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _complete(engine: Engine, command: Command) -> None:
    stop, _ = _stop(engine, command)
    answer: dict[str, Any] = {"answer": command.answer} if command.answer else {}
    if stop.checkin is not None:
        answer.setdefault("answer", "good")
    engine.answer(stop, answer, reason=command.reason, actor=command.actor)


# The journey


def _check_cancel(engine: Engine, command: Command, at: Instant) -> None:
    """A running journey can always be cancelled."""


def _cancel(engine: Engine, command: Command) -> None:
    engine.stop(command.reason or "cancelled by an operator", undo=command.undo, actor=command.actor)


def _check_traits(engine: Engine, command: Command, at: Instant) -> None:
    if not command.traits:
        raise CommandRejected("'traits' needs traits: the names and values to change")
    problems = trait_problems(engine.route, command.traits, partial=True)
    if problems:
        raise CommandRejected("; ".join(problems))


def _traits(engine: Engine, command: Command) -> None:
    changed = command.traits or {}
    traits = {**engine.state.traits, **changed}
    engine.state.traits = {name: value for name, value in traits.items() if value is not None}
    if engine.route.moment_traits & set(changed):
        moments_changed(engine, set(changed))


def moments_changed(engine: Engine, names: set[str]) -> None:
    """Traits changed: what rests on them and has not started moves, deadlines too (JOURNEYS §2, §7.3)."""
    state, timing = engine.state, engine.timing
    ends = engine.route.journey.ends
    if isinstance(ends, Moment) and ends.trait in names:
        state.ends = timing.deadline(ends, state.enrolled_at)
    for stop in engine.route.stops:
        record = state.steps[stop.id]
        within = stop.step.within
        if record.opened is not None and record.phase not in SETTLED:
            if isinstance(within, Moment) and within.trait in names:
                record.deadline = timing.deadline(within, record.opened)
        wait = stop.wait
        if not isinstance(wait, Moment) or wait.trait not in names or record.forced or record.attempt:
            continue
        if record.phase == "waiting" and record.ready is not None:
            engine.schedule(stop, record)
        elif record.phase == "scheduled":
            replace_moment(engine, stop, record)


def replace_moment(engine: Engine, stop: Stop, record: StepState) -> None:
    """Judge a scheduled step's moment anew: it moves, is too late, or waits for its trait again."""
    record.phase = "waiting"
    engine.schedule(stop, record)
    if engine.state.steps[stop.id].phase == "waiting":
        record.due = record.asked = record.base = None


def _check_assign(engine: Engine, command: Command, at: Instant) -> None:
    stop, _ = _stop(engine, command)
    if stop.step.assign is None:
        raise CommandRejected(f"step '{command.step}' assigns nobody: it is a {stop.kind}")
    if not command.owner:
        raise CommandRejected("'assign' needs an owner")


def _assign(engine: Engine, command: Command) -> None:
    stop, _ = _stop(engine, command)
    engine.state.owners[stop.id] = command.owner or ""
    engine.note("occurred", stop, f"assigned to {command.owner}", actor=command.actor)


def trait_problems(route: Route, traits: dict[str, Any], *, partial: bool = False) -> list[str]:
    """What is wrong with traits against the journey's declaration; `partial`: absent ones are not missed."""
    problems = []
    for name, kind in route.trait_kinds.items():
        value = traits.get(name)
        if value is None:
            required = name not in route.optional
            if required and (not partial or name in traits):
                problems.append(f"trait '{name}' is missing: the journey needs a {kind}")
        elif not _fits(kind, value):
            problems.append(f"trait '{name}' must be a {_KIND_WORDS[kind]}, not {value!r}")
    for name in sorted(route.moment_traits - set(route.trait_kinds)):
        if traits.get(name) is not None and DateTrait.of(traits[name]) is None:
            problems.append(f"trait '{name}' must be a {_KIND_WORDS['date']}, not {traits[name]!r}")
    return problems


_KIND_WORDS = {
    "text": "text",
    "number": "number",
    "flag": "flag (true or false)",
    "date": "date (2026-03-17, or an instant with its offset)",
}


def _fits(kind: str, value: object) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return DateTrait.of(value) is not None


_CHECKS: dict[str, Callable[[Engine, Command, Instant], None]] = {
    "pause": _check_pause,
    "resume": _check_resume,
    "skip": _check_skip,
    "retry": _check_retry,
    "run_now": _check_run_now,
    "complete": _check_complete,
    "cancel": _check_cancel,
    "traits": _check_traits,
    "assign": _check_assign,
}
_APPLY: dict[str, Callable[[Engine, Command], None]] = {
    "pause": _pause,
    "resume": _resume,
    "skip": _skip,
    "retry": _retry,
    "run_now": _run_now,
    "complete": _complete,
    "cancel": _cancel,
    "traits": _traits,
    "assign": _assign,
}
