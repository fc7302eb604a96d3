"""Grids of spectrograms of recordings and generated sounds of a folder."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.folders.data import SoundFolder
from benchmarks.folders.scores import labels_of
from soundgan.evaluation.features.logmel import Floats, LogMel
from soundgan.evaluation.sounds import Sounds
from soundgan.files import atomic_write
from soundgan.viz.spectrogram_figure import SpectrogramAxes, png, spectrogram_figure

MAX_LABELS = 6  # those of most recordings
MIN_ROWS = 4  # of the few labels that a folder may have
COLUMNS = 2  # sounds of each set in a row
BANDS, FRAMES = 64, 64  # of a spectrogram, whatever the length of the sound
COLORS = 64  # of the picture, which stays below 150 KB


def write_picture(folder: SoundFolder, generated: Mapping[str, Sounds], path: Path) -> Path:
    """Write a picture with a row per label, and two sounds of each set in a row: recordings, then every entrant."""
    counts = Counter(labels_of(folder.train))
    labels = sorted(label for label, _ in counts.most_common(MAX_LABELS))
    rows = [label for label in labels for _ in range(-(-MIN_ROWS // len(labels)))]
    frontend = LogMel(folder.sample_rate, folder.seconds, BANDS)
    sets = {"recordings": folder.train, **generated}
    groups = {name: _grid(sounds, rows, frontend) for name, sounds in sets.items()}
    axes = SpectrogramAxes(folder.seconds, frontend.band_centers, -frontend.range_db, 0.0, "dB, the loudest bin at 0")
    image = Image.open(io.BytesIO(png(spectrogram_figure(groups, axes, rows)))).convert("RGB")
    with atomic_write(path) as temporary:
        image.quantize(COLORS).save(temporary, optimize=True)
    return path


def _grid(sounds: Sounds, rows: list[str], frontend: LogMel) -> list[list[Floats]]:
    """Spectrograms of the sounds of each row's label, two by two; fewer where a label has fewer."""
    grid, used, labels = list[list[Floats]](), Counter[str](), labels_of(sounds)
    for label in rows:
        indices = [i for i, other in enumerate(labels) if other == label][used[label] : used[label] + COLUMNS]
        used[label] += COLUMNS
        grid.append([_resized(frontend.spectrograms([sounds.waves[i]])[0]) for i in indices])
    return grid


def _resized(spectrogram: Floats) -> NDArray[np.float32]:
    """Shape: (bands, frames) → (bands, `FRAMES`)."""
    image = Image.fromarray(spectrogram).resize((FRAMES, len(spectrogram)), Image.Resampling.BOX)
    return np.asarray(image, np.float32)
