"""The classic command line of `main.py`, in argparse: typer would slow its start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from soundgan.errors import SettingsError, SoundGANError, one_line
from soundgan.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate or train as the options say; an error for the user is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="main.py", description="SoundGAN. See `soundgan --help` for all commands.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--inference", action="store_true", help="generate a sound with the model in saveroot")
    mode.add_argument("--training", action="store_true", help="train on the sounds in dataroot, into saveroot")
    parser.add_argument("--config", default="gan_config.json", help="settings file (default: %(default)s)")
    parser.add_argument("--output", default="output.wav", help="sound file to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        if options.training:
            if not (data := Path(settings.data.dataroot)).is_dir():
                raise SettingsError(f"{data}: no such folder of sounds; set dataroot in {options.config} to yours")
            from soundgan.cli.train import run_training

            run_training(settings)
        else:
            from soundgan.inference import inference

            print("Starting to create a new sound file...", flush=True)
            path = inference("cuda" if settings.run.ngpu else "cpu", settings, output_file=options.output)
            print(f"Sound created and saved as {path}!")
    except (SoundGANError, OSError) as error:
        print(f"main.py: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
