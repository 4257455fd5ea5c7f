"""Corrections of who a customer is: in the store alone, since nothing of it is in a workflow."""

from __future__ import annotations

from firstmile import signup
from firstmile.errors import UnknownCustomer
from firstmile.service.auditing import deed_of
from firstmile.service.premises import Premises
from firstmile.store import audit, profiles


class Correcting:
    """The part of the service that corrects profiles."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def address(self, subject: str, body: object, *, actor: str, reason: str | None = None) -> bool:
        """Change a customer's address to the `email` of a body. False if it is that already.

        Messages that are sent from now on go there; what stopped the former address does not stop this one.
        Raises `CommandMalformed`, `UnknownCustomer`.
        """
        email = signup.address_in(body)
        now = self._premises.now()
        async with self._premises.writing() as tx:
            profile = await profiles.get(tx, subject)
            if profile is None:
                raise UnknownCustomer(subject)
            if profile.email == email:
                return False
            await profiles.readdress(tx, subject, email, now)
            # Neither address is written here: the audit outlives the removal of personal data.
            await audit.record(tx, deed_of("address", actor, now, subject, reason=reason))
        return True
