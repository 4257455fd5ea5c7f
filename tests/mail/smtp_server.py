"""An SMTP server that answers from a script, and fails where it is told to: what a good server never shows."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLOSE, HANG = "close", "hang"
"""Instead of an answer: the connection breaks; nothing comes any more."""

ANSWERS = {
    "CONNECT": "220 here",
    "EHLO": "250-here\r\n250-SIZE 1000000\r\n250 AUTH PLAIN LOGIN",
    "STARTTLS": "220 go ahead",
    "AUTH": "235 welcome",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go ahead",
    "MESSAGE": "250 2.0.0 Ok: queued as 4Xy-1",
    "QUIT": "221 bye",
    "RSET": "250 ok",
}


@dataclass
class Server:
    """What a script says, and what came in."""

    port: int = 0
    script: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    """For STARTTLS; and from the start, if `implicit`."""
    implicit: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, to: str) -> str:
        """The next line of the conversation."""
        return self.script.get(to, ANSWERS.get(to, "500 what?"))

    def sent(self) -> int:
        """How many messages came in whole."""
        return len(self.messages)


class _Conversation(socketserver.BaseRequestHandler):
    server: _Listening

    def handle(self) -> None:
        script = self.server.served
        with self.server.guard(self.request):
            self._talk(script)

    def _talk(self, script: Server) -> None:
        connection: socket.socket = self.request
        if script.implicit and script.tls:
            connection = script.tls.wrap_socket(connection, server_side=True)
        lines = connection.makefile("rb")
        try:
            self._say(connection, script, "CONNECT")
            while line := lines.readline():
                command = line.decode().strip()
                script.commands.append(command)
                verb = command.split(" ")[0].upper()
                self._say(connection, script, verb)
                if verb == "QUIT":
                    return
                if verb == "STARTTLS" and script.tls:
                    lines.close()
                    connection = script.tls.wrap_socket(connection, server_side=True)
                    lines = connection.makefile("rb")
                    script.script["EHLO"] = ANSWERS["EHLO"]
                if verb == "DATA" and script.answer("DATA").startswith("354"):
                    body = b"".join(iter(lines.readline, b".\r\n"))
                    script.messages.append(body)
                    self._say(connection, script, "MESSAGE")
        finally:
            lines.close()
            connection.close()

    def _say(self, connection: socket.socket, script: Server, to: str) -> None:
        answer = script.answer(to)
        if answer == HANG:
            script.over.wait(20)
        if answer in (CLOSE, HANG):
            raise ConnectionAbortedError
        connection.sendall(answer.encode() + b"\r\n")


class _Listening(socketserver.ThreadingTCPServer):
    daemon_threads = True
    served: Server

    @contextmanager
    def guard(self, connection: socket.socket) -> Iterator[None]:
        """What a conversation meets is the client's to tell of."""
        try:
            yield
        except (OSError, ValueError):
            connection.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: see `guard`."""


@contextmanager
def smtp_server(**options: object) -> Iterator[Server]:
    """A server on a free loopback port."""
    served = Server(**options)  # type: ignore[arg-type]  # the fields above
    with _Listening(("127.0.0.1", 0), _Conversation) as listening:
        listening.served = served
        served.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            served.over.set()
            listening.shutdown()
            thread.join()


def certificate(folder: Path, host: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate signed by itself: for the server, and for a client that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    file = folder / f"{host}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + pem
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())
