"""Grids of spectrograms with axes in s and kHz and a color bar in dB, drawn by matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.files import atomic_write
from soundgan.viz.spectrogram_image import COLORMAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_PIXELS, DPI = 64, 110  # height and width of a spectrogram, and pixels per inch
GAP = 0.06  # between two spectrograms, relative to their size; five times as much between groups
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.75, 0.85, 0.5, 0.3  # margins, in inches
_FREQUENCIES = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)  # Hz, candidates for ticks
_MIN_TICK_DISTANCE = 0.16  # relative to the height of a spectrogram


class SpectrogramAxes(NamedTuple):
    """Units of the spectrograms of a figure.

    Attributes:
        seconds: duration, in s.
        band_centers: center frequency of every band, ascending, in Hz.
        floor_db, ceiling_db: levels of the values -1 and +1, in `unit`.
        unit: dBFS, or dB relative to the loudest bin of each sound.
    """

    seconds: float
    band_centers: NDArray[np.float64]
    floor_db: float
    ceiling_db: float
    unit: str = "dBFS"


def spectrogram_figure(
    groups: Mapping[str, Sequence[Sequence[NDArray[np.float32]]]], axes: SpectrogramAxes, names: Sequence[str] = ()
) -> Figure:
    """A grid of spectrograms in [-1, 1], all of one size, low frequencies at the bottom.

    Args:
        groups: rows of spectrograms (bands, frames) or (channels, bands, frames) by heading; groups stand side by
            side, and their rows may differ in length.
        axes: units of all spectrograms.
        names: of the rows.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    bands, frames = next(image for grid in groups.values() for row in grid for image in row).shape[-2:]
    row_step, column_step = bands + round(GAP * bands), frames + round(GAP * frames)
    rows, columns = max(map(len, groups.values())), [max(map(len, grid)) for grid in groups.values()]
    starts = [k * 5 * round(GAP * frames) + sum(columns[:k]) * column_step for k in range(len(groups))]
    sheet = np.full((rows * row_step, starts[-1] + columns[-1] * column_step), np.nan, np.float32)
    for start, grid in zip(starts, groups.values(), strict=True):
        for row, spectrograms in enumerate(grid):
            for column, spectrogram in enumerate(spectrograms):
                top, left = row * row_step, start + column * column_step
                image = np.asarray(spectrogram, np.float32)
                sheet[top : top + bands, left : left + frames] = (image[0] if image.ndim == 3 else image)[::-1]

    zoom_x, zoom_y = -(-MIN_PIXELS // frames), -(-MIN_PIXELS // bands)
    width, height = sheet.shape[1] * zoom_x / DPI, sheet.shape[0] * zoom_y / DPI
    total_width, total_height = width + _LEFT + _RIGHT, height + _BOTTOM + _TOP
    figure = Figure((total_width, total_height), dpi=DPI)
    bottom, relative_height = _BOTTOM / total_height, height / total_height
    plot = figure.add_axes((_LEFT / total_width, bottom, width / total_width, relative_height))
    plot.imshow(sheet, ListedColormap(COLORMAP / 255), Normalize(-1, 1), aspect="auto", interpolation="nearest")
    plot.spines[:].set_visible(False)
    for start, heading in zip(starts, groups, strict=True):
        plot.text(start, -0.05 * bands, heading, weight="bold", va="bottom", parse_math=False)
    for row, name in enumerate(names):
        x, y = -0.58 * DPI / zoom_x, row * row_step + bands / 2
        plot.text(x, y, name, rotation=90, ha="center", va="center", parse_math=False)
    frequencies, time = _frequency_ticks(axes.band_centers), _time_tick(axes.seconds)
    plot.set_yticks(
        [row * row_step + bands * (1 - position) for row in range(rows) for position in frequencies.values()],
        [f"{frequency / 1000:g}" for frequency in frequencies] * rows,
    )
    lefts = [start + k * column_step for start, count in zip(starts, columns, strict=True) for k in range(count)]
    ticks = [left + moment / axes.seconds * frames for left in lefts for moment in (0, time)]
    plot.set_xticks(ticks, ["0", f"{time:g}"] * len(lefts))
    plot.tick_params(labelsize=8)
    plot.text(-0.04 * frames, -0.05 * bands, "kHz", size=8, ha="right", va="bottom")
    plot.text(sheet.shape[1], sheet.shape[0] + 0.04 * bands, "s", size=8, ha="right", va="top")
    bar = figure.add_axes(((_LEFT + width + 0.05) / total_width, bottom, 0.12 / total_width, relative_height))
    levels = ScalarMappable(Normalize(axes.floor_db, axes.ceiling_db), ListedColormap(COLORMAP / 255))
    figure.colorbar(levels, bar, label=axes.unit)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; an existing file is replaced only by a complete one."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(png(figure))
    return path


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # names in any script
        figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 3})  # 6, the default, takes 3 times as long
    return buffer.getvalue()


def _time_tick(seconds: float) -> float:
    """Largest round number of seconds that leaves room for the 0 of the next spectrogram."""
    power = 10.0 ** np.floor(np.log10(seconds))
    candidates = [step * scale for scale in (power / 10, power) for step in (1, 2, 5)]
    return float(max(time for time in candidates if time <= 0.75 * seconds))


def _frequency_ticks(band_centers: NDArray[np.float64]) -> dict[int, float]:
    """Positions of round frequencies (Hz) from 0, the bottom, to 1, the top."""
    ticks = dict[int, float]()
    positions = (np.arange(len(band_centers)) + 0.5) / len(band_centers)
    for frequency in reversed(_FREQUENCIES):
        position = float(np.interp(frequency, band_centers, positions, left=-1, right=-1))
        if position >= 0 and all(abs(position - other) >= _MIN_TICK_DISTANCE for other in ticks.values()):
            ticks[frequency] = position
    return ticks
