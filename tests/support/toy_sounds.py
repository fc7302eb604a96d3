"""Folders and sets of two kinds of short toy sounds: tones labeled "3" and noise bursts labeled "7"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from soundgan.evaluation.sounds import Sounds, as_file

RATE, SECONDS = 8000, 0.25
Floats = np.ndarray
Kind = Callable[[np.random.Generator], Floats]


def tone(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return np.sin(2 * np.pi * rng.uniform(300, 3000) * time) * np.exp(-rng.uniform(2, 25) * time)


def burst(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return rng.standard_normal(len(time)) * np.exp(-rng.uniform(5, 50) * time)


KINDS: dict[str, Kind] = {"3": tone, "7": burst}


def draw(kind: Kind, n: int, seed: int) -> Sounds:
    """`n` sounds of a kind, without labels."""
    rng = np.random.default_rng(seed)
    waves = [as_file(kind(rng).astype(np.float32)) for _ in range(n)]
    return Sounds(waves, RATE, SECONDS, [], [f"{seed}-{i}" for i in range(n)])


def fill(folder: Path, n: int, seed: int, suffix: str = ".flac", labels: str = "37") -> Path:
    """Write `n` sounds for each label, `<label>/<label>_<take>`."""
    rng = np.random.default_rng(seed)
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for take in range(n):
            wave = KINDS[label](rng)
            soundfile.write(folder / label / f"{label}_{take:02d}{suffix}", 0.7 * wave / np.abs(wave).max(), RATE)
    return folder
