"""What mail providers call. Signed requests only: neither an API key nor the caller's place counts here.

Routes read bodies themselves, as bytes: the signature is over those. The answer goes out when everything is in
the store; journeys are told after it, for a provider gives up on slow answers and sends everything again.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask

from firstmile.mail.sendgrid_events import SIGNATURE, TIMESTAMP
from firstmile.service import Service
from firstmile.service.deliveries import SENDGRID
from firstmile.web import guard, schemas
from firstmile.web.problems import Refused

MAX_BYTES = 4_000_000
"""SendGrid's requests stay below 1 MB; a little room, and an end to it."""


def router(service: Service) -> APIRouter:
    """The routes below `/webhooks`."""
    found = APIRouter(prefix="/webhooks", tags=["webhooks"])
    deliveries = service.deliveries

    @found.post("/sendgrid", **schemas.WEBHOOK)
    async def sendgrid(request: Request) -> Response:
        """Take the events of SendGrid's signed Event Webhook; those that were taken before are left out."""
        try:
            raw = await guard.body_of(request, MAX_BYTES)
        except Refused:
            deliveries.refused(SENDGRID, "too_large")
            raise
        taken = await deliveries.sendgrid(raw, request.headers.get(SIGNATURE), request.headers.get(TIMESTAMP))
        said = {"events": taken.events, "new": taken.fresh}
        return JSONResponse(said, background=BackgroundTask(deliveries.tell, taken.waiting))

    return found
