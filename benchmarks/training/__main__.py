"""Quality after equal training time, for ours and the baselines, with the same scores; and the speed of training.

    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --minutes 10
    python -m benchmarks.training --data ../shared/data/digits --test-pattern '*_0[0-4].*' --speed
    python -m benchmarks.training --render

Needs the extra `train`. The first trains ours and all baselines one after another, or those of --only; the second
measures sounds a second and the share of the machine's convolution peak. Each adds its rows to `training.json` and
renders `training.md` from it. Models, sounds and the classifier stay in --work: a training of the same length that is
complete there is scored again, not repeated.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.baselines import NAMES
from benchmarks.baselines.wgan_gp import TrainingOptions, TrainingSounds, samples_of
from benchmarks.common import Figures, command_line, load, log, processor, save
from benchmarks.training import page, speed
from benchmarks.training.speed import OURS
from soundgan import audio
from soundgan.data.dataset import prepare
from soundgan.data.scan import scan
from soundgan.errors import DataError, SoundGANError, one_line
from soundgan.evaluation.evaluate import generate_set
from soundgan.evaluation.features.classifier import classifier_for
from soundgan.evaluation.metrics.catalog import SoundSet
from soundgan.evaluation.options import EvaluationOptions
from soundgan.evaluation.score import score
from soundgan.evaluation.sounds import RealSplit, Sounds, as_file, read_generated_sounds, read_real_sounds
from soundgan.model import SoundGAN
from soundgan.settings import RunSettings, Settings, check_settings
from soundgan.training.pipeline import train_model_folder
from soundgan.training.runtime.device import select_device
from soundgan.training.state.train_state import Progress

MAX_SAMPLE_RATE = 16_000  # Hz, that of the papers of WaveGAN and SpecGAN
FACTS = "facts.json"


def facts_of(progress: Progress, settings: Figures) -> Figures:
    """Figures of a training, beside the scores of its sounds."""
    names = "samples_seen", "seconds", "steps"
    return {name: getattr(progress, name) for name in names} | {"settings": settings}


def our_settings(options: argparse.Namespace, rate: int, folder: Path) -> Settings:
    values = {
        "dataroot": str(options.data), "saveroot": str(folder), "exclude": (options.test_pattern,),
        "sample_rate": rate, "duration": samples_of(rate) / rate, "size": options.size, "seed": options.seed,
        "batch_size": options.batch, "minutes": options.minutes, "ngpu": int(options.gpu),
    }  # fmt: skip
    return check_settings(values, source="command line")


def train_ours(options: argparse.Namespace, real: RealSplit, folder: Path) -> tuple[Sounds, Figures]:
    """Train our networks or resume; generate the labels of the test sounds; return them and the facts."""
    settings = our_settings(options, real.held_out.sample_rate, folder)
    progress = train_model_folder(settings, on_message=log).progress
    model = SoundGAN.load(folder)
    parameters = model.config.training["generator_parameters"]
    summary = {"batch_size": settings.optim.batch_size, "generator_parameters": parameters}
    labels = sorted(real.held_out.labels) or [None] * len(real.held_out)
    sounds = generate_set(model, labels, EvaluationOptions(seed=options.seed))
    return sounds, facts_of(progress, {**summary, **model.config.settings})


def train_baseline(name: str, options: argparse.Namespace, real: RealSplit, folder: Path) -> tuple[Sounds, Figures]:
    """Train a baseline, or read its sounds and facts from the folder of an earlier training."""
    rate, seconds = real.held_out.sample_rate, real.held_out.seconds
    if not (folder / FACTS).is_file():
        module = importlib.import_module(f"benchmarks.baselines.{name}")
        width = {"width": options.width} if options.width else {}
        training = TrainingOptions(options.seed, options.minutes, device=device(options))
        trained = module.train(TrainingSounds(real.train.waves, rate, seconds), training, **width)
        folder.mkdir(parents=True, exist_ok=True)
        for index, wave in enumerate(trained([0] * len(real.held_out), options.seed)):
            audio.write(folder / f"{index:04d}.wav", as_file(wave), rate)
        save(facts_of(trained.progress, trained.settings), folder / FACTS)
    return read_generated_sounds(folder, rate, seconds, labels=()), load(folder / FACTS)


def device(options: argparse.Namespace) -> torch.device:
    return select_device(RunSettings(ngpu=int(options.gpu)))


def machine(options: argparse.Namespace) -> str:
    """Everything that the speed depends on."""
    threads = torch.get_num_threads()
    used = f"{threads} {'thread' if threads == 1 else 'threads'} on {os.cpu_count()} cores"
    card = f"{torch.cuda.get_device_name()} and " if device(options).type == "cuda" else ""
    return f"{card}{used} ({processor()}), PyTorch {torch.__version__}"


def measure_quality(options: argparse.Namespace, record: Path) -> None:
    """Train and score the models of --only, and write the row of each when it is complete."""
    rate = common_sample_rate(options)
    evaluation = EvaluationOptions(test_pattern=options.test_pattern, seed=options.seed)
    real = read_real_sounds(options.data, rate, samples_of(rate) / rate, evaluation)
    work, classifier, labels = options.work / options.data.name, None, len(set(real.train.labels))
    if labels >= 2:
        classifier = classifier_for(real.train_files, work / "classifier", sample_rate=rate)
    conditions = {
        "data": options.data.name, "test_pattern": options.test_pattern, "sample_rate": rate,
        "seconds": real.held_out.seconds, "training": len(real.train), "test": len(real.held_out), "labels": labels,
    }  # fmt: skip
    for name in options.only or (OURS, *NAMES):
        key = row_name(name, options)
        log(f"{options.data.name}: {key}")
        folder = work / f"{key.replace(', ', '-').replace(' ', '-')}-{options.minutes:g}-minutes-seed-{options.seed}"
        sounds, facts = (
            train_ours(options, real, folder) if name == OURS else train_baseline(name, options, real, folder)
        )
        scores = score(sounds, real, evaluation, classifier=classifier)
        generated, ceiling = (scores.table[key].estimates for key in (SoundSet.GENERATED, SoundSet.REAL_BASELINE))
        row = {
            "name": name, "minutes": options.minutes, "seed": options.seed, "n": len(sounds),
            "machine": machine(options), **facts, "figures": generated,
        }  # fmt: skip
        add_row(record, conditions, {"embedding": scores.embedding, "ceiling": ceiling}, key, row)


def row_name(name: str, options: argparse.Namespace) -> str:
    """Name of a row: the model, and its size if it is not the default."""
    if name != OURS:
        return f"{name}, width {options.width}" if options.width else name
    defaults = Settings().model.size, Settings().optim.batch_size, False
    return name if (options.size, options.batch, options.gpu) == defaults else sized_name(name, options)


def sized_name(name: str, options: argparse.Namespace) -> str:
    """A name with the size and batch of our networks, and the GPU if used."""
    gpu = "" if device(options).type == "cpu" else ", on a GPU"
    return f"{name}, size {options.size}, batch {options.batch}{gpu}"


def common_sample_rate(options: argparse.Namespace) -> int:
    """Sample rate of all models in Hz: the one given, or the papers' 16 kHz, or that of the data if lower."""
    if options.rate:
        return options.rate
    files = sorted(candidate.path for candidate in scan(options.data).candidates)
    if not files:
        raise DataError(f"--data {options.data}: holds no sound files; name a folder of sounds")
    return min(MAX_SAMPLE_RATE, audio.probe(files[0]).sample_rate)


def read_record(record: Path) -> Figures:
    return load(record) if record.is_file() else {"sets": {}}


def add_row(record: Path, conditions: Figures, shared: Figures, key: str, row: Figures) -> None:
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


def write(figures: Figures, record: Path) -> None:
    save(figures, record)
    page.render(figures, record.parent)


def measure_speed(options: argparse.Namespace, record: Path) -> None:
    """Measure the speed of our loop on this machine."""
    folder = options.work / "speed"
    settings = our_settings(options, common_sample_rate(options), folder)
    dataset = prepare(options.data, settings.data, settings.spectrogram, folder / "cache")
    measured = speed.measure(dataset, settings, rounds=options.rounds, steps=options.steps, log=log)
    figures = read_record(record)
    speeds = figures.setdefault("speed", {})
    speeds[sized_name(options.data.name, options)] = {"machine": machine(options), **measured}
    write(figures, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = command_line(__doc__, "training.json")
    add = parser.add_argument
    add("--data", type=Path, help="folder of real sounds, sub-folders are labels")
    add("--test-pattern", default="*_0[0-4].*", help="names of the test files (%(default)s)")
    add("--minutes", type=float, default=10.0, help="of training per model (%(default)s)")
    add("--only", action="append", choices=(OURS, *NAMES), help="train this model; repeatable")
    add("--width", type=int, help="of the baselines; default: those of their papers")
    add("--size", type=int, default=Settings().model.size, help="of our networks (%(default)s)")
    add("--batch", type=int, default=Settings().optim.batch_size, help="sounds in a step of ours (%(default)s)")
    add("--rate", type=int, help="sample rate in Hz; default: 16000, or that of the data if lower")
    add("--seed", type=int, default=0)
    add("--gpu", action="store_true", help="train on a GPU if available")
    add("--work", type=Path, default=Path("runs/benchmark"), help="folder of models and sounds (%(default)s)")
    add("--speed", action="store_true", help="measure the speed of our loop instead")
    add("--rounds", type=int, default=5, help="of the speed measurement (%(default)s)")
    add("--steps", type=int, default=25, help="per round and loop (%(default)s)")
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
            measure_quality(options, record)
    except (SoundGANError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
