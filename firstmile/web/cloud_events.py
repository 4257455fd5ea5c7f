"""CloudEvents 1.0 over HTTP: the binary mode read as the structured one, so that what follows knows one.

In binary mode the context attributes are headers (`ce-id`, `ce-type`, …), percent-encoded where they are not
plain ASCII, and the body is the data (HTTP protocol binding, §3.1).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers

from firstmile.errors import EventRefused, Flaw

PREFIX = "ce-"
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"


def structured(headers: Headers, body: object) -> Any:
    """A body with the attributes that its headers carry; as it is where they carry none.

    Raises `EventRefused` for a list that is said to be one event.
    """
    attributes = {
        name[len(PREFIX) :]: unquote(value) for name, value in headers.items() if name.startswith(PREFIX)
    }
    if "specversion" not in attributes:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == ONE and not isinstance(body, dict):
            raise EventRefused([Flaw("", f"'{ONE}' is one event; several are '{MANY}'")])
        return body
    return {**attributes, "datacontenttype": headers.get("content-type", ""), "data": body}
