"""A stand-in for SendGrid: answers its real client, keeps what it was sent, and shows it as an inbox.

`python -m firstmile.standins.sendgrid --port 8025 --file messages.sqlite`

With `--events-to URL` it tells what became of messages, as SendGrid's Event Webhook does; it prints the key to
verify that with, unless it is given one of its own (`--events-key`).

- `/v3/mail/send`, `/v3/logs`, `/v3/logs/{id}`: SendGrid's.
- `/`: the inbox, for people.
- `/_standin/faults`: what to fail at next. `/_standin/messages`: what was taken, for tests.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from firstmile.standins import faults as faults_module
from firstmile.standins import inbox
from firstmile.standins.faults import Faults, carry_out
from firstmile.standins.mailbox import Letter, Mailbox, OpenLetter
from firstmile.standins.sendgrid_rules import MAX_BYTES, log_query, problems
from firstmile.standins.sendgrid_webhook import SigningKey, Subscriber, Teller, course, opening
from firstmile.standins.serving import serve


def sendgrid_standin(
    file: Path | None = None,
    *,
    api_key: str | None = None,
    log_lag: timedelta = timedelta(),
    subscriber: Subscriber | None = None,
) -> FastAPI:
    """The application. Kept in `file`, or in memory. `api_key`: the only key that is let in; None lets in
    any.

    `log_lag` is how far its log lies behind what it took, as SendGrid's does. `subscriber` is told what
    becomes of messages.
    """
    app = FastAPI(title="Stand-in for SendGrid", docs_url=None, redoc_url=None, openapi_url=None)
    mailbox, faults = Mailbox(file), Faults()
    teller = None if subscriber is None else Teller(subscriber, faults)
    app.state.mailbox, app.state.faults, app.state.teller = mailbox, faults, teller
    refused = {"count": 0}

    def key_problem(request: Request) -> Response | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key or key == "None" or (api_key is not None and key != api_key):
            words = "The provided authorization grant is invalid, expired, or revoked"
            return _errors(401, (None, words))
        return None

    @app.post("/v3/mail/send")
    async def send(request: Request) -> Response:
        raw = await request.body()
        if (answer := key_problem(request)) is not None:
            return answer
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            return _errors(415, (None, "Content-Type should be application/json."))
        if len(raw) > MAX_BYTES:
            return _errors(413, (None, "The payload is too large."))
        try:
            body = json.loads(raw)
        except ValueError:
            return _errors(400, (None, "Bad Request"))
        fault = faults.take("send", *_described(body))
        if fault is not None and fault.when == "before":
            return await carry_out(fault, request)
        if found := problems(body):
            refused["count"] += 1
            return _errors(400, *found)
        if body.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Response(status_code=200)
        identity = secrets.token_urlsafe(16)
        mailbox.keep(identity, body)
        if teller is not None:
            teller.tell(*course(identity, body, time.time()))
        if fault is not None:
            return await carry_out(fault, request)
        return Response(status_code=202, headers={"X-Message-Id": identity})

    def in_log(letter: Letter) -> bool:
        return letter.received_at <= datetime.now(UTC) - log_lag

    @app.post("/v3/logs")
    async def search(request: Request) -> Response:
        if (answer := key_problem(request)) is not None:
            return answer
        if (fault := faults.take("logs")) is not None:
            return await carry_out(fault, request)
        asked: Any = await request.json()
        limit = asked.get("limit", 10)
        if not isinstance(limit, int) or not 1 <= limit <= 1000:
            return _errors(400, ("limit", "limit must be between 1 and 1000"))
        try:
            wanted = log_query(asked.get("query", ""))
        except ValueError as error:
            return _errors(400, ("query", str(error)))
        found = [letter for letter in mailbox.letters(limit=100_000) if wanted(letter) and in_log(letter)]
        return JSONResponse({"messages": [_log_entry(letter) for letter in found[:limit]]})

    @app.get("/v3/logs/{identity}")
    async def detail(identity: str, request: Request) -> Response:
        if (answer := key_problem(request)) is not None:
            return answer
        if (fault := faults.take("logs")) is not None:
            return await carry_out(fault, request)
        found = mailbox.by_id(identity)
        if found is None or not in_log(found.letter):
            return _errors(404, (None, "message not found"))
        entry = _log_entry(found.letter)
        created = entry.pop("sg_message_id_created_at")
        event = {"event": "processed", "processed": created}
        return JSONResponse(
            entry
            | {"from_email": found.body["from"]["email"], "api_key_id": "stand-in", "client_ip": "127.0.0.1"}
            | {"category": found.body.get("categories", []), "events": [event]}
            | {"custom_args": found.personalization.get("custom_args", {})}
        )

    @app.get("/_standin/messages")
    def messages(recipient: str | None = None, key: str | None = None) -> dict[str, Any]:
        letters = [
            letter
            for letter in reversed(mailbox.letters(recipient=recipient, limit=100_000))
            if key is None or letter.key == key
        ]
        sent: dict[str, int] = {}
        for letter in letters:
            sent[letter.key or ""] = sent.get(letter.key or "", 0) + 1
        return {
            "count": len(letters),
            "refused": refused["count"],
            "sent": sent,
            "messages": [
                {
                    "number": letter.number,
                    "id": letter.id,
                    "key": letter.key,
                    "recipient": letter.recipient,
                    "subject": letter.subject,
                    "class": letter.message_class,
                    "attachments": letter.attachments,
                    "received_at": letter.received_at.isoformat(),
                }
                for letter in letters
            ],
        }

    @app.get("/_standin/messages/{number}")
    def message(number: int) -> Response:
        found = mailbox.open(number)
        return JSONResponse(found.body) if found else _errors(404, (None, "no such message"))

    @app.delete("/_standin/messages", status_code=204)
    def forget() -> None:
        mailbox.clear()

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(faults_module.routes(faults))

    def opened(letter: OpenLetter) -> None:
        if teller is not None:
            teller.tell(opening(letter.letter.id, letter.body, time.time()))

    app.include_router(inbox.routes(mailbox, opened))
    return app


def _described(body: Any) -> list[str]:
    """What a fault's `match` is searched for in: every recipient, and the subject."""
    try:
        people = [address["email"] for person in body["personalizations"] for address in person["to"]]
    except (KeyError, TypeError):
        return []
    return [*people, str(body.get("subject", ""))]


def _log_entry(letter: Letter) -> dict[str, Any]:
    return {
        "from_email": "",
        "sg_message_id": letter.id,
        "subject": letter.subject,
        "to_email": letter.recipient,
        "status": "processed",
        "sg_message_id_created_at": letter.received_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _errors(status: int, *found: tuple[str | None, str]) -> JSONResponse:
    errors = [{"message": message, "field": field, "help": None} for field, message in found]
    return JSONResponse({"errors": errors}, status_code=status)


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0, help="the port (default: any that is free)")
    parser.add_argument("--file", type=Path, help="keep messages in this file (default: in memory)")
    parser.add_argument("--events-to", metavar="URL", help="the webhook that is told what became of messages")
    parser.add_argument(
        "--events-key", metavar="KEY", help="the private key to sign with (default: a new one)"
    )
    arguments = parser.parse_args()
    subscriber = None
    if arguments.events_to:
        key = SigningKey.read(arguments.events_key) if arguments.events_key else SigningKey.make()
        subscriber = Subscriber(arguments.events_to, key)
        if not arguments.events_key:
            print(f"FIRSTMILE_SENDGRID_WEBHOOK_KEYS={key.public}", flush=True)
    serve(sendgrid_standin(arguments.file, subscriber=subscriber), port=arguments.port, name="inbox")


if __name__ == "__main__":
    main()
