"""A small version of `benchmarks.serving.hard_use`: many clients, spoilt requests, clients that leave, an end under load."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from benchmarks.serving import hard_use
from benchmarks.serving.clients import serving
from soundgan.model import SoundGAN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_hard_use(model_folder: Path, model: SoundGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_use, "SURELY", 1.0)  # a busy machine may read late
    wishes = hard_use.menu({"tiny": model.labels}, random.Random(0), 40)
    digests = hard_use.reference({"tiny": str(model_folder)}, wishes)
    command = [*hard_use.SERVE, str(model_folder), "--processes", "2"]
    with serving(command, "/readyz", folder=tmp_path) as server:
        found = asyncio.run(hard_use.storm(server, wishes, digests, count=200, clients=16, share=0.1))
        end = asyncio.run(hard_use.stop(server, wishes, digests, clients=16, after=1.7))
    assert found.wrong == [] and end.wrong == []
    assert end.code in (0, -15) and end.answered
    assert sum(found.done.values()) >= 200
    assert len([what for what in found.done if what.startswith(("left", "refused"))]) > 5
