"""What can go wrong on the ways in, each in one sentence; `retryable` says whether trying again can help.

Rules of the room: a message is for its reader (what was wrong, where, what to do) and carries no personal
data, because it may end in a log. Errors of the engine, the store and the mail stay in their rooms; what
reaches a caller of the service is one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from firstmile.journey import inputs


class FirstmileError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with what was given: where (a dotted path, or empty), and how to mend it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class _Flawed(FirstmileError):
    """What was given has flaws: all of them, at once."""

    opening: ClassVar[str]

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        listed = "\n".join(f"  {flaw}" for flaw in self.flaws)
        super().__init__(f"{self.opening}\n{listed}")


class SettingsError(_Flawed):
    """The settings cannot be used."""

    opening = "the settings cannot be used:"


class SignUpRefused(_Flawed):
    """The sign-up is not one."""

    opening = "the sign-up was refused:"


class EventRefused(_Flawed):
    """The event is not one."""

    opening = "the event was refused:"


class CommandMalformed(_Flawed):
    """The command's arguments cannot be read."""

    opening = "the command was refused:"


class SearchRefused(_Flawed):
    """What is looked for cannot be told from how it was asked."""

    opening = "the search was refused:"


class PublishRefused(FirstmileError):
    """Nothing was published: the files have errors, or a version would change after it was published."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("nothing was published:\n" + "\n".join(f"  {problem}" for problem in self.problems))


class SignUpDiffers(FirstmileError):
    """This id signed up before, with another body."""

    def __init__(self, subject: str, response: dict[str, Any]) -> None:
        self.subject, self.response = subject, response
        super().__init__(
            f"'{subject}' signed up before with another body: repeat that one, or sign up under another id"
        )


class UnknownCustomer(FirstmileError):
    """Nobody signed up under this id."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"nobody signed up as '{subject}'")


class UnknownJob(FirstmileError):
    """There is no such bulk job."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no bulk job '{id}': `firstmile bulk-status` lists them")


class JobDiffers(FirstmileError):
    """This idempotency key asked for another bulk job before."""

    def __init__(self, id: str) -> None:
        super().__init__(f"this key asked for another job before ({id}): repeat that one, or use another key")


class JourneyOver(FirstmileError):
    """The customer's journey has ended: it takes no more commands."""

    def __init__(self, subject: str, how: str, when: str | None) -> None:
        self.subject, self.how, self.when = subject, how, when
        super().__init__(f"the journey of '{subject}' has ended" + (f" ({how} on {when})" if when else ""))


class CommandRejected(FirstmileError, inputs.CommandRejected):
    """The command cannot be carried out now; the message says why."""


class LinkRefused(FirstmileError):
    """The link is not one of ours, or it has been changed."""


class KeyRefused(FirstmileError):
    """The API key opens nothing."""


class TooManyAttempts(FirstmileError):
    """Too many wrong keys came from one place; `retry_after` is in seconds."""

    retryable = True

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"{message}: wait {retry_after} seconds")


class DateGone(FirstmileError):
    """The training does not take place at this date, or no longer."""


class SessionsUnread(FirstmileError):
    """The sessions of trainings cannot be read just now."""

    retryable = True


class SignatureRefused(FirstmileError):
    """The request is not signed as it must be; the message says in what way."""


class BatchRefused(FirstmileError):
    """The body is not the list that it must be."""


class WebhookClosed(FirstmileError):
    """Nothing is taken here until a setting is made; the message names it."""


class TemporalAway(FirstmileError):
    """Temporal does not answer."""

    retryable = True


class NotThereYet(TemporalAway):
    """Temporal answers, but this customer's workflow is only just starting, or continuing as new."""


class StoreAway(FirstmileError):
    """The store does not answer, or has not this program's schema."""

    retryable = True


class NotConfirmed(FirstmileError):
    """The command was sent, and nobody answered in time: it may still be carried out."""

    retryable = True
