"""The training loop: its batches, limits, files, and refusals."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, chain, count, pairwise, permutations, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import TinySettings
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from training_folder import NAME, assert_same_bits, log_of, tensors

from soundgan import audio
from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.settings import check_settings
from soundgan.training import loop, step
from soundgan.training.loop import TrainingResult, train
from soundgan.training.losses.adversarial import select_logits
from soundgan.training.monitor import monitor
from soundgan.training.monitor.report import REPORT
from soundgan.training.monitor.snapshot import REAL, real_spectrograms, save_snapshot
from soundgan.training.pipeline import train_model_folder
from soundgan.training.runtime.rng import PairedSampler, StepRNG
from soundgan.training.state.checkpoint import load_checkpoint, save_checkpoint
from soundgan.training.state.train_state import GeneratorInputs, Progress, TrainState, init_state


@pytest.fixture(autouse=True)
def fast_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log every step, and write no snapshots, except in tests of these."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(monitor, "save_snapshot", lambda *args: None)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that advances by a second whenever the loop reads it."""
    seconds = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    yield


# Batches


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    halves=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    seed=st.integers(0, 9),
)
def test_every_epoch_pairs_all_recordings_for_any_batch_sizes(labels: list[int], halves: list[int], seed: int) -> None:
    label_of, pairs, found = np.array(labels), PairedSampler(seed, np.array(labels)), list[list[int]]()
    for half in halves:
        found += pairs(2 * len(found), 2 * half).view(-1, 2).tolist()
    assert found == PairedSampler(seed, label_of)(0, 2 * len(found)).view(-1, 2).tolist()
    count = np.bincount(label_of)
    for one, other in found:
        assert label_of[one] == label_of[other]
        assert (one == other) == (count[label_of[one]] == 1), "only a single recording is paired with itself"
    length = sum((count + 1) // 2)
    for start in range(0, len(found) - length + 1, length):
        uses = Counter(chain.from_iterable(found[start : start + length]))
        assert set(uses) == set(range(len(labels)))
        twice = Counter(labels[recording] for recording, times in uses.items() if times == 2)
        assert max(uses.values()) <= 2
        assert twice == {label: 1 for label in range(len(count)) if count[label] % 2}


def test_epochs_and_seeds_have_different_orders() -> None:
    passes = [tuple(PairedSampler(seed, np.zeros(24, int))(24 * k, 24).tolist()) for seed in (0, 1) for k in range(5)]
    assert len(set(passes)) == len(passes)


def test_every_pair_of_a_label_occurs() -> None:
    pairs = PairedSampler(0, np.array([0, 1, 1, 1, 0]))
    found = {tuple(pair) for step in range(50) for pair in pairs(6 * step, 6).view(-1, 2).tolist()}
    assert found == {(0, 4), (4, 0), *permutations((1, 2, 3), 2)}


def test_every_recording_is_trained_on_once_per_epoch(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_batches: list[bytes] = []
    original = step.discriminator_loss

    def watching(discriminator: Any, real: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        real_batches.extend(np.ascontiguousarray(spectrogram).tobytes() for spectrogram in real.numpy())
        return original(discriminator, real, *others, **kwargs)

    monkeypatch.setattr(step, "discriminator_loss", watching)
    recordings = sorted(np.array(spectrogram).tobytes() for spectrogram in tiny_dataset.spectrograms)
    train(tiny_dataset, tiny_settings(max_samples=20), tmp_path)
    train(tiny_dataset, tiny_settings(max_samples=48), tmp_path)
    assert sorted(real_batches[:24]) == sorted(real_batches[24:]) == recordings


def test_both_networks_train_on_the_same_fake_batch(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesized: list[torch.Tensor] = []
    calls: list[tuple[torch.Tensor, ...]] = []
    originals = GeneratorInputs.synthesize_from_w, step.discriminator_loss, step.generator_loss

    def spectrogram(
        generator_inputs: GeneratorInputs, generator: Any, w: torch.Tensor, *rest: Any, **kw: Any
    ) -> torch.Tensor:
        synthesized.append(originals[0](generator_inputs, generator, w, *rest, **kw))
        return synthesized[-1]

    def for_discriminator(
        discriminator: Any, real: torch.Tensor, fake: torch.Tensor, labels: torch.Tensor, *rest: Any, **kw: Any
    ):
        found = originals[1](discriminator, real, fake, labels, *rest, **kw)
        with torch.no_grad():
            logits_before = select_logits(discriminator(real), labels)
        calls.append((fake, labels, real, logits_before))
        return found

    def for_generator(
        discriminator: Any, real_logits: torch.Tensor, fake: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        previous, labels_before, real, logits_before = calls[-1]
        assert torch.equal(previous, fake.detach()) and torch.equal(labels_before, labels)
        torch.testing.assert_close(real_logits, logits_before)  # from before the update of the discriminator
        with torch.no_grad():
            assert not torch.equal(select_logits(discriminator(real), labels), logits_before)
        return originals[2](discriminator, real_logits, fake, labels)

    monkeypatch.setattr(GeneratorInputs, "synthesize_from_w", spectrogram)
    monkeypatch.setattr(step, "discriminator_loss", for_discriminator)
    monkeypatch.setattr(step, "generator_loss", for_generator)
    train(tiny_dataset, tiny_settings(max_samples=12, augment_p=0.0), tmp_path)
    assert len(calls) == 3
    steps = [fake for fake in synthesized if fake.requires_grad]
    assert len(steps) == 3
    for fake, (previous, labels, real, _) in zip(steps, calls, strict=True):
        assert torch.equal(fake.detach(), previous)
        assert torch.equal(labels[::2], labels[1::2])
        for one, label in zip(real, labels, strict=True):
            of_label = tiny_dataset.spectrograms[np.array(tiny_dataset.labels) == label.item()]
            assert any(np.array_equal(one.numpy(), recording) for recording in of_label)


def test_instance_noise_decays_to_nothing(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(initial_noise_std=0.4, noise_decay_rate=0.5)
    measured, pairs = list[float](), PairedSampler(settings.run.seed, np.array(tiny_dataset.labels))
    original = step.discriminator_loss

    def watching(discriminator: Any, real: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        index = pairs(4 * len(measured), 4)
        measured.append((real - torch.tensor(tiny_dataset.spectrograms[index.numpy()])).std().item())
        return original(discriminator, real, *others, **kwargs)

    monkeypatch.setattr(step, "discriminator_loss", watching)
    train(tiny_dataset, settings, tmp_path)
    assert measured[:8] == pytest.approx([0.4 * 0.5**k for k in range(8)], rel=0.05)
    assert measured[-2:] == [0, 0]


def test_negligible_instance_noise_is_not_drawn(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []  # noise of the shape of spectrograms, in every step
    original = StepRNG.normal

    def watching(rng: StepRNG, rows: int, *shape: int) -> torch.Tensor:
        drawn[-1] += len(shape) == 3
        return original(rng, rows, *shape)

    def beginning(pairs: PairedSampler, *args: int) -> torch.Tensor:
        drawn.append(0)
        return next_pairs(pairs, *args)

    next_pairs = PairedSampler.__call__
    monkeypatch.setattr(StepRNG, "normal", watching)
    monkeypatch.setattr(PairedSampler, "__call__", beginning)
    train(tiny_dataset, tiny_settings(initial_noise_std=0.4, noise_decay_rate=0.25), tmp_path)
    noisy = sum(0.4 * 0.25**k > step.MIN_NOISE_STD for k in range(16))
    assert 0 < noisy < 16
    # Two are for the penalty, of real and fake spectrograms; two are instance noise.
    assert drawn == [4] * noisy + [2] * (16 - noisy)


def test_each_network_is_updated_by_its_own_loss_only(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"discriminator": step.discriminator_loss, "generator": step.generator_loss}
    discriminators: list[torch.nn.Module] = []
    states: list[tuple[list[torch.Tensor], list[torch.Tensor | None]]] = []

    def state(network: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        parameters = list(network.parameters())
        return [p.detach().clone() for p in parameters], [
            None if p.grad is None else p.grad.clone() for p in parameters
        ]

    def for_discriminator(
        discriminator: torch.nn.Module, real: torch.Tensor, fake: torch.Tensor, *rest: Any, **kw: Any
    ):
        assert not fake.requires_grad
        assert all(p.requires_grad for p in discriminator.parameters())
        return losses["discriminator"](discriminator, real, fake, *rest, **kw)

    def for_generator(discriminator: torch.nn.Module, real_logits: torch.Tensor, fake: torch.Tensor, *rest: Any):
        assert fake.requires_grad and not real_logits.requires_grad
        discriminators.append(discriminator)
        states.append(state(discriminator))
        return losses["generator"](discriminator, real_logits, fake, *rest)

    average = TrainState.update_ema

    def after_the_step(train_state: TrainState, decay: float) -> None:
        for before, now in zip(states[-1], state(discriminators[-1]), strict=True):
            for one, other in zip(before, now, strict=True):
                assert one is not None
                assert other is not None
                assert torch.equal(one, other)
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in train_state.generator.parameters())
        average(train_state, decay)

    monkeypatch.setattr(step, "discriminator_loss", for_discriminator)
    monkeypatch.setattr(step, "generator_loss", for_generator)
    monkeypatch.setattr(TrainState, "update_ema", after_the_step)
    train(tiny_dataset, tiny_settings(max_samples=12), tmp_path)
    assert len(states) == 3


# Budgets


@pytest.mark.parametrize(
    ("budget", "samples_seen"),
    [
        ({"max_samples": 30}, 32),  # whole batches
        ({"max_samples": None, "num_epochs": 2}, 48),
        ({"max_samples": 12, "num_epochs": 2}, 12),
        ({"max_samples": 400, "num_epochs": 1}, 24),
    ],
)
def test_training_stops_at_the_first_limit(
    budget: dict[str, int], samples_seen: int, tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    assert train(tiny_dataset, tiny_settings(**budget), tmp_path).progress.samples_seen == samples_seen


def test_minutes_count_over_all_restarts(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None
) -> None:
    first = train(tiny_dataset, tiny_settings(max_samples=None, minutes=8 / 60), tmp_path).progress
    assert first.seconds == pytest.approx(8, abs=1)
    second = train(tiny_dataset, tiny_settings(max_samples=None, minutes=12 / 60), tmp_path).progress
    assert second.seconds == pytest.approx(12, abs=1)
    assert first.steps < second.steps < 2 * first.steps
    again = train(tiny_dataset, tiny_settings(max_samples=None, minutes=12 / 60), tmp_path).progress
    assert again == second


def test_progress_is_reported_up_to_the_end(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None
) -> None:
    reports: list[monitor.ProgressReport] = []
    train(tiny_dataset, tiny_settings(max_samples=32), tmp_path, reports.append)
    assert [report.samples_seen for report in reports] == list(range(4, 36, 4))
    assert [report.done for report in reports] == [k / 8 for k in range(1, 9)]
    assert reports[-1].seconds_left == 0
    assert all(before.seconds_left > after.seconds_left for before, after in pairwise(reports))
    assert reports[3].sounds_per_second == pytest.approx(4)


def test_reported_speed_is_that_of_the_latest_reports(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = accumulate(chain([1.0] * 20, repeat(4.0)))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(monitor, "SPEED_REPORTS", 3)
    reports: list[monitor.ProgressReport] = []
    train(tiny_dataset, tiny_settings(max_samples=160), tmp_path, reports.append)
    assert [reports[index].sounds_per_second for index in (9, -1)] == pytest.approx([4, 1])


def test_progress_reports_are_rate_limited_except_the_last(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "REPORT_INTERVAL", 3)
    reports: list[monitor.ProgressReport] = []
    train(tiny_dataset, tiny_settings(max_samples=32), tmp_path, reports.append)
    assert [report.samples_seen for report in reports] == [4, 16, 28, 32]
    assert reports[-1].done == 1


def test_checkpoints_are_periodic_with_grid_and_sounds(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "save_snapshot", save_snapshot)
    train(tiny_dataset, tiny_settings(max_samples=32, snapshot_minutes=4.5 / 60), tmp_path)
    snapshots = tmp_path / "snapshots"
    pictures = sorted(snapshots.glob("*.png"))
    assert len(pictures) >= 2
    assert pictures[-1].stem == "000000032"
    rep = tiny_dataset.representation
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width >= 12 * rep.frames
            assert image.height >= 3 * rep.bands
        sounds = sorted((snapshots / picture.stem).iterdir())
        assert [sound.name for sound in sounds] == ["kick.wav", "noise.wav", "tone.wav"]
        for sound in sounds:
            wave, rate = audio.read(sound)
            assert rate == rep.sample_rate
            assert len(wave) == rep.samples
            assert audio.peak_db(wave) == pytest.approx(-1, abs=0.01)


# Failures


def test_overflowing_learning_rates_raise_before_anything_is_saved(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    # The weights are still finite here, but the optimizer's moments are not: the next sitting would be lost.
    with pytest.raises(TrainingError, match=r"diverged.*lr_G and lr_D"):
        train(tiny_dataset, tiny_settings(lr_G=1, lr_D=1), tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("samples_seen", "deaf", "collapses"),
    [
        (20_000, ["dense", "harmonics.to_pitch", "over_bands.dense", "over_frames.dense"], True),
        (20_000, ["to_style.0"], True),
        (400, ["to_style.0"], False),
    ],
)
def test_mode_collapse_raises_after_enough_samples(
    samples_seen: int,
    deaf: list[str],
    collapses: bool,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    tmp_path: Path,
) -> None:
    settings = tiny_settings(max_samples=samples_seen + 8, lr_G=1e-9)
    train(tiny_dataset, settings.with_values(max_samples=4), tmp_path)
    with safe_open(tmp_path / NAME, framework="pt") as file:
        training_config = json.loads(file.metadata()["training_config"])
    train_state = init_state(tiny_dataset, settings, torch.device("cpu"))
    load_checkpoint(tmp_path / NAME, train_state)
    with torch.no_grad():
        for network in (train_state.generator, train_state.generator_ema):
            for name in deaf:
                network.get_submodule(name).weight.zero_()  # type: ignore[union-attr, operator]
    save_checkpoint(tmp_path / NAME, train_state, Progress(samples_seen, samples_seen // 4, 1.0), training_config)
    good = (tmp_path / NAME).read_bytes()
    if collapses:
        with pytest.raises(TrainingError, match=r"mode collapse.*20008 samples.*penalty.*lr_G"):
            train(tiny_dataset, settings, tmp_path)
        assert (tmp_path / NAME).read_bytes() == good
        assert "Training stopped with an error: mode collapse" in (tmp_path / REPORT).read_text(encoding="utf-8")
    else:
        assert train(tiny_dataset, settings, tmp_path).progress.samples_seen == samples_seen + 8


def test_older_checkpoint_resumes_with_defaults_of_new_settings(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    settings = tiny_settings(max_samples=4)
    train(tiny_dataset, settings, tmp_path)
    with safe_open(tmp_path / NAME, framework="pt") as file:
        training_config = json.loads(file.metadata()["training_config"])
    train_state = init_state(tiny_dataset, settings, torch.device("cpu"))
    progress = load_checkpoint(tmp_path / NAME, train_state)
    del training_config["settings"]["spectrogram"]["window"], training_config["settings"]["losses"]
    save_checkpoint(tmp_path / NAME, train_state, progress, training_config)
    further = settings.with_values(max_samples=8)
    with pytest.raises(TrainingError, match="was trained with window = hann, now it is gaussian"):
        train(tiny_dataset, further.with_values(window="gaussian"), tmp_path)
    assert train(tiny_dataset, further, tmp_path).progress.samples_seen == 8


@pytest.mark.parametrize("inside", ["model", "tone/deep/model", "."])
def test_saveroot_inside_the_data_is_rejected(inside: str, sounds_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sounds_folder)
    for saveroot in (sounds_folder / inside, link / inside):
        with pytest.raises(TrainingError, match="is inside the data folder"):
            train_model_folder(check_settings({"dataroot": str(sounds_folder), "saveroot": str(saveroot)}))
    assert sorted(path.name for path in sounds_folder.iterdir()) == ["kick", "noise", "tone"]


def test_ema_lags_behind_the_generator(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    def distance(ema: float) -> float:
        train(tiny_dataset, tiny_settings(max_samples=32, ema_rampup=ema), tmp_path / str(ema))
        found = tensors(tmp_path / str(ema))
        return (found["generator_ema/dense.weight"] - found["generator/dense.weight"]).abs().mean().item()

    distances = [distance(ema) for ema in (0.01, 0.5, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_discriminator_learns_to_separate_real_from_fake(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    train(tiny_dataset, tiny_settings(max_samples=128, lr_G=1e-9), tmp_path)
    log = log_of(tmp_path)
    assert np.mean([line["loss_D"] for line in log[-5:]]) < 0.5 * log[0]["loss_D"]
    assert np.mean([line["d_accuracy"] for line in log[-5:]]) == 1


@pytest.mark.parametrize(
    "changes", [{"nc": 3}, {"network": "dcgan"}, {"network": "dcgan", "nc": 3}, {"precision": "bfloat16"}]
)
def test_every_kind_of_network_trains_and_resumes(
    changes: dict[str, Any], tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    for sounds in (8, 16):
        outcome = train(tiny_dataset, tiny_settings(max_samples=sounds, **changes), tmp_path / "sittings")
    train(tiny_dataset, tiny_settings(max_samples=16, **changes), tmp_path / "one")
    assert_same_bits(tmp_path / "sittings", tmp_path / "one")
    with torch.no_grad():
        generator_inputs = GeneratorInputs(tiny_settings(**changes).model.nz, tiny_dataset.representation)
        rng = StepRNG(0, 0, torch.device("cpu"))
        spectrograms = generator_inputs.generate(outcome.generator, torch.tensor([0, 1]), rng)
    assert spectrograms.shape == (2, changes.get("nc", 1), *tiny_dataset.representation.shape)


def test_training_frees_its_memory_at_the_end(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[weakref.ref[step.TrainStep]] = []

    def making(*args: Any) -> step.TrainStep:
        one = step.TrainStep(*args)
        steps.append(weakref.ref(one))
        return one

    monkeypatch.setattr(loop, "TrainStep", making)
    gc.collect()
    gc.disable()  # so that a circle of references would stay
    try:
        train(tiny_dataset, tiny_settings(max_samples=8), tmp_path)
        assert [one() for one in steps] == [None]
    finally:
        gc.enable()


def test_training_in_another_thread_keeps_signal_handlers(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    outcomes: list[TrainingResult] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(train(tiny_dataset, tiny_settings(max_samples=8), tmp_path))
    )
    thread.start()
    thread.join()
    assert outcomes[0].progress.samples_seen == 8


def test_unlabeled_snapshot_rows_have_different_recordings(tiny_dataset: Dataset) -> None:
    plain = replace(tiny_dataset, label_names=(), labels=np.zeros_like(tiny_dataset.labels))
    rows = [real_spectrograms(plain, 0, row) for row in (0, 1, 0)]
    assert all(len(row) == REAL for row in rows)
    assert np.array_equal(rows[0], rows[2]) and not np.array_equal(rows[0], rows[1])
