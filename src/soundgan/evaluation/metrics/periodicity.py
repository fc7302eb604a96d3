"""Does a sound have the pitch that it should, or does it whisper? Distances of log-mel statistics hardly mind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.evaluation.features.logmel import Waves
from soundgan.spectral.pitch import track

_HOP = 0.01  # s


def periodicity(waves: Waves, sample_rate: int) -> NDArray[np.float64]:
    """How well each sound repeats itself after one period, where it is loud: (n,), from 0 to 1; 0 for silence.

    The periodicity of frames of 10 ms (`soundgan.spectral.pitch`), weighted by their power. A steady tone has nearly 1, noise
    less than 0.5.
    """
    hop_length = max(1, round(_HOP * sample_rate))
    found = np.zeros(len(waves))
    for place, wave in enumerate(waves):
        frames = -(-len(wave) // hop_length)
        whole = np.pad(np.asarray(wave, np.float64), (0, frames * hop_length - len(wave)))
        power = np.square(whole.reshape(frames, hop_length)).sum(axis=1)
        if power.any():
            found[place] = np.average(track(whole, sample_rate, hop_length).periodicity[0], weights=power)
    return found
