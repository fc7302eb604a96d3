"""Retrieved waves fit their magnitudes, are reproducible and independent, and keep silence."""

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
CONFIGS = [
    PhaseRetrievalConfig(),
    PhaseRetrievalConfig("random", griffin_lim_iterations=2),
    PhaseRetrievalConfig(difference_map_iterations=2),
    QUALITIES["fast"],
]

transforms, configs = st.sampled_from(SMALL), st.sampled_from(CONFIGS)
seeds = st.integers(0, 2**32 - 1)


def any_magnitudes(random: np.random.Generator, frames: int, stft: STFT) -> Floats:
    """Random magnitudes over 60 dB, of no real sound, with holes and silent frames, or all silent."""
    magnitudes = 10 ** random.uniform(-2, 1, (frames, stft.bins)) * (random.random((frames, stft.bins)) < 0.8)
    magnitudes *= (random.random(frames) < random.choice([0, 0.6, 1]))[:, None]
    before, after = random.integers(0, frames, 2)  # of silence around the sound
    magnitudes[:before] = magnitudes[frames - after :] = 0
    return magnitudes.astype(np.float32)


# Invariants


@given(transforms, configs, st.integers(1, 9), seeds)
def test_retrieval_returns_a_wave_for_each_sound(
    stft: STFT, config: PhaseRetrievalConfig, frames: int, seed: int
) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    before = magnitudes.copy()
    wave = retrieve(magnitudes, stft, config)
    assert wave.shape == (frames * stft.hop_length,) and wave.dtype == np.float32
    assert np.array_equal(magnitudes, before), "the argument is modified"
    again = retrieve(np.asfortranarray(magnitudes)[None], stft, config)
    assert again.shape == (1, frames * stft.hop_length) and again.dtype == np.float32
    assert np.array_equal(again[0], wave), "not reproducible"


@given(transforms, configs, st.integers(1, 8), st.integers(1, 14), st.sampled_from([1, 2, 3, 8, None]), seeds)
@settings(max_examples=200)
def test_retrieval_is_independent_of_batch_order_and_threads(
    stft: STFT, config: PhaseRetrievalConfig, count: int, frames: int, threads: int | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    batch = np.stack([any_magnitudes(random, frames, stft) for _ in range(count)])
    alone = np.stack([retrieve(magnitudes, stft, config, threads=1) for magnitudes in batch])
    assert np.array_equal(retrieve(batch, stft, config, threads=threads), alone)
    order = random.integers(count, size=count + 1)
    assert np.array_equal(retrieve(batch[order], stft, config, threads=threads), alone[order])


@pytest.mark.parametrize("window", WINDOWS)
def test_retrieval_is_independent_of_batch_size_and_cores(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    stft, random = STFT(256, 128, window), np.random.default_rng(0)
    batch = np.stack([any_magnitudes(random, 62, stft) for _ in range(40)])
    alone = np.stack([retrieve(magnitudes, stft, threads=1) for magnitudes in batch])
    assert np.array_equal(retrieve(batch, stft, threads=1), alone)
    for count in (1, 2, 5):
        monkeypatch.setattr("soundgan.spectral.phase_retrieval.cores", lambda count=count: count)
        assert np.array_equal(retrieve(batch, stft), alone)


@given(transforms, configs, st.integers(1, 24), seeds)
def test_silent_frames_are_exact_silence(stft: STFT, config: PhaseRetrievalConfig, frames: int, seed: int) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    active = np.zeros(frames * stft.hop_length + 2 * stft.padding, bool)
    for frame in np.flatnonzero(magnitudes.any(axis=1)):
        active[frame * stft.hop_length : frame * stft.hop_length + stft.n_fft] = True
    active = active[stft.padding : stft.padding + frames * stft.hop_length]
    wave = retrieve(magnitudes, stft, config)
    assert not wave[~active].any()
    assert wave.any() == magnitudes.any()


@given(transforms, configs, st.integers(1, 8), st.floats(0, 12), seeds)
def test_retrieved_energy_is_bounded_by_the_magnitudes(
    stft: STFT, config: PhaseRetrievalConfig, frames: int, span: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    magnitudes = 10 ** random.uniform(-span, span / 3, (frames, stft.bins)).astype(np.float32)
    magnitudes *= random.random(magnitudes.shape) < 0.7
    wave = retrieve(magnitudes, stft, config).astype(np.float64)
    assert np.isfinite(wave).all()
    # Parseval: the energy of all frames is twice that of all bins over n_fft; overlap-add scales it by the gain.
    bound = 2 / stft.n_fft * np.square(magnitudes, dtype=np.float64).sum() * stft.gain(frames).max()
    assert np.square(wave).sum() <= 1.001 * bound


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-3])
@pytest.mark.parametrize("shape", [(5, 33), (3, 5, 33)])
def test_retrieval_rejects_negative_and_infinite_magnitudes(bad: float, shape: tuple[int, ...]) -> None:
    for index in (0, -1):
        magnitudes = np.ones(shape, np.float32)
        magnitudes.reshape(-1)[index] = bad
        with pytest.raises(ValueError, match="negative, NaN or infinite"):
            retrieve(magnitudes, STFT(64, 16))


@pytest.mark.parametrize("shape", [(33,), (), (5, 32), (5, 34), (33, 5), (2, 5, 32), (1, 2, 5, 33)])
def test_retrieval_rejects_magnitudes_of_another_stft(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, frames, 33\)"):
        retrieve(np.ones(shape, np.float32), STFT(64, 16))


# Fit


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
def fits(size: tuple[int, int], window: Window, config: PhaseRetrievalConfig) -> dict[str, float]:
    """Spectral convergence of every sound, in dB."""
    stft = STFT(*size, window)
    waves = sounds(48 * stft.hop_length, RATES[size])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves.values()]))
    retrieved = retrieve(magnitudes, stft, config)
    return {name: fit_db(retrieved[k], magnitudes[k], stft) for k, name in enumerate(waves)}


def mean_fit(size: tuple[int, int], window: Window, config: PhaseRetrievalConfig) -> float:
    return float(np.mean(list(fits(size, window, config).values())))


@pytest.mark.parametrize("size", RATES, ids=str)
def test_retrieved_waves_fit_the_magnitudes(size: tuple[int, int]) -> None:
    for i, quality in enumerate(ORDER):
        for name, fit in fits(size, "hann", QUALITIES[quality]).items():
            assert fit > FITS[size].get(name, CLICKS if "click" in name else OTHERS)[i], (name, quality)


@pytest.mark.parametrize("size", RATES, ids=str)
def test_retrieved_waves_fit_magnitudes_of_a_gaussian_window(size: tuple[int, int]) -> None:
    for i, quality in enumerate(ORDER):
        convergence = fits(size, "gaussian", QUALITIES[quality])
        assert np.mean([min(fit, 30) for fit in convergence.values()]) > GAUSSIAN_FITS[size][i], quality


@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_fit_improves_with_iterations_and_with_integrated_phases(size: tuple[int, int], window: Window) -> None:
    configs = [PhaseRetrievalConfig(), *QUALITIES.values()]
    start, fast, balanced, best = (mean_fit(size, window, config) for config in configs)
    assert fast > start + 4 and balanced > fast + 1.5 and best > balanced + 2
    for better, config in zip((start, fast, balanced), configs[:3], strict=True):
        assert better > mean_fit(size, window, config._replace(init="random")) + 8


@pytest.mark.parametrize("size", [(256, 128), (1024, 256)], ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_griffin_lim_has_momentum(size: tuple[int, int], window: Window) -> None:
    """Without momentum, four times the iterations would gain 4 dB at most."""
    few, many = (PhaseRetrievalConfig("random", griffin_lim_iterations=iterations) for iterations in (8, 32))
    assert mean_fit(size, window, many) > mean_fit(size, window, few) + 5


# Sounds


@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_steady_tone_keeps_pitch_and_level(size: tuple[int, int], window: Window) -> None:
    stft, rate = STFT(*size, window), RATES[size]
    frequencies = [4.5 * rate / stft.n_fft, 440.0, 1234.5, 5000.0, 0.43 * rate]
    waves = np.stack([sine(40 * stft.hop_length, rate, hertz, start=1) for hertz in frequencies])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves]))
    for config in QUALITIES.values():
        for hertz, wave in zip(frequencies, retrieve(magnitudes, stft, config), strict=True):
            wave = wave[4 * stft.hop_length : -4 * stft.hop_length]
            spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size), 8 * wave.size))
            assert spectrum.argmax() * rate / (8 * wave.size) == pytest.approx(hertz, abs=0.02 * rate / stft.n_fft)
            assert np.sqrt(2 * (wave**2).mean()) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("hertz", [20.0, 19_000.0])
def test_tones_of_20_hz_and_19_khz_keep_their_bins(hertz: float) -> None:
    for window in WINDOWS:
        stft = STFT(2048, 512, window)
        magnitudes = np.abs(stft.forward(sine(64 * 512, 44_100, hertz)))
        for config in QUALITIES.values():
            back = np.abs(stft.forward(retrieve(magnitudes, stft, config)))
            assert (back**2).mean(axis=0).argmax() == round(hertz * 2048 / 44_100)


@pytest.mark.parametrize("window", WINDOWS)
def test_constant_wave_is_bounded(window: Window) -> None:
    for size in RATES:
        stft = STFT(*size, window)
        magnitudes = np.abs(stft.forward(np.full(40 * stft.hop_length, 0.5, np.float32)))
        wave = retrieve(magnitudes, stft)
        assert fit_db(wave, magnitudes, stft) > 40 and np.abs(wave).max() < 1.1


@pytest.mark.parametrize("quality", ORDER)
@pytest.mark.parametrize("window", WINDOWS)
def test_onset_of_noise_has_no_overshoot(window: Window, quality: Quality) -> None:
    stft = STFT(2048, 512, window)
    waves = np.stack([hat(24 * 512, 44_100, seconds, seed) for seconds in (0.02, 0.05, 0.15) for seed in range(4)])
    magnitudes = np.abs(np.stack([stft.forward(wave) for wave in waves]))
    peaks = np.abs(retrieve(magnitudes, stft, QUALITIES[quality])).max(axis=1) / np.abs(waves).max(axis=1)
    assert peaks.max() < 1.8 and np.median(peaks) < 1.2


@pytest.mark.parametrize("quality", ORDER)
@pytest.mark.parametrize("size", RATES, ids=str)
@pytest.mark.parametrize("window", WINDOWS)
def test_click_stays_a_click(size: tuple[int, int], window: Window, quality: Quality) -> None:
    """A single sample, at any position between the frames; only its sign is free."""
    stft, hop_length = STFT(*size, window), size[1]
    positions = range(10 * hop_length, 12 * hop_length, hop_length // 5)
    magnitudes = np.abs(np.stack([stft.forward(click(22 * hop_length, 1, at)) for at in positions]))
    for at, wave in zip(positions, retrieve(magnitudes, stft, QUALITIES[quality]), strict=True):
        rest = np.delete(wave, at)
        assert abs(abs(wave[at]) - 1) < 0.01 and db((rest**2).sum()) < -28


@pytest.mark.parametrize("exponent", [-120, -40, 40, 120])
@pytest.mark.parametrize("window", WINDOWS)
def test_retrieval_scales_exactly_by_powers_of_2(window: Window, exponent: int) -> None:
    stft = STFT(256, 64, window)
    magnitudes = any_magnitudes(np.random.default_rng(0), 12, stft)
    wave = retrieve(magnitudes, stft)
    assert np.array_equal(retrieve(np.ldexp(magnitudes, exponent), stft), np.ldexp(wave, exponent))


def test_retrieval_of_nothing_is_empty_and_threads_must_be_positive() -> None:
    stft = STFT(64, 16)
    assert retrieve(np.empty((0, 5, 33), np.float32), stft).shape == (0, 80)
    assert retrieve(np.empty((3, 0, 33), np.float32), stft).shape == (3, 0)
    for threads in (0, -1):
        with pytest.raises(ValueError, match=f"threads = {threads}: must be at least 1"):
            retrieve(np.ones((5, 33), np.float32), stft, threads=threads)
