"""Pictures of messages, as a phone and a desktop show them by day and by night: through headless Chromium.

playwright is no part of what Firstmile needs to run (`pip install 'firstmile[preview]'`): where it or a
browser is missing, `NoBrowser` says what to install. Scripts are off, as in mail; nothing is loaded but pictures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Device = Literal["phone", "desktop"]
Scheme = Literal["light", "dark"]
WIDTHS: Final[Mapping[Device, int]] = {"phone": 390, "desktop": 800}
"""In CSS pixels: a current phone, and a mail program's reading pane."""
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class NoBrowser(Exception):
    """No picture can be made here; says what to install."""


@dataclass(frozen=True, slots=True)
class Screenshot:
    """One picture, as PNG."""

    device: Device
    scheme: Scheme
    png: bytes


class Camera:
    """Takes pictures of pages, all on one page of one browser."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def pictures(self, html: str) -> Iterator[Screenshot]:
        """A page at every width by day and by night, in its full height."""
        page = self._page
        page.set_content(html, wait_until="load")
        for device, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": 600})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                yield Screenshot(device, scheme, page.screenshot(full_page=True))


@contextmanager
def camera(browser: Path | None = None) -> Iterator[Camera]:
    """A camera with the browser at a path, else with the first that is found. Raises `NoBrowser`."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise NoBrowser("playwright is not installed: pip install 'firstmile[preview]'") from None
    path = str(browser) if browser is not None else found()
    if path is None:
        raise NoBrowser(
            "there is no Chromium on the path: apt-get install chromium, or name one with --browser"
        )
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=path)
        except Error:
            raise NoBrowser(
                f"{path} does not start: it must be a Chromium; name another with --browser"
            ) from None
        try:
            page = chromium.new_page(java_script_enabled=False)
            page.route("**/*", _pictures_only)
            yield Camera(page)
        finally:
            chromium.close()


def found() -> str | None:
    """The browser that is on the path."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def _pictures_only(route: Route) -> None:
    if route.request.resource_type == "image":
        route.continue_()
    else:
        route.abort()
