"""Synthesis of analyzed sounds keeps levels, spectrum and time, and is reproducible."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import chirp, click, db, denormalize, kick, sine

from soundgan.spectral.phase_retrieval import Quality
from soundgan.spectral.presets import PRESETS, preset
from soundgan.spectral.representation import Representation, Scale, analyze, synthesize
from soundgan.spectral.stft import Window

Floats = NDArray[np.float32]
RATES = sorted(PRESETS)
SMALL = Representation(
    sample_rate=8000, n_fft=128, hop_length=32, bands=24, frames=16, scale="mel", floor_db=-80.0, ceiling_db=0.0
)


def burst(rep: Representation) -> Floats:
    wave = np.zeros(rep.samples, np.float32)
    wave[rep.samples // 4 : rep.samples // 2] = np.random.default_rng(0).normal(0, 0.15, rep.samples // 4)
    return wave


# Round trip


def round_trip(wave: Floats, rep: Representation, quality: Quality = "balanced") -> Floats:
    """Analyze and synthesize a sound, without the fade-in before it. Shape: (samples,) → (samples,)."""
    back = synthesize(analyze(wave, rep), rep, quality=quality)[0]
    return np.pad(back[rep.fade_in_samples :], (0, rep.fade_in_samples))


# Root mean square of the change of level over all cells after a round trip, in dB: measured, and a quarter more.
CHANGES = {
    8000: {"kick": 1.55, "tone": 0.55, "chirp": 1.7, "burst": 1.15},
    16000: {"kick": 1.75, "tone": 1.55, "chirp": 4.1, "burst": 1.25},
    22050: {"kick": 2.0, "tone": 2.6, "chirp": 1.6, "burst": 1.25},
    44100: {"kick": 1.65, "tone": 3.0, "chirp": 1.0, "burst": 1.15},
    48000: {"kick": 3.3, "tone": 2.8, "chirp": 2.05, "burst": 1.15},
}


@pytest.mark.parametrize("rate", RATES)
def test_synthesis_keeps_levels_and_energy(rate: int) -> None:
    rep = preset(rate, 0.5)
    waves = {
        "kick": kick(rep.samples, rep.sample_rate),
        "tone": sine(rep.samples, rep.sample_rate, 440),
        "chirp": chirp(rep.samples, rep.sample_rate),
        "burst": burst(rep),
    }
    for name, wave in waves.items():
        spectrogram = analyze(wave, rep)
        back = synthesize(spectrogram, rep)
        assert back.shape == (1, rep.samples) and back.dtype == np.float32
        back = round_trip(wave, rep)
        change = denormalize(analyze(back, rep), rep) - denormalize(spectrogram, rep)
        assert np.sqrt((change**2).mean()) < CHANGES[rate][name], name
        assert abs(db((back**2).sum()) - db((wave**2).sum())) < 0.4, name


@pytest.mark.parametrize("window", ["hann", "gaussian"])
@pytest.mark.parametrize("overlap", [2, 4, 8])
@pytest.mark.parametrize("scale, bands", [("mel", 40), ("mel", 128), ("linear", 128), ("linear", 512)])
def test_synthesis_keeps_the_spectrum_in_every_representation(
    scale: Scale, bands: int, overlap: int, window: Window
) -> None:
    """The spectrum, in third octaves, from 100 Hz up: bands of 2.6 bins and more, a few of them wide ones."""
    rep = preset(16000, 0.5, bands=bands, scale=scale, overlap=overlap).with_changes(window=window)
    wave = burst(rep)
    back = round_trip(wave, rep)
    edges = np.geomspace(100, 7000, 19)
    bins = np.fft.rfftfreq(rep.samples, 1 / rep.sample_rate).searchsorted(edges)
    before, after = (np.add.reduceat(np.abs(np.fft.rfft(w)) ** 2, bins)[:-1] for w in (wave, back))
    change = 10 * np.log10(after / before)
    assert np.sqrt((change[6:] ** 2).mean()) < 1.5 and abs(change[6:].mean()) < 0.9, change


@pytest.mark.parametrize("rate", RATES)
def test_best_quality_is_closer_than_fast(rate: int) -> None:
    """With a band for each bin: blurred mel bands are the spectrum of no wave, so that no phase fits them better."""
    rep = preset(rate, 0.5, scale="linear", bands=preset(rate, 0.5).n_fft // 2)
    waves = kick(rep.samples, rep.sample_rate), chirp(rep.samples, rep.sample_rate), burst(rep)
    expected = 10 ** (denormalize(analyze(np.stack(waves), rep), rep) / 20)
    fast, best = (
        10 ** (denormalize(analyze(np.stack([round_trip(wave, rep, quality) for wave in waves]), rep), rep) / 20)
        - expected
        for quality in get_args(Quality)[::2]
    )
    assert (best**2).mean() < 0.8 * (fast**2).mean()


@pytest.mark.parametrize("hertz, bin_", [(20.0, 1), (60.0, 3), (19_000.0, 882)])
@pytest.mark.parametrize("scale, bands", [("mel", 128), ("linear", 1024)])
def test_tones_of_20_hz_to_19_khz_keep_their_bins(scale: Scale, bands: int, hertz: float, bin_: int) -> None:
    rep = preset(44100, 0.5, bands=bands, scale=scale).with_changes(n_fft=2048, hop_length=512)
    assert round(hertz * rep.n_fft / rep.sample_rate) == bin_
    back = round_trip(sine(rep.samples, rep.sample_rate, hertz), rep)
    spectrum = np.abs(rep.stft.forward(back))[4:-4].mean(axis=0)
    # A mel band at 19 kHz is 28 bins wide, so the tone may be anywhere in it.
    nearby = 14 if scale == "mel" and bin_ > 100 else 0
    assert abs(int(spectrum.argmax()) - bin_) <= nearby
    assert abs(db((back[4096:-4096] ** 2).mean()) - db(0.125)) < 2


@pytest.mark.parametrize("rate", RATES)
def test_dc_and_clipping_stay_bounded(rate: int) -> None:
    rep = preset(rate, 0.5)
    tone = sine(rep.samples, rep.sample_rate, 440, level=1)
    middle = slice(rep.n_fft, -rep.n_fft)
    shifted = synthesize(analyze(0.4 * tone + 0.5, rep), rep)[0]
    assert abs(shifted[middle].mean()) < 0.02 and np.abs(shifted[middle]).max() < 1, "0 Hz is not left out"
    clipped = np.clip(4 * tone, -1, 1)  # nearly a square: harmonics up to half the rate
    loud = rep.with_changes(ceiling_db=6.0, floor_db=-74.0)
    back = synthesize(analyze(clipped, loud), loud)[0]
    assert np.isfinite(back).all() and np.abs(back).max() < 2.5
    assert abs(db((back[middle] ** 2).mean()) - db((clipped[middle] ** 2).mean())) < 1


# Energy more than half a hop ahead of a click, in dB of the whole: measured, and 3 dB more.
PRE_ECHO = {8000: -39, 16000: -39, 22050: -39, 44100: -49, 48000: -49}


@pytest.mark.parametrize("rate", RATES)
def test_click_keeps_its_time(rate: int) -> None:
    rep = preset(rate, 0.25)
    for at in range(rep.samples // 3, rep.samples // 3 + 2 * rep.hop_length, rep.hop_length // 3):
        back = round_trip(click(rep.samples, rep.sample_rate, at), rep)
        energy = (back**2).sum()
        half = rep.n_fft // 2
        assert (back[at - half : at + half] ** 2).sum() > 0.995 * energy, "within one window"
        assert not back[: at - rep.n_fft - rep.hop_length].any(), "exact silence before"
        assert db((back[: at - rep.hop_length // 2] ** 2).sum() / energy) < PRE_ECHO[rate], "energy ahead of its time"
        assert abs(db(energy)) < 0.5


@pytest.mark.parametrize("rate", RATES)
def test_silence_stays_exact_silence(rate: int) -> None:
    rep = preset(rate, 0.25)
    for changed in (rep, rep.with_changes(floor_db=-73.456, ceiling_db=-3.21), rep.with_changes(bands=100)):
        spectrogram = analyze(np.zeros(rep.samples, np.float32), changed)
        assert (spectrogram == -1).all() and not synthesize(spectrogram, changed).any()


@pytest.mark.parametrize("range_db", [1.0, 20.0, 80.0, 120.0])
def test_levels_just_above_the_floor_are_silence(range_db: float) -> None:
    rep = preset(16000, 0.5, range_db=range_db)
    random, silent = np.random.default_rng(0), np.arange(rep.frames) % 20 >= 8
    sound = np.where(silent, -1, random.uniform(-1, 1, (1, 1, *rep.shape))).astype(np.float32)
    residue = random.uniform(0, 0.07, sound.shape).astype(np.float32) * silent
    np.testing.assert_array_equal(synthesize(sound + residue, rep), synthesize(sound, rep))
    louder = synthesize(sound + np.float32(0.15) * silent, rep)
    between = slice(12 * rep.hop_length, 14 * rep.hop_length)
    assert not synthesize(sound, rep)[0, between].any()
    assert louder[0, between].any(), "levels above the threshold are silent"


@given(st.integers(0, 2**32 - 1), st.floats(1, 3))
@settings(deadline=None, max_examples=20)
def test_any_spectrogram_gives_a_finite_sound(seed: int, excess: float) -> None:
    random = np.random.default_rng(seed)
    spectrogram = random.uniform(-excess, excess, SMALL.shape).astype(np.float32)
    wave = synthesize(spectrogram, SMALL)
    assert wave.shape == (1, SMALL.samples) and np.isfinite(wave).all()
    assert np.array_equal(wave, synthesize(np.clip(spectrogram, -1, 1), SMALL)), "beyond the range is the range's end"


def test_synthesis_leaves_out_dc() -> None:
    wave = synthesize(np.full(SMALL.shape, 0.5, np.float32), SMALL)[0]
    assert abs(wave.mean()) < 1e-2 * wave.std()


# Lead-in


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_sound_that_starts_with_a_hit_starts_without_a_click_and_at_its_time(rate: int) -> None:
    rep = preset(rate, 0.5)
    assert (analyze(np.zeros(rep.samples, np.float32), rep) == -1).all()
    time = np.arange(rep.samples) / rate
    hit = (0.5 * np.random.default_rng(0).standard_normal(rep.samples) * np.exp(-time / 0.05)).astype(np.float32)
    back = synthesize(analyze(hit, rep), rep)[0]
    assert np.abs(back[0]) < 1e-3 * np.abs(back).max(), "a click"
    fade = rep.fade_in_samples
    assert fade == round(0.002 * rate) and db((back[: fade // 2] ** 2).mean()) < db((hit[:fade] ** 2).mean()) - 20
    assert db((back[fade : 2 * fade] ** 2).mean()) > db((hit[:fade] ** 2).mean()) - 12, "a window longer than the hit"


def test_without_lead_in_a_sound_is_neither_delayed_nor_faded() -> None:
    rep = SMALL.with_changes(lead_in=3)
    assert (SMALL.samples - rep.samples, rep.fade_in_samples, SMALL.fade_in_samples) == (3 * 32, 16, 0)
    with pytest.raises(ValueError, match="lead_in must be less than frames"):
        SMALL.with_changes(lead_in=16)


# Reproducibility


@given(st.integers(1, 7), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=10)
def test_synthesis_is_independent_of_batch_and_order(count: int, random: object) -> None:
    spectrograms = np.random.default_rng(count).uniform(-1, 1, (count, *SMALL.shape)).astype(np.float32)
    order = list(range(count))
    random.shuffle(order)  # type: ignore[attr-defined]
    alone = np.concatenate([synthesize(spectrogram, SMALL) for spectrogram in spectrograms])
    assert np.array_equal(synthesize(spectrograms, SMALL), alone)
    assert np.array_equal(synthesize(spectrograms[order][:, None], SMALL), alone[order])
    assert np.array_equal(synthesize(np.asfortranarray(spectrograms), SMALL), alone)
    assert np.array_equal(synthesize(spectrograms[::-1], SMALL), alone[::-1])
    waves = analyze(alone, SMALL)
    assert np.array_equal(waves, np.concatenate([analyze(wave, SMALL) for wave in alone]))


def test_synthesis_is_independent_of_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    rep = preset(16000, 0.25)
    spectrograms = np.random.default_rng(0).uniform(-1, 1, (5, 1, *rep.shape)).astype(np.float32)
    expected = synthesize(spectrograms, rep)
    for count in (1, 2, 5):
        monkeypatch.setattr("soundgan.spectral.phase_retrieval.cores", lambda count=count: count)
        assert np.array_equal(synthesize(spectrograms, rep), expected)


def test_synthesis_is_independent_of_blas_threads() -> None:
    script = (
        "import hashlib, numpy as np; from soundgan.spectral.presets import preset;"
        "from soundgan.spectral.representation import synthesize; rep = preset(44100, 0.5);"
        "spectrograms = np.random.default_rng(0).uniform(-1, 1, (2, *rep.shape)).astype('f4');"
        "print(hashlib.sha256(synthesize(spectrograms, rep).tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2"):
        variables = {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        run = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1


# Errors


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_analysis_and_synthesis_reject_nan_and_infinity(bad: float) -> None:
    wave, spectrogram = np.zeros(SMALL.samples, np.float32), np.zeros((3, *SMALL.shape), np.float32)
    wave[7], spectrogram[1, 2, 3] = bad, bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        analyze(wave, SMALL)
    with pytest.raises(ValueError, match="NaN or infinite"):
        synthesize(spectrogram, SMALL)


@pytest.mark.parametrize("shape", [(2, 4, 24, 16), (24, 15), (16, 24), (1, 1, 24, 17), (24,), ()])
def test_synthesis_rejects_spectrograms_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, 1, 24, 16\)"):
        synthesize(np.zeros(shape, np.float32), SMALL)


def test_synthesis_rejects_unknown_qualities() -> None:
    with pytest.raises(ValueError, match="quality = 'perfect': must be one of fast, balanced, best"):
        synthesize(np.zeros(SMALL.shape, np.float32), SMALL, quality="perfect")  # type: ignore[arg-type]


def test_synthesis_of_nothing_is_empty() -> None:
    assert synthesize(np.empty((0, 1, *SMALL.shape), np.float32), SMALL).shape == (0, SMALL.samples)
