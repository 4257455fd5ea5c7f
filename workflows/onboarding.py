"""One customer, one execution: the durable shell around the engine (DESIGN §2).

The shell decides nothing about journeys or time. It tells the engine what happened and what time it is,
starts the effects that the engine asks for, keeps one timer for the next wake-up, and sees to it that every
record reaches the store: on the effects themselves where there are any, on their own where there are none.

One dynamic definition serves every segment, so that each segment is a workflow type of its own in Temporal's
UI and metrics and a new segment is one YAML file. Events are signals, because who sends one need not wait;
commands are updates, because an operator must hear whether they were carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    RetryState,
    TimeoutError,
    TimeoutType,
)

from activities import signatures
from firstmile import search_attributes
from firstmile.contracts import (
    FLUSH,
    Clock,
    CommandRequest,
    CommandResult,
    EffectOutcome,
    EffectRequest,
    EventSignal,
    Finished,
    Flush,
    Kept,
    Start,
    Told,
)
from firstmile.journey import commands, foresight
from firstmile.journey.calendar import Calendar
from firstmile.journey.engine import Engine, enrol
from firstmile.journey.foresight import Foreseen
from firstmile.journey.inputs import Command, CommandRejected, Effect, Event, Outcome, Subject
from firstmile.journey.instants import Instant
from firstmile.journey.journal import View
from firstmile.journey.route import Route, route_of
from firstmile.journey.state import dump, load
from workflows.outbox import Carrier, Outbox
from workflows.summaries import details, effect_summary, timer_summary


@workflow.defn(dynamic=True)
class Onboarding:
    """A customer's journey as a workflow; the workflow type is the segment."""

    @workflow.init
    def __init__(self, args: Sequence[RawValue]) -> None:
        decoded = _decode_start(args)
        self._is_readable = decoded is not None
        self._start = decoded or Start(Subject(""))
        self._inbox: list[Event | str] = []
        self._came_back: list[Outcome] = []
        self._engine: Engine | None = None
        self._clock = Clock(0)
        self._outbox = Outbox()
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._slow: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._timer_at: Instant | None = None
        self._woken = False
        self._cancel_requested = False
        self._shown: tuple[str | None, str | None] = (None, None)
        if self._start.journey is not None:
            self._set_up(self._start)

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Finished:
        """Carry the customer through the journey; returns when it is completed or stopped."""
        if not self._is_readable:
            raise ApplicationError(
                "the start of an onboarding cannot be read: start customers through the service",
                type="BadStart",
                non_retryable=True,
            )
        if self._engine is None:
            self._set_up(await self._prepared())
        while True:
            self._turn()
            if self._is_over():
                break
            if self._may_continue_as_new():
                workflow.continue_as_new(args=[self._left_over()])
            try:
                await workflow.wait_condition(self._has_news)
            except asyncio.CancelledError:
                # Temporal's own cancel is taken for what its sender means: stop, in order.
                self._cancel_requested = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        engine = self._running()
        onboarded = engine.state.onboarded_at
        seconds = None if onboarded is None else (onboarded - engine.state.enrolled_at) / 1_000_000
        return Finished(engine.state.life, onboarded is not None, seconds)

    # What comes in

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """Every event comes through here; whatever is not one is noted and never an exception."""
        if name == FLUSH:
            self._tell_again(args)
            return
        try:
            signal = workflow.payload_converter().from_payload(args[0].payload, EventSignal)
            if len(args) != 1 or not signal.event or not signal.id:
                raise ValueError("not one event with a name and an id")
            at = None if signal.at is None else self._clock.journey(signal.at)
            self._inbox.append(Event(signal.event, signal.id, at, signal.properties))
        except Exception as error:
            workflow.logger.warning("a signal was not an event: %s", type(error).__name__)
            self._inbox.append(f"a malformed signal was ignored ({type(error).__name__})")

    @workflow.update(dynamic=True)
    def on_update(self, name: str, args: Sequence[RawValue]) -> CommandResult:
        """An operator's command: checked again and applied at once; several may have passed the validator."""
        engine = self._running()
        self._take_inbox()
        try:
            commands.apply(engine, self._command(name, args), self._now())
        except CommandRejected as rejected:
            raise ApplicationError(str(rejected), type="CommandRejected", non_retryable=True) from None
        self._woken = True
        return CommandResult(name, engine.view())

    @on_update.validator
    def check_update(self, name: str, args: Sequence[RawValue]) -> None:
        """Reject what cannot be carried out before anything is written to history."""
        if self._engine is None:
            raise ApplicationError("the customer is only just starting: try again", type="CommandRejected")
        try:
            commands.check(self._engine, self._command(name, args), self._now())
        except CommandRejected as rejected:
            raise ApplicationError(str(rejected), type="CommandRejected", non_retryable=True) from None

    @workflow.query
    def view(self) -> View:
        """A live look at where the customer stands; what people usually want is in the store."""
        return self._running().view()

    @workflow.query
    def foresee(self, name: str, given: CommandRequest, at: Instant) -> Foreseen:
        """What a command would do at a real instant; nothing changes."""
        return foresight.foresee(self._running(), self._asked(name, given), self._clock.journey(at))

    @workflow.query
    def told(self) -> Told:
        """What the store was told: for whoever compares the two."""
        engine, outbox = self._running(), self._outbox
        return Told(
            enrolment=engine.state.enrolment,
            segment=engine.route.journey.journey,
            version=engine.route.journey.version,
            enrolled_at=self._start.enrolled_at,
            speed=self._start.speed,
            status=engine.status,
            acknowledged=0 if outbox.acknowledged is None else outbox.acknowledged.number,
            newest=outbox.view_number,
        )

    def _command(self, name: str, args: Sequence[RawValue]) -> Command:
        try:
            given = (
                workflow.payload_converter().from_payload(args[0].payload, CommandRequest)
                if args
                else CommandRequest()
            )
        except Exception as error:
            raise CommandRejected(f"the arguments of '{name}' cannot be read") from error
        return self._asked(name, given)

    def _asked(self, name: str, given: CommandRequest) -> Command:
        return Command(
            command=name,  # type: ignore[arg-type]  # `commands.check` refuses an unknown one
            actor=given.actor,
            reason=given.reason,
            step=given.step,
            until=None if given.until is None else self._clock.journey(given.until),
            overdue=given.overdue,  # type: ignore[arg-type]  # likewise
            undo=given.undo,
            traits=given.traits,
            owner=given.owner,
            answer=given.answer,
        )

    def _tell_again(self, args: Sequence[RawValue]) -> None:
        try:
            newest = workflow.payload_converter().from_payload(args[0].payload, Flush).newest
        except Exception as error:
            workflow.logger.warning("a flush was not one: %s", type(error).__name__)
            return
        self._outbox.forget(newest)
        self._woken = True

    # One turn of the loop

    def _turn(self) -> None:
        """Tell the engine what happened and what time it is; start what it asks for."""
        engine = self._running()
        self._woken = False
        now = self._now()
        came_back, self._came_back = self._came_back, []
        for outcome in came_back:
            engine.outcome(outcome, now)
        self._take_inbox()
        if self._cancel_requested:
            self._cancel_requested = False
            if not engine.finished and engine.state.life == "running":
                commands.apply(engine, Command("cancel", reason="cancelled in Temporal"), now)
        engine.advance(now)
        self._outbox.add(engine.entries)
        engine.entries = []
        self._launch(engine)
        self._flush(engine)
        self._arm(engine)
        self._show(engine)

    def _take_inbox(self) -> None:
        engine, now = self._running(), self._now()
        inbox, self._inbox = self._inbox, []
        for item in inbox:
            if isinstance(item, str):
                if not engine.finished:
                    engine.remark(item, now)
            else:
                engine.event(item, now)

    def _has_news(self) -> bool:
        return bool(self._inbox or self._came_back or self._woken or self._cancel_requested)

    def _is_over(self) -> bool:
        return (
            self._running().finished
            and not self._in_flight
            and self._outbox.is_empty
            and self._flushing is None
        )

    # Effects

    def _launch(self, engine: Engine) -> None:
        effects, engine.effects = engine.effects, []
        if not effects:
            return
        view = engine.view()
        facts = engine.facts(effects[0].at)
        subject = self._start.subject
        for effect in effects:
            carrier = self._outbox.load(engine, effect, view)
            step = engine.route.journey.by_id[effect.step]
            request = EffectRequest(
                subject=subject.id,
                enrolment=subject.enrolment,
                segment=engine.route.journey.journey,
                version=engine.route.journey.version,
                step=effect.step,
                kind=effect.kind,
                purpose=effect.purpose,
                occurrence=effect.occurrence,
                attempt=effect.attempt,
                params=effect.params,
                facts=facts,
                timezone=engine.calendar.slice.timezone,
                locale=subject.locale,
                clock=self._clock,
                at=effect.at,
                not_after=effect.not_after,
                records=carrier.records,
                title=step.title,
                due=effect.due,
            )
            self._in_flight[effect.id] = asyncio.create_task(self._carry_out(effect, request, carrier))

    async def _carry_out(self, effect: Effect, request: EffectRequest, carrier: Carrier) -> None:
        """Run an effect to its decision. No failure leaves here: a failure is an outcome (DESIGN §2.7)."""
        prompt = True
        while True:
            try:
                outcome: EffectOutcome = await workflow.execute_activity(
                    signatures.EFFECTS.get(effect.kind, effect.kind),
                    request,
                    task_queue=signatures.queue_of(effect.kind, workflow.info().task_queue),
                    priority=signatures.priority_of(effect.params),
                    result_type=EffectOutcome,
                    start_to_close_timeout=signatures.START_TO_CLOSE,
                    schedule_to_close_timeout=signatures.PROMPT if prompt else None,
                    retry_policy=signatures.RETRY,
                    summary=effect_summary(effect),
                )
            except FailureError as failure:
                if _is_elsewhere(failure):
                    # An earlier release asked for it on a queue that no longer has it: nothing was done.
                    continue
                if prompt and _ran_out_of_time(failure):
                    # It takes longer: let time go on beside it, and say in the store that it is running.
                    prompt = False
                    self._slow.add(effect.id)
                    self._woken = True
                    continue
                outcome = EffectOutcome("failed", self._now(), _reason(failure))
            else:
                self._outbox.delivered(carrier, outcome)
            break
        self._slow.discard(effect.id)
        del self._in_flight[effect.id]
        self._came_back.append(
            Outcome(effect.id, outcome.outcome, outcome.at, outcome.reason, outcome.until, outcome.result)
        )

    # Records

    def _flush(self, engine: Engine) -> None:
        """Write what the store does not know yet, unless an effect is about to carry it there."""
        if self._flushing is not None or self._in_flight.keys() - self._slow:
            return
        view = engine.view()
        if not self._outbox.is_stale(view, self._clock) and not (
            engine.finished and not self._outbox.is_empty
        ):
            return
        self._flushing = asyncio.create_task(self._write(self._outbox.load_alone(engine, view)))

    async def _write(self, carrier: Carrier) -> None:
        try:
            await self._write_once(carrier)
            self._outbox.delivered(carrier, None)
        except FailureError as failure:
            workflow.logger.error("records could not be written: %s", _reason(failure))
            self._outbox.refused(carrier)
        finally:
            self._flushing = None
            self._woken = True

    async def _write_once(self, carrier: Carrier) -> None:
        try:
            # One attempt, one second: a local activity that retries would keep the workflow task open.
            await workflow.execute_local_activity(
                signatures.RECORD,
                carrier.records,
                schedule_to_close_timeout=signatures.LOCAL,
                retry_policy=signatures.ONCE,
            )
        except FailureError:
            await workflow.execute_activity(
                signatures.RECORD,
                carrier.records,
                start_to_close_timeout=signatures.START_TO_CLOSE,
                retry_policy=signatures.RETRY,
                summary="records",
            )

    # Time

    def _arm(self, engine: Engine) -> None:
        """Keep one timer for the next wake-up, and none while a prompt effect will bring news before it."""
        wake = engine.wake()
        prompt = self._in_flight.keys() - self._slow
        if wake is not None and prompt and self._clock.real(wake) - self._real_now() > _PROMPT_MICROSECONDS:
            return
        if wake == self._timer_at and (self._timer is None or not self._timer.done()):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if wake is None else asyncio.create_task(self._sleep(wake))
        self._timer_at = wake

    async def _sleep(self, wake: Instant) -> None:
        engine = self._running()
        real = self._clock.real(wake) - self._real_now()
        # Rounded up: a timer that fires a microsecond early would find nothing to do.
        await workflow.sleep(max(real + 1000, 0) / 1_000_000, summary=timer_summary(engine, wake))
        self._timer_at = None
        self._woken = True

    def _real_now(self) -> Instant:
        return workflow.time_ns() // 1000

    def _now(self) -> Instant:
        return self._clock.journey(self._real_now())

    # Continuing as new, starting

    def _may_continue_as_new(self) -> bool:
        return (
            workflow.info().is_continue_as_new_suggested()
            and not self._in_flight
            and self._flushing is None
            and not self._has_news()
            and workflow.all_handlers_finished()
        )

    def _left_over(self) -> Start:
        engine = self._running()
        start = self._start
        return Start(
            subject=start.subject,
            segment=start.segment,
            journey=start.journey,
            calendar=start.calendar,
            enrolled_at=start.enrolled_at,
            speed=start.speed,
            kept=Kept(
                state=dump(engine.state),
                outbox=self._outbox.entries,
                acknowledged=self._outbox.acknowledged,
                view_number=self._outbox.view_number,
                stage=self._shown[0],
                status=self._shown[1],
            ),
        )

    async def _prepared(self) -> Start:
        """The start of a bare Temporal client, completed; what cannot be mended ends the workflow."""
        bare = replace(
            self._start,
            segment=workflow.info().workflow_type,
            enrolled_at=self._start.enrolled_at or self._real_now(),
        )
        start: Start = await workflow.execute_local_activity(
            signatures.PREPARE,
            bare,
            result_type=Start,
            start_to_close_timeout=signatures.START_TO_CLOSE,
        )
        return start

    def _set_up(self, start: Start) -> None:
        self._start = start
        self._clock = Clock(start.enrolled_at, start.speed)
        if start.journey is None or start.calendar is None:
            raise ApplicationError("the start carries no journey", type="BadStart", non_retryable=True)
        route: Route = route_of(start.journey)
        calendar = Calendar(start.calendar)
        if start.kept is None:
            self._engine = enrol(route, calendar, start.subject, start.enrolled_at)
            self._shown = (self._engine.stage, None)
        else:
            kept = start.kept
            self._engine = Engine(route, calendar, load(kept.state))
            self._outbox = Outbox(kept.outbox, kept.acknowledged, kept.view_number)
            self._shown = (kept.stage, kept.status)

    def _running(self) -> Engine:
        if self._engine is None:
            raise ApplicationError("the customer is only just starting: try again")
        return self._engine

    # What Temporal shows

    def _show(self, engine: Engine) -> None:
        """Search attributes, only when they change, and the details in Temporal's UI."""
        status = engine.status if engine.status in search_attributes.SHOWN_STATUSES else None
        stage = engine.stage
        if engine.finished:
            return
        changes = []
        if stage != self._shown[0] and stage is not None:
            changes.append(search_attributes.STAGE.value_set(stage))
        if status != self._shown[1]:
            key = search_attributes.STATUS
            changes.append(key.value_unset() if status is None else key.value_set(status))
        self._shown = (stage, status)
        if changes:
            workflow.upsert_search_attributes(changes)
        workflow.set_current_details(details(engine))


_PROMPT_MICROSECONDS = int(signatures.PROMPT.total_seconds() * 1_000_000)


def _decode_start(args: Sequence[RawValue]) -> Start | None:
    """The start, or None for what is none: `run` says so, since an error here would only be tried again."""
    try:
        return workflow.payload_converter().from_payload(args[0].payload, Start)
    except Exception as error:
        workflow.logger.warning("a start was not one: %s", type(error).__name__)
        return None


def _is_elsewhere(failure: FailureError) -> bool:
    """Whether an effect waited on a task queue where nobody carries it out any more."""
    cause = failure.cause
    return isinstance(cause, ApplicationError) and cause.type == signatures.ELSEWHERE


def _ran_out_of_time(failure: FailureError) -> bool:
    """Whether an activity was given up for want of time: by a time-out, or because no retry fitted in."""
    if not isinstance(failure, ActivityError):
        return False
    cause = failure.cause
    timed_out = isinstance(cause, TimeoutError) and cause.type == TimeoutType.SCHEDULE_TO_CLOSE
    return timed_out or failure.retry_state == RetryState.TIMEOUT


def _reason(failure: FailureError) -> str:
    """The reason of a failure for people; activities put no personal data into their messages."""
    cause = failure.cause if isinstance(failure, ActivityError) and failure.cause is not None else failure
    return str(cause).strip() or type(cause).__name__
