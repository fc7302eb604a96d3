"""Periodicity of sounds: pitched or whispered, a difference that log-mel statistics hardly measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundgan.evaluation.features.logmel import Waves, pad_to_frames
from soundgan.spectral.pitch import track

HOP_SECONDS = 0.01


def periodicity(waves: Waves, sample_rate: int) -> NDArray[np.float64]:
    """Similarity of each sound to itself one period later, in its loud parts: (n,), from 0 to 1; 0 for silence.

    The periodicity of frames of 10 ms (`soundgan.spectral.pitch`), weighted by their power. A steady tone has nearly 1,
    noise less than 0.5.
    """
    hop_length = max(1, round(HOP_SECONDS * sample_rate))
    values = np.zeros(len(waves))
    for index, wave in enumerate(waves):
        padded = pad_to_frames(wave, hop_length)
        power = np.square(padded.reshape(-1, hop_length)).sum(axis=1)
        if power.any():
            values[index] = np.average(track(padded, sample_rate, hop_length).periodicity[0], weights=power)
    return values
