"""A generated sound: its samples, its spectrogram, and the request that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from soundgan import audio

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no single answer
class Sound:
    """One generated sound.

    Attributes:
        samples: (samples,), float32 within full scale.
        sample_rate: in Hz.
        label: None for a model without labels.
        seed: gives the same sound again with the same model, label, truncation and quality.
        spectrogram: (bands, frames), float32 in [-1, 1].
        tags: of the file that `save` writes: software, comment (model, label, seed, truncation, quality), and
            copyright for a model that states the license of its data.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    label: str | None
    seed: int
    spectrogram: NDArray[np.float32] = field(repr=False)
    tags: dict[str, str] = field(repr=False)

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
