"""Which share of generated sounds is recognised as the label that was asked for, heard by a classifier of real sounds.

    python benchmarks/recognise.py GENERATED --data ../shared/data/digits --classifier CACHE

GENERATED holds WAV files, in sub-folders named by label or themselves named `<label>_….wav`. The classifier is trained
on the files of --data (sub-folders are labels) that do not match --test-pattern, and first has to prove itself on those
that do. CACHE keeps it for the next time. Without GENERATED only the classifier is trained and tested.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from soundgan.errors import DataError, SoundGANError
from soundgan.evaluation.classifier import Classifier, inception_score, train_classifier, training_record
from soundgan.files import write_text

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"}
Labelled = list[tuple[Path, str]]


def real_sounds(folder: Path, test_pattern: str) -> tuple[Labelled, Labelled]:
    """(training, test) files of a folder whose sub-folders are labels; DataError when either part is empty."""
    if not folder.is_dir():
        raise DataError(f"--data {folder}: no such folder")
    sounds = [(f, f.parent.name) for f in sorted(folder.glob("*/*")) if f.suffix.lower() in SUFFIXES]
    test = [pair for pair in sounds if fnmatch(pair[0].name, test_pattern)]
    train = [pair for pair in sounds if not fnmatch(pair[0].name, test_pattern)]
    if not train or not test:
        raise DataError(
            f"--test-pattern {test_pattern!r} splits {folder} in {len(train)} files for training and {len(test)} for "
            "the test, both must have some; the folder needs one sub-folder a label"
        )
    return train, test


def generated_sounds(folder: Path, labels: Sequence[str]) -> Labelled:
    """The WAV files of a folder with the label that each was asked for; DataError for a file that tells none."""
    found: Labelled = []
    for file in sorted(f for f in folder.rglob("*") if f.suffix.lower() == ".wav"):
        named = [label for label in labels if file.parent == folder and (file.stem + "_").startswith(label + "_")]
        label = file.parent.name if file.parent != folder else max(named, key=len, default="")
        if label not in labels:
            raise DataError(f"{file}: neither its folder nor its name (<label>_….wav) is one of {', '.join(labels)}")
        found.append((file, label))
    if not found:
        raise DataError(f"{folder}: holds no WAV files; generate some first")
    return found


def obtain(train: Labelled, cache: Path | None, *, seed: int, epochs: int, threads: int) -> Classifier:
    """The classifier of exactly these files from the cache, or a newly trained one that is put there."""
    files, labels = [f for f, _ in train], [label for _, label in train]
    if cache and cache.is_dir() and any(cache.iterdir()):
        classifier = Classifier.load(cache)
        if classifier.training != training_record(files, labels, seed=seed, epochs=epochs):
            # It may have been trained on the very sounds that test it here.
            raise DataError(f"--classifier {cache}: made from other files, seed or epochs; delete it or name another")
        print(f"classifier of {cache}, trained on {len(files)} sounds")
        return classifier
    start = time.perf_counter()
    classifier = train_classifier(
        files, labels, seed=seed, epochs=epochs, threads=threads,
        progress=lambda epoch, loss: print(f"epoch {epoch}/{epochs}  loss {loss:.3f}", file=sys.stderr),
    )  # fmt: skip
    print(f"classifier trained on {len(files)} sounds in {time.perf_counter() - start:.0f} s")
    if cache:
        classifier.save(cache)
    return classifier


def judge(classifier: Classifier, sounds: Labelled) -> dict[str, Any]:
    """Accuracy in all, per label, Inception score and confusions (rows: asked, columns: heard) of labelled sounds."""
    heard, probabilities = classifier.predict([file for file, _ in sounds])
    labels = classifier.labels
    table = np.zeros((len(labels), len(labels)), dtype=int)
    for (_, asked), label in zip(sounds, heard, strict=True):
        table[labels.index(asked), labels.index(label)] += 1
    rows = enumerate(zip(labels, table, strict=True))
    return {
        "n": len(sounds),
        "accuracy": float(np.trace(table) / table.sum()),
        "inception_score": inception_score(probabilities),
        "per_label": {label: float(row[i] / row.sum()) for i, (label, row) in rows if row.sum()},
        "labels": labels,
        "confusion": table.tolist(),
    }


def show(title: str, result: dict[str, Any]) -> None:
    """Prints one result: a line of totals, then a row a label."""
    share, score = result["accuracy"], result["inception_score"]
    print(f"\n{title}: {share:.1%} of {result['n']} recognised, Inception score {score:.2f}")
    labels, table = result["labels"], result["confusion"]
    wide = max(6, *(len(label) + 1 for label in labels))
    print(f"{'asked':>{wide}} {'right':>7} │ heard" + "".join(f"{label:>{wide}}" for label in labels))
    for label, row in zip(labels, table, strict=True):
        right = f"{result['per_label'][label]:.1%}" if label in result["per_label"] else "none"
        print(f"{label:>{wide}} {right:>7} │      " + "".join(f"{count or '·':>{wide}}" for count in row))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("generated", nargs="?", type=Path, metavar="GENERATED", help="folder of generated WAV files")
    add("--data", type=Path, required=True, help="folder of real sounds, sub-folders are labels")
    add("--test-pattern", default="*_0[0-4].*", help="file names of the test split (%(default)s)")
    add("--classifier", type=Path, metavar="CACHE", help="folder that keeps the trained classifier")
    add("--least", type=float, default=0.95, help="accuracy on real sounds that allows to judge (%(default)s)")
    add("--seed", type=int, default=0)
    add("--epochs", type=int, default=20)
    add("--threads", type=int, default=2)
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    try:
        train, test = real_sounds(options.data, options.test_pattern)
        classifier = obtain(
            train, options.classifier, seed=options.seed, epochs=options.epochs, threads=options.threads
        )
        results = {"seed": options.seed, "test_pattern": options.test_pattern, "training": classifier.training}
        results["real"] = judge(classifier, test)
        show("real test sounds", results["real"])
        if results["real"]["accuracy"] < options.least:
            raise DataError(
                f"the classifier recognises {results['real']['accuracy']:.1%} of the real test sounds, under --least "
                f"{options.least:.0%}: it may not judge generated ones; give it more --epochs or more sounds"
            )
        if options.generated:
            results["generated"] = judge(classifier, generated_sounds(options.generated, classifier.labels))
            show(f"{options.generated} (seed of the classifier {options.seed})", results["generated"])
        if options.json:
            write_text(options.json, json.dumps(results, indent=2) + "\n")
    except SoundGANError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
