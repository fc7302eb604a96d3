"""The phase retrieval methods that `benchmarks.synthesis` compares: ours, and those of other libraries.

A method takes magnitudes of the framing that it inverts, (n, frames, bins), and returns waves, (n, samples).
"""

# pyright: reportMissingImports=false
# The other libraries come with the extra `bench` only.

from __future__ import annotations

import heapq
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import librosa
import numba
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import timed
from soundgan.spectral.phase_retrieval import QUALITIES, PhaseRetrievalConfig, retrieve
from soundgan.spectral.representation import Representation
from soundgan.spectral.stft import STFT

Floats = NDArray[np.float32]
CORES = os.cpu_count() or 1
MOMENTUM = 0.99
ORIGINAL = "original pipeline (NNLS + 256 iterations)"
PGHI_TOLERANCE = 1e-6  # of the largest magnitude, below which phases stay random
VARIANTS = {
    "integrated phases alone": PhaseRetrievalConfig(),
    "integrated phases + 16 fast Griffin-Lim": PhaseRetrievalConfig(griffin_lim_iterations=16),
    "random phases + 32 fast Griffin-Lim": PhaseRetrievalConfig(init="random", griffin_lim_iterations=32),
}


class Method(NamedTuple):
    """A function from magnitudes to waves.

    Attributes:
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


def methods(representation: Representation) -> list[Method]:
    """All methods, for the framing and the length of the sounds of a representation."""
    stft = representation.stft

    def ours(waves: Floats) -> Floats:
        return np.stack([np.abs(stft.forward(wave)) for wave in waves])

    def centered(waves: Floats) -> Floats:
        return centered_magnitudes(waves, stft.n_fft, stft.hop_length).swapaxes(-1, -2)

    compared = [
        Method(name, family, ours, partial(retrieve, stft=stft, config=config))
        for family, configs in (("ours", QUALITIES), ("variants", VARIANTS))
        for name, config in configs.items()
    ]
    compared.append(Method("PGHI (heap, numba)", "PGHI", ours, partial(pghi, stft=stft)))
    for library, griffin_lim in {"librosa": librosa_griffin_lim, "torch": torch_griffin_lim}.items():
        for iterations in (32, 256):
            invert = partial(griffin_lim, framing=stft, samples=representation.samples, iterations=iterations)
            name = f"{library} Griffin-Lim, {iterations} iterations"
            compared.append(Method(name, library, centered, invert, slow=iterations > 32))
    return compared


def centered_magnitudes(waves: Floats, n_fft: int, hop_length: int) -> Floats:
    """(…, samples) → (…, bins, frames), frame k centered at k * hop_length, which is the default of librosa."""
    return np.abs(librosa.stft(waves, n_fft=n_fft, hop_length=hop_length))


def librosa_griffin_lim(magnitudes: Floats, framing: STFT, samples: int, iterations: int) -> Floats:
    """All sounds in one call, which is faster than one by one."""
    return librosa.griffinlim(
        magnitudes.swapaxes(-1, -2), n_iter=iterations, n_fft=framing.n_fft, hop_length=framing.hop_length,
        length=samples, momentum=MOMENTUM, init="random", random_state=0,
    )  # fmt: skip


def torch_griffin_lim(magnitudes: Floats, framing: STFT, samples: int, iterations: int) -> Floats:
    """Fast Griffin-Lim of torchaudio: momentum on the spectra, divided by one plus itself."""
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    window = torch.hann_window(framing.n_fft)
    stft: dict[str, Any] = {"n_fft": framing.n_fft, "hop_length": framing.hop_length, "window": window}
    with torch.inference_mode():
        target = torch.from_numpy(magnitudes).transpose(-1, -2)
        angles = torch.polar(torch.ones_like(target), 2 * torch.pi * torch.rand_like(target))
        before = torch.zeros_like(angles)
        for _ in range(iterations):
            wave = torch.istft(target * angles, length=samples, **stft)
            rebuilt = torch.stft(wave, pad_mode="constant", return_complex=True, **stft)
            angles = rebuilt - before.mul_(MOMENTUM / (1 + MOMENTUM))
            angles = angles.div_(angles.abs().add_(1e-16))
            before = rebuilt
        return torch.istft(target * angles, length=samples, **stft).numpy()


def from_mel(wave: Floats, representation: Representation) -> dict[str, tuple[Floats, float]]:
    """Waves of the mel levels of a wave, and their seconds, by `mel_to_audio` of librosa and with 256 iterations.

    The levels are those of 128 bands in dB, cut off 80 dB below the loudest. The first step of `mel_to_audio`, the same
    for both, is computed only once.
    """
    rate, n_fft = representation.sample_rate, representation.n_fft
    mel = librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=n_fft, hop_length=representation.hop_length, n_mels=128)
    power = librosa.db_to_power(librosa.power_to_db(mel, top_db=80))
    nnls_seconds, magnitudes = timed(librosa.feature.inverse.mel_to_stft, power, sr=rate, n_fft=n_fft)
    waves = {}
    for name, iterations in {"librosa mel_to_audio": 32, ORIGINAL: 256}.items():
        seconds, inverted = timed(librosa_griffin_lim, magnitudes.T, representation.stft, len(wave), iterations)
        waves[name] = inverted, nnls_seconds + seconds
    return waves


def pghi(magnitudes: Floats, stft: STFT) -> Floats:
    """Phase gradient heap integration (Průša et al. 2017) of every sound, a thread a sound."""
    if len(magnitudes) == 1:
        return _pghi(magnitudes[0], stft)[None]
    with ThreadPoolExecutor(CORES) as pool:
        return np.stack(list(pool.map(partial(_pghi, stft=stft), magnitudes)))


def compile_pghi() -> float:
    """Compile PGHI; return the seconds that this took."""
    few = np.ones(4, np.float32)
    return timed(_integrate, few, few, few, np.argsort(few)[::-1], 2, np.zeros(4))[0]


def _pghi(magnitudes: Floats, stft: STFT) -> Floats:
    gamma = np.float32(0.25645 * stft.n_fft**2)
    logarithm = np.log(np.maximum(magnitudes, np.finfo(np.float32).tiny))
    in_time = np.gradient(logarithm, axis=1) * (stft.hop_length * stft.n_fft / gamma)
    turns = np.arange(stft.bins) * stft.hop_length / stft.n_fft
    in_time += (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    # The paper centers windows at 0, and an FFT starts them at 0, which makes a difference of pi per bin.
    in_frequency = np.gradient(logarithm, axis=0) * (-gamma / (stft.hop_length * stft.n_fft)) + np.float32(np.pi)
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, magnitudes.size)
    order = np.argsort(magnitudes, axis=None)[::-1]
    _integrate(magnitudes.reshape(-1), in_time.reshape(-1), in_frequency.reshape(-1), order, stft.bins, phase)
    phase = (phase % (2 * np.pi)).astype(np.float32).reshape(magnitudes.shape)
    spectrum = np.empty(magnitudes.shape, np.complex64)
    np.multiply(magnitudes, np.cos(phase), out=spectrum.real)
    np.multiply(magnitudes, np.sin(phase), out=spectrum.imag)
    return stft.inverse(spectrum)


@numba.njit(nogil=True)
def _integrate(
    magnitudes: Floats, in_time: Floats, in_frequency: Floats, order: NDArray[np.intp], bins: int,
    phase: NDArray[np.float64],
) -> None:  # fmt: skip
    """Fill `phase` from the largest magnitudes on, each from the neighbor that it was reached by."""
    waiting = magnitudes > magnitudes[order[0]] * PGHI_TOLERANCE
    for first in order:
        if not waiting[first]:
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
