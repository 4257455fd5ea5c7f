"""A message as SMTP carries it: MIME (RFC 2045–2049), with the headers of RFC 5322.

Everything goes out in seven bits and in short lines, so that no server on the way has a reason to change it:
bodies as quoted-printable or base64, names and subjects as encoded words (RFC 2047).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email.errors import MessageError
from email.generator import BytesGenerator
from email.header import Header
from email.headerregistry import Address as Mailbox
from email.headerregistry import AddressHeader, UniqueAddressHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from io import BytesIO

from email_validator import EmailNotValidError, validate_email

from firstmile.mail.message import Address, Attachment, Message, one_line

KEY_HEADER = "X-Firstmile-Key"
"""Our key, for whoever looks at a message and at the ledger."""

WHOLE = frozenset({"list-unsubscribe", "list-unsubscribe-post", "message-id", "x-firstmile-key"})
"""Headers that programs read: on one line, as they are."""

LONGEST = 998
"""Octets in a line (RFC 5322, section 2.1.1)."""

LINE = 76
"""Octets in a line that we fold: what quoted-printable may have (RFC 2045, section 6.7)."""

_RESERVED = frozenset(
    {"from", "to", "cc", "bcc", "subject", "date", "reply-to", "sender", "message-id", "mime-version"}
)
_TYPE = re.compile(r"([a-z0-9][\w.+-]*)/([a-z0-9][\w.+-]*)", re.IGNORECASE | re.ASCII)
_METHOD = re.compile(rb"^METHOD:([A-Z]+)\r?$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class _Text(str):
    """The text of a header, taken as it is: the library would read encoded words in what a customer wrote."""

    name: str

    @classmethod
    def of(cls, name: str, text: str) -> _Text:
        found = cls(text)
        # By this the library knows a header that needs no more parsing.
        found.name = name
        return found


class _Policy(EmailPolicy):
    """Writes headers by itself: the library's folding loses blanks between encoded words of long names, and
    puts encoded words into long addresses (python/cpython#74717 and its kin)."""

    def fold(self, name: str, value: str) -> str:
        if name.lower() in WHOLE:
            written = str(value)
        elif isinstance(value, UniqueAddressHeader | AddressHeader):
            written = ",\r\n ".join(_mailbox(one.display_name, one.addr_spec) for one in value.addresses)
        elif isinstance(value, _Text):
            written = _words(str(value), taken=len(name) + 2)
        else:
            return str(super().fold(name, value))
        lines = f"{name}: {written}\r\n"
        if not lines.isascii() or any(len(line) > LONGEST for line in lines.split("\r\n")):
            raise Unwritable(f"the header {name} does not fit into lines of {LONGEST} characters of ASCII")
        return lines

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii")


def _words(text: str, *, taken: int) -> str:
    """Text of a header, in encoded words if it needs them; `taken` characters of its first line are."""
    if text.isascii() and "=?" not in text:
        return Header(text, "us-ascii", maxlinelen=LINE, continuation_ws=" ").encode(linesep="\r\n")
    return Header(text, "utf-8", maxlinelen=LINE, header_name="x" * taken).encode(linesep="\r\n")


def _mailbox(name: str, email: str) -> str:
    if not name:
        return email
    if name.isascii() and "=?" not in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{email}>'
    return f"{_words(name, taken=len('Reply-To: '))}\r\n <{email}>"


_POLICY = _Policy(linesep="\r\n", max_line_length=LINE, cte_type="7bit")


class Unwritable(ValueError):
    """A message cannot be said in MIME. The text quotes nothing of it."""


def mime_of(message: Message, date: datetime) -> bytes:
    """The message as the octets of SMTP's DATA. `date` is when it goes out. Raises `Unwritable`."""
    try:
        return _written(message, date)
    except Unwritable:
        raise
    except (ValueError, LookupError, AttributeError, MessageError) as error:
        # The library's own texts quote what they stumbled over. Among the types are those that its parser of
        # addresses is known to fail with.
        raise Unwritable(f"the message cannot be written as MIME ({type(error).__name__})") from None


def message_id(key: str, sender: Address) -> str:
    """The Message-ID of a key: the same however often it is sent, so that a second copy is known as one
    (RFC 5322, section 3.6.4)."""
    local = key if _WORD.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()
    return f"<{local}@{ascii_address(sender).rpartition('@')[2]}>"


def ascii_address(address: Address) -> str:
    """The address with its host in ASCII (RFC 5891). Raises `Unwritable` for what would need SMTPUTF8."""
    written = address.email
    if not written.rpartition("@")[2].isascii():
        try:
            # The library's own codec is of 2003, and makes another host of `grüße`.
            written = (
                validate_email(
                    written, check_deliverability=False, test_environment=True, allow_smtputf8=False
                ).ascii_email
                or ""
            )
        except EmailNotValidError:
            written = ""
    if not written.isascii() or not written.isprintable() or not written:
        raise Unwritable("an address has a character that plain SMTP cannot carry")
    return written


def _written(message: Message, date: datetime) -> bytes:
    mime = EmailMessage(policy=_POLICY)
    mime["From"] = _who(message.sender)
    mime["To"] = [_who(one) for one in message.to]
    taken = {one.email.casefold() for one in message.to}
    if copies := [one for one in message.cc if one.email.casefold() not in taken]:
        mime["Cc"] = [_who(one) for one in copies]
    if message.reply_to:
        mime["Reply-To"] = _who(message.reply_to)
    mime["Date"] = format_datetime(date)
    texts = [
        ("Subject", message.subject),
        ("Message-ID", message_id(message.key, message.sender)),
        (KEY_HEADER, one_line(message.key)),
    ]
    for name, value in message.headers:
        if name.lower() in _RESERVED or name.lower().startswith("content-"):
            raise Unwritable("a header would take the place of one of the message's own")
        texts.append((name, value))
    for name, value in texts:
        mime[name] = _Text.of(name, value)
    # The richest last (RFC 2046, section 5.1.4).
    mime.set_content(_lines(message.text))
    mime.add_alternative(_lines(message.html), subtype="html")
    for attachment in message.attachments:
        _attach(mime, attachment)
    written = BytesIO()
    BytesGenerator(written, policy=_POLICY).flatten(mime)
    return written.getvalue()


def _who(address: Address) -> Mailbox:
    return Mailbox(address.name or "", addr_spec=ascii_address(address))


def _lines(text: str) -> str:
    # One kind of line break: a lone CR in a text part is not allowed (RFC 5322, section 2.3).
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _attach(mime: EmailMessage, attachment: Attachment) -> None:
    found = _TYPE.fullmatch(attachment.type)
    main, sub = found.groups() if found else ("application", "octet-stream")
    name = one_line(attachment.name)
    params: dict[str, str] = {}
    if attachment.type == "text/calendar":
        # A program takes it for an invitation only if METHOD stands here as in the file (RFC 6047, 2.4).
        params["charset"] = "utf-8"
        if method := _METHOD.search(attachment.content):
            params["method"] = method[1].decode("ascii")
    mime.add_attachment(attachment.content, maintype=main, subtype=sub, filename=name, params=params)
