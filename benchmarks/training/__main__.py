"""Quality after equal training time, for ours and the baselines, with the same scores; and the speed of training.

    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --minutes 10
    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --speed
    python -m benchmarks.training --render

Needs the extra `train`. The first trains all competitors one after another, or those of --only; the second measures
sounds a second and the share of the machine's convolution peak. Each adds its rows to `training.json` and renders
`training.md` from it. Models, sounds and the classifier stay in --work: a training of the same length that is complete
there is scored again, not repeated.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.baselines import NAMES
from benchmarks.baselines.wgan_gp import TrainingOptions, samples_of
from benchmarks.common import command_line, load, log, processor, save
from benchmarks.training import page, speed
from soundgan import audio
from soundgan.data.dataset import prepare
from soundgan.errors import DataError, SoundGANError, one_line
from soundgan.evaluation.data import EvaluationData, RealSplit, Sounds, SplitOptions, as_file, read_real_sounds
from soundgan.evaluation.evaluate import generate
from soundgan.evaluation.features.predictions import classifier_for
from soundgan.evaluation.metrics.catalog import MetricRow, SoundSet
from soundgan.evaluation.score import score
from soundgan.model import SoundGAN
from soundgan.settings import RunSettings, Settings, check_settings
from soundgan.training.monitor.monitor import ProgressReport
from soundgan.training.pipeline import train_model_folder
from soundgan.training.runtime.device import select_device
from soundgan.training.state.progress import Progress

OURS = "ours"
MAX_SAMPLE_RATE = 16_000  # Hz, that of the papers of WaveGAN and SpecGAN
REPORT_INTERVAL = 30.0  # s
FACTS = "facts.json"


class Generated(NamedTuple):
    """The sounds of a competitor, and the facts of its training."""

    sounds: Sounds
    facts: dict[str, Any]


class Reporter:
    """Logs the progress of a training."""

    def __init__(self, name: str) -> None:
        self.name, self.last = name, time.monotonic()

    def __call__(self, progress: Progress | ProgressReport) -> None:
        if time.monotonic() - self.last > REPORT_INTERVAL:
            self.last = time.monotonic()
            log(f"{self.name}: {progress.samples_seen:,} samples seen")


def our_settings(options: argparse.Namespace, rate: int, folder: Path) -> Settings:
    values = {
        "dataroot": str(options.data), "saveroot": str(folder), "exclude": (options.test_pattern,),
        "sample_rate": rate, "duration": samples_of(rate) / rate, "size": options.size, "seed": options.seed,
        "batch_size": options.batch, "minutes": options.minutes, "ngpu": int(options.gpu),
    }  # fmt: skip
    return check_settings(values, source="command line")


def train_ours(options: argparse.Namespace, real: RealSplit, folder: Path) -> Generated:
    """Train our networks or resume, and generate the labels of the test sounds."""
    settings = our_settings(options, real.held_out.sample_rate, folder)
    progress = train_model_folder(settings, on_message=log, on_progress=Reporter(OURS)).progress
    model = SoundGAN.load(folder)
    training = model.config.training
    summary = {"batch_size": settings.optim.batch_size, "generator_parameters": training["generator_parameters"]}
    facts = {
        "samples_seen": progress.samples_seen, "seconds": progress.seconds, "steps": training["steps"],
        "settings": {**summary, **model.config.settings},
    }  # fmt: skip
    labels = sorted(real.held_out.labels) or [None] * len(real.held_out)
    return Generated(generate(model, labels, seed=options.seed), facts)


def train_baseline(name: str, options: argparse.Namespace, real: RealSplit, folder: Path) -> Generated:
    """Train a baseline, or read its sounds from the folder of an earlier training."""
    rate, seconds = real.held_out.sample_rate, real.held_out.seconds
    if not (folder / FACTS).is_file():
        module = importlib.import_module(f"benchmarks.baselines.{name}")
        width = {"width": options.width} if options.width else {}
        device = select_device(RunSettings(ngpu=int(options.gpu)))
        training = TrainingOptions(options.seed, options.minutes, device=device, report=Reporter(name))
        trained = module.train(real.train.waves, rate, training, **width)
        folder.mkdir(parents=True, exist_ok=True)
        for index, wave in enumerate(trained(len(real.held_out), options.seed)):
            audio.write(folder / f"{index:04d}.wav", as_file(wave), rate)
        progress = trained.progress
        save({
            "samples_seen": progress.samples_seen, "seconds": progress.seconds, "steps": progress.steps,
            "settings": trained.settings,
        }, folder / FACTS)  # fmt: skip
    files = sorted(folder.glob("*.wav"))
    waves = [as_file(audio.read(file, rate, seconds=seconds)[0]) for file in files]
    return Generated(Sounds(waves, rate, seconds, names=[file.name for file in files]), load(folder / FACTS))


def machine(gpu: bool) -> str:
    """Everything that the speed depends on."""
    threads = torch.get_num_threads()
    used = f"{threads} {'thread' if threads == 1 else 'threads'} on {os.cpu_count()} cores"
    card = f"{torch.cuda.get_device_name()} and " if gpu and torch.cuda.is_available() else ""
    return f"{card}{used} ({processor()}), PyTorch {torch.__version__}"


def figures_of(row: MetricRow) -> dict[str, Any]:
    return {key: list(estimate) for key, estimate in row.estimates.items()}


def compete(options: argparse.Namespace, record: Path) -> None:
    """Train and score the competitors of --only, and write the row of each when it is complete."""
    rate = common_sample_rate(options.data, options.rate)
    split = SplitOptions([options.test_pattern], pattern_is_explicit=True, seed=options.seed)
    real = read_real_sounds(options.data, rate, samples_of(rate) / rate, split)
    work = options.work / options.data.name
    classifier = None
    if len(set(real.train.labels)) >= 2:
        classifier = classifier_for(real.train_files, work / "classifier", sample_rate=rate)
    conditions = {
        "data": options.data.name, "test_pattern": options.test_pattern, "sample_rate": rate,
        "seconds": real.held_out.seconds, "training": len(real.train), "test": len(real.held_out),
        "labels": len(set(real.train.labels)),
    }  # fmt: skip
    for name in options.only or (OURS, *NAMES):
        key = row_name(name, options)
        log(f"{options.data.name}: {key}")
        folder = work / f"{key.replace(', ', '-').replace(' ', '-')}-{options.minutes:g}-minutes-seed-{options.seed}"
        generated = train_ours(options, real, folder) if name == OURS else train_baseline(name, options, real, folder)
        scores = score(EvaluationData(generated.sounds, real), classifier=classifier, seed=options.seed)
        row = {
            "name": name, "minutes": options.minutes, "seed": options.seed, "n": len(generated.sounds),
            "machine": machine(options.gpu), **generated.facts, "figures": figures_of(scores.table[SoundSet.GENERATED]),
        }  # fmt: skip
        shared = {"embedding": scores.embedding, "ceiling": figures_of(scores.table[SoundSet.REAL_BASELINE])}
        add_row(record, conditions, shared, key, row)


def row_name(name: str, options: argparse.Namespace) -> str:
    """Name of a row: the competitor, and its size if it is not the default."""
    if name == OURS:
        defaults = Settings().model.size, Settings().optim.batch_size, False
        return name if (options.size, options.batch, options.gpu) == defaults else sized_name(name, options)
    return f"{name}, width {options.width}" if options.width else name


def sized_name(name: str, options: argparse.Namespace) -> str:
    """A name with the size and batch of our networks, and the GPU if used."""
    device = select_device(RunSettings(ngpu=int(options.gpu)))
    return f"{name}, size {options.size}, batch {options.batch}{', on a GPU' if device.type != 'cpu' else ''}"


def common_sample_rate(data: Path, sample_rate: int | None) -> int:
    """Sample rate of all competitors in Hz: the one given, or the papers' 16 kHz, or that of the data if lower."""
    if sample_rate:
        return sample_rate
    first = next((file for file in sorted(data.rglob("*")) if file.suffix.lower() in (".wav", ".flac", ".ogg")), None)
    if first is None:
        raise DataError(f"--data {data}: holds no WAV, FLAC or OGG files; name a folder of sounds")
    return min(MAX_SAMPLE_RATE, audio.probe(first).sample_rate)


def read_record(record: Path) -> dict[str, Any]:
    return load(record) if record.is_file() else {"sets": {}}


def add_row(record: Path, conditions: dict[str, Any], shared: dict[str, Any], key: str, row: dict[str, Any]) -> None:
    """Add a row to those of its data, or replace it; refuse to mix rows of different conditions."""
    figures = read_record(record)
    rows = figures["sets"].setdefault(conditions["data"], {"conditions": conditions, "rows": {}})
    if rows["conditions"] != conditions:
        raise DataError(
            f"{record}: its rows on {conditions['data']} have other conditions ({rows['conditions']}); "
            "repeat those, or choose another --out"
        )
    rows |= shared
    rows["rows"][key] = row
    write(figures, record)


def write(figures: dict[str, Any], record: Path) -> None:
    save(figures, record)
    page.render(figures, record.parent)


def measure_speed(options: argparse.Namespace, record: Path) -> None:
    """Measure the speed of our loop on this machine."""
    rate = common_sample_rate(options.data, options.rate)
    settings = our_settings(options, rate, options.work / "speed")
    dataset = prepare(options.data, settings.data, settings.spectrogram, options.work / "speed" / "cache")
    measured = speed.measure(dataset, settings, rounds=options.rounds, steps=options.steps, log=log)
    figures = read_record(record)
    figures.setdefault("speed", {})[sized_name(options.data.name, options)] = {
        "machine": machine(options.gpu),
        **measured,
    }
    write(figures, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = command_line(__doc__, "training")
    add = parser.add_argument
    add("--data", type=Path, help="folder of real sounds, sub-folders are labels")
    add("--test-pattern", default="*_0[0-4].*", help="names of the test files (%(default)s)")
    add("--minutes", type=float, default=10.0, help="of training per competitor (%(default)s)")
    add("--only", action="append", choices=(OURS, *NAMES), help="train this competitor; repeatable")
    add("--width", type=int, help="of the baselines; default: those of their papers")
    add("--size", type=int, default=Settings().model.size, help="of our networks (%(default)s)")
    add("--batch", type=int, default=Settings().optim.batch_size, help="sounds in a step of ours (%(default)s)")
    add("--rate", type=int, help="sample rate in Hz; default: 16000, or that of the data if lower")
    add("--seed", type=int, default=0)
    add("--gpu", action="store_true", help="train on a GPU if available")
    add("--work", type=Path, default=Path("runs/benchmark"), help="folder of models and sounds (%(default)s)")
    add("--speed", action="store_true", help="measure the speed of our loop instead")
    add("--rounds", type=int, default=5, help="of the speed measurement (%(default)s)")
    add("--steps", type=int, default=25, help="per round and competitor (%(default)s)")
    options = parser.parse_args(arguments)
    record = options.out / "training.json"
    if not options.render and not options.data:
        parser.error("--data is needed, except with --render")
    try:
        if options.render:
            page.render(read_record(record), options.out)
        elif options.speed:
            measure_speed(options, record)
        else:
            compete(options, record)
    except (SoundGANError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
