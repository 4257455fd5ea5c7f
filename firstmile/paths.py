"""Where the journeys and the templates are found.

The environment decides (`FIRSTMILE_JOURNEYS`, `FIRSTMILE_TEMPLATES`); without it the checkout, when this
package lies in one; otherwise what was shipped inside the package. Never the working directory: what a
service does must not depend on where it was started.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parent


class Folder(StrEnum):
    """A folder of data; its value is its name in the checkout."""

    JOURNEYS = "journeys"
    TEMPLATES = "templates"

    @property
    def variable(self) -> str:
        """The environment variable that names this folder."""
        return f"FIRSTMILE_{self.name}"


class Origin(StrEnum):
    """Why a folder was chosen."""

    ENVIRONMENT = "environment"
    CHECKOUT = "checkout"
    SHIPPED = "shipped"


@dataclass(frozen=True)
class Found:
    """A folder that exists, and why it was chosen."""

    path: Path
    origin: Origin


def journeys() -> Path:
    """The folder of journeys. Raises FileNotFoundError when there is none."""
    return _logged(Folder.JOURNEYS)


def templates() -> Path:
    """The folder of templates. Raises FileNotFoundError when there is none."""
    return _logged(Folder.TEMPLATES)


def find(folder: Folder, *, environ: Mapping[str, str] = os.environ, package: Path = PACKAGE) -> Found:
    """Where `folder` is, and why there. Raises FileNotFoundError when what is chosen is not a folder.

    An empty variable counts as unset. `package` is the folder of the installed package.
    """
    named = environ.get(folder.variable, "")
    if named:
        path = Path(named).expanduser().absolute()
        if not path.is_dir():
            raise FileNotFoundError(f"{folder.variable} is {named!r}, which is not a folder")
        return Found(path, Origin.ENVIRONMENT)

    checkout = package.parent
    if (checkout / "pyproject.toml").is_file():
        found = Found(checkout / folder.value, Origin.CHECKOUT)
    else:
        found = Found(package / "_shipped" / folder.value, Origin.SHIPPED)
    if not found.path.is_dir():
        raise FileNotFoundError(f"no {folder.value} at {found.path}; name their folder in {folder.variable}")
    return found


def _logged(folder: Folder) -> Path:
    found = find(folder)
    logger.info("%s are read from %s (%s)", folder.value, found.path, found.origin.value)
    return found.path
