"""How near a sound comes to another: the judges of `synthesis.py`."""

# pyright: reportMissingImports=false
# librosa comes with the bench extra only.

from __future__ import annotations

import numpy as np

from benchmarks.synthesis import methods as peers
from benchmarks.synthesis.methods import Floats
from soundgan.spectral.representation import Representation, levels_db

RANGE_DB = 80.0  # below a sound's loudest bin: what the judges hear


def decibels(magnitudes: Floats) -> Floats:
    return 20 * np.log10(np.maximum(magnitudes, np.float32(1e-9)))


def convergence(magnitudes: Floats, reached: Floats) -> float:
    """Spectral convergence in dB: how far the error lies below the sound."""
    return float(20 * np.log10(np.linalg.norm(magnitudes) / np.linalg.norm(magnitudes - reached)))


def distance(levels: Floats, reached: Floats, floor: float) -> float:
    """Log-spectral distance in dB of (frames, bands) levels: RMS over bands, mean over frames that are not silent."""
    sounding = (levels > floor).any(axis=1)
    difference = np.maximum(levels, floor) - np.maximum(reached, floor)
    return float(np.sqrt(np.mean(difference[sounding] ** 2, axis=1)).mean())


def heard(magnitudes: Floats, reached: Floats) -> float:
    """The log-spectral distance of (frames, bins) magnitudes down to `RANGE_DB` below the loudest."""
    levels = decibels(magnitudes)
    return distance(levels, decibels(reached), float(levels.max()) - RANGE_DB)


def judge(wave: Floats, result: Floats, representation: Representation) -> dict[str, float]:
    """Log-spectral distances of a sound from the original: by everyone's judge, by librosa's bands, and by ours.

    Between two frames a spectrogram of few frames says little, and what a method makes up there cannot be right. With
    half a hop between them, the judge's frames are those of librosa and ours in turn. The two judges on each one's own
    ground, whose very levels one side was given, stand beside it.
    """
    import librosa

    rate, n_fft, hop_length = representation.sample_rate, representation.n_fft, representation.hop_length
    size = min(len(wave), len(result))
    bands = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=128)
    pair = [peers.centred_magnitudes(sound[:size], n_fft, hop_length // 2) for sound in (wave, result)]
    mel = [np.sqrt(bands @ magnitudes**2) for magnitudes in pair]
    painted = [np.minimum(levels_db(sound, representation)[0].T, representation.ceiling_db) for sound in (wave, result)]
    return {
        "linear": heard(pair[0].T, pair[1].T),
        "mel": heard(mel[0].T, mel[1].T),
        "librosa": heard(mel[0][:, ::2].T, mel[1][:, ::2].T),
        "spectrogram": distance(painted[0], painted[1], representation.floor_db),
    }
