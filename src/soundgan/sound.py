"""A generated sound: its samples, its spectrogram, and the request that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from soundgan import audio

if TYPE_CHECKING:
    from PIL.Image import Image

Level = Literal["recorded", "peak", "loudness"]
LEVELS: tuple[Level, ...] = ("recorded", "peak", "loudness")
LOUDNESS_LUFS = -23.0  # maximum momentary loudness; the target of EBU R128
TRUE_PEAK_DB = -1.0  # dBTP, which loudness gives way to


@dataclass(frozen=True)
class Finish:
    """The last steps from a synthesized wave to a sound: its end, its fade and its level.

    Attributes:
        samples: where the sound ends; None: 5 ms after the last sample within 60 dB of the peak.
        level: "recorded", "peak" or "loudness", see `leveled`.
        recorded_db: peak of the recordings that the sound is like, in dBFS; None: unknown, and `recorded` keeps the
            level of the wave.
        keep_length: the sound is as long as the wave, with silence behind its end, if `samples` names one.
    """

    samples: int | None = None
    level: Level = "recorded"
    recorded_db: float | None = None
    keep_length: bool = False

    def __call__(self, wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Return the finished wave. Shape: (samples,) → the same, or shorter."""
        end = self.samples
        if end is None and not self.keep_length:
            end = audio.end_of_sound(wave)
            end = end + round(audio.FADE_SECONDS * sample_rate) if end else None  # silence has no end
        finished = limit_and_fade(wave[:end], sample_rate)
        if self.level != "recorded" or self.recorded_db is not None:
            finished = leveled(finished, sample_rate, self.level, self.recorded_db or 0.0)
        return np.pad(finished, (0, len(wave) - len(finished))) if self.keep_length else finished

    def stretched(self, factor: float) -> Finish:
        """Return the same for a wave that is longer by a factor."""
        return self if self.samples is None else replace(self, samples=round(factor * self.samples))


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no single answer
class Sound:
    """One generated sound.

    Attributes:
        samples: (samples,), float32 within full scale.
        sample_rate: in Hz.
        label: None for a model without labels.
        seed: gives the same sound again with the same model and the same other values of its request.
        spectrogram: (bands, frames), float32 in [-1, 1]; of the duration of the model, the lead-in included.
        tags: of the file that `save` writes: software, comment (model and request), and copyright for a model that
            states the license of its data.
        finish: its end and level.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    label: str | None
    seed: int
    spectrogram: NDArray[np.float32] = field(repr=False)
    tags: dict[str, str] = field(repr=False)
    finish: Finish = field(default=Finish(), repr=False)

    @property
    def duration(self) -> float:
        """Length in s."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | Path, *, subtype: audio.Subtype = "PCM_16") -> Path:
        """Write the sound as .wav, .flac or .ogg, tagged with model, label and seed; see `audio.write`."""
        return audio.write(path, self.samples, self.sample_rate, subtype=subtype, tags=self.tags)

    def encode(self, format: audio.Format = "wav", *, subtype: audio.Subtype = "PCM_16") -> bytes:
        """Return the bytes of the file that `save` writes; see `audio.encode`."""
        return audio.encode(self.samples, self.sample_rate, format, subtype=subtype, tags=self.tags)

    def picture(self, *, zoom: int = 1) -> Image:
        """Return the spectrogram as an image of frames × bands pixels, low frequencies at the bottom."""
        from soundgan.viz.spectrogram_image import picture

        return picture(self.spectrogram, zoom=zoom)


def limit_and_fade(wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return a wave ready for a file: attenuated as a whole if it exceeds full scale, its last 5 ms faded out.

    Without the fade, a sound that rings at the end of its spectrogram would end with a click.
    """
    wave = wave / max(1.0, float(np.abs(wave).max()))
    fading = wave[-round(audio.FADE_SECONDS * sample_rate) :]
    fading *= (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, len(fading)))).astype(np.float32)
    return wave


def leveled(wave: NDArray[np.float32], sample_rate: int, level: Level, recorded_db: float) -> NDArray[np.float32]:
    """Return a wave at another level: as recorded, at a peak of -1 dBFS, or at a loudness of -23 LUFS.

    The loudness is the momentary maximum, see `audio.loudness_lufs`. Where it would need a true peak above -1 dBTP, as
    for clicks, the sound stays softer.

    Args:
        recorded_db: peak of the recordings that the sound is like, in dBFS.
    """
    if not wave.any():
        return wave
    if level == "loudness":
        gain_db = min(
            LOUDNESS_LUFS - audio.loudness_lufs(wave, sample_rate),
            TRUE_PEAK_DB - audio.true_peak_db(wave, sample_rate),
        )
        return wave * np.float32(10 ** (gain_db / 20))
    return np.clip(audio.level(wave, "peak", min(recorded_db, 0.0) if level == "recorded" else audio.PEAK_DB), -1, 1)
