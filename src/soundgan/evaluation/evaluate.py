"""How good is a model, beside its real sounds? Reads, generates and judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundgan import audio
from soundgan.data.scan import relative_name, scan
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.data import (
    ProgressCallback,
    Real,
    Sounds,
    as_file,
    generated_sounds,
    real_sounds,
    stratified_indices,
)
from soundgan.evaluation.features.embedding import Embedding
from soundgan.evaluation.features.predictions import classifier_for
from soundgan.evaluation.result import Evaluation, versions
from soundgan.evaluation.score import judge
from soundgan.model import SEEDS
from soundgan.spectral.phase_retrieval import Quality

if TYPE_CHECKING:
    from soundgan.model import SoundGAN

MOST_TRAINING = 3000  # training sounds beside which as many are generated, for the last row
_PORTION = 64  # sounds generated at a time
FEW = 50  # real test sounds below which the figures come with a warning
_SURE = 0.9  # share of real test sounds that a classifier recognises, below which its figures come with a warning


def evaluate(
    model: SoundGAN,
    data: Path,
    *,
    n: int | None = None,
    seed: int = 0,
    embedding: Embedding | None = None,
    quality: Quality = "balanced",
    test_pattern: str | None = None,
    uniform: bool = False,
    quick: bool = False,
    classifier: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Judge a model beside the real sounds of a folder.

    All sounds are brought to the model's sample rate and length, and to one peak. The generated ones are made into
    sound as for a file, and analysed anew. The test sounds are those files that the model's own settings excluded from
    its training; where there are none, the real sounds are split at random, and the ceiling is one half beside the
    other.

    Args:
        data: folder of real sounds, sub-folders are labels; labels that the model does not know are left out.
        n: sounds to generate; as many as there are test sounds unless told otherwise.
        seed: of the first generated sound, and of every choice.
        embedding: where distances are measured.
        quality: of phase retrieval.
        test_pattern: file names of the test sounds, instead of what the model's settings say.
        uniform: all labels equally often, instead of as often as in the test sounds.
        quick: leave out the row beside all training sounds, for which as many sounds are generated.
        classifier: folder that keeps the classifier for the next time.
        progress: called with what is done, and how much of it.

    Raises:
        DataError: the folder cannot be used, or there are too few sounds.
        ModelError: `n` or `seed` is out of range.
    """
    if n is not None and not 2 <= n <= SEEDS:
        raise ModelError(f"n = {n}: must be from 2 to {SEEDS}")
    _check_seed(seed)
    trained, shape = model.config.settings.get("data", {}), model.representation
    untrained = [str(one) for one in trained.get("exclude") or ()]
    patterns = [test_pattern] if test_pattern is not None else untrained
    slices = bool(trained.get("slice", False))
    real = real_sounds(
        data, shape.sample_rate, shape.duration,
        test_patterns=patterns, named=test_pattern is not None, untrained=untrained,
        slices=slices, seed=seed, progress=progress,
    )  # fmt: skip
    real, notes = _known(real, model.labels)
    counts = [n or len(real.test)]
    if not quick and len(real.training) <= MOST_TRAINING:
        counts.append(len(real.training))
    wished: list[str] = [] if not model.labels else sorted(set(real.test.labels)) if uniform else [*real.test.labels]
    sets, first = list[Sounds](), seed
    for count in counts:
        asked: list[str | None] = [None] * count
        if wished:
            asked = [wished[i] for i in sorted(stratified_indices(wished, count, seed))]
        sets.append(generate(model, asked, seed=first, quality=quality, progress=progress))
        first = (first + count) % SEEDS  # the last row is made of sounds of its own
    conditions = {"quality": quality, "uniform_labels": uniform, "test_patterns": patterns}
    return _judged(
        model.config.name, data, sets, real, embedding, classifier, seed, conditions, notes, slices, progress
    )


def evaluate_sounds(
    folder: Path,
    data: Path,
    *,
    sample_rate: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    embedding: Embedding | None = None,
    test_pattern: str | None = None,
    classifier: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Judge a folder of sounds, whatever made them, beside the real sounds of another.

    Args:
        folder: generated sounds, in sub-folders named by label, or themselves named `<label>_….wav`.
        data: folder of real sounds, sub-folders are labels.
        sample_rate: Hz at which all are judged; the most common one of the real sounds unless told otherwise.
        seconds: length that all are cut to; unless told otherwise, what holds 95 % of the real ones whole,
            at most 10.
        seed, embedding, test_pattern, classifier, progress: as in `evaluate`.

    Raises:
        DataError: one of the folders cannot be used, or there are too few sounds.
        AudioError: a generated sound cannot be read.
        ModelError: `seed` is out of range.
    """
    _check_seed(seed)
    usual_rate, usual_seconds = _usual(data)
    sample_rate, seconds = sample_rate or usual_rate, seconds or usual_seconds
    patterns = [] if test_pattern is None else [test_pattern]
    real = real_sounds(
        data, sample_rate, seconds,
        test_patterns=patterns, named=test_pattern is not None, seed=seed, progress=progress,
    )  # fmt: skip
    made = generated_sounds(folder, sample_rate, seconds, sorted({*real.training.labels, *real.test.labels}))
    conditions = {"test_patterns": patterns}
    return _judged(
        folder.resolve().name, data, [made], real, embedding, classifier, seed, conditions, [], False, progress
    )


def generate(
    model: SoundGAN,
    labels: Sequence[str | None],
    *,
    seed: int = 0,
    quality: Quality = "balanced",
    progress: ProgressCallback | None = None,
) -> Sounds:
    """A sound of each label, as its file would sound; sound i is that of `seed + i`. None lets the seed choose one."""
    waves, names = list[Any](), list[str]()
    for start, end in _runs(labels):
        first = (seed + start) % SEEDS
        for sound in model.generate(end - start, label=labels[start], seed=first, quality=quality):
            waves.append(as_file(sound.samples))
            names.append(f"seed {sound.seed}" if sound.label is None else f"{sound.label}, seed {sound.seed}")
        if progress is not None:
            progress("Generating", end, len(labels))
    shape = model.representation
    told = [label for label in labels if label is not None]
    return Sounds(waves, shape.sample_rate, shape.duration, told, names)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < SEEDS:
        raise ModelError(f"seed = {seed}: must be from 0 to {SEEDS - 1}")


def _runs(labels: Sequence[str | None]) -> list[tuple[int, int]]:
    """Where runs of one label start and end, none longer than a portion."""
    runs = list[tuple[int, int]]()
    for i, label in enumerate(labels):
        if runs and labels[runs[-1][0]] == label and i - runs[-1][0] < _PORTION:
            runs[-1] = runs[-1][0], i + 1
        else:
            runs.append((i, i + 1))
    return runs


def _known(real: Real, labels: Sequence[str]) -> tuple[Real, list[str]]:
    """The real sounds of labels that a model knows, and what there is to say about the others."""
    found = sorted({*real.training.labels, *real.test.labels})
    if not labels or not found:
        return real, []
    strange, missing = [one for one in found if one not in labels], [one for one in labels if one not in found]
    if len(strange) == len(found):
        told = f"knows {', '.join(labels)}"
        raise DataError(f"none of the labels {', '.join(found)} is one of the model, which {told}; name its own data")
    notes = []
    if missing:
        notes.append(
            f"The model also knows {', '.join(missing)}, of which there are no real sounds: none was generated."
        )
    if strange:
        notes.append(f"Real sounds of {', '.join(strange)} are left out: the model does not know them.")
        parts = (real.training, real.test)
        training, test = (part[[i for i, one in enumerate(part.labels) if one in labels]] for part in parts)
        files = [(path, label) for path, label in real.files if label in labels]
        real = real._replace(training=training, test=test, files=files)
    return real, notes


def _judged(
    subject: str,
    data: Path,
    sets: list[Sounds],
    real: Real,
    embedding: Embedding | None,
    cache: Path | None,
    seed: int,
    conditions: dict[str, Any],
    notes: list[str],
    slices: bool,
    progress: ProgressCallback | None,
) -> Evaluation:
    made = sets[0]
    notes = [*_about(made, real, many=len(sets) > 1), *notes]
    listener = None
    if len(set(real.training.labels)) >= 2:
        try:
            listener = classifier_for(
                real.files, cache, sample_rate=made.sample_rate, seconds=made.seconds if slices else None,
                progress=progress,
            )  # fmt: skip
        except ModuleNotFoundError as error:
            notes.append(
                f"What depends on labels is left out: the classifier needs the training extra ({error.name} is "
                "missing): pip install -c constraints.txt -e '.[train]'"
            )
    many = sets[1] if len(sets) > 1 else None
    judged = judge(
        made, real.training, real.test, known=real.known, many=many,
        embedding=embedding, classifier=listener, seed=seed, progress=progress,
    )  # fmt: skip
    if (ceiling := judged.rows[1].figures.get("accuracy")) and ceiling.value < _SURE:
        notes.append(
            f"The classifier recognises only {ceiling.value:.1%} of the real test sounds: what it hears in generated "
            "ones says little."
        )
    conditions = {
        "data": data.resolve().name, "seed": seed, "sample_rate": made.sample_rate, "seconds": made.seconds,
        **conditions, "classifier": listener and listener.training, "versions": versions(),
    }  # fmt: skip
    return Evaluation(subject, judged, made, real, conditions, notes)


def _about(made: Sounds, real: Real, *, many: bool) -> list[str]:
    """What is to be said about the sounds themselves."""
    notes = []
    if not real.unseen:
        notes.append(
            "Not all test sounds are unseen: the model may have learnt from them, so the ceiling is not quite one. "
            "Where no file was kept out of the training, they are a random half. Copies are searched for in all "
            "sounds, so a few more count as memorised."
        )
    if len(real.test) < FEW:
        notes.append(
            f"Only {len(real.test)} real sounds to test with: distances and overlaps say little, and flatter. "
            + ("Those beside all training sounds say more; keep " if many else "Keep ")
            + "more files from the training."
        )
    if len(made) > (size := min(len(made), len(real.training), len(real.test))):
        notes.append(
            f"Distances and overlaps compare {size} sounds with {size}, as there are no more in the smaller part of "
            f"the real ones; labels and memory are those of all {len(made)}."
        )
    if real.skipped:
        kinds = Counter(item.kind for item in real.skipped)
        notes.append("Left out of the folder: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + ".")
    return notes


def _usual(data: Path) -> tuple[int, float]:
    """Sample rate in Hz and length in s that fit the sounds of a folder."""
    infos = list[audio.AudioInfo]()
    for candidate in scan(data).candidates:
        try:
            infos.append(audio.probe(candidate.path))
        except audio.AudioError:
            continue  # the reading tells of it
    if not infos:
        raise DataError(f"{relative_name(data, data.parent)}: no file in it can be read as sound; name another folder")
    rate = Counter(info.sample_rate for info in infos).most_common(1)[0][0]
    return rate, min(10.0, float(np.percentile([info.seconds for info in infos], 95, method="higher")))
