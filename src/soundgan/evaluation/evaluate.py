"""Evaluate a model, or a folder of generated sounds, beside real sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundgan import audio
from soundgan.data.scan import relative_name, scan
from soundgan.errors import AudioError, DataError, ModelError
from soundgan.evaluation.data import (
    EvaluationData,
    ProgressCallback,
    RealSplit,
    Sounds,
    SplitOptions,
    as_file,
    read_generated_sounds,
    read_real_sounds,
    stratified_indices,
)
from soundgan.evaluation.features.embedding import Embedding
from soundgan.evaluation.features.predictions import classifier_for
from soundgan.evaluation.metrics.catalog import Metric, SoundSet
from soundgan.evaluation.result import Evaluation, versions
from soundgan.evaluation.score import score
from soundgan.model import SEEDS
from soundgan.spectral.phase_retrieval import Quality

if TYPE_CHECKING:
    from soundgan.evaluation.features.classifier import Classifier
    from soundgan.model import SoundGAN

MAX_FULL_TRAIN = 3000  # training sounds up to which as many are generated for the comparison with all of them
CHUNK_SIZE = 64  # sounds generated at a time
FEW_HELD_OUT = 50  # held-out sounds below which a note warns of the small number
MIN_CLASSIFIER_ACCURACY = 0.9  # on held-out sounds, below which a note warns of the classifier
MAX_SECONDS = 10.0  # length that sounds of a folder are cut to


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation.

    Attributes:
        seed: of the first generated sound, and of every random choice.
        test_pattern: file names of the held-out sounds. None: for a model, what its training excluded; for a folder,
            a random half.
        embedding: space of the distances; None: `LogMelStatistics`.
        classifier_folder: cache of the classifier of labels.
        n: sounds to generate with a model; None: as many as held-out sounds.
        quality: of the phase retrieval of a model.
        uniform_labels: generate all labels equally often, instead of as often as in the held-out sounds.
        quick: skip the comparison with all training sounds, for which as many sounds are generated.
    """

    seed: int = 0
    test_pattern: str | None = None
    embedding: Embedding | None = None
    classifier_folder: Path | None = None
    n: int | None = None
    quality: Quality = "balanced"
    uniform_labels: bool = False
    quick: bool = False


def evaluate(
    model: SoundGAN, data: Path, options: EvaluationOptions | None = None, progress: ProgressCallback | None = None
) -> Evaluation:
    """Evaluate a model beside the real sounds of a folder.

    All sounds are converted to the model's sample rate and length, and to one peak. The generated ones are synthesized
    as for a file, and analyzed again. The held-out files are those that the model's own settings excluded from its
    training; where there are none, the real sounds are split at random, and the real baseline compares the two halves.

    Args:
        data: folder of real sounds, sub-folders are labels; labels that the model does not know are skipped.
        progress: called with the current task, and the steps done and in all.

    Raises:
        DataError: the folder cannot be used, or there are too few sounds.
        ModelError: `n` or `seed` is out of range.
    """
    options = options or EvaluationOptions()
    if options.n is not None and not 2 <= options.n <= SEEDS:
        raise ModelError(f"n = {options.n}: must be from 2 to {SEEDS}")
    _check_seed(options.seed)
    settings, representation = model.config.settings.get("data", {}), model.representation
    excluded = [str(pattern) for pattern in settings.get("exclude") or ()]
    patterns = excluded if options.test_pattern is None else [options.test_pattern]
    slices = bool(settings.get("slice", False))
    split = SplitOptions(patterns, options.test_pattern is not None, excluded, options.seed)
    real = read_real_sounds(
        data, representation.sample_rate, representation.duration, split, slices=slices, progress=progress
    )
    real, notes = _with_known_labels(real, model.labels)
    labels: list[str] = []
    if model.labels:
        labels = sorted(set(real.held_out.labels)) if options.uniform_labels else [*real.held_out.labels]

    def generated_sounds(count: int, seed: int) -> Sounds:
        requested: list[str | None] = [None] * count
        if labels:
            requested = [labels[i] for i in sorted(stratified_indices(labels, count, options.seed))]
        return generate(model, requested, seed=seed % SEEDS, quality=options.quality, progress=progress)

    n = options.n or len(real.held_out)
    full = None
    generated = generated_sounds(n, options.seed)
    if not options.quick and len(real.train) <= MAX_FULL_TRAIN:
        full = generated_sounds(len(real.train), options.seed + n)  # other seeds than those of `generated`
    conditions = {
        "data": data.resolve().name, "quality": options.quality, "uniform_labels": options.uniform_labels,
        "test_patterns": patterns,
    }  # fmt: skip
    return _evaluation(
        model.config.name, EvaluationData(generated, real, full), conditions, notes, options, progress,
        classifier_seconds=representation.duration if slices else None,
    )  # fmt: skip


def evaluate_folder(
    folder: Path, data: Path, options: EvaluationOptions | None = None, progress: ProgressCallback | None = None
) -> Evaluation:
    """Evaluate a folder of generated sounds, of any origin, beside the real sounds of another.

    All sounds are converted to the most common sample rate of the real ones, and cut to the length that 95 % of these
    do not exceed, at most 10 s.

    Args:
        folder: generated sounds, in sub-folders named by label, or themselves named `<label>_….wav`.
        data: folder of real sounds, sub-folders are labels.
        options: those that concern a model have no effect.
        progress: as in `evaluate`.

    Raises:
        DataError: one of the folders cannot be used, or there are too few sounds.
        AudioError: a generated sound cannot be read.
        ModelError: `seed` is out of range.
    """
    options = options or EvaluationOptions()
    _check_seed(options.seed)
    sample_rate, seconds = _common_format(data)
    patterns = [] if options.test_pattern is None else [options.test_pattern]
    split = SplitOptions(patterns, pattern_is_explicit=bool(patterns), seed=options.seed)
    real = read_real_sounds(data, sample_rate, seconds, split, progress=progress)
    labels = sorted({*real.train.labels, *real.held_out.labels})
    generated = read_generated_sounds(folder, sample_rate, seconds, labels)
    conditions = {"data": data.resolve().name, "test_patterns": patterns}
    return _evaluation(folder.resolve().name, EvaluationData(generated, real), conditions, [], options, progress)


def generate(
    model: SoundGAN,
    labels: Sequence[str | None],
    *,
    seed: int = 0,
    quality: Quality = "balanced",
    progress: ProgressCallback | None = None,
) -> Sounds:
    """Generate a sound for each label, as in its file, from seeds `seed + i`. For None, the seed chooses the label."""
    waves, names = list[Any](), list[str]()
    for start, end in _label_batches(labels):
        first = (seed + start) % SEEDS
        for sound in model.generate(end - start, label=labels[start], seed=first, quality=quality):
            waves.append(as_file(sound.samples))
            names.append(f"seed {sound.seed}" if sound.label is None else f"{sound.label}, seed {sound.seed}")
        if progress is not None:
            progress("Generating", end, len(labels))
    rate, seconds = model.representation.sample_rate, model.representation.duration
    return Sounds(waves, rate, seconds, [label for label in labels if label is not None], names)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < SEEDS:
        raise ModelError(f"seed = {seed}: must be from 0 to {SEEDS - 1}")


def _label_batches(labels: Sequence[str | None]) -> list[tuple[int, int]]:
    """Start and end of batches of one label, none longer than `CHUNK_SIZE`."""
    batches = list[tuple[int, int]]()
    for i, label in enumerate(labels):
        if batches and labels[batches[-1][0]] == label and i - batches[-1][0] < CHUNK_SIZE:
            batches[-1] = batches[-1][0], i + 1
        else:
            batches.append((i, i + 1))
    return batches


def _with_known_labels(real: RealSplit, model_labels: Sequence[str]) -> tuple[RealSplit, list[str]]:
    """Real sounds whose labels the model knows, and notes on the other labels."""
    labels = sorted({*real.train.labels, *real.held_out.labels})
    if not model_labels or not labels:
        return real, []
    unknown = [label for label in labels if label not in model_labels]
    missing = [label for label in model_labels if label not in labels]
    if len(unknown) == len(labels):
        raise DataError(
            f"none of the labels {', '.join(labels)} is one of the model, which knows {', '.join(model_labels)}; use "
            "the data of the model"
        )
    notes = []
    if missing:
        notes.append(f"The model also knows {', '.join(missing)}: no real sounds, so none was generated.")
    if unknown:
        notes.append(f"Real sounds of {', '.join(unknown)} are skipped: the model does not know these labels.")
        train, held_out = (
            part[[i for i, label in enumerate(part.labels) if label in model_labels]]
            for part in (real.train, real.held_out)
        )
        files = [(path, label) for path, label in real.train_files if label in model_labels]
        real = replace(real, train=train, held_out=held_out, train_files=files)
    return real, notes


def _evaluation(
    subject: str,
    data: EvaluationData,
    conditions: dict[str, Any],
    notes: list[str],
    options: EvaluationOptions,
    progress: ProgressCallback | None,
    classifier_seconds: float | None = None,
) -> Evaluation:
    """Score the sounds, and complete the conditions and notes."""
    generated, real = data.generated, data.real
    classifier: Classifier | None = None
    notes = [*_data_notes(data), *notes]
    if len(set(real.train.labels)) >= 2:
        try:
            classifier = classifier_for(
                real.train_files, options.classifier_folder, sample_rate=generated.sample_rate,
                seconds=classifier_seconds, progress=progress,
            )  # fmt: skip
        except ModuleNotFoundError as error:
            notes.append(
                f"Label scores are skipped: the classifier needs the training extra ({error.name} is missing): "
                "pip install -c constraints.txt -e '.[train]'"
            )
    scores = score(data, embedding=options.embedding, classifier=classifier, seed=options.seed, progress=progress)
    accuracy = scores.table[SoundSet.REAL_BASELINE].estimates.get(Metric.ACCURACY)
    if accuracy and accuracy.value < MIN_CLASSIFIER_ACCURACY:
        notes.append(
            f"The classifier's accuracy on held-out real sounds is only {accuracy.value:.1%}: label scores of "
            "generated sounds are unreliable."
        )
    conditions = {
        **conditions, "seed": options.seed, "sample_rate": generated.sample_rate, "seconds": generated.seconds,
        "classifier": classifier and classifier.training, "versions": versions(),
    }  # fmt: skip
    return Evaluation(subject, scores, data, conditions, notes)


def _data_notes(data: EvaluationData) -> list[str]:
    """Notes on the sounds of an evaluation."""
    generated, real = data.generated, data.real
    notes = []
    if not real.held_out_is_unseen:
        notes.append(
            "Not all held-out sounds are unseen: the model may have been trained on them, so the real baseline is "
            "approximate. If no file was excluded from the training, they are a random half. The nearest sounds are "
            "searched for in all real sounds, so slightly more count as memorized."
        )
    if len(real.held_out) < FEW_HELD_OUT:
        advice = (
            "The comparison with all training sounds is more reliable; exclude" if data.generated_full else "Exclude"
        )
        notes.append(
            f"Only {len(real.held_out)} held-out real sounds: distances and overlaps are unreliable, and too "
            f"optimistic. {advice} more files from the training."
        )
    if len(generated) > (size := min(len(generated), len(real.train), len(real.held_out))):
        notes.append(
            f"Distances and overlaps compare {size} sounds with {size}, the size of the smaller part of the real ones; "
            f"label scores and memorization use all {len(generated)}."
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
