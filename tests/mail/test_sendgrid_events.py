"""SendGrid's signature, with its own library as the judge; and what is read of its events."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from firstmile.errors import SignatureRefused
from firstmile.links import is_signed_link
from firstmile.mail.delivery import LONGEST, scrubbed
from firstmile.mail.sendgrid_events import SIGNATURE, TIMESTAMP, Signatures, read
from firstmile.setting_values import verification_key
from firstmile.standins.sendgrid_webhook import SigningKey

NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)
MINUTES = timedelta(minutes=5)
KEY, OTHER = SigningKey.make(), SigningKey.make()
OURS = Signatures([KEY.public], MINUTES)


def ours(raw: bytes, headers: dict[str, str], signatures: Signatures = OURS) -> bool:
    try:
        signatures.verify(raw, headers.get(SIGNATURE), headers.get(TIMESTAMP), NOW)
    except SignatureRefused:
        return False
    return True


def judge(raw: bytes, headers: dict[str, str], key: SigningKey = KEY) -> bool:
    webhook = EventWebhook(key.public)
    return bool(webhook.verify_signature(raw.decode(), headers[SIGNATURE], headers[TIMESTAMP]))


def test_the_headers_are_sendgrids() -> None:
    assert (SIGNATURE, TIMESTAMP) == (EventWebhookHeader.SIGNATURE, EventWebhookHeader.TIMESTAMP)


@given(st.text(st.characters(codec="utf-8")), st.integers(-300, 300))
def test_what_is_signed_passes_sendgrids_own_library_and_us(text: str, off: int) -> None:
    raw = text.encode()
    signed = KEY.headers(raw, NOW.timestamp() + off)

    assert (judge(raw, signed), ours(raw, signed)) == (True, True)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_the_library_refuses_we_refuse(text: str, other: str) -> None:
    signed = KEY.headers(text.encode(), NOW.timestamp())

    assert ours(other.encode(), signed) == judge(other.encode(), signed) == (text == other)
    assert not ours(text.encode(), OTHER.headers(text.encode(), NOW.timestamp()))
    assert not judge(text.encode(), OTHER.headers(text.encode(), NOW.timestamp()))


def test_of_several_keys_any_may_have_signed() -> None:
    both = Signatures([OTHER.public, KEY.public], MINUTES)

    assert ours(b"[]", KEY.headers(b"[]", NOW.timestamp()), both)
    assert ours(b"[]", OTHER.headers(b"[]", NOW.timestamp()), both)


@pytest.mark.parametrize("text", ["", "key", "a b", base64.b64encode(b"no key").decode(), "ключ"])
def test_what_is_no_key_is_refused_before_anything_is_verified(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # which of the libraries says so is all one
        verification_key(text)


def test_a_key_of_another_curve_is_none_of_sendgrids() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(ValueError, match="P-256"):
        verification_key(SigningKey(ec.generate_private_key(ec.SECP384R1())).public)


# ---- reading ---------------------------------------------------------------------------------------------


def told(**fields: Any) -> Any:
    import json

    (found,) = read(json.dumps([fields]).encode(), NOW, lambda url: is_signed_link(url, "https://hi.example"))
    return found


def test_the_key_is_found_where_older_events_have_it() -> None:
    for fields in ({"fm_key": "k"}, {"unique_args": {"fm_key": "k"}}, {"custom_args": {"fm_key": "k"}}):
        assert told(event="delivered", **fields).key == "k"
    assert told(event="delivered", fm_key=7).key is None


def test_an_event_without_an_id_is_known_by_what_it_is() -> None:
    one = {"event": "open", "timestamp": 1772787600, "fm_key": "k", "email": "ann@x.example"}

    assert told(**one).id == told(**one, useragent="another header").id
    for change in ({"event": "click"}, {"timestamp": 1}, {"fm_key": "l"}, {"email": "bo@x.example"}):
        assert told(**{**one, **change}).id != told(**one).id


def test_a_delayed_bounce_lacks_the_messages_id_and_is_told_all_the_same() -> None:
    found = told(event="bounce", type="bounce", fm_key="k", reason="gone")

    assert (found.event, found.key, found.provider_id) == ("bounced", "k", None)


def test_the_id_of_a_message_is_what_sending_it_answered() -> None:
    identity = "14c5d75ce93.recvd-5f54b5d587-pczjm-1-67BADEEA-6.0"

    assert told(event="delivered", sg_message_id=identity).provider_id == "14c5d75ce93"


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        (1772787600, datetime(2026, 3, 6, 9, tzinfo=UTC)),
        ("1772787600", datetime(2026, 3, 6, 9, tzinfo=UTC)),
        (None, NOW),
        ("soon", NOW),
        (1e300, NOW),
        (-1, NOW),
        ([], NOW),
    ],
)
def test_when_it_happened_is_the_providers_word_where_it_can_be(timestamp: object, at: datetime) -> None:
    assert told(event="delivered", timestamp=timestamp).at == at


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://app.example/reports?id=7#x", "app.example/reports"),
        ("https://ann:secret@app.example:444/a", "app.example/a"),
        ("https://app.example/u/ann%40x.example/b", "app.example/u/…/b"),
        ("https://hi.example/s/token.signature", None),
        ("https://hi.example/u/token.signature", None),
        ("https://hi.example/pricing", "hi.example/pricing"),
        ("mailto:ann@x.example", None),
        ("http://[", None),
        (7, None),
    ],
)
def test_of_a_link_only_host_and_path_are_kept_and_nothing_of_a_signed_one(
    url: object, link: str | None
) -> None:
    found = told(event="click", url=url)

    assert (found.link, found.detail.get("link")) == (link, link)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <ann.lee@x.example>: unknown", "550 5.1.1 <…>: unknown"),
        ("550 ANN.LEE@X.EXAMPLE is full", "550 … is full"),
        ("bounces+ann.lee=x.example refused", "bounces+… refused"),
        ("mailbox ann.lee not found", "mailbox … not found"),
        ("for bo@y.example, cc ann%40z.example", "for …, cc …"),
        ("see https://mx.example/why?rcpt=ann.lee for more", "see https://mx.example/why for more"),
        ("5.1.1\n\ttoo   many", "5.1.1 too many"),
        ("half \ud800 and\x00nothing", "half and nothing"),
    ],
)
def test_what_a_server_said_is_kept_without_addresses(said: str, kept: str) -> None:
    assert scrubbed(said, "ann.lee@x.example") == kept


WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
NAMES = st.from_regex(r"[a-z]{2,10}([.+_-][a-z0-9]{1,6})?", fullmatch=True)


@given(WORDS, NAMES, NAMES, WORDS, st.sampled_from(["<{}>", " {} ", "\n{},", "({})"]))
def test_no_address_ever_stays(before: str, name: str, host: str, after: str, around: str) -> None:
    address = f"{name}@{host}.example"

    kept = scrubbed(before + around.format(address) + after, address)

    assert address not in kept
    assert len(kept) <= LONGEST
