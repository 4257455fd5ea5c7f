"""All messages on one page that needs nothing else: `firstmile preview --all`.

Without pictures, the messages themselves stand in frames that run nothing; a frame shows by night what its
own colour scheme says.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firstmile.mail.previews import Preview
from firstmile.mail.screenshots import SCHEMES, WIDTHS

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def gallery(previews: Sequence[Preview], brand: str) -> str:
    """The page, as HTML."""
    return _ENVIRONMENT.get_template("gallery.html.j2").render(
        brand=brand, messages=[_shown(one) for one in previews], widths=WIDTHS, schemes=SCHEMES
    )


def _shown(preview: Preview) -> dict[str, Any]:
    return {
        "name": preview.name,
        "template": preview.template,
        "language": preview.rendered.language,
        "subject": preview.rendered.subject,
        "preheader": preview.preheader,
        "text": preview.rendered.text,
        "html": preview.rendered.html,
        "kilobytes": len(preview.rendered.html.encode()) / 1024,
        "pictures": {
            (shot.device, shot.scheme): base64.b64encode(shot.png).decode() for shot in preview.screenshots
        },
    }
