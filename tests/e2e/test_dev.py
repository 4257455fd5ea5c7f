"""`firstmile dev`: what is saved is checked, told about, and in force for the next customer."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstmile import paths
from tests.e2e.running import Running, needs_proc

pytestmark = needs_proc


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of journeys and templates to work on."""
    (tmp_path / "journeys").mkdir()
    shutil.copy(paths.journeys() / "self_serve.yaml", tmp_path / "journeys")
    shutil.copytree(paths.templates(), tmp_path / "templates")
    return tmp_path


@pytest.fixture
def dev(work: Path) -> Iterator[Running]:
    running = Running(work, "dev", "--journeys", "journeys", "--templates", "templates")
    yield running
    running.end()


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: str = answer.read().decode()
        return found


def mail(id: str) -> str:
    return f"{id}@there.example"


def sign_up(web: str, id: str) -> int:
    body = {"id": id, "segment": "self_serve", "email": mail(id), "traits": {"plan": "pro"}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{web}/v1/onboardings", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        version: int = json.load(answer)["version"]
        return version


def test_what_is_saved_is_in_force_at_once(dev: Running, work: Path) -> None:
    journey, subject = (
        work / "journeys" / "self_serve.yaml",
        work / "templates" / "self_serve_welcome" / "subject.txt.j2",
    )
    dev.until_said("Watching ")
    web, inbox = (
        re.search(rf"{name} +(http://[\d.:]+)", dev.said).group(1)  # type: ignore[union-attr]  # it was said
        for name in ("Metrics", "Inbox")
    )
    before = dev.children()
    assert sign_up(web, "c-1") == 1

    rewrite(journey, "wait: 2 weeks", "wait: 3 weeks")
    dev.until_said("self_serve: new customers start on version 2")
    assert sign_up(web, "c-2") == 2

    rewrite(journey, "template: ease", "template: eese")
    dev.until_said(r"self_serve\.yaml:\d+:.*eese")
    dev.until_said("1 problem: what was in force before stays so")
    assert sign_up(web, "c-3") == 2
    # A journey is read when a customer starts: nothing had to be started again.
    assert dev.children().keys() == before.keys()

    rewrite(journey, "template: eese", "template: ease")
    subject.write_text("Quite another subject")
    dev.until_said("templates: in force")
    sign_up(web, "c-4")
    dev.until(
        lambda: "Quite another subject" in get(f"{inbox}/_standin/messages?recipient=c-4@there.example")
    )
    assert len(before.keys() - dev.children().keys()) == 1

    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(60) == 0, dev.said
    assert dev.children() == {}
    assert dev.left_behind == []
