"""Who a message goes to, and who it must never reach by accident (DESIGN §3, "Nothing leaves a machine by
accident")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from email_validator import EmailNotValidError, validate_email

from firstmile.mail.message import Address, Message
from firstmile.store.profiles import Contact, Profile, address_key


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
class Addressee:
    """One person whom a message of a step is for. `email` is as the profile spells it; None where there is
    none.

    `role` is theirs at the customer, None for the primary contact; `copy` says that the message is mainly for
    somebody else. `key` is what they are known by in links; None for the primary contact, whoever that is by
    then.
    """

    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    role: str | None = None
    copy: bool = False
    key: str | None = None

    @property
    def address(self) -> Address | None:
        """The address as it can be sent to; None where there is none, or none that can be one."""
        return address_of(self.email, self.name)


def addressees_of(
    profile: Profile | None, to: Sequence[str] = (), cc: Sequence[str] = ()
) -> tuple[Addressee, ...]:
    """The people in these roles at the customer, each address once: at least one, be it without an address.

    The primary contact stands in for no role at all, and for a role that nobody has.
    """
    if profile is None:
        return (Addressee(),)
    primary = address_key(profile.email or "")
    found: dict[str, Addressee] = {}
    for role, copy in [(role, False) for role in to or ("",)] + [(role, True) for role in cc]:
        there = [one for one in profile.contacts if one.role == role]
        for one in there or [Contact("", profile.name, profile.email or "")]:
            key = address_key(one.email)
            mine = key == primary or not one.email
            found.setdefault(
                key,
                Addressee(
                    one.email or None,
                    one.name,
                    role=None if mine else role,
                    copy=copy,
                    key=None if mine else key,
                ),
            )
    return tuple(found.values())


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
