"""The settings choose the transport; a worker asks the provider whether it may send before it begins."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretStr

from firstmile.errors import SettingsError
from firstmile.mail.sendgrid_transport import SendGrid
from firstmile.mail.smtp_transport import SMTP
from firstmile.mail.transports import check_transport, doubts, transport_from
from firstmile.settings import Settings
from tests.mail.building import Standin
from tests.mail.smtp_server import CLOSE, smtp_server
from tests.mail.test_message import message
from tests.mail.test_sendgrid import answering, http_answer

HUSH = SecretStr("SG.hush-hush")


def chosen(transport: str, **values: Any) -> Settings:
    return Settings(mail_transport=transport, **values)  # type: ignore[arg-type]  # checked by pydantic


@pytest.mark.parametrize(
    ("settings", "kind", "reaches_people"),
    [
        (chosen("sendgrid", sendgrid_api_key=HUSH), SendGrid, True),
        (chosen("sendgrid", sendgrid_api_key=HUSH, sendgrid_sandbox=True), SendGrid, False),
        (chosen("standin", sendgrid_host="http://inbox:8025", sendgrid_api_key=HUSH), SendGrid, False),
        (chosen("smtp", smtp_host="mail.example"), SMTP, True),
        (chosen("smtp", smtp_host="127.0.0.1", smtp_security="none"), SMTP, True),
        (chosen("smtp", smtp_host="box", smtp_security="none", smtp_keeps_everything=True), SMTP, False),
    ],
)
def test_one_setting_chooses(settings: Settings, kind: type, reaches_people: bool) -> None:
    transport = transport_from(settings)
    assert isinstance(transport, kind)
    assert transport.reaches_people == reaches_people
    assert not transport.idempotent, "neither knows keys (FACTS.md)"
    assert "hush" not in repr(transport)
    assert transport.timeout <= 12, "what a post gives a call: see test_signatures"


def test_a_standin_never_gets_a_real_key(sendgrid: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = transport_from(chosen("standin", sendgrid_host=sendgrid.url, sendgrid_api_key=HUSH))
    transport.send(message())
    assert sendgrid.sent("k") == 1
    assert transport._api_key == "standin"  # type: ignore[attr-defined]  # SendGrid's


@pytest.mark.parametrize(
    "settings",
    [
        chosen("sendgrid"),
        chosen("sendgrid", sendgrid_api_key=HUSH, sendgrid_host="http://api.sendgrid.com"),
        chosen("smtp"),
        chosen("smtp", smtp_host="mail.example", smtp_security="none"),
        chosen("smtp", smtp_host="mail.example", smtp_username=HUSH),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError) as caught:
        transport_from(settings)
    assert "hush" not in str(caught.value)


# ---- asking before a worker begins ----


def test_a_key_that_is_refused_stops_a_worker_and_names_the_setting() -> None:
    with (
        answering(http_answer(401)) as host,
        pytest.raises(
            SettingsError, match=r"FIRSTMILE_SENDGRID_API_KEY: SendGrid refused the API key"
        ) as caught,
    ):
        check_transport(chosen("sendgrid", sendgrid_api_key=HUSH, sendgrid_host=host))
    assert "hush" not in str(caught.value)


def test_a_password_that_is_refused_stops_a_worker() -> None:
    signing_in = {"smtp_username": SecretStr("me"), "smtp_password": HUSH, "smtp_security": "none"}
    with (
        smtp_server(script={"AUTH": "535 5.7.8 no"}) as server,
        pytest.raises(SettingsError, match=r"the server answered 535 \(5.7.8\) to AUTH") as caught,
    ):
        check_transport(chosen("smtp", smtp_host="127.0.0.1", smtp_port=server.port, **signing_in))
    assert "hush" not in str(caught.value)


def test_a_provider_that_cannot_be_asked_is_warned_of_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    with answering(http_answer(503)) as host:
        check_transport(chosen("sendgrid", sendgrid_api_key=HUSH, sendgrid_host=host))
    with smtp_server(script={"CONNECT": CLOSE}) as server:
        check_transport(chosen("smtp", smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none"))
    broke = "SMTP: the connection broke, at the connection"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"could not be asked whether we may send: SendGrid answered 503 (FIRSTMILE_SENDGRID_HOST={host})",
        f"could not be asked whether we may send: {broke} (FIRSTMILE_SMTP_HOST=127.0.0.1)",
    ]


def test_a_standin_is_not_asked(sendgrid: Standin) -> None:
    check_transport(chosen("standin", sendgrid_host="http://127.0.0.1:9"))


def test_a_key_of_another_shape_is_doubted_and_used(caplog: pytest.LogCaptureFixture) -> None:
    odd = SecretStr("proxied-hush")
    with answering(http_answer(200, '{"scopes": ["mail.send"]}')) as host:
        settings = chosen("sendgrid", sendgrid_api_key=odd, sendgrid_host=host)
        check_transport(settings)
    assert "SendGrid's keys begin with `SG.`" in caplog.text
    assert "hush" not in caplog.text
    assert not doubts(chosen("sendgrid", sendgrid_api_key=HUSH))
