"""Derivatives of phases are read from magnitudes, and add up to phases that fit: as well as those of a slow PGHI."""

from __future__ import annotations

import heapq
from collections.abc import Sized

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import chirp, click, fit_db, noise, sine, sounds

from soundgan.spectral.phase_gradients import frequency_offset, group_delay, phase_gradients
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


def turned_back(angles: NDArray[np.floating]) -> NDArray[np.floating]:
    """Whole turns left out: within ±pi."""
    return angles - 2 * np.pi * np.rint(angles / (2 * np.pi))


# Along the maximum spanning tree


def slowly_added_up(count: int, edges: list[Edge]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Values, and the part that every node belongs to: heaviest edge first, each joins two parts (Kruskal 1956)."""
    values, part = np.zeros(count), np.arange(count)
    for i in sorted(range(len(edges)), key=lambda i: (edges[i][2], i), reverse=True):
        start, stop, _, step = edges[i]
        if part[start] != part[stop]:
            joined = part == part[stop]
            values[joined] += values[start] + step - values[stop]
            part[joined] = part[start]
    return values, part


def added_up(count: int, edges: list[Edge]) -> Floats:
    columns = np.array(edges, np.float64).reshape(-1, 4).T
    start, stop, (weights, steps) = *columns[:2].astype(np.intp), columns[2:].astype(np.float32)
    values = integrate_over_mst(Edges(start, stop, weights, steps), count)
    assert values.shape == (count,) and values.dtype == np.float32
    return values


def assert_like_the_slow_twin(count: int, edges: list[Edge]) -> None:
    """Steps that are whole 64ths add up exactly, whatever the order: no tolerance."""
    values = added_up(count, edges)
    expected, parts = slowly_added_up(count, edges)
    for part in set(parts.tolist()):
        members = parts == part
        assert np.ptp(values[members] - expected[members]) == 0, "up to a constant for every part"
        assert (values[members] == 0).any(), "some node of every part is 0"


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    """Few nodes and edges or many, in one part or several, some nodes alone, some edges double, many equally heavy."""
    count = draw(st.integers(0, 40))
    if count < 2:
        return count, []
    node = st.integers(0, count - 1)
    weight = draw(st.sampled_from([st.integers(0, 3).map(float), st.floats(0, 2.0**100, width=32), st.just(1.0)]))
    step = st.integers(-640, 640).map(lambda step: step / 64)
    edge = st.tuples(node, node, weight, step).filter(lambda edge: edge[0] != edge[1])
    return count, draw(st.lists(edge, max_size=3 * count))


@given(graphs())
def test_steps_add_up_along_the_maximum_spanning_tree(graph: tuple[int, list[Edge]]) -> None:
    assert_like_the_slow_twin(*graph)


@pytest.mark.parametrize("kinds", [1, 5, 10**6])
def test_so_they_do_on_a_large_grid(kinds: int) -> None:
    random = np.random.default_rng(kinds)
    places = np.arange(40 * 50).reshape(40, 50)
    start = np.concatenate([places[:-1].ravel(), places[:, :-1].ravel()])
    stop = np.concatenate([places[1:].ravel(), places[:, 1:].ravel()])
    weights, steps = random.integers(kinds, size=start.size), random.integers(-99, 99, start.size) / 64
    edges = list(zip(start.tolist(), stop.tolist(), weights.tolist(), steps.tolist(), strict=True))
    random.shuffle(edges)
    assert_like_the_slow_twin(places.size, edges[: len(edges) * 9 // 10])


@pytest.mark.parametrize("order", ["rising", "falling", "equal", "shuffled"])
def test_so_they_do_along_a_long_chain(order: str) -> None:
    rising = np.arange(3000.0)
    shuffled = np.random.default_rng(0).permutation(rising)
    weights = {"rising": rising, "falling": rising[::-1], "equal": 0 * rising, "shuffled": shuffled}[order]
    assert_like_the_slow_twin(3001, [(i, i + 1, weight, (i % 7 - 2) / 64) for i, weight in enumerate(weights.tolist())])


@given(graphs(), seeds)
def test_consistent_steps_give_the_values_back(graph: tuple[int, list[Edge]], seed: int) -> None:
    count, edges = graph
    values = np.random.default_rng(seed).integers(-9999, 9999, count) / 64
    edges = [(start, stop, weight, values[stop] - values[start]) for start, stop, weight, _ in edges]
    _, parts = slowly_added_up(count, edges)
    away = added_up(count, edges) - values
    for part in set(parts.tolist()):
        assert np.ptp(away[parts == part]) == 0, "up to a constant for every part"


def test_no_edges_leave_every_node_at_0() -> None:
    for count in (0, 1, 5):
        assert np.array_equal(added_up(count, []), np.zeros(count))


# Derivatives


@given(st.sampled_from(STFTS), st.floats(0.2, 0.8), st.floats(-0.5, 0.5), st.floats(0, 6.28))
def test_the_frequency_of_a_steady_tone_is_read_between_the_bins(
    stft: STFT, place: float, offset: float, start: float
) -> None:
    bin_ = round(place * stft.n_fft / 2)
    wave = sine(24 * stft.hop_length, stft.n_fft, bin_ + offset, start=start)  # a rate of n_fft: a bin is 1 Hz
    found = frequency_offset(np.abs(stft.forward(wave)), stft)
    np.testing.assert_allclose(found[8:-8, bin_], offset, atol=0.001 if stft.window == "hann" else 0.006)
    assert not found[:, [0, -1]].any(), "the first and the last bin"


@given(st.sampled_from(STFTS), st.floats(-0.47, 0.47))
def test_the_time_of_a_click_is_read_between_the_frames(stft: STFT, place: float) -> None:
    at = 10 * stft.hop_length + stft.hop_length // 2 + int(place * stft.n_fft)
    delay = (at - 10.5 * stft.hop_length) / stft.n_fft
    found = group_delay(np.abs(stft.forward(click(24 * stft.hop_length, RATE, at))), stft)
    np.testing.assert_allclose(found[10], delay, atol=0.001)


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_what_fades_slowly_lies_a_little_ahead_of_the_middle(stft: STFT) -> None:
    samples, bin_ = np.arange(40 * stft.hop_length), stft.n_fft // 5
    for windows in (1, 2, 8, 64):
        wave = sine(samples.size, stft.n_fft, bin_) * np.exp(-samples / (windows * stft.n_fft)).astype(np.float32)
        fading, rising = (group_delay(np.abs(stft.forward(way)), stft)[8:-8, bin_] for way in (wave, wave[::-1]))
        for delay in (-fading, rising):
            assert (delay > 0.02 / windows).all() and (delay < 0.1 / windows).all()


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_the_steps_are_those_of_the_true_phase(stft: STFT) -> None:
    """Of a tone in time, of a click in frequency, and of a slow chirp in both, where it is loud."""
    hop_length, n_fft = stft.hop_length, stft.n_fft

    def imle_loss(wave: Floats, share: float) -> tuple[Floats, Floats]:
        spectrum = stft.forward(wave)
        in_time, in_frequency = (steps[8:-8] for steps in phase_gradients(np.abs(spectrum), stft))
        spectrum = spectrum[8:-8]
        loud = np.abs(spectrum) > share * np.abs(spectrum).max()
        in_time = in_time[:-1] - np.angle(spectrum[1:] * spectrum[:-1].conj())
        in_frequency = in_frequency[:, :-1] - np.angle(spectrum[:, 1:] * spectrum[:, :-1].conj())
        return turned_back(in_time)[loud[:-1] & loud[1:]], turned_back(in_frequency)[loud[:, :-1] & loud[:, 1:]]

    exact = stft.window == "gaussian"
    for offset in (-0.5, -0.2, 0, 0.4):
        in_time, _ = imle_loss(sine(40 * hop_length, n_fft, n_fft // 5 + offset), 0.4)
        assert in_time.size and np.abs(in_time).max() < 0.03
    for place in (20.4, 20.5, 20.7):
        _, in_frequency = imle_loss(click(40 * hop_length, RATE, round(place * hop_length)), 0.9)
        assert in_frequency.size >= stft.bins - 1 and np.abs(in_frequency).max() < 0.01
    rise = 0.25 * 60 * hop_length / n_fft  # a quarter of a bin within a window
    in_time, in_frequency = imle_loss(chirp(60 * hop_length, n_fft, 0.2 * n_fft, 0.2 * n_fft + rise), 0.3)
    assert in_time.size > 40 and np.abs(in_time).max() < (0.06 if exact else 0.35)
    assert in_frequency.size > 40 and np.abs(in_frequency).max() < (0.01 if exact else 0.15)


# Integrated phases


def slow_pghi(magnitudes: Floats, stft: STFT) -> NDArray[np.float64]:
    """Průša, Balazs and Søndergaard 2017, algorithm 1, with our steps: one bin at a time, from a heap."""
    frames, bins = magnitudes.shape
    in_time, in_frequency = phase_gradients(magnitudes, stft)
    phase = np.zeros(magnitudes.shape)
    phase[:, 1::2] = np.pi
    todo = magnitudes > 1e-3 * magnitudes.max()
    for flat in np.argsort(-magnitudes, axis=None, kind="stable").tolist():
        first = divmod(flat, bins)
        if not todo[first]:
            continue
        phase[first], todo[first] = 0, False
        reached = [(-magnitudes[first], first)]
        while reached:
            _, (k, m) = heapq.heappop(reached)
            for there, step in (
                ((k + 1, m), in_time[k, m]),
                ((k - 1, m), -in_time[k - 1, m]),
                ((k, m + 1), in_frequency[k, m]),
                ((k, m - 1), -in_frequency[k, m - 1]),
            ):
                if 0 <= there[0] < frames and 0 <= there[1] < bins and todo[there]:
                    phase[there], todo[there] = phase[k, m] + step, False
                    heapq.heappush(reached, (-magnitudes[there], there))
    return phase


@pytest.mark.parametrize("n_fft, hop_length", [(256, 128), (512, 128)])
@pytest.mark.parametrize("window", WINDOWS)
def test_phases_fit_about_as_well_as_those_of_a_slow_pghi(n_fft: int, hop_length: int, window: Window) -> None:
    """Beyond 20 dB, the ties of clicks decide: they are equally loud in all bins, and any tree is right."""
    stft = STFT(n_fft, hop_length, window)
    fits = []
    for name, wave in sounds(48 * hop_length, RATE).items():
        magnitudes = np.abs(stft.forward(wave))
        ours, twins = (
            fit_db(stft.inverse((magnitudes * np.exp(1j * phase)).astype(np.complex64)), magnitudes, stft)
            for phase in (integrate_phase(magnitudes, whole(magnitudes), stft), slow_pghi(magnitudes, stft))
        )
        assert ours > min(twins, 20) - 2, name
        fits.append((min(ours, 25), min(twins, 25)))
    ours, twins = np.mean(fits, axis=0)
    assert ours > twins - 0.5


def any_magnitudes(random: np.random.Generator, frames: int, stft: STFT) -> Floats:
    """Magnitudes over 100 dB, with holes and silent frames, that no sound needs to have."""
    magnitudes = 10 ** random.uniform(-4, 1, (frames, stft.bins)) * (random.random((frames, stft.bins)) < 0.8)
    magnitudes[random.random(frames) < 0.2] = 0
    return magnitudes.astype(np.float32)


@given(st.sampled_from(STFTS), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3), seeds)
def test_no_phase_is_carried_from_one_sound_to_another(stft: STFT, lengths: list[int], gap: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    spans, pieces = [], []
    for frames in lengths:
        start = sum(map(len, pieces))
        spans.append(slice(start, start + frames))
        pieces.append(any_magnitudes(random, frames, stft) * np.float32(random.choice([1e-3, 1, 30])))
        pieces.append(np.zeros((gap, stft.bins), np.float32))
    tape = np.concatenate(pieces)
    before = tape.copy()
    phase = integrate_phase(tape, spans, stft)
    assert phase.shape == tape.shape and phase.dtype == np.float32 and np.abs(phase).max() < 3.1416
    for span, sound in zip(spans, pieces[::2], strict=True):
        assert np.array_equal(phase[span], integrate_phase(sound, whole(sound), stft))
    assert np.array_equal(tape, before), "the argument is left alone"


@given(st.sampled_from(STFTS), st.integers(1, 9), seeds)
def test_what_is_60_db_below_the_loudest_gets_the_phase_of_a_click(stft: STFT, frames: int, seed: int) -> None:
    magnitudes = any_magnitudes(np.random.default_rng(seed), frames, stft)
    quiet = magnitudes <= 0.9e-3 * magnitudes.max()
    assert quiet.any()
    signs = np.exp(1j * integrate_phase(magnitudes, whole(magnitudes), stft))
    np.testing.assert_allclose(signs[quiet], np.tile((-1.0) ** np.arange(stft.bins), (frames, 1))[quiet], atol=1e-6)


def test_what_is_50_db_below_it_has_its_own() -> None:
    stft = STFT(512, 128)
    wave = sine(40 * 128, 512, 60.2) + sine(40 * 128, 512, 180.3, 0.5 * 10 ** (-50 / 20))
    spectrum = stft.forward(wave)
    away = integrate_phase(np.abs(spectrum), whole(spectrum), stft) - np.angle(spectrum)
    for bin_ in (60, 180):
        assert np.abs(turned_back(np.diff(away[8:-8, bin_]))).max() < 0.01, "as steady as the tone itself"


@given(st.sampled_from(STFTS), st.integers(-6, 6), seeds)
def test_the_loudness_of_a_sound_does_not_change_its_phases(stft: STFT, upsamples: int, seed: int) -> None:
    magnitudes = np.abs(stft.forward(noise(12 * stft.hop_length, RATE, seed)))
    louder = magnitudes * np.float32(4.0**upsamples)
    turn = integrate_phase(louder, whole(louder), stft) - integrate_phase(magnitudes, whole(magnitudes), stft)
    assert np.abs(turned_back(turn)).max() < 1e-3


@pytest.mark.parametrize("stft", STFTS, ids=str)
def test_silence_has_phases_too(stft: STFT) -> None:
    for frames in (0, 1, 6):
        magnitudes = np.zeros((frames, stft.bins), np.float32)
        for spans in (whole(magnitudes), []):
            assert np.isfinite(integrate_phase(magnitudes, spans, stft)).all()
