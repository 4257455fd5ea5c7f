"""`message.json` in a template's folder: who its messages come from, and who gets the answers.

    {"from": "specialist", "reply_to": "specialist"}

Both are roles: the id of an `assign` step. Where nobody has the role, it is the brand's sender. The file may
be absent, and either key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firstmile.journey.problems import unknown
from firstmile.mail.errors import TemplateError

FILE: Final = "message.json"
KEYS: Final = ("from", "reply_to")


@dataclass(frozen=True, slots=True)
class MessageSettings:
    """What a template's folder says of its messages beside their words. Roles, or None for the brand's."""

    sender: str | None = None
    reply_to: str | None = None


def read_message_settings(folder: Path, name: str) -> MessageSettings:
    """The settings of template `name` in the templates' `folder`. Raises `TemplateError` with file and line."""
    file = f"{name}/{FILE}"
    path = folder / file
    if not path.is_file():
        return MessageSettings()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TemplateError(name, error.msg, file=file, line=error.lineno) from None
    except UnicodeDecodeError:
        raise TemplateError(name, "the file is not UTF-8", file=file) from None
    if not isinstance(found, dict):
        raise TemplateError(name, 'an object was expected, like {"from": "specialist"}', file=file)
    for key, role in found.items():
        if key not in KEYS:
            raise TemplateError(name, unknown("key", key, KEYS), file=file)
        if not isinstance(role, str) or not role.strip():
            problem = f"'{key}': a role was expected, the id of a step that assigns an owner"
            raise TemplateError(name, problem, file=file)
    return MessageSettings(found.get("from"), found.get("reply_to"))
