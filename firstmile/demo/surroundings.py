"""What the demo's processes are told: ports, secrets, and an environment with nothing of the caller's in it.

Nothing leaves a machine by accident: a real API key, a real Temporal address or a real database in the
environment of whoever starts the demo never reaches one of its processes.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from firstmile.demo.processes import LOOPBACK, free_port
from firstmile.standins.sendgrid_webhook import SigningKey

SYSTEMS: Final = ("workspace", "sandbox", "sso", "data_import")
"""Every system that a shipped journey provisions from; one stand-in plays them all."""

PASSED: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT")
"""What of the caller's environment a process needs to run at all."""

SENDER: Final = "hello@acme-cloud.example"
PRODUCT: Final = "https://app.acme-cloud.example"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on the loopback address."""

    web: int
    inbox: int
    temporal_ui: int
    systems: int
    temporal: int
    temporal_metrics: int
    worker_metrics: int

    @classmethod
    def choose(cls, wanted: Mapping[str, int] | None = None) -> Ports:
        """Free ports: the wanted ones where they are free."""
        chosen: dict[str, int] = {}
        for one in fields(cls):
            chosen[one.name] = free_port((wanted or {}).get(one.name), chosen.values())
        return cls(**chosen)


FAMILIAR: Final = {
    "web": 15_800,
    "inbox": 15_825,
    "temporal_ui": 15_833,
    "systems": 15_826,
    "temporal": 15_834,
}
"""Ports that are taken if they are free, so that addresses are the same from one demo to the next."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that the processes of one demo share."""

    directory: Path
    ports: Ports
    journeys: Path
    templates: Path
    link_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    system_secret: str = field(
        default_factory=lambda: "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(), repr=False
    )
    events_key: SigningKey = field(default_factory=SigningKey.make, repr=False)
    """What the stand-in for SendGrid signs its events with."""

    @property
    def database_url(self) -> str:
        """The store."""
        return f"sqlite:///{self.directory / 'firstmile.db'}"

    @property
    def web(self) -> str:
        """The web service: API, customers' pages, console, metrics."""
        return address(self.ports.web)

    @property
    def inbox(self) -> str:
        """The stand-in for SendGrid, and the inbox of everybody."""
        return address(self.ports.inbox)

    @property
    def systems(self) -> str:
        """The stand-in for the systems that provision."""
        return address(self.ports.systems)

    @property
    def temporal_ui(self) -> str:
        """Temporal's own pages."""
        return address(self.ports.temporal_ui)

    def bare(self) -> dict[str, str]:
        """The environment of a process that is no program of ours: what it takes to run, and no more."""
        passed = {name: os.environ[name] for name in PASSED if name in os.environ}
        return {**passed, "HOME": str(self.directory)}

    def settings(self, **more: str) -> dict[str, str]:
        """The environment of a program of ours."""
        systems = {
            name: {"url": f"{self.systems}/webhooks/{name}", "secret": self.system_secret} for name in SYSTEMS
        }
        return {
            **self.bare(),
            "PYTHONUNBUFFERED": "1",
            "TEMPORAL_ADDRESS": f"{LOOPBACK}:{self.ports.temporal}",
            "TEMPORAL_NAMESPACE": "default",
            # Profiles in the caller's own configuration are none of the demo's.
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "FIRSTMILE_STATE_DIR": str(self.directory),
            "FIRSTMILE_DATABASE_URL": self.database_url,
            "FIRSTMILE_JOURNEYS": str(self.journeys),
            "FIRSTMILE_TEMPLATES": str(self.templates),
            "FIRSTMILE_PUBLIC_URL": self.web,
            "FIRSTMILE_APP_URL": PRODUCT,
            "FIRSTMILE_HTTP_HOST": LOOPBACK,
            "FIRSTMILE_HTTP_PORT": str(self.ports.web),
            "FIRSTMILE_CORE_METRICS_URL": f"{address(self.ports.worker_metrics)}/metrics",
            "FIRSTMILE_MAIL_TRANSPORT": "standin",
            "FIRSTMILE_MAIL_SENDER": SENDER,
            "FIRSTMILE_MAIL_SENDER_NAME": "Acme Cloud",
            "FIRSTMILE_SENDGRID_HOST": self.inbox,
            "FIRSTMILE_SENDGRID_WEBHOOK_KEYS": self.events_key.public,
            "FIRSTMILE_SYSTEMS": json.dumps(systems),
            "FIRSTMILE_ALLOW_PRIVATE_ADDRESSES": "true",
            "FIRSTMILE_LINK_SECRETS": self.link_secret,
            **more,
        }


def address(port: int) -> str:
    """The address of what listens on a loopback port."""
    return f"http://{LOOPBACK}:{port}"
