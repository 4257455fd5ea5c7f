"""A stand-in for a system that is asked to set things up: takes signed webhooks, once for each key.

`python -m firstmile.standins.provisioning --port 8026 --secret whsec_… --file resources.sqlite`

- `POST /webhooks` (and `/webhooks/{system}`): what Firstmile calls.
- `/`: the resources, for people. `/_standin/calls`: what came, for tests. `/_standin/faults`: what to fail
at next;
  `match` is searched for in the customer's id and the system's name.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from standardwebhooks import Webhook, WebhookVerificationError

from firstmile.standins import faults as faults_module
from firstmile.standins.faults import Faults, carry_out
from firstmile.standins.resources import Resources
from firstmile.standins.serving import serve

PAGES = Path(__file__).parent / "pages"
REQUIRED = ("type", "resource", "subject", "segment", "step")


def provisioning_standin(secret: str, file: Path | None = None, *, status: int = 200) -> FastAPI:
    """The application. Kept in `file`, or in memory. `status` is what success answers: 200, or 202 for a
    system that would call back."""
    app = FastAPI(title="Stand-in for a provisioning system", docs_url=None, redoc_url=None, openapi_url=None)
    resources, faults, judge = Resources(file), Faults(), Webhook(secret)
    app.state.resources, app.state.faults = resources, faults
    environment = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["time"] = lambda moment: datetime.isoformat(moment, timespec="seconds")

    @app.post("/webhooks")
    @app.post("/webhooks/{system}")
    async def take(request: Request, system: str = "") -> Response:
        raw = await request.body()
        try:
            told: Any = judge.verify(raw, dict(request.headers))
        except (WebhookVerificationError, ValueError):
            return _problem(401, "the signature does not verify")
        key = request.headers.get("Idempotency-Key", "")
        if key != request.headers.get("webhook-id"):
            return _problem(400, "Idempotency-Key and webhook-id differ")
        if not isinstance(told, dict) or any(not isinstance(told.get(name), str) for name in REQUIRED):
            return _problem(422, f"the body needs {', '.join(REQUIRED)}")
        if system:
            told["system"] = system
        fault = faults.take("call", told["subject"], str(told.get("system")))
        if fault is not None and fault.when == "before":
            return await carry_out(fault, request)
        answered, answer = resources.take(key, told, status)
        if fault is not None:
            return await carry_out(fault, request)
        return JSONResponse(answer, status_code=answered)

    @app.get("/")
    def page(q: str = "") -> HTMLResponse:
        found = resources.all(q)
        counts = {state: sum(one.state == state for one in found) for state in ("active", "undone")}
        template = environment.get_template("resources.html.j2")
        return HTMLResponse(template.render(resources=found, q=q, counts=counts))

    @app.get("/_standin/calls")
    def calls() -> dict[str, Any]:
        found = resources.calls()
        return {"count": len(found), "calls": found}

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(faults_module.routes(faults))
    return app


def _problem(status: int, title: str) -> JSONResponse:
    return JSONResponse({"title": title, "status": status}, status, media_type="application/problem+json")


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0, help="the port (default: any that is free)")
    parser.add_argument("--secret", required=True, help="the webhook secret, whsec_…")
    parser.add_argument("--file", type=Path, help="keep resources in this file (default: in memory)")
    arguments = parser.parse_args()
    app = provisioning_standin(arguments.secret, arguments.file)
    serve(app, port=arguments.port, name="provisioning")


if __name__ == "__main__":
    main()
