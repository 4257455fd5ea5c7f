"""What rendering a message costs beside bare Jinja2, and what a send costs beside the provider's call.

Bare Jinja2 gets the same text that a send fills in: joined, inlined, compiled, with its own attribute look-up
instead of the sandbox's, no cap, no context to build and no choice of language. Both are timed in turn, in one
process, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jinja2 import Environment
from sqlalchemy import Engine, event

from firstmile import paths
from firstmile.contracts import Clock, EffectOutcome, EffectRequest, Records
from firstmile.journey.instants import from_datetime
from firstmile.journey.scope import Facts
from firstmile.mail.composing import Letterhead
from firstmile.mail.context import context_from, sample_context
from firstmile.mail.formatting import FILTERS
from firstmile.mail.inlining import inlined
from firstmile.mail.joining import flattened
from firstmile.mail.message import Address, Message
from firstmile.mail.sending import Post, send_once
from firstmile.mail.templates import Templates
from firstmile.mail.transport import Absent, Receipt, Sighting, Trace
from firstmile.store import profiles, schema
from firstmile.store.database import Database
from firstmile.store.profiles import Profile

LINKS = {"preferences": "https://hello.example/u/token", "app": "https://app.example/"}


# ---- rendering -------------------------------------------------------------------------------------------


def _bare(templates: Templates, name: str) -> Callable[[dict[str, Any]], None]:
    """A template rendered by bare Jinja2, from the text that a send fills in."""
    pages = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    texts = Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True)
    for environment in (pages, texts):
        environment.filters.update(FILTERS)
    variant = templates.variant(name, None)
    html = pages.from_string(inlined(variant.html.file, templates.source))
    rest = [texts.from_string(_joined(templates, part.file)) for part in (variant.subject, variant.text)]

    def render(context: dict[str, Any]) -> None:
        html.render(context)
        for part in rest:
            part.render(context)

    return render


def _joined(templates: Templates, file: str) -> str:
    return "".join(piece.text for piece in flattened(file, templates.source))


def rendering(rounds: int) -> None:
    """Print what every shipped message takes, and what bare Jinja2 takes for the same."""
    templates = Templates(paths.templates())
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for name in templates.names:
        context = sample_context(templates.sample_values(name), templates.brand)
        context["language"] = templates.language
        plain = {key: dict(value) if isinstance(value, dict) else value for key, value in context.items()}
        bare = _bare(templates, name)
        pairs = [
            (_microseconds(partial(templates.render, name, context)), _microseconds(partial(bare, plain)))
            for _ in range(rounds)
        ]
        ours[name], theirs[name] = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = {name: theirs[name] / ours[name] for name in ours}
    print(f"{'message':26} {'ours':>9} {'bare':>9}  ratio")
    for name, ratio in sorted(ratios.items(), key=lambda item: item[1]):
        print(f"{name:26} {ours[name]:6.0f} µs {theirs[name]:6.0f} µs  {ratio:5.2f}")
    total = sum(theirs.values()) / sum(ours.values())
    print(f"{'all':26} {sum(ours.values()):6.0f} µs {sum(theirs.values()):6.0f} µs  {total:5.2f}")


def _microseconds(call: Callable[[], object], times: int = 20) -> float:
    # CPU time: a machine that does other work makes both wait.
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1e6


# ---- a send's own overhead -------------------------------------------------------------------------------


class AtOnce:
    """A provider that takes everything at once: what is left is our own."""

    name = "at once"
    reaches_people = False
    idempotent = False
    timeout = 1.0

    def send(self, message: Message) -> Receipt:
        """Take it."""
        return Receipt(message.key)

    def find(self, trace: Trace) -> Sighting:
        """There is no log."""
        return Absent()

    def check(self) -> None:
        """It may always be sent."""


async def sending(count: int) -> None:
    """Print what one message costs with ledger, gate and records, on SQLite in a file."""
    templates = Templates(paths.templates())
    post = Post(Letterhead(templates, Address("hello@acme.example", "Acme")))
    someone = Profile("c-1", "Ann Lee", "ann@customer.example", "Lee & Co", locale="en")
    statements = 0

    def counted(*_: object) -> None:
        nonlocal statements
        statements += 1

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        await schema.upgrade(url)
        database = Database(url)
        async with database.writing() as tx:
            await profiles.write(tx, someone, datetime.now(UTC))
        await send_once(database, AtOnce(), _request(0), post, links=LINKS)
        event.listen(Engine, "before_cursor_execute", counted)
        start = time.perf_counter()
        for number in range(1, count + 1):
            outcome = await send_once(database, AtOnce(), _request(number), post, links=LINKS)
            assert isinstance(outcome, EffectOutcome), outcome
            assert outcome.outcome == "done", outcome
        taken = (time.perf_counter() - start) / count * 1000
        event.remove(Engine, "before_cursor_execute", counted)
        await database.close()
    request = _request(0)
    composed = _microseconds(
        lambda: templates.render(
            "team_welcome", context_from(request, someone, links=LINKS, brand=templates.brand)
        )
    )
    print(f"\none send: {statements / count:.1f} SQL statements, {taken:.1f} ms")
    print(f"of which rendering: {composed / 1000:.2f} ms")


def _request(attempt: int) -> EffectRequest:
    now = from_datetime(datetime.now(UTC))
    return EffectRequest(
        subject="c-1",
        enrolment=1,
        segment="team",
        version=1,
        step="welcome",
        kind="email",
        purpose="run",
        occurrence=1,
        attempt=attempt,
        params={"template": "team_welcome", "class": "lifecycle"},
        facts=Facts(day=0, traits={"plan": "trial", "seats": 12, "trial_ends": "2026-04-01"}),
        timezone="Europe/Berlin",
        locale="en",
        clock=Clock(now),
        at=now,
        not_after=None,
        records=Records("c-1", 1, "team", 1, []),
    )


def main() -> None:
    """Both, with what was asked for."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=15, help="timings of each message; the median counts")
    options.add_argument("--sends", type=int, default=200, help="how many messages are sent")
    chosen = options.parse_args()
    rendering(chosen.rounds)
    asyncio.run(sending(chosen.sends))


if __name__ == "__main__":
    main()
