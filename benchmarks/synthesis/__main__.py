"""How well and how quickly sounds come back from spectrograms, next to other libraries.

    python -m benchmarks.synthesis --data ../shared/data

Needs the `bench` extra. DATA holds folders `digits`, `drums` and `effects` with a sub-folder a class. Writes
`synthesis.json`, and from it `synthesis.md` and `synthesis.png`; `--render` makes these two again without measuring.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from benchmarks.synthesis import methods as peers
from benchmarks.synthesis import page
from benchmarks.synthesis.methods import Floats
from benchmarks.synthesis.scores import convergence, heard, judge
from soundgan import audio
from soundgan.files import write_text
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
T = TypeVar("T")


class Set(NamedTuple):
    """Sounds that are measured together."""

    rate: int
    n_fft: int
    hop_length: int
    frames: int
    range_db: float  # of the spectrograms
    scales: tuple[Scale, ...]

    @property
    def samples(self) -> int:
        return self.frames * self.hop_length

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def representation(self, waves: Floats, scale: Scale) -> Representation:
        """The one whose ceiling is the loudest band of these sounds."""
        measured = Representation(
            sample_rate=self.rate, n_fft=self.n_fft, hop_length=self.hop_length, bands=128, frames=self.frames, scale=scale,
            floor_db=-self.range_db, ceiling_db=0,
        )  # fmt: skip
        ceiling = float(levels_db(waves, measured).max())
        return measured.with_changes(ceiling_db=ceiling, floor_db=ceiling - self.range_db)


FOLDERS = ("digits", "drums", "effects")
SETS = {
    "digits": Set(8000, 256, 128, 32, 70, ("linear", "mel")),
    "drums": Set(44100, 2048, 512, 64, 80, ("mel",)),
    "effects": Set(44100, 2048, 512, 86, 80, ("mel",)),
    page.SECOND: Set(16000, 512, 256, 63, 80, ("mel",)),
}
CLASSIC = Set(22050, 1024, 512, 431, 80, ("mel",))


def timed(work: Callable[..., T], *arguments: Any, **named: Any) -> tuple[float, T]:
    start = time.perf_counter()
    result = work(*arguments, **named)
    return time.perf_counter() - start, result


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def pick(folder: Path, count: int) -> list[Path]:
    """Files of all sub-folders in turn, always the same ones; fewer come first among more."""
    rng = np.random.default_rng(0)
    classes = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(place.iterdir())
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


def from_magnitudes(kind: Set, waves: Floats, rounds: int, at_once: int) -> list[Row]:
    """All methods on the true linear magnitudes of their own framing."""
    methods = peers.methods(kind.n_fft, kind.hop_length, kind.samples)
    framed = {measure: measure(waves) for measure in {method.measure for method in methods}}
    single, batch = {m.name: [] for m in methods}, {m.name: [] for m in methods}
    sounds: dict[str, Floats] = {}
    # The methods take turns, so that a busy moment of the machine hits them all.
    for turn, method in itertools.product(range(rounds), methods):
        if turn and method.slow:
            continue
        say(f"  round {turn + 1}: {method.name}")
        magnitudes = framed[method.measure]
        method.invert(magnitudes[:1])
        runs = [timed(method.invert, one[None]) for one in magnitudes]
        many = np.resize(magnitudes, (at_once, *magnitudes.shape[1:]))
        single[method.name] += [seconds for seconds, _ in runs]
        batch[method.name].append(timed(method.invert, many)[0])
        sounds[method.name] = np.concatenate([result for _, result in runs])
    rows = []
    for method in methods:
        magnitudes, reached = framed[method.measure], method.measure(sounds[method.name])
        scores = [convergence(*pair) for pair in zip(magnitudes, reached, strict=True)]
        rows.append({
            "method": method.name, "family": method.family,
            "sc": statistics.mean(scores), "sc_error": 1.96 * float(np.std(scores) / np.sqrt(len(scores))),
            "lsd": statistics.mean(heard(*pair) for pair in zip(magnitudes, reached, strict=True)),
            "single": 1000 * statistics.median(single[method.name]) / kind.seconds,
            "batch": 1000 * statistics.median(batch[method.name]) / kind.seconds / at_once,
        })  # fmt: skip
    return rows


def means(judged: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.mean(one[name] for one in judged) for name in judged[0]}


def from_spectrograms(kind: Set, scale: Scale, waves: Floats, count: int, rounds: int, at_once: int) -> list[Row]:
    """The whole way, from 128 bands; rivals, who need minutes for it, on the first `count` sounds."""
    representation = kind.representation(waves, scale)
    spectrograms = analyze(waves, representation)
    many = np.resize(spectrograms, (at_once, *spectrograms.shape[1:]))
    single, batch = {q: [] for q in QUALITIES}, {q: [] for q in QUALITIES}
    for _, quality in itertools.product(range(rounds), QUALITIES):
        synthesize(spectrograms[:1], representation, quality=quality)
        single[quality] += [timed(synthesize, one, representation, quality=quality)[0] for one in spectrograms[:count]]
        batch[quality].append(timed(synthesize, many, representation, quality=quality)[0])
    rows = []
    for quality in QUALITIES:
        results = synthesize(spectrograms, representation, quality=quality)
        pairs = zip(waves, results, strict=True)
        judged = [judge(wave, result, representation) for wave, result in pairs]
        times = {
            "single": 1000 * statistics.median(single[quality]) / kind.seconds,
            "batch": 1000 * statistics.median(batch[quality]) / kind.seconds / at_once,
        }
        for files in sorted({min(count, len(waves)), len(waves)}):
            rows.append({"method": quality, "family": "ours", "files": files} | means(judged[:files]) | times)
    found: dict[str, list[dict[str, float]]] = {}
    for wave in waves[:count] if scale == "mel" else []:
        levels = peers.mel_levels(wave, *kind[:3])
        for name, (result, seconds) in peers.from_mel(levels, *kind[:3], kind.samples).items():
            judged = judge(wave, result, representation) | {"single": 1000 * seconds / kind.seconds}
            found.setdefault(name, []).append(judged)
    for name, judged in found.items():
        median = statistics.median(one["single"] for one in judged)
        rows.append({"method": name, "family": "librosa", "files": len(judged)} | means(judged) | {"single": median})
    return sorted(rows, key=lambda row: row["files"])


def classic(clips: Sequence[Path], rounds: int) -> list[Row]:
    """Ten-second sounds at the original's settings, from a spectrogram to a WAV file, read back for the judge."""
    kind = CLASSIC
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"

        def ours(spectrogram: Floats, representation: Representation, quality: Quality) -> None:
            audio.write(path, synthesize(spectrogram, representation, quality=quality)[0], kind.rate)

        def note(name: str, wave: Floats, seconds: float, representation: Representation) -> None:
            result, _ = audio.read(path)
            found.setdefault(name, []).append({"seconds": seconds} | judge(wave, result, representation))

        for pair in zip(clips[0::2], clips[1::2], strict=True):
            both = np.concatenate([audio.read(clip, kind.rate)[0] for clip in pair])
            # 431 frames in librosa's framing, too; at half the peak, so that no result exceeds full scale in its file.
            wave = loudest(np.resize(both, 10 * kind.rate), 10 * kind.rate) * np.float32(0.5)
            representation = kind.representation(wave[None], "mel")
            spectrogram = analyze(wave, representation)[0]
            ours(spectrogram, representation, "fast")
            for quality in QUALITIES:
                times = [timed(ours, spectrogram, representation, quality)[0] for _ in range(rounds)]
                note(quality, wave, statistics.median(times), representation)
            levels = peers.mel_levels(wave, *kind[:3])
            for name, (result, seconds) in peers.from_mel(levels, *kind[:3], len(wave)).items():
                writing, _ = timed(audio.write, path, result, kind.rate)
                note(name, wave, seconds + writing, representation)
    return [
        {"method": name, "family": "ours" if name in QUALITIES else "librosa", "files": len(rows)} | means(rows)
        for name, rows in found.items()
    ]


def memory() -> dict[str, float]:
    """Peak memory in MiB of a process that makes so many one-second sounds of noisy spectrograms."""

    def peak(count: int) -> float:
        command = [sys.executable, "-c", MEMORY_PROGRAM, str(count)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return {str(count): peak(count) for count in MEMORY_COUNTS}


def machine() -> dict[str, Any]:
    """What the figures depend on. The first call of PGHI is compiled here, outside of all timings."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(":")[1] for line in lines if "model name" in line]
    packages = ("numpy", "scipy", "librosa", "numba", "torch")
    return {
        "processor": (names or [platform.processor()])[0].strip() or platform.machine(),
        "cores": peers.CORES,
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in packages},
        "compilation": peers.heap_integration()[1],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    say("memory")
    taken = memory()  # first: a process starts with the peak of the one that starts it
    about = machine()
    files = {folder: pick(options.data / folder, options.files) for folder in FOLDERS}
    files[page.SECOND] = [file for turn in zip(*files.values(), strict=False) for file in turn]
    magnitudes, spectrograms = {}, {}
    for name, kind in SETS.items():
        say(name)
        waves = np.stack([loudest(audio.read(file, kind.rate)[0], kind.samples) for file in files[name]])
        rows = from_magnitudes(kind, waves, options.rounds, options.batch)
        magnitudes[name] = {**kind._asdict(), "seconds": kind.seconds, "files": len(waves), "rows": rows}
        for scale in kind.scales:
            say(f"  from {scale} bands")
            spectrograms[f"{name}, {scale}"] = from_spectrograms(
                kind, scale, waves, options.mel_files, options.rounds, options.batch
            )
    say("ten seconds")
    return {
        "machine": about,
        "options": {name: getattr(options, name) for name in ("files", "rounds", "batch", "mel_files", "classic")},
        "magnitudes": magnitudes,
        "spectrograms": spectrograms,
        "classic": classic(pick(options.data / "effects", 2 * options.classic), options.rounds),
        "memory": taken,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, help="folder of real sounds")
    add("--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)")
    add("--files", type=int, default=60, help="from each of the three folders (%(default)s)")
    add("--rounds", type=int, default=3, help="of timing; very slow methods have one (%(default)s)")
    add("--batch", type=int, default=64, help="sounds a call, where it is not one (%(default)s)")
    add("--mel-files", type=int, default=12, help="for rivals that start from mel bands (%(default)s)")
    add("--classic", type=int, default=3, metavar="N", help="sounds of ten seconds (%(default)s)")
    add("--render", action="store_true", help="do not measure, make the page of synthesis.json again")
    options = parser.parse_args()
    record = options.out / "synthesis.json"
    if not options.render:
        if not options.data:
            parser.error("--data is needed, except with --render")
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(record, json.dumps(measure(options), indent=1) + "\n")
    page.render(json.loads(record.read_text(encoding="utf-8")), options.out)


if __name__ == "__main__":
    main()
