"""`firstmile preview`: what it writes, shows and sends, with and without a browser."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner, Result

from firstmile.cli import app
from firstmile.mail import screenshots
from firstmile.standins.mailbox import Mailbox, OpenLetter
from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.serving import serve_in_thread
from tests.mail.building import FILES, write_files

GERMAN = {
    "welcome/de/subject.txt.j2": "Willkommen",
    "welcome/de/body.html.j2": FILES["welcome/body.html.j2"].replace("Hello", "Guten Tag"),
    "welcome/de/body.txt.j2": "Guten Tag {{ customer.first_name }}",
}
CUSTOMER = {
    "id": "c-1",
    "timezone": "Asia/Tokyo",
    "locale": "de-AT",
    "name": "Bo <Boss>",
    "company": "Boss & Co",
    "traits": {"plan": "pro"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two templates, one of them also in German."""
    write_files(tmp_path / "templates", FILES | GERMAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTMILE_TEMPLATES", str(tmp_path / "templates"))
    return tmp_path


def run(*arguments: str, pictures: bool = False) -> Result:
    return CliRunner().invoke(app, ["preview", *([] if pictures else ["--no-pictures"]), *arguments])


def test_a_message_is_written_as_html_and_text(folder: Path) -> None:
    shown = run("welcome")

    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.splitlines() == [
        "welcome (en): Welcome",
        "  preview/welcome.html",
        "  preview/welcome.txt",
    ]
    assert "Hello Ann" in (folder / "preview" / "welcome.html").read_text()
    assert (folder / "preview" / "welcome.txt").read_text().startswith("Hello Ann\n")


def test_a_locale_and_a_customer_are_put_in_the_samples_place(folder: Path) -> None:
    (folder / "customer.json").write_text(json.dumps(CUSTOMER))

    (german,) = json.loads(run("welcome", "--locale", "de_AT", "--json").stdout)["previews"]
    (boss,) = json.loads(run("welcome", "--customer", "customer.json", "--out", "x", "--json").stdout)[
        "previews"
    ]
    english = json.loads(run("welcome", "--customer", "customer.json", "--locale", "en", "--json").stdout)

    assert (german["language"], german["subject"], german["preheader"]) == (
        "de",
        "Willkommen",
        "What comes next",
    )
    assert (boss["language"], boss["files"]) == ("de", ["x/welcome.de.html", "x/welcome.de.txt"])
    assert (folder / "x" / "welcome.de.txt").read_text() == "Guten Tag Bo\n"
    assert "&lt;Boss&gt;" not in (folder / "x" / "welcome.de.html").read_text(), "the first name is shown"
    assert english["previews"][0]["subject"] == "Welcome, Boss & Co"


def test_the_gallery_holds_every_template_in_every_language_and_needs_nothing_else(folder: Path) -> None:
    shown = run("--all", "--out", "all")
    page = (folder / "all" / "index.html").read_text()

    assert shown.stdout.splitlines() == [
        "intro (en): Training on March 10, 2026",
        "welcome (en): Welcome",
        "welcome (de): Willkommen",
        "all on one page: all/index.html",
    ]
    assert [page.count(f'<article id="{name}">') for name in ("intro", "welcome", "welcome.de")] == [1, 1, 1]
    assert page.count("<iframe ") == 3 * 4, "without pictures the messages themselves"
    assert "<script" not in page
    assert "What comes next" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["welcom"], 2, "template welcom: there is no such template: did you mean 'welcome'?"),
        (["welcome", "--locale", "klingon"], 2, "template welcome: 'klingon' is not a locale"),
        (["welcome", "--customer", "nowhere.json"], 2, "nowhere.json: cannot be read"),
        (["welcome", "--customer", "bad.json"], 2, "bad.json:1: timezone: "),
        (["broken"], 1, "template broken: broken/body.txt.j2:1: 'nobody' is undefined"),
        ([], 2, "name a template, or give --all"),
        (["welcome", "--all"], 2, "name a template, or give --all"),
        (["--all", "--locale", "de"], 2, "go with one template"),
        (["welcome", "--send-to", "nobody"], 2, "--send-to: not an address"),
    ],
)
def test_what_cannot_be_shown_is_said(folder: Path, arguments: list[str], status: int, words: str) -> None:
    (folder / "bad.json").write_text('{"id": "c-1", "timezone": "Mars"}')
    broken = {name.replace("welcome/", "broken/"): text for name, text in FILES.items() if "welcome/" in name}
    if "broken" in arguments:
        write_files(folder / "templates", broken | {"broken/body.txt.j2": "{{ nobody }}"})
    shown = CliRunner().invoke(app, ["preview", *arguments])

    assert shown.exit_code == status
    assert words in " ".join(shown.stderr.replace("│", " ").split())


# ---- pictures ----------------------------------------------------------------------------------------------


def test_without_a_browser_html_and_text_are_written_and_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshots, "found", lambda: None)
    shown = run("welcome", pictures=True)

    assert shown.exit_code == 0
    assert shown.stderr == (
        "no pictures: there is no Chromium on the path: apt-get install chromium, or name one with --browser\n"
    )
    assert sorted(path.name for path in (folder / "preview").iterdir()) == ["welcome.html", "welcome.txt"]


def test_a_browser_that_is_none_is_said(folder: Path) -> None:
    (folder / "browser").write_text("#!/bin/sh\nexit 3\n")
    (folder / "browser").chmod(0o755)
    shown = run("welcome", "--browser", "browser", pictures=True)

    assert shown.exit_code == 0
    assert "no pictures: browser does not start: it must be a Chromium" in shown.stderr


@pytest.mark.skipif(
    screenshots.found() is None and not os.environ.get("CI"), reason="there is no Chromium on this machine"
)
def test_pictures_are_taken_at_both_widths_by_day_and_by_night(folder: Path) -> None:
    shown = run("welcome", "--json", pictures=True)
    files = [Path(file) for file in json.loads(shown.stdout)["previews"][0]["files"]]
    pictures = {file.name: file.read_bytes() for file in files if file.suffix == ".png"}

    assert list(pictures) == [
        "welcome.phone-light.png",
        "welcome.phone-dark.png",
        "welcome.desktop-light.png",
        "welcome.desktop-dark.png",
    ]
    widths = [struct.unpack(">I", png[16:20])[0] for png in pictures.values()]
    assert widths == [390, 390, 800, 800]
    assert pictures["welcome.phone-light.png"] != pictures["welcome.phone-dark.png"], "the dark mode is seen"


# ---- sending a test ----------------------------------------------------------------------------------------


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    standin = sendgrid_standin()
    with serve_in_thread(standin) as place:
        monkeypatch.setenv("FIRSTMILE_MAIL_TRANSPORT", "standin")
        monkeypatch.setenv("FIRSTMILE_SENDGRID_HOST", place.url)
        mailbox: Mailbox = standin.state.mailbox
        yield mailbox


def only(mailbox: Mailbox) -> OpenLetter:
    (letter,) = mailbox.letters(limit=10)
    opened = mailbox.open(letter.number)
    assert opened is not None
    return opened


def test_a_test_says_that_it_is_one_and_goes_to_one_address(folder: Path, mailbox: Mailbox) -> None:
    shown = run("welcome", "--send-to", "me@acme.example", "--locale", "de")

    assert (shown.exit_code, shown.stdout) == (0, "sent to me@acme.example: [Test] Willkommen\n")
    opened = only(mailbox)
    assert opened.letter.recipient == "me@acme.example"
    assert opened.letter.subject == "[Test] Willkommen"
    headers = opened.personalization.get("headers") or opened.body["headers"]
    assert headers["X-Firstmile-Test"] == "yes"
    assert not (folder / "preview").exists()


def test_the_rules_for_recipients_hold_for_tests_too(
    folder: Path, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTMILE_MAIL_ALLOW", "acme.example")
    refused = run("welcome", "--send-to", "me@elsewhere.example")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "not sent: recipient not on the allow-list (FIRSTMILE_MAIL_ALLOW)\n",
    )
    assert mailbox.letters(limit=10) == []

    monkeypatch.setenv("FIRSTMILE_MAIL_REDIRECT_TO", "all@acme.example")
    redirected = run("welcome", "--send-to", "me@elsewhere.example", "--json")
    assert json.loads(redirected.stdout) == {"sent": True, "subject": "[Test] Welcome", "redirected": True}
    assert only(mailbox).letter.recipient == "all@acme.example"


@pytest.mark.parametrize(
    ("status", "told", "ends"),
    [
        (401, "FIRSTMILE_SENDGRID_API_KEY: SendGrid refused the API key (401)", 2),
        (403, "FIRSTMILE_SENDGRID_API_KEY: SendGrid refused the API key (403)", 2),
        (503, "not sent: SendGrid answered 503 (FIRSTMILE_SENDGRID_HOST=", 1),
    ],
)
def test_a_provider_that_does_not_take_a_test_is_named_with_what_to_mend(
    folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, told: str, ends: int
) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, status)(scope, receive, send)

    with serve_in_thread(refusing) as place:
        monkeypatch.setenv("FIRSTMILE_MAIL_TRANSPORT", "sendgrid")
        monkeypatch.setenv("FIRSTMILE_MAIL_SENDER", "hello@acme.example")
        monkeypatch.setenv("SENDGRID_API_KEY", "SG.secret")
        monkeypatch.setenv("FIRSTMILE_SENDGRID_HOST", place.url)
        refused = run("welcome", "--send-to", "me@acme.example")

    assert refused.exit_code == ends, refused.output
    assert told in refused.stderr
    assert "secret" not in refused.output


def test_a_template_that_is_not_there_is_looked_for_in_a_folder_that_is_named(folder: Path) -> None:
    shown = run("elsewhere")

    where = f"(in {folder / 'templates'}; --templates names another folder)"
    assert shown.exit_code == 2
    assert shown.stderr == f"template elsewhere: there is no such template {where}\n"
