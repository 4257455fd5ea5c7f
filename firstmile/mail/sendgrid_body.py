"""A message as the body of SendGrid's `POST /v3/mail/send`: pure, so that it can be judged without sending.

Source: Mail Send API (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send).
"""

from __future__ import annotations

import base64
from typing import Any

from firstmile.mail.delivery import KEY_NAME
from firstmile.mail.message import Address, Message

MAX_CATEGORIES = 10


def body_of(message: Message, *, sandbox: bool = False) -> dict[str, Any]:
    """The body. One personalization: everyone in it sees the same message. In the sandbox SendGrid checks a
    message and throws it away."""
    personalization: dict[str, Any] = {
        "to": [_address(address) for address in message.to],
        "custom_args": {**dict(message.notes), KEY_NAME: message.key},
    }
    others = {address.email.casefold() for address in message.to}
    if cc := [_address(address) for address in message.cc if address.email.casefold() not in others]:
        personalization["cc"] = cc
    body: dict[str, Any] = {
        "personalizations": [personalization],
        "from": _address(message.sender),
        "subject": message.subject,
        # Plain text first: SendGrid wants the parts in the order of RFC 2046, the richest last.
        "content": [
            {"type": "text/plain", "value": message.text},
            {"type": "text/html", "value": message.html},
        ],
        "tracking_settings": {
            "click_tracking": {"enable": message.track_clicks, "enable_text": False},
            "subscription_tracking": {"enable": False},
        },
    }
    if message.reply_to:
        body["reply_to"] = _address(message.reply_to)
    if message.headers:
        body["headers"] = dict(message.headers)
    if message.categories:
        body["categories"] = list(dict.fromkeys(message.categories))[:MAX_CATEGORIES]
    if message.attachments:
        body["attachments"] = [
            {
                "content": base64.b64encode(item.content).decode(),
                "type": item.type,
                "filename": item.name,
                "disposition": "attachment",
            }
            for item in message.attachments
        ]
    if sandbox:
        body["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return body


def _address(address: Address) -> dict[str, str]:
    return {"email": address.email} | ({"name": address.name} if address.name else {})
