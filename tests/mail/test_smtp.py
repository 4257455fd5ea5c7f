"""SMTP against a server that answers from a script: what is sent, and every row of the error table.

What a server that others wrote makes of it is in `tests/judges`.
"""

from __future__ import annotations

import email
import email.policy
import logging
import ssl
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firstmile.contracts import EffectOutcome
from firstmile.mail import smtp_transport
from firstmile.mail.errors import OutcomeUnknown, Rejected, TransportError, TryLater
from firstmile.mail.message import Address
from firstmile.mail.sending import Pending, Post, send_once
from firstmile.mail.smtp_transport import AFTER_REPLY, LATER, SMTP
from firstmile.mail.transport import Trace, Unknown
from firstmile.store import ledger
from firstmile.store.database import Database
from tests.mail.building import LINKS, Ask, SetClock
from tests.mail.smtp_server import CLOSE, HANG, Server, certificate, smtp_server
from tests.mail.test_message import message

PASSWORD = "hush-hush-hush"
KINDS: dict[str, type[TransportError]] = {"permanent": Rejected, "later": TryLater, "unknown": OutcomeUnknown}


@pytest.fixture
def server() -> Iterator[Server]:
    with smtp_server() as found:
        yield found


@pytest.fixture
def transport(server: Server, now: SetClock) -> SMTP:
    return SMTP("127.0.0.1", server.port, security="none", timeout=5, now=now)


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificate(tmp_path_factory.mktemp("tls"))


# ---- sending ----


def test_a_message_goes_out_in_one_conversation(transport: SMTP, server: Server) -> None:
    receipt = transport.send(message(cc=(Address("bo@customer.example"),)))

    ehlo, mail, *rest = server.commands
    assert ehlo.startswith("EHLO ")
    assert mail.startswith("MAIL FROM:<hello@acme.example> SIZE=")
    assert rest == ["RCPT TO:<ann@customer.example>", "RCPT TO:<bo@customer.example>", "DATA", "QUIT"]
    assert receipt.provider_id == "4Xy-1"
    assert email.message_from_bytes(server.messages[0])["X-Firstmile-Key"] == "k"


def test_without_a_name_of_the_servers_a_message_is_known_by_its_id(transport: SMTP, server: Server) -> None:
    server.script["MESSAGE"] = "250 thank you"
    assert transport.send(message()).provider_id == "k@acme.example"


def test_a_line_that_begins_with_a_dot_arrives_so(transport: SMTP, server: Server) -> None:
    transport.send(message(text="one\n.\n..two\n"))
    arrived = server.messages[0].replace(b"\r\n..", b"\r\n.")
    part = email.message_from_bytes(arrived, policy=email.policy.default).get_body(("plain",))
    assert part is not None
    assert part.get_content().replace("\r\n", "\n") == "one\n.\n..two\n"


def test_it_signs_in_where_it_has_a_password(server: Server, now: SetClock) -> None:
    SMTP("127.0.0.1", server.port, "me", PASSWORD, security="none", now=now).send(message())
    assert [line.split(" ")[:2] for line in server.commands if line.startswith("AUTH")] == [["AUTH", "PLAIN"]]
    assert server.sent() == 1


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_it_speaks_tls_before_it_says_who_it_is(
    security: smtp_transport.Security, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    theirs, ours = contexts
    with smtp_server(tls=theirs, implicit=security == "tls") as server:
        if security == "starttls":
            server.script["EHLO"] = "250-here\r\n250 STARTTLS"
        SMTP("localhost", server.port, "me", PASSWORD, security, trust=ours).send(message())

        verbs = [line.split(" ")[0] for line in server.commands]
        secured = verbs.index("STARTTLS") if security == "starttls" else 0
        assert verbs.index("AUTH") > secured
        assert server.sent() == 1


@pytest.mark.parametrize(
    ("security", "script", "words"),
    [
        ("tls", {}, "certificate is not valid"),
        ("starttls", {"EHLO": "250-here\r\n250 STARTTLS"}, "certificate is not valid"),
        ("starttls", {"EHLO": "250 here"}, "does not offer STARTTLS"),
        ("starttls", {"EHLO": "250-here\r\n250 STARTTLS", "STARTTLS": "454 not now"}, "454 to STARTTLS"),
    ],
)
def test_nothing_is_said_to_a_server_that_cannot_be_believed(
    security: smtp_transport.Security,
    script: dict[str, str],
    words: str,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with smtp_server(tls=contexts[0], implicit=security == "tls", script=script) as server:
        # The system's trust does not know the server's certificate.
        transport = SMTP("localhost", server.port, "me", PASSWORD, security)
        with pytest.raises(TryLater, match=words):
            transport.send(message())
        assert not [line for line in server.commands if line.startswith(("AUTH", "MAIL"))]


# ---- the error table ----

STAGES = ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "MESSAGE")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("421", "later"),
        ("450", "later"),
        ("550", "permanent"),
        ("535", "permanent"),
        ("600", None),
        ("nonsense", None),
    ],
)
def test_every_reply_at_every_stage(
    server: Server, now: SetClock, stage: str, code: str, verdict: str | None
) -> None:
    server.script[stage] = f"{code} 5.7.1 nobody wants ann@customer.example"
    transport = SMTP("127.0.0.1", server.port, "me", PASSWORD, security="none", now=now)
    expected = verdict or ("unknown" if stage in ("DATA", "MESSAGE") else "later")

    with pytest.raises(TransportError) as caught:
        transport.send(message())

    assert type(caught.value) is KINDS[expected]
    assert "ann@" not in "".join(traceback.format_exception(caught.value))
    if verdict is not None and (stage, code) != ("AUTH", "421"):  # the library hangs up, and tries once more
        assert caught.value.status == int(code)
        assert f"answered {code} (5.7.1)" in str(caught.value)
    if isinstance(caught.value, TryLater):
        assert caught.value.until - now() == (LATER if caught.value.status is None else AFTER_REPLY)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", [CLOSE, HANG])
def test_silence_and_a_broken_connection_at_every_stage(
    server: Server, now: SetClock, stage: str, how: str
) -> None:
    server.script[stage] = how
    transport = SMTP("127.0.0.1", server.port, "me", PASSWORD, security="none", timeout=0.3, now=now)
    begun = time.monotonic()

    with pytest.raises(TransportError) as caught:
        transport.send(message())

    assert type(caught.value) is (OutcomeUnknown if stage in ("DATA", "MESSAGE") else TryLater)
    assert time.monotonic() - begun < transport.timeout + 0.5, "the time-out is for all of it"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_time_out_is_for_the_whole_conversation(server: Server) -> None:
    """Each answer comes in time; all of them together do not."""
    slow = SMTP("127.0.0.1", server.port, security="none", timeout=0.6)
    original = Server.answer

    def late(self: Server, to: str) -> str:
        self.over.wait(0.25)
        return original(self, to)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Server, "answer", late)
        begun = time.monotonic()
        with pytest.raises(TransportError):
            slow.send(message())
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize("how", [CLOSE, HANG, "500 no"])
def test_a_message_that_was_taken_stays_so_whatever_comes_after(server: Server, how: str) -> None:
    server.script["QUIT"] = how
    transport = SMTP("127.0.0.1", server.port, security="none", timeout=3)
    assert transport.send(message()).provider_id == "4Xy-1"


def test_a_refused_connection_is_later(free_port: Callable[[], int], now: SetClock) -> None:
    with pytest.raises(TryLater, match="connection refused, at the connection"):
        SMTP("127.0.0.1", free_port(), security="none", now=now).send(message())


def test_a_name_that_is_not_resolved_is_later() -> None:
    with pytest.raises(TryLater, match="name cannot be resolved"):
        SMTP("nowhere.invalid", security="tls").send(message())


def test_when_one_recipient_is_refused_none_gets_it(transport: SMTP, server: Server) -> None:
    server.script["RCPT"] = "550 5.1.1 no such user"
    with pytest.raises(Rejected, match="550"):
        transport.send(message(cc=(Address("bo@customer.example"),)))
    assert server.sent() == 0


def test_a_message_that_cannot_be_written_is_rejected_before_anybody_is_asked(
    transport: SMTP, server: Server
) -> None:
    with pytest.raises(Rejected, match="plain SMTP cannot carry") as caught:
        transport.send(message(to=(Address("änn@customer.example"),)))
    assert "nn@" not in str(caught.value)
    assert caught.value.__context__ is None
    assert server.commands == []


def test_the_log_of_smtp_tells_nothing(transport: SMTP) -> None:
    then = datetime.now(UTC)
    assert isinstance(transport.find(Trace("k", "ann@customer.example", then, then)), Unknown)
    assert not transport.idempotent


# ---- checking ----


def test_a_check_signs_in_and_sends_nothing(server: Server) -> None:
    SMTP("127.0.0.1", server.port, "me", PASSWORD, security="none").check()
    assert [line.split(" ")[0] for line in server.commands] == ["EHLO", "AUTH", "QUIT"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"AUTH": "535 5.7.8 wrong"}, Rejected),
        ({"EHLO": "250 here"}, Rejected),
        ({"AUTH": "454 later"}, TryLater),
        ({"CONNECT": CLOSE}, TryLater),
    ],
)
def test_a_check_tells_what_must_change_from_what_passes(
    server: Server, script: dict[str, str], kind: type[TransportError]
) -> None:
    server.script.update(script)
    with pytest.raises(kind):
        SMTP("127.0.0.1", server.port, "me", PASSWORD, security="none").check()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"host": "smtp://mail.example"}, "without a port or a scheme"),
        ({"host": "mail.example\r\nRCPT"}, "without a port or a scheme"),
        ({"username": "me"}, "come together"),
        ({"password": PASSWORD}, "come together"),
        ({"security": "none"}, "for this machine"),
        ({"timeout": 0.0}, "between 0 and 60"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        SMTP(**({"host": "mail.example"} | settings))  # type: ignore[arg-type]  # that is the point
    assert "hush" not in str(caught.value)


def test_without_tls_only_this_machine_or_nobody_is_reached() -> None:
    assert SMTP("127.0.0.1", security="none").reaches_people, "a relay of one's own reaches people"
    assert not SMTP("mail.example", security="none", reaches_people=False).reaches_people


def test_the_password_is_never_told(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The event loop says all that it does, too.
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    transport = SMTP("127.0.0.1", server.port, "me@acme.example", PASSWORD, security="none")
    with caplog.at_level(logging.DEBUG):
        transport.send(message())
        server.script["AUTH"] = f"535 no {PASSWORD} me@acme.example"
        with pytest.raises(Rejected) as caught:
            transport.send(message())
    told = caplog.text + repr(transport) + "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, "me@acme.example", "customer.example", "bWVAYWNtZS5leGFtcGxl"):
        assert secret not in told


def test_waiting_is_short_enough_to_matter() -> None:
    assert LATER < AFTER_REPLY < timedelta(minutes=30)


def test_the_shipped_trust_is_the_systems(tmp_path: Path) -> None:
    transport = SMTP("mail.example")
    assert transport.trust is not None
    assert transport.trust.verify_mode == ssl.CERT_REQUIRED
    assert transport.trust.check_hostname


# ---- through the ledger ----


@pytest.mark.parametrize(
    ("message_class", "outcome", "sends"), [("transactional", "done", 2), ("lifecycle", "failed", 1)]
)
async def test_what_is_unknown_is_decided_by_its_class_since_nobody_can_be_asked(
    server: Server,
    transport: SMTP,
    db: Database,
    post: Post,
    ask: Ask,
    now: SetClock,
    message_class: str,
    outcome: str,
    sends: int,
) -> None:
    server.script["MESSAGE"] = CLOSE
    request = ask(params={"template": "welcome", "class": message_class})

    found: EffectOutcome | Pending = Pending("nothing yet", timedelta())
    for _ in range(100):
        now.move(seconds=found.retry_in.total_seconds() if isinstance(found, Pending) else 0)
        found = await send_once(db, transport, request, post, links=LINKS)
        if isinstance(found, EffectOutcome):
            break
        assert server.sent() == 1, "never again without a decision"
        server.script.pop("MESSAGE", None)

    assert isinstance(found, EffectOutcome)
    assert found.outcome == outcome
    assert server.sent() == sends
    assert len({email.message_from_bytes(one)["Message-ID"] for one in server.messages}) == 1
    async with db.reading() as tx:
        row = await ledger.get(tx, request.key)
    assert row is not None
    assert len(row.decisions) == 1
