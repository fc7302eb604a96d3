"""The classic pipeline: load the trained Generator, paint from noise, resize, make sound, keep a picture."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from soundgan import audio
from soundgan.errors import AudioError
from soundgan.model import SEEDS, SoundGAN
from soundgan.model_folder import CONFIG
from soundgan.picture import picture, resize, save_picture
from soundgan.settings import Settings, check_settings, load_settings
from soundgan.spectrogram import Representation, synthesise

DEFAULT_MODEL = "digits"


def inference(
    device: object,
    config: Settings | Mapping[str, Any] | str | Path,
    output_file: str | os.PathLike[str] = "output.wav",
    prod: bool = False,
) -> Path:
    """Make one new sound with the model in `saveroot` and write it to `output_file`.

    Args:
        device: `cuda`, `mps` or `cpu`, or anything whose text begins so, such as a `torch.device`; a device that is
            not there falls back to the CPU.
        config: settings, or a settings file. `saveroot` says where the model is; with none there, the bundled model
            plays and a line on stderr says so. `original_image_size` is the size that the painting is brought to.
        output_file: .wav, .flac or .ogg.
        prod: leave out the picture of the painting, which else is written beside the sound as .png.

    Returns:
        The path of the sound.

    Raises:
        SoundGANError: settings, model or output file are wrong; the message says how.
    """
    settings = _settings(config)
    model = SoundGAN.load(_model_of(settings), device=str(device or "cpu"))
    sound = model.generate(seed=secrets.randbelow(SEEDS))[0]
    path, painting = Path(output_file), sound.painting
    if settings.original_image_size is None:
        sound.save(path)
    else:
        painting = resize(painting, *settings.original_image_size)
        spectrogram_to_wav(
            painting,
            path,
            representation=model.representation.replaced(bands=painting.shape[0], frames=painting.shape[1]),
            tags=sound.tags,
        )
    if not prod:
        save_picture(picture(painting, zoom=4 if max(painting.shape) <= 256 else 1), path.with_suffix(".png"))
    return path


def spectrogram_to_wav(
    image: ArrayLike,
    output_path: str | os.PathLike[str],
    sr: int = 22050,
    hop_length: int = 512,
    n_fft: int = 1024,
    *,
    representation: Representation | None = None,
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write the sound of a mel spectrogram image at -1 dBFS peak.

    Args:
        image: (mel bands, frames), row 0 the lowest band. In any range: its minimum becomes -80 dB and its maximum
            0 dB. With `representation`, values are a painting's, from -1 at its floor to +1 at its ceiling.
        output_path: .wav, .flac or .ogg.
        sr: sample rate in Hz.   hop_length, n_fft: step and window of the STFT, in samples; hop_length divides n_fft.
        tags: see `audio.write`.

    Raises:
        AudioError: the image is not two-dimensional or not finite, or the file cannot be written.
    """
    values = np.asarray(image, np.float32)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise AudioError(f"image: must be a finite array of (bands, frames), not of shape {values.shape} or with NaN")
    if representation is None:
        if n_fft % hop_length or n_fft < 2 * hop_length:
            raise AudioError(f"hop_length = {hop_length}: must divide n_fft = {n_fft} at least twice")
        bands, frames = values.shape
        representation = Representation(
            sample_rate=sr, n_fft=n_fft, hop=hop_length, bands=bands, frames=frames,
            scale="mel", floor_db=-80, ceiling_db=0,
        )  # fmt: skip
        span = values.max() - values.min()
        values = (values - values.min()) / (span if span > 0 else 1) * 2 - 1
    wave = audio.level(synthesise(values, representation)[0], "peak")
    return audio.write(output_path, wave, representation.sample_rate, tags=tags)


def _settings(config: Settings | Mapping[str, Any] | str | Path) -> Settings:
    if isinstance(config, Settings):
        return config
    return check_settings(config) if isinstance(config, Mapping) else load_settings(config)


def _model_of(settings: Settings) -> str:
    if (Path(settings.saveroot) / CONFIG).is_file():
        return settings.saveroot
    print(f"No trained model in {settings.saveroot}: the bundled model {DEFAULT_MODEL} plays.", file=sys.stderr)
    return DEFAULT_MODEL
