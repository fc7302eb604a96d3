"""Setup of a training: fine-tuning starts from a pretrained model, and is resumed to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_types import TinySettings
from safetensors.torch import load_file
from training_folder import assert_same_bits, tensors

from soundgan.data.dataset import Dataset, prepare
from soundgan.errors import TrainingError
from soundgan.model_folder import DISCRIMINATOR, WEIGHTS
from soundgan.settings import Settings
from soundgan.training.loop import train
from soundgan.training.runtime.distributed import SINGLE_PROCESS
from soundgan.training.setup import FROZEN, TrainingSetup, setup_training
from soundgan.training.state.checkpoint import CHECKPOINT
from soundgan.training.state.pretrained import find_pretrained


@pytest.fixture
def few_sounds(fine_tuning_settings: TinySettings, tmp_path: Path) -> Dataset:
    settings = fine_tuning_settings()
    pretrained = find_pretrained(settings.run.init_from, tmp_path / "none")
    assert pretrained is not None
    settings, base = pretrained.adopt(settings), pretrained.config.representation
    return prepare(Path(settings.data.dataroot), settings.data, settings.spectrogram, tmp_path / "cache", base=base)


@pytest.fixture
def started(few_sounds: Dataset, fine_tuning_settings: TinySettings, tmp_path: Path) -> TrainingSetup:
    return setup_training(few_sounds, fine_tuning_settings(), tmp_path / "started", SINGLE_PROCESS)


def test_fine_tuning_starts_from_the_stored_networks(started: TrainingSetup, pretrained_folder: Path) -> None:
    state = started.train_state
    stored = load_file(pretrained_folder / WEIGHTS), load_file(pretrained_folder / DISCRIMINATOR)
    for name in ("dense.weight", "to_style.0.weight", "to_patches.kernel"):
        for generator in (state.generator, state.generator_ema):
            assert torch.equal(generator.state_dict()[name], stored[0][f"generator.{name}"].float())
    for name in ("dense.weight", "stages.2.first.weight", "fc_out.bias"):
        assert torch.equal(state.discriminator.state_dict()[name], stored[1][name].float())
    assert started.settings.model.size == 8 and started.progress.samples_seen == 0


def test_lower_layers_of_the_discriminator_are_frozen(
    few_sounds: Dataset, fine_tuning_settings: TinySettings, pretrained_folder: Path, tmp_path: Path
) -> None:
    train(few_sounds, fine_tuning_settings(max_samples=12), tmp_path / "run")
    after = tensors(tmp_path / "run")
    before = load_file(pretrained_folder / DISCRIMINATOR)
    assert all(any(name.startswith(prefix) for name in before) for prefix in FROZEN["residual"])
    for name, value in before.items():
        frozen = name.startswith(FROZEN["residual"])
        if name != "projection.weight":  # of other labels
            assert torch.equal(after[f"discriminator/{name}"], value.float()) == frozen, name


def test_new_discriminator_is_trained_whole(
    few_sounds: Dataset, fine_tuning_settings: TinySettings, pretrained_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "player_only"
    shutil.copytree(pretrained_folder, folder, ignore=shutil.ignore_patterns(DISCRIMINATOR))
    setup = setup_training(few_sounds, fine_tuning_settings(init_from=str(folder)), tmp_path / "run", SINGLE_PROCESS)
    assert all(parameter.requires_grad for parameter in setup.train_state.discriminator.parameters())


def test_resumed_fine_tuning_is_bit_identical_to_an_uninterrupted_one(
    few_sounds: Dataset, fine_tuning_settings: TinySettings, pretrained_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(pretrained_folder, tmp_path / "copy"))

    def fine_tune(folder: str, samples: int, **changes: Any) -> None:
        train(few_sounds, fine_tuning_settings(max_samples=samples, **changes), tmp_path / folder)

    fine_tune("whole", 24)
    fine_tune("parts", 8, init_from=str(copy))
    fine_tune("parts", 16)  # the same model at another path
    shutil.rmtree(copy)
    fine_tune("parts", 24, init_from=None)  # the checkpoint knows all that is needed
    assert_same_bits(tmp_path / "parts", tmp_path / "whole")


def test_training_is_not_resumed_from_another_model_or_from_scratch(
    few_sounds: Dataset, tiny_dataset: Dataset, fine_tuning_settings: TinySettings, tiny_settings: TinySettings,
    pretrained_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    other = Path(shutil.copytree(pretrained_folder, tmp_path / "other"))
    (other / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes() + b"\0")
    train(few_sounds, fine_tuning_settings(), tmp_path / "tuned")
    train(tiny_dataset, tiny_settings(max_samples=4), tmp_path / "scratch")

    def refused(dataset: Dataset, settings: Settings, folder: str, start: str) -> None:
        before = (tmp_path / folder / CHECKPOINT).read_bytes()
        with pytest.raises(TrainingError) as caught:
            train(dataset, settings, tmp_path / folder)
        message = f"its training started {start}; resume it without --from (init_from), or choose another folder (--out"
        assert message in str(caught.value) and (tmp_path / folder / CHECKPOINT).read_bytes() == before

    refused(few_sounds, fine_tuning_settings(init_from=str(other)), "tuned", "from another model, tiny")
    refused(tiny_dataset, tiny_settings(init_from=str(pretrained_folder)), "scratch", "from scratch")
    with pytest.raises(TrainingError, match=r"nz = 8, not 9"):
        train(few_sounds, fine_tuning_settings(init_from=None, nz=9), tmp_path / "tuned")
