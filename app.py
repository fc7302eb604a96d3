"""The classic web API: `python app.py` serves `POST /infer` and more on port 5050."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # the processes that make sounds import this file, and need nothing of the web
    try:
        from soundgan.server.run import main
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: not installed for this Python; pip install -c constraints.txt -e '.[serve]'")
    main()
