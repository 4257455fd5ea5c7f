"""A message as MIME: what is read from it is what was written, whatever names and texts are made of."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstmile.mail.message import Address, Attachment, Message, one_line
from firstmile.mail.mime import LONGEST, Unwritable, message_id, mime_of
from tests.mail.test_message import message

THEN = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
LINK = "<https://acme.example/u/" + "a-_." * 60 + ">"
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=80).filter(
    lambda name: one_line(name) != ""
)


def read(sent: Message) -> EmailMessage:
    octets = mime_of(sent, THEN)
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def decoded(octets: bytes, header: str) -> str:
    """A header's text, as RFC 2047 has it: the newer parser of the library gets long ones wrong."""
    return str(make_header(decode_header(email.message_from_bytes(octets)[header])))


def text(part: MIMEPart | None) -> str:
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


def test_it_has_every_header_that_a_message_needs() -> None:
    found = read(message(key="0a1b", reply_to=Address("help@acme.example"), cc=(Address("bo@x.example"),)))

    assert found["From"] == "Acme <hello@acme.example>"
    assert (found["To"], found["Cc"]) == ("Ann <ann@customer.example>", "bo@x.example")
    assert (found["Reply-To"], found["Subject"]) == ("help@acme.example", "Hello")
    assert parsedate_to_datetime(found["Date"]) == THEN
    assert found["Message-ID"] == "<0a1b@acme.example>"
    assert found["X-Firstmile-Key"] == "0a1b"
    assert found["MIME-Version"] == "1.0"


def test_text_comes_first_and_files_after_both() -> None:
    files = (Attachment("a.pdf", "application/pdf", b"%PDF\x00\xff"), Attachment("b", "no type", b"b"))
    found = read(message(text="Grüße", html="<p>Grüße</p>", attachments=files))

    assert found.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in found.walk()] == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/html"),
        *("application/pdf", "application/octet-stream"),
    ]
    assert text(found.get_body(("plain",))) == "Grüße"
    assert text(found.get_body(("html",))) == "<p>Grüße</p>"
    assert [(one.get_filename(), one.get_content()) for one in found.iter_attachments()] == [
        ("a.pdf", b"%PDF\x00\xff"),
        ("b", b"b"),
    ]


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL"])
def test_a_calendar_file_says_its_method_outside_as_inside(method: str) -> None:
    content = f"BEGIN:VCALENDAR\r\nMETHOD:{method}\r\nSUMMARY:Einführung\r\nEND:VCALENDAR\r\n".encode()
    (part,) = read(
        message(attachments=(Attachment("Einführung.ics", "text/calendar", content),))
    ).iter_attachments()

    assert part.get_content_type() == "text/calendar"
    assert (part.get_param("method"), part.get_param("charset")) == (method, "utf-8")
    assert part.get_filename() == "Einführung.ics"
    assert part.get_payload(decode=True) == content


@pytest.mark.parametrize("header", ["List-Unsubscribe", "LIST-UNSUBSCRIBE"])
def test_a_long_link_stays_in_one_piece(header: str) -> None:
    post = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
    octets = mime_of(message(headers=((header, LINK), post)), THEN)
    assert f"\r\n{header}: {LINK}\r\n".encode() in octets
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in octets


def test_a_message_sent_again_has_the_same_id_and_another_key_another() -> None:
    sender = Address("hello@grüße.example")
    assert message_id("k1", sender) == message_id("k1", sender) == "<k1@xn--gre-6ka8l.example>"
    odd = message_id("a key with <blanks> ä", sender)
    assert odd != message_id("another key with blanks", sender)
    assert odd.isascii()
    assert " " not in odd


@example("=?utf-8?q?spoof?=", "=?utf-8?q?spoof?=")
@example("=?utf-8?q?a=0d=0aBcc=3A_eve=40x=2Eexample?=", "=?utf-8?q?a=0d=0aBcc=3A_eve=40x=2Eexample?=")
@given(NAMES, NAMES)
def test_names_and_subjects_arrive_as_they_were_written(name: str, subject: str) -> None:
    name, subject = one_line(name), one_line(subject)
    octets = mime_of(message(to=(Address("ann@customer.example", name),), subject=subject), THEN)
    head = octets.split(b"\r\n\r\n")[0]

    assert decoded(octets, "Subject") == subject
    mailbox = decoded(octets, "To")
    assert mailbox.endswith("<ann@customer.example>")
    phrase = mailbox.removesuffix("<ann@customer.example>").strip()
    if name.isascii() and "=?" not in name:
        phrase = phrase[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    assert phrase == name
    assert [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")] == [
        *(b"From", b"To", b"Date", b"Subject", b"Message-ID", b"X-Firstmile-Key", b"MIME-Version"),
        b"Content-Type",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_texts_arrive_as_they_were_written_in_short_lines_of_ascii(words: str) -> None:
    octets = mime_of(message(text=words, html=f"<p>{words}</p>"), THEN)

    assert octets.isascii()
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert b"\r" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 78
    found = email.message_from_bytes(octets, policy=email.policy.default)
    part = found.get_body(("plain",))
    assert part is not None
    assert part.get_content().replace("\r\n", "\n").rstrip("\n") == (
        words.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"to": (Address("änn@customer.example"),)},
        {"to": (Address("ann\x01@customer.example"),)},
        {"to": (Address("ann@customer..example\u2603"),)},
        {"headers": (("List-Unsubscribe", "<https://x.example/" + "a" * LONGEST + ">"),)},
        {"headers": (("Bcc", "eve@x.example"),)},
        {"headers": (("content-type", "text/html"),)},
        {"headers": (("Subject", "Other"),)},
        {"subject": "x" * 2000},
    ],
)
def test_what_cannot_be_said_in_mime_is_refused_without_being_quoted(changes: dict[str, object]) -> None:
    with pytest.raises(Unwritable) as caught:
        mime_of(message(**changes), THEN)
    assert caught.value.__cause__ is None
    for told in ("nn@", "customer", "eve", "xxx", "aaa"):
        assert told not in str(caught.value)


@pytest.mark.parametrize("name", ['a.ics"\r\nBcc: eve@x.example', "a\n.ics", "a\x00.ics"])
def test_the_name_of_a_file_smuggles_nothing_in(name: str) -> None:
    found = read(message(attachments=(Attachment(name, "text/calendar\r\nX-Evil: yes", b"x"),)))
    (part,) = found.iter_attachments()
    assert "Bcc" not in found
    assert part.get("X-Evil") is None
    assert set(part.keys()) <= {
        *("Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "MIME-Version"),
    }
