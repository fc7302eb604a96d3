"""Classic web API: `python app.py` serves `POST /infer` and more on port 5050."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # worker processes import this file, and need no web framework
    try:
        from soundgan.server.run import main
    except ModuleNotFoundError as error:
        hint = "use `. .venv/bin/activate`, or install it: pip install -c constraints.txt -e '.[serve]'"
        sys.exit(f"{error}: not installed for this Python; {hint}")
    main()
