"""Descriptors of sounds whose attack, length, tone and level are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundgan.evaluation.features.descriptors import Descriptor, describe, describe_all

RATE = 44100
FRAME_RATE = RATE / 512


def noise(seconds: float, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def hit(attack: float, decay: float, seconds: float = 0.5) -> NDArray[np.float64]:
    """Return a 3 kHz tone that rises linearly over `attack` s and falls by a factor e in `decay` s."""
    t = time(seconds)
    return np.minimum(t / attack, np.exp(-(t - attack) / decay)) * np.sin(2 * np.pi * 3000 * t)


@pytest.mark.parametrize("attack", [0.005, 0.016, 0.050])
def test_attack_is_the_rise_from_a_tenth_to_the_maximum(attack: float) -> None:
    measured = describe(hit(attack, 0.1), RATE, FRAME_RATE)[Descriptor.ATTACK]
    assert measured == pytest.approx(900 * attack, abs=0.6)  # ms; the envelope is averaged over 1 ms


@pytest.mark.parametrize("decay", [0.02, 0.08])
def test_length_and_decay_end_where_the_level_passes_40_and_20_db(decay: float) -> None:
    values = describe(hit(0.002, decay), RATE, FRAME_RATE)
    assert values[Descriptor.LENGTH] == pytest.approx(decay * np.log(100), abs=0.012)
    assert values[Descriptor.DECAY] == pytest.approx(decay * np.log(10), abs=0.012)


def test_silence_behind_a_sound_does_not_change_its_length_and_crest_factor() -> None:
    bare = describe(hit(0.002, 0.05), RATE, FRAME_RATE)
    padded = describe(np.pad(hit(0.002, 0.05), (0, RATE)), RATE, FRAME_RATE)
    assert padded[Descriptor.LENGTH] == pytest.approx(bare[Descriptor.LENGTH], abs=1e-3)
    assert padded[Descriptor.CREST_FACTOR] == pytest.approx(bare[Descriptor.CREST_FACTOR], abs=0.05)


def test_partials_of_a_bell_are_tonal_and_noise_is_not() -> None:
    partials = [310, 803, 1297, 2111, 2909, 4007, 5501, 7013]
    bell = sum(np.sin(2 * np.pi * hz * time(1)) for hz in partials)
    ringing = describe(bell + 0.01 * noise(1), RATE, FRAME_RATE)[Descriptor.TONAL_SHARE]
    hissing = describe(noise(1), RATE, FRAME_RATE)[Descriptor.TONAL_SHARE]
    assert ringing > 10 * max(hissing, 1e-3)


def test_centroid_of_two_equal_tones_lies_between_them() -> None:
    tones = np.sin(2 * np.pi * 1000 * time(1)) + np.sin(2 * np.pi * 3000 * time(1))
    assert describe(tones, RATE, FRAME_RATE)[Descriptor.CENTROID] == pytest.approx(2000, rel=0.01)


def test_crest_factor_and_level_of_a_sine() -> None:
    values = describe(0.1 * np.sin(2 * np.pi * 1000 * time(1)), RATE, FRAME_RATE)
    assert values[Descriptor.CREST_FACTOR] == pytest.approx(3.01, abs=0.1)
    assert values[Descriptor.LEVEL] == pytest.approx(-20, abs=0.01)


def test_first_sample_is_relative_to_the_peak() -> None:
    click = np.concatenate([[0.25], np.zeros(1000), [0.5], np.zeros(1000)])
    assert describe(click, RATE, FRAME_RATE)[Descriptor.FIRST_SAMPLE] == pytest.approx(0.5)


def test_flutter_shows_a_modulation_at_the_frame_rate_alone() -> None:
    steady = noise(1)
    at_rate = steady * (1 + 0.5 * np.sin(2 * np.pi * FRAME_RATE * time(1)))
    beside = steady * (1 + 0.5 * np.sin(2 * np.pi * 0.75 * FRAME_RATE * time(1)))
    flutter = [describe(wave, RATE, FRAME_RATE)[Descriptor.FLUTTER] for wave in (steady, at_rate, beside)]
    assert abs(flutter[0]) < 4
    assert flutter[1] > flutter[0] + 6
    assert flutter[2] < flutter[0]


@pytest.mark.parametrize("hz", [50, 110, 440, 1500])
def test_pitch_of_tones_with_and_without_overtones(hz: float) -> None:
    for overtones in (1, 5):
        tone = sum(np.sin(2 * np.pi * k * hz * time(0.5)) / k for k in range(1, overtones + 1))
        values = describe(tone, RATE, FRAME_RATE)
        assert values[Descriptor.PITCH] == pytest.approx(hz, rel=0.01)
        assert values[Descriptor.PITCH_RANGE] < 0.2


def test_pitch_range_of_a_glide_is_that_of_its_middle_80_percent() -> None:
    glide = np.sin(2 * np.pi * np.cumsum(200 * 2 ** time(1)) / RATE)  # an octave in a second
    assert describe(glide, RATE, FRAME_RATE)[Descriptor.PITCH_RANGE] == pytest.approx(0.8 * 12, abs=0.5)


def test_noise_and_rumble_below_the_range_have_no_pitch() -> None:
    rumble = np.sin(2 * np.pi * 15 * time(1))
    for wave in (noise(0.5), rumble):
        assert np.isnan(describe(wave, RATE, FRAME_RATE)[Descriptor.PITCH])


def test_silence_has_no_descriptors() -> None:
    assert all(np.isnan(value) for value in describe(np.zeros(1000), RATE, FRAME_RATE).values())


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 3000), gain=st.floats(1e-3, 1.0), seed=st.integers(0, 99))
def test_only_the_level_changes_with_the_gain(length: int, gain: float, seed: int) -> None:
    wave = np.random.default_rng(seed).standard_normal(length) * np.hanning(length + 2)[1:-1]
    loud, soft = describe(wave, RATE, FRAME_RATE), describe(gain * wave, RATE, FRAME_RATE)
    for descriptor in Descriptor:
        expected = loud[descriptor] + (20 * np.log10(gain) if descriptor is Descriptor.LEVEL else 0)
        assert soft[descriptor] == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


def test_describe_all_keeps_the_order_of_the_sounds() -> None:
    waves = [hit(0.005, 0.02), hit(0.02, 0.1)]
    together = describe_all(waves, RATE, FRAME_RATE)
    assert together[Descriptor.ATTACK].tolist() == [
        describe(wave, RATE, FRAME_RATE)[Descriptor.ATTACK] for wave in waves
    ]
