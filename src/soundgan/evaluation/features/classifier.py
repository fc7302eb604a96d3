"""A small classifier of sounds, trained on real sounds to predict the labels of generated ones.

Its inputs are waves, through log-mel spectrograms of its own (`LogMel`): it is sensitive to synthesis artifacts.
PyTorch (the extra `train`) is imported where it is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.logmel import LogMel
from soundgan.files import atomic_write, write_text

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]

_SETTINGS, _WEIGHTS = "classifier.json", "classifier.safetensors"
_VERSION = 2  # of the files
_WIDTHS = (32, 64, 96, 128)
CHUNK_SIZE = 128  # sounds predicted at a time
MIN_EPOCHS, MIN_STEPS = 20, 480  # few sounds have few steps per epoch, and rare labels need many


class Classifier:
    """A trained classifier of sounds, from `train_classifier` or `Classifier.load`.

    Attributes:
        labels: sorted; the columns of the probabilities.
        frontend: spectrograms of its input, with their sample rate and length.
        training: seed, epochs, number and fingerprint of the training files.
    """

    def __init__(self, network: nn.Module, labels: Sequence[str], frontend: LogMel, training: dict[str, Any]) -> None:
        self.labels = list(labels)
        self.frontend = frontend
        self.training = training
        self._network = network.eval()

    def predict(self, sounds: Sequence[str | Path | Floats]) -> tuple[list[str], Floats]:
        """Predict the label of each sound.

        Args:
            sounds: files of any rate, or waves (any,) at `frontend.sample_rate` Hz.

        Returns:
            labels (n) and probabilities (n, labels), each row summing to 1.

        Raises:
            AudioError: a file cannot be read.
            DataError: `sounds` is empty.
        """
        import torch

        if not len(sounds):
            raise DataError("there are no sounds to classify: pass at least one file or wave")
        with torch.inference_mode():
            chunks = torch.from_numpy(_spectrograms(sounds, self.frontend)).split(CHUNK_SIZE)
            probabilities = torch.cat([self._network(chunk).softmax(dim=1) for chunk in chunks]).numpy()
        return [self.labels[index] for index in probabilities.argmax(axis=1)], probabilities

    def save(self, folder: str | Path) -> Path:
        """Write `classifier.safetensors` and `classifier.json`, each under a temporary name first."""
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "version": _VERSION, "labels": self.labels, "frontend": asdict(self.frontend), "training": self.training,
        }  # fmt: skip
        with atomic_write(folder / _WEIGHTS) as temporary:
            temporary.write_bytes(
                save(self._network.state_dict())
            )  # save_file() writes files that only their owner can read
        write_text(folder / _SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Load a saved classifier; its predictions are exactly the same.

        Raises:
            ModelError: a file is missing, damaged, or of another version.
        """
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


def train_classifier(
    files: Sequence[tuple[Path, str]],
    *,
    seed: int = 0,
    epochs: int | None = None,
    threads: int | None = None,
    sample_rate: int | None = None,
    seconds: float | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Train a classifier on labeled sound files: four convolutions, AdamW, one cycle of the learning rate.

    Every epoch augments each sound anew: shifted in time, with noise, and with a range of frames and one of bands
    masked (SpecAugment, Park et al. 2019). The same seed, files and number of threads give the same classifier on one
    machine.

    Args:
        files: sound files of any format that `soundgan.audio` reads, with their labels; at least two different ones.
        epochs: passes over the files; None takes `default_epochs`.
        threads: PyTorch threads during the training; None leaves them unchanged.
        sample_rate: in Hz; None takes the most common rate of the files, at most 22050.
        seconds: length that sounds are padded or cut to; None takes 1.1 times their 99th percentile, at most 5.
        progress: called after each epoch with its number, from 1, and its mean loss.

    Raises:
        AudioError: a file cannot be read.
        DataError: there are fewer than two labels, or no epochs.
    """
    import torch

    labels = sorted({label for _, label in files})
    if len(labels) < 2:
        raise DataError(f"a classifier needs at least two labels, these files have {len(labels)}: {labels}")
    epochs = default_epochs(len(files)) if epochs is None else epochs
    if epochs < 1:
        raise DataError(f"epochs is {epochs}: a training needs at least one epoch")
    paths = [path for path, _ in files]
    frontend = _frontend(paths, sample_rate, seconds)
    spectrograms = _spectrograms(paths, frontend)
    targets = torch.tensor([labels.index(label) for _, label in files])
    rng = np.random.default_rng(seed)
    batch, steps = _batches(len(files))

    with torch.random.fork_rng(devices=[]), _threads(threads):
        torch.manual_seed(seed)
        network = _network(len(labels)).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
        for epoch in range(1, epochs + 1):
            total = 0.0
            for indices in rng.permutation(len(files))[: steps * batch].reshape(steps, batch):
                logits = network(torch.from_numpy(_augment(spectrograms[indices], rng)))
                loss = torch.nn.functional.cross_entropy(logits, targets[torch.from_numpy(indices)])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            if progress:
                progress(epoch, total / steps)
    return Classifier(network, labels, frontend, training_record(files, seed=seed, epochs=epochs))


def default_epochs(n_files: int) -> int:
    """Epochs of a training on so many files."""
    return max(MIN_EPOCHS, -(-MIN_STEPS // _batches(n_files)[1]))


def training_record(files: Sequence[tuple[Path, str]], *, seed: int, epochs: int) -> dict[str, Any]:
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


def _frontend(paths: Sequence[Path], sample_rate: int | None, seconds: float | None) -> LogMel:
    infos = [audio.probe(path) for path in paths]
    if sample_rate is None:
        sample_rate = min(22050, Counter(info.sample_rate for info in infos).most_common(1)[0][0])
    if seconds is None:
        seconds = min(5.0, max(0.1, round(1.1 * float(np.quantile([info.seconds for info in infos], 0.99)), 2)))
    return LogMel(sample_rate, seconds)


def _spectrograms(sounds: Sequence[str | Path | Floats], frontend: LogMel) -> Floats:
    rate, seconds = frontend.sample_rate, frontend.seconds
    waves = (s if isinstance(s, np.ndarray) else audio.read(s, rate, seconds=seconds)[0] for s in sounds)
    return np.concatenate([frontend.spectrograms(frontend.fit(wave)[None]) for wave in waves])


def _augment(spectrograms: Floats, rng: np.random.Generator) -> Floats:
    """Augmented spectrograms: shifted by -4 to 12 % of the frames, with noise, and with masked bands and frames.

    The noise has a random floor that is tilted over the bands; in decibels, the maximum of sound and noise is about
    their sum. A gain would have no effect, as spectrograms are relative to the loudest bin.
    """
    bands, frames = spectrograms.shape[2:]
    out = np.full_like(spectrograms, -1)
    for new, old in zip(out, spectrograms, strict=True):
        shift = round(rng.uniform(-0.04, 0.12) * frames)
        new[..., max(0, shift) : frames + min(0, shift)] = old[..., max(0, -shift) : frames - max(0, shift)]
        tilt = rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, bands, dtype=np.float32)[:, None]
        noise = rng.uniform(-1.5, 0) + tilt + 0.12 * rng.standard_normal(new.shape, dtype=np.float32)
        np.clip(np.maximum(new, noise), -1, 1, out=new)
        for axis, size, max_share in ((1, bands, 0.15), (2, frames, 0.12)):
            width = rng.integers(0, int(max_share * size) + 1)
            start = rng.integers(0, size - width + 1)
            new[(slice(None),) * axis + (slice(start, start + width),)] = -1
    return out


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
