"""Evaluate a model, or a folder of generated sounds, beside real sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from soundgan import audio
from soundgan.data.scan import relative_name, scan
from soundgan.errors import AudioError, DataError
from soundgan.evaluation.features.classifier import Classifier, classifier_for
from soundgan.evaluation.metrics.catalog import FEW_SOUNDS, METRICS, SoundSet
from soundgan.evaluation.options import EvaluationOptions
from soundgan.evaluation.result import Evaluation, versions
from soundgan.evaluation.score import score
from soundgan.evaluation.sounds import (
    RealSplit,
    Sounds,
    as_file,
    read_generated_sounds,
    read_real_sounds,
    stratified_indices,
)
from soundgan.model import SEEDS, SoundGAN

MAX_FULL_TRAIN = 3000  # training sounds up to which as many are generated for the comparison with all of them
CHUNK_SIZE = 64  # sounds generated at a time
MIN_CLASSIFIER_ACCURACY = 0.9  # on held-out sounds, below which a note warns of the classifier
MAX_SECONDS = 10.0  # length that sounds of a folder are cut to


def evaluate(model: SoundGAN, data: Path, options: EvaluationOptions | None = None) -> Evaluation:
    """Evaluate a model beside the real sounds of a folder.

    All sounds are converted to the model's sample rate and length, and to one peak. The generated ones are synthesized
    as for a file, and analyzed again. The held-out files are those that the model's own settings excluded from its
    training; where there are none, the real sounds are split at random, and the real baseline compares the two halves.

    Args:
        data: folder of real sounds, sub-folders are labels; labels that the model does not know are skipped.

    Raises:
        DataError: the folder cannot be used, or there are too few sounds.
    """
    options = options or EvaluationOptions()
    settings, representation = model.config.settings.get("data", {}), model.representation
    excluded, slices = [str(pattern) for pattern in settings.get("exclude") or ()], bool(settings.get("slice", False))
    rate, seconds = representation.sample_rate, representation.duration
    real = read_real_sounds(data, rate, seconds, options, excluded=excluded, slices=slices)
    real, notes = _with_known_labels(real, model.labels)
    labels: list[str] = []
    if model.labels:
        labels = sorted(set(real.held_out.labels)) if options.uniform_labels else [*real.held_out.labels]

    def generated_sounds(count: int, seed: int) -> Sounds:
        requested: list[str | None] = [None] * count
        if labels:
            requested = [labels[i] for i in sorted(stratified_indices(labels, count, options.seed))]
        return generate_set(model, requested, replace(options, seed=seed % SEEDS))

    n = options.n or len(real.held_out)
    generated, full = generated_sounds(n, options.seed), None
    if not options.quick and len(real.train) <= MAX_FULL_TRAIN:
        full = generated_sounds(len(real.train), options.seed + n)  # other seeds than those of `generated`
    conditions = {"data": data.resolve().name, "quality": options.quality, "uniform_labels": options.uniform_labels}
    return _evaluation(model.config.name, generated, real, options, conditions, notes, full)


def evaluate_folder(folder: Path, data: Path, options: EvaluationOptions | None = None) -> Evaluation:
    """Evaluate a folder of generated sounds, of any origin, beside the real sounds of another.

    All sounds are converted to the most common sample rate of the real ones, and cut to the length that 95 % of these
    do not exceed, at most 10 s.

    Args:
        folder: generated sounds, in sub-folders named by label, or themselves named `<label>_….wav`.
        data: folder of real sounds, sub-folders are labels.
        options: those that concern a model have no effect.

    Raises:
        DataError: one of the folders cannot be used, or there are too few sounds.
        AudioError: a generated sound cannot be read.
    """
    options = options or EvaluationOptions()
    rate, seconds = _common_format(data)
    real = read_real_sounds(data, rate, seconds, options)
    generated = read_generated_sounds(folder, rate, seconds, real.labels)
    return _evaluation(folder.resolve().name, generated, real, options, {"data": data.resolve().name}, [])


def generate_set(model: SoundGAN, labels: Sequence[str | None], options: EvaluationOptions) -> Sounds:
    """Generate a sound for each label, as in its file, from `options.seed` up. For None, the seed chooses the label."""
    waves, names, peaks_db = list[Any](), list[str](), list[float]()
    for label, group in groupby(labels):
        end = len(waves) + len(list(group))
        while len(waves) < end:
            seed, count = (options.seed + len(waves)) % SEEDS, min(CHUNK_SIZE, end - len(waves))
            for sound in model.generate(count, label=label, seed=seed, quality=options.quality):
                waves.append(as_file(sound.samples))
                peaks_db.append(audio.peak_db(sound.samples))
                names.append(f"seed {sound.seed}" if sound.label is None else f"{sound.label}, seed {sound.seed}")
            options.progress("Generating", len(waves), len(labels))
    requested, representation = [label for label in labels if label is not None], model.representation
    rate, frame_rate = representation.sample_rate, representation.sample_rate / representation.hop_length
    return Sounds(waves, rate, representation.duration, requested, names, peaks_db, frame_rate)


def _with_known_labels(real: RealSplit, known: Sequence[str]) -> tuple[RealSplit, list[str]]:
    """Real sounds whose labels the model knows, and notes on the other labels."""
    if not known or not real.labels:
        return real, []
    unknown = [label for label in real.labels if label not in known]
    missing = [label for label in known if label not in real.labels]
    if unknown == real.labels:
        raise DataError(
            f"none of the labels {', '.join(unknown)} is one of the model, which knows {', '.join(known)}; use "
            "the data of the model"
        )
    notes = []
    if missing:
        notes.append(f"There are no real sounds of {', '.join(missing)}, so none was generated.")
    if unknown:
        notes.append(f"The model does not know {', '.join(unknown)}, so real sounds of these labels are skipped.")
        train, held_out = (
            part[[i for i, label in enumerate(part.labels) if label in known]] for part in (real.train, real.held_out)
        )
        files = [(path, label) for path, label in real.train_files if label in known]
        real = replace(real, train=train, held_out=held_out, train_files=files)
    return real, notes


def _evaluation(
    subject: str,
    generated: Sounds,
    real: RealSplit,
    options: EvaluationOptions,
    conditions: dict[str, Any],
    notes: list[str],
    generated_full: Sounds | None = None,
) -> Evaluation:
    """Score the sounds, and complete the conditions and notes."""
    classifier: Classifier | None = None
    notes = [*_data_notes(len(generated), real, generated_full is not None), *notes]
    if len(set(real.train.labels)) >= 2:
        seconds = real.train.seconds if real.sliced else None
        try:
            classifier = classifier_for(
                real.train_files, options.classifier_folder, sample_rate=real.train.sample_rate, seconds=seconds,
                progress=options.progress,
            )  # fmt: skip
        except ModuleNotFoundError as error:
            notes.append(
                f"{error.name} is missing, so the first classifier is skipped: install the training extra with "
                "pip install -c constraints.txt -e '.[train]'"
            )
    scores = score(generated, real, options, classifier=classifier, generated_full=generated_full)
    for key, name in (("accuracy", "first"), ("second_accuracy", "second")):
        accuracy = scores.table[SoundSet.REAL_BASELINE].estimates.get(key)
        if accuracy and accuracy.value < MIN_CLASSIFIER_ACCURACY:
            notes.append(
                f"The {name} classifier recognizes only {METRICS[key].format(accuracy.value)} of the held-out real "
                "sounds, so its scores are unreliable: add real sounds of each label."
            )
    conditions = {
        **conditions, "test_patterns": real.test_patterns, "seed": options.seed, "sample_rate": generated.sample_rate,
        "seconds": generated.seconds, "classifier": classifier and classifier.training, "versions": versions(),
    }  # fmt: skip
    return Evaluation(subject, generated, real, scores, conditions, notes)


def _data_notes(n_generated: int, real: RealSplit, compared_with_all: bool) -> list[str]:
    """Notes on the sounds of an evaluation."""
    notes = []
    if not real.held_out_is_unseen:
        notes.append(
            "The model may have been trained on held-out sounds, so the real baseline is approximate, and slightly "
            "more sounds count as memorized: exclude files from the training."
        )
    if len(real.held_out) < FEW_SOUNDS:
        advice = "rely on the comparison with all, or exclude" if compared_with_all else "exclude"
        notes.append(
            f"There are only {len(real.held_out)} held-out real sounds, so distances and overlaps are unreliable and "
            f"too optimistic: {advice} more files from the training."
        )
    if n_generated > (size := min(n_generated, len(real.train), len(real.held_out))):
        notes.append(
            f"Distances and overlaps compare {size} sounds with {size}, as many as the smaller part of the real ones; "
            f"label scores and memorization use all {n_generated}."
        )
    if real.skipped:
        kinds = Counter(item.reason for item in real.skipped)
        notes.append("Skipped files: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + ".")
    return notes


def _common_format(data: Path) -> tuple[int, float]:
    """Most common sample rate in Hz and 95th percentile of the lengths in s of the sounds of a folder."""
    infos = list[audio.AudioInfo]()
    for candidate in scan(data).candidates:
        try:
            infos.append(audio.probe(candidate.path))
        except AudioError:
            continue  # reported when it is read
    if not infos:
        raise DataError(f"{relative_name(data, data.parent)}: no file in it can be read as sound; use another folder")
    rate = Counter(info.sample_rate for info in infos).most_common(1)[0][0]
    return rate, min(MAX_SECONDS, float(np.percentile([info.seconds for info in infos], 95, method="higher")))
