"""The classic pipeline: load the trained generator, generate a spectrogram, resize and synthesize it, save an image."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from soundgan import audio
from soundgan.errors import AudioError, check_integer
from soundgan.model import SEEDS, SoundGAN
from soundgan.model_folder import CONFIG, DEFAULT_MODEL, bundled
from soundgan.settings import Settings, Size, check_settings, load_settings
from soundgan.sound import Sound, limit_and_fade
from soundgan.spectral.phase_retrieval import QUALITIES, Quality
from soundgan.spectral.representation import Representation, synthesize
from soundgan.spectral.stft import Floats
from soundgan.viz.spectrogram_image import picture, resize, save_picture

N_FFTS = range(16, 65_537)  # samples; a longer window spans whole sounds


def inference(
    device: object,
    config: Settings | Mapping[str, Any] | str | Path,
    output_file: str | os.PathLike[str] = "output.wav",
    prod: bool = False,
) -> Path:
    """Generate one sound with the model in `saveroot` and write it to `output_file`.

    Args:
        device: see `SoundGAN.load`; None is the CPU.
        config: settings, or a settings file. `saveroot` is the model folder, `original_image_size` the size to which
            the spectrogram is resized, and `output_level` the level of the sound, which is as long as the duration of
            the model. Without a model in `saveroot`, the bundled model is used without resizing, and a line on stderr
            says so.
        output_file: .wav, .flac or .ogg.
        prod: omit the image of the spectrogram, which otherwise is written beside the sound as .png.

    Returns:
        Path of the sound.

    Raises:
        SoundGANError: settings, model or output file are wrong.
    """
    if not isinstance(config, Settings):
        config = check_settings(config) if isinstance(config, Mapping) else load_settings(config)
    folder, size = model_and_size(config)
    model = SoundGAN.load(folder, device="cpu" if device is None else device)
    sound = model.generate(seed=secrets.randbelow(SEEDS), level=config.run.output_level, keep_length=True)[0]
    path = Path(output_file)
    spectrogram = save_at_size(sound, path, model.representation, size)
    if not prod:
        save_picture(picture(spectrogram, zoom=4 if max(spectrogram.shape) <= 256 else 1), path.with_suffix(".png"))
    return path


def spectrogram_to_wav(
    image: ArrayLike,
    output_path: str | os.PathLike[str],
    sr: int = 22050,
    hop_length: int = 512,
    n_fft: int = 1024,
    *,
    quality: Quality = "balanced",
    representation: Representation | None = None,
) -> Path:
    """Synthesize a mel spectrogram image and write the sound.

    Args:
        image: (mel bands, frames), row 0 the lowest band. In any range: its minimum becomes -80 dB and its maximum
            0 dB, and the sound is leveled to -1 dBFS peak. With `representation`, -1 is its floor and +1 its ceiling,
            and the sound keeps its level unless that exceeds full scale.
        output_path: .wav, .flac or .ogg.
        sr: sample rate in Hz.
        hop_length, n_fft: step and window of the STFT, in samples; hop_length divides n_fft at least twice.
        quality: of phase retrieval: "fast", "balanced" or "best".
        representation: of a model; replaces sr, hop_length and n_fft.

    Raises:
        AudioError: the image is not two-dimensional or not finite, another argument is out of range, or the file
            cannot be written.
    """
    values = _numbers(image)
    if quality not in list(QUALITIES):  # a list has no hash
        raise AudioError(f"quality = {quality!r}: must be one of {', '.join(QUALITIES)}")
    if representation is None:
        representation = _classic_representation(values.shape, sr, hop_length, n_fft)
        span = values.max() - values.min()
        spectrogram = ((values - values.min()) / (span if span > 0 else 1) * 2 - 1).astype(np.float32)
        wave = audio.level(synthesize(spectrogram, representation, quality=quality)[0], "peak")
    elif values.shape != representation.shape:
        raise AudioError(f"image: is of shape {values.shape}, its representation of {representation.shape}")
    else:
        wave = synthesize(values.astype(np.float32), representation, quality=quality)[0]
        wave = limit_and_fade(wave, representation.sample_rate)
    return audio.write(output_path, wave, representation.sample_rate)


def save_at_size(sound: Sound, path: Path, representation: Representation, size: Size | None) -> Floats:
    """Write a sound after resizing its spectrogram to (bands, frames), unless that is None; return the spectrogram.

    A resized sound has its end and level as well.

    Raises:
        AudioError: the file cannot be written.
    """
    if size is None:
        sound.save(path)
        return sound.spectrogram
    spectrogram = resize(sound.spectrogram, *size)
    bands, frames = spectrogram.shape
    lead_in = representation.lead_in * frames // representation.frames  # stretched with the rest
    resized = representation.with_changes(bands=bands, frames=frames, lead_in=lead_in)
    finish = sound.finish.stretched((frames - lead_in) / (representation.frames - representation.lead_in))
    wave = finish(synthesize(spectrogram, resized)[0], resized.sample_rate)
    audio.write(path, wave, resized.sample_rate, tags=sound.tags)
    return spectrogram


def model_and_size(settings: Settings) -> tuple[str | Path, Size | None]:
    """Return the model of the settings and the size to which its spectrograms are resized; the bundled one is not."""
    size = settings.spectrogram.original_image_size
    if (Path(settings.run.saveroot) / CONFIG).is_file():
        return settings.run.saveroot, size
    ignored = "" if size is None else ", without original_image_size"
    message = f"No trained model in {settings.run.saveroot}: using the bundled model {DEFAULT_MODEL}{ignored}."
    print(message, file=sys.stderr)
    return bundled().get(DEFAULT_MODEL, DEFAULT_MODEL), None


def _numbers(image: ArrayLike) -> NDArray[np.float64]:
    try:
        values = np.asarray(image, np.float64)
    except (TypeError, ValueError) as error:
        raise AudioError("image: must be an array of numbers, (bands, frames)") from error
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise AudioError(f"image: must be a finite array of (bands, frames), not of shape {values.shape} or with NaN")
    return values


def _classic_representation(shape: tuple[int, ...], sr: int, hop_length: int, n_fft: int) -> Representation:
    sizes = {
        "sample_rate": check_integer("sr", sr, audio.RATES, AudioError),
        "n_fft": check_integer("n_fft", n_fft, N_FFTS, AudioError),
        "hop_length": check_integer("hop_length", hop_length, range(1, N_FFTS[-1] // 2 + 1), AudioError),
    }
    image = {"bands": shape[0], "frames": shape[1], "scale": "mel", "floor_db": -80, "ceiling_db": 0}
    try:
        return Representation.model_validate(sizes | image)
    except ValidationError as error:  # each value is in range, so they do not fit together
        raise AudioError(
            f"hop_length = {hop_length}: must divide n_fft = {n_fft} at least twice, and n_fft - hop_length be even"
        ) from error
