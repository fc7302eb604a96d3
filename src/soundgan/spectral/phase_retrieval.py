"""Phase retrieval: waves from the magnitudes of their STFTs.

1. Initial phases are integrated from phase gradients (`phase_integration`).
2. The difference map escapes local minima (Elser 2003, "Phase retrieval by iterated projections"; for spectrograms:
   Peer, Welker and Gerkmann 2022, "Beyond Griffin-Lim: improved iterative phase retrieval for speech").
3. Fast Griffin-Lim converges (Perraudin, Balazs and Søndergaard 2013, "A fast Griffin-Lim algorithm").
4. What the magnitudes rule out before a hit is removed (`pre_echo`).

Steps 2 and 3 alternate between two projections: onto spectra with these magnitudes, and onto STFTs of waves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from soundgan.cpu import cores
from soundgan.spectral.packed_batch import PackedBatch
from soundgan.spectral.phase_integration import integrate_phase
from soundgan.spectral.pre_echo import suppress_pre_echo
from soundgan.spectral.stft import STFT, Floats, Spectrum

Quality = Literal["fast", "balanced", "best"]


class PhaseRetrievalConfig(NamedTuple):
    """Initial phases and iterations; `docs/benchmarks/synthesis.md` compares quality and time."""

    init: Literal["integrated", "random"] = "integrated"
    difference_map_iterations: int = 0
    griffin_lim_iterations: int = 0


QUALITIES: dict[Quality, PhaseRetrievalConfig] = {
    "fast": PhaseRetrievalConfig(difference_map_iterations=2, griffin_lim_iterations=2),
    "balanced": PhaseRetrievalConfig(difference_map_iterations=6, griffin_lim_iterations=4),
    "best": PhaseRetrievalConfig(difference_map_iterations=60, griffin_lim_iterations=60),
}
_RELAXATION = np.float32(1.2)  # of the difference map
_MOMENTUM = np.float32(0.99)  # of fast Griffin-Lim
_MAX_PACKED = 3 << 16  # numbers in a packed spectrum: few enough for the cache, enough to keep threads busy


def retrieve(
    magnitudes: Floats, stft: STFT, config: PhaseRetrievalConfig = QUALITIES["balanced"], *, threads: int | None = None
) -> Floats:
    """Return waves whose STFTs have nearly the given magnitudes.

    Silence around a sound costs no time. A sound does not depend on the other sounds of the batch, their order, or the
    number of threads. A thread needs about 25 MiB, and more for sounds of more than 200,000 magnitudes.

    Args:
        magnitudes: finite and not negative.
        config: one of `QUALITIES`, or another one.
        threads: maximum number of threads; by default one per core, at most 16.

    Shape:
        magnitudes (n, frames, bins) or (frames, bins) → waves (n, frames * hop_length) or (frames * hop_length,)

    Raises:
        ValueError: a magnitude is negative, NaN or infinite, their shape does not fit the STFT, or threads < 1.

    Examples:
        >>> stft = STFT(n_fft=256, hop_length=128)
        >>> wave = np.sin(2 * np.pi * 0.055 * np.arange(2048)).astype(np.float32)
        >>> magnitudes = np.abs(stft.forward(wave))
        >>> again = retrieve(magnitudes, stft, QUALITIES["best"])
        >>> error = np.abs(stft.forward(again)) - magnitudes
        >>> again.shape, bool(np.linalg.norm(error) < 0.02 * np.linalg.norm(magnitudes))
        ((2048,), True)
    """
    magnitudes = np.asarray(magnitudes, np.float32)
    if magnitudes.ndim not in (2, 3) or magnitudes.shape[-1] != stft.bins:
        raise ValueError(f"magnitudes have shape {magnitudes.shape}: must be (n, frames, {stft.bins})")
    if not (np.isfinite(magnitudes).all() and (magnitudes >= 0).all()):
        raise ValueError("magnitudes contain negative, NaN or infinite values")
    if threads is not None and threads < 1:
        raise ValueError(f"threads = {threads}: must be at least 1")
    _raise_mmap_threshold()
    sounds = magnitudes if magnitudes.ndim == 3 else magnitudes[None]
    waves = np.zeros((len(sounds), sounds.shape[1] * stft.hop_length), np.float32)
    spans = [_nonsilent_span(sound, stft.padding_frames) for sound in sounds]
    lengths = {index: span.stop - span.start for index, span in enumerate(spans) if span.stop}
    threads = threads or min(cores(), 16)
    max_frames = min(_MAX_PACKED // stft.bins, -(-sum(lengths.values()) // threads))
    groups = list(_group_sounds(lengths, max_frames))
    batches = [[sounds[index, spans[index]] for index in group] for group in groups]
    retrieve_batch = partial(_retrieve_batch, stft=stft, config=config)
    with ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 or len(groups) < 2 else pool.map
        for group, pieces in zip(groups, run(retrieve_batch, batches), strict=True):
            for index, piece in zip(group, pieces, strict=True):
                waves[index, spans[index].start * stft.hop_length : spans[index].stop * stft.hop_length] = piece
    return waves.reshape(*magnitudes.shape[:-2], waves.shape[1])


def _retrieve_batch(sounds: Sequence[Floats], stft: STFT, config: PhaseRetrievalConfig) -> list[Floats]:
    """Return the wave of each sound, from magnitudes (frames, bins) each."""
    batch = PackedBatch(sounds, stft)
    phase = _random_phases(batch) if config.init == "random" else integrate_phase(batch.magnitudes, batch.spans, stft)
    spectrum = _polar(batch.magnitudes, phase)
    spectrum = _difference_map(batch, spectrum, config.difference_map_iterations)
    waves = batch.unpack(_fast_griffin_lim(batch, spectrum, config.griffin_lim_iterations))
    return [suppress_pre_echo(wave, sound, stft) for wave, sound in zip(waves, sounds, strict=True)]


def _difference_map(batch: PackedBatch, spectrum: Spectrum, iterations: int) -> Spectrum:
    """x ← x + c (P(2 M(x) - x) - M(x)), with M(x) of the given magnitudes, and P(x) the nearest STFT of a wave.

    Both are merged where they are scalings or linear: M(x) = r x with a real r.
    """
    for _ in range(iterations):
        ratio = _magnitude_ratio(spectrum, batch.magnitudes)
        reflected = ratio + ratio
        reflected -= 1
        projected = batch.forward(batch.inverse(spectrum * reflected))
        projected *= _RELAXATION
        ratio *= -_RELAXATION
        ratio += 1
        spectrum *= ratio
        spectrum += projected
    if iterations:
        spectrum *= _magnitude_ratio(spectrum, batch.magnitudes)
    return spectrum


def _fast_griffin_lim(batch: PackedBatch, spectrum: Spectrum, iterations: int) -> Floats:
    """Griffin-Lim with momentum. It is applied to the wave: the STFT is linear, and a wave has fewer numbers."""
    wave = batch.inverse(spectrum)
    previous = wave
    for _ in range(iterations):
        ahead = wave - previous
        ahead *= _MOMENTUM
        ahead += wave
        previous = wave
        spectrum = batch.forward(ahead)
        spectrum *= _magnitude_ratio(spectrum, batch.magnitudes)
        wave = batch.inverse(spectrum)
    return wave


def _magnitude_ratio(spectrum: Spectrum, magnitudes: Floats) -> Floats:
    """Factors that scale each number of a spectrum to its given magnitude.

    Real arithmetic throughout: `np.abs` of complex numbers rounds differently at the end of an array.
    """
    squares = np.square(spectrum.view(np.float32))
    ratio = squares[:, 0::2] + squares[:, 1::2]
    np.maximum(ratio, np.float32(1e-30), out=ratio)
    np.sqrt(ratio, out=ratio)
    return np.divide(magnitudes, ratio, out=ratio)


def _random_phases(batch: PackedBatch) -> Floats:
    """Random phases of each sound, independent of the position of the sound in the batch."""
    phase = np.zeros_like(batch.magnitudes)
    for span in batch.spans:
        phase[span] = np.random.default_rng(0).uniform(-np.pi, np.pi, phase[span].shape)
    return phase


def _polar(magnitudes: Floats, phase: Floats) -> Spectrum:
    spectrum = np.empty(magnitudes.shape, np.complex64)
    np.multiply(magnitudes, np.cos(phase), out=spectrum.real)
    np.multiply(magnitudes, np.sin(phase), out=spectrum.imag)
    return spectrum


def _raise_mmap_threshold() -> None:
    """Make glibc reuse arrays of up to 31 MiB, instead of returning their pages and faulting them in again.

    Freeing one such array, never touched, raises its thresholds (`man mallopt`, M_MMAP_THRESHOLD); other allocators
    ignore it. Long sounds take half the time.
    """
    np.empty(31 << 20, np.uint8)


def _nonsilent_span(magnitudes: Floats, margin: int) -> slice:
    """First to last frame that is not silent, and the silent ones around them that their windows reach.

    Without the latter, the ends of a sound would spill over.
    """
    frames = np.flatnonzero(magnitudes.any(axis=1))
    if not len(frames):
        return slice(0, 0)
    return slice(max(int(frames[0]) - margin, 0), min(int(frames[-1]) + 1 + margin, len(magnitudes)))


def _group_sounds(lengths: dict[int, int], max_frames: int) -> Iterator[list[int]]:
    """Neighbors in groups of at most `max_frames` frames, or of a single longer sound."""
    group: list[int] = []
    total = 0
    for index, length in lengths.items():
        if group and total + length > max_frames:
            yield group
            group, total = [], 0
        group.append(index)
        total += length
    if group:
        yield group
