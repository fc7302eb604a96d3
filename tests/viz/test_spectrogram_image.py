"""Pictures: low frequencies at the bottom, time to the right, brighter is louder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from soundgan.viz.spectrogram_image import grid, picture, resize, save_picture

SIDES = st.integers(1, 40)
LEVELS = st.floats(-1, 1, width=32)


def lightness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* of sRGB pixels: 0 is black, 100 is white."""
    value = pixels / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def colors(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


def pixels(spectrogram: NDArray[np.float32], zoom: int = 1) -> NDArray[np.uint8]:
    return colors(picture(spectrogram, zoom=zoom))


def test_low_frequencies_are_at_the_bottom_and_time_runs_right() -> None:
    spectrogram = np.full((8, 5), -1, np.float32)
    spectrogram[1, 3] = 1  # the second lowest band in the fourth frame
    bright = lightness(pixels(spectrogram))
    assert bright.shape == (8, 5)
    assert np.unravel_index(bright.argmax(), bright.shape) == (8 - 1 - 1, 3)


def test_louder_is_lighter_at_every_level() -> None:
    ramp = lightness(pixels(np.linspace(-1, 1, 1001, dtype=np.float32)[None])[0])
    assert ramp[0] < 5 and ramp[-1] > 95
    # Rounding to 8 bits may lose a little; over a hundredth of the range lightness must rise, and nowhere in a jump.
    assert (np.diff(ramp) > -0.1).all() and (np.diff(ramp[::10]) > 0.2).all() and np.diff(ramp[::10]).max() < 2.5


@given(bands=SIDES, frames=SIDES, zoom=st.integers(1, 3), channels=st.integers(0, 3))
def test_size_is_frames_by_bands(bands: int, frames: int, zoom: int, channels: int) -> None:
    shape = (channels, bands, frames) if channels else (bands, frames)
    image = picture(np.zeros(shape, np.float32), zoom=zoom)
    assert image.size == (frames * zoom, bands * zoom)


def test_first_channel_is_drawn_and_excess_is_clipped() -> None:
    spectrogram = np.random.default_rng(0).uniform(-1, 1, (3, 6, 7)).astype(np.float32)
    assert np.array_equal(pixels(spectrogram), pixels(spectrogram[0]))
    assert np.array_equal(pixels(spectrogram[0] * 9), pixels(np.clip(spectrogram[0] * 9, -1, 1)))


def test_zoom_repeats_pixels() -> None:
    spectrogram = np.random.default_rng(0).uniform(-1, 1, (6, 7)).astype(np.float32)
    assert np.array_equal(pixels(spectrogram, zoom=3), pixels(spectrogram).repeat(3, 0).repeat(3, 1))


def test_grid_contains_every_picture_at_its_position() -> None:
    levels = [[-1, 0, 1], [0.5]]
    sheet = colors(grid([[np.full((4, 6), x, np.float32) for x in row] for row in levels], zoom=2, gap=3))
    assert sheet.shape == (2 * (8 + 3) + 3, 3 * (12 + 3) + 3, 3)
    for row, spectrograms in enumerate(levels):
        for column, level in enumerate(spectrograms):
            top, left = 3 + row * 11, 3 + column * 15
            assert (sheet[top : top + 8, left : left + 12] == pixels(np.full((1, 1), level, np.float32))).all()
    ground = sheet[0, 0]
    assert (sheet[14:22, 18:] == ground).all(), "the shorter row ends in the ground"


def test_png_is_complete_and_lossless(tmp_path: Path) -> None:
    spectrogram = np.random.default_rng(0).uniform(-1, 1, (16, 9)).astype(np.float32)
    path = save_picture(picture(spectrogram), tmp_path / "a.png")
    with Image.open(path) as image:
        assert image.format == "PNG" and image.size == (9, 16)
        assert np.array_equal(colors(image), pixels(spectrogram)), "PNG loses nothing"
    assert os.listdir(tmp_path) == ["a.png"]


# Resizing


@given(level=LEVELS, old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES))
def test_resizing_keeps_a_constant(level: float, old: tuple[int, int], new: tuple[int, int]) -> None:
    resized = resize(np.full(old, level, np.float32), *new)
    assert resized.shape == new and resized.dtype == np.float32
    np.testing.assert_allclose(resized, level, atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES))
def test_resizing_keeps_the_range(seed: int, old: tuple[int, int], new: tuple[int, int]) -> None:
    spectrogram = np.random.default_rng(seed).choice(
        np.array([-1, 1], np.float32), old
    )  # where a cubic overshoots most
    assert np.abs(resize(spectrogram, *new)).max() <= 1


def test_resizing_to_its_own_size_changes_nothing() -> None:
    spectrogram = np.random.default_rng(0).uniform(-1, 1, (12, 20)).astype(np.float32)
    assert np.array_equal(resize(spectrogram, 12, 20), spectrogram)


def test_resizing_keeps_positions() -> None:
    bands, frames = np.mgrid[0:32, 0:48].astype(np.float32)
    ramp = (bands + 0.5) / 32 - (frames + 0.5) / 48
    resized = resize(ramp, 64, 24)
    bands, frames = np.mgrid[0:64, 0:24]
    expected = (bands + 0.5) / 64 - (frames + 0.5) / 24
    assert np.abs(resized - expected)[4:-4, 4:-4].max() < 1e-4


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout_does_not_change_the_result(order: str) -> None:
    spectrogram = np.random.default_rng(0).uniform(-1, 1, (12, 20)).astype(np.float32)
    other = np.asarray(spectrogram, order=order)[::-1]  # type: ignore[call-overload]
    assert np.array_equal(resize(other, 24, 10), resize(np.ascontiguousarray(other), 24, 10))
    assert np.array_equal(pixels(other), pixels(np.ascontiguousarray(other)))
