"""A small classifier of sounds, trained on real sounds to predict the labels of generated ones.

Its inputs are waves, through log-mel spectrograms of its own (`LogMel`): it is sensitive to synthesis artifacts.
PyTorch (the extra `train`) is imported where it is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.logmel import Floats, LogMel, Waves
from soundgan.files import atomic_write, write_text

if TYPE_CHECKING:
    from torch import nn

ProgressCallback = Callable[[str, int, int], None]  # task, epochs done, epochs in all

_SETTINGS, _WEIGHTS = "classifier.json", "classifier.safetensors"
_VERSION = 2  # of the files
_WIDTHS = (32, 64, 96, 128)
MAX_SAMPLE_RATE, MAX_SECONDS = 22050, 5.0  # of the input, in Hz and s
CHUNK_SIZE = 128  # sounds predicted at a time
MIN_EPOCHS, MIN_STEPS = 20, 480  # few sounds have few steps per epoch, and rare labels need many


class Classifier:
    """A trained classifier of sounds, from `classifier_for`.

    Attributes:
        labels: sorted; the columns of the probabilities.
        frontend: spectrograms of its input, with their sample rate and length.
        training: seed, epochs, number and fingerprint of the training files.
    """

    def __init__(self, network: nn.Module, labels: Sequence[str], frontend: LogMel, training: dict[str, Any]) -> None:
        self.labels, self.frontend, self.training = list(labels), frontend, training
        self._network = network.eval()

    def predict(self, waves: Waves) -> Floats:
        """Return the probability of each label. Shape: n waves (any,) at the rate of `frontend` → (n, labels)."""
        import torch

        with torch.inference_mode():
            chunks = torch.from_numpy(self.frontend.spectrograms(waves)[:, None]).split(CHUNK_SIZE)
            return torch.cat([self._network(chunk).softmax(dim=1) for chunk in chunks]).numpy()

    def save(self, folder: str | Path) -> Path:
        """Write `classifier.safetensors` and `classifier.json`, each under a temporary name first."""
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"version": _VERSION, "labels": self.labels, "training": self.training}
        settings["frontend"] = asdict(self.frontend)
        with atomic_write(folder / _WEIGHTS) as temporary:  # save_file() writes files that only their owner can read
            temporary.write_bytes(save(self._network.state_dict()))
        write_text(folder / _SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Load a saved classifier. Raises `ModelError` if a file is missing, damaged, or of another version."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            settings = json.loads((Path(folder) / _SETTINGS).read_text(encoding="utf-8"))
            if settings["version"] != _VERSION:
                raise ValueError(f"it has version {settings['version']}, this software reads version {_VERSION}")
            frontend = LogMel(**settings["frontend"])
            network = _network(len(settings["labels"]))
            network.load_state_dict(load_file(Path(folder) / _WEIGHTS))
            return cls(network, settings["labels"], frontend, settings["training"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{folder}: no usable classifier ({reason}); delete it and train again") from error


def classifier_for(
    files: Sequence[tuple[Path, str]],
    cache: Path | None = None,
    *,
    sample_rate: int,
    seconds: float | None = None,
    progress: ProgressCallback | None = None,
) -> Classifier:
    """Load the classifier of exactly these files from the folder `cache`, or train one and save it there.

    Args:
        files: training files and their labels.
        sample_rate: of the sounds to classify, in Hz; the classifier resamples higher rates to 22050 Hz.
        seconds: length that sounds are padded or cut to; None: 1.1 times the 99th percentile of the files, at most 5.
        progress: called with the task, the epochs done and in all.

    Raises:
        DataError: the cache has a classifier of other files, which may include held-out sounds.
        ModelError: the cache is damaged.
        ModuleNotFoundError: PyTorch is not installed.
    """
    if seconds is None:
        percentile = float(np.quantile([audio.probe(path).seconds for path, _ in files], 0.99))
        seconds = min(MAX_SECONDS, max(0.1, round(1.1 * percentile, 2)))
    frontend = LogMel(min(MAX_SAMPLE_RATE, sample_rate), seconds)
    if cache is None or not cache.is_dir() or not any(cache.iterdir()):
        classifier = train_classifier(files, frontend, progress=progress)
        if cache is not None:
            classifier.save(cache)
        return classifier
    classifier = Classifier.load(cache)
    training = training_record(files, seed=0, epochs=default_epochs(len(files)))
    if (classifier.frontend, classifier.training) != (frontend, training):
        raise DataError(
            f"{cache}: a classifier of other files, sample rate, length, seed or number of epochs; delete it or choose "
            "another folder"
        )
    return classifier


def train_classifier(
    files: Sequence[tuple[Path, str]],
    frontend: LogMel,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: ProgressCallback | None = None,
) -> Classifier:
    """Train a classifier on labeled sound files: four convolutions, AdamW, one cycle of the learning rate.

    Every epoch augments each sound anew: shifted in time, with noise, and with a range of frames and one of bands
    masked (SpecAugment, Park et al. 2019). The same seed and files give the same classifier on one machine.

    Args:
        files: sound files with their labels, of which there are at least two different ones.
        frontend: spectrograms of the input.
        epochs: passes over the files; None takes `default_epochs`.
        progress: called with the task, the epochs done and in all.

    Raises:
        AudioError: a file cannot be read.
        DataError: there are fewer than two labels.
    """
    import torch

    labels = sorted({label for _, label in files})
    if len(labels) < 2:
        raise DataError(f"a classifier needs at least two labels, these files have {len(labels)}: {labels}")
    epochs = epochs or default_epochs(len(files))
    report = progress or (lambda task, done, total: None)
    task = f"Training a classifier of labels on {len(files):,} sounds"
    report(task, 0, epochs)
    spectrograms = read_spectrograms([path for path, _ in files], frontend)
    targets = torch.tensor([labels.index(label) for _, label in files])
    rng = np.random.default_rng(seed)
    batch, steps = _batches(len(files))
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        network = _network(len(labels)).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
        for epoch in range(1, epochs + 1):
            for indices in rng.permutation(len(files))[: steps * batch].reshape(steps, batch):
                logits = network(torch.from_numpy(_augment(spectrograms[indices], rng)[:, None]))
                loss = torch.nn.functional.cross_entropy(logits, targets[torch.from_numpy(indices)])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            report(task, epoch, epochs)
    return Classifier(network, labels, frontend, training_record(files, seed, epochs))


def default_epochs(n_files: int) -> int:
    """Epochs of a training on so many files."""
    return max(MIN_EPOCHS, -(-MIN_STEPS // _batches(n_files)[1]))


def training_record(files: Sequence[tuple[Path, str]], seed: int, epochs: int) -> dict[str, Any]:
    """Identity of a training; files are identified by label, name and size, wherever their folder is."""
    lines = sorted(f"{label}/{path.name}/{path.stat().st_size}" for path, label in files)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"seed": seed, "epochs": epochs, "files": len(files), "fingerprint": fingerprint}


def _batches(n_files: int) -> tuple[int, int]:
    """Batch size, and batches per epoch; the remaining files are omitted, other ones in every epoch."""
    batch = min(64, max(2, n_files // 8))
    return batch, max(1, n_files // batch)


def _network(n_labels: int) -> nn.Module:
    """Convolutional network. Shape: (n, 1, bands, frames) → logits (n, n_labels), for any bands and frames."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in pairwise((1, *_WIDTHS)):
        stride = 1 if after == _WIDTHS[-1] else 2
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(_WIDTHS[-1], n_labels)]
    return nn.Sequential(*layers)


def read_spectrograms(files: Sequence[Path], frontend: LogMel) -> Floats:
    """Read sound files up to the length of the frontend. Shape: (n, bands, frames)."""
    rate, seconds = frontend.sample_rate, frontend.seconds
    return np.concatenate([frontend.spectrograms([audio.read(file, rate, seconds=seconds)[0]]) for file in files])


def _augment(spectrograms: Floats, rng: np.random.Generator) -> Floats:
    """Augmented spectrograms: shifted by -4 to 12 % of the frames, with noise, and with masked bands and frames.

    The noise has a random floor that is tilted over the bands; in decibels, the maximum of sound and noise is about
    their sum. A gain would have no effect, as spectrograms are relative to the loudest bin.
    """
    bands, frames = spectrograms.shape[1:]
    out = np.full_like(spectrograms, -1)
    for new, old in zip(out, spectrograms, strict=True):
        shift = round(rng.uniform(-0.04, 0.12) * frames)
        new[..., max(0, shift) : frames + min(0, shift)] = old[..., max(0, -shift) : frames - max(0, shift)]
        tilt = rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, bands, dtype=np.float32)[:, None]
        noise = rng.uniform(-1.5, 0) + tilt + 0.12 * rng.standard_normal(new.shape, dtype=np.float32)
        np.clip(np.maximum(new, noise), -1, 1, out=new)
        for rows, max_share in ((new, 0.15), (new.T, 0.12)):
            width = rng.integers(0, int(max_share * len(rows)) + 1)
            start = rng.integers(0, len(rows) - width + 1)
            rows[start : start + width] = -1
    return out


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread of PyTorch: several wait for each other, which takes several times as long on busy cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
