"""Quality and speed of the way from spectrograms to sounds, next to other libraries.

    python -m benchmarks.synthesis --data ../shared/data

Needs the extra `bench`. DATA holds the folders `digits`, `drums` and `effects` with a sub-folder per class. Writes
`synthesis.json`, and from it `synthesis.md` and `synthesis.png`; `--render` renders these two without measuring.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import Figures, command_line, load, log, processor, save, timed, versions
from benchmarks.synthesis import methods, page
from benchmarks.synthesis.methods import Floats
from benchmarks.synthesis.scores import log_spectral_distance, score, spectral_convergence
from soundgan import audio
from soundgan.spectral.phase_retrieval import QUALITIES, Quality
from soundgan.spectral.representation import Representation, analyze, levels_db, synthesize

MEMORY_COUNTS = (1, 250, 500, 1000)
MEMORY_PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import synthesize
shape = int(sys.argv[1]), 1, 128, 63
synthesize(np.random.default_rng(0).random(shape, np.float32) * 2 - 1, preset(16000, 1.0, frames=63))
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10)
"""
Scores = dict[str, float]


def mel_bands(sample_rate: int, n_fft: int, hop_length: int, frames: int, range_db: float = 80) -> Representation:
    """128 mel bands; the ceiling is measured on the sounds."""
    return Representation(
        sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, frames=frames, bands=128, scale="mel",
        floor_db=-range_db, ceiling_db=0,
    )  # fmt: skip


FOLDERS = ("digits", "drums", "effects")
SETS = {
    "digits": mel_bands(8000, 256, 128, 32, range_db=70),
    "drums": mel_bands(44100, 2048, 512, 64),
    "effects": mel_bands(44100, 2048, 512, 86),
    page.SECOND: mel_bands(16000, 512, 256, 63),
}
CLASSIC = mel_bands(22050, 1024, 512, 431)


def fitted(representation: Representation, waves: Floats) -> Representation:
    """With the ceiling at the loudest band of these sounds, and the same range of levels."""
    ceiling = float(levels_db(waves, representation).max())
    return representation.with_changes(ceiling_db=ceiling, floor_db=ceiling + representation.floor_db)


def pick(folder: Path, count: int) -> list[Path]:
    """Files of all sub-folders in turn, with a fixed seed; a smaller choice is the beginning of a larger one."""
    rng = np.random.default_rng(0)
    classes = []
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(label.iterdir())
        classes.append([files[i] for i in rng.permutation(len(files))])
    return [file for turn in itertools.zip_longest(*classes) for file in turn if file][:count]


def loudest(wave: Floats, samples: int) -> Floats:
    """The part with the most energy, padded with silence if the sound is shorter, at a peak of 0.9."""
    if len(wave) > samples:
        energy = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
        first = int(np.argmax(energy[samples:] - energy[:-samples]))
        wave = wave[first : first + samples]
    wave = np.pad(wave, (0, samples - len(wave)))
    return wave * np.float32(0.9 / max(float(np.abs(wave).max()), 1e-9))


class Timer:
    """Times of methods in milliseconds for a second of sound: one sound at a time, and in a batch."""

    def __init__(self, duration: float, batch: int) -> None:
        self.duration, self.batch = duration, batch
        self.times: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"single": [], "batch": []})

    def run(self, name: str, invert: Callable[[Floats], Floats], inputs: Floats, singles: int) -> Floats:
        """Time one round, the first `singles` inputs alone and a batch; return the waves of these inputs."""
        invert(inputs[:1])
        runs = [timed(invert, one[None]) for one in inputs[:singles]]
        many = np.resize(inputs, (self.batch, *inputs.shape[1:]))
        self.times[name]["single"] += [seconds for seconds, _ in runs]
        self.times[name]["batch"].append(timed(invert, many)[0] / self.batch)
        return np.concatenate([result for _, result in runs])

    def medians(self, name: str) -> Scores:
        return {mode: 1000 * statistics.median(times) / self.duration for mode, times in self.times[name].items()}


def means(scores: Sequence[Scores]) -> Scores:
    return {name: statistics.mean(row[name] for row in scores) for name in scores[0]}


def from_magnitudes(representation: Representation, waves: Floats, rounds: int, batch: int) -> list[Figures]:
    """All methods on the true linear magnitudes of their own framing; they take turns in every round."""
    compared, timer = methods.methods(representation), Timer(representation.duration, batch)
    framed = {measure: measure(waves) for measure in {method.measure for method in compared}}
    sounds: dict[str, Floats] = {}
    for turn, method in itertools.product(range(rounds), compared):
        if turn == 0 or not method.slow:
            log(f"  round {turn + 1}: {method.name}")
            sounds[method.name] = timer.run(method.name, method.invert, framed[method.measure], len(waves))
    rows = []
    for method in compared:
        pairs = list(zip(framed[method.measure], method.measure(sounds[method.name]), strict=True))
        convergence = [spectral_convergence(*pair) for pair in pairs]
        rows.append({
            "method": method.name, "family": method.family, "sc": statistics.mean(convergence),
            "sc_error": 1.96 * float(np.std(convergence) / np.sqrt(len(convergence))),
            "lsd": statistics.mean(log_spectral_distance(*pair) for pair in pairs), **timer.medians(method.name),
        })  # fmt: skip
    return rows


def from_spectrograms(representation: Representation, waves: Floats, options: argparse.Namespace) -> list[Figures]:
    """The whole way, from 128 bands; the other libraries, which need minutes, on the first `mel_files` sounds."""
    representation = fitted(representation, waves)
    duration, count = representation.duration, options.mel_files
    spectrograms, timer = analyze(waves, representation), Timer(duration, options.batch)
    ours = {quality: partial(synthesize, representation=representation, quality=quality) for quality in QUALITIES}
    for _, (quality, invert) in itertools.product(range(options.rounds), ours.items()):
        timer.run(quality, invert, spectrograms, count)
    rows = []
    for quality, invert in ours.items():
        scores = [score(*pair, representation) for pair in zip(waves, invert(spectrograms), strict=True)]
        for files in sorted({min(count, len(waves)), len(waves)}):
            row = {"method": quality, "family": "ours", "files": files}
            rows.append(row | means(scores[:files]) | timer.medians(quality))
    baselines: dict[str, list[Scores]] = defaultdict(list)
    for wave in waves[:count] if representation.scale == "mel" else []:
        for name, (result, seconds) in methods.from_mel(wave, representation).items():
            baselines[name].append(score(wave, result, representation) | {"single": 1000 * seconds / duration})
    for name, scores in baselines.items():
        median = statistics.median(row["single"] for row in scores)
        rows.append({"method": name, "family": "librosa", "files": len(scores)} | means(scores) | {"single": median})
    return sorted(rows, key=lambda row: row["files"])


def classic(clips: Sequence[Path], rounds: int) -> list[Figures]:
    """Ten-second sounds with the original's settings, from a spectrogram to a WAV file, and back for the scores."""
    rate = CLASSIC.sample_rate
    scores: dict[str, list[Scores]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"

        def ours(spectrogram: Floats, representation: Representation, quality: Quality) -> None:
            audio.write(path, synthesize(spectrogram, representation, quality=quality)[0], rate)

        for pair in zip(clips[0::2], clips[1::2], strict=True):
            both = np.concatenate([audio.read(clip, rate)[0] for clip in pair])
            # 431 frames in librosa's framing, too; at half the peak, so that no result exceeds full scale in its file.
            wave = loudest(np.resize(both, 10 * rate), 10 * rate) * np.float32(0.5)
            representation = fitted(CLASSIC, wave[None])
            spectrogram = analyze(wave, representation)[0]
            ours(spectrogram, representation, "fast")
            for quality in QUALITIES:
                times = [timed(ours, spectrogram, representation, quality)[0] for _ in range(rounds)]
                result = score(wave, audio.read(path)[0], representation)
                scores[quality].append({"seconds": statistics.median(times), **result})
            for name, (inverted, seconds) in methods.from_mel(wave, representation).items():
                writing, _ = timed(audio.write, path, inverted, rate)
                result = score(wave, audio.read(path)[0], representation)
                scores[name].append({"seconds": seconds + writing, **result})
    return [
        {"method": name, "family": "ours" if name in QUALITIES else "librosa", "files": len(rows)} | means(rows)
        for name, rows in scores.items()
    ]


def peak_memory(count: int) -> float:
    """Peak memory in MiB of a process that synthesizes so many one-second sounds of noisy spectrograms."""
    command = [sys.executable, "-c", MEMORY_PROGRAM, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(options: argparse.Namespace) -> Figures:
    files = {folder: pick(options.data / folder, options.files) for folder in FOLDERS}
    files[page.SECOND] = [file for turn in zip(*files.values(), strict=False) for file in turn]
    compilation = methods.compile_pghi()  # outside of all timings
    magnitudes, spectrograms = {}, {}
    for name, mel in SETS.items():
        log(name)
        waves = np.stack([loudest(audio.read(file, mel.sample_rate)[0], mel.samples) for file in files[name]])
        framing = {field: getattr(mel, field) for field in ("sample_rate", "n_fft", "hop_length")}
        rows = from_magnitudes(mel, waves, options.rounds, options.batch)
        magnitudes[name] = {**framing, "seconds": mel.duration, "files": len(waves), "rows": rows}
        for scale in ("linear", "mel") if name == "digits" else ("mel",):
            log(f"  from {scale} bands")
            spectrograms[f"{name}, {scale}"] = from_spectrograms(mel.with_changes(scale=scale), waves, options)
    log("ten seconds, memory")
    return {
        "machine": {
            "processor": processor(), "cores": methods.CORES, "compilation": compilation,
            "versions": versions("numpy", "scipy", "librosa", "numba", "torch"),
        },
        "options": {name: getattr(options, name) for name in ("files", "rounds", "batch", "mel_files", "classic")},
        "magnitudes": magnitudes,
        "spectrograms": spectrograms,
        "classic": classic(pick(options.data / "effects", 2 * options.classic), options.rounds),
        "memory": {str(count): peak_memory(count) for count in MEMORY_COUNTS},
    }  # fmt: skip


def main() -> None:
    parser = command_line(__doc__, "synthesis.json")
    add = parser.add_argument
    add("--data", type=Path, help="folder of real sounds")
    add("--files", type=int, default=60, help="from each of the three folders (%(default)s)")
    add("--rounds", type=int, default=3, help="of timing; very slow methods have one (%(default)s)")
    add("--batch", type=int, default=64, help="sounds in a batch (%(default)s)")
    add("--mel-files", type=int, default=12, help="for other libraries from mel bands (%(default)s)")
    add("--classic", type=int, default=3, metavar="N", help="sounds of ten seconds (%(default)s)")
    options = parser.parse_args()
    record = options.out / "synthesis.json"
    if not options.render:
        if not options.data:
            parser.error("--data is needed, except with --render")
        save(measure(options), record)
    page.render(load(record), options.out)


if __name__ == "__main__":
    main()
