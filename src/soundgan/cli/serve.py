"""`soundgan serve [MODEL …]`: the web API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.cli.errors import require_extra
from soundgan.server import PORT


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model folders, or names from `soundgan models`; all of those by default."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
    output_folder: Annotated[
        Path, typer.Option(help="Folder into which POST /infer writes; created if missing.")
    ] = Path("."),
    processes: Annotated[
        int | None, typer.Option(help="Processes that generate sounds; one per core by default.", min=1, max=16)
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SOUNDGAN_TOKEN", help="Bearer token required of clients.")
    ] = None,
    rate_limit: Annotated[
        int | None, typer.Option(help="Sounds per minute and client; unlimited by default.", min=1)
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Accepted host name besides localhost (repeatable); behind a proxy, its public name."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Allowed CORS origin, such as https://example.org (repeatable).")
    ] = None,
) -> None:
    """Serve models over HTTP, without PyTorch; Ctrl-C or SIGTERM ends it once accepted requests are answered."""
    from soundgan.model_folder import bundled

    with require_extra("serve", "serve"):
        from soundgan.server.run import run
        from soundgan.server.settings import check_server_settings

    # An empty environment variable counts as none.
    settings = check_server_settings({
        "output_folder": output_folder, "token": token or None, "rate_limit": rate_limit, "processes": processes,
        "allowed_hosts": allow_host or None, "allowed_origins": allow_origin or (),
    })  # fmt: skip
    run(models or list(bundled()), settings, host=host, port=port)
