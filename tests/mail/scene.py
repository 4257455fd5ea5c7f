"""One customer's message, everybody who is at it, and what may happen around them: what tests of interleavings
play with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from firstmile.contracts import EffectOutcome, EffectRequest
from firstmile.mail.outcomes import settled
from firstmile.mail.post import Post
from firstmile.store import holds, ledger, profiles, suppressions
from firstmile.store.profiles import Consent, Contact, Profile
from firstmile.store.suppressions import MessageClass
from tests.mail.building import SetClock, asking
from tests.mail.crashing import Attempt, Office, Walk, broken_promises, watch
from tests.mail.provider import ANSWERS, Log, Provider


@dataclass
class Scene:
    """One customer's message, everybody who is at it, and what may happen around them."""

    office: Office
    clock: SetClock
    provider: Provider
    post: Post
    request: EffectRequest
    attempts: list[Attempt] = field(default_factory=list)

    @classmethod
    async def set(
        cls,
        office: Office,
        *answers: str,
        message_class: MessageClass = "lifecycle",
        log: Log = "tells",
        window: float | None = None,
        cc: tuple[str, ...] = (),
        idempotent: bool = False,
    ) -> Scene:
        """A customer, and a provider that goes as `answers` say (names in `provider.ANSWERS`)."""
        clock = SetClock()
        request = asking(clock)(
            subject=await office.customer(clock()),
            params={"template": "welcome", "class": message_class, "cc": list(cc)},
            not_after=None if window is None else clock() + timedelta(seconds=window),
        )
        told = iter([ANSWERS[answer] for answer in answers])
        provider = Provider(clock, told, log, watch, idempotent=idempotent)
        return cls(office, clock, provider, office.post(clock), request)

    async def begin(self) -> Attempt:
        """Another attempt: as when Temporal takes the one before it for dead."""
        self.attempts.append(await self.office.begin(self.provider, self.request, self.post))
        return self.attempts[-1]

    async def decided(self) -> EffectOutcome:
        """What the effect comes to, by as many attempts as it takes."""
        return await self.office.to_the_end(self.provider, self.request, self.post, self.clock, Walk())

    async def delivery_event(self, fate: ledger.Fate, key: str | None = None) -> None:
        """The provider tells what became of a message."""
        await self.office.told(key or self.request.key, fate, self.clock())

    async def unsubscription(self) -> None:
        """The customer wants no more messages."""
        async with self.office.db.writing() as tx:
            profile = await profiles.get(tx, self.request.subject)
            assert profile is not None
            await suppressions.add(tx, profile.email or "", "unsubscribed", self.clock())

    async def hold(self) -> None:
        """An operator holds the customer's messages."""
        subject, now = self.request.subject, self.clock()
        async with self.office.db.writing() as tx:
            await holds.place(tx, "customer", subject, reason="wait", actor="ann", now=now)

    async def release(self) -> None:
        """The hold is over."""
        async with self.office.db.writing() as tx:
            await holds.release(tx, "customer", self.request.subject, actor="ann", now=self.clock())

    async def move(self) -> None:
        """The customer has another address, and so has their boss."""
        subject = self.request.subject
        boss = Contact("sponsor", "Bo Boss", f"bo.{subject}@customer.example")
        consent = Consent(lifecycle=True, marketing=True)
        address = f"new.{subject}@customer.example"
        async with self.office.db.writing() as tx:
            moved = Profile(subject, "Ann Lee", address, contacts=(boss,), consent=consent)
            await profiles.write(tx, moved, self.clock())

    @property
    def copies(self) -> int:
        """How many copies of the first message the mailbox has."""
        return self.provider.mailbox(self.request.key)

    @property
    def received_by(self) -> list[str]:
        """The addresses that were written to."""
        return [call.recipient for call in self.provider.calls]

    def alive(self) -> list[Attempt]:
        """The attempts that have not ended."""
        return [attempt for attempt in self.attempts if not attempt.is_over]

    async def clear(self) -> None:
        """Nobody is left on the stage."""
        for attempt in self.alive():
            await attempt.kill()

    async def broken(self) -> list[str]:
        """What was promised and not kept, of each of the effect's messages."""
        found = []
        for row in await self.office.messages(self.request):
            part = settled(row)
            assert part is not None, row.state
            copies, calls = self.provider.mailbox(row.key), self.provider.blind_calls(row.key)
            found += broken_promises(row, part, copies=copies, blind_calls=calls)
        return found

    async def journal(self) -> list[str | None]:
        """The reasons of what the journal has as done."""
        return [entry.reason for entry in await self.office.journal(self.request) if entry.change == "done"]
