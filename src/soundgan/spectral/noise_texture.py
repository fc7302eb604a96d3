"""Noise texture: the fluctuation of noise around its level, from bin to bin of a spectrogram.

It differs in every sound. A generator cannot draw it from a few dozen latent numbers: it would smear the noise evenly,
which sounds like a pulse at the frame rate. So the texture is an input of the generator, which only decides where it is
added, and how strongly. It is taken from a spectrogram of white noise, which has the distribution and the correlation
of neighboring bins that the representation gives to any noise. (StyleGAN has independent noise as input for the same
reason: Karras, Laine and Aila 2019, "A style-based generator architecture for generative adversarial networks".)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.representation import Representation, Spectrogram, levels_db

MIN_FRAMES = 2048


class NoiseTexture:
    """A long texture to crop from: at least 2,048 frames, and 4 times those of a spectrogram.

    Args:
        representation: of the spectrograms that the texture is added to.
        seed: of the white noise.

    Attributes:
        levels: (bands, frames), float32, in units of a spectrogram; each band has mean 0.
        num_offsets: number of different crops.

    Examples:
        >>> from soundgan.spectral.presets import preset
        >>> texture = NoiseTexture(preset(8000, 0.25), seed=0)
        >>> texture.levels.shape, texture.num_offsets, texture.crop(0).shape
        ((128, 2048), 2033, (1, 1, 128, 16))
    """

    def __init__(self, representation: Representation, seed: int = 0) -> None:
        self._frames = representation.frames
        frames = max(MIN_FRAMES, 4 * self._frames)
        long = representation.with_changes(frames=frames, lead_in=0)
        noise = np.random.RandomState(seed).standard_normal(long.samples).astype(np.float32)
        levels = levels_db(noise, long)[0]
        levels -= levels.mean(axis=1, keepdims=True)
        self.levels: NDArray[np.float32] = levels * np.float32(2 / (long.ceiling_db - long.floor_db))
        self.num_offsets = frames - self._frames + 1

    def crop(self, offset: int) -> Spectrogram:
        """Return the frames from `offset` on, from 0 to `num_offsets` - 1. Shape: (1, 1, bands, frames)."""
        return np.ascontiguousarray(self.levels[None, None, :, offset : offset + self._frames])
