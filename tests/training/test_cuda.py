"""Training on an NVIDIA GPU: captured steps equal eager ones, and the model generates sounds on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from training_folder import assert_same_bits, log_of, tensors

from soundgan.data.dataset import Dataset
from soundgan.model import SoundGAN
from soundgan.training import loop
from soundgan.training.loop import train
from soundgan.training.losses import augment
from soundgan.training.monitor import monitor, schedule
from soundgan.training.pipeline import train_model_folder
from soundgan.training.runtime import cuda_graph
from soundgan.training.runtime.cuda_graph import WARMUP_CALLS, CudaGraphCallable
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state import train_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU")

ON_GPU = {"ngpu": 1, "max_samples": 64}
KINDS = [{}, {"precision": "bfloat16"}, {"nc": 3}, {"network": "dcgan"}, {"initial_noise_std": 0.2}, {"augment_p": 0.5}]


@pytest.fixture(autouse=True)
def fast_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Log every step, write no snapshots, and let the inputs of captured steps change early and often."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(monitor, "save_snapshot", lambda *args: None)
    monkeypatch.setattr(train_state, "NOISE_BUFFER_SAMPLES", 16)
    monkeypatch.setattr(train_state, "CONSTANT_LR_STEPS", 2)
    monkeypatch.setattr(schedule, "FIRST_VALIDATION", 8)
    monkeypatch.setattr(augment, "ADA_RAMP_SAMPLES", 80)
    yield


def test_cuda_graph_replays_with_new_random_numbers_and_values() -> None:
    rng = StepRNG(1, 0, torch.device("cuda"))
    value, sums = torch.zeros((), device="cuda"), torch.zeros(4, device="cuda")

    def add() -> torch.Tensor:
        drawn = rng.normal(4) + value
        sums.add_(drawn)
        return drawn

    replay, expected = CudaGraphCallable[torch.Tensor](rng.generator), torch.zeros(4, device="cuda")
    for samples_seen in range(WARMUP_CALLS + 5):
        rng.seed_at(samples_seen)
        value.fill_(samples_seen)
        result = replay(add).clone()
        alone = StepRNG(1, samples_seen, torch.device("cuda")).normal(4) + samples_seen
        assert torch.equal(result, alone)
        expected += alone
    assert torch.equal(sums, expected)


@pytest.mark.parametrize("changes", KINDS)
def test_captured_steps_are_bit_identical_to_eager_ones(
    changes: dict[str, Any],
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tiny_settings(**ON_GPU, **changes)
    train(tiny_dataset, settings, tmp_path / "captured")
    monkeypatch.setattr(cuda_graph, "WARMUP_CALLS", 1000)
    train(tiny_dataset, settings, tmp_path / "eager")
    assert_same_bits(tmp_path / "captured", tmp_path / "eager")


@pytest.mark.parametrize("changes", KINDS)
def test_resumed_cuda_training_is_bit_identical(
    changes: dict[str, Any], tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    for sounds in (4, 36, 64):
        train(tiny_dataset, tiny_settings(**{**ON_GPU, "max_samples": sounds}, **changes), tmp_path / "sittings")
    train(tiny_dataset, tiny_settings(**ON_GPU, **changes), tmp_path / "one")
    assert_same_bits(tmp_path / "sittings", tmp_path / "one")


def test_training_moves_between_cpu_and_gpu(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    for sounds, ngpu in ((8, 0), (16, 1), (24, 0)):
        train(tiny_dataset, tiny_settings(max_samples=sounds, ngpu=ngpu), tmp_path)
    assert all(value.isfinite().all() for value in tensors(tmp_path).values())


# Convolutions of a GPU round float32 to TF32. Other chance changes most of these losses by a twentieth or more.
@pytest.mark.parametrize(("precision", "within"), [("float32", 0.02), ("bfloat16", 0.05)])
def test_first_step_on_a_gpu_matches_the_cpu(
    precision: str,
    within: float,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = StepRNG.__init__

    def drawing_on_the_processor(
        rng: StepRNG, seed: int, samples_seen: int, device: torch.device, distributed: Distributed = SINGLE_PROCESS
    ) -> None:
        original(rng, seed, samples_seen, torch.device("cpu"), distributed)
        rng.device = device

    monkeypatch.setattr(StepRNG, "__init__", drawing_on_the_processor)
    for ngpu in (0, 1):
        settings = tiny_settings(max_samples=4, ngpu=ngpu, precision=precision)
        train(tiny_dataset, settings, tmp_path / str(ngpu))
    expected, result = (log_of(tmp_path / str(ngpu))[0] for ngpu in (0, 1))
    for name in ("loss_D", "loss_G", "label_loss", "imle_loss", "texture_loss", "pitch_loss"):
        assert result[name] == pytest.approx(expected[name], rel=within), name
    # A finite difference: rounding is divided by its small step.
    assert result["gradient_penalty"] == pytest.approx(expected["gradient_penalty"], rel=6 * within)


def test_model_trained_on_a_gpu_generates(tiny_settings: TinySettings, tmp_path: Path) -> None:
    train_model_folder(tiny_settings(**ON_GPU, precision="auto", saveroot=str(tmp_path / "model")))
    model = SoundGAN.load(tmp_path / "model")
    assert "cuda, bfloat16" in model.config.training["machine"]
    assert model.config.onnx_difference < 1e-4
    sound = model.generate(seed=3)[0]
    assert np.isfinite(sound.samples).all() and np.abs(sound.samples).max() > 0
