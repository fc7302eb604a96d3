"""Spectrogram images (PIL): low frequencies at the bottom, time to the right, brighter is louder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from soundgan.files import atomic_write

# Dark-to-bright colormap of steadily rising lightness, from silence (-1) to the loudest (+1), between anchors in RGB.
_COLORMAP_ANCHORS = np.array(
    [(6, 6, 20), (38, 18, 84), (98, 26, 118), (163, 44, 105), (219, 80, 68), (247, 146, 36), (250, 213, 84),
     (253, 252, 214)]
)  # fmt: skip
_LEVELS = 255  # colors of the levels; the 256th is the background of a grid
_POSITIONS = np.linspace(0, len(_COLORMAP_ANCHORS) - 1, _LEVELS)
_CHANNELS = [np.interp(_POSITIONS, range(len(_COLORMAP_ANCHORS)), channel) for channel in _COLORMAP_ANCHORS.T]
COLORMAP = np.stack(_CHANNELS, axis=1).round().astype(np.uint8)
_BACKGROUND = (236, 236, 232)
_PALETTE = COLORMAP.tobytes() + bytes(_BACKGROUND)


def picture(spectrogram: NDArray[np.float32], *, zoom: int = 1) -> Image.Image:
    """Picture of a spectrogram: (bands, frames) or (channels, bands, frames) in [-1, 1] → frames × bands pixels.

    The colors are a palette, which keeps the PNG small.
    """
    spectrogram = np.asarray(spectrogram, np.float32)
    if spectrogram.ndim == 3:
        spectrogram = spectrogram[0]
    level = (np.clip(spectrogram[::-1], -1, 1) + 1) / 2 * (_LEVELS - 1) + 0.5
    image = Image.fromarray(level.astype(np.uint8)).convert("L")
    image.putpalette(_PALETTE)
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST) if zoom > 1 else image


def grid(rows: Sequence[Sequence[NDArray[np.float32]]], *, zoom: int = 2, gap: int = 4) -> Image.Image:
    """Pictures of spectrograms of the same size in rows, on a light background; rows may differ in length."""
    pictures = [[picture(spectrogram, zoom=zoom) for spectrogram in row] for row in rows]
    width, height = pictures[0][0].size
    size = max(map(len, pictures)) * (width + gap) + gap, len(pictures) * (height + gap) + gap
    sheet = Image.new("P", size, _LEVELS)
    sheet.putpalette(_PALETTE)
    for row, images in enumerate(pictures):
        for column, image in enumerate(images):
            sheet.paste(image, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet


def save_picture(image: Image.Image, path: str | Path) -> Path:
    """Write a picture as PNG; an existing file is replaced only by a complete one."""
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)
    return Path(path)


def resize(spectrogram: NDArray[np.float32], bands: int, frames: int) -> NDArray[np.float32]:
    """Resize a (bands, frames) spectrogram with bicubic interpolation, clipped to [-1, 1]."""
    image = Image.fromarray(np.asarray(spectrogram, np.float32))
    return np.clip(np.asarray(image.resize((frames, bands), Image.Resampling.BICUBIC)), -1, 1)
