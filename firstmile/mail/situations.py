"""The situations that a journey can put a template into, so that each is tried before a customer is in it.

Values come from the template's own sample where it has them: a condition on a plan or a table of plans is
then met as it is meant. What a journey does not have is taken away: a trait that it does not declare, a link
that steps of a kind do not get.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from firstmile.journey.model import Assign, Checkin, Email, Journey, Milestone, Step, Survey, Training
from firstmile.links import Links
from firstmile.mail.sessions import Sessions

Sample = Mapping[str, Any]
_STRANGER = {"name": None, "first_name": None, "company": None}
_BY_KIND: Mapping[str, Any] = {"text": "sample", "number": 12, "flag": True, "date": "2026-04-01"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "flag": (bool,),
    "date": (str,),
}
_LINKS = Links("https://hello.example", ["sample"])
_NEVER = datetime.fromisoformat("2026-03-10T15:00:00+01:00")
REMINDED = frozenset({"survey", "request"})
"""Kinds whose messages may be reminders."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A step that sends a template. `file` is the journey's, as problems call it."""

    file: str
    journey: Journey
    step: Step

    @property
    def template(self) -> str:
        """The name of the template."""
        return str(getattr(self.step.does, "template", None) or "")

    @property
    def transactional(self) -> bool:
        """Whether its message needs neither postal address nor a choice."""
        return self.step.message_class == "transactional"

    @property
    def links(self) -> Mapping[str, str]:
        """The links that a message of the step has."""
        return {"app": "https://app.example/", **_LINKS.of_step("sample", 1, self.step.kind, self.step.id)}

    def __str__(self) -> str:
        return f"{self.file}, step {self.step.id}"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a template may meet: values as a sample.json has them."""

    label: str
    values: Sample


def usages(journeys: Mapping[str, Journey]) -> dict[str, list[Usage]]:
    """The steps that send each template, of journeys by their files."""
    found: dict[str, list[Usage]] = {}
    for file, journey in journeys.items():
        for step in journey.steps:
            usage = Usage(file, journey, step)
            if usage.template:
                found.setdefault(usage.template, []).append(usage)
    return found


def of_sample(sample: Sample) -> Iterator[Situation]:
    """The situations of a template that no journey is known for."""
    step: Mapping[str, Any] = sample.get("step", {})
    yield Situation("its sample", sample)
    yield Situation("somebody of whom little is known", _little_known(sample))
    if step.get("kind") in REMINDED:
        yield Situation("a reminder", {**sample, "step": {**step, "occurrence": 1, "reminder": 1}})
    if step.get("kind") == "checkin":
        yield Situation("a second check-in", {**sample, "step": {**step, "occurrence": 2}})
    if "session" in sample:
        yield Situation("a training without a date", _undated(sample))


def of_usage(usage: Usage, sample: Sample, sessions: Sessions) -> Iterator[Situation]:
    """The situations that a step puts its template into."""
    journey, does = usage.journey, usage.step.does
    values = _in_journey(usage, sample, sessions)
    yield Situation("when all is there", values)
    bare = _little_known(values)
    optional = [name for name, kind in (journey.traits or {}).items() if kind.endswith("?")]
    bare["traits"] = {name: value for name, value in bare["traits"].items() if name not in optional}
    bare["absent"] = optional
    bare["results"] = {
        one.id: {"answered": False, "low": False} for one in journey.steps if isinstance(one.does, Survey)
    }
    yield Situation("when what is optional is absent", bare)
    for name, variants in journey.experiments.items():
        for variant in list(variants)[1:]:
            drawn = {**values["variants"], name: variant}
            yield Situation(f"variant '{variant}' of {name}", {**values, "variants": drawn})
    if getattr(does, "remind", None) is not None:
        yield Situation("a reminder", {**values, "step": {**values["step"], "reminder": 1}})
    if isinstance(does, Checkin) and does.times > 1:
        yield Situation("a second check-in", {**values, "step": {**values["step"], "occurrence": 2}})
    if isinstance(does, Training):
        yield Situation("a training without a date", _undated(values))
    if isinstance(does, Email | Training) and does.cc:
        copied = {"name": None, "email": None, "role": does.cc[0], "copy": True}
        yield Situation("a copy", {**values, "recipient": copied})


def _in_journey(usage: Usage, sample: Sample, sessions: Sessions) -> dict[str, Any]:
    journey, step = usage.journey, usage.step
    roles = [one.id for one in journey.steps if isinstance(one.does, Assign)]
    ids = [one.id for one in journey.steps]
    surveys = {one.id: {"answered": True, "low": True, "score": 3, "comment": None}
               for one in journey.steps if isinstance(one.does, Survey)}  # fmt: skip
    values: dict[str, Any] = {
        **sample,
        "traits": _traits(journey, sample),
        "absent": [],
        "owner": {role: {"name": "Ann Becker", "email": "ann@acme.example"} for role in roles},
        "reached": [one.id for one in journey.steps if isinstance(one.does, Milestone)],
        "missed": [],
        "done": ids,
        "skipped": [],
        "results": {**sample.get("results", {}), **surveys},
        "variants": {name: next(iter(variants)) for name, variants in journey.experiments.items()},
        "links": usage.links,
        "step": {"id": step.id, "title": step.title, "kind": step.kind, "occurrence": 1, "reminder": 0},
    }
    values.pop("session", None)
    if isinstance(step.does, Training) and (session := sessions.get(step.does.session)) is not None:
        page = values["links"].get("training")
        starts = session.next_after(_NEVER) or (_NEVER if session.dated else None)
        values["session"] = {
            "id": session.id,
            "title": session.titled(None),
            "kind": session.kind,
            "starts": starts,
            "url": session.url,
            "minutes": session.minutes,
            "choices": [{"starts": starts, "url": f"{page}?start=20260310T140000Z"}]
            if starts and page
            else [],
        }
    return values


def _traits(journey: Journey, sample: Sample) -> dict[str, Any]:
    given: Mapping[str, Any] = sample.get("traits", {})
    if journey.traits is None:
        return dict(given)
    found: dict[str, Any] = {}
    for name, written in journey.traits.items():
        kind, value = written.rstrip("?"), given.get(name)
        fits = isinstance(value, _TYPES[kind]) and (kind == "flag" or not isinstance(value, bool))
        found[name] = value if fits else _BY_KIND[kind]
    return found


def _little_known(sample: Sample) -> dict[str, Any]:
    """Somebody without a name, a company and an owner, for whom nothing has happened yet."""
    nothing: dict[str, Any] = {name: [] for name in ("reached", "missed", "done", "skipped")}
    customer = {**sample.get("customer", {}), **_STRANGER}
    return {**sample, "customer": customer, "owner": {}, **nothing}


def _undated(sample: Sample) -> dict[str, Any]:
    return {**sample, "session": {**sample.get("session", {}), "starts": None, "choices": []}}
