"""`firstmile serve`: the HTTP service, for sign-up systems, operators' programs and customers' pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstmile.cli.errands import fail, settings_or_exit

if TYPE_CHECKING:
    from firstmile.settings import Settings

app = typer.Typer()


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen on; default: FIRSTMILE_HTTP_HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The port to listen on; default: FIRSTMILE_HTTP_PORT."),
    ] = None,
) -> None:
    """Run the HTTP service until it is told to stop, with settings from the environment."""
    import asyncio
    import logging

    from firstmile.errors import FirstmileError

    settings = settings_or_exit()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("alembic", "uvicorn", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(settings, host or settings.http_host, port or settings.http_port))
    except FirstmileError as error:
        fail(error)


async def _serve(settings: Settings, host: str, port: int) -> None:
    import logging

    import uvicorn

    from firstmile.service.opening import opened
    from firstmile.web.app import create_app

    async with opened(settings) as service:
        config = uvicorn.Config(
            create_app(service),
            host=host,
            port=port,
            log_config=None,
            # A path may hold a customer's link.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        logging.getLogger(__name__).info("listening on http://%s:%d", host, port)
        server = uvicorn.Server(config)
        await server.serve()
    if not server.started:
        raise SystemExit(1)
