"""Server on a port, for the command line and `app.py`."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from soundgan.errors import ServerError, SoundGANError, one_line
from soundgan.inference import model_and_size
from soundgan.server import PORT
from soundgan.server.app import create_app
from soundgan.server.protocol import Connection
from soundgan.server.security import is_loopback
from soundgan.server.settings import ServerSettings, check_server_settings
from soundgan.server.workers import gc_frozen
from soundgan.settings import load_settings

LOG = logging.getLogger("soundgan.server")
SHUTDOWN_TIMEOUT = 30  # s in which accepted requests are answered after SIGTERM


def run(models: Sequence[str | Path], settings: ServerSettings, *, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve until SIGINT or SIGTERM, and then until all accepted requests are answered.

    Raises:
        OSError: the output folder cannot be created.
        ServerError: the address or port is not available.
        ModelError: as `create_app`.
    """
    settings.output_folder.mkdir(parents=True, exist_ok=True)
    with listen(host, port) as sock, suppress(KeyboardInterrupt):
        if settings.allowed_hosts is None and is_loopback(sock.getsockname()[0]):
            settings = settings.model_copy(update={"allowed_hosts": ()})
        app = create_app(models, settings)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        with gc_frozen():
            AnnouncingServer(uvicorn_config(app, settings)).run(sockets=[sock])


class AnnouncingServer(uvicorn.Server):
    """Uvicorn that logs the address of the page once it accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or () if self.started else ():
            LOG.info("Ready: open %s in a browser", page_url(sock))


def page_url(sock: socket.socket) -> str:
    """Return the URL of the page behind a socket, on localhost if it listens on all addresses."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def listen(host: str, port: int) -> socket.socket:
    """Open the socket first, so that a port in use is reported at once. Raises `ServerError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio turns Nagle's algorithm off, which delays responses in several parts, if it knows the protocol.
        sock = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(2048)
        except OSError:
            sock.close()
            raise
        return sock
    except OSError as error:
        raise ServerError(f"{host}, port {port}: {error.strerror}; choose others with --host and --port") from error


def uvicorn_config(app: FastAPI, settings: ServerSettings, **address: Any) -> uvicorn.Config:
    """Configure Uvicorn with the limits of this server."""
    connection = cast(type[Connection], partial(Connection, limits=settings))
    return uvicorn.Config(
        app, http=connection, ws="none", access_log=False, log_config=None, server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT, **address,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `app.py`: serve the model in `saveroot` of the settings file, or the bundled one."""
    parser = argparse.ArgumentParser(prog="app.py", description="Web API of SoundGAN. See `soundgan serve --help`.")
    parser.add_argument("--config", default="gan_config.json", help="settings file (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen on (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        model, size = model_and_size(settings)
        token, level = os.environ.get("SOUNDGAN_TOKEN") or None, settings.run.output_level
        values = {"token": token, "image_size": size, "output_level": level, "processes": None}
        run([model], check_server_settings(values), host=options.host, port=options.port)
    except (SoundGANError, OSError) as error:
        print(f"app.py: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
