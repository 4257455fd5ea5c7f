"""SendGrid's real client against the stand-in: what is sent, and every row of the error table."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.error import URLError

import pytest

from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Address, Attachment, Message
from firstmile.mail.sendgrid_body import body_of
from firstmile.mail.sendgrid_transport import FAILURES, STATUSES, SendGrid
from firstmile.mail.transport import Absent, Found, Trace, Unknown
from firstmile.setting_values import EU_HOST
from tests.mail.building import SetClock, Standin
from tests.mail.test_message import message


def trace(now: datetime, recipient: str = "ann@customer.example", key: str = "k") -> Trace:
    return Trace(key, recipient, now - timedelta(seconds=5), now)


# ---- sending ----


def test_a_message_arrives_as_it_was_meant(transport: SendGrid, sendgrid: Standin) -> None:
    sent = message(
        cc=(Address("bo@customer.example", "Bo"),),
        reply_to=Address("help@acme.example"),
        headers=(("List-Unsubscribe", "<https://a.example>"),),
        attachments=(Attachment("a.ics", "text/calendar", b"BEGIN:VCALENDAR"),),
        categories=("lifecycle", "segment-team"),
        notes=(("fm_step", "welcome"),),
    )
    receipt = transport.send(sent)
    letter = sendgrid.mailbox.letters()[0]
    kept = sendgrid.mailbox.open(letter.number)
    assert kept is not None
    assert letter.id.startswith(f"{receipt.provider_id}.")
    assert (letter.key, letter.recipient, letter.message_class) == ("k", "ann@customer.example", "lifecycle")
    assert kept.body == body_of(sent)
    assert kept.personalization["custom_args"] == {"fm_key": "k", "fm_step": "welcome"}
    assert kept.personalization["cc"] == [{"email": "bo@customer.example", "name": "Bo"}]
    assert kept.attachment(0) == ("a.ics", "text/calendar", b"BEGIN:VCALENDAR")
    assert kept.body["tracking_settings"]["click_tracking"]["enable"] is False
    assert kept.body["tracking_settings"]["subscription_tracking"]["enable"] is False


def test_each_thread_has_a_client_of_its_own(transport: SendGrid, sendgrid: Standin) -> None:
    sends = [
        threading.Thread(target=transport.send, args=(message(key=f"k{number}"),)) for number in range(8)
    ]
    for thread in sends:
        thread.start()
    for thread in sends:
        thread.join()
    assert sorted(letter.key or "" for letter in sendgrid.mailbox.letters()) == [f"k{n}" for n in range(8)]


def test_a_header_of_an_earlier_call_does_not_stick(transport: SendGrid) -> None:
    client = transport._client()
    client.request_headers["X-Leaked"] = "yes"
    assert "X-Leaked" not in transport._client().request_headers


# ---- the error table ----

KINDS: dict[str, type[TransportError]] = {"permanent": Rejected, "later": TryLater, "unknown": OutcomeUnknown}
OTHERS = (402, 408, 409, 422, 500, 502, 503, 504)


@pytest.mark.parametrize("status", [*STATUSES, *OTHERS])
def test_every_status(transport: SendGrid, sendgrid: Standin, status: int) -> None:
    sendgrid.fail(kind="status", status=status)
    with pytest.raises(TransportError) as caught:
        transport.send(message())
    assert type(caught.value) is KINDS[STATUSES.get(status, "unknown")]
    assert caught.value.status == status


def test_a_rate_limit_is_obeyed(transport: SendGrid, sendgrid: Standin, now: SetClock) -> None:
    sendgrid.fail(kind="status", status=429, reset_in=90)
    with pytest.raises(TryLater) as caught:
        transport.send(message())
    assert timedelta(seconds=85) < caught.value.until - now() <= timedelta(seconds=91)


@pytest.mark.parametrize(("reset", "seconds"), [(None, 60), (1e9, 3600), (-100, 1)])
def test_a_rate_limit_without_a_sensible_reset(
    transport: SendGrid, sendgrid: Standin, now: SetClock, reset: float | None, seconds: float
) -> None:
    sendgrid.fail(kind="status", status=429, reset_in=reset)
    with pytest.raises(TryLater) as caught:
        transport.send(message())
    assert caught.value.until - now() == timedelta(seconds=seconds)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_no_answer_and_a_broken_connection_are_unknown(
    transport: SendGrid, sendgrid: Standin, kind: str, when: str
) -> None:
    sendgrid.fail(kind=kind, when=when)
    with pytest.raises(OutcomeUnknown):
        transport.send(message())
    assert sendgrid.sent("k") == (when == "after")


def test_a_refused_connection_is_later(free_port: Callable[[], int]) -> None:
    with pytest.raises(TryLater, match="connection refused"):
        SendGrid("SG.test", host=f"http://127.0.0.1:{free_port()}").send(message())


def test_a_name_that_is_not_resolved_is_later() -> None:
    with pytest.raises(TryLater, match="name cannot be resolved"):
        SendGrid("SG.test", host="https://nowhere.invalid", timeout=5).send(message())


def test_a_server_that_closes_without_an_answer_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(OutcomeUnknown):
            SendGrid("SG.test", host=f"http://127.0.0.1:{server.getsockname()[1]}", timeout=5).send(message())
        thread.join()


@pytest.mark.parametrize(("kind", "verdict", "words"), FAILURES)
def test_every_row_of_the_networks_failures(
    transport: SendGrid, kind: type[BaseException], verdict: str, words: str
) -> None:
    cause = kind(1, "x") if kind is not http.client.HTTPException else kind("x")
    while_connecting = transport._failure(URLError(cause))
    after_writing = transport._failure(cause)
    assert type(while_connecting) is KINDS[verdict]
    assert type(after_writing) is OutcomeUnknown, "once the request may be out, nothing is certain"
    assert words in while_connecting.reason


def answering(*answers: bytes) -> AbstractContextManager[str]:
    """A server that gives these answers, one for each connection, whatever it is asked; its address."""

    @contextmanager
    def served() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer() -> None:
                for one in answers:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(one)

            thread = threading.Thread(target=answer)
            thread.start()
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
            thread.join()

    return served()


def http_answer(status: int, body: str = "", **headers: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{head}\r\n{body}".encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "90"}, 90),
        ({"Retry-After": "999999"}, 3600),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "soon"}, 60),
        ({"Retry-After": "30", "X-RateLimit-Reset": "{in 120}"}, 120),
        ({"X-RateLimit-Reset": "nan"}, 60),
    ],
)
def test_whichever_header_says_how_long_is_obeyed(
    headers: dict[str, str], seconds: float, now: SetClock
) -> None:
    headers = {
        name: value.replace("{in 120}", f"{now().timestamp() + 120:.0f}") for name, value in headers.items()
    }
    with (
        answering(http_answer(429, **headers)) as host,
        pytest.raises(TryLater) as caught,
    ):
        SendGrid("SG.x", host=host, now=now).send(message())
    assert abs((caught.value.until - now()).total_seconds() - seconds) < 1


def test_retry_after_may_be_a_date(now: SetClock) -> None:
    date = format_datetime(now() + timedelta(seconds=100), usegmt=True)
    with answering(http_answer(429, Retry_After=date)) as host, pytest.raises(TryLater) as caught:
        SendGrid("SG.x", host=host, now=now).send(message())
    assert 98 < (caught.value.until - now()).total_seconds() <= 100


def test_an_answer_that_is_not_202_is_unknown() -> None:
    with answering(http_answer(200)) as host, pytest.raises(OutcomeUnknown, match="200 instead of 202"):
        SendGrid("SG.x", host=host).send(message())


# ---- the sandbox ----


def test_what_goes_into_the_sandbox_is_accepted_and_reaches_nobody(sendgrid: Standin) -> None:
    sandbox = SendGrid("SG.test", host=sendgrid.url, sandbox=True)
    assert sandbox.send(message()).provider_id is None
    assert not sandbox.reaches_people
    assert sendgrid.sent("k") == 0


def test_the_sandbox_of_the_real_sendgrid_reaches_nobody_either() -> None:
    assert not SendGrid("SG.x", sandbox=True).reaches_people


# ---- asking what the key may do ----


def test_a_key_that_may_send_is_fine() -> None:
    with answering(http_answer(200, '{"scopes": ["alerts.read", "mail.send"]}')) as host:
        SendGrid("SG.x", host=host).check()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http_answer(401, '{"errors": []}'), f"refused the API key .401.: .* or belongs to {EU_HOST}"),
        (http_answer(403, '{"errors": []}'), "refused the API key .403."),
        (http_answer(200, '{"scopes": ["alerts.read"]}'), "give it the permission mail.send"),
    ],
)
def test_a_key_that_may_not_send_is_told_of(answer: bytes, words: str) -> None:
    with answering(answer) as host, pytest.raises(Rejected, match=words) as caught:
        SendGrid("SG.hush", host=host).check()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        *(http_answer(status, "no") for status in (400, 404, 429, 500)),
        *(http_answer(200, body) for body in ("", "[]", '{"scopes": "all"}')),
        b"",
    ],
)
def test_an_answer_that_proves_nothing_about_the_key_is_no_reason_to_stop(answer: bytes) -> None:
    with answering(answer) as host, pytest.raises(TransportError) as caught:
        SendGrid("SG.x", host=host).check()
    assert not isinstance(caught.value, Rejected)


# ---- what must not be told ----


def test_what_was_refused_is_named_by_its_field_and_never_by_the_address(
    transport: SendGrid, sendgrid: Standin
) -> None:
    wrong = message(to=(Address("ann.secret@nowhere"),))
    with pytest.raises(Rejected) as caught:
        transport.send(wrong)
    assert str(caught.value) == "SendGrid answered 400 (personalizations.0.to.0.email)"
    assert "ann.secret" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_key_is_never_logged(
    transport: SendGrid, sendgrid: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    loggers = [logging.getLogger(name) for name in ("python_http_client", "python_http_client.client")]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG):
            transport.send(message())
            sendgrid.fail(kind="status", status=401)
            with pytest.raises(Rejected):
                transport.send(message())
    finally:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
    assert "SG.test" not in caplog.text
    assert "customer.example" not in caplog.text
    assert "SG.test" not in repr(transport)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"api_key": ""}, "needs an API key"),
        ({"api_key": "SG.secret\n"}, "contains a blank"),
        ({"host": "api.sendgrid.com"}, "host must be like https://api.sendgrid.com"),
        ({"host": "https://api.sendgrid.com/v3"}, "without a path"),
        (
            {"host": "http://api.sendgrid.com"},
            "SendGrid is at https://api.sendgrid.com, or at https://api.eu",
        ),
        (
            {"host": "https://eu.sendgrid.com"},
            "SendGrid is at https://api.sendgrid.com, or at https://api.eu",
        ),
        ({"host": "http://proxy.example"}, "https only"),
        ({"timeout": 0}, "between 0 and 60"),
        ({"timeout": 600}, "between 0 and 60"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        SendGrid(**({"api_key": "SG.x"} | settings))
    assert "secret" not in str(caught.value)


def test_a_key_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.real")
    with pytest.raises(ValueError, match="needs an API key"):
        SendGrid("")


def test_only_a_loopback_host_is_known_not_to_reach_people() -> None:
    assert SendGrid("SG.x").reaches_people
    assert SendGrid("SG.x", host="https://api.eu.sendgrid.com").reaches_people
    assert not SendGrid("SG.x", host="http://127.0.0.1:8025").reaches_people
    assert not SendGrid("SG.x", host="http://inbox:8025", reaches_people=False).reaches_people


# ---- the log ----


def test_a_message_is_found_by_our_key(transport: SendGrid, sendgrid: Standin, now: SetClock) -> None:
    transport.send(message(key="other"))
    receipt = transport.send(message())
    found = transport.find(trace(now()))
    assert isinstance(found, Found)
    assert found.provider_id is not None
    assert found.provider_id.startswith(str(receipt.provider_id))


@pytest.mark.parametrize("address", ["Ann.O'Neil@customer.example", "ANN@customer.example"])
def test_it_is_found_whatever_the_address_looks_like(
    transport: SendGrid, sendgrid: Standin, now: SetClock, address: str
) -> None:
    transport.send(message(to=(Address(address),)))
    assert isinstance(transport.find(trace(now(), address)), Found)


def test_it_is_absent_only_once_the_log_must_have_it(
    transport: SendGrid, sendgrid: Standin, now: SetClock
) -> None:
    transport.send(message(key="other"))
    asked = trace(now())
    assert transport.find(asked) == Unknown("SendGrid's log may not have it yet")
    now.move(seconds=31)
    assert transport.find(asked) == Absent()


@pytest.mark.parametrize(
    "fault",
    [{"status": 403}, {"status": 429, "reset_in": 5}, {"status": 500}, {"kind": "hang"}, {"kind": "reset"}],
)
def test_a_log_that_cannot_be_read_proves_nothing(
    transport: SendGrid, sendgrid: Standin, now: SetClock, fault: dict[str, Any]
) -> None:
    transport.send(message(key="other"))
    asked = trace(now())
    now.move(hours=1)
    sendgrid.fail(**({"kind": "status", "on": "logs"} | fault))
    assert isinstance(transport.find(asked), Unknown)
    assert transport.find(asked) == Absent()


def test_a_message_in_the_log_that_cannot_be_read_may_be_ours(
    transport: SendGrid, sendgrid: Standin, now: SetClock
) -> None:
    transport.send(message())
    asked = trace(now())
    now.move(hours=1)
    found = iter([{"messages": [{"sg_message_id": "../x"}]}])

    def read(_: object) -> object:
        return next(found)

    transport._read = read  # type: ignore[method-assign,assignment]  # an answer the stand-in does not give
    assert transport.find(asked) == Unknown("1 messages in SendGrid's log could not be read")


@pytest.mark.parametrize(("timeout", "looks"), [(8.0, 3), (0.001, 1)])
def test_a_log_that_shows_nothing_of_many_messages_is_not_asked_for_each(
    timeout: float, looks: int, now: SetClock
) -> None:
    transport = SendGrid("SG.test", host="http://127.0.0.1:9", timeout=timeout, now=now)
    asked: list[object] = []

    def read(call: object) -> object:
        asked.append(call)
        if len(asked) == 1:
            return {"messages": [{"sg_message_id": f"m-{number}"} for number in range(500)]}
        # As a log with a limit of its own answers, and one that takes its time.
        threading.Event().wait(0.01)
        return Unknown("SendGrid's log: SendGrid answered 429")

    transport._read = read  # type: ignore[method-assign,assignment]  # an answer the stand-in does not give
    found = transport.find(trace(now()))
    assert found == Unknown("SendGrid's log has more messages from that time than could be read")
    assert len(asked) <= 1 + looks


def test_the_body_names_each_address_once() -> None:
    ann = Address("ann@customer.example")
    sent: Message = message(to=(ann,), cc=(Address("ANN@customer.example"), Address("bo@customer.example")))
    assert body_of(sent)["personalizations"][0]["cc"] == [{"email": "bo@customer.example"}]
