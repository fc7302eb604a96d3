"""The naive peer: variations of the recordings themselves, as samplers and game engines play them, without training.

Every sound is a recording of its label, or a crossfade from one to another, resampled, filtered, shifted and changed in
gain. All of it is copied: the peer is a bound of similarity, and has no sound that the recordings do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.signal
import soxr

from .wgan_gp import Floats, TrainingSounds

SEMITONES = 3.0  # largest change of pitch up or down, and of speed with it
MIX_PROBABILITY = 0.5  # of a crossfade, for labels of two recordings or more
DETUNE_SEMITONES = 0.5  # largest difference in pitch of the second recording of a crossfade
CROSSFADE_MIDDLE, CROSSFADE_LENGTH = (0.2, 0.6), (0.1, 0.5)  # relative to the shorter recording
TILT_DB, TILT_HERTZ = 3.0, 1000.0  # largest gain far above the pivot, and loss far below it; or the reverse
GAIN_DB = 3.0
SHIFT_SECONDS = 0.005
FADE_SECONDS = 0.001  # at a start or end that is cut, to avoid a click


@dataclass(frozen=True)
class ResampledRecordings:
    """Variations of recordings. `peer(labels, seed)` generates a wave (samples,) for each label.

    Args:
        sounds: recordings, at their own levels; generated sounds are cut at their `seconds`.
    """

    sounds: TrainingSounds

    def __call__(self, labels: Sequence[int], seed: int) -> list[Floats]:
        """Generate a wave for each label, of any length; identical for the same seed, independent of the others."""
        return [self._vary(label, np.random.default_rng((seed, index))) for index, label in enumerate(labels)]

    @property
    def settings(self) -> dict[str, Any]:
        """Limits of the variations for a table."""
        return {"semitones": SEMITONES, "mix_probability": MIX_PROBABILITY, "tilt_db": TILT_DB, "gain_db": GAIN_DB}

    def _vary(self, label: int, rng: np.random.Generator) -> Floats:
        recordings, rate = self._recordings(label), self.sounds.sample_rate
        first, second = rng.permutation(len(recordings))[[0, -1]]
        semitones = rng.uniform(-SEMITONES, SEMITONES)
        wave = transpose(recordings[first], semitones)
        if first != second and rng.random() < MIX_PROBABILITY:
            other = transpose(recordings[second], semitones + rng.uniform(-DETUNE_SEMITONES, DETUNE_SEMITONES))
            wave = crossfade(wave, other, rng.uniform(*CROSSFADE_MIDDLE), rng.uniform(*CROSSFADE_LENGTH))
        wave = tilt(wave, rng.uniform(-TILT_DB, TILT_DB), rate)
        wave = shift(wave, round(rng.uniform(-SHIFT_SECONDS, SHIFT_SECONDS) * rate), rate)
        wave = wave * np.float32(10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20))
        return cut(wave, round(self.sounds.seconds * rate), rate) / max(1.0, float(np.abs(wave).max()))

    def _recordings(self, label: int) -> list[Floats]:
        waves, labels = self.sounds.waves, self.sounds.labels
        return [wave for index, wave in enumerate(waves) if not labels or labels[index] == label]


def transpose(wave: Floats, semitones: float) -> Floats:
    """Change pitch and speed together, as a tape does. Shape: (n,) → (n / 2^(semitones / 12),)."""
    return soxr.resample(wave, 2 ** (semitones / 12), 1.0, quality="HQ")


def crossfade(first: Floats, second: Floats, middle: float, length: float) -> Floats:
    """The start of one sound and the end of another, at equal power, with the second at the level of the first.

    Args:
        middle: of the crossfade, relative to the shorter sound.
        length: of the crossfade, relative to the shorter sound.

    Shape:
        (n,), (m,) → (m,)
    """
    shorter = min(len(first), len(second))
    samples = round(length * shorter)
    start = int(np.clip(middle * shorter - samples / 2, 0, shorter - samples))
    angle = np.linspace(0, np.pi / 2, samples, dtype=np.float32)
    levels = [float(np.sqrt(np.mean(np.square(wave[start:shorter], dtype=np.float64)))) for wave in (first, second)]
    mixed = second * np.float32(np.clip(levels[0] / max(levels[1], 1e-9), 0.1, 10))  # ±20 dB, as ends may be silent
    mixed[start : start + samples] *= np.sin(angle)
    mixed[start : start + samples] += np.cos(angle) * first[start : start + samples]
    mixed[:start] = first[:start]
    return mixed


def tilt(wave: Floats, gain_db: float, sample_rate: int) -> Floats:
    """Tilt the spectrum around 1 kHz: `gain_db` far above, -`gain_db` far below. Shape: (n,) → (n,).

    A first-order shelf, causal and of minimum phase, so that no sound precedes a hit.
    """
    gain, pivot = 10 ** (gain_db / 20), 2 * np.pi * TILT_HERTZ
    # Gain 1 / g at 0 Hz, g at infinity, 1 at the pivot.
    numerator, denominator = [gain, pivot], [1, pivot * gain]
    b, a = scipy.signal.bilinear(numerator, denominator, sample_rate)
    return np.asarray(scipy.signal.lfilter(b, a, wave), np.float32)


def shift(wave: Floats, samples: int, sample_rate: int) -> Floats:
    """Start later, behind silence, or earlier, without the first samples of the sound, which then fades in."""
    if samples >= 0 or -samples >= len(wave):
        return np.pad(wave, (max(0, samples), 0))
    wave, fading = wave[-samples:].copy(), round(FADE_SECONDS * sample_rate)
    wave[:fading] *= np.linspace(0, 1, fading, dtype=np.float32)[: len(wave)]
    return wave


def cut(wave: Floats, samples: int, sample_rate: int) -> Floats:
    """Cut a sound at a length, where it fades out."""
    if len(wave) <= samples:
        return wave
    wave, fading = wave[:samples].copy(), round(FADE_SECONDS * sample_rate)
    wave[-fading:] *= np.linspace(1, 0, fading, dtype=np.float32)[-samples:]
    return wave
