"""The classic front door: `python main.py --inference` makes a sound, `python main.py --training` trains a model."""

from __future__ import annotations

import sys

try:
    from soundgan.cli.compat import main
except ModuleNotFoundError as error:
    sys.exit(f"{error}: not installed for this Python; `make run` installs it into .venv; use `. .venv/bin/activate`")

if __name__ == "__main__":
    main()
