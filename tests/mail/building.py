"""What the tests of messages are built from: templates, a clock that is set, the stand-in, what an effect
asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from firstmile.contracts import Clock, EffectRequest, Records
from firstmile.journey.instants import from_datetime
from firstmile.journey.journal import Entry, View
from firstmile.journey.scope import Facts
from firstmile.standins.faults import Fault, Faults
from firstmile.standins.mailbox import Mailbox

Ask = Callable[..., EffectRequest]
"""Makes the request of an effect."""

BASE = """{% set light = brand.colours %}
<!doctype html>
<html lang="{{ language }}"><head><title>{{ self.heading() }}</title><meta name="color-scheme" content="light dark"><style>
.inside p { color: {{ light.ink }}; }
.button a { padding: 3px; }
@media (prefers-color-scheme: dark) { .inside p { color: #fff !important; } }
</style></head><body><div style="display: none">What comes next</div><div class="inside"><h1>{% block heading %}{% endblock %}</h1>
{% block content %}{% endblock %}
<p><a href="{{ links.preferences }}">Preferences</a> {{ brand.address }}</p></div></body></html>
"""
BASE_TEXT = """{% block content %}{% endblock %}

Preferences: {{ links.preferences }}
{{ brand.address }}
"""
FILES = {
    "_layout/base.html.j2": BASE,
    "_layout/base.txt.j2": BASE_TEXT,
    "_layout/brand.json": json.dumps(
        {
            "name": "Acme",
            "reply_to": "hello@acme.example",
            "address": "1 Acme Street, Acton",
            "colours": {"ink": "#123456"},
        }
    ),
    "_layout/sessions.json": json.dumps(
        {
            "intro": {
                "title": "Introduction",
                "url": "https://acme.example/intro",
                "minutes": 45,
                "weekly": {"weekday": "tue", "time": "15:00", "timezone": "Europe/Berlin"},
            }
        }
    ),
    "welcome/subject.txt.j2": "Welcome{% if customer.company %}, {{ customer.company }}{% endif %}\n",
    "welcome/body.html.j2": """{% extends "_layout/base.html.j2" %}
{% block heading %}Welcome{% endblock %}
{% block content %}<p>Hello {{ customer.first_name }}</p>{% endblock %}
""",
    "welcome/body.txt.j2": '{% extends "_layout/base.txt.j2" %}'
    "{% block content %}Hello {{ customer.first_name }}{% endblock %}",
    "welcome/sample.json": json.dumps(
        {
            "customer": {"name": "Ann Lee", "email": "ann@example.com"},
            "links": {"preferences": "https://x.example/u"},
        }
    ),
    "intro/subject.txt.j2": "Training on {{ session.starts|date }}",
    "intro/body.html.j2": """{% extends "_layout/base.html.j2" %}
{% block heading %}{{ session.title }}{% endblock %}
{% block content %}<p>{{ session.starts|datetime }}</p>{% endblock %}
""",
    "intro/body.txt.j2": '{% extends "_layout/base.txt.j2" %}'
    "{% block content %}{{ session.starts|datetime }} {{ session.url }}{% endblock %}",
    "intro/sample.json": json.dumps(
        {
            "session": {
                "id": "intro",
                "title": "T",
                "starts": "2026-03-10T15:00:00+01:00",
                "url": "https://a.example",
            },
            "links": {"preferences": "https://x.example/u"},
        }
    ),
}
LINKS = {"preferences": "https://acme.example/u/token", "app": "https://app.acme.example"}


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Write files by their paths."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@dataclass
class SetClock:
    """A clock on the wall that moves only when told."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass
class Standin:
    """The stand-in for SendGrid, from outside and from inside."""

    url: str
    app: FastAPI

    @property
    def mailbox(self) -> Mailbox:
        found: Mailbox = self.app.state.mailbox
        return found

    def fail(self, **fault: Any) -> None:
        """Have a fault at the next request."""
        faults: Faults = self.app.state.faults
        faults.add(Fault(**fault))

    def sent(self, key: str) -> int:
        """How often a message was taken."""
        return sum(letter.key == key for letter in self.mailbox.letters(limit=1000))


def asking(now: Callable[[], datetime]) -> Ask:
    """A function that makes the request of an effect, of a customer who was enrolled just now."""
    enrolled = from_datetime(now())

    def request(
        *,
        step: str = "welcome",
        subject: str = "c-1",
        kind: str = "email",
        params: dict[str, Any] | None = None,
        speed: float = 1.0,
        not_after: datetime | None = None,
        **other: Any,
    ) -> EffectRequest:
        entry = Entry(1, enrolled, "running", step, kind)
        success = Entry(2, 0, "done", step, kind)
        view = View(1, "active", None, None, None, {step: ("running", enrolled)})
        after = View(2, "active", None, None, None, {step: ("done", enrolled)})
        values: dict[str, Any] = {
            "subject": subject,
            "enrolment": 1,
            "segment": "team",
            "version": 1,
            "step": step,
            "kind": kind,
            "purpose": "run",
            "occurrence": 1,
            "attempt": 1,
            "params": {"template": "welcome", "class": "lifecycle"} if params is None else params,
            "facts": Facts(day=0),
            "timezone": "Europe/Berlin",
            "locale": "en",
            "clock": Clock(enrolled, speed),
            "at": enrolled,
            "not_after": None if not_after is None else from_datetime(not_after),
            "records": Records(subject, 1, "team", 1, [entry], view, success, after),
        }
        return EffectRequest(**(values | other))

    return request
