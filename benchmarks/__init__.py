"""Benchmarks, run from the root of the repository: `python -m benchmarks.player`, `.synthesis`, `.serving`, `.training`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
