"""Device of a model: the requested one, or the next; unknown ones are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from soundgan.errors import ModelError
from soundgan.model import SoundGAN

CUDA, MPS, CPU = "CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider"
FIRST, SECOND = (CUDA, {"device_id": "0"}), (CUDA, {"device_id": "1"})


class Device:
    """Like a `torch.device`, known by its text only."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cuda", [CUDA, MPS, CPU], [FIRST, MPS, CPU]),
        ("cuda", [CPU, MPS], [MPS, CPU]),
        ("cuda:0", [CPU], [CPU]),
        ("cuda:0", [CUDA, CPU], [FIRST, CPU]),
        ("cuda:1", [CUDA, CPU], [SECOND, CPU]),
        (Device("cuda:1"), [CUDA, CPU], [SECOND, CPU]),
        ("mps", [CUDA, MPS, CPU], [MPS, CPU]),
        ("mps", [CUDA, CPU], [CPU]),
        ("mps:0", [MPS, CPU], [MPS, CPU]),
        ("cpu", [CUDA, MPS, CPU], [CPU]),
        (Device("cpu"), [CUDA, MPS, CPU], [CPU]),
    ],
)
def test_unavailable_device_falls_back_to_the_next(
    device: object, available: list[str], expected: list[Any], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, requested = onnxruntime.InferenceSession, []

    def observe(path: Path, options: onnxruntime.SessionOptions, providers: list[Any]) -> onnxruntime.InferenceSession:
        requested.append(providers)
        return session(path, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", observe)
    SoundGAN.load(model_folder, device=device)
    assert requested == [expected, expected]  # by both ONNX graphs


@pytest.mark.parametrize("device", ["cuda:1", "mps", Device("cuda")])
def test_unavailable_device_generates_the_same_on_the_cpu(device: object, model: SoundGAN, model_folder: Path) -> None:
    if {CUDA, MPS} & set(onnxruntime.get_available_providers()):
        pytest.skip("this machine has the device")
    sound = SoundGAN.load(model_folder, device=device).generate(seed=1)[0]
    np.testing.assert_array_equal(sound.samples, model.generate(seed=1)[0].samples)


@pytest.mark.parametrize("device", ["toaster", "", "cuda:x", "cuda:", "cudax", "cpu\n", "CUDA", None])
def test_unknown_device_is_rejected(device: object, model_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^device = '.*': must be cuda, mps, cpu, or one with a number, as cuda:0$"):
        SoundGAN.load(model_folder, device=device)
