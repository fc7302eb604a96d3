"""The entrants of the benchmark: training for equal time, generation, and the sounds and facts that are kept."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.baselines import NAMES
from benchmarks.baselines.resampling import ResampledRecordings
from benchmarks.baselines.wgan_gp import PAPER, Floats, TrainingOptions, TrainingSounds, Waves
from benchmarks.common import Figures, load, log, save, timed
from benchmarks.folders.data import SoundFolder
from soundgan import audio
from soundgan.evaluation.sounds import Sounds
from soundgan.model import SEEDS, SoundGAN
from soundgan.model_folder import GENERATOR, MAPPING, WEIGHTS
from soundgan.settings import RunSettings, Settings, with_options
from soundgan.training.pipeline import train_model_folder
from soundgan.training.runtime.device import select_device, torch_threads_and_determinism
from soundgan.training.state.train_state import Progress

OURS, PEER = "soundgan", "resampling"
ENTRANTS = (OURS, PEER, *NAMES)
FACTS, SOUNDS = "facts.json", "sounds"
WIDTHS = {"dcgan": 32, "wavegan": 16, "specgan": 16}  # those of docs/benchmarks/training.md: more and cheaper steps
BATCH_SIZE = 16  # of the baselines, as of ours; some folders have fewer recordings than the papers' 64
BYTES_PER_PARAMETER = 2  # half precision, as in our model folders


class Trained(NamedTuple):
    """A trained entrant.

    Attributes:
        generate: labels ("" without labels) → a wave for each.
        sample_rate: of the waves, in Hz.
        frame_rate: of the spectrograms that they were synthesized from, in Hz; None without any.
        progress: of the training.
        model_bytes: size of the model.
        settings: for the record.
    """

    generate: Callable[[Sequence[str]], Waves]
    sample_rate: int
    frame_rate: float | None
    progress: Progress
    model_bytes: int
    settings: Figures

    @property
    def facts(self) -> Figures:
        names = "samples_seen", "steps", "seconds"
        facts = {name: getattr(self.progress, name) for name in names}
        return {**facts, "bytes": self.model_bytes, "frame_rate": self.frame_rate, "settings": self.settings}


def entrant_sounds(name: str, folder: SoundFolder, options: argparse.Namespace, work: Path) -> tuple[Sounds, Figures]:
    """Train an entrant and generate its sounds, unless `work` has them already; return the sounds and the facts.

    Raises:
        TrainingError: the training failed.
        KeyboardInterrupt: it was stopped; the next call resumes ours, and repeats that of a baseline.
    """
    if not (work / FACTS).is_file():
        train = {OURS: train_ours, PEER: resample}.get(name, train_baseline)
        trained, labels = train(name, folder, options, work), folder.requested_labels(options.n)
        with torch_threads_and_determinism(RunSettings(threads=options.threads)):
            seconds, waves = timed(trained.generate, labels)
        for index, (label, wave) in enumerate(zip(labels, waves, strict=True)):
            path = work / SOUNDS / label / f"{index:04d}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, wave / max(1.0, float(np.abs(wave).max())), trained.sample_rate, subtype="PCM_24")
        save(trained.facts | {"ms_per_sound": 1000 * seconds / len(labels)}, work / FACTS)
    facts = load(work / FACTS)
    frame_rate = math.nan if facts["frame_rate"] is None else facts["frame_rate"]
    return replace(folder.read(work / SOUNDS), frame_rate=frame_rate), facts


def train_ours(name: str, folder: SoundFolder, options: argparse.Namespace, work: Path) -> Trained:
    """Train as `soundgan train FOLDER --minutes MINUTES --threads THREADS` does, or resume."""
    values = {
        "dataroot": str(folder.train_path), "saveroot": str(work / name), "minutes": options.minutes,
        "threads": options.threads, "seed": options.seed, "size": options.size,
    }  # fmt: skip
    settings = with_options(Settings(), values)
    result = train_model_folder(settings, on_message=log)
    if result.interrupted:
        raise KeyboardInterrupt
    model = SoundGAN.load(work / name, threads=options.threads)
    representation = model.representation

    def generate(labels: Sequence[str]) -> list[Floats]:
        waves = list[Floats]()
        for label, group in groupby(labels):
            seed = (options.seed + len(waves)) % SEEDS
            waves += [sound.samples for sound in model.generate(len([*group]), label=label or None, seed=seed)]
        return waves

    model_bytes = sum((work / name / file).stat().st_size for file in (MAPPING, GENERATOR, WEIGHTS))
    frame_rate = representation.sample_rate / representation.hop_length
    summary = {"size": settings.model.size, "batch_size": settings.optim.batch_size}
    return Trained(generate, representation.sample_rate, frame_rate, result.progress, model_bytes, summary)


def train_baseline(name: str, folder: SoundFolder, options: argparse.Namespace, work: Path) -> Trained:
    """Train a published generator on the recordings at their own levels."""
    module, sounds = importlib.import_module(f"benchmarks.baselines.{name}"), training_sounds(folder)
    config = replace(getattr(module, "CONFIG", PAPER), batch_size=BATCH_SIZE)
    device = select_device(RunSettings())
    training = TrainingOptions(options.seed, options.minutes, device=device, threads=options.threads)
    trained = module.train(sounds, training, width=options.width or WIDTHS[name], config=config)
    frame_rate = None if math.isnan(trained.frame_rate) else trained.frame_rate
    parameters = trained.settings["generator_parameters"]

    def generate(labels: Sequence[str]) -> Floats:
        return trained(label_indices(labels, folder), options.seed)

    model_bytes = BYTES_PER_PARAMETER * parameters
    return Trained(generate, sounds.sample_rate, frame_rate, trained.progress, model_bytes, trained.settings)


def resample(name: str, folder: SoundFolder, options: argparse.Namespace, work: Path) -> Trained:
    """Return the peer that varies the recordings; nothing is trained, and its model are their files."""
    peer = ResampledRecordings(training_sounds(folder))
    model_bytes = sum(path.stat().st_size for path, _ in folder.train_files)

    def generate(labels: Sequence[str]) -> list[Floats]:
        return peer(label_indices(labels, folder), options.seed)

    return Trained(generate, folder.sample_rate, None, Progress(), model_bytes, peer.settings)


def training_sounds(folder: SoundFolder) -> TrainingSounds:
    """The training recordings at the folder's sample rate, and their own levels and lengths."""
    rate, seconds, files = folder.sample_rate, folder.seconds, folder.train_files
    waves = [audio.read(path, rate, seconds=seconds)[0] for path, _ in files]
    labels = label_indices([label for _, label in files], folder) if folder.labels else []
    return TrainingSounds(waves, rate, seconds, labels)


def label_indices(labels: Sequence[str], folder: SoundFolder) -> list[int]:
    """Index of each label among those of the folder; 0 in a folder without labels."""
    return [folder.labels.index(label) if label else 0 for label in labels]
