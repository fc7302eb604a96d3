"""Sound files in and out, resampling and levels, in float32 and dBFS."""

from soundgan.audio.decode import TruncatedWarning
from soundgan.audio.io import (
    FORMATS,
    RATES,
    SUBTYPES,
    AudioInfo,
    ClippingWarning,
    Format,
    LevelMethod,
    Subtype,
    encode,
    level,
    peak_db,
    probe,
    read,
    read_tags,
    resample,
    rms_db,
    write,
)
from soundgan.errors import AudioError

__all__ = [
    "FORMATS",
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
    "level",
    "peak_db",
    "probe",
    "read",
    "read_tags",
    "resample",
    "rms_db",
    "write",
]
