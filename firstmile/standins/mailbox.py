"""What the stand-in for SendGrid was sent: kept in SQLite, in a file that survives the process, or in
memory."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CLASSES = ("transactional", "lifecycle", "marketing")
KEY_NAME = "fm_key"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT,
    recipient TEXT NOT NULL,
    name TEXT,
    subject TEXT NOT NULL,
    snippet TEXT NOT NULL,
    class TEXT,
    attachments INTEGER NOT NULL,
    received_at TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_recipient ON messages (recipient);
CREATE INDEX IF NOT EXISTS messages_key ON messages (key);
"""
_SUMMARY = "number, id, key, recipient, name, subject, snippet, class, attachments, received_at"
_RECEIVED = 9


@dataclass(frozen=True, slots=True)
class Letter:
    """One message in the list."""

    number: int
    id: str
    key: str | None
    recipient: str
    name: str | None
    subject: str
    snippet: str
    message_class: str | None
    attachments: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """One message with all that was sent: `body` is SendGrid's, with one personalization."""

    letter: Letter
    body: dict[str, Any]

    @property
    def personalization(self) -> dict[str, Any]:
        """Who it goes to, and the custom arguments."""
        found: dict[str, Any] = self.body["personalizations"][0]
        return found

    def part(self, kind: str) -> str | None:
        """The text of one kind of content."""
        return next((part["value"] for part in self.body["content"] if part["type"] == kind), None)

    def attachment(self, index: int) -> tuple[str, str, bytes] | None:
        """Name, type and content of an attachment."""
        files = self.body.get("attachments", [])
        if not 0 <= index < len(files):
            return None
        file = files[index]
        return (
            file["filename"],
            file.get("type", "application/octet-stream"),
            base64.b64decode(file["content"]),
        )


class Mailbox:
    """The messages taken. Safe to use from several threads."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # Safe when the process is killed, which is all that a stand-in has to survive.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def keep(self, identity: str, body: dict[str, Any]) -> None:
        """Keep a message, one letter for each personalization; when this returns, it is kept."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = []
        for position, person in enumerate(body["personalizations"]):
            whole = {**body, "personalizations": [person]}
            to = person["to"][0]
            custom = person.get("custom_args") or body.get("custom_args") or {}
            plain = next((part["value"] for part in body["content"] if part["type"] == "text/plain"), "")
            rows.append(
                (
                    f"{identity}.recvd-stand-in-{position}",
                    custom.get(KEY_NAME),
                    to["email"],
                    to.get("name"),
                    person.get("subject") or body.get("subject") or "",
                    _snippet(plain),
                    next((one for one in body.get("categories", []) if one in CLASSES), None),
                    len(body.get("attachments", [])),
                    now,
                    json.dumps(whole),
                )
            )
        columns = "id, key, recipient, name, subject, snippet, class, attachments, received_at, body"
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                f"INSERT INTO messages ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

    def letters(
        self,
        *,
        recipient: str | None = None,
        text: str | None = None,
        message_class: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Letter]:
        """The newest first. `text` is looked for in recipient, name and subject; `before` continues a
        list."""
        conditions, values = ["1"], list[object]()
        if recipient:
            conditions.append("recipient = ? COLLATE NOCASE")
            values.append(recipient)
        if message_class:
            conditions.append("class = ?")
            values.append(message_class)
        if before is not None:
            conditions.append("number < ?")
            values.append(before)
        for word in (text or "").split():
            pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            conditions.append("recipient || ' ' || coalesce(name, '') || ' ' || subject LIKE ? ESCAPE '\\'")
            values.append(pattern)
        where = " AND ".join(conditions)
        query = f"SELECT {_SUMMARY} FROM messages WHERE {where} ORDER BY number DESC LIMIT ?"
        return [_letter(row) for row in self._all(query, [*values, limit])]

    def open(self, number: int) -> OpenLetter | None:
        """One message with all that was sent."""
        rows = self._all(f"SELECT {_SUMMARY}, body FROM messages WHERE number = ?", [number])
        return OpenLetter(_letter(rows[0][:-1]), json.loads(rows[0][-1])) if rows else None

    def by_id(self, identity: str) -> OpenLetter | None:
        """The message under the id that the log gives it."""
        rows = self._all("SELECT number FROM messages WHERE id = ?", [identity])
        return self.open(rows[0][0]) if rows else None

    def recipients(self, limit: int = 200) -> list[tuple[str, str | None, int]]:
        """Address, name and number of messages of each recipient, who heard last first."""
        return self._all(
            "SELECT recipient, max(name), count(*) FROM messages GROUP BY recipient"
            " ORDER BY max(number) DESC LIMIT ?",
            [limit],
        )

    def neighbours(self, number: int) -> tuple[int | None, int | None]:
        """The numbers of the next newer and the next older message to the same recipient."""
        rows = self._all(
            "SELECT (SELECT min(number) FROM messages WHERE number > ?1 AND recipient = here.recipient),"
            " (SELECT max(number) FROM messages WHERE number < ?1 AND recipient = here.recipient)"
            " FROM messages here WHERE number = ?1",
            [number],
        )
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def count(self) -> int:
        """How many messages there are."""
        return int(self._all("SELECT count(*) FROM messages")[0][0])

    def newest(self) -> int:
        """The number of the newest message, 0 if there is none."""
        return int(self._all("SELECT coalesce(max(number), 0) FROM messages")[0][0])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._connection.execute("DELETE FROM messages")

    def _all(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def _letter(row: Sequence[Any]) -> Letter:
    values = list(row)
    values[_RECEIVED] = datetime.fromisoformat(values[_RECEIVED])
    return Letter(*values)


def _snippet(plain: str) -> str:
    """The beginning of the text, without the greeting."""
    paragraphs = [" ".join(part.split()) for part in plain.split("\n\n") if part.strip()]
    rest = paragraphs[1:] if len(paragraphs) > 1 and len(paragraphs[0]) < 40 else paragraphs
    return " ".join(rest)[:200]
