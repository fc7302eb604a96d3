"""The classic front door: `python main.py --inference` makes a sound, `python main.py --training` trains a model."""

from __future__ import annotations

import sys

try:
    from soundgan.classic import main
except ModuleNotFoundError as error:
    sys.exit(f"{error}: SoundGAN is not installed for this Python; `make run` does it, or `pip install -e .`")

if __name__ == "__main__":
    main()
