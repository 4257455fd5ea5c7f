"""A message: no header can be smuggled in, and what is kept is what is sent."""

from __future__ import annotations

import pytest

from firstmile.mail.message import Address, Attachment, Message, one_line


def message(**changes: object) -> Message:
    values = {
        "key": "k",
        "sender": Address("hello@acme.example", "Acme"),
        "to": (Address("ann@customer.example", "Ann"),),
        "subject": "Hello",
        "html": "<p>Hello</p>",
        "text": "Hello",
    }
    return Message(**(values | changes))  # type: ignore[arg-type]  # a table of changes


@pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\x0b", "\x85", "\u2028", "\u2029", "\x7f"])
def test_a_subject_or_header_with_a_control_character_is_refused(character: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        message(subject=f"a{character}Bcc: x@y.example")
    with pytest.raises(ValueError, match="header"):
        message(headers=(("X-A", f"a{character}Bcc: x@y.example"),))
    with pytest.raises(ValueError, match="header"):
        message(headers=((f"X-A{character}", "a"),))


def test_a_name_is_made_one_line_and_an_address_must_be_one() -> None:
    assert Address("a@b.c", "Ann\r\nBcc: x@y.example").name == "Ann Bcc: x@y.example"
    assert Address("a@b.c", " \r\n ").name is None
    for wrong in ("a", "a@b\r\nBcc: x@y", "a b@c.d", "a@b, c@d", "<a@b>"):
        with pytest.raises(ValueError, match="not an address"):
            Address(wrong)


def test_one_line() -> None:
    assert one_line(" a\t\r\n b\u2028c ") == "a b c"


def test_what_is_frozen_thaws_to_the_same() -> None:
    whole = message(
        cc=(Address("bo@customer.example"),),
        reply_to=Address("help@acme.example", "Help"),
        headers=(("List-Unsubscribe", "<https://a.example>"),),
        attachments=(Attachment("a.ics", "text/calendar", b"\x00\xff"),),
        categories=("lifecycle",),
        notes=(("fm_step", "welcome"),),
        track_clicks=True,
    )
    assert Message.thawed(whole.frozen()) == whole
    assert Message.thawed(message().frozen()) == message()


def test_no_address_and_no_words_show_in_what_is_logged_of_it() -> None:
    shown = repr(message())
    for secret in ("ann@", "Ann", "hello@", "Hello"):
        assert secret not in shown
