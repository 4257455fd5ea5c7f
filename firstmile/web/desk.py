"""What all customers' pages do with a link that is broken, and while the store is away."""

from __future__ import annotations

import logging

from fastapi import Request
from fastapi.responses import Response

from firstmile.errors import FirstmileError, LinkRefused
from firstmile.links import Links, Target
from firstmile.links import Purpose as LinkPurpose
from firstmile.service import Service
from firstmile.web import forms
from firstmile.web.rendering import Pages

READ = ["GET", "HEAD"]
_logger = logging.getLogger(__name__)


class Desk:
    """The desk that one kind of page is answered at."""

    def __init__(self, service: Service, links: Links, pages: Pages) -> None:
        self.service, self.links, self.pages = service, links, pages

    def target(self, request: Request, token: str, purpose: LinkPurpose) -> Target | Response:
        """What the link is about, or the page that says that it is broken."""
        try:
            return self.links.read(token, purpose)
        except LinkRefused:
            return self.pages.message(forms.language(request), "broken", 404)

    def away(self, language: str, error: FirstmileError, name: str = "unavailable") -> Response:
        """The page that asks to try again; `name` says in which words."""
        _logger.error("a customer's page could not be answered: %s", error)
        return self.pages.message(language, name, 503)
