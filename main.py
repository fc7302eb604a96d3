"""The classic command line: `python main.py --inference` generates a sound, `python main.py --training` trains."""

from __future__ import annotations

import sys

try:
    from soundgan.cli.compat import main
except ModuleNotFoundError as error:
    sys.exit(f"{error}: not installed for this Python; `make run` installs it into .venv; use `. .venv/bin/activate`")

if __name__ == "__main__":
    main()
