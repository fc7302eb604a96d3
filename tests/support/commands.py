"""Commands of SoundGAN, in processes of their own or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from soundgan.cli.app import app

ROOT = Path(__file__).parents[2]


def run_python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=environment)


def soundgan(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_python("-c", "from soundgan.cli.app import main; main()", *arguments, cwd=cwd)


def invoke(*arguments: str | Path, **environment: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [*map(str, arguments)], env=environment)


def assert_one_line_error(completed: subprocess.CompletedProcess[str], *texts: str) -> None:
    """Check for status 2 and one line on stderr that contains the texts."""
    assert completed.returncode == 2, completed.stderr
    assert completed.stderr.count("\n") == 1 and "Traceback" not in completed.stderr
    assert all(text in completed.stderr for text in texts), completed.stderr


def write_config(folder: Path, **values: object) -> Path:
    path = folder / "gan_config.json"
    path.write_text(json.dumps({"saveroot": str(folder / "save"), **values}))
    return path
