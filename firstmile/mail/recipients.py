"""Who a message goes to, and who it must never reach by accident (DESIGN §3, "Nothing leaves a machine by
accident")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from email_validator import EmailNotValidError, validate_email

from firstmile.mail.message import Address, Message
from firstmile.store.profiles import Profile


def address_of(email: str | None, name: str | None = None) -> Address | None:
    """The address as it can be sent to, or None for what cannot be one. No look-up in DNS."""
    try:
        found = validate_email(
            email or "", check_deliverability=False, allow_smtputf8=False, test_environment=True
        )
    except EmailNotValidError:
        return None
    return Address(found.ascii_email or found.normalized, name)


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who gets a message, and who a copy. `address` is what the gate is asked about, as the profile spells
    it."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    address: str | None = field(default=None, repr=False)

    @property
    def valid(self) -> bool:
        """Whether there is anybody to send to."""
        return bool(self.to)

    @property
    def others(self) -> tuple[Address, ...]:
        """Everybody but the first."""
        return self.to[1:] + self.cc

    def without(self, stopped: Iterable[str]) -> Recipients:
        """Without those among the others who must not be written to."""
        gone = {email.casefold() for email in stopped}

        def kept(addresses: Sequence[Address]) -> tuple[Address, ...]:
            return tuple(one for one in addresses if one.email.casefold() not in gone)

        return replace(self, to=self.to[:1] + kept(self.to[1:]), cc=kept(self.cc))


def recipients_of(profile: Profile | None, to: Sequence[str] = (), cc: Sequence[str] = ()) -> Recipients:
    """The people in these roles at the customer; the primary contact for none, and for a role nobody has."""
    if profile is None:
        return Recipients(())
    main = _people(profile, to) or [(profile.email, profile.name)]
    copies = _people(profile, cc)
    found = _valid(main)
    taken = {address.email.casefold() for address in found}
    copied = [address for address in _valid(copies) if address.email.casefold() not in taken]
    return Recipients(
        tuple(found), tuple(copied), found[0].email if found else next((e for e, _ in main if e), None)
    )


def _people(profile: Profile, roles: Sequence[str]) -> list[tuple[str | None, str | None]]:
    people: list[tuple[str | None, str | None]] = []
    for role in roles:
        there = [(one.email, one.name) for one in profile.contacts if one.role == role]
        people += there or [(profile.email, profile.name)]
    return people


def _valid(people: Iterable[tuple[str | None, str | None]]) -> list[Address]:
    found: dict[str, Address] = {}
    for email, name in people:
        if (address := address_of(email, name)) is not None:
            found.setdefault(address.email.casefold(), address)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Safety:
    """Where messages may go. `redirect_to` gets what would go to anybody not in `allow`; `allow` holds
    addresses and domains (`@example.com`), and None allows everybody, unless there is a redirection."""

    redirect_to: Address | None = None
    allow: frozenset[str] | None = None

    def allows(self, address: Address) -> bool:
        """Whether this address was named as one that may be written to."""
        email = address.email.casefold()
        named = {one.casefold() for one in self.allow or ()}
        if self.redirect_to is not None and email == self.redirect_to.email.casefold():
            return True
        return email in named or email[email.rindex("@") :] in named

    def applied(self, message: Message, *, speed: float, reaches_people: bool) -> Message | str:
        """The message as it may go out, or the reason why it may not.

        A customer whose journey runs faster than life is nobody real: their messages reach only who was
        named, unless nothing sent here can reach a person at all.
        """
        open_to_all = self.redirect_to is None and self.allow is None
        if open_to_all and (speed == 1 or not reaches_people):
            return message
        if to := tuple(one for one in message.to if self.allows(one)):
            return replace(message, to=to, cc=tuple(one for one in message.cc if self.allows(one)))
        if self.redirect_to is not None:
            header = ("X-Firstmile-Redirected", "yes")
            return replace(message, to=(self.redirect_to,), cc=(), headers=(*message.headers, header))
        if self.allow is None:
            return f"recipient not allowed: the enrolment runs at speed {speed:g}"
        return "recipient not on the allow-list"
