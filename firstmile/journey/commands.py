"""Operators' commands on a journey: what each asks for, when it is rejected, and what it does (JOURNEYS §3).

`check` is the whole of the validation, so that a shell can ask before and the engine asks again; `apply`
carries a command out at once. Both take the engine as it stands at the instant of the command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firstmile.journey.durations import DAY
from firstmile.journey.ending import finish, stop_journey
from firstmile.journey.engine import Engine
from firstmile.journey.inputs import NEED_STEP, Command, CommandRejected
from firstmile.journey.instants import Instant, to_datetime
from firstmile.journey.opening import RETURNED, answer, ask_again
from firstmile.journey.pausing import pause, resume
from firstmile.journey.problems import nearest
from firstmile.journey.route import Route, Stop
from firstmile.journey.scheduling import propagate, set_due, traits_changed
from firstmile.journey.state import SETTLED, StepState
from firstmile.journey.timing import DateTrait


def check(engine: Engine, command: Command, at: Instant) -> None:
    """Raise `CommandRejected`, with the reason, if `command` cannot be carried out at `at`."""
    state = engine.state
    if engine.finished:
        raise CommandRejected(f"the journey is {state.life}: it takes no more commands")
    if state.life != "running":
        raise CommandRejected("the journey is ending: what runs is being waited for")
    if command.command not in _COMMANDS:
        raise CommandRejected(f"unknown command '{command.command}'")
    if command.command in NEED_STEP:
        if command.step is None:
            raise CommandRejected(f"'{command.command}' needs a step")
        if command.step not in engine.route.index:
            raise CommandRejected(_unknown_step(engine.route, command.step))
    _COMMANDS[command.command][0](engine, command, at)


def apply(engine: Engine, command: Command, at: Instant) -> None:
    """Carry out a command at `at`. Raises `CommandRejected` and changes nothing if it cannot be."""
    check(engine, command, at)
    engine.begin(at)
    # What was nominally due before may have ended the journey or settled the step.
    check(engine, command, at)
    _COMMANDS[command.command][1](engine, command)
    propagate(engine)
    finish(engine)


def _unknown_step(route: Route, step: str) -> str:
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
    pause(engine, command.until, command.reason, command.actor)


def _check_resume(engine: Engine, command: Command, at: Instant) -> None:
    if engine.state.paused_at is None:
        raise CommandRejected("the journey is not paused")
    if command.overdue not in ("shift", "run", "skip"):
        raise CommandRejected(f"unknown overdue '{command.overdue}': one of shift, run, skip")


def _resume(engine: Engine, command: Command) -> None:
    resume(engine, command.overdue, command.reason, command.actor)


# Steps


def _check_skip(engine: Engine, command: Command, at: Instant) -> None:
    _, record = _stop(engine, command)
    if record.phase in SETTLED:
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _skip(engine: Engine, command: Command) -> None:
    stop, record = _stop(engine, command)
    reason = command.reason or "skipped by an operator"
    if record.outcome is None:
        engine.settle(stop, "skipped", reason, actor=command.actor)
    else:
        # Settled before something beside it failed: that is given up.
        record.phase, record.failed = record.outcome, None
        engine.note("occurred", stop, reason, actor=command.actor)


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
    if purpose == "run":
        record.phase = "scheduled"
        record.forced = False
        record.base = at
        record.due = None
        due = engine.timing.reopen(stop, at, 1)
        set_due(engine, stop, record, at if due is None else due, command.reason, command.actor)
        return
    record.phase = record.outcome or "open"
    engine.note("scheduled", stop, command.reason, due=at, actor=command.actor)
    if purpose in ("help", "review"):
        record.help, record.help_at = record.failed_occurrence, at
    elif purpose in ("remind", "occur"):
        record.next_number = record.failed_occurrence
        record.next = record.next_asked = at
        record.closes = None
    elif purpose == "escalate":
        record.escalates = at


def _check_run_now(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    if record.phase == "waiting" and record.ready is None:
        waits = [str(c) for c in stop.step.after if engine.came_about(c) is None]
        raise CommandRejected(
            f"step '{command.step}' waits for {', '.join(waits)}: run_now does not skip that"
        )
    if record.phase == "failed":
        raise CommandRejected(f"step '{command.step}' has failed: retry it, or skip it")
    if record.phase not in ("waiting", "scheduled"):
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _run_now(engine: Engine, command: Command) -> None:
    stop, record = _stop(engine, command)
    record.phase = "scheduled"
    record.forced = True
    record.base = record.first = record.set_at = engine.at
    set_due(engine, stop, record, engine.at, command.reason, command.actor)


def _check_complete(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    by_person = (
        stop.step.task or stop.step.request or (stop.checkin is not None and stop.checkin.by == "call")
    )
    if not by_person:
        raise CommandRejected(f"step '{command.step}' is not a task: it is a {stop.kind}")
    if record.done_at is not None or record.phase == "skipped":
        raise CommandRejected(f"step '{command.step}' is {record.phase} already")


def _complete(engine: Engine, command: Command) -> None:
    stop, _ = _stop(engine, command)
    if stop.step.request is not None and stop.step.request.review and command.answer == RETURNED:
        ask_again(engine, stop, command.reason, command.actor)
        return
    given: dict[str, Any] = {"answer": command.answer} if command.answer else {}
    if stop.checkin is not None:
        given.setdefault("answer", "good")
    answer(engine, stop, given, command.reason, command.actor, by_person=True)


def _check_resend(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    if stop.step.message_class is None:
        raise CommandRejected(f"step '{command.step}' sends the customer no message")
    if record.phase == "failed" and record.failed == "run":
        raise CommandRejected(f"step '{command.step}' has failed: retry it, or skip it")
    if record.opened is None and record.done_at is None:
        raise CommandRejected(
            f"step '{command.step}' is {record.phase}: nothing was sent that could be sent again"
        )


def _resend(engine: Engine, command: Command) -> None:
    stop, record = _stop(engine, command)
    record.attempt += 1
    record.resend_at = engine.at
    engine.note("occurred", stop, command.reason or "to be sent again", actor=command.actor)


def _check_reopen(engine: Engine, command: Command, at: Instant) -> None:
    stop, record = _stop(engine, command)
    if stop.step.task is None:
        raise CommandRejected(f"step '{command.step}' is not a task: it is a {stop.kind}")
    if record.phase not in SETTLED or record.opened is None:
        raise CommandRejected(
            f"step '{command.step}' is {record.phase}: only a task that was closed can be reopened"
        )


def _reopen(engine: Engine, command: Command) -> None:
    """The task is opened once more, as a new attempt; what followed stands."""
    stop, record = _stop(engine, command)
    record.attempt += 1
    record.phase = "scheduled"
    record.forced = True
    record.opened = record.done_at = record.missed_at = record.result = record.due = None
    record.base = record.set_at = engine.at
    set_due(engine, stop, record, engine.at, command.reason or "reopened", command.actor)


# The journey


def _check_cancel(engine: Engine, command: Command, at: Instant) -> None:
    """A running journey can always be cancelled."""


def _cancel(engine: Engine, command: Command) -> None:
    stop_journey(engine, command.reason or "cancelled by an operator", undo=command.undo, actor=command.actor)


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
        traits_changed(engine, set(changed))


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


def _check_extend(engine: Engine, command: Command, at: Instant) -> None:
    ends = engine.state.ends
    if ends is None:
        raise CommandRejected("the journey has no end that could be put off")
    if command.until is None:
        raise CommandRejected("'extend' needs 'until': when the journey ends instead")
    if command.until <= max(ends, at):
        raise CommandRejected(f"the journey ends on {_day(engine, ends)} already: 'until' must be later")
    last = engine.calendar.slice.last_day * DAY
    if command.until >= last:
        raise CommandRejected(
            f"'until' must lie before {_day(engine, last)}: the customer's calendar goes no further"
        )


def _extend(engine: Engine, command: Command) -> None:
    assert command.until is not None
    engine.state.ends = command.until
    words = f"the journey ends on {_day(engine, command.until)} instead"
    engine.note(
        "occurred", reason=f"{words}: {command.reason}" if command.reason else words, actor=command.actor
    )


def _day(engine: Engine, at: Instant) -> str:
    return to_datetime(engine.calendar.wall(at)).date().isoformat()


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


_COMMANDS: dict[str, tuple[Callable[[Engine, Command, Instant], None], Callable[[Engine, Command], None]]] = {
    "pause": (_check_pause, _pause),
    "resume": (_check_resume, _resume),
    "skip": (_check_skip, _skip),
    "retry": (_check_retry, _retry),
    "run_now": (_check_run_now, _run_now),
    "complete": (_check_complete, _complete),
    "resend": (_check_resend, _resend),
    "reopen": (_check_reopen, _reopen),
    "cancel": (_check_cancel, _cancel),
    "traits": (_check_traits, _traits),
    "assign": (_check_assign, _assign),
    "extend": (_check_extend, _extend),
}
"""For each command: what it is rejected for, and what it does."""
