"""Embeddings: sounds as points of a space in which distances between sets of sounds can be measured.

The built-in one needs no trained network, so it is as good for drums as for voices; whoever trusts a network more hands
in its ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.logmel import LogMel, Waves, fitted

Points = NDArray[np.float64]


class Embedding(Protocol):
    """What turns sounds into points."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    def embed(self, waves: Waves, sample_rate: int) -> Points:
        """The points of waves at `sample_rate` Hz. Shape: n waves (any,) → (n, d)."""
        ...


@dataclass(frozen=True)
class LogMelStatistics:
    """Levels and movement of every mel band, the envelope, and a coarse picture of a sound.

    Of each band: the mean level, its standard deviation over time, and the root-mean-square rise and fall from frame to
    frame (a sound played backwards swaps the last two). Of the loudest band: the level in `segments` parts of the time.
    And the levels of `cells` coarse bands × times. All are relative to the loudest cell, so loudness does not count;
    nothing is learnt from data, so figures of different sets can be compared.

    Units are 10 dB for the bands, 2 dB for what changes within a frame, and 20 dB for the envelope and the picture,
    which brings what changes little and what changes much from sound to sound to a similar spread.

    Attributes:
        seconds: length that every sound is padded or cut to.
        bands: mel bands up to half the sample rate.
        segments: parts of the envelope.
        cells: coarse bands and times of the picture.
        range_db: dB below the loudest cell where silence begins.
    """

    seconds: float
    bands: int = 32
    segments: int = 16
    cells: tuple[int, int] = (8, 6)
    range_db: float = 70.0

    @property
    def name(self) -> str:
        """How reports call it."""
        return "log-mel statistics"

    def embed(self, waves: Waves, sample_rate: int) -> Points:
        """Shape: n waves (any,) at `sample_rate` Hz → (n, 4 · bands + segments + cells); 192 numbers by default.

        Raises `DataError` if there are no waves.
        """
        if not len(waves):
            raise DataError("there are no sounds to embed: hand in at least one wave")
        levels = LogMel(sample_rate, self.seconds, self.bands, self.range_db).pictures(waves)
        steps = np.diff(levels, axis=2, append=levels[:, :, -1:])
        rise, fall = (np.sqrt(np.square(np.maximum(one, 0)).mean(axis=2)) for one in (steps, -steps))
        frames, (low, times) = levels.shape[2], self.cells
        envelope = levels.max(axis=1) @ _parts(frames, self.segments)
        cells = _parts(self.bands, low).T @ levels @ _parts(frames, times)
        features = [levels.mean(axis=2) / 10, levels.std(axis=2) / 10, rise / 2, fall / 2, envelope / 20]
        return np.concatenate([*features, cells.reshape(len(levels), -1) / 20], axis=1).astype(np.float64)


def _parts(length: int, parts: int) -> NDArray[np.float32]:
    """Means over equal parts of an axis, as a matrix: what straddles two parts counts in both by its share.

    Shape: (length, parts), every column sums to 1.
    """
    edges = np.linspace(0, length, parts + 1)
    start = np.arange(length)[:, None]
    overlap = np.minimum(edges[1:], start + 1) - np.maximum(edges[:-1], start)
    return (np.maximum(overlap, 0) * parts / length).astype(np.float32)


class OnnxEmbedding:
    """The embedding of a network in an ONNX file.

    The file has one float32 input, a wave of shape (samples,) or (n, samples); a fixed number of samples is padded or
    cut to. It gives (d,), (n, d) or (n, time, d); the mean over time is taken. Of several outputs the first whose name
    contains "embedding" counts, or else the first.
    """

    def __init__(self, file: str | Path, *, sample_rate: int | None = None) -> None:
        """Load a file.

        Args:
            file: the ONNX file.
            sample_rate: Hz that the network listens at, if the file's own metadata has no `sample_rate`.

        Raises:
            ModelError: the file cannot be loaded, does not take a wave, or nothing tells the sample rate.
        """
        self.file = Path(file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised; the log would tell it once more
        try:
            self._session = onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
            raise ModelError(f"{self.file}: cannot be loaded ({_first_line(error)}); export it again") from error
        inputs = self._session.get_inputs()
        shapes = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) not in (1, 2):
            told = "an embedding takes one float32 wave, (samples,) or (n, samples)"
            raise ModelError(f"{self.file}: takes {shapes or 'nothing'}; {told}: export it so")
        if len(inputs[0].shape) == 2 and isinstance(inputs[0].shape[0], int) and inputs[0].shape[0] != 1:
            raise ModelError(f"{self.file}: takes {shapes}; export it for one wave at a time, or for any number")
        self._input, (*_, length) = inputs[0], inputs[0].shape
        self._length = length if isinstance(length, int) else None
        outputs = [one.name for one in self._session.get_outputs()]
        self._output = next((one for one in outputs if "embedding" in one.lower()), outputs[0])
        self.sample_rate = self._rate(sample_rate)

    @property
    def name(self) -> str:
        """How reports call it: the name of its file."""
        return self.file.name

    def embed(self, waves: Waves, sample_rate: int) -> Points:
        """Shape: n waves (any,) at `sample_rate` Hz → (n, d).

        Raises:
            DataError: there are no waves.
            ModelError: the network fails on a wave, or its output is no embedding.
        """
        if not len(waves):
            raise DataError("there are no sounds to embed: hand in at least one wave")
        points = [self._point(audio.resample(wave, sample_rate, self.sample_rate)) for wave in waves]
        if len({one.shape for one in points}) > 1 or not all(np.isfinite(one).all() for one in points):
            told = "outputs differ in their last dimension or are not finite"
            raise ModelError(f"{self.file}: {told}; an embedding has as many numbers for every sound")
        return np.stack(points)

    def _point(self, wave: NDArray[np.float32]) -> Points:
        if self._length is not None:
            wave = fitted(wave, self._length)
        try:
            shaped = wave if len(self._input.shape) == 1 else wave[None]
            output: Any = self._session.run([self._output], {self._input.name: shaped})[0]
        except Exception as error:  # as above
            told = f"fails on a wave of {len(wave)} samples ({_first_line(error)})"
            raise ModelError(f"{self.file}: {told}; export it for waves of that length") from error
        values = np.asarray(output, dtype=np.float64)
        if not 1 <= values.ndim <= 3 or values.size == 0:
            raise ModelError(f"{self.file}: gives {values.shape}; an embedding is (d,), (n, d) or (n, time, d)")
        return values.reshape(-1, values.shape[-1]).mean(axis=0)

    def _rate(self, given: int | None) -> int:
        stored = self._session.get_modelmeta().custom_metadata_map.get("sample_rate", given)
        try:
            rate = int(stored)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            rate = 0
        if rate not in audio.RATES:
            told = f"its sample rate is {'not known' if stored is None else repr(stored)}"
            raise ModelError(
                f"{self.file}: {told}; put `sample_rate` (Hz) into its metadata, or name it (--embedding-rate)"
            )
        return rate


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
