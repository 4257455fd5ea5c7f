"""Looking for customers: what somebody may ask, and everything that is wrong with how they asked it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from firstmile.errors import Flaw, SearchRefused
from firstmile.journey.instants import Instant, format_instant, from_datetime
from firstmile.service.premises import Premises
from firstmile.store import finding, profiles, words
from firstmile.store.finding import Counted, Wanted
from firstmile.store.profiles import Profile
from firstmile.store.views import Customer

_TEXTS: Final = ("segment", "status", "stage", "owner", "stuck", "reason")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked; all of it holds at once.

    `q`: words that begin a word of the id, the name, the address or the company. `owner`: a person's id.
    `overdue`: an active customer whose next instant is more than a minute past, or an open task that is past its
    time. `stuck`: the step that has failed; `reason`: a part of why. `since`: enrolled then or later.
    """

    q: str | None = None
    segment: str | None = None
    status: str | None = None
    stage: str | None = None
    version: int | None = None
    owner: str | None = None
    overdue: bool = False
    stuck: str | None = None
    reason: str | None = None
    since: Instant | None = None


EVERYBODY: Final = Asked()


@dataclass(frozen=True, slots=True)
class Listed:
    """One customer of a page. `profile` is None once it has been erased."""

    customer: Customer
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Customers, newest enrolment first; `cursor` asks for the next page, None on the last.

    A page may have fewer customers than were asked for, or none, though there are more.
    """

    customers: list[Listed]
    cursor: str | None


class Searching:
    """The part of the service that finds customers."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def find(self, asked: Asked, *, cursor: str | None, limit: int) -> FoundPage:
        """A page of customers. Raises `SearchRefused`."""
        wanted = self.wanted(asked)
        async with self._premises.reading() as db:
            try:
                page = await finding.find(db, wanted, cursor=cursor, limit=limit)
            except finding.NoCursor as error:
                raise SearchRefused([Flaw("cursor", str(error))]) from None
            known = await profiles.some(db, [customer.subject for customer in page.customers])
        listed = [Listed(customer, known.get(customer.subject)) for customer in page.customers]
        return FoundPage(listed, page.cursor)

    async def count(self, asked: Asked) -> Counted:
        """How many customers there are of whom all of this holds; nobody counts beyond 1,000."""
        wanted = self.wanted(asked)
        async with self._premises.reading() as db:
            return await finding.count(db, wanted)

    def wanted(self, asked: Asked) -> Wanted:
        """What is asked, as the store takes it. Raises `SearchRefused` with every flaw."""
        flaws: list[Flaw] = []
        looked_for: tuple[str, ...] = ()
        if asked.q is not None:
            try:
                looked_for = words.wanted(asked.q)
            except ValueError as error:
                flaws.append(Flaw("q", str(error)))
        texts: dict[str, str | None] = {name: getattr(asked, name) for name in _TEXTS}
        flaws += [
            Flaw(name, "there is a character in it that no text has")
            for name, text in texts.items()
            if text is not None and not _storable(text)
        ]
        if flaws:
            raise SearchRefused(flaws)
        now = from_datetime(self._premises.now()) if asked.overdue else None
        return Wanted(words=looked_for, version=asked.version, overdue=now, since=asked.since, **texts)


def listed_as_json(one: Listed) -> dict[str, Any]:
    """A customer of a page as plain values."""
    customer, view = one.customer, one.customer.view
    return {
        "id": customer.subject,
        "segment": customer.segment,
        "version": customer.version,
        "enrolment": customer.enrolment,
        "name": None if one.profile is None else one.profile.name,
        "company": None if one.profile is None else one.profile.company,
        "status": view.status,
        "stage": view.stage,
        "enrolled_at": _text(customer.enrolled_at),
        "onboarded": view.onboarded_at is not None,
        "onboarded_at": _text(view.onboarded_at),
        "next_at": _text(view.next),
        "updated_at": _text(from_datetime(customer.updated_at)),
    }


def _storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _text(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)
