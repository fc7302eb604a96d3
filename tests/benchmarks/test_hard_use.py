"""Small version of `benchmarks.serving.hard_use`: many clients, invalid requests, disconnects, shutdown under load."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from benchmarks.serving import hard_use
from benchmarks.serving.clients import SERVE, serving
from benchmarks.serving.workload import reference_digests, sound_requests
from soundgan.model import SoundGAN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_hard_use_breaks_no_promise(
    model_folder: Path, model: SoundGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hard_use, "MAX_READ_DELAY", 1.0)  # a busy machine may read late
    requests = sound_requests({"tiny": model.labels}, random.Random(0), 40)
    workload = hard_use.Workload(requests, reference_digests({"tiny": str(model_folder)}, requests))
    with serving([*SERVE, str(model_folder), "--processes", "2"], "/readyz", folder=tmp_path) as server:
        result = asyncio.run(hard_use.run_load(server, workload, count=200, clients=16, share=0.1))
        shutdown = asyncio.run(hard_use.shut_down(server, workload, clients=16, after=1.7))
    assert result.violations == [] and shutdown.violations == []
    assert shutdown.code in (0, -15) and shutdown.answered
    assert result.done.total() >= 200
    assert len([kind for kind in result.done if kind.startswith(("disconnected", "refused"))]) > 5
