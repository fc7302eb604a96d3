"""Compare the sounds of the bundled models, bit by bit, with those on record: `python -m benchmarks.digests`.

The last bits depend on the CPU's kernels. Digests in `bundled_sounds.json` hold on machines of the same `platform`.
Summaries in `bundled_sounds.npz` (spectrograms in cells of 8 × 8, and envelopes) hold on all. `--write` replaces both,
for new models only, since a seed keeps its sound.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.common import command_line, load, save
from soundgan import Sound, SoundGAN
from soundgan.spectral.phase_retrieval import QUALITIES

DIGESTS = ROOT / "tests/reference/bundled_sounds.json"
SUMMARIES = DIGESTS.with_suffix(".npz")
MODELS = ("digits", "drums")
CELL, SEGMENTS = 8, 32

Summaries = dict[str, NDArray[np.float16]]


def bundled_sounds() -> Iterator[tuple[str, Sound]]:
    """Sounds of twelve seeds in all qualities, and of every label with a truncation, of both bundled models."""
    for name in MODELS:
        model = SoundGAN.load(name)
        for quality in QUALITIES:
            for seed, sound in enumerate(model.generate(12, seed=100, quality=quality, keep_length=True), 100):
                yield f"{name}/{quality}/{seed}", sound
        for index, label in enumerate(model.labels):
            request = {"label": label, "seed": 7 + index, "truncation": 0.7}
            yield f"{name}/label/{label}", model.generate(1, **request, keep_length=True)[0]


def digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 of the bits of arrays."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def digests(sound: Sound) -> list[str]:
    """Label, digest of the samples, digest of the spectrogram."""
    return [sound.label or "", digest(sound.samples), digest(sound.spectrogram)]


def platform_digest() -> str:
    """Digest of a spectrogram and of elementary functions, equal on machines with equal rounding."""
    values = np.random.default_rng(0).uniform(0.1, 5, 4096).astype(np.float32)
    functions = np.exp(values), np.log(values), np.sin(values), np.cos(values), np.sqrt(values), np.fft.rfft(values)
    return digest(SoundGAN.load(MODELS[0]).generate(1, seed=100)[0].spectrogram, *functions)


def summaries(key: str, sound: Sound) -> Summaries:
    """Means of the spectrogram over cells (bands / 8, frames / 8), which all qualities share, and RMS levels (32,)."""
    *_, bands, frames = sound.spectrogram.shape
    cells = sound.spectrogram.reshape(bands // CELL, CELL, frames // CELL, CELL).mean(axis=(1, 3), dtype=np.float64)
    segments = np.array_split(sound.samples.astype(np.float64), SEGMENTS)
    envelope = [np.sqrt(np.mean(segment**2)) for segment in segments]
    name = re.sub(f"/({'|'.join(QUALITIES)})/", "/", key)
    return {f"{name}/cells": cells.astype(np.float16), f"{key}/envelope": np.array(envelope, np.float16)}


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--write", action="store_true", help="replace the record")
    sounds = dict(bundled_sounds())
    current, platform = {key: digests(sound) for key, sound in sounds.items()}, platform_digest()
    if parser.parse_args().write:
        save({"platform": platform, "sounds": current}, DIGESTS)
        record = {name: values for key, sound in sounds.items() for name, values in summaries(key, sound).items()}
        np.savez_compressed(SUMMARIES, **record)  # type: ignore[arg-type]
    record = load(DIGESTS)
    different = [key for key, values in record["sounds"].items() if current.get(key) != values]
    for key in different:
        print(f"{key}: differs from the record")
    print(f"{len(current) - len(different)} of {len(current)} sounds are identical to those on record")
    if record["platform"] != platform:
        print("this machine rounds differently from the one of the record, so that digests may differ")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
