"""Embeddings: sounds as points of a space in which distances between sets of sounds are measured.

The built-in one needs no trained network, so it suits drums and voices alike; a network can be used as an ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.logmel import LogMel, Waves, pad_or_cut

Points = NDArray[np.float64]


@dataclass(frozen=True)
class LogMelStatistics:
    """Statistics of a log-mel spectrogram: levels and changes of every band, the envelope, and a coarse spectrogram.

    For each band: the mean level, its standard deviation over time, and the root mean square of its rises and of its
    falls from frame to frame (reversing a sound swaps these two). For the loudest band: the level in `segments` parts
    of the time. And the levels of `grid` coarse bands × times. All are relative to the loudest bin, so loudness does
    not count; nothing is fitted to data, so values of different sets can be compared.

    Units are 10 dB for the bands, 2 dB for changes from frame to frame, and 20 dB for the envelope and the coarse
    spectrogram, so that all features vary by similar amounts between sounds.

    Attributes:
        seconds: length that every sound is padded or cut to.
        bands: mel bands up to half the sample rate.
        segments: parts of the envelope.
        grid: bands and times of the coarse spectrogram.
        range_db: dB below the loudest bin that count as silence.
    """

    name: ClassVar = "log-mel statistics"  # for reports

    seconds: float
    bands: int = 32
    segments: int = 16
    grid: tuple[int, int] = (8, 6)
    range_db: float = 70.0

    def embed(self, waves: Waves, sample_rate: int) -> Points:
        """Shape: n waves (any,) at `sample_rate` Hz → (n, 4 · bands + segments + grid bins); 192 numbers by default.

        Raises `DataError` if there are no waves.
        """
        if not len(waves):
            raise DataError("there are no sounds to embed: pass at least one wave")
        levels = LogMel(sample_rate, self.seconds, self.bands, self.range_db).levels(waves)
        steps = np.diff(levels, axis=2, append=levels[:, :, -1:])
        rise, fall = (np.sqrt(np.square(np.maximum(change, 0)).mean(axis=2)) for change in (steps, -steps))
        frames, (low, times) = levels.shape[2], self.grid
        envelope = levels.max(axis=1) @ equal_parts(frames, self.segments)
        cells = equal_parts(self.bands, low).T @ levels @ equal_parts(frames, times)
        features = [levels.mean(axis=2) / 10, levels.std(axis=2) / 10, rise / 2, fall / 2, envelope / 20]
        return np.concatenate([*features, cells.reshape(len(levels), -1) / 20], axis=1).astype(np.float64)


def equal_parts(length: int, parts: int) -> NDArray[np.float32]:
    """Matrix of the means over equal parts of an axis; an element across two parts counts in both by its share.

    Shape: (length, parts), every column sums to 1.
    """
    edges = np.linspace(0, length, parts + 1)
    start = np.arange(length)[:, None]
    overlap = np.minimum(edges[1:], start + 1) - np.maximum(edges[:-1], start)
    return (np.maximum(overlap, 0) * parts / length).astype(np.float32)


class OnnxEmbedding:
    """The embedding of a network in an ONNX file; its `name` in reports is that of the file.

    The file has one float32 input, a wave of shape (samples,) or (n, samples); waves are padded or cut to a fixed
    number of samples. The output is (d,), (n, d) or (n, time, d), of which the mean over time is used. Of several
    outputs, the first one whose name contains "embedding" is used, or else the first.
    """

    def __init__(self, file: str | Path, *, sample_rate: int | None = None) -> None:
        """Load a file.

        Args:
            file: the ONNX file.
            sample_rate: of the network's input in Hz, if the file's metadata has no `sample_rate`.

        Raises:
            ModelError: the file cannot be loaded, its input is not a wave, or its sample rate is unknown.
        """
        self.file = Path(file)
        self.name = self.file.name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised; the log would repeat them
        try:
            self._session = onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception class for every kind of damage
            raise ModelError(f"{self.file}: cannot be loaded ({_first_line(error)}); export it again") from error
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 and inputs[0].type == "tensor(float)" else []
        if len(shape) not in (1, 2) or (len(shape) == 2 and isinstance(shape[0], int) and shape[0] != 1):
            shapes = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
            raise ModelError(
                f"{self.file}: takes {shapes or 'nothing'}; export it with one float32 input, for one wave at a time, "
                "(samples,), or for any number of waves, (n, samples)"
            )
        self._input, self._length = inputs[0], shape[-1] if isinstance(shape[-1], int) else None
        outputs = [output.name for output in self._session.get_outputs()]
        self._output = next((name for name in outputs if "embedding" in name.lower()), outputs[0])
        stored = self._session.get_modelmeta().custom_metadata_map.get("sample_rate", sample_rate)
        self.sample_rate = int(stored) if stored is not None and str(stored).isdecimal() else 0
        if self.sample_rate not in audio.RATES:
            raise ModelError(
                f"{self.file}: its sample rate is {'not known' if stored is None else repr(stored)}; put `sample_rate` "
                "(Hz) into its metadata, or use --embedding-rate"
            )

    def embed(self, waves: Waves, sample_rate: int) -> Points:
        """Shape: n waves (any,) at `sample_rate` Hz → (n, d).

        Raises:
            DataError: there are no waves.
            ModelError: the network fails on a wave, or its output is not an embedding.
        """
        if not len(waves):
            raise DataError("there are no sounds to embed: pass at least one wave")
        points = [self._point(audio.resample(wave, sample_rate, self.sample_rate)) for wave in waves]
        if len({point.shape for point in points}) > 1 or not all(np.isfinite(point).all() for point in points):
            raise ModelError(
                f"{self.file}: outputs differ in their last dimension or are not finite; an embedding has the same "
                "number of finite values for every sound"
            )
        return np.stack(points)

    def _point(self, wave: NDArray[np.float32]) -> Points:
        if self._length is not None:
            wave = pad_or_cut(wave, self._length)
        try:
            shaped = wave if len(self._input.shape) == 1 else wave[None]
            output: Any = self._session.run([self._output], {self._input.name: shaped})[0]
        except Exception as error:  # as above
            raise ModelError(
                f"{self.file}: fails on a wave of {len(wave)} samples ({_first_line(error)}); export it for waves of "
                "that length"
            ) from error
        values = np.asarray(output, dtype=np.float64)
        if not 1 <= values.ndim <= 3 or values.size == 0:
            raise ModelError(f"{self.file}: gives {values.shape}; an embedding is (d,), (n, d) or (n, time, d)")
        return values.reshape(-1, values.shape[-1]).mean(axis=0)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


Embedding = LogMelStatistics | OnnxEmbedding
