"""What operators do in the store alone: let messages wait, and make people known who can own customers.

None of it needs Temporal: messages can be stopped while it is away.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, get_args

from firstmile.errors import CommandMalformed, Flaw, StoreAway
from firstmile.journey.instants import format_instant, from_datetime
from firstmile.journey.problems import unknown
from firstmile.publishing import routes
from firstmile.service.auditing import deed_of
from firstmile.service.premises import Premises
from firstmile.store import audit, enrolments, holds, owners
from firstmile.store.audit import Deed
from firstmile.store.holds import Hold, Scope
from firstmile.store.owners import Member, Person

RAMPS: Final[dict[Scope, timedelta]] = {
    "everything": timedelta(minutes=30),
    "segment": timedelta(minutes=15),
    "template": timedelta(minutes=15),
    "customer": timedelta(),
}
"""Within how long messages come back after a release, unless told otherwise."""
LONGEST_RAMP: Final = timedelta(days=1)


class Holding:
    """The part of the service that holds messages, and knows people."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def hold(
        self, scope: str, value: str | None, *, reason: str, actor: str, until: datetime | None = None
    ) -> Hold:
        """Let messages wait: `everything`, or those of a `segment`, a `template` or a `customer`."""
        place = _scope(scope, value)
        if not reason.strip():
            raise CommandMalformed([Flaw("reason", "a hold needs a reason: others will want to know why")])
        now = self._premises.now()
        if until is not None and until <= now:
            raise CommandMalformed([Flaw("until", "it lies in the past")])
        async with self._premises.writing() as tx:
            held = await holds.place(tx, place, value, reason=reason, actor=actor, now=now, until=until)
            await audit.record(tx, self._deed("hold", actor, scope, value, reason))
            return held

    async def doubt(self, scope: str, value: str | None) -> str | None:
        """Why a hold may not hold what was meant: nothing that is known is called so. None where all is well.

        It is placed all the same: whoever has to stop something is not sent away over a name.
        """
        place = _scope(scope, value)
        if place == "everything":
            return None
        try:
            async with self._premises.reading() as db:
                if place == "customer":
                    known = await enrolments.latest(db, value or "") is not None
                    return None if known else f"nobody signed up as '{value}'"
                found = routes(await self._premises.shelf.current(db))
        except StoreAway:  # it was placed a moment ago: that is what counts
            return None
        names = set(found)
        if place == "template":
            steps = [stop.step.does for route in found.values() for stop in route.stops]
            names = {name for does in steps if (name := getattr(does, "template", None)) is not None}
        return None if not found or value in names else unknown(place, value or "", sorted(names))

    async def release(
        self,
        scope: str,
        value: str | None,
        *,
        actor: str,
        reason: str | None = None,
        ramp: timedelta | None = None,
    ) -> int:
        """Let messages go out again, each at a moment of its own within `ramp` (`RAMPS` where none is given);
        transactional ones at once. Returns how many holds were released."""
        place = _scope(scope, value)
        if ramp is None:
            ramp = RAMPS[place]
        elif not timedelta() <= ramp <= LONGEST_RAMP:
            raise CommandMalformed([Flaw("ramp", "a length of time of at most a day was expected")])
        async with self._premises.writing() as tx:
            released = await holds.release(tx, place, value, actor=actor, now=self._premises.now(), ramp=ramp)
            if released:
                await audit.record(tx, self._deed("release", actor, scope, value, reason))
            return released

    async def holds(self) -> list[Hold]:
        """The holds in force."""
        async with self._premises.reading() as db:
            return await holds.active(db, self._premises.now())

    def _deed(self, action: str, actor: str, scope: str, value: str | None, reason: str | None) -> Deed:
        target = scope if value is None else f"{scope} {value}"
        subject = value if scope == "customer" else None
        return deed_of(action, actor, self._premises.now(), subject, reason=reason, target=target)

    # People

    async def put_person(self, person: Person, *, actor: str | None = None) -> None:
        """Make a person known, or change one: `assign` steps choose from those of a team who are active."""
        flaws = [
            Flaw(name, "a text without blanks was expected")
            for name, value in (("id", person.id), ("team", person.team))
            if not value or value.split() != [value]
        ]
        if not person.name.strip():
            flaws.append(Flaw("name", "it is missing: customers read it"))
        if flaws:
            raise CommandMalformed(flaws)
        async with self._premises.writing() as tx:
            await owners.put(tx, person)
            deed = deed_of("person", actor or "somebody", self._premises.now(), target=person.id)
            await audit.record(tx, deed)

    async def people(self) -> list[Member]:
        """Everybody who is known, with how many unfinished customers they own."""
        async with self._premises.reading() as db:
            return await owners.members(db)


def _scope(scope: str, value: str | None) -> Scope:
    scopes: dict[str, Scope] = {one: one for one in get_args(Scope)}
    if scope not in scopes:
        raise CommandMalformed([Flaw("scope", unknown("scope", scope, scopes))])
    if (value is None) != (scope == "everything"):
        wanted = "has no value" if value is not None else f"needs a value: which {scope}"
        raise CommandMalformed([Flaw("value", f"a hold on {scope} {wanted}")])
    return scopes[scope]


def hold_as_json(hold: Hold) -> dict[str, Any]:
    """A hold as plain values."""
    until = None if hold.until is None else format_instant(from_datetime(hold.until))
    return {
        "id": hold.id,
        "scope": hold.scope,
        "value": hold.value,
        "reason": hold.reason,
        "actor": hold.actor,
        "since": format_instant(from_datetime(hold.since)),
        "until": until,
    }
