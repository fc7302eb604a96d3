"""Sets of synthesised sounds of four labels, and the ways in which a set of generated sounds can be bad."""

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
    """A new sound of a label: pitch, fading and start are drawn, and some background noise lies under it."""
    if label == "chirp":
        wave = chirp(SAMPLES, RATE, rng.uniform(200, 600), rng.uniform(1200, 3500))
    elif label == "hat":
        wave = hat(SAMPLES, RATE, rng.uniform(0.03, 0.15), int(rng.integers(2**31)))
    elif label == "kick":
        time = np.arange(SAMPLES) * rng.uniform(0.7, 1.4)  # a faster one is a higher one
        wave = np.interp(time, np.arange(SAMPLES), kick(SAMPLES, RATE))
    else:
        wave = sine(SAMPLES, RATE, rng.uniform(300, 2500)) * np.exp(-np.arange(SAMPLES) / RATE * rng.uniform(3, 15))
    start = int(rng.integers(0, SAMPLES // 8))
    late = np.concatenate([np.zeros(start), wave[: SAMPLES - start]])
    return (late + rng.normal(0, 1e-3, SAMPLES)).astype(np.float32)


def fresh(n: int, seed: int) -> tuple[list[Floats], list[str]]:
    """`n` new sounds, the labels in turn, and these labels."""
    rng = np.random.default_rng(seed)
    labels = [LABELS[i % len(LABELS)] for i in range(n)]
    return [sound(label, rng) for label in labels], labels


def copies(training: list[Floats], n: int, few: int = 8) -> list[Floats]:
    """`n` copies of the `few` first."""
    return [training[i % few] for i in range(n)]


def one_class(n: int, seed: int, label: str = "tone") -> list[Floats]:
    """`n` new sounds of a single label."""
    rng = np.random.default_rng(seed)
    return [sound(label, rng) for _ in range(n)]


def noisy(waves: list[Floats]) -> list[Floats]:
    """Under noise 15 dB below them."""
    rng = np.random.default_rng(0)
    return [(wave + rng.normal(0, wave.std() * 10 ** (-15 / 20), len(wave))).astype(np.float32) for wave in waves]


def backwards(waves: list[Floats]) -> list[Floats]:
    """Played from their end."""
    return [wave[::-1].copy() for wave in waves]


def muffled(waves: list[Floats]) -> list[Floats]:
    """Without what lies above a kilohertz."""
    low = signal.butter(6, 1000, fs=RATE, output="sos")
    return [np.asarray(signal.sosfilt(low, wave), np.float32) for wave in waves]


SPOILT: dict[str, Callable[[list[Floats]], list[Floats]]] = {"noisy": noisy, "backwards": backwards, "muffled": muffled}
