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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import command_line, load, log, processor, save, timed, versions
from benchmarks.synthesis import methods, page
from benchmarks.synthesis.methods import Floats, Framing
from benchmarks.synthesis.scores import log_spectral_distance, score, spectral_convergence
from soundgan import audio
from soundgan.spectral.phase_retrieval import QUALITIES, Quality
from soundgan.spectral.representation import Representation, Scale, analyze, levels_db, synthesize

MEMORY_COUNTS = (1, 250, 500, 1000)
MEMORY_PROGRAM = """
import resource, sys
import numpy as np
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import synthesize
shape = int(sys.argv[1]), 1, 128, 63
synthesize(np.random.default_rng(0).random(shape, np.float32) * 2 - 1, preset(16000, 1.0, frames=63))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
"""
Row = dict[str, Any]
Scores = dict[str, float]


class Format(NamedTuple):
    """Framing of a set of sounds, and its spectrograms."""

    sample_rate: int
    n_fft: int
    hop_length: int
    frames: int
    range_db: float
    scales: tuple[Scale, ...]

    @property
    def framing(self) -> Framing:
        return Framing(*self[:3])

    @property
    def samples(self) -> int:
        return self.frames * self.hop_length

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def representation(self, waves: Floats, scale: Scale) -> Representation:
        """128 bands whose ceiling is the loudest band of these sounds."""
        measured = Representation(
            **self.framing._asdict(), bands=128, frames=self.frames, scale=scale, floor_db=-self.range_db, ceiling_db=0
        )
        ceiling = float(levels_db(waves, measured).max())
        return measured.with_changes(ceiling_db=ceiling, floor_db=ceiling - self.range_db)


FOLDERS = ("digits", "drums", "effects")
SETS = {
    "digits": Format(8000, 256, 128, 32, 70, ("linear", "mel")),
    "drums": Format(44100, 2048, 512, 64, 80, ("mel",)),
    "effects": Format(44100, 2048, 512, 86, 80, ("mel",)),
    page.SECOND: Format(16000, 512, 256, 63, 80, ("mel",)),
}
CLASSIC = Format(22050, 1024, 512, 431, 80, ("mel",))


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

    def __init__(self, seconds: float, batch: int) -> None:
        self.seconds, self.batch = seconds, batch
        self.single: dict[str, list[float]] = {}
        self.batched: dict[str, list[float]] = {}

    def run(self, name: str, invert: Callable[[Floats], Floats], inputs: Floats, singles: int) -> Floats:
        """Time one round, the first `singles` inputs alone and a batch; return the waves of these inputs."""
        invert(inputs[:1])
        runs = [timed(invert, one[None]) for one in inputs[:singles]]
        self.single.setdefault(name, []).extend(seconds for seconds, _ in runs)
        many = np.resize(inputs, (self.batch, *inputs.shape[1:]))
        self.batched.setdefault(name, []).append(timed(invert, many)[0] / self.batch)
        return np.concatenate([result for _, result in runs])

    def medians(self, name: str) -> Scores:
        times = {"single": self.single[name], "batch": self.batched[name]}
        return {mode: 1000 * statistics.median(values) / self.seconds for mode, values in times.items()}


def from_magnitudes(form: Format, waves: Floats, rounds: int, batch: int) -> list[Row]:
    """All methods on the true linear magnitudes of their own framing; they take turns in every round."""
    compared, timer = methods.methods(form.n_fft, form.hop_length, form.samples), Timer(form.seconds, batch)
    framed = {measure: measure(waves) for measure in {method.measure for method in compared}}
    sounds: dict[str, Floats] = {}
    for turn, method in itertools.product(range(rounds), compared):
        if turn and method.slow:
            continue
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


def means(scores: Sequence[Scores]) -> Scores:
    return {name: statistics.mean(row[name] for row in scores) for name in scores[0]}


def from_spectrograms(form: Format, scale: Scale, waves: Floats, options: argparse.Namespace) -> list[Row]:
    """The whole way, from 128 bands; the other libraries, which need minutes, on the first `mel_files` sounds."""
    representation = form.representation(waves, scale)
    spectrograms, timer, count = analyze(waves, representation), Timer(form.seconds, options.batch), options.mel_files

    def invert(quality: Quality) -> Callable[[Floats], Floats]:
        return lambda inputs: synthesize(inputs, representation, quality=quality)

    for _, quality in itertools.product(range(options.rounds), QUALITIES):
        timer.run(quality, invert(quality), spectrograms, count)
    rows = []
    for quality in QUALITIES:
        pairs = zip(waves, invert(quality)(spectrograms), strict=True)
        scores, times = [score(*pair, representation) for pair in pairs], timer.medians(quality)
        for files in sorted({min(count, len(waves)), len(waves)}):
            rows.append({"method": quality, "family": "ours", "files": files} | means(scores[:files]) | times)
    rivals: dict[str, list[Scores]] = {}
    for wave in waves[:count] if scale == "mel" else []:
        levels = methods.mel_levels(wave, form.framing)
        for name, (result, seconds) in methods.from_mel(levels, form.framing, form.samples).items():
            scores = score(wave, result, representation) | {"single": 1000 * seconds / form.seconds}
            rivals.setdefault(name, []).append(scores)
    for name, scores in rivals.items():
        median = statistics.median(row["single"] for row in scores)
        rows.append({"method": name, "family": "librosa", "files": len(scores)} | means(scores) | {"single": median})
    return sorted(rows, key=lambda row: row["files"])


def classic(clips: Sequence[Path], rounds: int) -> list[Row]:
    """Ten-second sounds with the original's settings, from a spectrogram to a WAV file, and back for the scores."""
    form, rate = CLASSIC, CLASSIC.sample_rate
    scores: dict[str, list[Scores]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"

        def ours(spectrogram: Floats, representation: Representation, quality: Quality) -> None:
            audio.write(path, synthesize(spectrogram, representation, quality=quality)[0], rate)

        def add(name: str, wave: Floats, seconds: float, representation: Representation) -> None:
            result, _ = audio.read(path)
            scores.setdefault(name, []).append({"seconds": seconds} | score(wave, result, representation))

        for pair in zip(clips[0::2], clips[1::2], strict=True):
            both = np.concatenate([audio.read(clip, rate)[0] for clip in pair])
            # 431 frames in librosa's framing, too; at half the peak, so that no result exceeds full scale in its file.
            wave = loudest(np.resize(both, 10 * rate), 10 * rate) * np.float32(0.5)
            representation = form.representation(wave[None], "mel")
            spectrogram = analyze(wave, representation)[0]
            ours(spectrogram, representation, "fast")
            for quality in QUALITIES:
                times = [timed(ours, spectrogram, representation, quality)[0] for _ in range(rounds)]
                add(quality, wave, statistics.median(times), representation)
            levels = methods.mel_levels(wave, form.framing)
            for name, (result, seconds) in methods.from_mel(levels, form.framing, len(wave)).items():
                writing, _ = timed(audio.write, path, result, rate)
                add(name, wave, seconds + writing, representation)
    return [
        {"method": name, "family": "ours" if name in QUALITIES else "librosa", "files": len(rows)} | means(rows)
        for name, rows in scores.items()
    ]


def memory() -> Scores:
    """Peak memory in MiB of a process that synthesizes so many one-second sounds of noisy spectrograms."""

    def peak(count: int) -> float:
        command = [sys.executable, "-c", MEMORY_PROGRAM, str(count)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return {str(count): peak(count) for count in MEMORY_COUNTS}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    log("memory")
    peaks = memory()  # first, because a process starts with the peak of its parent
    files = {folder: pick(options.data / folder, options.files) for folder in FOLDERS}
    files[page.SECOND] = [file for turn in zip(*files.values(), strict=False) for file in turn]
    compilation = methods.heap_integration()[1]  # outside of all timings
    magnitudes, spectrograms = {}, {}
    for name, form in SETS.items():
        log(name)
        waves = np.stack([loudest(audio.read(file, form.sample_rate)[0], form.samples) for file in files[name]])
        rows = from_magnitudes(form, waves, options.rounds, options.batch)
        magnitudes[name] = {**form._asdict(), "seconds": form.seconds, "files": len(waves), "rows": rows}
        for scale in form.scales:
            log(f"  from {scale} bands")
            spectrograms[f"{name}, {scale}"] = from_spectrograms(form, scale, waves, options)
    log("ten seconds")
    return {
        "machine": {
            "processor": processor(), "cores": methods.CORES, "compilation": compilation,
            "versions": versions("numpy", "scipy", "librosa", "numba", "torch"),
        },
        "options": {name: getattr(options, name) for name in ("files", "rounds", "batch", "mel_files", "classic")},
        "magnitudes": magnitudes,
        "spectrograms": spectrograms,
        "classic": classic(pick(options.data / "effects", 2 * options.classic), options.rounds),
        "memory": peaks,
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
