"""What is asked of many customers at once: a command, for whom, and how quickly; and the job it becomes."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from firstmile import bodies
from firstmile.contracts import CommandRequest
from firstmile.errors import CommandMalformed, Flaw
from firstmile.journey.instants import format_instant
from firstmile.service.searching import Asked
from firstmile.store.bulk import Job, NewJob


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a command for those whom `filters` mean, or for `ids`.

    `request` has the command's arguments, who asks, and why. `rate` is customers per second at most; None: as
    the settings say.
    """

    command: str
    request: CommandRequest
    filters: Asked | None = None
    ids: Sequence[str] | None = None
    rate: float | None = None


def arguments_of(request: CommandRequest) -> dict[str, Any]:
    """A command's own arguments: without who gives it and why, and without what is as it always is."""
    plain = CommandRequest()
    return {
        one.name: getattr(request, one.name)
        for one in fields(CommandRequest)
        if one.name not in ("actor", "reason") and getattr(request, one.name) != getattr(plain, one.name)
    }


def request_of(job: Job) -> CommandRequest:
    """What each customer's workflow is told."""
    return CommandRequest(actor=job.actor, reason=job.reason, **job.arguments)


def wrong_ids(ids: Sequence[str]) -> Iterator[Flaw]:
    """What among ids can be none."""
    for place, one in enumerate(ids):
        if not 0 < len(one) <= 200:
            yield Flaw(f"ids[{place}]", "an id was expected: a text of at most 200 characters")
        yield from bodies.flaws(one, f"ids[{place}]")


def nobody(order: Order) -> CommandMalformed:
    """What to say when an order means nobody."""
    if order.filters is None:
        return CommandMalformed([Flaw("ids", "the list is empty")])
    return CommandMalformed([Flaw("filter", "it finds nobody who is on the way")])


def new_job(order: Order, key: str | None, api_key: str | None) -> NewJob:
    """The job of an order: the same under the same idempotency key of the same API key."""
    chosen = None if order.filters is None else _said(order.filters)
    body = [
        order.command,
        arguments_of(order.request),
        order.request.actor,
        order.request.reason,
        chosen,
        None if order.ids is None else list(order.ids),
        order.rate,
    ]
    text = json.dumps(body, sort_keys=True)
    named = f"{api_key or ''}\x1f{key}"
    return NewJob(
        id=secrets.token_hex(6) if key is None else hashlib.sha256(named.encode()).hexdigest()[:12],
        command=order.command,
        arguments=arguments_of(order.request),
        # What words somebody looked for may be a name or an address: that is kept with the profile alone.
        filter=None if chosen is None else {**chosen, **({"q": "…"} if "q" in chosen else {})},
        actor=order.request.actor or "somebody",
        key=api_key,
        reason=order.request.reason or "",
        request_hash=hashlib.sha256(text.encode()).hexdigest(),
        rate=order.rate or 0,
    )


def _said(filters: Asked) -> dict[str, Any]:
    """Filters as plain values: what is asked, and nothing that is not."""
    said = {
        name: value for name, value in asdict(filters).items() if value is not None and value is not False
    }
    return {**said, **({} if filters.since is None else {"since": format_instant(filters.since)})}
