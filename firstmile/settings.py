"""Settings: what the environment decides, read once, with everything that is wrong said at once.

Every setting is a variable `FIRSTMILE_…`, described in the model below; `firstmile settings` prints them
with where each value comes from. Temporal's own variables (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
profiles, TLS, API key) stay Temporal's: `connection` leaves them to its library. `FIRSTMILE_TEST_…` is for
the tests.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource

from firstmile import paths
from firstmile.errors import Flaw, SettingsError
from firstmile.setting_flaws import PREFIX, unknown, unreadable
from firstmile.setting_flaws import variable as variable
from firstmile.setting_values import (
    EU_HOST,
    HOST,
    MAKE_A_SECRET,
    Database,
    Duration,
    Folder,
    HostName,
    Json,
    Lower,
    MailAddress,
    Port,
    Recipients,
    Secrets,
    VerificationKeys,
    WebAddress,
    is_loopback,
    sendgrid_host_problem,
    sendgrid_key_problem,
)

ALSO = {"sendgrid_api_key": "SENDGRID_API_KEY"}
"""Variables that are read too, when ours is not set: other programs use them under these names."""

NO_SENDER = "onboarding@firstmile.example"
"""Who messages come from where none can reach anybody."""

LogLevel = Literal["debug", "info", "warning", "error"]


def _state_dir() -> Path:
    checkout = paths.PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "var"
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "firstmile"


class System(BaseModel):
    """A system that provisions: where it is asked, and the secret that requests to it are signed with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: WebAddress
    secret: SecretStr


class Settings(BaseSettings):
    """All settings. Times are lengths such as `30 minutes`; lists are `a, b` or JSON."""

    model_config = ConfigDict(frozen=True)  # type: ignore[assignment]  # BaseSettings narrows it, to no end here

    state_dir: Path = Field(
        default_factory=_state_dir,
        description="Where a machine keeps what is not elsewhere: the SQLite file and a secret for links. "
        "By default `var` in a checkout, else `firstmile` in the user's state folder",
    )
    database_url: Database = Field(
        default="",
        repr=False,
        description="The store: sqlite:///FILE or postgresql://… By default a file in FIRSTMILE_STATE_DIR",
    )
    migrate: bool = Field(
        default=True, description="Whether programs bring the store to their schema when they start"
    )
    journeys: Folder | None = Field(default=None, description="The folder of journeys. By default what ships")
    templates: Folder | None = Field(
        default=None, description="The folder of templates. By default what ships"
    )
    task_queue: str = Field(
        default="firstmile", min_length=1, max_length=200, description="Temporal's task queue for everything"
    )
    public_url: WebAddress = Field(
        default="http://localhost:8080",
        description="Where customers reach the service: the start of every link",
    )
    app_url: WebAddress = Field(
        default="http://localhost:8080", description="Where the product itself is: `links.app` of templates"
    )
    http_host: str = Field(
        default="127.0.0.1", min_length=1, description="The address that `serve` listens on"
    )
    http_port: Port = Field(default=8080, description="The port that `serve` listens on")
    api_key: SecretStr | None = Field(
        default=None,
        description="A key that may do everything, sent as `Authorization: Bearer …`. While there is neither it "
        "nor a key in the store, the API answers this machine only",
    )
    http_calls_at_once: int = Field(
        default=200,
        ge=1,
        description="How many calls of the API a process has under way; more are put off (429)",
    )
    http_calls_per_second: float | None = Field(
        default=None,
        gt=0,
        description="How many calls a second one key, or one address, may begin in a process. By default any",
    )
    bulk_rate: float = Field(
        default=10,
        gt=0,
        description="To how many customers a second a bulk command goes, unless it says otherwise",
    )
    bulk_rate_limit: float = Field(
        default=50, gt=0, description="The most that a bulk command may say: customers a second"
    )
    worker_metrics_port: Port | None = Field(
        default=None, description="The port on which a worker serves its metrics. By default none"
    )
    core_metrics_url: WebAddress | None = Field(
        default=None, description="A worker's metrics, to be joined to the service's /metrics"
    )
    mail_transport: Annotated[Literal["sendgrid", "smtp", "standin"], Lower] = Field(
        default="sendgrid",
        description="How messages go out: `sendgrid`, `smtp`, or `standin` for a SendGrid that delivers to "
        "nobody",
    )
    mail_sender: MailAddress = Field(default=NO_SENDER, description="The address that messages come from")
    mail_sender_name: str = Field(default="Onboarding", description="The name that messages come from")
    mail_redirect_to: MailAddress | None = Field(
        default=None, description="Everything goes here instead of to customers: for staging"
    )
    mail_allow: Recipients = Field(
        default=(), description="The only recipients there are, as addresses or domains: for staging"
    )
    reconcile_for: Duration = Field(
        default=timedelta(minutes=30),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="How long a message of unknown outcome is looked for before it is decided",
    )
    sendgrid_api_key: SecretStr | None = Field(
        default=None, description="SendGrid's API key. SENDGRID_API_KEY is read too"
    )
    sendgrid_host: WebAddress = Field(
        default=HOST,
        description=f"SendGrid's host: {EU_HOST} for EU accounts, or a stand-in's",
    )
    sendgrid_timeout: Duration = Field(
        default=timedelta(seconds=4),
        gt=timedelta(0),
        le=timedelta(seconds=4),
        description="How long one read or write to SendGrid may take; a send has time for three of them",
    )
    sendgrid_sandbox: bool = Field(
        default=False,
        description="Whether SendGrid only checks messages and throws them away: nothing reaches people",
    )
    smtp_host: HostName | None = Field(default=None, description="The SMTP server")
    smtp_port: Port | None = Field(
        default=None, description="Its port. By default 465 for `tls`, 587 for `starttls`, 25 for `none`"
    )
    smtp_security: Annotated[Literal["tls", "starttls", "none"], Lower] = Field(
        default="tls",
        description="How the conversation is kept secret: `tls` from the start, `starttls`, or `none`, for a "
        "server on this machine or one that only keeps what it gets",
    )
    smtp_username: SecretStr | None = Field(default=None, description="Who we are to the SMTP server")
    smtp_password: SecretStr | None = Field(default=None, description="The password for that")
    smtp_timeout: Duration = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(seconds=12),
        description="How long a whole conversation with the SMTP server may take",
    )
    smtp_keeps_everything: bool = Field(
        default=False,
        description="Whether the SMTP server only keeps what it gets, as Mailpit or MailDev: nothing reaches "
        "people",
    )
    send_rate: float | None = Field(
        default=None,
        ge=0.01,
        allow_inf_nan=False,
        description="How many messages go out in a second, at most, over all workers. By default as many as "
        "there are",
    )
    send_concurrency: int = Field(
        default=20, ge=1, le=200, description="How many messages a worker has in hand at a time"
    )
    sendgrid_webhook_keys: VerificationKeys = Field(
        default=(),
        description="The verification keys of SendGrid's Event Webhook, newest first. Without one no events "
        "are taken",
    )
    webhook_tolerance: Duration = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="How far the time that a webhook's request was signed at may lie from now, either way",
    )
    systems: Annotated[dict[str, System], NoDecode, Json] = Field(
        default={},
        description='The systems that provision: {"workspace": {"url": "https://…", "secret": "…"}}',
    )
    allow_private_addresses: bool = Field(
        default=False,
        description="Whether a system may lie at a private or loopback address: for machines of one's own",
    )
    link_secrets: Secrets = Field(
        default=(),
        description="Secrets of the links in messages, newest first. By default one in FIRSTMILE_STATE_DIR",
    )
    log_level: Annotated[LogLevel, Lower] = Field(
        default="info", description="The least that is logged: debug, info, warning or error"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.database_url:
            object.__setattr__(
                self, "database_url", f"sqlite:///{self.state_dir.absolute() / 'firstmile.db'}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, EnvSettingsSource(settings_cls, env_prefix=PREFIX, env_ignore_empty=True)

    def journeys_folder(self) -> Path:
        """The folder of journeys."""
        return self.journeys or paths.journeys()

    def templates_folder(self) -> Path:
        """The folder of templates."""
        return self.templates or paths.templates()

    def link_keys(self) -> list[str]:
        """The secrets of links, the newest first; one is made and kept in the state folder if none is set."""
        if self.link_secrets:
            return [one.get_secret_value() for one in self.link_secrets]
        file = self.state_dir / "link-secret"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            # Written whole, then given its name: a process that starts at the same time reads all of it.
            part = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
            part.touch(mode=0o600)
            part.write_text(secrets.token_urlsafe(32))
            try:
                os.link(part, file)
            finally:
                part.unlink()
        return [file.read_text().strip()]


def load(*, sends: bool = False) -> Settings:
    """The settings of this process. `sends`: it sends messages, and so needs what that takes.

    Raises `SettingsError` with everything that is wrong: values, what is missing, and unknown variables.
    """
    flaws = [*unknown(os.environ, Settings.model_fields)]
    settings: Settings | None = None
    try:
        settings = Settings(**_also())
    except ValidationError as error:
        flaws += [unreadable(details) for details in error.errors(include_url=False)]
    if settings is not None:
        flaws += _missing(settings, sends)
    if flaws or settings is None:
        raise SettingsError(flaws)
    return settings


def origin(name: str) -> str:
    """Where the value of a setting comes from: a variable's name, or `default`."""
    if os.environ.get(variable(name)):
        return variable(name)
    also = ALSO.get(name)
    if also and os.environ.get(also):
        return also
    return "default"


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as plain values for people and programs, secrets masked."""
    found = settings.model_dump(mode="json")
    found["journeys"] = str(settings.journeys_folder())
    found["templates"] = str(settings.templates_folder())
    for name in ("reconcile_for", "sendgrid_timeout", "webhook_tolerance"):
        found[name] = f"{getattr(settings, name).total_seconds():g} seconds"
    found["database_url"] = re.sub(r"(://[^:/@]*):.*@", r"\1:**********@", settings.database_url)
    return found


def _also() -> dict[str, Any]:
    """What comes from other programs' variables, where ours are not set."""
    return {
        name: os.environ[other]
        for name, other in ALSO.items()
        if os.environ.get(other) and not os.environ.get(variable(name))
    }


def _missing(settings: Settings, sends: bool) -> Iterable[Flaw]:
    if sends:
        yield from {"sendgrid": _for_sendgrid, "smtp": _for_smtp, "standin": _for_standin}[
            settings.mail_transport
        ](settings)
    if not settings.link_secrets and not settings.database_url.startswith("sqlite"):
        yield Flaw(
            variable("link_secrets"),
            f"it is missing: processes on several machines share one; {MAKE_A_SECRET}",
        )


def _for_sendgrid(settings: Settings) -> Iterable[Flaw]:
    if settings.sendgrid_api_key is None:
        yield Flaw(
            variable("sendgrid_api_key"),
            "it is missing: set it (or SENDGRID_API_KEY), or FIRSTMILE_MAIL_TRANSPORT=standin",
        )
    elif problem := sendgrid_key_problem(settings.sendgrid_api_key.get_secret_value()):
        yield Flaw(variable("sendgrid_api_key"), problem)
    if problem := sendgrid_host_problem(settings.sendgrid_host):
        yield Flaw(variable("sendgrid_host"), problem)
    if settings.mail_sender == NO_SENDER:
        yield Flaw(variable("mail_sender"), "it is missing: write the address that SendGrid knows you by")


def _for_standin(settings: Settings) -> Iterable[Flaw]:
    if settings.sendgrid_host in (HOST, EU_HOST):
        yield Flaw(variable("sendgrid_host"), "it is SendGrid itself: write where the stand-in is")


def _for_smtp(settings: Settings) -> Iterable[Flaw]:
    keeps = settings.smtp_keeps_everything
    if settings.smtp_host is None:
        yield Flaw(variable("smtp_host"), "it is missing: write the SMTP server's name")
    elif settings.smtp_security == "none" and not keeps and not is_loopback(settings.smtp_host):
        yield Flaw(
            variable("smtp_security"),
            "`none` is for a server on this machine, or one that reaches nobody "
            "(FIRSTMILE_SMTP_KEEPS_EVERYTHING): write `tls` or `starttls`",
        )
    if (settings.smtp_username is None) != (settings.smtp_password is None):
        absent = "smtp_username" if settings.smtp_username is None else "smtp_password"
        yield Flaw(variable(absent), "it is missing: a user name and a password come together")
    if settings.mail_sender == NO_SENDER and not keeps:
        yield Flaw(variable("mail_sender"), "it is missing: write an address that your SMTP server sends for")
