"""The transport that the settings choose, and whom they let it reach: built in one place, for workers and for
whoever sends a test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from firstmile.errors import Flaw, SettingsError
from firstmile.mail.errors import Rejected, TransportError
from firstmile.mail.message import Address
from firstmile.mail.recipients import Safety
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.smtp_transport import SMTP
from firstmile.mail.transport import Transport
from firstmile.setting_flaws import variable
from firstmile.settings import Settings

CHECKED_WITHIN = timedelta(seconds=3)
"""How long one read or write of a check may take: a worker waits for it before it begins."""

_logger = logging.getLogger(__name__)


def transport_from(settings: Settings, *, within: timedelta | None = None) -> Transport:
    """The transport of these settings. `within` bounds one read or write, instead of what the settings say.

    Raises `SettingsError` for settings that cannot work, which `settings.load(sends=True)` tells of before.
    """
    try:
        return _KINDS[settings.mail_transport](settings, within)
    except ValueError as error:
        raise SettingsError([Flaw(variable("mail_transport"), str(error))]) from None


def safety_from(settings: Settings) -> Safety:
    """Where messages may go, by these settings."""
    redirect = settings.mail_redirect_to
    allowed = frozenset(one if "@" in one else f"@{one}" for one in settings.mail_allow)
    return Safety(None if redirect is None else Address(redirect), allowed or None)


def check_transport(settings: Settings) -> None:
    """Ask the provider whether we may send: once, before a worker begins. Blocks for some seconds at most.

    Raises `SettingsError` if it says that we may not. That it cannot be asked is logged, and no reason not to
    begin: it may be back when there is something to send.
    """
    if settings.mail_transport == "standin":
        return
    for doubt in doubts(settings):
        _logger.warning("%s", doubt)
    try:
        transport_from(settings, within=CHECKED_WITHIN).check()
    except Rejected as error:
        raise SettingsError([Flaw(variable(_CREDENTIAL[settings.mail_transport]), error.reason)]) from None
    except TransportError as error:
        _logger.warning(
            "could not be asked whether we may send: %s (%s)", error.reason, provider_named(settings)
        )


def provider_named(settings: Settings) -> str:
    """Where messages go out, as the setting that says so: what is wrong when nobody answers there."""
    name = "smtp_host" if settings.mail_transport == "smtp" else "sendgrid_host"
    return f"{variable(name)}={getattr(settings, name)}"


def doubts(settings: Settings) -> list[Flaw]:
    """What can work, and most likely is a mistake."""
    key = settings.sendgrid_api_key
    if settings.mail_transport == "sendgrid" and key and not key.get_secret_value().startswith("SG."):
        text = "SendGrid's keys begin with `SG.`, this one does not: right only where a proxy puts its own in"
        return [Flaw(variable("sendgrid_api_key"), text)]
    return []


def _sendgrid(settings: Settings, within: timedelta | None) -> SendGrid:
    key = settings.sendgrid_api_key
    return SendGrid(
        key.get_secret_value() if key else "",
        host=settings.sendgrid_host,
        timeout=(within or settings.sendgrid_timeout).total_seconds(),
        sandbox=settings.sendgrid_sandbox,
    )


def _standin(settings: Settings, within: timedelta | None) -> SendGrid:
    # A key of the environment is none of a stand-in's business. Its log is never behind.
    return SendGrid(
        "standin",
        host=settings.sendgrid_host,
        timeout=(within or settings.sendgrid_timeout).total_seconds(),
        settles_after=timedelta(),
        reaches_people=False,
    )


def _smtp(settings: Settings, within: timedelta | None) -> SMTP:
    username, password = settings.smtp_username, settings.smtp_password
    return SMTP(
        settings.smtp_host or "",
        settings.smtp_port,
        username.get_secret_value() if username else None,
        password.get_secret_value() if password else None,
        settings.smtp_security,
        (within or settings.smtp_timeout).total_seconds(),
        reaches_people=not settings.smtp_keeps_everything,
    )


_KINDS: Mapping[str, Callable[[Settings, timedelta | None], Transport]] = {
    "sendgrid": _sendgrid,
    "smtp": _smtp,
    "standin": _standin,
}
_CREDENTIAL = {"sendgrid": "sendgrid_api_key", "smtp": "smtp_host"}
