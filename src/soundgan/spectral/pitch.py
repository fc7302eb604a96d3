"""The pitch of recordings: the period at which each frame of a sound repeats itself, and how well it does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_PITCH, MAX_PITCH = 60.0, 500.0  # Hz: voices, and the low half of most instruments
PERIODS = 2.5  # of the lowest pitch, looked at for every frame
PER_OCTAVE = 0.04  # of similarity that a period twice as long must bring: two periods repeat as well as one
FINE = 32_000  # lags a second at least: between coarse ones, a high pitch looks less alike than its octave below
SILENT = 1e-4  # of the power of the loudest frame: what is softer has no pitch


class Pitch(NamedTuple):
    """Pitch in Hz, and periodicity from 0 to 1 (a frame and its next period are the same), of every frame."""

    hz: NDArray[np.float32]
    periodicity: NDArray[np.float32]


def track(waves: ArrayLike, sample_rate: int, hop_length: int) -> Pitch:
    """Follow the pitch of sounds by their autocorrelation, normalised by the power of what is compared.

    (As in Boersma 1993, without his search for the smoothest path.) The pitch of a frame of low periodicity says
    nothing.

    Args:
        sample_rate: in Hz.
        hop: samples from one frame to the next; frame k is centred at (k + 0.5) * hop, as those of a spectrogram.

    Shape:
        waves (n, samples) or (samples,) → (n, samples // hop) each.
    """
    rate, waves = sample_rate, np.atleast_2d(np.asarray(waves, np.float64))
    frames = waves.shape[1] // hop_length
    length = int(PERIODS * rate / MIN_PITCH) // 2 * 2
    padded = np.pad(waves, ((0, 0), (length // 2, length + hop_length)))
    finer = -(-FINE // rate)
    steps = np.arange(int(finer * rate / MAX_PITCH) - 1, int(finer * rate / MIN_PITCH) + 2)  # 1 / finer samples each
    found = Pitch(np.empty((len(waves), frames), np.float32), np.empty((len(waves), frames), np.float32))
    for row, wave in enumerate(padded):
        pieces = np.lib.stride_tricks.sliding_window_view(wave, length)[hop_length // 2 :: hop_length][:frames]
        pieces = pieces - pieces.mean(axis=1, keepdims=True)
        spectra = np.abs(np.fft.rfft(pieces, 2 * length)) ** 2
        products = finer * np.fft.irfft(spectra, 2 * length * finer)[:, steps]
        power = np.repeat(pieces**2 / finer, finer, axis=1).cumsum(axis=1)
        whole = power[:, -1:]
        compared = power[:, length * finer - steps - 1] * (whole - power[:, steps - 1])
        alike = products / np.sqrt(compared + 1e-9 * whole.max() ** 2 + 1e-30)
        # Both ends of the range are only neighbours, for the parabola through the best and those beside it.
        best = 1 + np.argmax((alike - PER_OCTAVE * np.log2(steps))[:, 1:-1], axis=1)
        before, there, after = (np.take_along_axis(alike, best[:, None] + step, 1)[:, 0] for step in (-1, 0, 1))
        curve = before - 2 * there + after
        shift = np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=curve < 0)
        found.hz[row] = np.clip(finer * rate / (steps[best] + np.clip(shift, -0.5, 0.5)), MIN_PITCH, MAX_PITCH)
        found.periodicity[row] = np.clip(there, 0, 1) * (whole[:, 0] > SILENT * whole.max())
    return found
