"""A small sound classifier: which label does a listener who only knows the real sounds hear in a sound?

It listens to waves and makes its own log-mel picture of them, on purpose independent of `soundgan.spectral.representation`: what
the way from spectrogram to wave spoils, it hears spoilt. PyTorch (the extra `train`) is imported where it is needed.
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
_VERSION = 1
_WIDTHS = (32, 64, 96, 128)
_CHUNK = 128  # sounds looked at in one go when predicting
_EPOCHS, _STEPS = 20, 480  # at least: few sounds make few steps an epoch, and rare labels need many


class Classifier:
    """A trained classifier of sounds; made by `train_classifier` or `Classifier.load`.

    Attributes:
        labels: sorted; the columns of the probabilities.
        view: what it sees of a wave, sample rate and length included.
        training: how it was trained: seed, epochs, number of files, fingerprint of the files.
    """

    def __init__(self, network: nn.Module, labels: Sequence[str], view: LogMel, training: dict[str, Any]) -> None:
        self.labels = list(labels)
        self.view = view
        self.training = training
        self._network = network.eval()

    def predict(self, sounds: Sequence[str | Path | Floats]) -> tuple[list[str], Floats]:
        """The label heard in each sound.

        Args:
            sounds: files of any rate, or waves (any,) at `view.sample_rate` Hz.

        Returns:
            labels (n) and probabilities (n, labels), each row summing to 1.

        Raises:
            AudioError: a file cannot be read.
            DataError: `sounds` is empty.
        """
        import torch

        if not len(sounds):
            raise DataError("there are no sounds to classify: hand in at least one file or wave")
        with torch.inference_mode():
            chunks = torch.from_numpy(_pictures(sounds, self.view)).split(_CHUNK)
            probabilities = torch.cat([self._network(chunk).softmax(dim=1) for chunk in chunks]).numpy()
        return [self.labels[best] for best in probabilities.argmax(axis=1)], probabilities

    def save(self, folder: str | Path) -> Path:
        """Writes `classifier.safetensors` and `classifier.json`, each under a temporary name first."""
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"version": _VERSION, "labels": self.labels, "view": asdict(self.view), "training": self.training}
        with atomic_write(folder / _WEIGHTS) as temporary:
            temporary.write_bytes(save(self._network.state_dict()))  # save_file() would hide it from other users
        write_text(folder / _SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Reads what `save` wrote; it then predicts exactly the same.

        Raises:
            ModelError: a file is missing, damaged, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            settings = json.loads((Path(folder) / _SETTINGS).read_text(encoding="utf-8"))
            if settings["version"] != _VERSION:
                raise ValueError(f"it has version {settings['version']}, this software reads version {_VERSION}")
            view = LogMel(**settings["view"])
            network = _network(len(settings["labels"]))
            network.load_state_dict(load_file(Path(folder) / _WEIGHTS))
            return cls(network, settings["labels"], view, settings["training"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{folder}: no usable classifier ({reason}); delete it and train again") from error


def train_classifier(
    files: Sequence[str | Path],
    labels: Sequence[str],
    *,
    seed: int = 0,
    epochs: int | None = None,
    threads: int | None = None,
    sample_rate: int | None = None,
    seconds: float | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Trains a classifier on labelled sound files: four convolutions, AdamW, one cycle of the learning rate.

    Every epoch hears each sound anew: shifted in time, in noise, with a stripe of time and one of bands blanked
    (SpecAugment, Park et al. 2019). The same seed, files and number of threads give the same classifier on one machine.

    Args:
        files: sound files of any format that `soundgan.audio` reads.
        labels: the label of each file; at least two different ones.
        epochs: passes over the files; None takes `usual_epochs`.
        threads: PyTorch threads during the training; None leaves them as they are.
        sample_rate: Hz; None takes the most common rate of the files, at most 22050.
        seconds: length that sounds are padded or cut to; None takes 1.1 times their 99th percentile, at most 5.
        progress: called after each epoch with its number, from 1, and its mean loss.

    Raises:
        AudioError: a file cannot be read.
        DataError: no or unequal numbers of files and labels, fewer than two labels, or no epoch.
    """
    import torch

    names = sorted(set(labels))
    if len(files) != len(labels):
        raise DataError(f"{len(files)} files but {len(labels)} labels: each file needs one")
    if len(names) < 2:
        raise DataError(f"a classifier needs at least two labels to tell apart, these files have {len(names)}: {names}")
    epochs = usual_epochs(len(files)) if epochs is None else epochs
    if epochs < 1:
        raise DataError(f"epochs is {epochs}: a training takes at least one epoch")
    view = _view(files, sample_rate, seconds)
    pictures = _pictures(files, view)
    targets = torch.tensor([names.index(label) for label in labels])
    rng = np.random.default_rng(seed)
    batch, steps = _batches(len(files))

    with torch.random.fork_rng(devices=[]), _threads(threads):
        torch.manual_seed(seed)
        network = _network(len(names)).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
        for epoch in range(1, epochs + 1):
            total = 0.0
            for chosen in rng.permutation(len(files))[: steps * batch].reshape(steps, batch):
                scores = network(torch.from_numpy(_disturb(pictures[chosen], rng)))
                loss = torch.nn.functional.cross_entropy(scores, targets[torch.from_numpy(chosen)])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            if progress:
                progress(epoch, total / steps)
    return Classifier(network, names, view, training_record(files, labels, seed=seed, epochs=epochs))


def usual_epochs(files: int) -> int:
    """Passes over so many files that a training takes."""
    return max(_EPOCHS, -(-_STEPS // _batches(files)[1]))


def training_record(files: Sequence[str | Path], labels: Sequence[str], *, seed: int, epochs: int) -> dict[str, Any]:
    """What makes two trainings the same one; files count by label, name and size, wherever their folder stands."""
    lines = sorted(f"{label}/{Path(f).name}/{Path(f).stat().st_size}" for f, label in zip(files, labels, strict=True))
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"seed": seed, "epochs": epochs, "files": len(files), "fingerprint": fingerprint}


def _batches(files: int) -> tuple[int, int]:
    """Files in a batch, and batches in an epoch; what is left over sits out, in another order every time."""
    batch = min(64, max(2, files // 8))
    return batch, max(1, files // batch)


def _network(labels: int) -> nn.Module:
    """Scores (n, labels) of pictures (n, 1, bands, frames). Shape: any bands and frames."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in pairwise((1, *_WIDTHS)):
        stride = 1 if after == _WIDTHS[-1] else 2
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(_WIDTHS[-1], labels)]
    return nn.Sequential(*layers)


def _view(files: Sequence[str | Path], sample_rate: int | None, seconds: float | None) -> LogMel:
    infos = [audio.probe(file) for file in files]
    if sample_rate is None:
        sample_rate = min(22050, Counter(info.sample_rate for info in infos).most_common(1)[0][0])
    if seconds is None:
        seconds = min(5.0, max(0.1, round(1.1 * float(np.quantile([info.seconds for info in infos], 0.99)), 2)))
    return LogMel(sample_rate, seconds)


def _pictures(sounds: Sequence[str | Path | Floats], view: LogMel) -> Floats:
    waves = (
        s if isinstance(s, np.ndarray) else audio.read(s, view.sample_rate, seconds=view.seconds)[0] for s in sounds
    )
    return np.concatenate([view.picture(view.fit(wave)[None]) for wave in waves])


def _disturb(pictures: Floats, rng: np.random.Generator) -> Floats:
    """New pictures: shifted by -4 to 12 % of the frames, in noise, with a stripe of bands and one of frames blanked.

    The noise is a rough floor that rises or falls over the bands; in decibels, the louder of sound and noise is about
    their sum. A change of gain would do nothing more: pictures are relative to the loudest cell.
    """
    bands, frames = pictures.shape[2:]
    out = np.full_like(pictures, -1)
    for new, old in zip(out, pictures, strict=True):
        shift = round(rng.uniform(-0.04, 0.12) * frames)
        new[..., max(0, shift) : frames + min(0, shift)] = old[..., max(0, -shift) : frames - max(0, shift)]
        tilt = rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, bands, dtype=np.float32)[:, None]
        noise = rng.uniform(-1.5, 0) + tilt + 0.12 * rng.standard_normal(new.shape, dtype=np.float32)
        np.clip(np.maximum(new, noise), -1, 1, out=new)
        for axis, size, most in ((1, bands, 0.15), (2, frames, 0.12)):
            wide = rng.integers(0, int(most * size) + 1)
            first = rng.integers(0, size - wide + 1)
            new[(slice(None),) * axis + (slice(first, first + wide),)] = -1
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
