"""Several sounds side by side in one long spectrum, for the iterations of phase retrieval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundgan.spectral.stft import STFT, Floats, Spectrum


class PackedBatch:
    """Sounds one after another along the frames of one spectrum, kept apart by gaps of silent frames.

    For sounds a, b and c of 4, 2 and 5 frames, and a gap of 1 frame:

        frame       0   1   2   3   4   5   6   7   8   9   10  11  12
        spectrum    a   a   a   a   0   b   b   0   c   c   c   c   c
        wave        aa  aa  aa  aa  ..  bb  bb  ..  cc  cc  cc  cc  cc
        spans       [0 ------- 4)       [5 - 7)     [8 ---------- 13)

    Magnitudes are scaled to a peak near 1. In the gaps, every STFT is set to 0 and every wave has gain 0, so sounds do
    not affect each other. NumPy works faster on a few large arrays than on many small ones, and the sounds may have any
    lengths.

    Attributes:
        magnitudes: of all sounds, (frames, bins).
        spans: frames of each sound.
    """

    def __init__(self, sounds: Sequence[Floats], stft: STFT) -> None:
        """Pack the magnitudes of sounds, (frames, bins) each, of at least one frame."""
        self.stft = stft
        gap = stft.padding_frames
        lengths = [len(sound) for sound in sounds]
        stops = np.cumsum([length + gap for length in lengths]) - gap
        self.spans = [slice(stop - length, stop) for stop, length in zip(stops.tolist(), lengths, strict=True)]
        self.magnitudes = np.zeros((int(stops[-1]), stft.bins), np.float32)
        # Gain 0 in the gaps cuts off what the first and last windows of a sound spill over, as at the ends of a wave.
        self._gain = np.zeros(int(stops[-1]) * stft.hop_length, np.float32)
        gains = {length: stft.gain(length) for length in set(lengths)}
        # A power of 2 as scale changes no digit of a sound.
        exponents = [int(np.clip(np.frexp(sound.max())[1], -126, 126)) for sound in sounds]
        self._scales = [np.float32(2.0**exponent) for exponent in exponents]
        for span, sound, scale in zip(self.spans, sounds, self._scales, strict=True):
            np.divide(sound, scale, out=self.magnitudes[span])
            self._gain[self._samples(span)] = gains[len(sound)]
        self._gaps = np.concatenate([np.arange(stop, stop + gap) for stop in stops[:-1]] or [np.arange(0)])

    def inverse(self, spectrum: Spectrum) -> Floats:
        """Return the packed wave (frames * hop_length,) whose STFT is closest to a packed spectrum (frames, bins)."""
        return self.stft.inverse(spectrum, self._gain)

    def forward(self, wave: Floats) -> Spectrum:
        """Return the packed spectrum (frames, bins) of a packed wave (frames * hop_length,)."""
        spectrum = self.stft.forward(wave)
        spectrum[self._gaps] = 0
        return spectrum

    def unpack(self, wave: Floats) -> list[Floats]:
        """Return the wave of each sound, in its own scale, from a packed wave."""
        return [wave[self._samples(span)] * scale for span, scale in zip(self.spans, self._scales, strict=True)]

    def _samples(self, span: slice) -> slice:
        return slice(span.start * self.stft.hop_length, span.stop * self.stft.hop_length)
