"""Descriptors of a sound that a sound designer hears: attack, length, tone, level, clicks.

Unlike embeddings, each is one number with a unit, so that a difference between generated and real sounds says what is
wrong. None of them takes part in a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import ArrayLike, NDArray

from soundgan.audio.levels import decibels
from soundgan.evaluation.features.logmel import pad_to_frames
from soundgan.spectral.pitch import track

Floats = NDArray[np.float64]

LENGTH_DB = -40.0  # relative to the highest level of 10 ms: a sound ends where its level last exceeds this
DECAY_DB = -20.0  # relative to the highest level of 10 ms
TONE_WINDOW = 4096  # samples of the Welch spectrum, at any sample rate
TONE_MEDIAN_BINS = 31  # running median of the spectrum, which partials rise above
TONE_PROMINENCE_DB = 6.0
TONE_RANGE_DB = 60.0  # below the maximum of the spectrum; bins below it are not counted
PITCHED_PERIODICITY = 0.7  # frames of a lower periodicity have no pitch
MIN_PITCHED_FRAMES = 5  # of 10 ms; sounds with fewer have no pitch
LOWEST_PITCH, HIGHEST_PITCH = 40.0, 2000.0  # Hz
_ENVELOPE_SECONDS = 0.001
_LEVEL_SECONDS = 0.01


class Descriptor(StrEnum):
    """A descriptor of a sound, by its key in JSON."""

    LENGTH = "length"
    """Time from the first sample to the last at which the level of 10 ms exceeds -40 dB of its maximum, in s."""
    ATTACK = "attack"
    """Time from the first 10 % of the maximum of the envelope to the maximum, in ms."""
    DECAY = "decay"
    """Time from the maximum of the envelope to the last sample at which the level exceeds -20 dB, in s."""
    CENTROID = "centroid"
    """Mean frequency of the Welch spectrum, weighted by power, in Hz."""
    TONAL_SHARE = "tonal_share"
    """Share of the bins of the Welch spectrum within 60 dB of its maximum that rise 6 dB over the median of 31 bins."""
    CREST_FACTOR = "crest_factor"
    """Peak over root mean square up to the end of the sound (`LENGTH`), in dB."""
    LEVEL = "level"
    """Peak level, in dBFS."""
    FIRST_SAMPLE = "first_sample"
    """Magnitude of the first sample relative to the peak, from 0 to 1: a click, if high."""
    FLUTTER = "flutter"
    """Modulation of the envelope at the frame rate of the spectrogram, relative to neighboring rates, in dB."""
    PITCH = "pitch"
    """Median fundamental frequency, in Hz; NaN for sounds without pitch."""
    PITCH_RANGE = "pitch_range"
    """Distance of the 10th and 90th percentile of the fundamental frequency, in semitones; NaN without pitch."""


def describe(wave: ArrayLike, sample_rate: int, frame_rate: float) -> dict[Descriptor, float]:
    """Return the descriptors of a sound; NaN where one has no meaning, all of them for silence.

    Args:
        sample_rate: in Hz.
        frame_rate: of the spectrograms that generated sounds were synthesized from, in Hz; NaN without any. For
            `FLUTTER`.

    Shape:
        wave (samples,), without leveling and padding.

    Examples:
        >>> time = np.arange(8000) / 8000
        >>> bell = 0.5 * np.exp(-10 * time) * np.sin(2 * np.pi * 440 * time)
        >>> values = describe(bell, 8000, 86)
        >>> round(values[Descriptor.LENGTH], 2), round(values[Descriptor.DECAY], 2)  # ln(100) / 10, ln(10) / 10
        (0.47, 0.23)
        >>> round(values[Descriptor.PITCH]), round(values[Descriptor.CENTROID])
        (440, 440)
    """
    samples = np.asarray(wave, np.float64)
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak == 0.0:
        return dict.fromkeys(Descriptor, np.nan)
    envelope = _envelope(samples, sample_rate)
    loudest = int(envelope.argmax())
    level = _level(samples, sample_rate)
    end = _last_above(level, LENGTH_DB)
    active = samples[:end]
    padded = np.pad(samples, (0, max(0, TONE_WINDOW - len(samples))))
    frequencies, power = scipy.signal.welch(padded, sample_rate, nperseg=TONE_WINDOW)
    pitch, pitch_range = _pitch(active, sample_rate)
    return {
        Descriptor.LENGTH: end / sample_rate,
        Descriptor.ATTACK: 1000 * (loudest - int(np.argmax(envelope >= 0.1 * envelope[loudest]))) / sample_rate,
        Descriptor.DECAY: max(0, _last_above(level, DECAY_DB) - loudest) / sample_rate,
        Descriptor.CENTROID: float(np.average(frequencies, weights=power)),
        Descriptor.TONAL_SHARE: _tonal_share(power),
        Descriptor.CREST_FACTOR: decibels(peak / float(np.sqrt(np.mean(np.square(active))))),
        Descriptor.LEVEL: decibels(peak),
        Descriptor.FIRST_SAMPLE: float(abs(samples[0])) / peak,
        Descriptor.FLUTTER: _flutter(envelope[:end], sample_rate, frame_rate),
        Descriptor.PITCH: pitch,
        Descriptor.PITCH_RANGE: pitch_range,
    }


def describe_all(waves: Sequence[ArrayLike], sample_rate: int, frame_rate: float) -> dict[Descriptor, Floats]:
    """Return the descriptors of sounds of any lengths, as `describe`. Shape of each value: (n,)."""
    values = [describe(wave, sample_rate, frame_rate) for wave in waves]
    return {descriptor: np.array([value[descriptor] for value in values]) for descriptor in Descriptor}


def _envelope(samples: Floats, sample_rate: int) -> Floats:
    """Magnitude of the analytic signal, averaged over 1 ms. Shape: (n,) → (n,)."""
    length = scipy.fft.next_fast_len(2 * len(samples))  # padded, as the end of the sound would wrap to its start
    magnitude = np.abs(scipy.signal.hilbert(samples, length))[: len(samples)]
    return scipy.ndimage.uniform_filter1d(magnitude, max(1, round(_ENVELOPE_SECONDS * sample_rate)), mode="constant")


def _level(samples: Floats, sample_rate: int) -> Floats:
    """Mean power of the 10 ms around each sample. Shape: (n,) → (n,)."""
    return scipy.ndimage.uniform_filter1d(
        np.square(samples), max(1, round(_LEVEL_SECONDS * sample_rate)), mode="constant"
    )


def _last_above(power: Floats, threshold_db: float) -> int:
    """Samples up to the last one above a threshold relative to the maximum."""
    return int(np.flatnonzero(power >= 10 ** (threshold_db / 10) * power.max())[-1]) + 1


def _tonal_share(power: Floats) -> float:
    levels = 10 * np.log10(np.maximum(power, 1e-30))
    counted = levels > levels.max() - TONE_RANGE_DB
    background = scipy.ndimage.median_filter(levels, TONE_MEDIAN_BINS, mode="nearest")
    return float(np.mean(levels[counted] > background[counted] + TONE_PROMINENCE_DB))


def _flutter(envelope: Floats, sample_rate: int, frame_rate: float) -> float:
    """Modulation at the frame rate over that at 0.6 to 0.85 and 1.15 to 1.4 times the rate, in dB.

    The envelope is divided by its own course over three frames, so that loud and soft parts count alike. NaN for sounds
    of less than eight frames, and without a frame rate.
    """
    period = sample_rate / frame_rate
    if not len(envelope) >= 8 * period:  # NaN is neither
        return float("nan")
    course = scipy.ndimage.uniform_filter1d(envelope, round(3 * period), mode="nearest")
    modulation = envelope / np.maximum(course, 1e-12) - 1
    rates, power = scipy.signal.periodogram(modulation, sample_rate, window="hann", detrend="constant")
    relative = rates / frame_rate
    resolution = 2 * period / len(envelope)  # half the main lobe of the window, relative to the frame rate
    at_rate = power[np.abs(relative - 1) <= max(0.04, resolution / 2)]
    beside = power[(np.abs(relative - 1) >= max(0.15, resolution)) & (np.abs(relative - 1) <= 0.4)]
    return float(10 * np.log10(np.mean(at_rate) / max(float(np.mean(beside)), 1e-30))) if len(beside) else float("nan")


def _pitch(samples: Floats, sample_rate: int) -> tuple[float, float]:
    """Median pitch in Hz, and range in semitones, of the frames that have a pitch."""
    hop_length = max(1, round(_LEVEL_SECONDS * sample_rate))
    padded = pad_to_frames(samples, hop_length)
    pitch = track(padded, sample_rate, hop_length, lowest=LOWEST_PITCH, highest=HIGHEST_PITCH)
    hz, periodicity = (values[0].astype(np.float64) for values in pitch)
    # At the ends of the range, the period is beyond it: a sound below 40 Hz correlates best with the shortest lag.
    hz = hz[(periodicity >= PITCHED_PERIODICITY) & (hz > LOWEST_PITCH) & (hz < HIGHEST_PITCH)]
    if len(hz) < MIN_PITCHED_FRAMES:
        return float("nan"), float("nan")
    low, median, high = np.percentile(hz, (10, 50, 90))
    return float(median), float(12 * np.log2(high / low))
