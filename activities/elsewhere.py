"""Effects that wait on a task queue where nobody carries them out any more.

Before messages had a task queue of their own they waited with everything else, and those that were waiting
when a new release took over still do. Whoever serves that queue says where they belong: their workflow asks
for them there, and the ledger knows what had come of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import signatures
from firstmile.contracts import EffectOutcome, EffectRequest

Activity = Callable[..., Any]


def elsewhere(served: Iterable[Activity]) -> list[Activity]:
    """What answers in place of the activities that write to customers, where they are not `served`."""
    names = {found.name for one in served if (found := activity._Definition.from_callable(one)) is not None}
    sending = {signatures.EFFECTS[kind] for kind in signatures.SENDING}
    return [_answering(name) for name in sorted(sending - names)]


def _answering(name: str) -> Activity:
    @activity.defn(name=name)
    async def answer(request: EffectRequest) -> EffectOutcome:
        raise ApplicationError(
            f"{name} has a task queue of its own now", type=signatures.ELSEWHERE, non_retryable=True
        )

    return answer
