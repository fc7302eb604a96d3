"""Shared fixtures: a small folder of synthetic sounds, and tiny models trained on it once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

# The processes of pytest-xdist share the cores: with a pool of threads each, small operations of PyTorch take seconds.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import soundfile
from fixture_types import TinySettings

from soundgan.data.dataset import Dataset, prepare
from soundgan.model import SoundGAN
from soundgan.settings import Settings, check_settings

RATE = 8000  # Hz
SOUNDS_PER_LABEL = 8

# No deadlines on busy machines. In CI the examples are fixed; elsewhere Hypothesis searches for new ones.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(scope="session")
def sounds_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight kicks, noise bursts and tones of 0.25 s at 8 kHz; the sub-folders are the labels."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    t = np.arange(RATE // 4) / RATE
    for k in range(SOUNDS_PER_LABEL):
        sounds = {
            "kick": np.sin(2 * np.pi * (60 * t + (1 + k / 4) * (1 - np.exp(-30 * t)))) * np.exp(-12 * t),
            "noise": 0.3 * rng.standard_normal(len(t)).clip(-3, 3) * np.exp(-(6 + 3 * k) * t),
            "tone": 0.5 * np.sin(2 * np.pi * (400 + 90 * k) * t),
        }
        for label, wave in sounds.items():
            (folder / label).mkdir(exist_ok=True)
            soundfile.write(folder / label / f"{k}.wav", 0.8 * wave, RATE)
    return folder


@pytest.fixture(scope="session")
def tiny_settings(sounds_folder: Path) -> TinySettings:
    """Settings of a training of a second; keyword arguments replace values."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "dataroot": str(sounds_folder), "sample_rate": RATE, "duration": 0.25, "size": 8, "nz": 8, "ngf": 4,
            "ndf": 4, "batch_size": 4, "max_samples": 64, "precision": "float32", "threads": 1, "ngpu": 0,
        }  # fmt: skip
        return check_settings({**values, **changes})

    return make


@pytest.fixture(scope="session")
def tiny_dataset(sounds_folder: Path, tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    settings = tiny_settings()
    return prepare(sounds_folder, settings.data, settings.spectrogram, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def model_folder(tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete training with labels: residual network, 64 samples seen. Tests that damage it use a copy."""
    from soundgan.training.pipeline import train_model_folder

    settings = tiny_settings(saveroot=str(tmp_path_factory.mktemp("runs") / "tiny"), license="CC0-1.0")
    train_model_folder(settings)
    return Path(settings.run.saveroot)


@pytest.fixture(scope="session")
def pretrained_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model `tiny` with its discriminator, to fine-tune: without its training, as users share it."""
    from soundgan.training.pipeline import export_checkpoint

    folder = Path(shutil.copytree(model_folder, tmp_path_factory.mktemp("pretrained") / "tiny"))
    export_checkpoint(folder, keep_discriminator=True)
    shutil.rmtree(folder / "training")
    return folder


@pytest.fixture
def fine_tuning_settings(sounds_folder: Path, pretrained_folder: Path, tmp_path: Path) -> TinySettings:
    """Settings of a fine-tuning of `tiny`, on a label that it has and one that it has not; nothing else is set."""
    for label, name in {"kick": "kick", "tone": "bell"}.items():
        shutil.copytree(sounds_folder / label, tmp_path / "sounds" / name)
    values: dict[str, Any] = {
        "dataroot": str(tmp_path / "sounds"), "saveroot": str(tmp_path / "model"), "init_from": str(pretrained_folder),
        "batch_size": 4, "max_samples": 8, "precision": "float32", "threads": 1, "ngpu": 0,
    }  # fmt: skip
    return lambda **changes: check_settings({**values, **changes})


@pytest.fixture(scope="session")
def flat_model_folder(
    sounds_folder: Path, tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A complete training without labels: DCGAN, three channels."""
    from soundgan.training.pipeline import train_model_folder

    settings = tiny_settings(
        dataroot=str(sounds_folder / "tone"), saveroot=str(tmp_path_factory.mktemp("runs") / "flat"),
        network="dcgan", nc=3, ngf=8, lr_G=0.05, max_samples=16,
    )  # fmt: skip
    train_model_folder(settings)
    return Path(settings.run.saveroot)


@pytest.fixture(scope="session")
def model(model_folder: Path) -> SoundGAN:
    return SoundGAN.load(model_folder)
