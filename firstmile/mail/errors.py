"""What can go wrong with a message; the class says whether trying again can help.

No message of an error here carries an address, a key or the text of a message: Temporal prints failures in
full.
"""

from __future__ import annotations

from datetime import datetime


class MailError(Exception):
    """Something about a message went wrong."""


class TemplateError(MailError):
    """A template cannot be loaded or rendered. Trying again does not help; the template must change.

    `others` are further flaws that were found with this one.
    """

    def __init__(
        self, template: str, problem: str, *, file: str | None = None, line: int | None = None
    ) -> None:
        self.template, self.problem, self.file, self.line = template, problem, file, line
        self.others: tuple[TemplateError, ...] = ()
        place = f"{file}:{line}" if file and line else file or ""
        super().__init__(f"template {template}: {place + ': ' if place else ''}{problem}")


class TransportError(MailError):
    """A message was not sent, or nobody knows whether it was."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        self.reason, self.status = reason, status
        super().__init__(reason)


class Rejected(TransportError):
    """The provider refused the message for good: sending the same again cannot help."""


class TryLater(TransportError):
    """The provider did not take the message: it certainly was not sent. `until` is when to try again."""

    def __init__(self, reason: str, until: datetime, *, status: int | None = None) -> None:
        self.until = until
        super().__init__(reason, status=status)


class OutcomeUnknown(TransportError):
    """The provider may have taken the message. It must never be sent again blindly (DESIGN §3)."""
