"""Folders of tones, and their surveys and datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import recordings
import soundfile
from numpy.typing import NDArray

from soundgan.data import dataset, survey
from soundgan.data.scan import scan
from soundgan.settings import check_settings

RATE = 8000


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine of 0.3 s at 8 kHz; every frequency is another sound."""
    return recordings.sine(frequency, seconds, rate, amplitude)


def write_sound(path: Path, wave: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype)
    return path


def survey_folder(folder: Path, **changes: Any) -> survey.Survey:
    settings = check_settings(changes)
    return survey.survey(scan(folder, settings.data.exclude), settings.data, settings.spectrogram)


def prepare_folder(
    folder: Path, progress: survey.ProgressCallback = lambda done, total: None, **changes: Any
) -> dataset.Dataset:
    """Prepare a folder with a cache beside it."""
    settings = check_settings(changes)
    return dataset.prepare(folder, settings.data, settings.spectrogram, folder.parent / "cache", progress)


def skipped_kinds(surveyed: survey.Survey) -> dict[str, str]:
    return {item.path.relative_to(surveyed.scanned.folder).as_posix(): item.reason for item in surveyed.skipped}
