"""Finding customers: whoever satisfies what is asked, and nobody else, however it is looked up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from firstmile.contracts import Clock
from firstmile.journey.instants import Instant, from_datetime
from firstmile.journey.journal import Entry, Status, View
from firstmile.store import enrolments, finding, journal, owners, profiles, tasks, views, words
from firstmile.store.database import Database, Reading
from firstmile.store.enrolments import NewEnrolment
from firstmile.store.finding import Counted, Wanted
from firstmile.store.owners import Person
from firstmile.store.profiles import Profile
from firstmile.store.tables import profiles as profile_rows
from firstmile.store.tables import search_words
from firstmile.store.tasks import NewTask

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
AT = from_datetime(NOW)
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


@pytest.fixture(autouse=True, params=["few", "many"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test twice: candidates are few, and looked at; or many, and everybody is gone through."""
    if request.param == "many":
        monkeypatch.setattr(finding, "FEW", 0)
        monkeypatch.setattr(finding, "SCANNED", 7)


# ---- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Mei Tanabe", ["mei", "tanabe"]),
        (
            "ann.becker@acme.example",
            ["acme.example", "ann.becker@acme.example", "becker@acme.example", "example"],
        ),
        ("Weber & Partner (Köln)", ["koln", "partner", "weber"]),
        ("JOSÉ Łukasz Ødegård Straße", ["jose", "lukasz", "odegard", "strasse"]),
        ("Ｆｕｌｌ ﬁne", ["fine", "full"]),
        ("Müller-Lüdenscheidt", ["ludenscheidt", "muller-ludenscheidt"]),
        ("Ann Annabel", ["annabel"]),
        ("Jo Li AG 3M", []),
        ("田辺 芽衣", ["田辺", "芽衣"]),
        ("김 민준", ["민준"]),
        ("a\x00bcd\ud800efg\nhij", ["bcd", "efg", "hij"]),
        ("--- ... @", []),
        ("x" * 300, ["x" * words.LONGEST]),
    ],
)
def test_the_words_of_a_text(text: str, kept: list[str]) -> None:
    assert words.kept([text]) == sorted(kept)


@pytest.mark.parametrize(
    ("q", "wanted"),
    [
        ("  MÜLLER  ", ("muller",)),
        ("ann becker", ("ann", "becker")),
        ("ann annabel", ("annabel",)),
        ("Weber & Partner", ("partner", "weber")),
        ("acme.exa", ("acme.exa",)),
        ("<ann.becker@acme.example>", ("ann.becker@acme.example",)),
        ("芽衣", ("芽衣",)),
    ],
)
def test_the_words_that_are_looked_for(q: str, wanted: tuple[str, ...]) -> None:
    assert words.wanted(q) == wanted


@pytest.mark.parametrize("q", ["an", "ann be", "芽", "ann --b--"])
def test_a_word_needs_three_letters(q: str) -> None:
    with pytest.raises(words.TooShort, match=r"3 letters or more: word \d has fewer"):
        words.wanted(q)


@pytest.mark.parametrize("q", ["", " ", "&", "one two three four five six seven eight nine then more"])
def test_nothing_and_too_much_are_not_looked_for(q: str) -> None:
    with pytest.raises(ValueError, match="word"):
        words.wanted(q)


@given(st.text(max_size=60), st.data())
def test_whoever_has_a_word_is_found_by_each_of_its_beginnings(text: str, data: st.DataObject) -> None:
    for word in words.kept([text]):
        beginning = word[: data.draw(st.integers(1, len(word)))]
        try:
            (wanted,) = words.wanted(beginning)
        except ValueError:
            continue  # too short, or cut where no word ends
        assert word.startswith(wanted)
        assert any(other.startswith(wanted) for other in words.kept([text]))


@given(st.text(max_size=60))
def test_how_a_text_is_compared_does_not_change_when_it_is_done_twice(text: str) -> None:
    assert words.kept([words.plain(text)]) == words.kept([text])


# ---- a town ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resident:
    """One enrolment, as plain facts that a search can be held against."""

    subject: str
    number: int
    texts: tuple[str | None, ...]
    began: Instant
    segment: str
    version: int
    status: Status
    stage: str | None
    speed: float
    next: Instant | None
    owner: str | None
    task_due: Instant | None
    task_open: bool
    failures: dict[str, list[str]] = field(default_factory=dict)
    failed: str | None = None

    def satisfies(self, wanted: Wanted) -> bool:
        """What a search should find, in the words of its description."""
        clock = Clock(self.began, self.speed)

        def past(due: Instant | None, by: int) -> bool:
            return due is not None and clock.real(due) < AT - by

        overdue = (self.status == "active" and past(self.next, MINUTE)) or (
            self.task_open and past(self.task_due, 0)
        )
        mine = words.kept(self.texts)
        reasons = [why[-1] for step, why in self.failures.items() if step == self.failed]
        stuck = self.status == "stuck" and self.failed is not None
        return all(
            (
                all(any(word.startswith(one) for word in mine) for one in wanted.words),
                wanted.segment in (None, self.segment),
                wanted.status in (None, self.status),
                wanted.stage in (None, self.stage),
                wanted.version in (None, self.version),
                wanted.owner in (None, self.owner),
                wanted.overdue is None or overdue,
                wanted.stuck is None or (stuck and self.failed == wanted.stuck),
                wanted.reason is None
                or (stuck and any(wanted.reason.lower() in reason.lower() for reason in reasons)),
                wanted.since is None or self.began >= wanted.since,
            )
        )


def made_up(number: int, chance: random.Random) -> Resident:
    """Somebody who lies often at the edge of what is asked."""
    status: Status = chance.choice(["active", "active", "active", "paused", "stuck", "completed"])
    began = AT - chance.randrange(1, 40) * DAY
    speed = chance.choice([1.0, 1.0, 1.0, 0.5, 1440.0])
    clock = Clock(began, speed)

    def about_now(apart: int) -> Instant | None:
        moment = clock.journey(AT + chance.choice([-5 * apart, -apart // 2, apart, DAY // 24]))
        return chance.choice([None, moment, moment])

    first, last = chance.choice(["Ann", "Anna", "José", "Mei"]), chance.choice(["Becker", "Bäcker", "Tanabe"])
    company = chance.choice([None, "Acme GmbH", "Tanabe & Söhne"])
    subject = f"c-{number // 2 if number < 20 else number:03}"
    failures = {
        step: chance.choices(["quota exceeded", "50% over", "nobody is active"], k=chance.randint(1, 2))
        for step in ("workspace", "invite")
        if status == "stuck" or chance.random() < 0.2
    }
    # All enrolments of somebody share the profile: the last that was written.
    return Resident(
        subject=subject,
        number=1 + (number % 2 if number < 20 else 0),
        texts=(subject, f"{first} {last}", f"{first}.{last}@acme.example", company),
        began=began,
        segment=chance.choice(["team", "enterprise"]),
        version=chance.choice([1, 2]),
        status=status,
        stage=chance.choice([None, "sign-up", "mastery"]),
        speed=speed,
        next=about_now(2 * MINUTE),
        owner=chance.choice([None, "ann", "bo"]),
        task_due=about_now(MINUTE),
        task_open=chance.random() < 0.3,
        failures=failures,
        failed=chance.choice(list(failures)) if status == "stuck" else None,
    )


async def settle(db: Database, residents: list[Resident]) -> None:
    """Write them as the program would."""
    async with db.writing() as tx:
        for id in ("ann", "bo"):
            await owners.put(tx, Person(id, id, "care"))
        for one in residents:
            _, name, email, company = one.texts
            profile = Profile(one.subject, name, email, company)
            new = NewEnrolment(
                subject=one.subject,
                segment=one.segment,
                version=one.version,
                request_hash="",
                response={},
                enrolled_at=datetime.fromtimestamp(one.began / 1e6, UTC),
                number=one.number,
                speed=one.speed,
            )
            assert (await enrolments.register(tx, new, profile, NOW)).outcome == "created"
            steps: dict[str, tuple[str, Instant | None]] = {
                step: ("failed" if step == one.failed else "done", AT) for step in one.failures
            }
            view = View(5, one.status, one.stage, None, one.next, steps)
            place = one.subject, one.number
            await views.write(tx, *place, one.segment, one.version, view, NOW, one.began)
            entries = [
                Entry(10 * turn + nth, one.began + nth, "failed", step, "provision", reason)
                for turn, (step, why) in enumerate(one.failures.items())
                for nth, reason in enumerate(why)
            ]
            await journal.write(tx, *place, one.segment, entries)
            if one.owner is not None:
                await owners.reassign(tx, *place, "specialist", one.owner, NOW)
                if one.status == "completed":
                    await owners.release(tx, *place, NOW)
            key = f"{one.subject}/{one.number}"
            await tasks.open_task(tx, NewTask(key, *place, "call", "Call", due=one.task_due), NOW)
            if not one.task_open:
                await tasks.complete(tx, key, actor="ann", now=NOW)


def town(seed: int = 3, number: int = 60) -> list[Resident]:
    chance = random.Random(seed)
    residents = [made_up(one, chance) for one in range(number)]
    last = {one.subject: one.texts for one in residents}
    return [replace(one, texts=last[one.subject]) for one in residents]


async def everybody_found(db: Reading, wanted: Wanted, limit: int = 4) -> list[tuple[str, int]]:
    """All pages of a search, in order."""
    found: list[tuple[str, int]] = []
    cursor: str | None = None
    for _ in range(1_000):
        page = await finding.find(db, wanted, cursor=cursor, limit=limit)
        assert len(page.customers) <= limit
        found += [(one.subject, one.enrolment) for one in page.customers]
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


ASKED: dict[str, Callable[[random.Random], Any]] = {
    "words": lambda chance: words.wanted(
        chance.choice(
            ["ann", "anna", "jose", "beck", "ann beck", "tan", "tanabe sohne", "acme", "c-0", "c-011"]
        )
        + chance.choice(["", "", " exam", " ann.bec"])
    ),
    "segment": lambda chance: chance.choice(["team", "enterprise", "nowhere"]),
    "status": lambda chance: chance.choice(["active", "stuck", "completed"]),
    "stage": lambda chance: chance.choice(["sign-up", "mastery"]),
    "version": lambda chance: chance.choice([1, 2, 3]),
    "owner": lambda chance: chance.choice(["ann", "bo", "nobody"]),
    "overdue": lambda _: AT,
    "stuck": lambda chance: chance.choice(["workspace", "invite"]),
    "reason": lambda chance: chance.choice(["QUOTA", "50% o", "active", "_"]),
    "since": lambda chance: AT - chance.randrange(40) * DAY,
}


async def test_whoever_satisfies_what_is_asked_is_found_once_and_nobody_else(db: Database) -> None:
    residents = town()
    await settle(db, residents)
    newest_first = sorted(residents, key=lambda one: (one.began, one.subject, one.number), reverse=True)
    chance = random.Random(5)
    searches = [Wanted(), *(Wanted(**{name: make(chance)}) for name, make in ASKED.items() for _ in range(2))]
    for _ in range(60):
        names = chance.sample(list(ASKED), chance.choice([2, 2, 3, 4]))
        searches.append(Wanted(**{name: ASKED[name](chance) for name in names}))

    async with db.reading() as reading:
        hits = 0
        for wanted in searches:
            right = [(one.subject, one.number) for one in newest_first if one.satisfies(wanted)]
            assert await everybody_found(reading, wanted) == right, wanted
            counted = await finding.count(reading, wanted)
            assert counted.number == len(right) or (counted.or_more and counted.number <= len(right)), wanted
            hits += bool(right)
    assert hits > len(searches) / 3, "most searches should find somebody"


async def test_nobody_counts_beyond_what_is_worth_knowing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "COUNTED", 10)
    residents = town()
    await settle(db, residents)

    async with db.reading() as reading:
        assert await finding.count(reading) == Counted(10, or_more=True)
        monkeypatch.setattr(finding, "FEW", 5_000)
        assert await finding.count(reading, Wanted(segment="team")) == Counted(10, or_more=True)
        monkeypatch.setattr(finding, "COUNTED", len(residents))
        assert await finding.count(reading) == Counted(len(residents), or_more=False)


async def test_a_search_that_finds_nobody_for_long_says_where_it_goes_on(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "FEW", 0)
    monkeypatch.setattr(finding, "SCANNED", 7)
    residents = [
        replace(one, segment="team", owner="bo" if number else "ann", began=AT - (60 - number) * DAY)
        for number, one in enumerate(town())
    ]
    await settle(db, residents)

    async with db.reading() as reading:
        page = await finding.find(reading, Wanted(segment="team", owner="ann"))
        assert page.customers == []
        assert page.cursor is not None
        assert len(await everybody_found(reading, Wanted(segment="team", owner="ann"))) == 1


@pytest.mark.parametrize(
    "cursor", ["x", "1.2", "a.1.c-1", "1.b.c-1", "9" * 30 + ".1.c-1", "9" * 18 + ".1.c-1", "1.1.\x00", "1.1."]
)
async def test_a_cursor_that_is_none_of_ours_is_refused(db: Database, cursor: str) -> None:
    async with db.reading() as reading:
        with pytest.raises(finding.NoCursor, match="no cursor"):
            await finding.find(reading, cursor=cursor)


# ---- what is kept ----------------------------------------------------------------------------------------


@pytest.fixture
async def ann(db: Database) -> Database:
    residents = [
        replace(town()[0], subject="c-1", number=1, texts=("c-1", "Ann Becker", "ann@old.example", None))
    ]
    await settle(db, residents)
    return db


async def found_by(db: Database, q: str) -> bool:
    async with db.reading() as reading:
        return bool(await everybody_found(reading, Wanted(words=words.wanted(q))))


async def test_another_address_is_found_and_the_former_is_not(ann: Database) -> None:
    assert await found_by(ann, "old.exam")

    async with ann.writing() as tx:
        await profiles.readdress(tx, "c-1", "ann@new.example", NOW)
        await profiles.readdress(tx, "c-2", "nobody@new.example", NOW)

    assert not await found_by(ann, "old.exam")
    assert await found_by(ann, "new.exam")
    assert await found_by(ann, "becker")
    assert not await found_by(ann, "nobody@")


async def test_a_profile_that_is_written_again_is_found_by_what_it_says_now(ann: Database) -> None:
    async with ann.writing() as tx:
        await profiles.write(tx, Profile("c-1", "Ann Weber", None, "Weber"), NOW)

    assert await found_by(ann, "weber")
    assert not await found_by(ann, "becker")
    assert await found_by(ann, "c-1")


async def test_words_go_with_the_profile(ann: Database) -> None:
    async with ann.writing() as tx:
        await tx.execute(delete(profile_rows).where(profile_rows.c.subject == "c-1"))
        row = await tx.first(select(func.count()).select_from(search_words))

    assert row is not None
    assert row[0] == 0


async def test_a_sign_up_that_is_given_up_leaves_no_words(db: Database) -> None:
    new = NewEnrolment("c-1", "team", 1, "", {}, NOW)
    async with db.writing() as tx:
        await enrolments.register(tx, new, Profile("c-1", "Ann Becker"), NOW)
        assert await enrolments.remove_starting(tx, "c-1", 1, NOW + timedelta(minutes=1))
        assert await tx.all(select(search_words)) == []
