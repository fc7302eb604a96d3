"""Grids of spectrograms: every one at its position, with axes in s, kHz and dB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soundgan.spectral.presets import preset
from soundgan.viz.spectrogram_figure import SpectrogramAxes, save_figure, spectrogram_figure
from soundgan.viz.spectrogram_image import COLORMAP

AXES = SpectrogramAxes(0.8, np.geomspace(60, 20_000, 16), -80.0, 0.0)


def flat(level: float, bands: int = 16, frames: int = 10) -> np.ndarray:
    return np.full((bands, frames), level, np.float32)


def test_every_spectrogram_is_at_its_position() -> None:
    groups = {"real": [[flat(-1), flat(0)], [flat(1)]], "generated": [[flat(-0.5)[None]], [flat(0.5)[None]]]}
    plot = spectrogram_figure(groups, AXES).axes[0]
    sheet = np.ma.filled(plot.images[0].get_array().astype(float), np.nan)  # type: ignore[union-attr]
    headings = {text.get_text(): round(text.get_position()[0]) for text in plot.texts}
    top, bottom = 0, 17
    assert headings["real"] == 0
    right = headings["generated"]
    for row, column, level in (top, 0, -1), (top, 11, 0), (bottom, 0, 1), (top, right, -0.5), (bottom, right, 0.5):
        assert (sheet[row : row + 16, column : column + 10] == level).all()
    assert np.isnan(sheet[bottom : bottom + 16, 11:21]).all(), "the shorter row ends in the background"


def test_low_frequencies_are_at_the_bottom() -> None:
    spectrogram = flat(-1)
    spectrogram[0] = 1
    image = spectrogram_figure({"": [[spectrogram]]}, AXES).axes[0].images[0].get_array()
    assert image is not None and image[15, 0] == 1 and image[0, 0] == -1


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_frequency_ticks_are_at_their_bands(rate: int) -> None:
    representation = preset(rate, 1.0)
    axes = SpectrogramAxes(representation.duration, representation.band_centers, -80, 0)
    plot = spectrogram_figure({"": [[flat(0, *representation.shape)]]}, axes).axes[0]
    ticks = {float(label.get_text()): y for label, y in zip(plot.get_yticklabels(), plot.get_yticks(), strict=True)}
    assert len(ticks) >= 3
    for kilohertz, y in ticks.items():
        band = representation.bands - y - 0.5
        center = np.interp(band, np.arange(representation.bands), representation.band_centers)
        assert center == pytest.approx(1000 * kilohertz, rel=0.03)


def test_time_ticks_begin_with_every_spectrogram() -> None:
    plot = spectrogram_figure({"": [[flat(0), flat(0)]]}, AXES).axes[0]
    labels = [label.get_text() for label in plot.get_xticklabels()]
    assert labels == ["0", "0.5"] * 2
    assert plot.get_xticks() == pytest.approx([0, 0.5 / 0.8 * 10, 11, 11 + 0.5 / 0.8 * 10])


def test_color_bar_spans_the_levels() -> None:
    _, bar = spectrogram_figure({"": [[flat(0)]]}, AXES).axes
    assert bar.get_ylim() == (-80, 0) and bar.get_ylabel() == "dBFS"


def test_pixels_have_the_colors_of_the_pictures_and_no_band_is_lost(tmp_path: Path) -> None:
    spectrogram = np.linspace(-1, 1, 200 * 3, dtype=np.float32).reshape(200, 3)
    axes = AXES._replace(band_centers=np.linspace(60, 20_000, 200))
    with Image.open(save_figure(spectrogram_figure({"": [[spectrogram]]}, axes), tmp_path / "a.png")) as image:
        seen = {tuple(color) for color in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}
    assert {tuple(color) for color in COLORMAP.tolist()} <= seen
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["$x^$", "日本", "<b>&", "a" * 200])
def test_any_name_can_be_drawn(name: str, tmp_path: Path) -> None:
    figure = spectrogram_figure({name: [[flat(0)]]}, AXES, [name])
    assert [text.get_text() for text in figure.axes[0].texts].count(name) == 2
    save_figure(figure, tmp_path / "a.png")
