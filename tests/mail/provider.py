"""A provider that does as it is told, and remembers what it really took: crashes are judged by its mailbox.

It knows nothing of the ledger. What it took is in the mailbox from a moment on, which may lie after the call
was given up; what its log tells is true, and may come late or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from firstmile.mail.errors import OutcomeUnknown, Rejected, TryLater
from firstmile.mail.message import Message
from firstmile.mail.transport import Absent, Found, Receipt, Sighting, Trace, Unknown

LATER = timedelta(seconds=60)
"""What is asked for by who asks for later."""

LAG = timedelta(seconds=10)
"""How far a log that is late lies behind."""

Says = Literal["taken", "refused", "later", "nobody knows", "nothing in time", "nonsense"]
Log = Literal["tells", "is late", "never tells", "breaks"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How one call goes. `takes` is how many seconds after the call the message is in the mailbox; None:
    never."""

    takes: float | None
    says: Says


ACCEPTS = Answer(0, "taken")

ANSWERS = {
    "accepts": ACCEPTS,
    "accepts, and its answer is lost": Answer(0, "nobody knows"),
    "accepts, and answers 5xx": Answer(0, "nonsense"),
    "accepts, after nobody waits any more": Answer(8, "nothing in time"),
    "takes nothing, and does not answer": Answer(None, "nobody knows"),
    "takes nothing, and answers 5xx": Answer(None, "nonsense"),
    "takes nothing, and hangs": Answer(None, "nothing in time"),
    "refuses": Answer(None, "refused"),
    "asks for later": Answer(None, "later"),
}
"""How a first call may go."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that really came, by the key of its message."""

    key: str
    recipient: str
    at: datetime
    answer: Answer


def _nowhere(point: str) -> None:
    """Calls are watched by nobody."""


@dataclass
class Provider:
    """The transport of a run. Calls go as `answers` say, one after the other; when they are used up, well.

    `watch` is told where a call is ("call", "answer", "look", "sighting"), and may raise there: a crash.
    """

    now: Callable[[], datetime]
    answers: Iterator[Answer] = field(default_factory=lambda: iter(()))
    log: Log = "tells"
    watch: Callable[[str], None] = _nowhere
    name: str = "told"
    reaches_people: bool = True
    timeout: float = 12.0
    idempotent: bool = False
    """Whether it takes each key once, however often it is called."""

    calls: list[Call] = field(default_factory=list)

    def mailbox(self, key: str) -> int:
        """How many copies of a message are in it by now."""
        copies = sum(moment <= self.now() for moment in self._taken(key))
        return min(copies, 1) if self.idempotent else copies

    def calls_of(self, key: str) -> int:
        """How often it was called for a message."""
        return sum(call.key == key for call in self.calls)

    def blind_calls(self, key: str) -> int:
        """How many calls may have ended in a copy, as far as a caller can tell."""
        return sum(call.key == key and call.answer.says != "later" for call in self.calls)

    def send(self, message: Message) -> Receipt:
        """Take it or not, answer or not, as the next of `answers` says."""
        self.watch("call")
        answer = next(self.answers, ACCEPTS)
        self.calls.append(Call(message.key, message.to[0].email, self.now(), answer))
        self.watch("answer")
        match answer.says:
            case "taken":
                return Receipt(f"id-{len(self.calls)}")
            case "refused":
                raise Rejected("the provider answered 400")
            case "later":
                raise TryLater("the provider answered 429", self.now() + LATER)
            case "nobody knows":
                raise OutcomeUnknown("the connection broke")
            case "nothing in time":
                # As `send_once` sees a call that is longer under way than it waits.
                raise TimeoutError
            case "nonsense":
                raise OutcomeUnknown("the provider answered 503")

    def check(self) -> None:
        """We may send."""

    def find(self, trace: Trace) -> Sighting:
        """What the log tells."""
        self.watch("look")
        sighting = self._sighting(trace)
        self.watch("sighting")
        return sighting

    def _sighting(self, trace: Trace) -> Sighting:
        if self.log == "never tells":
            return Unknown("the log never tells")
        if self.log == "breaks":
            raise RuntimeError("the log's client has a bug")
        lag = LAG if self.log == "is late" else timedelta()
        if any(moment <= self.now() - lag for moment in self._taken(trace.key)):
            return Found("id-of-the-log")
        return Absent() if self.now() - trace.until >= lag else Unknown("the log may not have it yet")

    def _taken(self, key: str) -> Iterator[datetime]:
        for call in self.calls:
            if call.key == key and call.answer.takes is not None:
                yield call.at + timedelta(seconds=call.answer.takes)
