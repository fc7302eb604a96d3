"""Phase gradients integrate to phases that fit the magnitudes as well as those of a slow PGHI."""

from __future__ import annotations

import heapq
from collections.abc import Sized

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import fit_db, noise, sine, sounds

from soundgan.spectral.phase_gradients import phase_gradients
from soundgan.spectral.phase_integration import Edges, integrate_over_mst, integrate_phase
from soundgan.spectral.stft import STFT, Window

Floats = NDArray[np.float32]
Edge = tuple[int, int, float, float]  # start, stop, weight, step

RATE = 16_000
WINDOWS: list[Window] = ["hann", "gaussian"]
STFTS = [
    STFT(n_fft, hop_length, window) for n_fft, hop_length in [(256, 128), (48, 16), (512, 128)] for window in WINDOWS
]
seeds = st.integers(0, 2**32 - 1)


def whole(frames: Sized) -> list[slice]:
    return [slice(0, len(frames))]


def wrap(angles: NDArray[np.floating]) -> NDArray[np.floating]:
    """Angles modulo 2 pi, within ±pi."""
    return angles - 2 * np.pi * np.rint(angles / (2 * np.pi))


# Integration over the maximum spanning tree


def kruskal(count: int, edges: list[Edge]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The slow twin: values and component of each node, heaviest edge first (Kruskal 1956)."""
    values, component = np.zeros(count), np.arange(count)
    for i in sorted(range(len(edges)), key=lambda i: (edges[i][2], i), reverse=True):
        start, stop, _, step = edges[i]
        if component[start] != component[stop]:
            joined = component == component[stop]
            values[joined] += values[start] + step - values[stop]
            component[joined] = component[start]
    return values, component


def integrate(count: int, edges: list[Edge]) -> Floats:
    columns = np.array(edges, np.float64).reshape(-1, 4).T
    start, stop, (weights, steps) = *columns[:2].astype(np.intp), columns[2:].astype(np.float32)
    values = integrate_over_mst(Edges(start, stop, weights, steps), count)
    assert values.shape == (count,) and values.dtype == np.float32
    return values


def assert_equals_kruskal(count: int, edges: list[Edge]) -> None:
    """Differences that are multiples of 1/64 add up exactly in any order: no tolerance."""
    values = integrate(count, edges)
    expected, components = kruskal(count, edges)
    for component in set(components.tolist()):
        members = components == component
        assert np.ptp(values[members] - expected[members]) == 0, (
            "values differ by more than a constant for each component"
        )
        assert (values[members] == 0).any(), "no node of the component is 0"


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    """Small and large graphs, of several components, with isolated nodes, double edges and equal weights."""
    count = draw(st.integers(0, 40))
    if count < 2:
        return count, []
    node = st.integers(0, count - 1)
    weight = draw(st.sampled_from([st.integers(0, 3).map(float), st.floats(0, 2.0**100, width=32), st.just(1.0)]))
    step = st.integers(-640, 640).map(lambda step: step / 64)
    edge = st.tuples(node, node, weight, step).filter(lambda edge: edge[0] != edge[1])
    return count, draw(st.lists(edge, max_size=3 * count))


@given(graphs())
def test_mst_integration_equals_kruskal_on_random_graphs(graph: tuple[int, list[Edge]]) -> None:
    assert_equals_kruskal(*graph)


@pytest.mark.parametrize("kinds", [1, 5, 10**6])
def test_mst_integration_equals_kruskal_on_a_large_grid(kinds: int) -> None:
    random = np.random.default_rng(kinds)
    nodes = np.arange(40 * 50).reshape(40, 50)
    start = np.concatenate([nodes[:-1].ravel(), nodes[:, :-1].ravel()])
    stop = np.concatenate([nodes[1:].ravel(), nodes[:, 1:].ravel()])
    weights, steps = random.integers(kinds, size=start.size), random.integers(-99, 99, start.size) / 64
    edges = list(zip(start.tolist(), stop.tolist(), weights.tolist(), steps.tolist(), strict=True))
    random.shuffle(edges)
    assert_equals_kruskal(nodes.size, edges[: len(edges) * 9 // 10])


@pytest.mark.parametrize("order", ["rising", "falling", "equal", "shuffled"])
def test_mst_integration_equals_kruskal_on_a_long_chain(order: str) -> None:
    rising = np.arange(3000.0)
    shuffled = np.random.default_rng(0).permutation(rising)
    weights = {"rising": rising, "falling": rising[::-1], "equal": 0 * rising, "shuffled": shuffled}[order]
    assert_equals_kruskal(3001, [(i, i + 1, weight, (i % 7 - 2) / 64) for i, weight in enumerate(weights.tolist())])


@given(graphs(), seeds)
def test_mst_integration_of_consistent_differences_is_exact(graph: tuple[int, list[Edge]], seed: int) -> None:
    count, edges = graph
    values = np.random.default_rng(seed).integers(-9999, 9999, count) / 64
    edges = [(start, stop, weight, values[stop] - values[start]) for start, stop, weight, _ in edges]
    _, components = kruskal(count, edges)
    error = integrate(count, edges) - values
    for component in set(components.tolist()):
        assert np.ptp(error[components == component]) == 0, "values differ by more than a constant for each component"


def test_mst_integration_without_edges_is_0() -> None:
    for count in (0, 1, 5):
        assert np.array_equal(integrate(count, []), np.zeros(count))


# Integrated phases


def slow_pghi(magnitudes: Floats, stft: STFT) -> NDArray[np.float64]:
    """Průša, Balazs and Søndergaard 2017, algorithm 1, with our gradients: one bin at a time, from a heap."""
    frames, bins = magnitudes.shape
    in_time, in_frequency = phase_gradients(magnitudes, stft)
    phase = np.zeros(magnitudes.shape)
    phase[:, 1::2] = np.pi
    open_bins = magnitudes > 1e-3 * magnitudes.max()
    for flat in np.argsort(-magnitudes, axis=None, kind="stable").tolist():
        first = divmod(flat, bins)
        if not open_bins[first]:
            continue
        phase[first], open_bins[first] = 0, False
        reached = [(-magnitudes[first], first)]
        while reached:
            _, (k, m) = heapq.heappop(reached)
            for neighbor, step in (
                ((k + 1, m), in_time[k, m]),
                ((k - 1, m), -in_time[k - 1, m]),
                ((k, m + 1), in_frequency[k, m]),
                ((k, m - 1), -in_frequency[k, m - 1]),
            ):
                if 0 <= neighbor[0] < frames and 0 <= neighbor[1] < bins and open_bins[neighbor]:
                    phase[neighbor], open_bins[neighbor] = phase[k, m] + step, False
                    heapq.heappush(reached, (-magnitudes[neighbor], neighbor))
    return phase


@pytest.mark.parametrize("n_fft, hop_length", [(256, 128), (512, 128)])
@pytest.mark.parametrize("window", WINDOWS)
def test_integrated_phases_fit_about_as_well_as_slow_pghi(n_fft: int, hop_length: int, window: Window) -> None:
    """Beyond 20 dB, ties decide: clicks are equally loud in all bins, so that any tree is valid."""
    stft = STFT(n_fft, hop_length, window)
    fits = []
    for name, wave in sounds(48 * hop_length, RATE).items():
        magnitudes = np.abs(stft.forward(wave))
        fit, pghi_fit = (
            fit_db(stft.inverse((magnitudes * np.exp(1j * phase)).astype(np.complex64)), magnitudes, stft)
            for phase in (integrate_phase(magnitudes, whole(magnitudes), stft), slow_pghi(magnitudes, stft))
        )
        assert fit > min(pghi_fit, 20) - 2, name
        fits.append((min(fit, 25), min(pghi_fit, 25)))
    fit, pghi_fit = np.mean(fits, axis=0)
    assert fit > pghi_fit - 0.5


def any_magnitudes(random: np.random.Generator, frames: int, stft: STFT) -> Floats:
    """Random magnitudes over 100 dB, of no real sound, with holes and silent frames."""
    magnitudes = 10 ** random.uniform(-4, 1, (frames, stft.bins)) * (random.random((frames, stft.bins)) < 0.8)
    magnitudes[random.random(frames) < 0.2] = 0
    return magnitudes.astype(np.float32)


@given(st.sampled_from(STFTS), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3), seeds)
def test_integrated_phases_are_independent_between_sounds(stft: STFT, lengths: list[int], gap: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    spans, pieces = [], []
    for frames in lengths:
        start = sum(map(len, pieces))
        spans.append(slice(start, start + frames))
        pieces.append(any_magnitudes(random, frames, stft) * np.float32(random.choice([1e-3, 1, 30])))
        pieces.append(np.zeros((gap, stft.bins), np.float32))
    packed = np.concatenate(pieces)
    before = packed.copy()
    phase = integrate_phase(packed, spans, stft)
    assert phase.shape == packed.shape and phase.dtype == np.float32 and np.abs(phase).max() < 3.1416
    for span, sound in zip(spans, pieces[::2], strict=True):
        assert np.array_equal(phase[span], integrate_phase(sound, whole(sound), stft))
    assert np.array_equal(packed, before), "the argument is modified"


@given(st.sampled_from(STFTS), st.integers(1, 9), seeds)
def test_bins_60_db_below_the_loudest_get_the_phase_of_a_click(stft: STFT, frames: int, seed: int) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    quiet = magnitudes <= 0.9e-3 * magnitudes.max()
    assert quiet.any()
    signs = np.exp(1j * integrate_phase(magnitudes, whole(magnitudes), stft))
    np.testing.assert_allclose(signs[quiet], np.tile((-1.0) ** np.arange(stft.bins), (frames, 1))[quiet], atol=1e-6)


def test_bins_50_db_below_the_loudest_get_their_own_phase() -> None:
    stft = STFT(512, 128)
    wave = sine(40 * 128, 512, 60.2) + sine(40 * 128, 512, 180.3, 0.5 * 10 ** (-50 / 20))
    spectrum = stft.forward(wave)
    error = integrate_phase(np.abs(spectrum), whole(spectrum), stft) - np.angle(spectrum)
    for bin_ in (60, 180):
        assert np.abs(wrap(np.diff(error[8:-8, bin_]))).max() < 0.01, "the phase is not that of a steady tone"


@given(st.sampled_from(STFTS), st.integers(-6, 6), seeds)
def test_integrated_phases_are_independent_of_loudness(stft: STFT, exponent: int, seed: int) -> None:
    magnitudes = np.abs(stft.forward(noise(12 * stft.hop_length, RATE, seed)))
    louder = magnitudes * np.float32(4.0**exponent)
    turn = integrate_phase(louder, whole(louder), stft) - integrate_phase(magnitudes, whole(magnitudes), stft)
    assert np.abs(wrap(turn)).max() < 1e-3


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_integrated_phases_of_silence_are_finite(stft: STFT) -> None:
    for frames in (0, 1, 6):
        magnitudes = np.zeros((frames, stft.bins), np.float32)
        for spans in (whole(magnitudes), []):
            assert np.isfinite(integrate_phase(magnitudes, spans, stft)).all()
