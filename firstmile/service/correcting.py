"""Corrections of who a customer is: in the store alone, since nothing of it is in a workflow."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from firstmile import signup
from firstmile.errors import UnknownCustomer
from firstmile.service.auditing import deed_of
from firstmile.service.premises import Premises
from firstmile.store import audit, choices, opt_outs, profiles, suppressions
from firstmile.store.choices import Choice
from firstmile.store.database import Writing
from firstmile.store.profiles import address_key
from firstmile.store.suppressions import Reason

CHOSEN: Final[frozenset[Reason]] = frozenset({"unsubscribed", "complained", "manual"})
"""Reasons that are about the person, not about the mailbox."""


class Correcting:
    """The part of the service that corrects profiles."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def address(self, subject: str, body: object, *, actor: str, reason: str | None = None) -> bool:
        """Change a customer's address to the `email` of a body. False if it is that already.

        Messages that are sent from now on go there. What the customer chose goes with them: topics left, being
        unsubscribed, a complaint; what was wrong with the former address itself does not.
        Raises `CommandMalformed`, `UnknownCustomer`.
        """
        email = signup.address_in(body)
        now = self._premises.now()
        async with self._premises.writing() as tx:
            profile = await profiles.get(tx, subject)
            if profile is None:
                raise UnknownCustomer(subject)
            if profile.email == email:
                return False
            await profiles.readdress(tx, subject, email, now)
            if profile.email is not None:
                await _carry_over(tx, profile.email, email, actor, now)
            # Neither address is written here: the audit outlives the removal of personal data.
            await audit.record(tx, deed_of("address", actor, now, subject, reason=reason))
        return True

    async def foresee_address(self, subject: str, body: object) -> list[str]:
        """What `address` would do, in words; nothing changes. Raises what `address` raises."""
        email = signup.address_in(body)
        async with self._premises.reading() as db:
            profile = await profiles.get(db, subject)
            stopped = await suppressions.of(db, email)
            former = (
                [] if profile is None or profile.email is None else await suppressions.of(db, profile.email)
            )
        if profile is None:
            raise UnknownCustomer(subject)
        if profile.email == email:
            return ["nothing changes: it is that already"]
        reasons = {one.reason for one in stopped} | {one.reason for one in former if one.reason in CHOSEN}
        held = f"; it is suppressed: {', '.join(sorted(reasons))}" if reasons else ""
        return [f"messages to '{subject}' go to the new address from now on{held}"]


async def _carry_over(tx: Writing, former: str, email: str, actor: str, now: datetime) -> None:
    """Let what a person chose at one address hold at another."""
    key, old = address_key(email), address_key(former)
    await choices.alone(tx, [key, old])
    for one in await suppressions.of(tx, former):
        if one.reason in CHOSEN and await suppressions.add(tx, email, one.reason, now, note=one.note):
            await choices.record(tx, key, Choice(f"suppress {one.reason}", actor, now, note="a new address"))
    left = await opt_outs.leave(tx, key, await opt_outs.of(tx, old), now, email)
    for topic in left:
        await choices.record(tx, key, Choice(f"leave {topic}", actor, now, note="a new address"))
