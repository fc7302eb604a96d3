"""The baselines do what their papers say, learn, and are the same again; their benchmark tells what it measured."""

from __future__ import annotations

import json
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

from benchmarks.baselines import NAMES, dcgan, specgan, wavegan
from benchmarks.baselines.wgan_gp import Budget, Game, Trained, fitted, gradient_penalty, play, samples_of
from benchmarks.training import __main__ as training
from benchmarks.training import pace
from benchmarks.training import page as training_page
from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import Settings

Floats = NDArray[np.float32]
RATE = 8000  # Hz; sounds are 8,192 samples
SMALL: dict[str, int] = {"dcgan": 2, "wavegan": 2, "specgan": 2}  # widths
FEW = Game(batch=4, critic_steps=1)


def real_waves(count: int = 6) -> Floats:
    return np.stack([sine(RATE, RATE, 300 + 50 * k) for k in range(count)])


def trained(name: str, *, seed: int = 0, steps: int = 2) -> Trained:
    module = {"dcgan": dcgan, "wavegan": wavegan, "specgan": specgan}[name]
    return module.train(real_waves(), RATE, minutes=1, seed=seed, width=SMALL[name], steps=steps, game=FEW)


def test_sizes_are_those_of_the_paper() -> None:
    assert samples_of(16_000) == 16_384
    z, waves = torch.zeros(2, 100), torch.zeros(2, 1, 16_384)
    assert wavegan.Generator(100, 4, 16)(z).shape == (2, 1, 16_384)
    assert wavegan.Critic(4, 16)(waves).shape == (2,)
    assert specgan.Generator(100, 4, 128, 128)(z).shape == (2, 1, 128, 128)
    assert specgan.Critic(4, 128, 128)(torch.zeros(2, 1, 128, 128)).shape == (2,)
    # Table 3 of the paper with d = 64: dense 100 × 16,384, then kernels of 25 between 1024, 512, 256, 128, 64, 1.
    widths = [1024, 512, 256, 128, 64, 1]
    kernels = sum(25 * a * b + b for a, b in pairwise(widths))
    counted = sum(parameter.numel() for parameter in wavegan.Generator(100, 64, 16).parameters())
    assert counted == 100 * 16_384 + 16_384 + kernels


@pytest.mark.parametrize("name", NAMES)
def test_makes_sounds_that_its_seeds_decide(name: str) -> None:
    model = trained(name)
    waves = model(3, seed=5)
    assert waves.shape == (3, 8192) and waves.dtype == np.float32
    assert np.isfinite(waves).all()
    np.testing.assert_array_equal(model(3, seed=5), waves)
    assert not np.array_equal(model(3, seed=6), waves)
    np.testing.assert_array_equal(trained(name)(3, seed=5), waves)
    assert not np.array_equal(trained(name, seed=1)(3, seed=5), waves)
    assert not np.array_equal(trained(name, steps=1)(3, seed=5), waves)
    assert model.progress.steps == 2 and model.progress.samples_seen == 8


def test_leaves_no_trace_in_the_chance_of_others() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained("wavegan", steps=1)
    assert torch.equal(torch.rand(1), expected)


class Shift(nn.Module):
    """A generator of points around a place that it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(2))

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :2] + self.place


def test_the_game_brings_a_generator_to_its_data() -> None:
    real = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1 + torch.tensor([3.0, -2.0])
    rules = Game(batch=32, rate=0.02, betas=(0.0, 0.9), nz=2)

    def build() -> tuple[nn.Module, nn.Module]:
        critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))
        return Shift(), critic

    generator, progress = play(build, real, rules, Budget(1, steps=200), seed=0, device=torch.device("cpu"))
    place = dict(generator.named_parameters())["place"].detach()
    assert (place - torch.tensor([3.0, -2.0])).norm() < 0.4  # it started 3.6 away
    assert progress.samples_seen == 200 * 5 * 32


def test_time_ends_a_training_between_two_steps() -> None:
    model = wavegan.train(real_waves(), RATE, minutes=1e-6, seed=0, width=2)
    assert model.progress.steps == 0 and model.progress.samples_seen == 64


def test_a_broken_training_says_so() -> None:
    with pytest.raises(TrainingError, match="loss is nan"):
        wavegan.train(np.full((4, RATE), np.nan, np.float32), RATE, minutes=1, seed=0, width=2, steps=1, game=FEW)


@given(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3))
def test_gradient_penalty_of_a_linear_critic(weights: list[float]) -> None:
    linear = nn.Linear(3, 1).double()
    linear.weight.data = torch.tensor([weights], dtype=torch.float64)
    critic = nn.Sequential(linear, nn.Flatten(0))
    real, made, mix = torch.randn(5, 3).double(), torch.randn(5, 3).double(), torch.rand(5, 1).double()
    penalty = gradient_penalty(critic, real, made, mix)
    assert penalty.item() == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-6, abs=1e-9)


def test_gradient_penalty_is_measured_between_real_and_made() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square().sum(dim=1) / 2  # its gradient is where it is

    real, made = torch.tensor([[1.0, 0.0]]), torch.tensor([[5.0, 0.0]])
    assert gradient_penalty(Square(), real, made, torch.tensor([[0.25]])).item() == pytest.approx((2 - 1) ** 2)


def test_phase_shuffle_shifts_and_reflects() -> None:
    x = torch.arange(6.0).expand(5, 3, 6)
    moved = wavegan.shifted(x, torch.tensor([-2, -1, 0, 1, 2]))
    expected = [[2, 3, 4, 5, 4, 3], [1, 2, 3, 4, 5, 4], [0, 1, 2, 3, 4, 5], [1, 0, 1, 2, 3, 4], [2, 1, 0, 1, 2, 3]]
    assert moved[:, 0].tolist() == expected
    assert torch.equal(moved, moved[:, :1].expand_as(moved))  # all channels alike


def test_phase_shuffle_draws_every_shift_for_every_sound() -> None:
    torch.manual_seed(0)
    x = torch.arange(12.0).expand(400, 1, 12)
    moved = wavegan.phase_shuffle(x, 2)
    shifts = 5 - moved[:, 0, 5]
    assert sorted(set(shifts.tolist())) == [-2, -1, 0, 1, 2]
    for row, shift in zip(moved, shifts.int(), strict=True):
        assert torch.equal(row[None], wavegan.shifted(x[:1], shift[None]))


def test_specgan_paints_standard_pictures_that_become_the_sound_again() -> None:
    waves = fitted([sine(8192, RATE, 440 + 300 * k, 0.2 + 0.1 * k) for k in range(4)], 8192)
    stft = specgan.STFT(256, 128)
    logs = specgan.log_magnitudes(waves, stft)
    standard = specgan.standard_of(logs)
    pictures = specgan.painted(logs, standard)
    assert pictures.shape == (4, 1, 128, 64) and np.abs(pictures).max() <= 1
    unclipped = (logs - standard.mean[:, None]) / standard.deviation[:, None]
    np.testing.assert_allclose(unclipped.std(axis=(0, 2)), 1, atol=1e-3)
    for wave, back in zip(waves, specgan.sounded(pictures, standard, stft), strict=True):
        spectra = [np.abs(np.fft.rfft(one * np.hanning(8192))) for one in (wave, back)]
        assert np.argmax(spectra[0]) == pytest.approx(np.argmax(spectra[1]), abs=1)
        assert spectra[1].max() == pytest.approx(spectra[0].max(), rel=0.15)


def test_dcgan_measures_its_levels_on_the_sounds() -> None:
    waves = np.stack([sine(8192, RATE, 1000, level) for level in (0.5, 0.25)])
    representation, spectrograms = dcgan.painted(waves, dcgan.preset(RATE, 1.024))
    assert representation.ceiling_db == pytest.approx(-6, abs=3)
    assert spectrograms.shape == (2, 1, 128, 64)
    assert spectrograms[0].max() > spectrograms[1].max() > 0.5


def test_exact_loss_and_plain_loop_are_those_of_the_objective(tiny_dataset: Dataset, tiny_settings: Any) -> None:
    class Linear(nn.Module):
        def forward(self, spectrograms: Tensor) -> Tensor:
            return 2 * spectrograms[:, 0, 0, :1]

    real, made, labels = torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    loss = pace.exact_loss(Linear(), real, made, labels, tiny_settings(gradient_penalty=0.5)).loss
    assert loss.item() == pytest.approx(np.log1p(np.exp(-2)) + 0.5 * 4)
    for exact in (True, False):
        assert pace.Plain(tiny_dataset, tiny_settings(), exact=exact).train(2) > 0


def test_pace_counts_what_it_measures(tiny_dataset: Dataset, tiny_settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(pace, "SHAPES", ((2, 4, 8, 8),))
    settings = tiny_settings()
    found = pace.measure(tiny_dataset, settings, rounds=1, steps=2)
    assert all(len(values) == 1 and values[0] > 0 for values in found["pace"].values())
    # Twice the batch is twice the work, but for what is made of weights alone.
    twice = pace.Ours(tiny_dataset, settings.with_values(batch_size=8)).flops()
    assert found["flops"] > 0 and 1.99 * found["flops"] < twice < 2 * found["flops"]
    told = pace.summary({**found, "pace": {pace.OURS: [8.0, 10.0], **{name: [2.0, 5.0] for name in pace.PLAIN}}})
    assert [told[f"faster than {name}"] for name in pace.PLAIN] == [3.0, 3.0]
    assert told["flops a second"] == pytest.approx(9 / 4 * found["flops"])
    page = training_page.speed({"digits": {"machine": "2 cores", **found}})
    assert "plain, exact penalties" in page and "bfloat16" in page


def test_a_row_tells_size_and_batch_and_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(gpu: bool) -> str:
        return training.sized_name("digits", Namespace(gpu=gpu, size=24, batch=8))

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert name(True) == "digits, size 24, batch 8" + (", on a GPU" if there else "")
        assert name(False) == "digits, size 24, batch 8"
    usual = Namespace(gpu=False, size=Settings().model.size, batch=Settings().optim.batch_size, width=None)
    assert training.row_name("ours", usual) == "ours"
    assert training.row_name("ours", Namespace(**{**vars(usual), "size": 64})) == "ours, size 64, batch 16"


def figures(frechet: float, coverage: float, accuracy: float | None = None) -> dict[str, list[float]]:
    known = {"accuracy": [accuracy, 0.1, 0.99]} if accuracy is not None else {}
    return {"frechet": [frechet, frechet - 1, frechet + 1], "coverage": [coverage, 0.0, 1.0], **known}


def test_rows_are_merged_and_the_page_tells_who_lost(tmp_path: Path) -> None:
    record = tmp_path / "training.json"
    conditions = {
        "data": "digits", "test_pattern": "*_0*", "sample_rate": 8000, "seconds": 1.024, "training": 90, "test": 10,
        "labels": 10,
    }  # fmt: skip
    judges = {"embedding": "log-mel statistics", "ceiling": figures(1.0, 0.9, 0.98)}
    about = {"batch": 16, "generator_parameters": 1000}
    row = {"minutes": 10, "seed": 0, "n": 10, "machine": "2 cores", "samples_seen": 600, "seconds": 600.0, "steps": 7}
    row |= {"settings": about}
    for key, measured in {
        "wavegan": figures(30.0, 0.1),
        "ours": figures(9.0, 0.05, 0.9),
        "specgan": figures(20, 0.05),
    }.items():
        training.add_row(record, conditions, judges, key, {**row, "name": key, "figures": measured})
    training.add_row(
        record,
        conditions,
        judges,
        "wavegan",
        {**row, "name": "wavegan", "figures": figures(50.0, 0.2), "seconds": 900.0},
    )
    page = (tmp_path / "training.md").read_text(encoding="utf-8")
    assert list(json.loads(record.read_text(encoding="utf-8"))["sets"]["digits"]["rows"]) == [
        "wavegan",
        "ours",
        "specgan",
    ]
    assert "| Fréchet distance ↓ | 1.00 (0.000 – 2.00) | 9.00 (8.00 – 10.0) | 20.0 (19.0 – 21.0) | 50.0" in page
    assert "- wavegan: of 2 figures, ours is better in 1 (Fréchet distance); **worse** in 1 (Coverage)." in page
    assert "- specgan: of 2 figures, ours is better in 1 (Fréchet distance); equal in 1 (Coverage)." in page
    assert "unequal times" in page  # 15 minutes for one, 10 for the others
    with pytest.raises(training.DataError, match="other conditions"):
        training.add_row(record, {**conditions, "sample_rate": 16000}, judges, "ours", row)


def test_baselines_are_trained_judged_and_kept(tmp_path: Path, sounds_folder: Path, capsys: Any) -> None:
    command = [
        "--data", str(sounds_folder), "--test-pattern", "*[01].wav", "--minutes", "0.001", "--only", "wavegan",
        "--width", "2", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert training.main(command) == 0, capsys.readouterr().err
    (made,) = (tmp_path / "work" / sounds_folder.name).glob("wavegan*")
    before = {file.name: file.stat().st_mtime_ns for file in made.iterdir()}
    assert training.main(command) == 0, capsys.readouterr().err
    assert {file.name: file.stat().st_mtime_ns for file in made.iterdir()} == before  # judged again, not trained
    found = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["sets"][sounds_folder.name]
    row = found["rows"]["wavegan, width 2"]
    assert row["n"] == found["conditions"]["test"] == 6
    assert "accuracy" in found["ceiling"] and "accuracy" not in row["figures"]  # nobody asked it for a label
    assert "Ours has not been trained here yet" in (tmp_path / "out" / "training.md").read_text(encoding="utf-8")
    assert training.main([*command[:3], "nothing*", *command[4:]]) == 2
    assert "no sound in it fits" in capsys.readouterr().err
