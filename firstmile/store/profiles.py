"""Who a customer is: personal data, kept nowhere else (messages keep the address they went to)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import select, update

from firstmile.store import words
from firstmile.store.database import AnyRow, Reading, Writing
from firstmile.store.dialect import Insert, insert
from firstmile.store.tables import profiles


@dataclass(slots=True, frozen=True)
class Contact:
    """A further person at the customer, by role."""

    role: str
    name: str | None
    email: str


@dataclass(slots=True, frozen=True)
class Consent:
    """What the customer agreed to. Transactional messages need no consent."""

    lifecycle: bool = True
    marketing: bool = False


@dataclass(slots=True, frozen=True)
class Profile:
    """One customer. `subject` is opaque and has no `@`; the rest is as the sign-up gave it."""

    subject: str
    name: str | None = None
    email: str | None = None
    company: str | None = None
    contacts: tuple[Contact, ...] = ()
    locale: str | None = None
    timezone: str | None = None
    country: str | None = None
    subdivision: str | None = None
    consent: Consent = Consent()


def address_key(address: str) -> str:
    """What two spellings of one address have in common: SHA-256 of it without case and outer blanks."""
    return hashlib.sha256(unicodedata.normalize("NFKC", address.strip()).casefold().encode()).hexdigest()


async def write(tx: Writing, profile: Profile, now: datetime) -> None:
    """Write a profile, over the one that is there, with the words that it is found by."""
    consent = profile.consent
    row = {
        "subject": profile.subject,
        "name": profile.name,
        "email": profile.email,
        "address_key": None if profile.email is None else address_key(profile.email),
        "company": profile.company,
        "contacts": [{"role": one.role, "name": one.name, "email": one.email} for one in profile.contacts],
        "locale": profile.locale,
        "timezone": profile.timezone,
        "country": profile.country,
        "subdivision": profile.subdivision,
        "consent_lifecycle": consent.lifecycle,
        "consent_marketing": consent.marketing,
        "created_at": now,
        "updated_at": now,
    }
    await tx.execute(_upsert(tx.dialect_name), [row])
    await words.write(tx, profile.subject, (profile.subject, profile.name, profile.email, profile.company))


async def get(db: Reading, subject: str) -> Profile | None:
    """The profile of a subject, or None."""
    row = await db.first(select(profiles).where(profiles.c.subject == subject))
    return None if row is None else _profile(row)


async def locked(tx: Writing, subject: str) -> Profile | None:
    """As `get`, and until this transaction ends nobody else who asks for it so goes on."""
    row = await tx.first(select(profiles).where(profiles.c.subject == subject).with_for_update())
    return None if row is None else _profile(row)


async def some(db: Reading, subjects: Sequence[str]) -> dict[str, Profile]:
    """The profiles of several subjects (a page of them), by subject."""
    rows = await db.all(select(profiles).where(profiles.c.subject.in_(subjects)))
    return {row.subject: _profile(row) for row in rows}


async def with_address(db: Reading, address: str, limit: int = 100) -> list[Profile]:
    """Who has this address, however it is spelled."""
    statement = select(profiles).where(profiles.c.address_key == address_key(address))
    return [_profile(row) for row in await db.all(statement.order_by(profiles.c.subject).limit(limit))]


async def agree(tx: Writing, subject: str, consent: Consent, now: datetime) -> bool:
    """Change a customer's consent. False if the subject is unknown."""
    statement = (
        update(profiles)
        .where(profiles.c.subject == subject)
        .values(
            consent_lifecycle=consent.lifecycle,
            consent_marketing=consent.marketing,
            updated_at=now,
        )
    )
    return (await tx.execute(statement)).rowcount == 1


async def readdress(tx: Writing, subject: str, email: str, now: datetime) -> None:
    """Give a customer another address."""
    values = {"email": email, "address_key": address_key(email), "updated_at": now}
    statement = update(profiles).where(profiles.c.subject == subject).values(**values)
    row = await tx.first(statement.returning(profiles.c.name, profiles.c.company))
    if row is not None:
        await words.write(tx, subject, (subject, row.name, email, row.company))


@cache
def _upsert(name: str) -> Insert:
    new = insert(name, profiles)
    changed = {one.name: new.excluded[one.name] for one in profiles.c if one.name != "created_at"}
    return new.on_conflict_do_update(index_elements=[profiles.c.subject], set_=changed)


def _profile(row: AnyRow) -> Profile:
    contacts: list[dict[str, Any]] = row.contacts
    return Profile(
        subject=row.subject,
        name=row.name,
        email=row.email,
        company=row.company,
        contacts=tuple(Contact(one["role"], one["name"], one["email"]) for one in contacts),
        locale=row.locale,
        timezone=row.timezone,
        country=row.country,
        subdivision=row.subdivision,
        consent=Consent(row.consent_lifecycle, row.consent_marketing),
    )
