"""The phase retrieval methods that `benchmarks.synthesis` compares: ours, and those of other libraries.

A method takes magnitudes of the framing that it inverts, (n, frames, bins), and returns waves, (n, samples).
"""

# pyright: reportMissingImports=false
# The other libraries come with the extra `bench` only.

from __future__ import annotations

import functools
import heapq
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import timed
from soundgan.spectral.phase_retrieval import QUALITIES, PhaseRetrievalConfig, retrieve
from soundgan.spectral.stft import STFT

Floats = NDArray[np.float32]
CORES = os.cpu_count() or 1
MOMENTUM = 0.99
ORIGINAL = "original pipeline (NNLS + 256 iterations)"


class Framing(NamedTuple):
    """Sample rate in Hz, and window and hop of an STFT in samples."""

    sample_rate: int
    n_fft: int
    hop_length: int


class Method(NamedTuple):
    """A function from magnitudes to waves.

    Args:
        family: "ours", "variants" (of ours) or the library; the methods of a family share a curve of the plot.
        measure: waves (n, samples) → magnitudes (n, frames, bins).
        invert: magnitudes → waves.
        slow: timed in one round only.
    """

    name: str
    family: str
    measure: Callable[[Floats], Floats]
    invert: Callable[[Floats], Floats]
    slow: bool = False


def methods(n_fft: int, hop_length: int, samples: int) -> list[Method]:
    """All methods, for sounds of `samples` samples."""
    stft = STFT(n_fft, hop_length)

    def ours(waves: Floats) -> Floats:
        return np.stack([np.abs(stft.forward(wave)) for wave in waves])

    def centered(waves: Floats) -> Floats:
        return np.stack([centered_magnitudes(wave, n_fft, hop_length).T for wave in waves])

    def search(name: str, family: str, config: PhaseRetrievalConfig) -> Method:
        return Method(name, family, ours, lambda magnitudes: retrieve(magnitudes, stft, config))

    variants = {
        "derivative start alone": PhaseRetrievalConfig(),
        "derivative start + 16 fast Griffin-Lim": PhaseRetrievalConfig(griffin_lim_iterations=16),
        "random start + 32 fast Griffin-Lim": PhaseRetrievalConfig(init="random", griffin_lim_iterations=32),
    }
    compared = [search(quality, "ours", config) for quality, config in QUALITIES.items()]
    compared += [search(name, "variants", config) for name, config in variants.items()]
    compared += [Method("PGHI (heap, numba)", "PGHI", ours, functools.partial(pghi, stft=stft))]
    framing = {"n_fft": n_fft, "hop_length": hop_length, "samples": samples}
    for library, griffin_lim in {"librosa": librosa_griffin_lim, "torch": torch_griffin_lim}.items():
        for iterations in (32, 256):
            invert = functools.partial(griffin_lim, iterations=iterations, **framing)
            name = f"{library} Griffin-Lim, {iterations} iterations"
            compared.append(Method(name, library, centered, invert, slow=iterations > 32))
    return compared


def centered_magnitudes(wave: Floats, n_fft: int, hop_length: int) -> Floats:
    """(samples,) → (bins, frames), frame k centered at k * hop_length, which is the default of librosa."""
    import librosa

    return np.abs(librosa.stft(wave, n_fft=n_fft, hop_length=hop_length))


def librosa_griffin_lim(magnitudes: Floats, *, n_fft: int, hop_length: int, samples: int, iterations: int) -> Floats:
    """All sounds in one call, which is faster than one by one."""
    import librosa

    return librosa.griffinlim(
        magnitudes.swapaxes(-1, -2), n_iter=iterations, n_fft=n_fft, hop_length=hop_length, length=samples,
        momentum=MOMENTUM, init="random", random_state=0,
    )  # fmt: skip


def torch_griffin_lim(magnitudes: Floats, *, n_fft: int, hop_length: int, samples: int, iterations: int) -> Floats:
    """Fast Griffin-Lim of torchaudio: momentum on the spectra, divided by one plus itself."""
    import torch

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    window = torch.hann_window(n_fft)
    framing: dict[str, Any] = {"n_fft": n_fft, "hop_length": hop_length, "window": window, "center": True}
    with torch.inference_mode():
        target = torch.from_numpy(magnitudes).transpose(-1, -2)
        angles = torch.polar(torch.ones_like(target), 2 * torch.pi * torch.rand_like(target))
        before = torch.zeros_like(angles)
        for _ in range(iterations):
            wave = torch.istft(target * angles, length=samples, **framing)
            rebuilt = torch.stft(wave, pad_mode="constant", return_complex=True, **framing)
            angles = rebuilt - before.mul_(MOMENTUM / (1 + MOMENTUM))
            angles = angles.div_(angles.abs().add_(1e-16))
            before = rebuilt
        return torch.istft(target * angles, length=samples, **framing).numpy()


def mel_levels(wave: Floats, framing: Framing) -> Floats:
    """(samples,) → (128 bands, frames) in dB, cut off 80 dB below the loudest."""
    import librosa

    rate, n_fft, hop_length = framing
    mel = librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=n_fft, hop_length=hop_length, n_mels=128)
    return librosa.power_to_db(mel, top_db=80)


def from_mel(levels: Floats, framing: Framing, samples: int) -> dict[str, tuple[Floats, float]]:
    """Waves of mel levels, and their seconds, by `librosa.feature.inverse.mel_to_audio` and with 256 iterations.

    The first step of that function, the same for both, is computed only once.
    """
    import librosa

    rate, n_fft, hop_length = framing
    power = librosa.db_to_power(levels)
    nnls_seconds, magnitudes = timed(librosa.feature.inverse.mel_to_stft, power, sr=rate, n_fft=n_fft)
    waves = {}
    for name, iterations in {"librosa mel_to_audio": 32, ORIGINAL: 256}.items():
        seconds, wave = timed(
            librosa_griffin_lim, magnitudes.T, n_fft=n_fft, hop_length=hop_length, samples=samples,
            iterations=iterations,
        )  # fmt: skip
        waves[name] = wave, nnls_seconds + seconds
    return waves


def pghi(magnitudes: Floats, stft: STFT) -> Floats:
    """Phase gradient heap integration (Průša et al. 2017) of every sound, a thread a sound."""
    if len(magnitudes) == 1:
        return _pghi(magnitudes[0], stft)[None]
    with ThreadPoolExecutor(CORES) as pool:
        return np.stack(list(pool.map(functools.partial(_pghi, stft=stft), magnitudes)))


def _pghi(magnitudes: Floats, stft: STFT) -> Floats:
    integrate, _ = heap_integration()
    gamma = np.float32(0.25645 * stft.n_fft**2)
    logarithm = np.log(np.maximum(magnitudes, np.finfo(np.float32).tiny))
    in_time = np.gradient(logarithm, axis=1) * (stft.hop_length * stft.n_fft / gamma)
    turns = np.arange(stft.bins) * stft.hop_length / stft.n_fft
    in_time += (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    # The paper centers windows at 0, and an FFT starts them at 0, which makes a difference of pi per bin.
    in_frequency = np.gradient(logarithm, axis=0) * (-gamma / (stft.hop_length * stft.n_fft)) + np.float32(np.pi)
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, magnitudes.size)
    order = np.argsort(magnitudes, axis=None)[::-1]
    integrate(magnitudes.reshape(-1), in_time.reshape(-1), in_frequency.reshape(-1), order, stft.bins, phase)
    phase = (phase % (2 * np.pi)).astype(np.float32).reshape(magnitudes.shape)
    spectrum = np.empty(magnitudes.shape, np.complex64)
    np.multiply(magnitudes, np.cos(phase), out=spectrum.real)
    np.multiply(magnitudes, np.sin(phase), out=spectrum.imag)
    return stft.inverse(spectrum)


@functools.cache
def heap_integration(tolerance: float = 1e-6) -> tuple[Callable[..., None], float]:
    """The compiled integration, and the seconds that its compilation took."""
    import numba

    def integrate(
        magnitudes: Floats, in_time: Floats, in_frequency: Floats, order: NDArray[np.intp], bins: int,
        phase: NDArray[np.float64],
    ) -> None:  # fmt: skip
        waiting = magnitudes > magnitudes[order[0]] * tolerance
        for first in order:
            if not waiting[first]:
                if magnitudes[first] <= magnitudes[order[0]] * tolerance:
                    break
                continue
            waiting[first] = False
            phase[first] = 0.0
            heap = [(-magnitudes[first], first)]
            while heap:
                _, node = heapq.heappop(heap)
                for step in (-bins, bins, -1, 1):
                    neighbor = node + step
                    if neighbor < 0 or neighbor >= len(magnitudes) or not waiting[neighbor]:
                        continue
                    if abs(step) == 1:
                        if node // bins != neighbor // bins:
                            continue
                        slope = in_frequency[node] + in_frequency[neighbor]
                    else:
                        slope = in_time[node] + in_time[neighbor]
                    waiting[neighbor] = False
                    phase[neighbor] = phase[node] + (0.5 if step > 0 else -0.5) * slope
                    heapq.heappush(heap, (-magnitudes[neighbor], neighbor))

    compiled: Callable[..., None] = numba.njit(nogil=True)(integrate)
    start = time.perf_counter()
    few = np.ones(4, np.float32)
    compiled(few, few, few, np.argsort(few)[::-1], 2, np.zeros(4))
    return compiled, time.perf_counter() - start
