"""SoundGAN: generation of sounds by a GAN on spectrograms, trained on a folder of sounds.

from soundgan import SoundGAN
SoundGAN.load("digits").generate(label="3", seed=7)[0].save("three.wav")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from soundgan.version import __version__ as __version__

if TYPE_CHECKING:
    from soundgan.errors import AudioError, DataError, ModelError, SettingsError, SoundGANError, TrainingError
    from soundgan.inference import spectrogram_to_wav
    from soundgan.model import SoundGAN
    from soundgan.settings import Settings, load_settings
    from soundgan.sound import Sound

# ONNX Runtime sends usage data to its vendor, on Linux too, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY_IMPORTS = {
    "SoundGAN": "model",
    "Sound": "sound",
    "Settings": "settings",
    "load_settings": "settings",
    "spectrogram_to_wav": "inference",
    "SoundGANError": "errors",
    "SettingsError": "errors",
    "AudioError": "errors",
    "DataError": "errors",
    "ModelError": "errors",
    "TrainingError": "errors",
}

__all__ = [
    "AudioError",
    "DataError",
    "ModelError",
    "Settings",
    "SettingsError",
    "Sound",
    "SoundGAN",
    "SoundGANError",
    "TrainingError",
    "load_settings",
    "spectrogram_to_wav",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `soundgan --help` needs none of them."""
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module 'soundgan' has no attribute {name!r}")
    return getattr(importlib.import_module(f"soundgan.{_LAZY_IMPORTS[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
