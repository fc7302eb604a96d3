"""`soundgan serve [MODEL …]`: the web API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundgan.server import PORT


def serve(
    models: Annotated[
        list[str] | None, typer.Argument(help="Model folders, or names from `soundgan models`; otherwise all of those.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = PORT,
    output_folder: Annotated[Path, typer.Option(help="Folder into which POST /infer writes.")] = Path("."),
    processes: Annotated[
        int | None, typer.Option(help="Processes that make sounds; one a core if left out.", min=1, max=16)
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SOUNDGAN_TOKEN", help="What clients must send as bearer token.")
    ] = None,
    most_per_minute: Annotated[
        int | None, typer.Option(help="Sounds a minute for one client; otherwise any number.", min=1)
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name that requests may be sent to, besides localhost (repeat for more); behind a proxy, its own."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="A site whose pages may ask as well, as https://example.org (repeat for more)."),
    ] = None,
) -> None:
    """Serve models over HTTP, without PyTorch; Ctrl-C or SIGTERM ends it when all that was asked for is answered."""
    from soundgan.cli.extras import require_extra
    from soundgan.model_folder import bundled

    with require_extra("serve", "serve"):
        from soundgan.server.run import run
        from soundgan.server.settings import check_server_settings

    # "" is as good as none: an empty variable of the environment asks for nothing.
    told = {"output_folder": output_folder, "token": token or None, "most_per_minute": most_per_minute}
    told |= {"hosts": allow_host or None, "origins": allow_origin or (), "processes": processes}
    settings = check_server_settings(told)
    run(models or list(bundled()), settings, host=host, port=port)
