"""Sign-ups: seen before or not, and what the sweep may remove."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from firstmile.store import enrolments, profiles
from firstmile.store.database import Database
from firstmile.store.enrolments import NewEnrolment, Registered
from firstmile.store.profiles import Consent, Contact, Profile

NOW = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
BODY = {"id": "c-1", "segment": "team", "email": "ann@example.com"}
NEW = NewEnrolment("c-1", "team", 1, enrolments.request_hash(BODY), {"status": "/v1/onboardings/c-1"}, NOW)
PROFILE = Profile(
    "c-1",
    name="Ann",
    email="Ann@Example.com",
    company="Acme",
    contacts=(Contact("billing", None, "b@example.com"),),
    locale="ja",
    timezone="Asia/Tokyo",
    country="JP",
    subdivision="13",
    consent=Consent(marketing=True),
)


def test_the_order_of_keys_does_not_make_another_request() -> None:
    assert enrolments.request_hash({"b": 1, "a": {"y": 1, "x": 2}}) == enrolments.request_hash(
        {"a": {"x": 2, "y": 1}, "b": 1}
    )
    assert enrolments.request_hash({"a": 1}) != enrolments.request_hash({"a": "1"})


async def test_a_sign_up_is_registered_with_its_profile(db: Database) -> None:
    async with db.writing() as tx:
        registered = await enrolments.register(tx, NEW, PROFILE, NOW)

    assert (registered.outcome, registered.enrolment.state) == ("created", "starting")
    async with db.reading() as reading:
        assert await enrolments.get(reading, "c-1", 1) == registered.enrolment
        assert await profiles.get(reading, "c-1") == PROFILE
        assert await profiles.some(reading, ["c-1", "c-2"]) == {"c-1": PROFILE}
        assert await profiles.with_address(reading, " ann@example.COM") == [PROFILE]
        assert await enrolments.latest(reading, "c-2") is None


async def test_of_many_identical_sign_ups_at_once_one_is_created(db: Database) -> None:
    async def sign_up() -> Registered:
        async with db.writing() as tx:
            return await enrolments.register(tx, NEW, PROFILE, NOW)

    registered = await asyncio.gather(*(sign_up() for _ in range(50)))

    assert Counter(one.outcome for one in registered) == {"created": 1, "same": 49}
    assert {one.enrolment.created_at for one in registered} == {NOW}
    assert all(one.enrolment.response == NEW.response for one in registered)


async def test_another_body_under_the_same_id_changes_nothing(db: Database) -> None:
    other = replace(NEW, request_hash=enrolments.request_hash(BODY | {"email": "x@example.com"}), segment="b")
    async with db.writing() as tx:
        created = await enrolments.register(tx, NEW, PROFILE, NOW)
    async with db.writing() as tx:
        different = await enrolments.register(tx, other, replace(PROFILE, name="Other"), LATER)
        assert await profiles.get(tx, "c-1") == PROFILE

    assert different == Registered("different", created.enrolment)


async def test_the_same_subject_again_is_an_enrolment_of_its_own(db: Database) -> None:
    async with db.writing() as tx:
        await enrolments.register(tx, NEW, PROFILE, NOW)
        again = await enrolments.register(tx, replace(NEW, number=2), replace(PROFILE, name="Anna"), LATER)
        assert again.outcome == "created"
        assert await enrolments.latest(tx, "c-1") == again.enrolment
        profile = await profiles.get(tx, "c-1")

    assert profile is not None
    assert profile.name == "Anna"


async def test_what_was_started_is_not_stale(db: Database) -> None:
    async with db.writing() as tx:
        await enrolments.register(tx, NEW, PROFILE, NOW)
        assert [one.subject for one in await enrolments.stale_starting(tx, LATER)] == ["c-1"]
        assert await enrolments.stale_starting(tx, NOW) == []
        assert await enrolments.mark_started(tx, "c-1", 1)
        assert await enrolments.mark_started(tx, "c-1", 1)
        assert await enrolments.stale_starting(tx, LATER) == []
        assert not await enrolments.remove_starting(tx, "c-1", 1, LATER)


async def test_what_is_removed_leaves_no_personal_data(db: Database) -> None:
    async with db.writing() as tx:
        await enrolments.register(tx, NEW, PROFILE, NOW)
        assert await enrolments.remove_starting(tx, "c-1", 1, LATER)
        assert not await enrolments.remove_starting(tx, "c-1", 1, LATER)
        assert not await enrolments.mark_started(tx, "c-1", 1)
        assert await profiles.get(tx, "c-1") is None


async def test_a_profile_that_another_enrolment_needs_stays(db: Database) -> None:
    async with db.writing() as tx:
        await enrolments.register(tx, NEW, PROFILE, NOW)
        await enrolments.register(tx, replace(NEW, number=2), PROFILE, NOW)
        assert await enrolments.remove_starting(tx, "c-1", 2, LATER)
        assert await profiles.get(tx, "c-1") == PROFILE


async def test_a_repeat_that_goes_on_to_start_is_not_swept_away(db: Database) -> None:
    async with db.writing() as tx:
        await enrolments.register(tx, NEW, PROFILE, NOW)
        assert (await enrolments.register(tx, NEW, PROFILE, LATER)).outcome == "same"
        assert await enrolments.stale_starting(tx, LATER) == []
        assert not await enrolments.remove_starting(tx, "c-1", 1, LATER)


async def test_profile_and_enrolment_are_of_one_subject(db: Database) -> None:
    async with db.writing() as tx:
        with pytest.raises(ValueError, match="c-2"):
            await enrolments.register(tx, NEW, Profile("c-2"), NOW)


async def test_consent_changes(db: Database) -> None:
    async with db.writing() as tx:
        await profiles.write(tx, PROFILE, NOW)
        assert await profiles.agree(tx, "c-1", Consent(lifecycle=False), LATER)
        assert not await profiles.agree(tx, "c-2", Consent(), LATER)
        assert await profiles.get(tx, "c-1") == replace(PROFILE, consent=Consent(lifecycle=False))
