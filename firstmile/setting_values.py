"""How the value of a setting is read from the text of a variable, and what is said of one that cannot be."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from firstmile.journey.durations import DurationError, parse_duration

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

MAKE_A_SECRET = "openssl rand -base64 32 makes one"
HOST = "https://api.sendgrid.com"
"""Where SendGrid's API is."""
EU_HOST = "https://api.eu.sendgrid.com"
"""Where it is for accounts in the EU: a key works at one of the two only."""
_SHORTEST = 16
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*|[0-9a-fA-F:]+:[0-9a-fA-F:.]*")
_MAIL = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+")
_DOMAIN = re.compile(r"@?(?=.{1,253}$)[\w-]+(\.[\w-]+)+")


def _refuse(message: str) -> PydanticCustomError:
    # The message is no template for pydantic: braces in it are meant.
    return PydanticCustomError("setting", "{message}", {"message": message})


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        duration = parse_duration(value)
    except DurationError as error:
        raise _refuse(str(error)) from None
    if duration.days or duration.business:
        # Settings know no calendar: a day would be 24 hours here and something else in a journey.
        raise _refuse(f"'{value}' has days in it: write hours, minutes or seconds")
    return timedelta(microseconds=duration.elapsed)


def _listed(value: object) -> object:
    """`a, b` or `["a", "b"]`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise _refuse(
            f"this is not JSON ({error}): write it on one line, in single quotes in a shell"
        ) from None


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _web_address(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        try:
            port_is_one = parts.port is None or parts.port > 0
        except ValueError:
            port_is_one = False
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
            raise _refuse(f"'{value}' is not a web address: write for instance https://hello.example.com")
        if parts.query or parts.fragment:
            raise _refuse(f"'{value}' has a query or a fragment: write the address without it")
        return value.rstrip("/")
    return value


def _host_name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(
        r"[\w-]+(\.[\w-]+)*|[0-9a-fA-F:]+:[0-9a-fA-F:.]*", value.strip()
    ):
        raise _refuse(
            f"'{value}' is not a host: write for instance smtp.example.com, and the port on its own"
        )
    return value.strip() if isinstance(value, str) else value


def _mail_address(value: object) -> object:
    if isinstance(value, str) and not _MAIL.fullmatch(value.strip()):
        raise _refuse("this is not an address: write name@host")
    return value.strip() if isinstance(value, str) else value


def _recipients(value: object) -> object:
    found = _listed(value)
    if isinstance(value, str) and not found:
        # An empty list would open what it was set to close.
        raise _refuse(
            "it names nobody: write addresses or domains, or unset it to let everybody be written to"
        )
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, str) or not (_MAIL.fullmatch(one) or _DOMAIN.fullmatch(one)):
            raise _refuse("each one is an address or a domain: write name@host, or host for everybody there")
    return found


def _folder(value: object) -> object:
    if not isinstance(value, str):
        return value
    folder = Path(value).expanduser().absolute()
    if not folder.is_dir():
        raise _refuse(f"'{value}' is not a folder")
    return folder


def _database(value: object) -> object:
    # Empty is the default: a file in the state folder.
    if isinstance(value, str) and value and not re.match(r"(sqlite:///.|postgres(ql)?://.)", value):
        raise _refuse("write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
    return value


def _long_enough(value: object) -> object:
    found = _listed(value)
    if isinstance(found, list):
        for one in found:
            if len(one if isinstance(one, str) else "") < _SHORTEST:
                raise _refuse(f"a secret has at least {_SHORTEST} characters: {MAKE_A_SECRET}")
    return found


def verification_key(text: str) -> EllipticCurvePublicKey:
    """A public key as SendGrid shows it: base64 of its DER. Raises `ValueError` for anything else."""
    # Loaded where it is used: every program reads settings, and few verify signatures.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(base64.b64decode(text, validate=True))
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a key of the curve P-256")
    return key


def _verification_keys(value: object) -> object:
    found = _listed(value)
    for one in found if isinstance(found, list) else ():
        try:
            verification_key(one if isinstance(one, str) else "")
        except ValueError:
            raise _refuse(
                "this is no public key: copy the verification key that SendGrid shows for the webhook "
                "(base64, without BEGIN and END)"
            ) from None
    return found


Duration = Annotated[timedelta, NoDecode, BeforeValidator(_seconds)]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
HostName = Annotated[str, BeforeValidator(_host_name)]
MailAddress = Annotated[str, BeforeValidator(_mail_address)]
Database = Annotated[str, BeforeValidator(_database)]
Folder = Annotated[Path, BeforeValidator(_folder)]
Recipients = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_recipients)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_long_enough)]
VerificationKeys = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_verification_keys)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Json = BeforeValidator(_json)
Lower = BeforeValidator(_lower)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def sendgrid_key_problem(api_key: str) -> str | None:
    """Why no API key of SendGrid's can look like this; None if one can."""
    if not api_key:
        return "SendGrid needs an API key (SENDGRID_API_KEY)"
    if not re.fullmatch(r"[!-~]+", api_key):
        return "the SendGrid API key contains a blank or a character that no key has"
    return None


def sendgrid_host_problem(host: str, reaches_people: bool = True) -> str | None:
    """Why SendGrid, a proxy to it or a stand-in cannot be at this address; None if it can."""
    parts = urlsplit(host)
    name = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not name or parts.path.strip("/") or parts.query:
        return f"the SendGrid host must be like {HOST}, without a path"
    if re.search(r"(^|\.)sendgrid\.(com|net)$", name):
        if host.rstrip("/") not in (HOST, EU_HOST):
            return f"SendGrid is at {HOST}, or at {EU_HOST} for accounts in the EU"
    elif parts.scheme == "http" and not is_loopback(name) and reaches_people:
        return "a key goes out by https only: plain http is for stand-ins"
    return None
