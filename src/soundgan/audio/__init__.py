"""Sound files, resampling and levels.

A wave is a float32 array of shape (samples,). Full scale is 1.0, and levels are in dBFS: decibels relative to that.
"""

from soundgan.audio.decode import TruncatedWarning
from soundgan.audio.levels import FADE_SECONDS, PEAK_DB, LevelMethod, gain_db, level, peak_db, rms_db
from soundgan.audio.reader import AudioInfo, probe, read
from soundgan.audio.resampling import resample
from soundgan.audio.tags import read_tags
from soundgan.audio.writer import FORMATS, RATES, SUBTYPES, ClippingWarning, Format, Subtype, encode, write
from soundgan.errors import AudioError

__all__ = [
    "FADE_SECONDS",
    "FORMATS",
    "PEAK_DB",
    "RATES",
    "SUBTYPES",
    "AudioError",
    "AudioInfo",
    "ClippingWarning",
    "Format",
    "LevelMethod",
    "Subtype",
    "TruncatedWarning",
    "encode",
    "gain_db",
    "level",
    "peak_db",
    "probe",
    "read",
    "read_tags",
    "resample",
    "rms_db",
    "write",
]
