"""`firstmile worker` says what keeps it from sending before it begins, and never a secret."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firstmile.cli import app
from tests.mail.smtp_server import smtp_server
from tests.mail.test_sendgrid import answering, http_answer

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("FIRSTMILE_", "SENDGRID_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FIRSTMILE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("FIRSTMILE_MAIL_SENDER", "hello@acme.example")
    monkeypatch.setenv("FIRSTMILE_LOG_LEVEL", "debug")


@pytest.fixture
def refusing_sendgrid(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with answering(http_answer(401, '{"errors": [{"message": "authorization required"}]}')) as host:
        monkeypatch.setenv("SENDGRID_API_KEY", "SG.hush-hush")
        monkeypatch.setenv("FIRSTMILE_SENDGRID_HOST", host)
        yield host


@pytest.mark.usefixtures("refusing_sendgrid")
@pytest.mark.parametrize("arguments", [[], ["--only", "messages"]])
def test_a_key_that_sendgrid_refuses_ends_it_with_the_settings_name(
    arguments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ended = RUNNER.invoke(app, ["worker", *arguments])

    assert ended.exit_code == 2
    assert "FIRSTMILE_SENDGRID_API_KEY: SendGrid refused the API key (401)" in ended.stderr
    assert "hush" not in ended.output + caplog.text


def test_a_password_that_an_smtp_server_refuses_ends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with smtp_server(script={"AUTH": "535 5.7.8 hush-hush is wrong"}) as server:
        monkeypatch.setenv("FIRSTMILE_MAIL_TRANSPORT", "smtp")
        monkeypatch.setenv("FIRSTMILE_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("FIRSTMILE_SMTP_PORT", str(server.port))
        monkeypatch.setenv("FIRSTMILE_SMTP_SECURITY", "none")
        monkeypatch.setenv("FIRSTMILE_SMTP_USERNAME", "me")
        monkeypatch.setenv("FIRSTMILE_SMTP_PASSWORD", "hush-hush")
        ended = RUNNER.invoke(app, ["worker"])

    assert ended.exit_code == 2
    assert "the server answered 535 (5.7.8) to AUTH" in ended.stderr
    assert "hush" not in ended.output + caplog.text


def test_everything_that_is_missing_is_said_at_once() -> None:
    ended = RUNNER.invoke(app, ["worker"], env={"FIRSTMILE_MAIL_SENDER": "", "FIRSTMILE_SEND_RATE": "-1"})

    assert ended.exit_code == 2
    assert "FIRSTMILE_SEND_RATE: it must be greater than or equal to 0.01" in ended.stderr


def test_who_only_carries_journeys_on_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets as far as the store, which is not there."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIRSTMILE_DATABASE_URL", f"sqlite:///{tmp_path / 'file' / 'firstmile.db'}")

    assert RUNNER.invoke(app, ["worker"]).exit_code == 2
    ended = RUNNER.invoke(app, ["worker", "--only", "journeys"])

    assert ended.exit_code == 1
    assert "the store does not answer" in ended.stderr


def test_it_stops_when_it_is_told_to_while_temporal_is_away() -> None:
    """Somebody accepts the connection and says nothing: then the worker is waiting."""
    command: list[str | Path] = [Path(sys.executable).with_name("firstmile"), "worker", "--only", "journeys"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        environment = {**os.environ, "TEMPORAL_ADDRESS": f"127.0.0.1:{server.getsockname()[1]}"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as worker:
            connection, _ = server.accept()
            with connection:
                worker.terminate()
                # It would look for Temporal for a minute.
                _, said = worker.communicate(timeout=30)

    assert (worker.returncode, "Traceback" in said) == (0, False), said
