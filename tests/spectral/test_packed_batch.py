"""Packed sounds are independent, and unpacked as they were."""

from __future__ import annotations

import numpy as np
import pytest
from waves import noise

from soundgan.spectral.packed_batch import PackedBatch
from soundgan.spectral.stft import STFT


@pytest.mark.parametrize("stft", [STFT(64, 32), STFT(64, 16, "gaussian"), STFT(64, 8)], ids=str)
def test_packed_spectra_and_waves_equal_those_of_single_sounds(stft: STFT) -> None:
    waves = [noise(frames * stft.hop_length, 8000, frames, level) for frames, level in ((4, 0.01), (1, 1), (9, 100))]
    batch = PackedBatch([np.abs(stft.forward(wave)) for wave in waves], stft)
    assert [span.stop - span.start for span in batch.spans] == [4, 1, 9]
    assert all(0.5 <= batch.magnitudes[span].max() <= 1 for span in batch.spans)
    packed = np.zeros(len(batch.magnitudes) * stft.hop_length, np.float32)
    for span, wave in zip(batch.spans, waves, strict=True):
        packed[span.start * stft.hop_length : span.stop * stft.hop_length] = wave
    spectrum = batch.forward(packed)
    for span, wave in zip(batch.spans, waves, strict=True):
        assert np.array_equal(spectrum[span], stft.forward(wave))
    silent = np.ones(len(spectrum), bool)
    for span in batch.spans:
        silent[span] = False
    assert silent.sum() == 2 * stft.padding_frames and not spectrum[silent].any()
    inverse = batch.inverse(spectrum)
    for span, wave, unpacked in zip(batch.spans, waves, batch.unpack(inverse), strict=True):
        scale = unpacked / inverse[span.start * stft.hop_length : span.stop * stft.hop_length]
        assert np.ptp(scale) == 0 and np.log2(scale[0]) % 1 == 0
        assert np.array_equal(unpacked, stft.inverse(stft.forward(wave)) * scale[0])
