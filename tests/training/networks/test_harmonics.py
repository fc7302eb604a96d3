"""Harmonic combs against the spectrograms of sounds, and the pitch of a generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from soundgan.spectral.pitch import MAX_PITCH, MIN_PITCH
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze
from soundgan.training.losses.auxiliary import pitch_loss
from soundgan.training.networks.harmonics import Harmonics
from soundgan.training.networks.residual import ResidualGenerator

WIDTH = 16


def harmonics(rate: int = 8000, duration: float = 0.5) -> Harmonics:
    torch.manual_seed(0)
    network = Harmonics(preset(rate, duration), WIDTH)
    network.reset_parameters()
    return network


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("hz", [150.0, 240.0, 400.0])
def test_harmonic_comb_matches_the_spectrogram_of_a_harmonic_sound(rate: int, hz: float) -> None:
    representation = preset(rate, 0.5)
    t = np.arange(representation.samples) / rate
    count = int(min(0.45 * rate, 3000) / hz)
    wave = 0.8 * np.mean([np.cos(2 * np.pi * k * hz * t) for k in range(1, count + 1)], axis=0)
    spectrogram = analyze(wave.astype(np.float32), representation)[0, 0]
    octaves = torch.full((1, representation.frames), float(np.log2(hz / MIN_PITCH)))
    harmonic_comb = harmonics(rate).harmonic_comb(octaves)[0, 0].numpy()
    middle = representation.frames // 2
    mask = (np.abs(harmonic_comb[:, middle]) > 0.05) & (representation.band_centers < (count + 0.3) * hz)
    assert mask.sum() > 10
    assert np.corrcoef(harmonic_comb[mask, middle], spectrogram[mask, middle])[0, 1] > 0.8
    # The harmonics of a sound a fourth higher are in other bands.
    other = harmonics(rate).harmonic_comb(octaves + 5 / 12)[0, 0].numpy()
    assert np.corrcoef(other[mask, middle], spectrogram[mask, middle])[0, 1] < 0.4


@given(octaves=st.floats(0, np.log2(MAX_PITCH / MIN_PITCH)), rate=st.sampled_from([8000, 16000, 22050, 44100]))
def test_harmonic_comb_is_bounded_and_zero_in_wide_bands(octaves: float, rate: int) -> None:
    network = harmonics(rate, 0.25)
    harmonic_comb = network.harmonic_comb(torch.full((2, preset(rate, 0.25).frames), octaves))
    assert harmonic_comb.shape == (2, 1, *preset(rate, 0.25).shape)
    assert harmonic_comb.abs().max() <= 1
    wide = network.bandwidths >= MIN_PITCH * 2**octaves
    if wide.any():
        assert harmonic_comb[:, :, wide].abs().max() < 1e-6


@given(st.floats(-30, 30))
def test_pitch_is_bounded_and_starts_in_the_middle(strength: float) -> None:
    network = harmonics()
    w = strength * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    pitch = network.pitch(w).detach()
    assert pitch.shape == (5, preset(8000, 0.5).frames)
    highest = np.log2(MAX_PITCH / MIN_PITCH)
    assert pitch.min() >= 0
    assert pitch.max() <= highest + 1e-5
    middle = highest / 2
    torch.testing.assert_close(network.pitch(torch.zeros(1, WIDTH)), torch.full((1, pitch.shape[1]), float(middle)))


def test_pitch_is_exact_under_bfloat16_autocast() -> None:
    torch.manual_seed(0)
    representation = preset(8000, 0.25)
    generator = ResidualGenerator(representation, size=8, nz=8, nc=1, labels=2)
    z, labels = torch.randn(3, 8), torch.tensor([0, 1, 1])
    with torch.autocast("cpu", torch.bfloat16):
        pitch = generator.pitch(generator.mapping(z, labels))
        harmonic_comb = generator.harmonics.harmonic_comb(pitch)
    assert torch.equal(pitch, generator.pitch(generator.mapping(z, labels)))
    assert torch.equal(harmonic_comb, generator.harmonics.harmonic_comb(pitch))


def test_harmonic_comb_is_low_below_the_pitch() -> None:
    network = harmonics(44100)
    octaves = torch.full((1, preset(44100, 0.5).frames), float(np.log2(400 / MIN_PITCH)))
    below = network.centers < 200
    assert below.sum() > 3
    assert (network.harmonic_comb(octaves)[0, 0, below] <= 0).all()


def test_pitch_can_be_fitted() -> None:
    network = harmonics()
    w = torch.randn(8, WIDTH)
    frames = preset(8000, 0.5).frames
    target = 1 + torch.rand(8, 1) + 0.3 * torch.sin(torch.arange(frames) / 5)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        pitch_loss(network.pitch(w), target, torch.ones(8, frames)).backward()
        optimizer.step()
    assert pitch_loss(network.pitch(w), target, torch.ones(8, frames)) < 0.05
