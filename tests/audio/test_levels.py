"""Peak and RMS levels, and leveling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from recordings import sine

from soundgan import audio

WAVES = hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(-4, 4, width=32))


TARGETS = st.floats(-60, 0)


def test_peak_and_rms_levels_match_their_definitions() -> None:
    full = sine(441, 1.0, amplitude=1.0)
    assert audio.peak_db(full) == pytest.approx(0, abs=0.01) and audio.rms_db(full) == pytest.approx(-3.0103, abs=1e-3)
    assert audio.peak_db(np.sign(full + 1e-9)) == audio.rms_db(np.sign(full + 1e-9)) == 0
    assert audio.peak_db(0.5 * full) == pytest.approx(-6.0206, abs=0.01)
    for silence in (np.zeros(10), np.zeros(0)):
        assert audio.peak_db(silence) == audio.rms_db(silence) == -np.inf


def test_sound_ends_with_its_last_sample_within_60_db_of_the_peak() -> None:
    wave = np.array([0, 0.5, -0.1, 0.0006, -0.0004, 0.0001, 0])
    assert audio.end_of_sound(wave) == 4 and audio.end_of_sound(-3 * wave) == 4
    assert audio.end_of_sound(np.zeros(5)) == audio.end_of_sound(np.zeros(0)) == 0


@given(WAVES, TARGETS)
def test_peak_leveling_sets_the_peak_and_nothing_else(wave: NDArray[np.float32], target: float) -> None:
    out = audio.level(wave, "peak", target)
    assert out.dtype == np.float32 and out.shape == wave.shape
    if not wave.any():
        assert not out.any()
        return
    assert audio.peak_db(out) == pytest.approx(target, abs=1e-4)
    # The same shape: sample for sample one gain, and the sign stays.
    unit, unit_out = wave / np.float64(np.abs(wave).max()), out / np.float64(np.abs(out).max())
    assert np.allclose(unit, unit_out, atol=1e-6)


@given(WAVES, TARGETS)
def test_rms_leveling_sets_the_rms_or_stops_at_full_scale(wave: NDArray[np.float32], target: float) -> None:
    out = audio.level(wave, "rms", target)
    if not wave.any():
        assert not out.any()
        return
    assert np.abs(out).max() <= 1
    reached = audio.rms_db(out) == pytest.approx(target, abs=1e-4)
    stopped = audio.peak_db(out) == pytest.approx(0, abs=1e-4) and audio.rms_db(out) < target
    assert reached or stopped
    assert np.allclose(wave / np.float64(np.abs(wave).max()), out / np.float64(np.abs(out).max()), atol=1e-6)


def test_rms_leveling_equalizes_sounds_except_clicks() -> None:
    soft, loud = audio.level(sine(amplitude=0.01), "rms", -20), audio.level(sine(amplitude=0.9), "rms", -20)
    assert np.allclose(soft, loud, atol=1e-6) and audio.rms_db(soft) == pytest.approx(-20, abs=1e-4)
    click = np.zeros(10_000)
    click[5] = 0.1
    assert audio.rms_db(audio.level(click, "rms", -20)) == pytest.approx(-40) and audio.level(click, "rms", -20)[5] == 1


@given(WAVES)
def test_no_leveling_changes_nothing(wave: NDArray[np.float32]) -> None:
    assert np.array_equal(audio.level(wave, "none"), wave)


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1.0, 3e38])
def test_leveling_reaches_from_the_softest_to_the_loudest(scale: float) -> None:
    wave = np.array([0, scale, -scale], dtype=np.float32)
    for method in ("peak", "rms"):
        assert audio.level(wave, method, 0) == pytest.approx([0, 1, -1])


def test_leveling_refuses_other_methods_and_targets_above_full_scale() -> None:
    with pytest.raises(ValueError, match="'peak', 'rms' or 'none', not 'loud'"):
        audio.level(sine(), "loud")  # pyright: ignore[reportArgumentType]
    for target in (0.1, float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="at most 0 dBFS"):
            audio.level(sine(), "peak", target)
