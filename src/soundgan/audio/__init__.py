"""Sound files, resampling and levels.

A wave is a float32 array of shape (samples,). Full scale is 1.0, and levels are in dBFS: decibels relative to that.
"""

from soundgan.audio.decode import TruncatedWarning
from soundgan.audio.levels import (
    FADE_SECONDS,
    PEAK_DB,
    LevelMethod,
    end_of_sound,
    gain_db,
    level,
    peak_db,
    rms_db,
)
from soundgan.audio.loudness import loudness_lufs, true_peak_db
from soundgan.audio.reader import AudioInfo, probe, read, read_tags, resample
from soundgan.audio.writer import FORMATS, RATES, ClippingWarning, Format, Subtype, encode, write

__all__ = [
    "FADE_SECONDS",
    "FORMATS",
    "PEAK_DB",
    "RATES",
    "AudioInfo",
    "ClippingWarning",
    "Format",
    "LevelMethod",
    "Subtype",
    "TruncatedWarning",
    "encode",
    "end_of_sound",
    "gain_db",
    "level",
    "loudness_lufs",
    "peak_db",
    "probe",
    "read",
    "read_tags",
    "resample",
    "rms_db",
    "true_peak_db",
    "write",
]
