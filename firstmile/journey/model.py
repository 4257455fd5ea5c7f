"""The journey as data: one pydantic model for each thing that JOURNEYS §2 names.

Only shape is decided here (which fields there are, what may stand in them); whether names refer to anything
is decided by `checks`, and what a field *means* by the engine. Models are frozen, refuse unknown keys, and
write themselves as canonical JSON, which is what a customer's workflow carries.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from firstmile.journey.durations import (
    MINUTE,
    Duration,
    DurationError,
    Moment,
    Span,
    parse_span,
)

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class JourneyModel(BaseModel):
    """What all parts of a journey have in common: frozen, strict, no key that the format does not have."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, serialize_by_alias=True
    )


def _no_duration(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    example = f"{value} days" if number else "3 days"
    return f"a duration was expected{f', not {value}' if number else ''}: write for instance '{example}'"


def _read_duration(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if not isinstance(value, str):
        raise ValueError(_no_duration(value))
    try:
        span = parse_span(value)
    except DurationError as error:
        raise ValueError(str(error)) from None
    if isinstance(span, Moment):
        raise ValueError(f"'{value}' is a moment: here only a duration may stand, for instance '3 days'")
    return span


def _read_span(value: object) -> Span:
    if isinstance(value, Duration | Moment):
        return value
    if not isinstance(value, str):
        raise ValueError(_no_duration(value))
    try:
        return parse_span(value)
    except DurationError as error:
        raise ValueError(str(error)) from None


def _read_positive(value: object) -> Duration:
    duration = _read_duration(value)
    if duration.at_least <= 0:
        raise ValueError(f"'{value}' must be longer than nothing")
    return duration


_DURATION_SCHEMA = {
    "type": "string",
    "description": "A duration: '90 minutes', '3 days', '1 business day', '2 days 4 hours', 'P3D'.",
    "examples": ["90 minutes", "3 days", "2 weeks", "1 business day", "2 days 4 hours", "P3D"],
}
_SPAN_SCHEMA = {
    "type": "string",
    "description": "A duration ('3 days') or a moment ('3 days before trial_ends').",
    "examples": ["36 hours", "3 days", "1 business day", "3 days before trial_ends"],
}
DurationField = Annotated[
    Duration, PlainValidator(_read_duration), PlainSerializer(str), WithJsonSchema(_DURATION_SCHEMA)
]
PositiveDuration = Annotated[
    Duration, PlainValidator(_read_positive), PlainSerializer(str), WithJsonSchema(_DURATION_SCHEMA)
]
SpanField = Annotated[Span, PlainValidator(_read_span), PlainSerializer(str), WithJsonSchema(_SPAN_SCHEMA)]


def _one_or_many(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _no_repeats(values: list[str]) -> list[str]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f"'{value}' is named twice")
    return values


_NAMES_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$")]
"""An identifier of something outside the journey: an event, a template, a system, a team, a session."""
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A name that expressions read with a dot: a trait, an experiment."""
StepId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
Names = Annotated[list[Name], BeforeValidator(_one_or_many), AfterValidator(_no_repeats)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Expression = Annotated[str, Field(min_length=1, max_length=2000)]
MessageClass = Literal["transactional", "lifecycle", "marketing"]


def _read_days(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(day, str) for day in value)):
        return value
    raise ValueError("days of the week were expected: write 'mon-fri', 'daily' or a list such as [mon, tue]")


class Window(JourneyModel):
    """When something may happen: days of the week, from (inclusive) and to (exclusive), local wall clock."""

    days: Annotated[
        str | list[str],
        PlainValidator(_read_days),
        WithJsonSchema(
            {
                "description": "'mon-fri', 'daily', or a list of days.",
                "anyOf": [
                    {"type": "string", "examples": ["mon-fri", "daily", "sun-thu"]},
                    {"type": "array", "items": {"enum": list(WEEKDAYS)}, "minItems": 1},
                ],
            }
        ),
    ] = "daily"
    from_: Annotated[str, Field(alias="from", pattern=r"^\d{1,2}:\d{2}$", examples=["09:00"])]
    to: Annotated[str, Field(pattern=r"^\d{1,2}:\d{2}$", examples=["17:00"])]
    holidays: Literal["skip", "allow"] = "allow"

    @model_validator(mode="after")
    def _readable(self) -> Self:
        _ = self.weekdays
        if self.closes <= self.opens:
            raise ValueError(
                f"'to' ({self.to}) must come after 'from' ({self.from_}): "
                "a window lies within one day, from 00:00 to 24:00"
            )
        return self

    @cached_property
    def weekdays(self) -> frozenset[int]:
        """The open days of the week, Monday being 0."""
        found: set[int] = set()
        for item in [self.days] if isinstance(self.days, str) else self.days:
            for part in re.split(r"[,\s]+", item.strip().lower()):
                found |= _weekdays(part)
        if not found:
            raise ValueError("a window needs at least one day")
        return frozenset(found)

    @cached_property
    def opens(self) -> int:
        """Microseconds from local midnight to the opening."""
        return _wall_time(self.from_)

    @cached_property
    def closes(self) -> int:
        """Microseconds from local midnight to the closing, which is outside."""
        return _wall_time(self.to)

    def __str__(self) -> str:
        days = self.days if isinstance(self.days, str) else ", ".join(self.days)
        return f"{days} {self.from_}–{self.to}" + (", no holidays" if self.holidays == "skip" else "")


def _weekdays(text: str) -> set[int]:
    if text == "daily":
        return set(range(7))
    first, dash, last = text.partition("-")
    for day in (first, last) if dash else (first,):
        if day not in WEEKDAYS:
            raise ValueError(
                f"'{day}' is not a day: write mon, tue, wed, thu, fri, sat, sun, 'mon-fri' or 'daily'"
            )
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
    return {(start + n) % 7 for n in range((end - start) % 7 + 1)}


def _wall_time(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"'{text}' is not a time of day: write 00:00 to 24:00")
    return (hours * 60 + minutes) * MINUTE


class Cap(JourneyModel):
    """At most `messages` messages in any `per`."""

    messages: Annotated[int, Field(ge=1)]
    per: PositiveDuration


def _window_or_anytime(value: object) -> str:
    return "window" if isinstance(value, dict | Window) else "anytime"


# Told apart before validation, so that what is wrong with a window is said of the window only.
WindowField = Annotated[
    Annotated[Window, Tag("window")] | Annotated[Literal["anytime"], Tag("anytime")],
    Discriminator(_window_or_anytime),
    Field(description="A window, or 'anytime'."),
]


class Defaults(JourneyModel):
    """What holds for every step that does not say otherwise."""

    window: WindowField = "anytime"
    spread: DurationField | None = None
    cap: Cap | None = None
    timezone: str | None = None


class Onboarded(JourneyModel):
    """The milestone that makes a customer onboarded, and the goal for time to first value."""

    milestone: StepId
    within: SpanField | None = None


class Stage(JourneyModel):
    """One stage of the funnel; it lasts until its milestone is reached."""

    stage: Text
    until: StepId | None = None


class StopWhen(JourneyModel):
    """An event that stops the journey, and whether what was provisioned is undone."""

    event: Name
    where: Expression | None = None
    undo: bool = False


class Email(JourneyModel):
    """Renders and sends one message."""

    template: Name
    class_: Annotated[MessageClass, Field(alias="class")] = "lifecycle"
    to: Annotated[Names | None, WithJsonSchema(_NAMES_SCHEMA)] = None
    cc: Annotated[Names | None, WithJsonSchema(_NAMES_SCHEMA)] = None


class Training(JourneyModel):
    """Invites to a session; open until `training.completed` with that session."""

    session: Name
    template: Name
    to: Annotated[Names | None, WithJsonSchema(_NAMES_SCHEMA)] = None
    cc: Annotated[Names | None, WithJsonSchema(_NAMES_SCHEMA)] = None


class Survey(JourneyModel):
    """Asks for a score; open until an answer."""

    kind: Literal["nps", "csat", "ces"]
    template: Name
    remind: PositiveDuration | None = None
    low: Annotated[int, Field(ge=0, le=10)] | None = None


class Checkin(JourneyModel):
    """Post-onboarding check-in, `times` times, one `every`."""

    template: Name | None = None
    every: PositiveDuration | None = None
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    by: Literal["message", "call"] = "message"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.times > 1 and self.every is None:
            raise ValueError("a check-in that happens several times needs 'every', for instance '30 days'")
        if self.by == "message" and self.template is None:
            raise ValueError("a check-in by message needs a 'template'")
        return self


class Milestone(JourneyModel):
    """Waits for product events, or joins steps."""

    event: Annotated[Names | None, WithJsonSchema(_NAMES_SCHEMA)] = None
    times: Annotated[int, Field(ge=1, le=10_000)] = 1
    where: Expression | None = None
    since: Literal["enrolment", "open"] = "enrolment"
    all: Annotated[list[StepId], AfterValidator(_no_repeats)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.event is None) == (self.all is None):
            raise ValueError("a milestone has either 'event' or 'all'")
        if self.event is not None and not self.event:
            raise ValueError("'event' names no event")
        if self.all is not None:
            if not self.all:
                raise ValueError("'all' names no step")
            if self.where is not None or self.times != 1 or self.since != "enrolment":
                raise ValueError("'times', 'where' and 'since' belong to a milestone of events, not to 'all'")
        return self


class Provision(JourneyModel):
    """Asks a system to set something up."""

    system: Name | None = None
    function: Name | None = None
    with_: Annotated[dict[str, Any], Field(alias="with")] = {}
    undo: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.system is None) == (self.function is None):
            raise ValueError("a provision has either 'system' or 'function'")
        return self


class Assign(JourneyModel):
    """Gives the customer an owner from a team; the step's id is the role."""

    team: Name


class Task(JourneyModel):
    """Work for a person."""

    title: Text
    owner: Name | None = None
    due: SpanField | None = None
    remind: PositiveDuration | None = None
    escalate_to: Name | None = None
    checklist: list[Text] = []


class Request(JourneyModel):
    """Asks the customer for information through a form page."""

    form: Name
    template: Name
    remind: PositiveDuration | None = None
    review: bool = False


class Notify(JourneyModel):
    """Tells people inside the company."""

    to: Annotated[Names, WithJsonSchema(_NAMES_SCHEMA)]
    message: Text


class Webhook(JourneyModel):
    """Tells another system, signed."""

    system: Name
    with_: Annotated[dict[str, Any], Field(alias="with")] = {}
    class_: Annotated[MessageClass | None, Field(alias="class")] = None


KindModel = (
    Email | Training | Survey | Checkin | Milestone | Provision | Assign | Task | Request | Notify | Webhook
)

KINDS: dict[str, type[JourneyModel]] = {
    "email": Email,
    "training": Training,
    "survey": Survey,
    "checkin": Checkin,
    "milestone": Milestone,
    "provision": Provision,
    "assign": Assign,
    "task": Task,
    "request": Request,
    "notify": Notify,
    "webhook": Webhook,
}
CUSTOMER_FACING = frozenset({"email", "training", "survey", "checkin", "request"})
"""Kinds whose messages reach the customer. A webhook with a class is customer-facing too."""
STAYS_OPEN = frozenset({"training", "survey", "checkin", "milestone", "task", "request", "provision"})
"""Kinds that can stay open, and so may have `within`."""
OUTCOMES = ("done", "reached", "missed", "skipped")


class Condition(JourneyModel):
    """One thing that must have happened: `outcome` of `step`; `settled` when only an id was written."""

    outcome: Literal["settled", "done", "reached", "missed", "skipped"]
    step: StepId

    def __str__(self) -> str:
        return self.step if self.outcome == "settled" else f"{self.outcome} {self.step}"


def _read_condition(value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'quote this: "{value}"' if number else "write for instance 'welcome' or 'reached first_value'"
        raise ValueError(f"the id of a step was expected{f', not {value}' if number else ''}: {hint}")
    words = value.split()
    if len(words) == 1:
        outcome, step = "settled", words[0]
    elif len(words) == 2 and words[0] in OUTCOMES:
        outcome, step = words
    else:
        raise ValueError(
            f"'{value}' is not a condition: write the id of a step, "
            "or 'done ID', 'reached ID', 'missed ID', 'skipped ID'"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", step):
        raise ValueError(f"'{step}' is not the id of a step")
    return Condition(outcome=outcome, step=step)  # type: ignore[arg-type]  # checked against OUTCOMES above


ConditionField = Annotated[
    Condition,
    PlainValidator(_read_condition),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "type": "string",
            "description": "A step's id (settled), or 'done ID', 'reached ID', 'missed ID', 'skipped ID'.",
        }
    ),
]


def wrong_kinds(found: list[str], within: bool) -> str | None:
    """What is wrong with the kinds found in a step that has or has not a `within`; None if nothing is."""
    if not found:
        return f"a step needs exactly one kind: one of {', '.join(KINDS)}"
    if len(found) > 1:
        return f"a step has exactly one kind, here are {len(found)}: {', '.join(found)}"
    if within and found[0] not in STAYS_OPEN:
        return f"'within' belongs to kinds that stay open; {found[0]} does not"
    return None


class Step(JourneyModel):
    """One step: an id, exactly one kind, and what decides when it happens."""

    id: StepId
    title: Text | None = None
    notes: str | None = None
    stage: Text | None = None
    after: Annotated[
        list[ConditionField],
        BeforeValidator(_one_or_many),
        Field(description="What must have happened first."),
    ] = []
    wait: SpanField | None = None
    until: Annotated[
        list[StepId],
        BeforeValidator(_one_or_many),
        AfterValidator(_no_repeats),
        WithJsonSchema(_NAMES_SCHEMA),
    ] = []
    window: WindowField | None = None
    when: Expression | None = None
    within: SpanField | None = None
    email: Email | None = None
    training: Training | None = None
    survey: Survey | None = None
    checkin: Checkin | None = None
    milestone: Milestone | None = None
    provision: Provision | None = None
    assign: Assign | None = None
    task: Task | None = None
    request: Request | None = None
    notify: Notify | None = None
    webhook: Webhook | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        found = [kind for kind in KINDS if getattr(self, kind) is not None]
        if message := wrong_kinds(found, self.within is not None):
            raise ValueError(message)
        return self

    @cached_property
    def kind(self) -> str:
        """The name of the step's kind."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @cached_property
    def does(self) -> KindModel:
        """The parameters of the step's kind."""
        found: KindModel = getattr(self, self.kind)
        return found

    @cached_property
    def customer_facing(self) -> bool:
        """Whether the step reaches the customer (JOURNEYS §2)."""
        if isinstance(self.does, Webhook):
            return self.does.class_ is not None
        return self.kind in CUSTOMER_FACING

    @cached_property
    def message_class(self) -> MessageClass | None:
        """The class of the message that the step sends to the customer, or None if it sends none."""
        if isinstance(self.does, Email | Webhook):
            return self.does.class_
        if isinstance(self.does, Checkin) and self.does.by == "call":
            return None
        return "lifecycle" if self.kind in CUSTOMER_FACING else None

    @cached_property
    def capped(self) -> bool:
        """Whether the step's messages wait and count under the cap (rule 6)."""
        return self.message_class in ("lifecycle", "marketing")


class Journey(JourneyModel):
    """What happens to the customers of one segment, and when: a whole journey file."""

    journey: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$")]
    version: Annotated[int, Field(ge=1)]
    title: Text | None = None
    summary: Text | None = None
    subject: Literal["customer", "user"] = "customer"
    traits: (
        dict[
            Identifier,
            Annotated[str, Field(pattern=r"^(text|number|flag|date)\??$", examples=["text", "date?"])],
        ]
        | None
    ) = None
    onboarded: Onboarded
    ends: SpanField | None = None
    stages: list[Stage] = []
    stop_when: list[StopWhen] = []
    experiments: dict[Identifier, dict[Name, Annotated[int, Field(ge=0)]]] = {}
    defaults: Defaults = Defaults()
    steps: Annotated[list[Step], Field(min_length=1, max_length=500)]

    @cached_property
    def by_id(self) -> dict[str, Step]:
        """The steps by id."""
        return {step.id: step for step in self.steps}

    def canonical_json(self) -> str:
        """The journey as JSON with defaults filled in: what is published and what a workflow carries."""
        return self.model_dump_json(exclude_none=True)

    def window_of(self, step: Step) -> Window | None:
        """The window that holds for a step; None is any time (JOURNEYS §2, `window`)."""
        window: Window | str | None = step.window
        if window is None:
            transactional = step.message_class == "transactional"
            window = self.defaults.window if step.customer_facing and not transactional else "anytime"
        return None if isinstance(window, str) else window


__all__ = [
    "CUSTOMER_FACING",
    "KINDS",
    "STAYS_OPEN",
    "Assign",
    "Cap",
    "Checkin",
    "Condition",
    "Defaults",
    "Email",
    "Journey",
    "Milestone",
    "Notify",
    "Onboarded",
    "Provision",
    "Request",
    "Stage",
    "Step",
    "StopWhen",
    "Survey",
    "Task",
    "Training",
    "Webhook",
    "Window",
]
