"""The page of `hard_use.py`, made from its figures alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.synthesis.page import table
from soundgan.files import write_text


def render(figures: dict[str, Any], folder: Path) -> None:
    """Write `hard_use.md`."""
    end, wrong = figures["end"], figures["wrong"]
    kinds = table(["What", "How often"], [[what, f"{count:,}"] for what, count in figures["done"].items()])
    verdict = "Nothing was otherwise." if not wrong else "**Not as promised:**\n\n" + "\n".join(f"- {w}" for w in wrong)
    warm, last, seconds = figures["warm"], figures["last"], figures["seconds"]
    text = f"""# Hard use of the server

{figures["requests"]:,} requests of {figures["clients"]} clients to a real server on loopback with both bundled models,
on {figures["cores"]} cores that other work shared (load average {figures["load"]:.1f} at the end), in {seconds:.0f} s:
{figures["sounds"]:,} sounds. All of this page is written by

    python -m benchmarks.serving.hard_use

and none of it by hand. Requests mix models, labels, truncations, qualities, formats, and one to five sounds; 1 % of the
clients go away before they are answered, and 1 % of the requests cannot be answered. What is promised, and looked at:

- every answer is whole, and every sound is the one that another process makes of its seed alone, byte for byte;
- what cannot be answered is refused with the right status; no other error comes than 503, with Retry-After;
- memory does not grow: {warm:.0f} MiB after the warm-up (all processes, median of the second quarter of the
  requests), {last:.0f} MiB in the end (of the last tenth): {last - warm:+.0f} MiB.

{verdict}

{kinds}

## The end under load

Then the same clients go on, and after 3 s the server gets SIGTERM; a client that was answered asks again. A request
counts as taken if it was sent at least 0.25 s before. All of those were to be answered, whole, and no answer to be cut
off.

- {end["answered"]} requests were answered after the signal.
- {end["unread"]} more, sent in the last moment or later on connections that were open, were closed without a byte.
- {end["refused"]} connections were refused.
- The process ended {end["seconds"]:.1f} s after the signal, with status {end["code"]}.
"""
    write_text(folder / "hard_use.md", text)
