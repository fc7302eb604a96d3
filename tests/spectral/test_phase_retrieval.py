"""Waves are found that fit their magnitudes, the same ones every time, in any company; and silence stays silence."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import click, db, fit_db, hat, sine, sounds

from soundgan.spectral.phase_retrieval import QUALITIES, PhaseRetrievalConfig, Quality, retrieve
from soundgan.spectral.stft import STFT, Window

Floats = NDArray[np.float32]

# n_fft, hop: sample rate.
RATES = {(256, 128): 16_000, (512, 256): 16_000, (512, 64): 16_000, (1024, 256): 22_050, (2048, 512): 44_100}
ORDER: list[Quality] = ["fast", "balanced", "best"]
WINDOWS: list[Window] = ["hann", "gaussian"]
SMALL = [
    STFT(n_fft, hop_length, window)
    for n_fft, hop_length in [(256, 128), (64, 16), (48, 16), (64, 8)]
    for window in WINDOWS
]
SEARCHES = [
    PhaseRetrievalConfig(),
    PhaseRetrievalConfig("random", griffin_lim_iterations=2),
    PhaseRetrievalConfig(difference_map_iterations=2),
    QUALITIES["fast"],
]

transforms, searches = st.sampled_from(SMALL), st.sampled_from(SEARCHES)
seeds = st.integers(0, 2**32 - 1)


def any_magnitudes(random: np.random.Generator, frames: int, stft: STFT) -> Floats:
    """Magnitudes over 60 dB that no sound needs to have, with holes and silent frames, or nothing but silence."""
    magnitudes = 10 ** random.uniform(-2, 1, (frames, stft.bins)) * (random.random((frames, stft.bins)) < 0.8)
    magnitudes *= (random.random(frames) < random.choice([0, 0.6, 1]))[:, None]
    before, after = random.integers(0, frames, 2)  # of silence around the sound
    magnitudes[:before] = magnitudes[frames - after :] = 0
    return magnitudes.astype(np.float32)


# What every search keeps to


@given(transforms, searches, st.integers(1, 9), seeds)
def test_a_wave_comes_for_every_sound(stft: STFT, search: PhaseRetrievalConfig, frames: int, seed: int) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    before = magnitudes.copy()
    wave = retrieve(magnitudes, stft, search)
    assert wave.shape == (frames * stft.hop_length,) and wave.dtype == np.float32
    assert np.array_equal(magnitudes, before), "the argument is left alone"
    again = retrieve(np.asfortranarray(magnitudes)[None], stft, search)
    assert again.shape == (1, frames * stft.hop_length) and again.dtype == np.float32
    assert np.array_equal(again[0], wave), "the same every time"


@given(transforms, searches, st.integers(1, 8), st.integers(1, 14), st.sampled_from([1, 2, 3, 8, None]), seeds)
@settings(max_examples=200)
def test_nothing_around_a_sound_changes_a_bit_of_it(
    stft: STFT, search: PhaseRetrievalConfig, count: int, frames: int, threads: int | None, seed: int
) -> None:
    """Neither the other sounds, nor their order, nor the number of threads."""
    random = np.random.default_rng(seed)
    batch = np.stack([any_magnitudes(random, frames, stft) for _ in range(count)])
    alone = np.stack([retrieve(magnitudes, stft, search, threads=1) for magnitudes in batch])
    assert np.array_equal(retrieve(batch, stft, search, threads=threads), alone)
    order = random.integers(count, size=count + 1)
    assert np.array_equal(retrieve(batch[order], stft, search, threads=threads), alone[order])


@pytest.mark.parametrize("window", WINDOWS)
def test_nor_does_it_in_a_large_batch(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    stft, random = STFT(256, 128, window), np.random.default_rng(0)
    batch = np.stack([any_magnitudes(random, 62, stft) for _ in range(40)])
    alone = np.stack([retrieve(magnitudes, stft, threads=1) for magnitudes in batch])
    assert np.array_equal(retrieve(batch, stft, threads=1), alone)
    for count in (1, 2, 5):
        monkeypatch.setattr("soundgan.spectral.phase_retrieval.cores", lambda count=count: count)
        assert np.array_equal(retrieve(batch, stft), alone)


@given(transforms, searches, st.integers(1, 24), seeds)
def test_where_no_frame_sounds_is_exact_silence(
    stft: STFT, search: PhaseRetrievalConfig, frames: int, seed: int
) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    heard = np.zeros(frames * stft.hop_length + 2 * stft.padding, bool)
    for frame in np.flatnonzero(magnitudes.any(axis=1)):
        heard[frame * stft.hop_length : frame * stft.hop_length + stft.n_fft] = True
    heard = heard[stft.padding : stft.padding + frames * stft.hop_length]
    wave = retrieve(magnitudes, stft, search)
    assert not wave[~heard].any()
    assert wave.any() == magnitudes.any(), "and the rest is not silent"


@given(transforms, searches, st.integers(1, 8), st.floats(0, 12), seeds)
def test_no_energy_comes_out_of_nothing(
    stft: STFT, search: PhaseRetrievalConfig, frames: int, span: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    magnitudes = 10 ** random.uniform(-span, span / 3, (frames, stft.bins)).astype(np.float32)
    magnitudes *= random.random(magnitudes.shape) < 0.7
    wave = retrieve(magnitudes, stft, search).astype(np.float64)
    assert np.isfinite(wave).all()
    # Parseval: twice the energy of all bins over n_fft is that of all frames; the gain of a sample is what they add up.
    most = 2 / stft.n_fft * np.square(magnitudes, dtype=np.float64).sum() * stft.gain(frames).max()
    assert np.square(wave).sum() <= 1.001 * most


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-3])
@pytest.mark.parametrize("shape", [(5, 33), (3, 5, 33)])
def test_what_is_no_magnitude_is_refused(bad: float, shape: tuple[int, ...]) -> None:
    for place in (0, -1):
        magnitudes = np.ones(shape, np.float32)
        magnitudes.reshape(-1)[place] = bad
        with pytest.raises(ValueError, match="negative, NaN or infinite"):
            retrieve(magnitudes, STFT(64, 16))


@pytest.mark.parametrize("shape", [(33,), (), (5, 32), (5, 34), (33, 5), (2, 5, 32), (1, 2, 5, 33)])
def test_magnitudes_of_another_transform_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, frames, 33\)"):
        retrieve(np.ones(shape, np.float32), STFT(64, 16))


# How well the waves fit


# Spectral convergence in dB of the qualities, measured, less 3 dB.
FITS: dict[tuple[int, int], dict[str, tuple[int, int, int]]] = {
    (256, 128): {
        "chirp": (24, 25, 33), "kick": (18, 19, 21), "hat": (17, 21, 33), "burst": (16, 20, 30),
        "noise": (16, 21, 32),
    },
    (512, 256): {
        "kick": (23, 28, 33), "hat": (18, 22, 33), "burst": (17, 21, 33), "noise": (16, 21, 33),
    },
    (512, 64): {
        "kick": (26, 27, 33), "hat": (23, 28, 33), "burst": (23, 27, 33), "noise": (21, 25, 33),
    },
    (1024, 256): {
        "slow chirp": (25, 28, 33), "kick": (27, 30, 31), "hat": (17, 19, 27), "burst": (16, 18, 28),
        "noise": (16, 18, 26),
    },
    (2048, 512): {
        "slow chirp": (25, 28, 33), "kick": (27, 30, 31), "hat": (16, 19, 28), "burst": (16, 18, 28),
        "noise": (16, 18, 25),
    },
}  # fmt: skip
OTHERS = (30, 30, 33)
CLICKS = (50, 50, 50)
# Of a Gaussian window, the mean over all sounds, none of which counts as more than 30 dB; less 1 dB.
GAUSSIAN_FITS = {
    (256, 128): (23, 26, 28),
    (512, 256): (24, 26, 29),
    (512, 64): (27, 28, 29),
    (1024, 256): (26, 26, 28),
    (2048, 512): (26, 26, 28),
}


@cache
def fits(size: tuple[int, int], window: Window, search: PhaseRetrievalConfig) -> dict[str, float]:
    """Spectral convergence of every sound, in dB."""
    stft = STFT(*size, window)
    waves = sounds(48 * stft.hop_length, RATES[size])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves.values()]))
    found = retrieve(magnitudes, stft, search)
    return {name: fit_db(found[k], magnitudes[k], stft) for k, name in enumerate(waves)}


def mean_fit(size: tuple[int, int], window: Window, search: PhaseRetrievalConfig) -> float:
    return float(np.mean(list(fits(size, window, search).values())))


@pytest.mark.parametrize("size", RATES, ids=str)
def test_the_waves_fit_the_magnitudes(size: tuple[int, int]) -> None:
    for i, quality in enumerate(ORDER):
        for name, fit in fits(size, "hann", QUALITIES[quality]).items():
            assert fit > FITS[size].get(name, CLICKS if "click" in name else OTHERS)[i], (name, quality)


@pytest.mark.parametrize("size", RATES, ids=str)
def test_so_they_do_those_of_a_gaussian_window(size: tuple[int, int]) -> None:
    for i, quality in enumerate(ORDER):
        found = fits(size, "gaussian", QUALITIES[quality])
        assert np.mean([min(fit, 30) for fit in found.values()]) > GAUSSIAN_FITS[size][i], quality


@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_more_time_finds_a_better_fit_and_so_does_a_better_start(size: tuple[int, int], window: Window) -> None:
    searches = [PhaseRetrievalConfig(), *QUALITIES.values()]
    start, fast, balanced, best = (mean_fit(size, window, search) for search in searches)
    assert fast > start + 4 and balanced > fast + 1.5 and best > balanced + 2
    for better, search in zip((start, fast, balanced), searches[:3], strict=True):
        assert better > mean_fit(size, window, search._replace(init="random")) + 8


@pytest.mark.parametrize("size", [(256, 128), (1024, 256)], ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_griffin_lim_is_the_fast_one(size: tuple[int, int], window: Window) -> None:
    """Without momentum, four times the iterations would gain 4 dB at most."""
    few, many = (PhaseRetrievalConfig("random", griffin_lim_iterations=iterations) for iterations in (8, 32))
    assert mean_fit(size, window, many) > mean_fit(size, window, few) + 5


# What they sound like


@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_steady_tone_keeps_its_pitch_and_level(size: tuple[int, int], window: Window) -> None:
    stft, rate = STFT(*size, window), RATES[size]
    frequencies = [4.5 * rate / stft.n_fft, 440.0, 1234.5, 5000.0, 0.43 * rate]
    waves = np.stack([sine(40 * stft.hop_length, rate, hertz, start=1) for hertz in frequencies])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves]))
    for search in QUALITIES.values():
        for hertz, found in zip(frequencies, retrieve(magnitudes, stft, search), strict=True):
            found = found[4 * stft.hop_length : -4 * stft.hop_length]
            spectrum = np.abs(np.fft.rfft(found * np.hanning(found.size), 8 * found.size))
            assert spectrum.argmax() * rate / (8 * found.size) == pytest.approx(hertz, abs=0.02 * rate / stft.n_fft)
            assert np.sqrt(2 * (found**2).mean()) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("hertz", [20.0, 19_000.0])
def test_so_do_the_ends_of_hearing(hertz: float) -> None:
    for window in WINDOWS:
        stft = STFT(2048, 512, window)
        magnitudes = np.abs(stft.forward(sine(64 * 512, 44_100, hertz)))
        for search in QUALITIES.values():
            back = np.abs(stft.forward(retrieve(magnitudes, stft, search)))
            assert (back**2).mean(axis=0).argmax() == round(hertz * 2048 / 44_100)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_constant_stays_within_its_bounds(window: Window) -> None:
    for size in RATES:
        stft = STFT(*size, window)
        magnitudes = np.abs(stft.forward(np.full(40 * stft.hop_length, 0.5, np.float32)))
        found = retrieve(magnitudes, stft)
        assert fit_db(found, magnitudes, stft) > 40 and np.abs(found).max() < 1.1


@pytest.mark.parametrize("quality", ORDER)
@pytest.mark.parametrize("window", WINDOWS)
def test_noise_that_starts_at_once_does_not_start_with_a_crack(window: Window, quality: Quality) -> None:
    stft = STFT(2048, 512, window)
    waves = np.stack([hat(24 * 512, 44_100, seconds, seed) for seconds in (0.02, 0.05, 0.15) for seed in range(4)])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves]))
    peaks = np.abs(retrieve(magnitudes, stft, QUALITIES[quality])).max(axis=1) / np.abs(waves).max(axis=1)
    assert peaks.max() < 1.8 and np.median(peaks) < 1.2


@pytest.mark.parametrize("quality", ORDER)
@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_click_stays_a_click(size: tuple[int, int], window: Window, quality: Quality) -> None:
    """A single sample, wherever it lies between the frames; only its sign is free."""
    stft, hop_length = STFT(*size, window), size[1]
    places = range(10 * hop_length, 12 * hop_length, hop_length // 5)
    magnitudes = np.abs(np.stack([stft.forward(click(22 * hop_length, 1, at)) for at in places]))
    for at, found in zip(places, retrieve(magnitudes, stft, QUALITIES[quality]), strict=True):
        rest = np.delete(found, at)
        assert abs(abs(found[at]) - 1) < 0.01 and db((rest**2).sum()) < -28


@pytest.mark.parametrize("exponent", [-120, -40, 40, 120])
@pytest.mark.parametrize("window", WINDOWS)
def test_loudness_in_steps_of_6_db_changes_no_digit(window: Window, exponent: int) -> None:
    stft = STFT(256, 64, window)
    magnitudes = any_magnitudes(np.random.default_rng(0), 12, stft)
    found = retrieve(magnitudes, stft)
    assert np.array_equal(retrieve(np.ldexp(magnitudes, exponent), stft), np.ldexp(found, exponent))


def test_no_sounds_give_no_waves_and_no_threads_are_refused() -> None:
    stft = STFT(64, 16)
    assert retrieve(np.empty((0, 5, 33), np.float32), stft).shape == (0, 80)
    assert retrieve(np.empty((3, 0, 33), np.float32), stft).shape == (3, 0)
    for threads in (0, -1):
        with pytest.raises(ValueError, match=f"threads = {threads}: must be at least 1"):
            retrieve(np.ones((5, 33), np.float32), stft, threads=threads)
