"""Benchmarks, run from the root: `python -m benchmarks.player`, `.synthesis`, `.serving`, `.serving.hard_use`, `.training`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
