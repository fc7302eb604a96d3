"""The baselines follow their papers, learn, and are reproducible; their benchmark reports its measurements."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from waves import sine

from benchmarks.baselines import NAMES, dcgan, networks, specgan, wavegan
from benchmarks.baselines.wgan_gp import (
    TrainedBaseline,
    TrainingOptions,
    TrainingSounds,
    WGANConfig,
    cut_or_pad,
    gradient_penalty,
    samples_of,
    train_wgan_gp,
)
from benchmarks.training import __main__ as training
from benchmarks.training import page, speed
from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings

Floats = NDArray[np.float32]
RATE = 8000  # Hz; sounds are 8,192 samples
SMALL: dict[str, int] = {"dcgan": 2, "wavegan": 2, "specgan": 2}  # widths
CONFIG = WGANConfig(batch_size=4, critic_steps=1)


def real_waves(count: int = 6) -> Floats:
    return np.stack([sine(RATE, RATE, 300 + 50 * k) for k in range(count)])


def trained(name: str, *, seed: int = 0, steps: int = 2, **changes: Any) -> TrainedBaseline:
    module = {"dcgan": dcgan, "wavegan": wavegan, "specgan": specgan}[name]
    options = TrainingOptions(seed, minutes=30, steps=steps)
    return module.train(TrainingSounds(real_waves(), RATE, **changes), options, width=SMALL[name], config=CONFIG)


def test_network_sizes_match_the_paper() -> None:
    assert samples_of(16_000) == 16_384
    z, labels, waves = torch.zeros(2, 100), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 1, 16_384)
    assert networks.Generator(100, 4, (16,), wavegan.LAYERS)(z, labels).shape == (2, 1, 16_384)
    assert networks.Critic(4, (16,), wavegan.LAYERS)(waves).shape == (2, 1)
    assert networks.Generator(100, 4, (4, 4), specgan.LAYERS)(z, labels).shape == (2, 1, 128, 128)
    assert networks.Critic(4, (4, 4), specgan.LAYERS)(torch.zeros(2, 1, 128, 128)).shape == (2, 1)
    # Table 3 of the paper with d = 64: dense 100 × 16,384, then kernels of 25 between 1024, 512, 256, 128, 64, 1.
    widths = [1024, 512, 256, 128, 64, 1]
    kernels = sum(25 * a * b + b for a, b in pairwise(widths))
    counted = sum(parameter.numel() for parameter in networks.Generator(100, 64, (16,), wavegan.LAYERS).parameters())
    assert counted == 100 * 16_384 + 16_384 + kernels


@pytest.mark.parametrize("name", NAMES)
def test_baseline_is_reproducible_from_its_seeds(name: str) -> None:
    model, labels = trained(name), [0] * 3
    waves = model(labels, seed=5)
    assert waves.shape == (3, 8192) and waves.dtype == np.float32
    assert np.isfinite(waves).all()
    np.testing.assert_array_equal(model(labels, seed=5), waves)
    assert not np.array_equal(model(labels, seed=6), waves)
    np.testing.assert_array_equal(trained(name)(labels, seed=5), waves)
    assert not np.array_equal(trained(name, seed=1)(labels, seed=5), waves)
    assert not np.array_equal(trained(name, steps=1)(labels, seed=5), waves)
    assert model.progress.steps == 2 and model.progress.samples_seen == 8


@pytest.mark.parametrize("name", NAMES)
def test_baseline_with_labels_generates_another_sound_for_each(name: str) -> None:
    model = trained(name, labels=(0, 1, 2) * 2, seconds=1.5)
    first, second = model([0, 1, 2, 2], seed=5), model([0, 1, 1, 2], seed=5)
    assert first.shape[0] == 4 and 12_288 <= first.shape[1] < 12_288 + 4096  # 1.5 s, and SpecGAN's 32 frames
    np.testing.assert_array_equal(first[[0, 1, 3]], second[[0, 1, 3]])
    assert not np.array_equal(first[2], second[2])  # the same z


@pytest.mark.parametrize(("name", "rate"), [("wavegan", math.nan), ("specgan", RATE / 128), ("dcgan", RATE / 128)])
def test_baseline_states_the_frame_rate_of_its_spectrograms(name: str, rate: float) -> None:
    assert trained(name, steps=1).frame_rate == pytest.approx(rate, nan_ok=True)


def test_specgan_windows_are_as_long_as_in_the_paper() -> None:
    for rate in (16_000, 22_050, 44_100, 48_000):
        assert 0.010 < specgan.framing(rate).n_fft / rate < 0.017


def test_training_leaves_the_global_rng_unchanged() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained("wavegan", steps=1)
    assert torch.equal(torch.rand(1), expected)


class Shift(nn.Module):
    """A generator of points around a learned center for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(2, 2))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return z[:, :2] + self.centers[labels]


@pytest.mark.parametrize("labeled", [False, True])
def test_wgan_gp_moves_a_generator_to_its_data(labeled: bool) -> None:
    centers = torch.tensor([[3.0, -2.0], [-1.0, 2.0]]) if labeled else torch.tensor([[3.0, -2.0]])
    labels = [k % len(centers) for k in range(500)]
    real = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1 + centers[labels]
    config = WGANConfig(batch_size=32, learning_rate=0.02, betas=(0.0, 0.9), nz=2)

    def build() -> tuple[nn.Module, nn.Module]:
        return Shift(), nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, len(centers)))

    options = TrainingOptions(0, minutes=30, steps=200)
    generator, progress = train_wgan_gp(build, real, labels if labeled else [], config, options)
    learned = dict(generator.named_parameters())["centers"].detach()
    for index, center in enumerate(centers):
        assert (learned[index] - center).norm() < 0.5  # they started 3.6 and 2.2 away
    assert progress.samples_seen == 200 * 5 * 32


def test_training_ends_between_two_steps_when_its_time_is_over() -> None:
    model = wavegan.train(TrainingSounds(real_waves(), RATE), TrainingOptions(0, minutes=1e-6), width=2)
    assert model.progress.steps == 0 and model.progress.samples_seen == 64


def test_diverged_training_raises() -> None:
    with pytest.raises(TrainingError, match="loss is nan"):
        broken = TrainingSounds(np.full((4, RATE), np.nan, np.float32), RATE)
        wavegan.train(broken, TrainingOptions(0, minutes=30, steps=1), width=2, config=CONFIG)


@given(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3))
def test_gradient_penalty_of_a_linear_critic(weights: list[float]) -> None:
    linear = nn.Linear(3, 1).double()
    linear.weight.data = torch.tensor([weights], dtype=torch.float64)
    critic = nn.Sequential(linear, nn.Flatten(0))
    real, fake, mix = torch.randn(5, 3).double(), torch.randn(5, 3).double(), torch.rand(5, 1).double()
    penalty = gradient_penalty(critic, real, fake, mix)
    assert penalty.item() == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-6, abs=1e-9)


def test_gradient_penalty_is_measured_between_real_and_fake() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square().sum(dim=1) / 2  # its gradient at x is x

    real, fake = torch.tensor([[1.0, 0.0]]), torch.tensor([[5.0, 0.0]])
    assert gradient_penalty(Square(), real, fake, torch.tensor([[0.25]])).item() == pytest.approx((2 - 1) ** 2)


def test_phase_shuffle_shifts_and_reflects() -> None:
    x = torch.arange(6.0).expand(5, 3, 6)
    moved = networks.shifted(x, torch.tensor([-2, -1, 0, 1, 2]))
    expected = [[2, 3, 4, 5, 4, 3], [1, 2, 3, 4, 5, 4], [0, 1, 2, 3, 4, 5], [1, 0, 1, 2, 3, 4], [2, 1, 0, 1, 2, 3]]
    assert moved[:, 0].tolist() == expected
    assert torch.equal(moved, moved[:, :1].expand_as(moved))  # all channels together


def test_phase_shuffle_draws_every_shift_for_every_sound() -> None:
    torch.manual_seed(0)
    x = torch.arange(12.0).expand(400, 1, 12)
    moved = networks.phase_shuffle(x, 2)
    shifts = 5 - moved[:, 0, 5]
    assert sorted(set(shifts.tolist())) == [-2, -1, 0, 1, 2]
    for row, shift in zip(moved, shifts.int(), strict=True):
        assert torch.equal(row[None], networks.shifted(x[:1], shift[None]))


def test_specgan_spectrograms_are_normalized_and_invertible() -> None:
    stft = specgan.framing(RATE)
    waves = cut_or_pad([sine(8192, RATE, 440 + 300 * k, 0.2 + 0.1 * k) for k in range(4)], 8192)
    logs = specgan.log_magnitudes(waves, stft)
    normalization = specgan.measure_normalization(logs)
    spectrograms = specgan.normalize(logs, normalization)
    assert spectrograms.shape == (4, 1, 128, 64) and np.abs(spectrograms).max() <= 1
    unclipped = (logs - normalization.mean[:, None]) / normalization.deviation[:, None]
    np.testing.assert_allclose(unclipped.std(axis=(0, 2)), 1, atol=1e-3)
    for wave, inverse in zip(waves, specgan.synthesize(spectrograms, normalization, stft), strict=True):
        spectra = [np.abs(np.fft.rfft(sound * np.hanning(8192))) for sound in (wave, inverse)]
        assert np.argmax(spectra[0]) == pytest.approx(np.argmax(spectra[1]), abs=1)
        assert spectra[1].max() == pytest.approx(spectra[0].max(), rel=0.15)


def test_dcgan_measures_its_levels_on_the_sounds() -> None:
    waves = np.stack([sine(8192, RATE, 1000, level) for level in (0.5, 0.25)])
    representation, spectrograms = dcgan.analyze(waves, dcgan.preset(RATE, 1.024))
    assert representation.ceiling_db == pytest.approx(-6, abs=3)
    assert spectrograms.shape == (2, 1, 128, 64)
    assert spectrograms[0].max() > spectrograms[1].max() > 0.5


def test_exact_loss_and_plain_loop_match_the_loss(tiny_dataset: Dataset, tiny_settings: Any) -> None:
    class Linear(nn.Module):
        def forward(self, spectrograms: Tensor) -> Tensor:
            return 2 * spectrograms[:, 0, 0, :1]

    real, fake, labels = torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    loss = speed.exact_loss(Linear(), real, fake, labels, tiny_settings(gradient_penalty=0.5).losses)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-2)) + 0.5 * 4)
    for exact in (True, False):
        assert speed.Plain(tiny_dataset, tiny_settings(), exact=exact).train(2) > 0


def test_speed_counts_operations_and_sounds(
    tiny_dataset: Dataset, tiny_settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(speed, "SHAPES", ((2, 4, 8, 8),))
    settings = tiny_settings()
    measured = speed.measure(tiny_dataset, settings, rounds=1, steps=2, log=print)
    assert all(len(values) == 1 and values[0] > 0 for values in measured["speed"].values())
    # Twice the batch is twice the work, except for work on weights alone.
    twice = speed.Ours(tiny_dataset, settings.with_values(batch_size=8)).flops()
    assert measured["flops"] > 0 and 1.99 * measured["flops"] < twice < 2 * measured["flops"]
    speeds = {speed.OURS: [8.0, 10.0], **{name: [2.0, 5.0] for name in speed.PLAIN}}
    ratios = speed.summary({**measured, "speed": speeds})
    assert [ratios[f"speedup over {name}"] for name in speed.PLAIN] == [3.0, 3.0]
    assert ratios["flops a second"] == pytest.approx(9 / 4 * measured["flops"])
    page.render({"sets": {}, "speed": {"digits": {"machine": "2 cores", **measured}}}, tmp_path)
    text = (tmp_path / "training.md").read_text(encoding="utf-8")
    assert "plain, exact penalties" in text and "bfloat16" in text


@pytest.mark.parametrize("bfloat16", [1e9, 9e9])
def test_page_reports_the_bfloat16_goal_unless_it_is_emulated(bfloat16: float, tmp_path: Path) -> None:
    measured = {
        "machine": "x", "device": "cpu", "threads": 1, "precision": "float32", "steps": 1, "batch_size": 4, "size": 2,
        "shape": [8, 8], "flops": 10**8, "speed": {name: [20.0] for name in (speed.OURS, *speed.PLAIN)},
        "peaks": {"float32": {"2 × 4 × 8 × 8": 4e9}, "bfloat16": {"2 × 4 × 8 × 8": bfloat16}},
    }  # fmt: skip
    page.render({"sets": {}, "speed": {"digits": measured}}, tmp_path)
    text = (tmp_path / "training.md").read_text(encoding="utf-8")
    emulated = bfloat16 < 4e9 / 2
    assert ("| at least 50 % of the bfloat16 peak | 50.0 % | undefined |" in text) == emulated
    assert ("| here: at least 50 % of the float32 peak | 12 % | **not met** |" in text) == emulated
    assert ("runs at 25 % of the speed of the fastest float32 one" in text) == emulated


def test_row_names_have_size_batch_and_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(gpu: bool) -> str:
        return training.sized_name("digits", Namespace(gpu=gpu, size=24, batch=8))

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for available in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert name(True) == "digits, size 24, batch 8" + (", on a GPU" if available else "")
        assert name(False) == "digits, size 24, batch 8"
    defaults = Namespace(gpu=False, size=Settings().model.size, batch=Settings().optim.batch_size, width=None)
    assert training.row_name("ours", defaults) == "ours"
    assert training.row_name("ours", Namespace(**{**vars(defaults), "size": 64})) == "ours, size 64, batch 16"


def figures(frechet: float, coverage: float, accuracy: float | None = None) -> dict[str, list[float]]:
    known = {"accuracy": [accuracy, 0.1, 0.99]} if accuracy is not None else {}
    return {"frechet_distance": [frechet, frechet - 1, frechet + 1], "coverage": [coverage, 0.0, 1.0], **known}


def test_rows_are_merged_and_the_page_reports_losses(tmp_path: Path) -> None:
    record = tmp_path / "training.json"
    conditions = {
        "data": "digits", "test_pattern": "*_0*", "sample_rate": 8000, "seconds": 1.024, "training": 90, "test": 10,
        "labels": 10,
    }  # fmt: skip
    shared = {"embedding": "log-mel statistics", "ceiling": figures(1.0, 0.9, 0.98)}
    settings = {"batch_size": 16, "generator_parameters": 1000}
    row = {"minutes": 10, "seed": 0, "n": 10, "machine": "2 cores", "samples_seen": 600, "seconds": 600.0, "steps": 7}
    row |= {"settings": settings}
    for key, measured in {
        "wavegan": figures(30.0, 0.1),
        "ours": figures(9.0, 0.05, 0.9),
        "specgan": figures(20, 0.05),
    }.items():
        training.add_row(record, conditions, shared, key, {**row, "name": key, "figures": measured})
    training.add_row(
        record,
        conditions,
        shared,
        "wavegan",
        {**row, "name": "wavegan", "figures": figures(50.0, 0.2), "seconds": 900.0},
    )
    text = (tmp_path / "training.md").read_text(encoding="utf-8")
    assert list(json.loads(record.read_text(encoding="utf-8"))["sets"]["digits"]["rows"]) == [
        "wavegan",
        "ours",
        "specgan",
    ]
    assert "| Fréchet distance ↓ | 1.00 (0.000 – 2.00) | 9.00 (8.00 – 10.0) | 20.0 (19.0 – 21.0) | 50.0" in text
    assert "- wavegan: of 2 metrics, ours is better in 1 (Fréchet distance); **worse** in 1 (Coverage)." in text
    assert "- specgan: of 2 metrics, ours is better in 1 (Fréchet distance); equal in 1 (Coverage)." in text
    assert "unequal times" in text  # 15 minutes for one, 10 for the others
    with pytest.raises(training.DataError, match="other conditions"):
        training.add_row(record, {**conditions, "sample_rate": 16000}, shared, "ours", row)


def test_baselines_are_trained_scored_and_kept(tmp_path: Path, sounds_folder: Path, capsys: Any) -> None:
    command = [
        "--data", str(sounds_folder), "--test-pattern", "*[01].wav", "--minutes", "0.001", "--only", "wavegan",
        "--width", "2", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert training.main(command) == 0, capsys.readouterr().err
    (folder,) = (tmp_path / "work" / sounds_folder.name).glob("wavegan*")
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert training.main(command) == 0, capsys.readouterr().err
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before  # scored again, not trained
    figures = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["sets"][sounds_folder.name]
    row = figures["rows"]["wavegan, width 2"]
    assert row["n"] == figures["conditions"]["test"] == 6
    assert "accuracy" in figures["ceiling"] and "accuracy" not in row["figures"]  # it has no labels
    assert "No training of ours is on record" in (tmp_path / "out" / "training.md").read_text(encoding="utf-8")
    assert training.main([*command[:3], "nothing*", *command[4:]]) == 2
    assert "no sound in it matches" in capsys.readouterr().err
