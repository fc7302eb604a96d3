"""Grain: the speckle of noise in a spectrogram, apart from its level.

The spectrogram of noise differs from cell to cell, and anew in every sound. A Generator that paints from a few dozen
numbers cannot draw that; it smears the noise evenly, which is heard as a pulse at the frame rate. So it is handed the
speckle, and only decides where and how strongly to lay it on. That of white noise, painted by the same representation,
has the right distribution and the right likeness of neighbouring cells. (StyleGAN, Karras et al. 2019, hands its
Generator independent noise for the same reason.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.representation import Representation, Spectrogram, levels_db

FRAMES = 2048  # of a tape, unless a sound is longer than a quarter of that


class NoiseTexture:
    """A tape of grain, from which pieces are cut.

    Attributes:
        tape: (bands, frames), float32, in units of a spectrogram; the mean of every band is 0.
        places: how many different pieces there are.
    """

    def __init__(self, representation: Representation, seed: int = 0) -> None:
        """Paint white noise. The same representation and seed give the same tape."""
        frames = max(FRAMES, 4 * representation.frames)
        whole = representation.with_changes(frames=frames)
        noise = np.random.RandomState(seed).standard_normal(whole.samples).astype(np.float32)
        levels = levels_db(noise, whole)[0]
        levels -= levels.mean(axis=1, keepdims=True)
        self.levels: NDArray[np.float32] = levels * np.float32(2 / (whole.ceiling_db - whole.floor_db))
        self.num_offsets = frames - representation.frames + 1
        self._columns = representation.frames

    def crop(self, place: int) -> Spectrogram:
        """The piece at a place, from 0 to `num_offsets` - 1. Shape: (1, 1, bands, frames)."""
        return np.ascontiguousarray(self.levels[None, None, :, place : place + self._columns])
