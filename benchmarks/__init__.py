"""Benchmarks, run from the root as `python -m benchmarks.<name>`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
