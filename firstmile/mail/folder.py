"""What a folder of templates holds, by the names of its files. Imports nothing heavy: `simulate` looks, too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

LAYOUT: Final = "_layout"
"""What the templates share, with brand.json and sessions.json. Folders beginning with `_` are no templates."""
SUBJECT: Final = "subject.txt.j2"
HTML: Final = "body.html.j2"
MJML: Final = "body.mjml.j2"
TEXT: Final = "body.txt.j2"
SAMPLE: Final = "sample.json"


def template_names(folder: Path) -> list[str]:
    """The names of the templates in a folder."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
    )
