"""Distances between two sounds, by which `benchmarks.synthesis` scores the methods."""

# pyright: reportMissingImports=false
# librosa comes with the extra `bench` only.

from __future__ import annotations

import librosa
import numpy as np

from benchmarks.synthesis.methods import Floats, centered_magnitudes
from soundgan.spectral.representation import Representation, levels_db

RANGE_DB = 80.0  # below the loudest bin of a sound, where distances are cut off


def decibels(magnitudes: Floats) -> Floats:
    return 20 * np.log10(np.maximum(magnitudes, np.float32(1e-9)))


def spectral_convergence(target: Floats, magnitudes: Floats) -> float:
    """Level of the target magnitudes above the error, in dB."""
    return float(20 * np.log10(np.linalg.norm(target) / np.linalg.norm(target - magnitudes)))


def distance(target: Floats, levels: Floats, floor: float) -> float:
    """Log-spectral distance in dB of (frames, bands) levels: RMS over bands, mean over frames that are not silent."""
    audible = (target > floor).any(axis=1)
    difference = np.maximum(target, floor) - np.maximum(levels, floor)
    return float(np.sqrt(np.mean(difference[audible] ** 2, axis=1)).mean())


def log_spectral_distance(target: Floats, magnitudes: Floats) -> float:
    """Log-spectral distance in dB of (frames, bins) magnitudes, down to `RANGE_DB` below the loudest of the target."""
    levels = decibels(target)
    return distance(levels, decibels(magnitudes), float(levels.max()) - RANGE_DB)


def score(original: Floats, wave: Floats, representation: Representation) -> dict[str, float]:
    """Log-spectral distances of a wave from the original: linear, mel, on librosa's frames and bands, and on ours.

    A method can make up anything between two frames of a spectrogram. With half a hop between them, the frames of
    `linear` and `mel` are those of librosa and ours in turn. `librosa` and `spectrogram` use the very frames and bands
    that one of the two sides was given.
    """
    n_fft, hop_length = representation.n_fft, representation.hop_length
    size = min(len(original), len(wave))
    filters = librosa.filters.mel(sr=representation.sample_rate, n_fft=n_fft, n_mels=128)
    pair = original[:size], wave[:size]
    linear = [centered_magnitudes(sound, n_fft, hop_length // 2).T for sound in pair]
    mel = [np.sqrt(magnitudes**2 @ filters.T) for magnitudes in linear]
    target, levels = (
        np.minimum(levels_db(sound, representation)[0].T, representation.ceiling_db) for sound in (original, wave)
    )
    return {
        "linear": log_spectral_distance(*linear),
        "mel": log_spectral_distance(*mel),
        "librosa": log_spectral_distance(mel[0][::2], mel[1][::2]),
        "spectrogram": distance(target, levels, representation.floor_db),
    }
