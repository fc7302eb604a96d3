"""Small version of `benchmarks.serving.stress`: many clients, invalid requests, disconnects, shutdown under load."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from benchmarks.serving import stress
from benchmarks.serving.clients import SERVE, serving
from benchmarks.serving.workload import random_workload
from soundgan.model import SoundGAN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_server_passes_all_checks_under_stress(
    model_folder: Path, model: SoundGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress, "MAX_READ_DELAY", 1.0)  # a busy machine may read late
    workload = random_workload({"tiny": model}, 40)
    with serving([*SERVE, str(model_folder), "--processes", "2"], folder=tmp_path) as server:
        test = stress.StressTest(server, workload, clients=16)
        asyncio.run(test.run(200, share=0.1))
        shutdown = asyncio.run(test.shut_down(after=1.7))
    assert test.failures == []
    assert shutdown["code"] in (0, -15) and shutdown["answered"]
    assert test.done.total() >= 200
    assert len([kind for kind in test.done if kind.startswith(("disconnected", "refused"))]) > 5
