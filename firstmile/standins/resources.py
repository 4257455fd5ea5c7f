"""What the stand-in for a provisioning system was asked for: resources, and every call with its key."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, type TEXT NOT NULL, resource TEXT NOT NULL, times INTEGER NOT NULL,
    status INTEGER NOT NULL, answer TEXT NOT NULL, first_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS resources (
    resource TEXT PRIMARY KEY, subject TEXT NOT NULL, segment TEXT NOT NULL, step TEXT NOT NULL,
    system TEXT NOT NULL, given TEXT NOT NULL, state TEXT NOT NULL, changed_at TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that was set up, or undone."""

    resource: str
    subject: str
    segment: str
    step: str
    system: str
    given: dict[str, Any]
    state: str
    changed_at: datetime


class Resources:
    """The resources. Safe to use from several threads; a call is kept when the method returns."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def take(self, key: str, told: dict[str, Any], status: int) -> tuple[int, dict[str, Any]]:
        """Carry out a call, once for each key: the same again changes nothing and gets the same answer."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            known = self._connection.execute(
                "SELECT status, answer FROM calls WHERE key = ?", [key]
            ).fetchone()
            if known is not None:
                self._connection.execute("UPDATE calls SET times = times + 1 WHERE key = ?", [key])
                return int(known[0]), json.loads(known[1])
            undone = told["type"] == "undo"
            row = (
                told["resource"],
                told["subject"],
                told["segment"],
                told["step"],
                told.get("system") or "",
                json.dumps(told.get("with") or {}),
                "undone" if undone else "active",
                now,
            )
            self._connection.execute(
                "INSERT INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (resource) DO UPDATE SET"
                " state = excluded.state, given = excluded.given, changed_at = excluded.changed_at",
                row,
            )
            answer = {"id": told["resource"][:12], "state": row[6]}
            self._connection.execute(
                "INSERT INTO calls VALUES (?, ?, ?, 1, ?, ?, ?)",
                (key, told["type"], told["resource"], status, json.dumps(answer), now),
            )
            return status, answer

    def all(self, text: str = "", limit: int = 500) -> list[Resource]:
        """The resources, last changed first."""
        rows = self._rows(
            "SELECT * FROM resources WHERE subject || ' ' || system || ' ' || segment LIKE ?"
            " ORDER BY changed_at DESC, resource LIMIT ?",
            [f"%{text}%", limit],
        )
        return [_resource(row) for row in rows]

    def calls(self) -> list[dict[str, Any]]:
        """Every key that was carried out, with how often it came."""
        rows = self._rows(
            "SELECT key, type, resource, times, status, first_at FROM calls ORDER BY first_at, key"
        )
        names = ("key", "type", "resource", "times", "status", "first_at")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def _resource(row: Sequence[Any]) -> Resource:
    values = list(row)
    values[5], values[7] = json.loads(values[5]), datetime.fromisoformat(values[7])
    return Resource(*values)
