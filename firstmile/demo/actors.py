"""Who acts in the demo: the sample customers, and the operators who look after them.

They do only what their counterparts outside can do: customers use the product (events over HTTP) and answer
on the pages behind the links of the messages that really came; operators look at the list of customers and
give commands over HTTP. What could not be done is done again; every event and command has an id of its own,
so that doing it again changes nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from firstmile.contracts import effect_key
from firstmile.demo import pages
from firstmile.demo.customers import OPERATOR, Customer
from firstmile.demo.story import Due, Note, OptsOut, Orders, Rates, Replies, Seen, Story, Uses, dated
from firstmile.demo.surroundings import Surroundings
from firstmile.journey.inputs import Purpose

TICK: Final = 0.3
"""Seconds between two looks at the world."""

PATIENCE: Final = 20
"""How often something is tried before it counts as trouble."""

_DAY: Final = 86_400
_NOTES: Final[tuple[tuple[Purpose, int], ...]] = (
    ("run", 1),
    *(("remind", number) for number in range(1, 5)),
    *(("occur", number) for number in range(2, 6)),
)
_ATTEMPTS: Final = range(4)


class Failed(Exception):
    """Something could not be done, and may be when it is tried again."""


class Refused(Exception):
    """Something was refused, and will be when it is tried again."""


@dataclass(slots=True)
class Part:
    """One customer's part in the play, and what has been seen of it."""

    customer: Customer
    story: Story
    speed: float
    body: dict[str, Any] = field(default_factory=dict)
    enrolled_at: float = 0.0
    seen: Seen = field(default_factory=Seen)
    updated_at: str = ""
    keys: dict[str, Note] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)

    @property
    def day(self) -> float:
        """Days of journey time since enrolment."""
        return (time.time() - self.enrolled_at) * self.speed / _DAY

    @property
    def enrolled(self) -> datetime:
        """When the journey began."""
        return datetime.fromtimestamp(self.enrolled_at, UTC)


class Actors:
    """Everybody who acts. `troubles` collects what could not be done, as (customer, what)."""

    def __init__(
        self,
        place: Surroundings,
        cast: Sequence[Customer],
        speeds: Mapping[str, float],
        client: httpx.AsyncClient,
    ) -> None:
        self._place, self._client = place, client
        self._parts = [
            Part(customer, Story(customer.scenes, customer.work), speeds[customer.segment])
            for customer in cast
        ]
        self._slots = asyncio.Semaphore(4)
        self.troubles: list[tuple[Customer, str]] = []

    @property
    def all_over(self) -> bool:
        """Whether every journey has ended and no task is left."""
        return all(part.seen.over and not part.seen.tasks for part in self._parts)

    @property
    def answered(self) -> dict[str, list[str]]:
        """By customer, the steps whose question was answered on a page that took it."""
        return {part.customer.id: part.answered for part in self._parts}

    async def sign_up(self) -> None:
        """Sign everybody up, one after the other."""
        for part in self._parts:
            await self._arrange_mishaps(part.customer)
            await self._sign_up(part)
        # Signing up again changes nothing: one of them does.
        for part in self._parts[:1]:
            await self._sign_up(part)

    async def play(self) -> None:
        """Act until every journey has ended."""
        while not self.all_over:
            try:
                await self._look()
            except (Failed, httpx.TransportError):
                pass  # looked at again with the next tick
            else:
                await asyncio.gather(*(self._act(part) for part in self._parts))
            await asyncio.sleep(TICK)

    # ---- signing up --------------------------------------------------------------------------------------

    async def _arrange_mishaps(self, customer: Customer) -> None:
        """Tell the stand-ins what will go wrong for this customer."""
        if customer.outage:
            refusal = {"kind": "status", "status": 422, "on": "call", "times": customer.outage}
            match = f"^{customer.id}$"
            await self._call("POST", f"{self._place.systems}/_standin/faults", refusal | {"match": match})
        if customer.silence:
            broken = {"kind": "reset", "when": "after", "on": "send", "times": customer.silence}
            match = f"^{re.escape(customer.email)}$"
            await self._call("POST", f"{self._place.inbox}/_standin/faults", broken | {"match": match})

    async def _sign_up(self, part: Part) -> None:
        customer = part.customer
        part.body = part.body or _body(customer, part.speed)
        answer: Any = None
        while answer is None:
            try:
                answer = await self._call("POST", f"{self._place.web}/v1/onboardings", part.body)
            except (Failed, httpx.TransportError):
                await asyncio.sleep(TICK)
            except Refused as refused:
                self.troubles.append((customer, f"the sign-up was refused: {refused}"))
                return
        enrolled = datetime.fromisoformat(answer["enrolled_at"]).timestamp()
        if part.enrolled_at and part.enrolled_at != enrolled:
            self.troubles.append((customer, "signing up again was answered differently"))
        part.enrolled_at = enrolled

    # ---- looking -----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        listed = await self._call("GET", f"{self._place.web}/v1/onboardings?limit=100")
        now = {one["id"]: one["updated_at"] for one in listed["onboardings"]}
        for part in self._parts:
            updated = now.get(part.customer.id)
            if updated is not None and updated != part.updated_at:
                await self._look_closely(part)
                part.updated_at = updated
        await self._look_into_inbox()

    async def _look_closely(self, part: Part) -> None:
        status = await self._call("GET", f"{self._place.web}/v1/onboardings/{part.customer.id}")
        seen, day = part.seen, part.day
        if not part.keys:
            part.keys = _keys(part.customer.id, [one["step"] for one in status["steps"]])
        tasks = {one["step"] for one in status["tasks"] if one["state"] == "open"}
        failed = {one["step"] for one in status["steps"] if one["phase"] == "failed"}
        for kept, there in ((seen.tasks, tasks), (seen.failed, failed)):
            for step in kept.keys() - there:
                del kept[step]
            for step in there - kept.keys():
                kept[step] = day
        seen.over = status["status"] in ("completed", "stopped")

    async def _look_into_inbox(self) -> None:
        letters = await self._call("GET", f"{self._place.inbox}/_standin/messages")
        for part in self._parts:
            for letter in letters["messages"]:
                note = part.keys.get(letter["key"])
                if note is not None and note not in part.seen.messages:
                    came = datetime.fromisoformat(letter["received_at"]).timestamp()
                    part.seen.messages[note] = (came - part.enrolled_at) * part.speed / _DAY
                    part.letters[note.step] = letter["number"]

    # ---- acting ------------------------------------------------------------------------------------------

    async def _act(self, part: Part) -> None:
        for due in part.story.due(part.seen, part.day):
            async with self._slots:
                try:
                    await self._do(part, due)
                except (Failed, pages.PageFailed, httpx.TransportError) as problem:
                    part.tried[due.id] = part.tried.get(due.id, 0) + 1
                    if part.tried[due.id] < PATIENCE:
                        return  # again with the next tick; what comes after it waits
                    self.troubles.append((part.customer, f"{due.id}: {type(problem).__name__} {problem}"))
                except Refused as refused:
                    # What an operator wanted to complete may have closed in that moment.
                    if not due.id.startswith("complete-"):
                        self.troubles.append((part.customer, f"{due.id}: {refused}"))
            part.story.done(due)

    async def _do(self, part: Part, due: Due) -> None:
        match due.act:
            case Uses(event, times, properties):
                await self._use(part, due.id, event, times, properties)
            case Rates(step, score, comment):
                link = await self._link(part, step, "/s/")
                await pages.answer(self._client, link, {"score": str(score), "comment": comment})
                part.answered.append(step)
            case Replies(step, reply, comment):
                link = await self._link(part, step, "/c/", f"answer={reply}")
                await pages.answer(self._client, link, {"answer": reply, "comment": comment})
                part.answered.append(step)
            case OptsOut(step):
                letter = await self._letter(part, step)
                header = _headers(letter).get("List-Unsubscribe", "")
                await pages.unsubscribe(self._client, header)
            case Orders() as order:
                await self._order(part, due.id, order)

    async def _use(
        self, part: Part, scene: str, event: str, times: int, properties: Mapping[str, Any]
    ) -> None:
        events = [
            {
                "subject": part.customer.id,
                "event": event,
                "id": f"{part.customer.id}-{scene}-{number}",
                "properties": dict(properties),
            }
            for number in range(1, times + 1)
        ]
        await self._call("POST", f"{self._place.web}/v1/events", events)

    async def _order(self, part: Part, scene: str, order: Orders) -> None:
        traits = dated(order.traits, part.enrolled.date())
        body: dict[str, Any] = {"actor": OPERATOR, "reason": order.reason, **order.options}
        if order.step is not None:
            body["step"] = order.step
        if traits:
            body["traits"] = traits
        url = f"{self._place.web}/v1/onboardings/{part.customer.id}/{order.command}"
        key = f"{part.customer.id}-{scene}"
        await self._call("POST", url, body, headers={"Idempotency-Key": key})

    # ---- letters and calls -------------------------------------------------------------------------------

    async def _letter(self, part: Part, step: str) -> dict[str, Any]:
        number = part.letters[step]
        found: dict[str, Any] = await self._call("GET", f"{self._place.inbox}/_standin/messages/{number}")
        return found

    async def _link(self, part: Part, step: str, path: str, ending: str = "") -> str:
        letter = await self._letter(part, step)
        html = next(content["value"] for content in letter["content"] if content["type"] == "text/html")
        found = [link for link in pages.links(html, self._place.web + path) if link.endswith(ending)]
        if not found:
            raise pages.PageFailed(f"the message of {step} has no link to answer by")
        return found[0]

    async def _call(
        self, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        answer = await self._client.request(method, url, json=body, headers=headers)
        if answer.is_success:
            return answer.json() if answer.content else None
        said = f"{answer.status_code} {answer.text[:300]}"
        raise Failed(said) if answer.status_code >= 500 or answer.status_code == 429 else Refused(said)


def _body(customer: Customer, speed: float) -> dict[str, Any]:
    """A sign-up."""
    whole = {
        "id": customer.id,
        "segment": customer.segment,
        "name": customer.name,
        "company": customer.company or None,
        "email": customer.email,
        "timezone": customer.timezone,
        "country": customer.country,
        "locale": customer.locale,
        "consent": {"marketing": customer.offers},
        "traits": dated(customer.traits, datetime.now(UTC).date()),
        "speed": speed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def _keys(subject: str, steps: Sequence[str]) -> dict[str, Note]:
    """Which message a key stands for: keys are hashes of what they stand for, and nothing else."""
    return {
        effect_key(subject, 1, step, purpose, number, attempt): Note(step, purpose, number)
        for step in steps
        for purpose, number in _NOTES
        for attempt in _ATTEMPTS
    }


def _headers(letter: Mapping[str, Any]) -> dict[str, str]:
    """Of a message and of its personalization."""
    person = letter["personalizations"][0]
    return {**letter.get("headers", {}), **person.get("headers", {})}
