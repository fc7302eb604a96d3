"""`benchmarks.serving` runs, and its page reports the measurements, losses included."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import page as serving_page

ROOT = Path(__file__).parents[2]
BALANCED, FAST = serving_page.OURS


def row(server: str, rate: float, faster: float = 1.0, p99: float = 50.0) -> dict[str, Any]:
    return {
        "server": server, "clients": 8, "sounds": 9, "rate": rate, "speedup": {BALANCED: faster, FAST: 2 * faster},
        "p50": 9.0, "p99": p99, "cpu": 1.0, "client_cpu": 0.02, "load": 1.5, "stolen": 0.1,
    }  # fmt: skip


def test_page_reports_met_and_missed_goals(tmp_path: Path) -> None:
    rows = [row(BALANCED, 160.0, p99=101.0), row(FAST, 240.0, p99=99.0), row("dcgan", 10.0, faster=16.0)]
    measured = {"model": "digits", "cores": 2, "memory": {BALANCED: 300.0, "dcgan": 700.0}, "rows": rows}
    machine = {"processor": "x", "cores": 2, "versions": {"Python": "3"}, "loop_times": [1.0, 2.0, 8.0]}
    serving_page.render(
        {"machine": machine, "seconds": 3.0, "rounds": 2, "sets": {"digits, 2 cores": measured}}, tmp_path
    )
    page = (tmp_path / "serving.md").read_text(encoding="utf-8")
    for quality, reached in ("balanced", "**not met**"), ("fast", "met"):
        goals = [line for line in page.splitlines() if line.startswith(f"| digits, 2 cores, {quality}, 8 clients")]
        assert len(goals) == 2 and all(line.endswith(f"| {reached} |") for line in goals), goals
    assert f"| **{BALANCED}** | 8 | 160 |" in page and f"| **{FAST}** | 8 | 240 |" in page


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_serving_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the server needs the extra `serve`")
    alone = find_spec("librosa") is None  # the baselines need the extra `bench`
    command = [sys.executable, "-m", "benchmarks.serving", "--quick", "--out", str(tmp_path)] + ["--alone"] * alone
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "serving.md").read_text(encoding="utf-8")
    assert f"| **{BALANCED}** | 8 |" in page and f"| **{FAST}** | 8 |" in page
    assert ("| our generator in PyTorch, librosa Griffin-Lim | " in page) != alone
