"""A server on a port, for the command line and for `app.py`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from soundgan.errors import SoundGANError, one_line
from soundgan.model_folder import CONFIG, DEFAULT_MODEL
from soundgan.server.app import create_app
from soundgan.server.settings import ServerSettings
from soundgan.settings import load_settings

PORT = 5050
STOPPING = 30  # s in which requests that were taken are answered, once the server is asked to stop


def run(models: Sequence[str | Path], settings: ServerSettings, *, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve until SIGINT or SIGTERM, and then until what was taken is answered. Raises `ModelError` as `create_app`."""
    app = create_app(models, settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    uvicorn.run(app, host=host, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=STOPPING)


def main(arguments: Sequence[str] | None = None) -> None:
    """`app.py`: serve the model in `saveroot` of the settings file, or the bundled one."""
    parser = argparse.ArgumentParser(prog="app.py", description="SoundGAN's web API. More doors: soundgan serve --help")
    parser.add_argument("--config", default="gan_config.json", help="settings file (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen at (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        saved = Path(load_settings(options.config).saveroot)
        model = saved if (saved / CONFIG).is_file() else DEFAULT_MODEL
        settings = ServerSettings.model_validate({"token": os.environ.get("SOUNDGAN_TOKEN") or None, "processes": None})
        run([model], settings, host=options.host, port=options.port)
    except (SoundGANError, OSError) as error:
        print(f"app.py: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
