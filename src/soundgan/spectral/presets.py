"""Presets of the representation by sample rate."""

from __future__ import annotations

import math
from typing import NamedTuple

from soundgan.spectral.representation import Representation, Scale

_MAX_FRAMES = 432  # longer sounds get 50 % overlap where their preset has 75 %
_FRAMES_MULTIPLE = 16  # the networks need it, and twice as much from FINE_BANDS bands on

FINE_BANDS = 256  # from which on the networks generate larger patches


class STFTPreset(NamedTuple):
    """Values of a representation for a sample rate: in samples, bands, frames, and dB."""

    n_fft: int
    hop_length: int
    bands: int
    lead_in: int
    scale: Scale
    range_db: float


PRESETS = {  # by sample rate, in Hz; measured in docs/decisions/representation.md
    8000: STFTPreset(256, 128, 128, 0, "linear", 70.0),
    16000: STFTPreset(512, 128, 256, 2, "linear", 80.0),
    22050: STFTPreset(512, 128, 256, 2, "linear", 80.0),
    44100: STFTPreset(1024, 256, 512, 2, "linear", 80.0),
    48000: STFTPreset(1024, 256, 512, 2, "linear", 80.0),
}


def preset(
    sample_rate: int,
    duration: float,
    *,
    bands: int | None = None,
    frames: int | None = None,
    range_db: float | None = None,
    scale: Scale | None = None,
    overlap: int | None = None,
) -> Representation:
    """Return the representation for a sample rate and a duration; arguments left out are chosen from these two.

    The ceiling is 0 dBFS, until it is measured on data.

    Args:
        sample_rate: 8000, 16000, 22050, 44100 or 48000 Hz.
        duration: 0.25 to 10 s.
        bands: rows of a spectrogram.
        frames: columns of a spectrogram; by default lead-in and duration, rounded up to a multiple of 16 frames, or of
            32 from 256 bands on.
        range_db: range of levels of a spectrogram, in dB.
        scale: spacing of the bands over frequency.
        overlap: n_fft / hop_length, 2, 4 or 8.

    Raises:
        ValueError: the sample rate has no preset, or the duration or the overlap is out of range.

    Examples:
        >>> representation = preset(16000, 1.0)
        >>> representation.shape, representation.hop_length, representation.duration
        ((256, 128), 128, 1.008)
        >>> preset(16000, 1.0, overlap=2).hop_length
        256
    """
    if overlap not in (None, 2, 4, 8):
        raise ValueError(f"overlap = {overlap}: must be 2, 4 or 8")
    if sample_rate not in PRESETS:
        raise ValueError(f"sample_rate = {sample_rate}: must be one of {', '.join(map(str, PRESETS))} Hz")
    if not 0.25 <= duration <= 10:
        raise ValueError(f"duration = {duration}: must be between 0.25 and 10 s")
    n_fft, hop_length, preset_bands, lead_in, preset_scale, preset_range = PRESETS[sample_rate]
    bands = bands or preset_bands
    samples = duration * sample_rate
    if overlap is not None:
        hop_length = n_fft // overlap
    elif frames is None and samples > _MAX_FRAMES * hop_length and n_fft // hop_length > 2:
        hop_length *= 2
    if frames is None:
        frames = _frames_for(samples, hop_length, lead_in, bands)
    return Representation(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        bands=bands,
        frames=frames,
        lead_in=lead_in,
        scale=scale or preset_scale,
        floor_db=-(range_db or preset_range),
        ceiling_db=0.0,
    )


def with_duration(representation: Representation, duration: float) -> Representation:
    """Return a representation with the frames that a duration (s) needs, rounded up as in `preset`."""
    rep = representation
    samples = duration * rep.sample_rate
    return rep.with_changes(frames=_frames_for(samples, rep.hop_length, rep.lead_in, rep.bands))


def _frames_for(samples: float, hop_length: int, lead_in: int, bands: int) -> int:
    multiple = _FRAMES_MULTIPLE * (2 if bands >= FINE_BANDS else 1)
    return multiple * math.ceil((lead_in + round(samples) / hop_length) / multiple)
