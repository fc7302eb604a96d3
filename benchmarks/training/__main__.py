"""What comes out of equal time: ours and the baselines trained alike and judged by one harness. And our pace.

    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --minutes 10
    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --speed
    python -m benchmarks.training --render

Needs the `train` extra. The first trains all competitors one after another, or those named by --only; the second
measures sounds a second and the share of the machine's convolution peak. Each adds its rows to `training.json` as it
ends, and makes `training.md` of it. Models, sounds and the classifier stay in --work: what was trained there for as
long is judged again, not trained.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.baselines import NAMES
from benchmarks.baselines.wgan_gp import samples_of
from benchmarks.training import pace
from benchmarks.training import page as training_page
from soundgan import audio
from soundgan.data.dataset import prepare
from soundgan.errors import DataError, SoundGANError, one_line
from soundgan.evaluation.data import Real, Sounds, as_file, real_sounds
from soundgan.evaluation.evaluate import generate
from soundgan.evaluation.features.predictions import classifier_for
from soundgan.evaluation.metrics.catalog import Row
from soundgan.evaluation.score import CEILING, GENERATED, judge
from soundgan.files import write_text
from soundgan.model import SoundGAN
from soundgan.settings import Settings, check_settings
from soundgan.training.loop import ProgressReport
from soundgan.training.run import run
from soundgan.training.runtime.device import select_device
from soundgan.training.state.checkpoint import Progress

OURS = "ours"
RATE = 16_000  # Hz: that of the papers of WaveGAN and SpecGAN, for all sounds that have at least as much
SAY_EVERY = 30.0  # s
FACTS = "facts.json"


class Made(NamedTuple):
    """The sounds that a competitor made, and what its training took."""

    sounds: Sounds
    facts: dict[str, Any]


class Reporter:
    """Says how a training goes, now and then."""

    def __init__(self, name: str) -> None:
        self.name, self.last = name, time.monotonic()

    def __call__(self, progress: Progress | ProgressReport) -> None:
        if time.monotonic() - self.last > SAY_EVERY:
            self.last = time.monotonic()
            say(f"{self.name}: {progress.samples_seen:,} samples seen")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def our_settings(options: argparse.Namespace, rate: int, folder: Path) -> Settings:
    values = {
        "dataroot": str(options.data), "saveroot": str(folder), "exclude": (options.test_pattern,),
        "sample_rate": rate, "duration": samples_of(rate) / rate, "size": options.size, "seed": options.seed,
        "batch_size": options.batch, "minutes": options.minutes, "ngpu": int(options.gpu),
    }  # fmt: skip
    return check_settings(values, source="command line")


def train_ours(options: argparse.Namespace, real: Real, folder: Path) -> Made:
    """Train our networks, or go on; the labels asked for are those of the test sounds."""
    settings = our_settings(options, real.test.sample_rate, folder)
    result = run(settings, announce=say, stepped=Reporter(OURS))
    model = SoundGAN.load(result.folder)
    told = model.config.training
    about = {"batch": settings.optim.batch_size, "generator_parameters": told["generator_parameters"]}
    facts = {
        "samples_seen": result.samples_seen, "seconds": result.seconds, "steps": told["steps"],
        "settings": {**about, **model.config.settings},
    }  # fmt: skip
    asked = sorted(real.test.labels) or [None] * len(real.test)
    return Made(generate(model, asked, seed=options.seed), facts)


def train_baseline(name: str, options: argparse.Namespace, real: Real, folder: Path) -> Made:
    """Train a baseline, or take its sounds from the folder if they are there."""
    rate, seconds = real.test.sample_rate, real.test.seconds
    if not (folder / FACTS).is_file():
        module = importlib.import_module(f"benchmarks.baselines.{name}")
        width = {"width": options.width} if options.width else {}
        trained = module.train(
            real.training.waves, rate, minutes=options.minutes, seed=options.seed,
            device=select_device(Settings.from_flat(ngpu=int(options.gpu))), report=Reporter(name), **width,
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        for index, wave in enumerate(trained(len(real.test), options.seed)):
            audio.write(folder / f"{index:04d}.wav", as_file(wave), rate)
        progress = trained.progress
        facts = {
            "samples_seen": progress.samples_seen,
            "seconds": progress.seconds,
            "steps": progress.steps,
            "settings": trained.settings,
        }
        write_text(folder / FACTS, json.dumps(facts, indent=1) + "\n")
    files = sorted(folder.glob("*.wav"))
    waves = [as_file(audio.read(file, rate, seconds=seconds)[0]) for file in files]
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return Made(Sounds(waves, rate, seconds, names=[file.name for file in files]), facts)


def machine(gpu: bool) -> str:
    """What the pace depends on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    processor = (names or [platform.processor() or platform.machine()])[0]
    threads = torch.get_num_threads()
    used = f"{threads} {'thread' if threads == 1 else 'threads'} on {os.cpu_count()} cores"
    card = f"{torch.cuda.get_device_name()} and " if gpu and torch.cuda.is_available() else ""
    return f"{card}{used} ({processor}), PyTorch {torch.__version__}"


def figures_of(row: Row | None) -> dict[str, Any]:
    return {key: list(figure) for key, figure in row.figures.items()} if row else {}


def compete(options: argparse.Namespace, record: Path) -> None:
    """Train and judge the competitors of --only, and write a row for each as it is there."""
    rate = judged_rate(options.data, options.rate)
    real = real_sounds(
        options.data, rate, samples_of(rate) / rate,
        test_patterns=[options.test_pattern], named=True, seed=options.seed,
    )  # fmt: skip
    work = options.work / options.data.name
    listener = None
    if len(set(real.training.labels)) >= 2:
        listener = classifier_for(real.files, work / "classifier", sample_rate=rate)
    conditions = {
        "data": options.data.name, "test_pattern": options.test_pattern, "sample_rate": rate,
        "seconds": real.test.seconds, "training": len(real.training), "test": len(real.test),
        "labels": len(set(real.training.labels)),
    }  # fmt: skip
    for name in options.only or (OURS, *NAMES):
        key = row_name(name, options)
        say(f"{options.data.name}: {key}")
        folder = work / f"{key.replace(', ', '-').replace(' ', '-')}-{options.minutes:g}-minutes-seed-{options.seed}"
        made = train_ours(options, real, folder) if name == OURS else train_baseline(name, options, real, folder)
        judged = judge(made.sounds, real.training, real.test, classifier=listener, seed=options.seed)
        row = {
            "name": name, "minutes": options.minutes, "seed": options.seed, "n": len(made.sounds),
            "machine": machine(options.gpu), **made.facts, "figures": figures_of(judged.row(GENERATED)),
        }  # fmt: skip
        judges = {"embedding": judged.embedding, "ceiling": figures_of(judged.row(CEILING))}
        add_row(record, conditions, judges, key, row)


def row_name(name: str, options: argparse.Namespace) -> str:
    """What a row is called: the competitor, and its size where it is not the usual one."""
    if name == OURS:
        usual = (
            options.size == Settings().model.size and options.batch == Settings().optim.batch_size and not options.gpu
        )
        return name if usual else sized_name(name, options)
    return f"{name}, width {options.width}" if options.width else name


def sized_name(name: str, options: argparse.Namespace) -> str:
    """A name, size and batch of our networks, and a GPU where one is used."""
    device = select_device(Settings.from_flat(ngpu=int(options.gpu)))
    return f"{name}, size {options.size}, batch {options.batch}{', on a GPU' if device.type != 'cpu' else ''}"


def judged_rate(data: Path, asked: int | None) -> int:
    """Hz at which all compete: the papers' 16 kHz, or that of the data where it has less."""
    if asked:
        return asked
    first = next((file for file in sorted(data.rglob("*")) if file.suffix.lower() in (".wav", ".flac", ".ogg")), None)
    if first is None:
        raise DataError(f"--data {data}: holds no WAV, FLAC or OGG files; name a folder of sounds")
    return min(RATE, audio.probe(first).sample_rate)


def read_record(record: Path) -> dict[str, Any]:
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {"sets": {}}


def add_row(record: Path, conditions: dict[str, Any], judges: dict[str, Any], key: str, row: dict[str, Any]) -> None:
    """Put a row among those of its set, in place of an older one of its name; refuse to mix what cannot be compared."""
    figures = read_record(record)
    found = figures["sets"].setdefault(conditions["data"], {"conditions": conditions, "rows": {}})
    if found["conditions"] != conditions:
        raise DataError(
            f"{record}: its rows on {conditions['data']} were made under other conditions ({found['conditions']}); "
            "repeat those, or choose another --out"
        )
    found |= judges
    found["rows"][key] = row
    save(record, figures)


def save(record: Path, figures: dict[str, Any]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text(record, json.dumps(figures, indent=1) + "\n")
    training_page.render(figures, record.parent)


def speed(options: argparse.Namespace, record: Path) -> None:
    """Measure the pace of our loop on this machine."""
    rate = judged_rate(options.data, options.rate)
    settings = our_settings(options, rate, options.work / "pace")
    dataset = prepare(options.data, settings, options.work / "pace" / "cache")
    measured = pace.measure(dataset, settings, rounds=options.rounds, steps=options.steps, say=say)
    figures = read_record(record)
    figures.setdefault("speed", {})[sized_name(options.data.name, options)] = {
        "machine": machine(options.gpu),
        **measured,
    }
    save(record, figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, help="folder of real sounds, sub-folders are labels")
    add("--test-pattern", default="*_0[0-4].*", help="names of the files that test and never train (%(default)s)")
    add("--minutes", type=float, default=10.0, help="of training for each (%(default)s)")
    add("--only", action="append", choices=(OURS, *NAMES), help="train this one; may be given several times")
    add("--width", type=int, help="of the baselines; those of their papers if left out")
    add("--size", type=int, default=Settings().model.size, help="of our networks (%(default)s)")
    add("--batch", type=int, default=Settings().optim.batch_size, help="sounds in a step of ours (%(default)s)")
    add("--rate", type=int, help="Hz at which all compete; 16000 if left out, or less where the data has less")
    add("--seed", type=int, default=0)
    add("--gpu", action="store_true", help="train on a GPU if there is one; otherwise on the processor")
    add("--work", type=Path, default=Path("runs/benchmark"), help="keeps models and sounds (%(default)s)")
    add("--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)")
    add("--speed", action="store_true", help="measure the pace of our loop instead")
    add("--rounds", type=int, default=5, help="of measuring the pace (%(default)s)")
    add("--steps", type=int, default=25, help="of every party in such a round (%(default)s)")
    add("--render", action="store_true", help="do not measure, make the page of training.json again")
    options = parser.parse_args(arguments)
    record = options.out / "training.json"
    if not options.render and not options.data:
        parser.error("--data is needed, except with --render")
    try:
        if options.render:
            training_page.render(read_record(record), options.out)
        elif options.speed:
            speed(options, record)
        else:
            compete(options, record)
    except (SoundGANError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
