"""MailDev, an SMTP server that others wrote, tells what it got: that is what we sent."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import httpx
import pytest

from firstmile.mail.errors import Rejected
from firstmile.mail.message import Address, Attachment, Message
from firstmile.mail.smtp_transport import SMTP
from tests.judges.servers import Judge
from tests.judges.shipped import LINKS, NAMES, messages
from tests.mail.test_message import message


@pytest.fixture
def transport(maildev: Judge) -> SMTP:
    return SMTP("127.0.0.1", maildev.port, "me", "hush", security="none", timeout=10)


def got(maildev: Judge) -> list[dict[str, Any]]:
    """What the server got, oldest first."""
    found: list[dict[str, Any]] = httpx.get(f"{maildev.url}/email", trust_env=False).json()
    return found


def file_of(maildev: Judge, letter: dict[str, Any], name: str) -> bytes:
    place = f"{maildev.url}/email/{letter['id']}/attachment/{name}"
    return httpx.get(place, trust_env=False).raise_for_status().content


def html_of(maildev: Judge, letter: dict[str, Any]) -> str:
    """The page of a letter, from what went over the wire: MailDev itself writes it anew before it shows it."""
    source = httpx.get(f"{maildev.url}/email/{letter['id']}/source", trust_env=False).raise_for_status()
    part = email.message_from_bytes(source.content, policy=email.policy.default).get_body(("html",))
    assert part is not None
    return str(part.get_content())


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\r\n", "\n").strip().split("\n")]


def same(maildev: Judge, letter: dict[str, Any], sent: Message) -> None:
    """Whether a letter is the message that was sent."""
    assert letter["subject"] == sent.subject
    assert lines(letter["text"]) == lines(sent.text)
    assert lines(html_of(maildev, letter)) == lines(sent.html)
    for part, addresses in (("from", (sent.sender,)), ("to", sent.to)):
        assert letter[part] == [{"address": one.email, "name": one.name or ""} for one in addresses]
    headers: dict[str, str] = letter["headers"]
    assert headers["x-firstmile-key"] == sent.key
    assert headers["message-id"] == f"<{sent.key}@acme.example>"
    assert "date" in headers


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_message_arrives_as_it_was_sent(name: str, transport: SMTP, maildev: Judge) -> None:
    shipped = messages(name)
    for one in shipped:
        transport.send(one)

    letters = got(maildev)
    assert len(letters) == len(shipped)
    for letter, sent in zip(letters, shipped, strict=True):
        same(maildev, letter, sent)
        envelope = letter["envelope"]
        assert [one["address"] for one in envelope["to"]] == [one.email for one in sent.recipients]
        unsubscribe = dict(sent.headers).get("List-Unsubscribe")
        assert letter["headers"].get("list-unsubscribe") == unsubscribe
        if unsubscribe is not None:
            assert unsubscribe == f"<{LINKS['unsubscribe']}>"
            assert letter["headers"]["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        for item, attached in zip(sent.attachments, letter.get("attachments") or (), strict=True):
            assert attached["contentType"] == item.type
            assert attached["fileName"] == item.name
            assert file_of(maildev, letter, attached["generatedFileName"]) == item.content


@pytest.mark.parametrize(
    "name",
    [
        "Zoë",
        'Łukasz "Luk" O\'Brien, Jr. <the third>',
        "Анна Сергеевна Константинопольская-Преображенская и её замечательный отдел",
        "山田太郎 (やまだ たろう)",
        "🦊 & Co. @ home; \\ everywhere",
        "=?utf-8?q?not_what_it_seems?=",
        "x" * 120,
    ],
)
def test_names_and_subjects_in_any_script_arrive(name: str, transport: SMTP, maildev: Judge) -> None:
    sent = message(
        to=(Address("ann@customer.example", name),), sender=Address("hello@acme.example", name), subject=name
    )
    transport.send(sent)
    (letter,) = got(maildev)
    same(maildev, letter, sent)


def test_files_and_lines_of_every_kind_arrive(transport: SMTP, maildev: Judge) -> None:
    calendar = "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nSUMMARY:Einführung\r\nEND:VCALENDAR\r\n".encode()
    sent = message(
        text=".\n..\n.x\nFrom here\n" + "long " * 400,
        html="<p>\n.\n" + "ü" * 3000 + "</p>",
        attachments=(
            Attachment("Einführung.ics", "text/calendar", calendar),
            Attachment("a.bin", "application/octet-stream", bytes(range(256)) * 40),
        ),
    )
    transport.send(sent)
    (letter,) = got(maildev)
    same(maildev, letter, sent)
    files = [file_of(maildev, letter, one["generatedFileName"]) for one in letter["attachments"]]
    assert files == [item.content for item in sent.attachments]


def test_a_wrong_password_is_refused_and_a_right_one_is_not(transport: SMTP, maildev: Judge) -> None:
    transport.check()
    wrong = SMTP("127.0.0.1", maildev.port, "me", "wrong", security="none", timeout=10)
    with pytest.raises(Rejected, match="535"):
        wrong.check()
    with pytest.raises(Rejected, match="535"):
        wrong.send(message())
    assert got(maildev) == []
