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
    from soundgan.errors import AudioError as AudioError
    from soundgan.errors import DataError as DataError
    from soundgan.errors import ModelError as ModelError
    from soundgan.errors import SettingsError as SettingsError
    from soundgan.errors import SoundGANError as SoundGANError
    from soundgan.errors import TrainingError as TrainingError
    from soundgan.inference import spectrogram_to_wav as spectrogram_to_wav
    from soundgan.model import SoundGAN as SoundGAN
    from soundgan.settings import Settings as Settings
    from soundgan.settings import load_settings as load_settings
    from soundgan.sound import Sound as Sound

# ONNX Runtime sends usage data to its vendor, on Linux too, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "errors": ("AudioError", "DataError", "ModelError", "SettingsError", "SoundGANError", "TrainingError"),
    "inference": ("spectrogram_to_wav",),
    "model": ("SoundGAN",),
    "settings": ("Settings", "load_settings"),
    "sound": ("Sound",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [*_MODULE_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `soundgan --help` needs none of them."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'soundgan' has no attribute {name!r}")
    return getattr(importlib.import_module(f"soundgan.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
