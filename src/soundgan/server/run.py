"""A server on a port, for the command line and for `app.py`."""

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
STOPPING = 30  # s in which requests that were taken are answered, once the server is asked to stop


def run(models: Sequence[str | Path], settings: ServerSettings, *, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve until SIGINT or SIGTERM, and then until what was taken is answered.

    Raises:
        ServerError: nobody can listen at this address and port.
        ModelError: as `create_app`.
    """
    with listening(host, port) as door, suppress(KeyboardInterrupt):
        if settings.hosts is None and is_loopback(door.getsockname()[0]):
            settings = settings.model_copy(update={"hosts": ()})
        app = create_app(models, settings)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        with gc_frozen():
            AnnouncingServer(configured(app, settings)).run(sockets=[door])


class AnnouncingServer(uvicorn.Server):
    """Uvicorn that says where to go, as soon as somebody answers there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for door in sockets or () if self.started else ():
            LOG.info("Ready: open %s in a browser", page_of(door))


def page_of(door: socket.socket) -> str:
    """The page behind what listens; of this machine, where it listens to all its addresses."""
    host, port = door.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def listening(host: str, port: int) -> socket.socket:
    """What listens there; before anything else, so that a port in use is told at once. Raises `ServerError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol, by which asyncio sees that answers in several parts must not wait for each other (Nagle).
        door = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
            door.listen(2048)
        except OSError:
            door.close()
            raise
        return door
    except OSError as error:
        raise ServerError(f"{host}, port {port}: {error.strerror}; choose others with --host and --port") from error


def configured(app: FastAPI, settings: ServerSettings, **where: Any) -> uvicorn.Config:
    """How Uvicorn is to serve an app."""
    connection = cast(type[Connection], partial(Connection, limits=settings))
    return uvicorn.Config(
        app, http=connection, ws="none", access_log=False, log_config=None, server_header=False,
        timeout_graceful_shutdown=STOPPING, **where,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """`app.py`: serve the model in `saveroot` of the settings file, or the bundled one."""
    parser = argparse.ArgumentParser(prog="app.py", description="SoundGAN's web API. More doors: soundgan serve --help")
    parser.add_argument("--config", default="gan_config.json", help="settings file (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen at (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        model, size = model_and_size(load_settings(options.config))
        token = os.environ.get("SOUNDGAN_TOKEN") or None
        settings = check_server_settings({"token": token, "image_size": size, "processes": None})
        run([model], settings, host=options.host, port=options.port)
    except (SoundGANError, OSError) as error:
        print(f"app.py: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
