"""Phase retrieval: the wave that belongs to the magnitudes of an STFT.

The search starts from phases that are integrated from their derivatives (`integration.py`) and is then refined by
iterations that take turns between "has these magnitudes" and "is the STFT of a wave".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.cpu import cores
from soundgan.spectral.phase_integration import integrated_phase
from soundgan.spectral.stft import STFT

Magnitudes = NDArray[np.float32]
Quality = Literal["fast", "balanced", "best"]


class PhaseRetrievalConfig(NamedTuple):
    """How phases are searched for; see `docs/benchmarks/synthesis.md` for what each choice costs and brings."""

    init: Literal["integrated", "random"] = "integrated"
    difference_map_iterations: int = 0
    """Iterations of the difference map (Elser 2003; for spectrograms: Peer et al. 2022): they leave wrong phases."""
    griffin_lim_iterations: int = 0
    """Iterations of fast Griffin-Lim (Perraudin et al. 2013) after them: they settle."""


QUALITIES: dict[Quality, PhaseRetrievalConfig] = {
    "fast": PhaseRetrievalConfig(difference_map_iterations=2, griffin_lim_iterations=2),
    "balanced": PhaseRetrievalConfig(difference_map_iterations=6, griffin_lim_iterations=4),
    "best": PhaseRetrievalConfig(difference_map_iterations=60, griffin_lim_iterations=60),
}
_RELAXATION = np.float32(1.2)  # of the difference map
_MOMENTUM = np.float32(0.99)  # of fast Griffin-Lim
_TAPE = 3 << 16  # numbers in the spectrum of a tape: few enough for the cache, enough to keep threads from waiting


def retrieve(
    magnitudes: Magnitudes,
    stft: STFT,
    config: PhaseRetrievalConfig = QUALITIES["balanced"],
    *,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Find waves whose STFTs have the given magnitudes.

    Silence around a sound costs no time. Neither the other sounds of the batch, nor their order, nor the number of
    threads change a sound. A thread needs about 25 MiB, and more for sounds of more than 200,000 magnitudes.

    Args:
        config: initial phases and iterations; `QUALITIES` has those called "fast", "balanced" and "best".
        threads: how many work at a time; one for each of `cores`, but no more than 16, if left out.

    Shape:
        magnitudes (n, frames, bins) or (frames, bins) → waves (n, frames * hop) or (frames * hop,).

    Raises:
        ValueError: a magnitude is negative, NaN or infinite, or their number does not fit the STFT; or threads < 1.
    """
    magnitudes = np.asarray(magnitudes, np.float32)
    if magnitudes.ndim not in (2, 3) or magnitudes.shape[-1] != stft.bins:
        raise ValueError(f"magnitudes (n, frames, {stft.bins}) are needed, not {magnitudes.shape}")
    if not (np.isfinite(magnitudes).all() and (magnitudes >= 0).all()):
        raise ValueError("the magnitudes hold negative, NaN or infinite values")
    if threads is not None and threads < 1:
        raise ValueError(f"threads = {threads}: must be at least 1")
    _raise_mmap_threshold()
    sounds = magnitudes if magnitudes.ndim == 3 else magnitudes[None]
    waves = np.zeros((len(sounds), sounds.shape[1] * stft.hop_length), np.float32)
    spans = [_active_span(sound, stft.frames_of_padding) for sound in sounds]
    threads = threads or min(cores(), 16)

    def work(group: Sequence[int]) -> None:
        tape = _PackedBatch([sounds[i, spans[i]] for i in group], stft)
        wave = _search(tape, config)
        for i, piece in zip(group, tape.cut(wave), strict=True):
            waves[i, spans[i].start * stft.hop_length : spans[i].stop * stft.hop_length] = piece

    lengths = {i: span.stop - span.start for i, span in enumerate(spans) if span.stop}
    most = min(_TAPE // stft.bins, -(-sum(lengths.values()) // threads))
    groups = list(_groups(lengths, most))
    if threads == 1 or len(groups) < 2:
        for group in groups:
            work(group)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, groups))
    return waves.reshape(*magnitudes.shape[:-2], waves.shape[1])


class _PackedBatch:
    """Sounds one after another, with silent frames between them that keep them apart: one long sound to work on.

    Arrays of many sounds make the most of NumPy, whatever the lengths of the sounds.
    """

    def __init__(self, sounds: Sequence[Magnitudes], stft: STFT) -> None:
        self.stft = stft
        gap = stft.frames_of_padding
        lengths = [len(sound) for sound in sounds]
        stops = np.cumsum([length + gap for length in lengths]) - gap
        self.spans = [slice(stop - length, stop) for stop, length in zip(stops.tolist(), lengths, strict=True)]
        self.magnitudes = np.zeros((int(stops[-1]), stft.bins), np.float32)
        # No gain between the sounds: what their first and last windows spill over is cut off, as at the ends of a wave.
        self.gain = np.zeros(int(stops[-1]) * stft.hop_length, np.float32)
        gains = {length: stft.gain(length) for length in set(lengths)}
        # Every sound is brought to a peak near 1, by a power of 2, which changes no digit of it.
        exponents = [int(np.clip(np.frexp(sound.max())[1], -126, 126)) for sound in sounds]
        self.loudness = [np.float32(2.0**exponent) for exponent in exponents]
        for span, sound, loudness in zip(self.spans, sounds, self.loudness, strict=True):
            np.divide(sound, loudness, out=self.magnitudes[span])
            self.gain[self._samples(span)] = gains[len(sound)]

        self.between = np.concatenate([np.arange(stop, stop + gap) for stop in stops[:-1]] or [np.arange(0)])

    def wave(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        return self.stft.inverse(spectrum, self.gain)

    def spectrum(self, wave: NDArray[np.float32]) -> NDArray[np.complex64]:
        spectrum = self.stft.forward(wave)
        spectrum[self.between] = 0
        return spectrum

    def cut(self, wave: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [wave[self._samples(span)] * loudness for span, loudness in zip(self.spans, self.loudness, strict=True)]

    def _samples(self, span: slice) -> slice:
        return slice(span.start * self.stft.hop_length, span.stop * self.stft.hop_length)


def _search(tape: _PackedBatch, config: PhaseRetrievalConfig) -> NDArray[np.float32]:
    magnitudes = tape.magnitudes
    if config.init == "integrated":
        phase = integrated_phase(magnitudes, tape.spans, tape.stft)
    else:
        phase = np.zeros_like(magnitudes)
        for span in tape.spans:  # every sound by itself, so that it does not depend on its place on the tape
            shape = phase[span].shape
            phase[span] = np.random.default_rng(0).uniform(-np.pi, np.pi, shape)
    spectrum = _polar(magnitudes, phase)
    spectrum = _difference_map(tape, spectrum, config.difference_map_iterations)
    return _fast_griffin_lim(tape, spectrum, config.griffin_lim_iterations)


def _difference_map(tape: _PackedBatch, spectrum: NDArray[np.complex64], iterations: int) -> NDArray[np.complex64]:
    """x ← x + c (P(2 M(x) - x) - M(x)), with M(x) the magnitudes put right and P(x) the nearest STFT of a wave.

    Where both projections are scalings or linear, they are merged: M(x) = r x with a real r.
    """
    for _ in range(iterations):
        ratio = _ratio(spectrum, tape.magnitudes)
        reflected = ratio + ratio
        reflected -= 1
        projected = tape.spectrum(tape.wave(spectrum * reflected))
        projected *= _RELAXATION
        ratio *= -_RELAXATION
        ratio += 1
        spectrum *= ratio
        spectrum += projected
    if iterations:
        spectrum *= _ratio(spectrum, tape.magnitudes)
    return spectrum


def _fast_griffin_lim(tape: _PackedBatch, spectrum: NDArray[np.complex64], iterations: int) -> NDArray[np.float32]:
    """The momentum is applied to the wave: the STFT is linear, and a wave has a fraction of the numbers."""
    wave = tape.wave(spectrum)
    before = wave
    for _ in range(iterations):
        ahead = wave - before
        ahead *= _MOMENTUM
        ahead += wave
        before = wave
        spectrum = tape.spectrum(ahead)
        spectrum *= _ratio(spectrum, tape.magnitudes)
        wave = tape.wave(spectrum)
    return wave


def _ratio(spectrum: NDArray[np.complex64], magnitudes: Magnitudes) -> NDArray[np.float32]:
    """What scales every number of a spectrum to its magnitude.

    Real arithmetic throughout: `np.abs` of complex numbers rounds differently at the end of an array.
    """
    squares = np.square(spectrum.view(np.float32))
    ratio = squares[:, 0::2] + squares[:, 1::2]
    np.maximum(ratio, np.float32(1e-30), out=ratio)
    np.sqrt(ratio, out=ratio)
    return np.divide(magnitudes, ratio, out=ratio)


def _polar(magnitudes: Magnitudes, phase: NDArray[np.float32]) -> NDArray[np.complex64]:
    spectrum = np.empty(magnitudes.shape, np.complex64)
    np.multiply(magnitudes, np.cos(phase), out=spectrum.real)
    np.multiply(magnitudes, np.sin(phase), out=spectrum.imag)
    return spectrum


def _raise_mmap_threshold() -> None:
    """Have glibc reuse arrays of up to 31 MiB, instead of giving their pages back and faulting them in again.

    Freeing one such array, never touched, raises its thresholds (`man mallopt`, M_MMAP_THRESHOLD); other allocators do
    not mind. Long sounds take half the time.
    """
    np.empty(31 << 20, np.uint8)


def _active_span(magnitudes: Magnitudes, margin: int) -> slice:
    """From the first frame that is not silent to the last, and the silent ones around them that their windows reach.

    Those must stay: without their say, a sound's ends spill over.
    """
    frames = np.flatnonzero(magnitudes.any(axis=1))
    if not len(frames):
        return slice(0, 0)
    return slice(max(int(frames[0]) - margin, 0), min(int(frames[-1]) + 1 + margin, len(magnitudes)))


def _groups(lengths: dict[int, int], most: int) -> Iterable[list[int]]:
    """Neighbours in groups of at most `most` frames, or of one sound that is longer."""
    group: list[int] = []
    total = 0
    for i, length in lengths.items():
        if group and total + length > most:
            yield group
            group, total = [], 0
        group.append(i)
        total += length
    if group:
        yield group
