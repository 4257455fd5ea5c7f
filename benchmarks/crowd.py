"""A store full of made-up customers, for benchmarks that ask it something: three years of sign-ups.

Nine of ten are over, a few are stuck, late, or paused; names are as uneven as real ones: some are everywhere.
Rows are written past the store's own functions, or a million of them would take hours. What is not asked for
is left out: messages, and most of the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from firstmile.store import dialect, schema, words
from firstmile.store.tables import metadata

NOW: Final = datetime(2026, 3, 6, 9, tzinfo=UTC)
"""When the newest has just signed up."""

SEGMENTS: Final = {"self_serve": 70, "team": 22, "enterprise": 8}
STAGES: Final = ("set-up", "first value", "habit", "mastery")
OWNERS: Final = tuple(f"person-{number:02}" for number in range(60))
FAILING: Final = ("workspace", "invite_team", "sso")
REASONS: Final = (
    "the system answered 422: quota exceeded",
    "template: variable is missing",
    "nobody is active",
)

_AT_ONCE = 20_000
_SYLLABLES = (
    "ba",
    "ker",
    "mei",
    "lo",
    "san",
    "ti",
    "wen",
    "ra",
    "ost",
    "mül",
    "ja",
    "nov",
    "per",
    "eck",
    "dó",
    "hu",
)
_SUFFIXES = ("GmbH", "Inc.", "Ltd", "& Partner", "AG", "Labs", "S.A.", "Group")
_BIG = ("profiles", "search_words", "enrolments", "assignments", "journal", "views", "tasks")

Rows = dict[str, list[tuple[Any, ...]]]


class Crowd:
    """Made-up customers, the same for the same number of them."""

    def __init__(self, customers: int) -> None:
        self.customers = customers
        self._random = random.Random(7)
        self.first_names = self._names(400, 2)
        self.last_names = self._names(20_000, 3)
        self.companies = self._names(60_000, 3)
        self._uneven = {
            id(names): list(itertools.accumulate(1 / (rank + 10) for rank in range(len(names))))
            for names in (self.first_names, self.last_names, self.companies)
        }

    def _names(self, number: int, syllables: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < number:
            parts = self._random.choices(_SYLLABLES, k=self._random.randint(2, syllables + 1))
            found["".join(parts).capitalize()] = None
        return list(found)

    def _name(self, names: list[str]) -> str:
        return self._random.choices(names, cum_weights=self._uneven[id(names)])[0]

    def batches(self) -> Iterator[Rows]:
        """The rows of so many customers at a time, the oldest first, by table."""
        apart = timedelta(days=3 * 365) / self.customers
        for start in range(0, self.customers, _AT_ONCE):
            rows: Rows = {name: [] for name in _BIG}
            for number in range(start, min(start + _AT_ONCE, self.customers)):
                self._customer(rows, number, NOW - apart * (self.customers - number))
            yield rows

    def _customer(self, rows: Rows, number: int, began: datetime) -> None:
        chance = self._random
        subject = f"c-{number:07}"
        first, last, company = map(self._name, (self.first_names, self.last_names, self.companies))
        named = f"{company} {_SUFFIXES[number % len(_SUFFIXES)]}"
        email = words.plain(f"{first}.{last}@{company}.example")
        segment = chance.choices(list(SEGMENTS), list(SEGMENTS.values()))[0]
        version = 1 + 12 * number // self.customers
        rows["profiles"].append(
            (subject, f"{first} {last}", email, f"{number:064}", named, "[]", True, False, began, began)
        )
        rows["search_words"] += [
            (subject, word) for word in words.kept((subject, f"{first} {last}", email, named))
        ]
        rows["enrolments"].append(
            (subject, 1, segment, version, "started", "", "{}", began, 1.0, began, began)
        )
        share = number / self.customers
        status = self._status(share)
        stage = STAGES[-1] if status == "completed" else STAGES[chance.randrange(3)]
        over = status in ("completed", "stopped")
        due = None
        if not over:
            due = NOW + timedelta(hours=chance.uniform(-1 if chance.random() < 0.005 else 1, 200))
        failed = FAILING[number % 3] if status == "stuck" else None
        rows["views"].append(
            (subject, 1, 40, segment, version, began, status, stage, due, _steps(failed), "{}", began)
        )
        if chance.random() < 0.3:
            owner = OWNERS[min(int(chance.expovariate(0.06)), len(OWNERS) - 1)]
            released = began + timedelta(days=60) if over else None
            rows["assignments"].append((subject, 1, "specialist", owner, began, released))
        if failed is not None or chance.random() < 0.02:
            step, reason = failed or FAILING[number % 3], chance.choice(REASONS)
            rows["journal"].append((subject, 1, 20, began, "failed", step, "provision", reason, False))
        if not over and chance.random() < 0.2:
            due = NOW + timedelta(hours=chance.uniform(-10, 200))
            rows["tasks"].append((f"{number:064}", subject, 1, "call", "Call", due, "[]", "open", 0, began))

    def _status(self, share: float) -> str:
        if share < 0.9 and self._random.random() > 0.005:
            return self._random.choices(("completed", "stopped"), (92, 8))[0]
        return self._random.choices(("active", "paused", "stuck"), (98, 1.2, 0.8))[0]


COLUMNS: Final[dict[str, Sequence[str]]] = {
    "profiles": (
        *("subject", "name", "email", "address_key", "company", "contacts"),
        *("consent_lifecycle", "consent_marketing", "created_at", "updated_at"),
    ),
    "search_words": ("subject", "word"),
    "enrolments": (
        *("subject", "number", "segment", "version", "state", "request_hash", "response"),
        *("enrolled_at", "speed", "created_at", "tried_at"),
    ),
    "assignments": ("subject", "enrolment", "role", "person", "assigned_at", "released_at"),
    "journal": ("subject", "enrolment", "number", "at", "change", "step", "kind", "reason", "late"),
    "views": (
        *("subject", "enrolment", "number", "segment", "version", "enrolled_at"),
        *("status", "stage", "next_at", "steps", "owners", "updated_at"),
    ),
    "tasks": (
        *(
            "key",
            "subject",
            "enrolment",
            "step",
            "title",
            "due",
            "checklist",
            "state",
            "reminded",
            "created_at",
        ),
    ),
}


async def fill(url: str, crowd: Crowd) -> None:
    """Bring an empty database to the schema, and the crowd into it. Indexes are made last, and all at once."""
    await schema.upgrade(url)
    engine = dialect.create_engine(url, connections=1)
    later = [index for name in _BIG for index in metadata.tables[name].indexes]
    try:
        async with dialect.writing(engine).begin() as connection:
            for index in later:
                await connection.run_sync(index.drop)
            people = [{"id": one, "name": one, "team": "care", "active": True} for one in OWNERS]
            await connection.execute(metadata.tables["people"].insert(), people)
        if dialect.normalise(url).get_backend_name() == "sqlite":
            await asyncio.to_thread(_into_sqlite, url, crowd)
        else:
            await _into_postgresql(url, crowd)
        async with dialect.writing(engine).begin() as connection:
            for index in later:
                await connection.run_sync(index.create)
        if dialect.normalise(url).get_backend_name() == "postgresql":
            async with engine.connect() as connection:
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await alone.exec_driver_sql("VACUUM ANALYZE")
    finally:
        await engine.dispose()


def _into_sqlite(url: str, crowd: Crowd) -> None:
    with closing(sqlite3.connect(str(dialect.normalise(url).database))) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for rows in crowd.batches():
            for table, columns in COLUMNS.items():
                marks = ", ".join("?" for _ in columns)
                statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
                connection.executemany(statement, ([_text(value) for value in row] for row in rows[table]))
            connection.commit()


async def _into_postgresql(url: str, crowd: Crowd) -> None:
    plain = dialect.normalise(url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    try:
        for rows in crowd.batches():
            for table, columns in COLUMNS.items():
                await connection.copy_records_to_table(table, records=rows[table], columns=list(columns))
    finally:
        await connection.close()


def _text(value: Any) -> Any:
    """A value as SQLAlchemy writes it into SQLite."""
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _steps(failed: str | None) -> str:
    done = {f"step_{number}": ["done", 1_700_000_000_000_000 + number] for number in range(12)}
    return json.dumps(done | ({} if failed is None else {failed: ["failed", 1_700_000_000_000_000]}))
