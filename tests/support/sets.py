"""Sets of synthesized sounds of four labels, and failure modes of generated sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from waves import chirp, hat, kick, sine

Floats = NDArray[np.float32]

RATE, SAMPLES = 8000, 4000
SECONDS = SAMPLES / RATE
LABELS = ("chirp", "hat", "kick", "tone")


def sound(label: str, rng: np.random.Generator) -> Floats:
    """Draw a sound of a label, with random pitch, decay and start, and with background noise."""
    if label == "chirp":
        wave = chirp(SAMPLES, RATE, rng.uniform(200, 600), rng.uniform(1200, 3500))
    elif label == "hat":
        wave = hat(SAMPLES, RATE, rng.uniform(0.03, 0.15), int(rng.integers(2**31)))
    elif label == "kick":
        time = np.arange(SAMPLES) * rng.uniform(0.7, 1.4)  # a random pitch
        wave = np.interp(time, np.arange(SAMPLES), kick(SAMPLES, RATE))
    else:
        wave = sine(SAMPLES, RATE, rng.uniform(300, 2500)) * np.exp(-np.arange(SAMPLES) / RATE * rng.uniform(3, 15))
    start = int(rng.integers(0, SAMPLES // 8))
    delayed = np.concatenate([np.zeros(start), wave[: SAMPLES - start]])
    return (delayed + rng.normal(0, 1e-3, SAMPLES)).astype(np.float32)


def fresh(n: int, seed: int) -> tuple[list[Floats], list[str]]:
    """`n` new sounds with alternating labels, and these labels."""
    rng = np.random.default_rng(seed)
    labels = [LABELS[i % len(LABELS)] for i in range(n)]
    return [sound(label, rng) for label in labels], labels


def copies(training: list[Floats], n: int, n_originals: int = 8) -> list[Floats]:
    """`n` copies of the first `n_originals` sounds."""
    return [training[i % n_originals] for i in range(n)]


def one_class(n: int, seed: int, label: str = "tone") -> list[Floats]:
    """`n` new sounds of a single label."""
    rng = np.random.default_rng(seed)
    return [sound(label, rng) for _ in range(n)]


def noisy(waves: list[Floats]) -> list[Floats]:
    """Add noise at -15 dB."""
    rng = np.random.default_rng(0)
    return [(wave + rng.normal(0, wave.std() * 10 ** (-15 / 20), len(wave))).astype(np.float32) for wave in waves]


def reversed_time(waves: list[Floats]) -> list[Floats]:
    """Reverse in time."""
    return [wave[::-1].copy() for wave in waves]


def low_passed(waves: list[Floats]) -> list[Floats]:
    """Low-pass at 1 kHz."""
    low = signal.butter(6, 1000, fs=RATE, output="sos")
    return [np.asarray(signal.sosfilt(low, wave), np.float32) for wave in waves]


DEGRADED: dict[str, Callable[[list[Floats]], list[Floats]]] = {
    "noisy": noisy,
    "reversed": reversed_time,
    "low-passed": low_passed,
}
